//! The credentials in the Authorization header, not yet verified.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::state::{fingerprint, redacted};

/// The credentials that a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    Absent,
    /// `Basic`: client credentials.
    Client {
        client_id: String,
        client_secret: String,
    },
    /// `Bearer`, in any case.
    Token(String),
    /// Anything else, for the journal: the scheme if it looks like one, and the rest.
    Nonsense {
        scheme: Option<String>,
        rest: Vec<u8>,
    },
}

impl Credentials {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let Some(header) = headers.get(AUTHORIZATION) else { return Self::Absent };
        let bytes = header.as_bytes();
        let (scheme, rest) = match bytes.iter().position(|byte| *byte == b' ') {
            Some(space) => bytes.split_at(space),
            // A secret sent without a scheme must not appear in the journal as a scheme.
            None if bytes.eq_ignore_ascii_case(b"basic") || bytes.eq_ignore_ascii_case(b"bearer") => {
                (bytes, [].as_slice())
            }
            None => return Self::Nonsense { scheme: None, rest: bytes.to_vec() },
        };
        let rest = rest.trim_ascii();
        let read = if scheme.eq_ignore_ascii_case(b"basic") {
            read_client(rest)
        } else if scheme.eq_ignore_ascii_case(b"bearer") {
            str::from_utf8(rest).ok().map(|token| Self::Token(token.to_owned()))
        } else {
            None
        };
        read.unwrap_or_else(|| Self::Nonsense { scheme: presentable(scheme), rest: rest.to_vec() })
    }

    /// The form for the journal: never a secret, and a client identifier only if it is a known one.
    pub(crate) fn to_journal(&self, is_client_id: impl FnOnce(&str) -> bool) -> Value {
        match self {
            Self::Absent => Value::Null,
            Self::Client { client_id, client_secret } => {
                let shown = if is_client_id(client_id) { client_id.clone() } else { redacted(client_id) };
                json!({
                    "scheme": "Basic",
                    "client_id": shown,
                    "fingerprint": fingerprint(client_secret.as_bytes()),
                })
            }
            Self::Token(token) => json!({"scheme": "Bearer", "fingerprint": fingerprint(token.as_bytes())}),
            Self::Nonsense { scheme, rest } => json!({"scheme": scheme, "fingerprint": fingerprint(rest)}),
        }
    }
}

fn read_client(encoded: &[u8]) -> Option<Credentials> {
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (client_id, client_secret) = pair.split_once(':').unwrap_or((&pair, ""));
    Some(Credentials::Client { client_id: client_id.to_owned(), client_secret: client_secret.to_owned() })
}

/// The scheme, if it is short and has letters only.
fn presentable(scheme: &[u8]) -> Option<String> {
    let looks_like_one = scheme.len() <= 12 && scheme.iter().all(u8::is_ascii_alphabetic);
    looks_like_one.then(|| String::from_utf8_lossy(scheme).into_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(value: &[u8]) -> Credentials {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        Credentials::of(&headers)
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert_eq!(read(format!("{scheme} abc").as_bytes()), Credentials::Token("abc".to_owned()));
        }
    }

    #[test]
    fn a_secret_may_contain_a_colon() {
        let header = format!("basic {}", STANDARD.encode("id:se:cret"));
        let expected =
            Credentials::Client { client_id: "id".to_owned(), client_secret: "se:cret".to_owned() };
        assert_eq!(read(header.as_bytes()), expected);
    }

    #[test]
    fn a_secret_without_a_scheme_is_not_shown_as_a_scheme() {
        for value in ["0123456789abcdef", "c3VwZXItc2VjcmV0LXZhbHVl and more"] {
            let shown = read(value.as_bytes()).to_journal(|_| true).to_string();
            assert!(shown.contains(r#""scheme":null"#), "{shown}");
        }
    }
}
