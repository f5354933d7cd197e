//! Reading forms: `application/x-www-form-urlencoded`, 64 KiB at most. They have secrets, so their values are wiped.

use std::time::Duration;

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, Limited};
use zeroize::{Zeroize as _, Zeroizing};

use super::errors::PageError;

const FORM_MAX_BYTES: usize = 64 * 1024;
const FORM_TIMEOUT: Duration = Duration::from_secs(10);
/// The field with the token against forms of other sites.
pub(super) const CSRF: &str = "csrf";

/// The fields of a form.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body of a request.
    pub(super) async fn read(request: Request) -> Result<Self, PageError> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(PageError::BadRequest);
        }
        let reading = Limited::new(request.into_body(), FORM_MAX_BYTES).collect();
        let body = tokio::time::timeout(FORM_TIMEOUT, reading).await.map_err(|_| PageError::BadRequest)?;
        let bytes = body.map_err(|_| PageError::BadRequest)?.to_bytes();
        Ok(Self(form_urlencoded::parse(&bytes).into_owned().collect()))
    }

    /// The value of a field as it was entered; empty if there is none.
    pub(super) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    /// The same without spaces at either end.
    pub(super) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// All values of a field.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// All fields but the token, for the comparison of forms that are sent twice.
    pub(super) fn without_token(&self) -> Zeroizing<String> {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(self.0.iter().filter(|(field, _)| field != CSRF));
        Zeroizing::new(text.finish())
    }

    /// Whether a checkbox was checked.
    pub(super) fn is_checked(&self, name: &str) -> bool {
        self.raw(name) == "true"
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        for (_, value) in &mut self.0 {
            value.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn read(media_type: &str, body: impl Into<Body>) -> Option<Form> {
        let request = Request::post("/").header(CONTENT_TYPE, media_type).body(body.into()).unwrap();
        Form::read(request).await.ok()
    }

    #[tokio::test]
    async fn fields_are_decoded_trimmed_and_may_repeat() {
        let body = "name=+Caf%C3%A9+&scopes=a&scopes=b&enabled=true&other=on&empty=";
        let form = read("application/x-www-form-urlencoded; charset=UTF-8", body).await.unwrap();
        assert_eq!((form.raw("name"), form.text("name")), (" Café ", "Café"));
        assert_eq!(form.all("scopes").collect::<Vec<_>>(), ["a", "b"]);
        assert!(form.is_checked("enabled") && !form.is_checked("other") && !form.is_checked("absent"));
        assert_eq!((form.text("empty"), form.text("absent")), ("", ""));
    }

    #[tokio::test]
    async fn other_media_types_and_large_bodies_are_refused() {
        for media_type in ["", "text/plain", "application/json", "multipart/form-data; boundary=x"] {
            assert!(read(media_type, "a=b").await.is_none(), "{media_type}");
        }
        let large = format!("a={}", "x".repeat(FORM_MAX_BYTES));
        assert!(read("application/x-www-form-urlencoded", large).await.is_none());
    }
}
