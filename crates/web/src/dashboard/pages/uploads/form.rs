//! The form for a new upload: its values as the body of a request to the API, whose reader checks them, and its errors.

use app::{Error, UploadRequest};
use domain::idempotency::IdempotencyKey;
use domain::upload::{VideoName, View};
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::super::errors::PageError;
use super::super::super::form::Form;
use super::super::super::messages as m;
use super::super::super::views::new_upload::VideoFields;
use super::super::super::views::parts::{Choice, Errors};
use super::facts::view_text;
use crate::Shared;
use crate::error::FieldError;
use crate::json::{self, Json};
use crate::v1::upload_body::{Rules, read_upload};
use crate::v1::upload_fields::KEEP;

/// The privacies that a person can choose, the most private one first: it is chosen unless another one is.
const VIEWS: [View; 6] =
    [View::Nobody, View::Unlisted, View::Password, View::Disable, View::Contacts, View::Anybody];
/// Larger than any form, so that no copies of secrets are left behind when the body grows.
const BODY_BYTES: usize = 128 * 1024;

/// Where the bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The service fetches them.
    Url,
    /// The browser sends them.
    File,
}

/// The body of a request to the API.
#[derive(Serialize)]
struct Body<'a> {
    source: Source<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    privacy: Privacy<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder_name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Source<'a> {
    Url(&'a str),
    Size(u64),
}

#[derive(Serialize)]
struct Privacy<'a> {
    view: &'a str,
}

/// A form that was accepted.
pub(super) struct Draft {
    pub(super) connection: String,
    pub(super) request: UploadRequest,
    /// What a form that is sent again must have in common with the first.
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) key: IdempotencyKey,
}

/// Reads the form, by the rules of the API.
pub(super) fn read(shared: &Shared, form: &Form, origin: Origin) -> Result<Result<Draft, Errors>, PageError> {
    let key = IdempotencyKey::parse(form.raw("requestId")).map_err(|_| PageError::BadRequest)?;
    let connection = form.text("connection").to_owned();
    let mut errors = Errors::default();
    if connection.is_empty() {
        errors.add("connection", m::ERROR_CONNECTION_REQUIRED);
    }
    let source = match origin {
        Origin::Url => Some(Source::Url(form.text("source"))).filter(|_| !form.text("source").is_empty()),
        Origin::File => form.text("size").parse().ok().filter(|size| *size > 0).map(Source::Size),
    };
    let Some(source) = source else {
        match origin {
            Origin::Url => errors.add("source", m::ERROR_SOURCE_REQUIRED),
            Origin::File => errors.add("file", m::ERROR_SOURCE_FILE),
        }
        return Ok(Err(errors));
    };
    let body = body(form, source);
    let check_address = |text: &str| shared.app.check_address(text);
    let rules = Rules { check_address: &check_address, connection: &connection };
    let request = match json::parse_keeping(&body, KEEP) {
        Ok(Json::Object(object)) => read_upload(object, &rules),
        // Only a text that is not a valid one, such as a lone surrogate, is no JSON.
        Ok(_) | Err(_) => return Err(PageError::BadRequest),
    };
    match request {
        Ok(request) if errors.is_empty() => Ok(Ok(Draft { connection, request, body, key })),
        Ok(_) => Ok(Err(errors)),
        Err(problem) => {
            for error in problem.fields {
                let (field, text) = field_error(form, &error);
                errors.add(field, text);
            }
            Ok(Err(errors))
        }
    }
}

fn body(form: &Form, source: Source<'_>) -> Zeroizing<Vec<u8>> {
    fn given(text: &str) -> Option<&str> {
        Some(text).filter(|text| !text.is_empty())
    }
    let body = Body {
        source,
        name: given(form.text("name")).or_else(|| name_of_file(form.text("fileName"))),
        description: given(form.text("description")),
        privacy: Privacy { view: form.text("privacy") },
        // Spaces count.
        password: given(form.raw("password")),
        folder_name: given(form.text("folder")),
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(BODY_BYTES));
    // Texts and numbers are always JSON.
    let _ = serde_json::to_writer(&mut *bytes, &body);
    bytes
}

/// The name of a file without its extension, if a video can have it.
fn name_of_file(name: &str) -> Option<&str> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem).trim();
    VideoName::parse(stem).is_ok().then_some(stem)
}

/// The field of the form that an error of the API is about, and a sentence.
fn field_error(form: &Form, error: &FieldError) -> (&'static str, String) {
    let (field, label) = match &*error.name {
        "source" | "source.url" => ("source", m::SOURCE_URL),
        "source.size" => ("file", m::FILE),
        "name" => ("name", m::VIDEO_NAME),
        "description" => ("description", m::DESCRIPTION),
        "privacy" | "privacy.view" => ("privacy", m::PRIVACY),
        "folder_name" => ("folder", m::FOLDER),
        "password" => {
            let wants_password = form.text("privacy") == View::Password.as_str();
            let text = match (wants_password, form.raw("password").is_empty()) {
                (true, true) => m::ERROR_VIDEO_PASSWORD_REQUIRED.to_owned(),
                (false, false) => m::ERROR_VIDEO_PASSWORD_UNUSED.to_owned(),
                _ => m::field_error(m::VIDEO_PASSWORD, &error.errors),
            };
            return ("password", text);
        }
        // The form has no others.
        _ => ("name", m::VIDEO),
    };
    (field, m::field_error(label, &error.errors))
}

/// What is wrong with a form that the operation refused, and whether it needs another request ID.
pub(super) fn refusal(error: Error) -> Result<(Errors, Repeat), PageError> {
    let mut errors = Errors::default();
    let mut repeat = Repeat::SameId;
    match error {
        Error::ConnectionNotFound => errors.add("connection", m::ERROR_CONNECTION_GONE),
        Error::ConnectionDisabled => errors.add("connection", m::ERROR_CONNECTION_DISABLED),
        Error::ConnectionUnhealthy(problem) => {
            errors.add("connection", m::error_connection_unhealthy(&problem.message));
        }
        Error::UploadRefused(failure) => errors.general = failure.message,
        Error::VimeoUnavailable { .. } => {
            m::ERROR_VIMEO_UNAVAILABLE_UPLOAD.clone_into(&mut errors.general);
        }
        Error::IdempotencyKeyReused | Error::UploadOver { .. } => {
            m::ERROR_UPLOAD_REUSED.clone_into(&mut errors.general);
            repeat = Repeat::NewId;
        }
        Error::IdempotencyKeyInUse => m::ERROR_UPLOAD_IN_USE.clone_into(&mut errors.general),
        Error::OutcomeUnknown => m::ERROR_OUTCOME_UNKNOWN.clone_into(&mut errors.general),
        Error::LimitReached { limit, value } => errors.general = m::limit_reached(limit, value),
        error => return Err(error.into()),
    }
    Ok((errors, repeat))
}

/// How a refused form is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// As the same request.
    SameId,
    /// As another one.
    NewId,
}

/// What was entered about the video.
pub(super) fn entered(form: &Form) -> VideoFields {
    VideoFields {
        name: form.text("name").to_owned(),
        description: form.text("description").to_owned(),
        folder: form.text("folder").to_owned(),
    }
}

/// The options for who can watch the video.
pub(super) fn privacies(chosen: &str) -> Vec<Choice> {
    let choices = VIEWS.into_iter().map(|view| Choice::new(view.as_str(), view_text(Some(view))));
    choices.map(|choice| choice.chosen_if(chosen)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_is_named_after_its_file_if_it_can_be() {
        for (file, name) in [
            ("film.mp4", Some("film")),
            ("My film.final.MOV", Some("My film.final")),
            ("film", Some("film")),
            (".mp4", None),
            ("", None),
            ("a\u{7}b.mp4", None),
        ] {
            assert_eq!(name_of_file(file), name, "{file}");
        }
        assert_eq!(name_of_file(&format!("{}.mp4", "x".repeat(129))), None);
    }

    #[test]
    fn the_most_private_choice_comes_first() {
        let choices = privacies("");
        assert_eq!(choices[0].value, "nobody");
        assert!(choices.iter().all(|choice| !choice.is_chosen && View::parse(&choice.value).is_ok()));
        assert!(privacies("unlisted").iter().any(|choice| choice.is_chosen && choice.value == "unlisted"));
    }
}
