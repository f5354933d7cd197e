//! The names of fields that were ignored, and the header that reports them.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

/// Names the fields of a body that were ignored.
pub(crate) const IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-ignored-fields");
/// How many ignored fields are named in the header.
pub(super) const NAMED_MAX: usize = 20;

/// Names of the fields that were ignored, safe to show; no more of them than are shown, and one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct IgnoredFields(Vec<String>);

impl IgnoredFields {
    /// Adds a field by its path.
    pub(super) fn add(&mut self, prefix: &str, name: &str) {
        if self.0.len() <= NAMED_MAX {
            self.0.push(format!("{prefix}{name}"));
        }
    }

    /// Adds those of another object.
    pub(super) fn append(&mut self, other: Self) {
        for path in other.0 {
            self.add("", &path);
        }
    }

    /// Names them in the response.
    pub(crate) fn report(&self, response: &mut Response) {
        // Every name is plain ASCII, so that this is always a header's value.
        if let Some(Ok(value)) = self.in_words().as_deref().map(HeaderValue::from_str) {
            response.headers_mut().insert(IGNORED_FIELDS, value);
        }
    }

    /// Their names, for the header; `None` if there are none.
    pub(crate) fn in_words(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut names: Vec<&str> = self.0.iter().take(NAMED_MAX).map(String::as_str).collect();
        if self.0.len() > NAMED_MAX {
            names.push("...");
        }
        Some(names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ignored_fields_make_a_short_header() {
        let mut ignored = IgnoredFields::default();
        (0..500).for_each(|number| ignored.add("", &format!("field{number}")));
        let mut more = IgnoredFields::default();
        more.append(ignored);
        let mut response = Response::default();
        more.report(&mut response);
        let value = response.headers()["x-ignored-fields"].to_str().unwrap();
        assert!(value.starts_with("field0, field1, ") && value.ends_with("field19, ..."), "{value}");
        assert!(value.len() < 300);
    }
}
