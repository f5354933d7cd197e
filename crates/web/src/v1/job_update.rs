//! The body of a change of a job.

use domain::time::Timestamp;
use utoipa::ToSchema;

use crate::UnknownFields;
use crate::error::Problem;
use crate::fields::{Fields, Known};
use crate::json::{Json, Keep};

const NAMES: &[&str] = &["publishAt"];
/// Which parts of the body are kept.
pub(crate) const KEEP_UPDATE: Keep<'_> = Keep { raw: &[], known: Some(NAMES) };

/// A change of a job.
#[derive(ToSchema)]
#[schema(as = JobUpdate)]
#[expect(dead_code, reason = "for its schema")]
pub(crate) struct JobUpdateIn {
    /// When the video is opened to its viewers: in the future, at most a year ahead. `null`: as soon as possible.
    // No example: its time would pass.
    #[schema(rename = "publishAt", required = true, format = "future-time")]
    publish_at: Option<String>,
}

/// The new time of publication; `None`: as soon as possible.
pub(crate) fn read_job_update(object: Vec<(String, Json)>) -> Result<Option<Timestamp>, Problem> {
    let mut fields = Fields::new(object, Known::new(NAMES, UnknownFields::Reject));
    if !fields.is_present("publishAt") {
        fields.error::<()>("publishAt", "is required");
    }
    let publish_at = fields.optional_text("publishAt", |text| Timestamp::parse(text).map(Some));
    let (errors, _) = fields.finish();
    if errors.is_empty() { Ok(publish_at) } else { Err(Problem::invalid_fields(errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Option<Timestamp>, String> {
        let Ok(Json::Object(object)) = crate::json::parse_keeping(body.as_bytes(), KEEP_UPDATE) else {
            panic!("an object")
        };
        read_job_update(object)
            .map_err(|problem| problem.fields.iter().map(|field| field.errors.clone()).collect())
    }

    #[test]
    fn a_time_is_required_and_may_be_null() {
        let at = Timestamp::parse("2026-01-02T00:00:00Z").unwrap();
        assert_eq!(read(r#"{"publishAt":"2026-01-02T01:00:00+01:00"}"#), Ok(Some(at)));
        assert_eq!(read(r#"{"publishAt":null}"#), Ok(None));
        assert_eq!(read("{}"), Err("is required".to_owned()));
        assert!(read(r#"{"publishAt":7}"#).is_err() && read(r#"{"publishAt":"tomorrow"}"#).is_err());
        assert!(read(r#"{"publishAt":null,"name":"x"}"#).is_err(), "an unknown field");
    }
}
