//! Checks the `Host` header. If a proxy interpreted it differently, one request could be treated as two.

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Version};

use crate::error::Problem;

/// RFC 9112, section 3.2: HTTP/1.1 requires exactly one `Host`, no version may have two, and it must be well-formed.
pub(crate) fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(HOST).iter();
    let invalid = |errors| Err(Problem::invalid_header("Host", errors));
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => invalid("must be given once"),
        (Some(value), None) if !is_host(value) => {
            invalid("must be a host name or address, with or without a port")
        }
        (None, _) if version == Version::HTTP_11 => invalid("is required"),
        _ => Ok(()),
    }
}

fn is_host(value: &HeaderValue) -> bool {
    let text = value.as_bytes();
    // It is empty if the target has no authority. User information is not allowed.
    text.is_empty() || (!text.contains(&b'@') && Authority::try_from(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(version: Version, hosts: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        check_host(version, &headers).err().map(|problem| problem.fields[0].errors.clone())
    }

    #[test]
    fn exactly_one_well_formed_host_is_required() {
        let hosts =
            ["a.example", "a.example:8080", "127.0.0.1:80", "[::1]:80", "a_b.example", "LOCALHOST", ""];
        for host in hosts {
            for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
                assert_eq!(invalid(version, &[host]), None, "{host}");
            }
        }
        assert_eq!(invalid(Version::HTTP_11, &[]).unwrap(), "is required");
        assert_eq!(invalid(Version::HTTP_10, &[]), None);
        assert_eq!(invalid(Version::HTTP_2, &[]), None, "it has :authority");
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(invalid(version, &["a", "a"]).unwrap(), "must be given once");
            for host in ["a, b", "a b", "a/b", "http://a", "user@a", "a:b:c", "a?b", "a#b"] {
                assert!(invalid(version, &[host]).unwrap().starts_with("must be a host name"), "{host}");
            }
        }
    }
}
