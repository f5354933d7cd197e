//! The marks of a source: what its answers say about the version of the file, and the digest of its first bytes,
//! remembered from the first answer and compared with every later one.

use std::time::Duration;

use reqwest::header::{DATE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// No entity tag in use comes near this length; a longer mark is not remembered.
const VALIDATOR_MAX_BYTES: usize = 1_024;
/// A file that was written less than this before the answer may be written again without a change of its marks:
/// they count whole seconds (RFC 9110, 8.8.2.2).
const SETTLED_SECONDS: i64 = 2;

/// Every mark of an answer, and whether they can be trusted to differ once the file does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Validators {
    /// `ETag`, strong or weak, as the server writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// `Last-Modified`, as the server writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    age: Age,
    /// The SHA-256 of the file's first bytes, where they were read with the answer. It differs where a server has the same
    /// headers for two files.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_bytes: Option<String>,
}

/// How old the file was when it was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Age {
    /// Old enough that another write changes the marks; or the answer has no time of change at all.
    #[default]
    Settled,
    /// It was written within [`SETTLED_SECONDS`], or in the future of the server's own clock.
    Young {
        /// The seconds from the last change to the answer; negative for the future.
        seconds: i64,
    },
    /// There is a time of change, and no time of the answer to compare it with.
    Unknown,
}

impl Validators {
    /// All marks of an answer.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let etag = text(headers, &ETAG).map(str::to_owned);
        let last_modified = text(headers, &LAST_MODIFIED).map(str::to_owned);
        let changed_at = last_modified.as_deref().map(seconds_of);
        let answered_at = text(headers, &DATE).and_then(seconds_of);
        let age = match (changed_at, answered_at) {
            (None, _) => Age::Settled,
            (Some(Some(changed_at)), Some(answered_at)) => match answered_at - changed_at {
                SETTLED_SECONDS.. => Age::Settled,
                seconds => Age::Young { seconds },
            },
            (Some(_), _) => Age::Unknown,
        };
        Self { etag, last_modified, age, first_bytes: None }
    }

    /// With the first bytes of the body, as many as are compared, or all there are.
    pub fn with_first_bytes(self, bytes: &[u8]) -> Self {
        let text = Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self { first_bytes: Some(text), ..self }
    }

    /// Reads what [`to_stored`](Self::to_stored) gave.
    pub fn from_stored(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// As it is kept with a job.
    pub fn to_stored(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The marks of a job that an earlier version of the service looked at: it kept one validator.
    pub fn from_single_validator(text: &str) -> Self {
        let text = Some(text.to_owned());
        if text.as_ref().is_some_and(|text| text.starts_with('"')) {
            Self { etag: text, ..Self::default() }
        } else {
            Self { last_modified: text, ..Self::default() }
        }
    }

    /// The strongest mark that proves, in `If-Range`, that the file is the same: a strong tag, else a time of change. None
    /// for a file that was written too recently.
    pub fn validator(&self) -> Option<&str> {
        match self.age {
            Age::Settled => self.strong_etag().or(self.last_modified.as_deref()),
            Age::Unknown => self.strong_etag(),
            Age::Young { .. } => None,
        }
    }

    /// The tag for `If-Match`, which compares strongly.
    pub(super) fn strong_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|tag| tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"'))
    }

    /// Whether a mark that both have in their headers differs. A tag is compared without its weakness: that may come and go for one file.
    pub fn differs_from(&self, other: &Self) -> bool {
        let differs = |one: Option<&str>, other: Option<&str>| one.zip(other).is_some_and(|(a, b)| a != b);
        differs(self.opaque_tag(), other.opaque_tag())
            || differs(self.last_modified.as_deref(), other.last_modified.as_deref())
    }

    /// Whether the first bytes are others, if they are known of both.
    pub fn first_bytes_differ_from(&self, other: &Self) -> bool {
        self.first_bytes.as_deref().zip(other.first_bytes.as_deref()).is_some_and(|(a, b)| a != b)
    }

    /// Whether there is a mark that both have in their headers.
    pub(super) fn shares_any_with(&self, other: &Self) -> bool {
        (self.etag.is_some() && other.etag.is_some())
            || (self.last_modified.is_some() && other.last_modified.is_some())
    }

    /// How long to wait until the file is old enough; `None` if it is, or if waiting does not help.
    pub fn settles_in(&self) -> Option<Duration> {
        match self.age {
            Age::Young { seconds } if seconds > -SETTLED_SECONDS => {
                let missing = u64::try_from(SETTLED_SECONDS - seconds).unwrap_or(0);
                Some(Duration::from_secs(missing))
            }
            _ => None,
        }
    }

    /// Whether the file was written so recently that equal marks do not prove that it is the same.
    pub fn is_recent(&self) -> bool {
        matches!(self.age, Age::Young { .. })
    }

    /// The tag alone.
    pub(super) fn without_time(&self) -> Self {
        Self { last_modified: None, ..self.clone() }
    }

    fn opaque_tag(&self) -> Option<&str> {
        self.etag.as_deref().map(|tag| tag.strip_prefix("W/").unwrap_or(tag))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty() && text.len() <= VALIDATOR_MAX_BYTES).then_some(text)
}

/// Seconds since 1970.
fn seconds_of(text: &str) -> Option<i64> {
    let at = httpdate::parse_http_date(text).ok()?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    const AT_0: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AT_1: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const AT_2: &str = "Sun, 06 Nov 1994 08:49:39 GMT";
    const STRONG: &str = "\"a\"";
    const WEAK: &str = "W/\"a\"";

    fn validators(lines: &[(HeaderName, &'static str)]) -> Validators {
        Validators::from_headers(
            &lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect(),
        )
    }

    #[test]
    fn a_validator_is_a_strong_tag_or_a_time_of_a_file_that_is_two_seconds_old() {
        for (lines, expected) in [
            (vec![(ETAG, STRONG), (LAST_MODIFIED, AT_0), (DATE, AT_2)], Some(STRONG)),
            (vec![(ETAG, STRONG), (LAST_MODIFIED, AT_1), (DATE, AT_2)], None),
            (vec![(ETAG, STRONG), (LAST_MODIFIED, AT_2), (DATE, AT_2)], None),
            (vec![(ETAG, STRONG), (LAST_MODIFIED, AT_2), (DATE, AT_0)], None),
            (vec![(ETAG, STRONG), (LAST_MODIFIED, AT_0)], Some(STRONG)),
            (vec![(ETAG, STRONG)], Some(STRONG)),
            (vec![(ETAG, WEAK), (LAST_MODIFIED, AT_0), (DATE, AT_2)], Some(AT_0)),
            (vec![(ETAG, WEAK)], None),
            (vec![(ETAG, "a"), (LAST_MODIFIED, AT_0), (DATE, AT_2)], Some(AT_0)),
            (vec![(LAST_MODIFIED, AT_1), (DATE, AT_2)], None),
            (vec![(LAST_MODIFIED, AT_0)], None),
            (vec![(LAST_MODIFIED, "yesterday"), (DATE, AT_2)], None),
            (vec![], None),
        ] {
            assert_eq!(validators(&lines).validator(), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_young_file_is_waited_for_and_one_of_the_future_is_not() {
        let settles =
            |changed, answered| validators(&[(LAST_MODIFIED, changed), (DATE, answered)]).settles_in();
        assert_eq!(settles(AT_0, AT_2), None);
        assert_eq!(settles(AT_1, AT_2), Some(Duration::from_secs(1)));
        assert_eq!(settles(AT_2, AT_2), Some(Duration::from_secs(2)));
        assert_eq!(settles(AT_2, AT_1), Some(Duration::from_secs(3)));
        assert_eq!(settles(AT_2, AT_0), None, "the two clocks differ: waiting for one helps nothing");
        assert!(validators(&[(LAST_MODIFIED, AT_2), (DATE, AT_0)]).is_recent());
    }

    #[test]
    fn any_mark_that_is_there_again_and_differs_is_a_change() {
        let first = [(ETAG, STRONG), (LAST_MODIFIED, AT_0), (DATE, AT_2)];
        for (lines, changed, shared) in [
            (vec![(ETAG, STRONG), (LAST_MODIFIED, AT_0)], false, true),
            (vec![(ETAG, "\"b\""), (LAST_MODIFIED, AT_0)], true, true),
            (vec![(ETAG, STRONG), (LAST_MODIFIED, AT_1)], true, true),
            (vec![(ETAG, WEAK)], false, true),
            (vec![(ETAG, "W/\"b\"")], true, true),
            (vec![(LAST_MODIFIED, AT_1)], true, true),
            (vec![], false, false),
        ] {
            let (first, later) = (validators(&first), validators(&lines));
            assert_eq!(first.differs_from(&later), changed, "{lines:?}");
            assert_eq!(first.shares_any_with(&later), shared, "{lines:?}");
        }
        // A difference of half a second shows in a weak tag alone.
        let (one, other) = (validators(&[(ETAG, "W/\"5-18c1\"")]), validators(&[(ETAG, "W/\"5-18c2\"")]));
        assert!(one.differs_from(&other));
    }

    #[test]
    fn a_mark_that_is_too_long_or_no_text_is_not_remembered() {
        let long = format!("\"{}\"", "a".repeat(VALIDATOR_MAX_BYTES));
        let headers = HeaderMap::from_iter([
            (ETAG, HeaderValue::from_str(&long).unwrap()),
            (LAST_MODIFIED, HeaderValue::from_bytes(b"\xff").unwrap()),
        ]);
        assert_eq!(Validators::from_headers(&headers), Validators::default());
    }

    #[test]
    fn first_bytes_differ_only_if_they_are_known_of_both() {
        let read = |bytes: &[u8]| validators(&[(ETAG, STRONG)]).with_first_bytes(bytes);
        assert!(read(b"a").first_bytes_differ_from(&read(b"b")));
        assert!(!read(b"a").first_bytes_differ_from(&read(b"a")));
        assert!(!read(b"a").first_bytes_differ_from(&validators(&[(ETAG, STRONG)])));
        assert!(!read(b"a").differs_from(&read(b"b")), "the headers are the same");
    }

    #[test]
    fn marks_that_an_earlier_version_kept_are_read() {
        let kept = r#"{"etag":"\"a\"","age":"settled"}"#;
        assert_eq!(Validators::from_stored(kept), Some(validators(&[(ETAG, STRONG)])));
        assert_eq!(validators(&[(ETAG, STRONG)]).to_stored(), kept);
    }

    #[test]
    fn what_an_earlier_version_kept_is_one_mark() {
        assert_eq!(Validators::from_single_validator(STRONG), validators(&[(ETAG, STRONG)]));
        assert_eq!(Validators::from_single_validator(AT_0).validator(), Some(AT_0));
    }

    fn any_marks() -> impl Strategy<Value = Validators> {
        let text = || prop::option::of(prop::sample::select(vec![STRONG, WEAK, "\"b\"", "b", AT_0, AT_1]));
        let age = prop_oneof![
            Just(Age::Settled),
            Just(Age::Unknown),
            (-9..2_i64).prop_map(|seconds| Age::Young { seconds })
        ];
        let first_bytes = prop::option::of(any::<u8>());
        (text(), text(), age, first_bytes).prop_map(|(etag, last_modified, age, first_bytes)| {
            let first_bytes = first_bytes.map(|byte| byte.to_string());
            let [etag, last_modified] = [etag, last_modified].map(|text| text.map(str::to_owned));
            Validators { etag, last_modified, age, first_bytes }
        })
    }

    proptest! {
        #[test]
        fn marks_are_read_back_as_they_were_kept(validators in any_marks()) {
            prop_assert_eq!(Validators::from_stored(&validators.to_stored()), Some(validators));
        }

        #[test]
        fn a_change_is_seen_from_both_sides_and_never_without_a_shared_mark(one in any_marks(), other in any_marks()) {
            prop_assert_eq!(one.differs_from(&other), other.differs_from(&one));
            prop_assert!(!one.differs_from(&one));
            prop_assert!(!one.differs_from(&other) || one.shares_any_with(&other));
        }
    }
}
