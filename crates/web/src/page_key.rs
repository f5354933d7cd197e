//! Page keys as texts: base64url with padding, read with or without it.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::Problem;
use crate::query::Query;

/// How page keys are written: with padding. Read with or without it.
const PAGE_KEY_TEXT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The page key of the documentation's sample, in which the key is empty: clients that were written after it may send
/// it to begin with.
const EMPTY_PAGE_KEY: &[u8] = br#"{"lastEvaluatedKey":{}}"#;

/// A page key as a client gave it.
pub(crate) struct PageKey(Option<String>);

impl PageKey {
    /// The query's `nextPageKey`.
    pub(crate) fn of(query: &mut Query) -> Self {
        Self(query.optional("nextPageKey"))
    }

    /// The place that it names, by the rule of whoever made it; `None` is the first page.
    pub(crate) fn read<T>(self, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<Option<T>, Problem> {
        let invalid = || {
            let errors = "must be the `nextPageKey` of an earlier page of this account, unchanged";
            Problem::faulty_page_key("nextPageKey", errors)
        };
        match self.0.map(|text| PAGE_KEY_TEXT.decode(text)) {
            None => Ok(None),
            Some(Ok(bytes)) if bytes.is_empty() || bytes == EMPTY_PAGE_KEY => Ok(None),
            Some(Ok(bytes)) => read(&bytes).ok_or_else(invalid).map(Some),
            Some(Err(_)) => Err(invalid()),
        }
    }
}

/// A page key as it is shown.
pub(crate) fn page_key_text(bytes: &[u8]) -> String {
    PAGE_KEY_TEXT.encode(bytes)
}
