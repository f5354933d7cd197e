//! Headers that a user gives for a source, such as `Authorization` or `Cookie`.

use std::fmt;

use bytes::Bytes;
use domain::secret::Secret;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

/// Limit for the number of headers.
const HEADERS_MAX: usize = 10;
/// Limit for a name, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Limit for a value, in bytes.
const VALUE_BYTES_MAX: usize = 4_096;

/// Names that are not allowed. The first four are what this client needs for reading a file reliably. The others
/// concern the connection, a proxy, or a request body, which there is none of. `User-Agent` is allowed: some servers
/// answer only to certain ones.
const NOT_ALLOWED: [&str; 13] = [
    "range",
    "accept-encoding",
    "expect",
    "host",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "via",
    "max-forwards",
];
/// The same for the beginnings of names: conditions, proxies, and bodies.
const NOT_ALLOWED_BEGINNINGS: [&str; 3] = ["if-", "proxy-", "content-"];

/// Headers for the requests to a source. Their values are secrets. Empty by default.
#[derive(Clone, Default)]
pub struct RequestHeaders(Vec<(HeaderName, Secret)>);

/// Why a header is not accepted. Never contains a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct RequestHeaderError {
    /// Its position, from 0.
    pub position: usize,
    /// Its name in lower case, if it is a name.
    pub name: Option<String>,
    /// What is wrong.
    pub problem: RequestHeaderProblem,
}

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestHeaderProblem {
    /// It is one of more than ten.
    #[error("at most {HEADERS_MAX} headers are allowed")]
    TooMany,
    /// Its name is not a token (RFC 9110, section 5.6.2), or too long.
    #[error("must be a header name of at most {NAME_BYTES_MAX} letters, digits and hyphens")]
    NotAName,
    /// The service sets this header, or it concerns the connection.
    #[error("is set by this service and cannot be chosen")]
    NotAllowed,
    /// Its name is there already.
    #[error("is given twice")]
    Repeated,
    /// Its value is too long.
    #[error("must have a value of at most {VALUE_BYTES_MAX} bytes")]
    ValueTooLong,
    /// Its value has control characters or is not ASCII.
    #[error("must have a value of visible ASCII characters, spaces and tabs")]
    InvalidValue,
}

impl RequestHeaders {
    /// Parses pairs of a name and a value. All errors are returned.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<RequestHeaderError>> {
        let (mut parsed, mut errors) = (Self::default(), Vec::new());
        for (position, (name, value)) in pairs.into_iter().enumerate() {
            let name = name_of(name);
            let problem = if position >= HEADERS_MAX {
                Some(RequestHeaderProblem::TooMany)
            } else {
                parsed.problem(name.as_ref(), value)
            };
            match (problem, name) {
                (None, Some(name)) => parsed.0.push((name, Secret::new(value.to_owned()))),
                (problem, name) => errors.push(RequestHeaderError {
                    position,
                    name: name.map(|name| name.as_str().to_owned()),
                    problem: problem.unwrap_or(RequestHeaderProblem::NotAName),
                }),
            }
            if position >= HEADERS_MAX {
                break;
            }
        }
        if errors.is_empty() { Ok(parsed) } else { Err(errors) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names in lower case, for display.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Names in lower case and values, for sealing. `parse` accepts them again. The caller is responsible for where the
    /// values go.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose()))
    }

    /// Adds them to the headers of a request.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            let bytes = Bytes::from_owner(WipedValue(value.clone()));
            if let Ok(mut value) = HeaderValue::from_maybe_shared(bytes) {
                value.set_sensitive(true);
                headers.insert(name.clone(), value);
            }
        }
    }

    fn problem(&self, name: Option<&HeaderName>, value: &str) -> Option<RequestHeaderProblem> {
        let Some(name) = name else { return Some(RequestHeaderProblem::NotAName) };
        let is_visible = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
        if !is_allowed(name.as_str()) {
            Some(RequestHeaderProblem::NotAllowed)
        } else if self.0.iter().any(|(other, _)| other == name) {
            Some(RequestHeaderProblem::Repeated)
        } else if value.len() > VALUE_BYTES_MAX {
            Some(RequestHeaderProblem::ValueTooLong)
        } else if !value.bytes().all(is_visible) {
            Some(RequestHeaderProblem::InvalidValue)
        } else {
            None
        }
    }
}

impl fmt::Debug for RequestHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<request headers>")
    }
}

/// A copy of a value for one request, wiped with the request.
struct WipedValue(Secret);

impl AsRef<[u8]> for WipedValue {
    fn as_ref(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

fn name_of(text: &str) -> Option<HeaderName> {
    HeaderName::try_from(text).ok().filter(|_| text.len() <= NAME_BYTES_MAX)
}

/// Whether a user may choose this header; `name` is in lower case.
fn is_allowed(name: &str) -> bool {
    !NOT_ALLOWED.contains(&name) && !NOT_ALLOWED_BEGINNINGS.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(name: &str, value: &str) -> Option<RequestHeaderProblem> {
        RequestHeaders::parse([(name, value)]).err().map(|errors| errors[0].problem)
    }

    #[test]
    fn headers_are_parsed_and_returned_for_sealing() {
        let longest = "x".repeat(VALUE_BYTES_MAX);
        let given = [
            ("Authorization", "Bearer canary"),
            ("X-Api-Key", " a\tb~"),
            ("User-Agent", ""),
            ("cookie", &longest),
        ];
        let headers = RequestHeaders::parse(given).unwrap();
        let names = ["authorization", "x-api-key", "user-agent", "cookie"];
        assert!(headers.names().eq(names));
        assert!(headers.pairs().eq(names.into_iter().zip(given.map(|(_, value)| value))));
        assert!(RequestHeaders::parse(headers.pairs()).unwrap().pairs().eq(headers.pairs()));
        assert!(!headers.is_empty() && RequestHeaders::parse([]).unwrap().is_empty());
        assert_eq!(format!("{headers:?}"), "<request headers>");
        let mut added = HeaderMap::new();
        headers.add_to(&mut added);
        assert_eq!(added.len(), 4);
        assert_eq!(added["authorization"], "Bearer canary");
        assert!(!format!("{added:?}").contains("canary"));
    }

    #[test]
    fn each_problem_is_named() {
        use RequestHeaderProblem::{InvalidValue, NotAName, NotAllowed, ValueTooLong};
        for name in ["", "a b", "a:b", "a\r\nb", "b\u{fc}cher", "(x)", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert_eq!(problem(name, "x"), Some(NotAName), "{name}");
        }
        for name in [
            "Host",
            "RANGE",
            "If-Range",
            "if-none-match",
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Content-Length",
            "Content-Type",
            "Expect",
            "Accept-Encoding",
        ] {
            assert_eq!(problem(name, "x"), Some(NotAllowed), "{name}");
        }
        for name in
            ["Accept", "Accept-Language", "Referer", "Origin", "Iff", "X-Range", "Proxying", "Contents"]
        {
            assert_eq!(problem(name, "x"), None, "{name}");
        }
        for value in ["a\nb", "a\r", "\0", "\u{7f}", "\u{fc}"] {
            assert_eq!(problem("x", value), Some(InvalidValue), "{value:?}");
        }
        assert_eq!(problem("x", &"x".repeat(VALUE_BYTES_MAX + 1)), Some(ValueTooLong));
    }

    #[test]
    fn all_errors_are_returned_without_values() {
        let errors =
            RequestHeaders::parse([("Host", "canary"), ("a", "canary"), ("A", "canary"), ("b\n", "canary")]);
        let errors = errors.unwrap_err();
        let found: Vec<_> =
            errors.iter().map(|error| (error.position, error.name.as_deref(), error.to_string())).collect();
        assert_eq!(
            found,
            [
                (0, Some("host"), "is set by this service and cannot be chosen".to_owned()),
                (2, Some("a"), "is given twice".to_owned()),
                (3, None, RequestHeaderProblem::NotAName.to_string()),
            ]
        );
        assert!(!format!("{errors:?}").contains("canary"));
        let names: Vec<String> = (0..30).map(|number| format!("x-{number}")).collect();
        let pairs = |count: usize| names.iter().take(count).map(|name| (name.as_str(), "x"));
        assert!(RequestHeaders::parse(pairs(HEADERS_MAX)).is_ok());
        let errors = RequestHeaders::parse(pairs(30)).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!((errors[0].position, errors[0].problem), (HEADERS_MAX, RequestHeaderProblem::TooMany));
    }
}
