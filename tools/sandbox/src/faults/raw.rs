//! Responses that the HTTP library cannot write, serialized by hand.

use axum::body::Bytes;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt as _;

/// Bytes with which no HTTP response begins.
pub(super) const GARBAGE: &[u8] = b"\x16\x03\x01\x00\xff\xfe this is not HTTP \x00\r\n\x80\x81\x82\r\n\r\n";

/// An extension of a response that is written in an unusual format and closes its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawFormat {
    /// The case of the header names.
    Names(Style),
    /// The difference between the Content-Length and the actual length.
    Length(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `content-type`
    Lower,
    /// `CONTENT-TYPE`
    Upper,
    /// `Content-Type`
    Title,
    /// `cOnTeNt-tYpE`
    Mixed,
}

impl Style {
    pub(super) const ALL: [(&'static str, Self); 4] =
        [("lower", Self::Lower), ("upper", Self::Upper), ("title", Self::Title), ("mixed", Self::Mixed)];

    /// A header's name in this style.
    fn write(self, name: &HeaderName) -> String {
        let name = name.as_str();
        match self {
            Self::Lower => name.to_owned(),
            Self::Upper => name.to_ascii_uppercase(),
            Self::Title => {
                let mut at_start = true;
                let raise = |character: char| {
                    let raised = if at_start { character.to_ascii_uppercase() } else { character };
                    at_start = character == '-';
                    raised
                };
                name.chars().map(raise).collect()
            }
            Self::Mixed => {
                let mut is_high = true;
                let alternate = |character: char| {
                    is_high = !is_high;
                    if is_high { character.to_ascii_uppercase() } else { character }
                };
                name.chars().map(alternate).collect()
            }
        }
    }
}

/// The bytes of a response to a request of this method.
pub(crate) async fn render(response: Response, raw_format: RawFormat, method: &Method) -> Bytes {
    let (mut parts, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let may_have_body = parts.status != StatusCode::NO_CONTENT && parts.status != StatusCode::NOT_MODIFIED;
    let (style, by) = match raw_format {
        RawFormat::Names(style) => (style, 0),
        RawFormat::Length(by) => (Style::Lower, by),
    };
    let content_length =
        parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    // The response to a HEAD has a Content-Length but no body.
    let length = content_length.unwrap_or(body.len() as u64).saturating_add_signed(by);
    if may_have_body || by != 0 {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    } else {
        parts.headers.remove(CONTENT_LENGTH);
    }
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let reason = parts.status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", parts.status.as_str()).into_bytes();
    for (name, value) in &parts.headers {
        bytes.extend_from_slice(style.write(name).as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    if may_have_body && *method != Method::HEAD {
        bytes.extend_from_slice(&body);
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use axum::http::header::CONTENT_TYPE;

    use super::*;

    #[test]
    fn a_name_is_written_in_each_style() {
        let written = Style::ALL.map(|(_, style)| style.write(&CONTENT_TYPE));
        assert_eq!(written, ["content-type", "CONTENT-TYPE", "Content-Type", "cOnTeNt-tYpE"]);
    }
}
