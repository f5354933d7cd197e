//! Uploads as JSON for the command line, read by the parser of the HTTP API.

use app::{EgressUrl, UploadRequest, UrlError};

use crate::error::FieldError;
use crate::json::{self, Json};
use crate::v1::upload_body::{Rules, read_upload};
use crate::v1::upload_fields::KEEP;

/// What is wrong with a field of an upload. Contains no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadFieldError {
    /// The path of the field, such as `privacy.view`; empty for the object as a whole.
    pub field: String,
    /// The end of a sentence that starts with the field.
    pub error: String,
}

impl From<FieldError> for UploadFieldError {
    fn from(error: FieldError) -> Self {
        Self { field: error.name, error: error.errors }
    }
}

/// Whether this is a JSON object, checked as strictly as a request body: for example, a key must not be given twice.
pub fn check_upload_json(bytes: &[u8]) -> Result<(), UploadFieldError> {
    match json::parse(bytes) {
        Ok(Json::Object(_)) => Ok(()),
        Ok(_) => Err(of_object("must be a JSON object".to_owned())),
        Err(message) => {
            let message = message.strip_prefix("The request body ").unwrap_or(&message);
            Err(of_object(message.trim_end_matches('.').to_owned()))
        }
    }
}

/// Reads the body of an upload through this connection: the request, or all errors. `check_address` validates URLs.
pub fn read_upload_json(
    bytes: &[u8],
    connection: &str,
    check_address: &dyn Fn(&str) -> Result<EgressUrl, UrlError>,
) -> Result<UploadRequest, Vec<UploadFieldError>> {
    check_upload_json(bytes).map_err(|error| vec![error])?;
    let Ok(Json::Object(object)) = json::parse_keeping(bytes, KEEP) else {
        return Err(vec![of_object("must be a JSON object".to_owned())]);
    };
    read_upload(object, &Rules { check_address, connection })
        .map_err(|problem| problem.fields.into_iter().map(UploadFieldError::from).collect())
}

fn of_object(error: String) -> UploadFieldError {
    UploadFieldError { field: String::new(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<UploadFieldError> {
        read_upload_json(text.as_bytes(), "c", &|_| Err(UrlError::NotPublic)).err().unwrap_or_default()
    }

    fn error(field: &str, error: &str) -> UploadFieldError {
        UploadFieldError { field: field.to_owned(), error: error.to_owned() }
    }

    #[test]
    fn an_upload_is_read_by_the_rules_of_a_body_and_no_value_is_in_an_error() {
        assert_eq!(read(r#"{"source":{"size":5},"name":"A film"}"#), []);
        assert_eq!(read("canary"), [error("", "is not valid JSON (line 1, column 1)")]);
        assert_eq!(read("[]"), [error("", "must be a JSON object")]);
        let twice = read(r#"{"source":{"size":5},"name":"canary","name":"canary"}"#);
        assert_eq!(twice, [error("", "is not valid JSON: a key is given twice (line 1, column 43)")]);
        let errors =
            read(r#"{"source":{"url":"https://canary"},"privacy":{"view":"canary"},"titel":"canary"}"#);
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["source.url", "privacy.view", "titel"]);
        assert!(!errors.iter().any(|error| error.error.contains("canary")), "{errors:?}");
    }
}
