//! What tells whether a source is still the file that it was.

use reqwest::header::{DATE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED};

/// No entity tag in use comes near this; a longer one is as good as none, and is not kept.
const VALIDATOR_MAX_BYTES: usize = 1_024;

/// A strong entity tag with its quotes, or an instant of last change as the server writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator(String);

impl Validator {
    /// Reads what [`as_str`](Self::as_str) gave.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let is_tag = text.len() >= 2 && text.starts_with('"') && text.ends_with('"');
        let is_instant = text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.starts_with("W/");
        let is_short = text.len() <= VALIDATOR_MAX_BYTES;
        (is_short && is_plain && (is_tag || is_instant)).then(|| Self(text.to_owned()))
    }

    /// As it stands in `If-Range`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The strongest validator of an answer. A weak tag does not speak of bytes; and an instant of change says nothing
    /// as long as it is now, since another change may follow in the same second (RFC 9110, 8.8.2.2).
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let changed =
            || text(headers, &LAST_MODIFIED).filter(|at| text(headers, &DATE).is_some_and(|now| now != *at));
        let tag = text(headers, &ETAG).filter(|tag| tag.starts_with('"'));
        tag.and_then(Self::parse).or_else(|| changed().and_then(Self::parse))
    }

    /// Whether an answer is of the same file; `None` if it does not say.
    pub(super) fn holds_in(&self, headers: &HeaderMap) -> Option<bool> {
        let name = if self.is_tag() { &ETAG } else { &LAST_MODIFIED };
        headers.contains_key(name).then(|| text(headers, name) == Some(self.as_str()))
    }

    pub(super) fn is_tag(&self) -> bool {
        self.0.starts_with('"')
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NOW: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

    fn headers(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_strong_tag_counts_before_an_old_instant_and_a_weak_tag_never() {
        for (lines, expected) in [
            (vec![(ETAG, "\"a\""), (LAST_MODIFIED, THEN), (DATE, NOW)], Some("\"a\"")),
            (vec![(ETAG, "W/\"a\""), (LAST_MODIFIED, THEN), (DATE, NOW)], Some(THEN)),
            (vec![(ETAG, "a"), (LAST_MODIFIED, THEN), (DATE, NOW)], Some(THEN)),
            (vec![(ETAG, "W/\"a\"")], None),
            (vec![(LAST_MODIFIED, NOW), (DATE, NOW)], None),
            (vec![(LAST_MODIFIED, THEN)], None),
            (vec![], None),
        ] {
            let found = Validator::of(&headers(&lines));
            assert_eq!(found.as_ref().map(Validator::as_str), expected, "{lines:?}");
            assert_eq!(found.as_ref().and_then(|v| Validator::parse(v.as_str())), found);
        }
    }

    #[test]
    fn a_text_that_could_not_stand_in_a_header_is_no_validator() {
        let long = format!("\"{}\"", "a".repeat(VALIDATOR_MAX_BYTES));
        for text in ["", "\"", "\"a", "W/\"a\"", "\"a\r\nx: y\"", "\"\u{fc}\"", "1994", &long] {
            assert_eq!(Validator::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_validator_holds_only_in_an_answer_that_says_so() {
        let tag = Validator::parse("\"a\"").unwrap();
        assert_eq!(tag.holds_in(&headers(&[(ETAG, "\"a\"")])), Some(true));
        assert_eq!(tag.holds_in(&headers(&[(ETAG, "\"b\"")])), Some(false));
        assert_eq!(tag.holds_in(&headers(&[(ETAG, "W/\"a\"")])), Some(false));
        assert_eq!(tag.holds_in(&headers(&[(LAST_MODIFIED, THEN)])), None);
    }
}
