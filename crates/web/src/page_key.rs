//! Encodes and decodes page keys: base64url, written with padding and read with or without it.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::Problem;
use crate::query::Query;

/// Written with padding; read with or without it.
const PAGE_KEY_TEXT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The page key of the sample in the documentation. Clients may send it for the first page.
const EMPTY_PAGE_KEY: &[u8] = br#"{"lastEvaluatedKey":{}}"#;

/// A page key as received.
pub(crate) struct PageKey(Option<String>);

impl PageKey {
    /// The `nextPageKey` of a query.
    pub(crate) fn from_query(query: &mut Query) -> Self {
        Self(query.optional("nextPageKey"))
    }

    /// The position, according to `parse`; `None` for the first page.
    pub(crate) fn decode<T>(self, parse: impl FnOnce(&[u8]) -> Option<T>) -> Result<Option<T>, Problem> {
        let invalid = || {
            let errors = "must be the `nextPageKey` of an earlier page of this account, unchanged";
            Problem::invalid_page_key("nextPageKey", errors)
        };
        match self.0.map(|text| PAGE_KEY_TEXT.decode(text)) {
            None => Ok(None),
            Some(Ok(bytes)) if bytes.is_empty() || bytes == EMPTY_PAGE_KEY => Ok(None),
            Some(Ok(bytes)) => parse(&bytes).ok_or_else(invalid).map(Some),
            Some(Err(_)) => Err(invalid()),
        }
    }
}

/// The bytes of a page key as received; `None` if it is malformed.
pub(crate) fn page_key_bytes(text: &str) -> Option<Vec<u8>> {
    PAGE_KEY_TEXT.decode(text).ok()
}

/// A page key as sent to the client.
pub(crate) fn page_key_text(bytes: &[u8]) -> String {
    PAGE_KEY_TEXT.encode(bytes)
}
