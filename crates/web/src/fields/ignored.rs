//! The names of ignored fields, and the header that reports them.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

/// Names the ignored fields of a body.
pub(crate) const IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-ignored-fields");
/// How many ignored fields the header names.
pub(super) const NAMED_MAX: usize = 20;

/// Names of ignored fields, safe to echo. Keeps one more than are shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct IgnoredFields(Vec<String>);

impl IgnoredFields {
    /// Adds a field by its path.
    pub(super) fn add(&mut self, prefix: &str, name: &str) {
        if self.0.len() <= NAMED_MAX {
            self.0.push(format!("{prefix}{name}"));
        }
    }

    /// Adds the names of another object.
    pub(super) fn append(&mut self, other: Self) {
        for path in other.0 {
            self.add("", &path);
        }
    }

    /// Adds the header to a response.
    pub(crate) fn report(&self, response: &mut Response) {
        // Names are plain ASCII, so they are valid in a header.
        if let Some(Ok(value)) = self.header_text().as_deref().map(HeaderValue::from_str) {
            response.headers_mut().insert(IGNORED_FIELDS, value);
        }
    }

    /// The header's value; `None` if there are no names.
    pub(crate) fn header_text(&self) -> Option<String> {
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
