//! The validators of a source: what responses say about the version of the file, and a digest of its first bytes. Taken
//! from the first response and compared with every later one.

use std::time::Duration;

use reqwest::header::{DATE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Far longer than any `ETag` in use. Longer values are ignored.
const VALIDATOR_MAX_BYTES: usize = 1_024;
/// A file modified less than this before the response may be modified again without a change of its validators, which
/// have a resolution of one second (RFC 9110, 8.8.2.2).
const SETTLED_SECONDS: i64 = 2;

/// All validators of a response, and whether they are certain to change with the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Validators {
    /// `ETag`, strong or weak, as received.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// `Last-Modified`, as received.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    age: Age,
    /// SHA-256 of the file's first bytes, if they were read with the response. Detects a change if a server sends the
    /// same headers for two files.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_bytes: Option<String>,
}

/// Age of the file at the time of the response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Age {
    /// Old enough that another write changes the validators, or there is no modification time.
    #[default]
    Settled,
    /// Modified within [`SETTLED_SECONDS`], or in the future according to the server's clock.
    #[serde(rename = "young")]
    Recent {
        /// Seconds from the modification to the response; negative if in the future.
        seconds: i64,
    },
    /// There is a modification time, but no `Date` to compare it with.
    Unknown,
}

impl Validators {
    /// The validators in response headers.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let etag = text(headers, &ETAG).map(str::to_owned);
        let last_modified = text(headers, &LAST_MODIFIED).map(str::to_owned);
        let changed_at = last_modified.as_deref().map(seconds_of);
        let answered_at = text(headers, &DATE).and_then(seconds_of);
        let age = match (changed_at, answered_at) {
            (None, _) => Age::Settled,
            (Some(Some(changed_at)), Some(answered_at)) => match answered_at - changed_at {
                SETTLED_SECONDS.. => Age::Settled,
                seconds => Age::Recent { seconds },
            },
            (Some(_), _) => Age::Unknown,
        };
        Self { etag, last_modified, age, first_bytes: None }
    }

    /// Adds a digest of the first bytes of the body: as many as are compared, or all there are.
    #[must_use]
    pub fn with_first_bytes(self, bytes: &[u8]) -> Self {
        let text = Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self { first_bytes: Some(text), ..self }
    }

    /// Parses the output of [`to_stored`](Self::to_stored).
    pub fn from_stored(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The format stored with a job.
    pub fn to_stored(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// For jobs of an earlier version of the service, which stored one validator.
    pub fn from_single_validator(text: &str) -> Self {
        let text = Some(text.to_owned());
        if text.as_ref().is_some_and(|text| text.starts_with('"')) {
            Self { etag: text, ..Self::default() }
        } else {
            Self { last_modified: text, ..Self::default() }
        }
    }

    /// The strongest validator for `If-Range`: a strong `ETag`, else `Last-Modified`. `None` for a file that was
    /// modified too recently.
    pub fn validator(&self) -> Option<&str> {
        match self.age {
            Age::Settled => self.strong_etag().or(self.last_modified.as_deref()),
            Age::Unknown => self.strong_etag(),
            Age::Recent { .. } => None,
        }
    }

    /// The `ETag` for `If-Match`, which needs a strong one.
    pub(super) fn strong_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|tag| tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"'))
    }

    /// Whether a header validator that both have differs. `ETag`s are compared without `W/`, which may come and go for
    /// the same file.
    pub fn differs_from(&self, other: &Self) -> bool {
        let differs = |one: Option<&str>, other: Option<&str>| one.zip(other).is_some_and(|(a, b)| a != b);
        differs(self.opaque_tag(), other.opaque_tag())
            || differs(self.last_modified.as_deref(), other.last_modified.as_deref())
    }

    /// Whether the first bytes of both are known and differ.
    pub fn first_bytes_differ_from(&self, other: &Self) -> bool {
        self.first_bytes.as_deref().zip(other.first_bytes.as_deref()).is_some_and(|(a, b)| a != b)
    }

    /// Whether both have the same kind of header validator.
    pub(super) fn shares_any_with(&self, other: &Self) -> bool {
        (self.etag.is_some() && other.etag.is_some())
            || (self.last_modified.is_some() && other.last_modified.is_some())
    }

    /// How long to wait until the file is old enough; `None` if it is, or if waiting does not help.
    pub fn settles_in(&self) -> Option<Duration> {
        match self.age {
            Age::Recent { seconds } if seconds > -SETTLED_SECONDS => {
                let missing = u64::try_from(SETTLED_SECONDS - seconds).unwrap_or(0);
                Some(Duration::from_secs(missing))
            }
            _ => None,
        }
    }

    /// Whether the file was modified so recently that equal validators prove nothing.
    pub fn is_recent(&self) -> bool {
        matches!(self.age, Age::Recent { .. })
    }

    /// Without `Last-Modified`.
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
    fn the_validator_is_a_strong_etag_or_a_date_at_least_two_seconds_old() {
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
    fn a_recent_file_is_awaited_and_one_from_the_future_is_not() {
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
    fn any_shared_validator_that_differs_is_a_change() {
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
        // Only a weak tag shows a change within half a second.
        let (one, other) = (validators(&[(ETAG, "W/\"5-18c1\"")]), validators(&[(ETAG, "W/\"5-18c2\"")]));
        assert!(one.differs_from(&other));
    }

    #[test]
    fn a_validator_that_is_too_long_or_not_text_is_ignored() {
        let long = format!("\"{}\"", "a".repeat(VALIDATOR_MAX_BYTES));
        let headers = HeaderMap::from_iter([
            (ETAG, HeaderValue::from_str(&long).unwrap()),
            (LAST_MODIFIED, HeaderValue::from_bytes(b"\xff").unwrap()),
        ]);
        assert_eq!(Validators::from_headers(&headers), Validators::default());
    }

    #[test]
    fn first_bytes_differ_only_if_both_are_known() {
        let read = |bytes: &[u8]| validators(&[(ETAG, STRONG)]).with_first_bytes(bytes);
        assert!(read(b"a").first_bytes_differ_from(&read(b"b")));
        assert!(!read(b"a").first_bytes_differ_from(&read(b"a")));
        assert!(!read(b"a").first_bytes_differ_from(&validators(&[(ETAG, STRONG)])));
        assert!(!read(b"a").differs_from(&read(b"b")), "the headers are the same");
    }

    #[test]
    fn validators_stored_by_an_earlier_version_can_be_parsed() {
        let kept = r#"{"etag":"\"a\"","age":"settled"}"#;
        assert_eq!(Validators::from_stored(kept), Some(validators(&[(ETAG, STRONG)])));
        assert_eq!(validators(&[(ETAG, STRONG)]).to_stored(), kept);
        let recent = r#"{"age":{"young":{"seconds":1}}}"#;
        let age = Age::Recent { seconds: 1 };
        assert_eq!(Validators::from_stored(recent), Some(Validators { age, ..Validators::default() }));
        assert_eq!(Validators { age, ..Validators::default() }.to_stored(), recent);
    }

    #[test]
    fn a_single_stored_validator_can_be_parsed() {
        assert_eq!(Validators::from_single_validator(STRONG), validators(&[(ETAG, STRONG)]));
        assert_eq!(Validators::from_single_validator(AT_0).validator(), Some(AT_0));
    }

    fn any_marks() -> impl Strategy<Value = Validators> {
        let text = || prop::option::of(prop::sample::select(vec![STRONG, WEAK, "\"b\"", "b", AT_0, AT_1]));
        let age = prop_oneof![
            Just(Age::Settled),
            Just(Age::Unknown),
            (-9..2_i64).prop_map(|seconds| Age::Recent { seconds })
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
        fn validators_survive_a_round_trip(validators in any_marks()) {
            prop_assert_eq!(Validators::from_stored(&validators.to_stored()), Some(validators));
        }

        #[test]
        fn a_difference_is_symmetric_and_needs_a_shared_validator(one in any_marks(), other in any_marks()) {
            prop_assert_eq!(one.differs_from(&other), other.differs_from(&one));
            prop_assert!(!one.differs_from(&one));
            prop_assert!(!one.differs_from(&other) || one.shares_any_with(&other));
        }
    }
}
