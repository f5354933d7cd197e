//! What writes to API keys have in common, in either engine.

use domain::account::Label;
use domain::api_key::{ApiKeyRow, Creator, Grant, RowMac};
use domain::id::ApiKeyId;
use domain::scope::Scopes;
use domain::time::Timestamp;

/// What `created_by` has for a key that an operator created.
const OPERATOR: &str = "operator";
/// What precedes the name of a person in `created_by`.
const PERSON: &str = "person:";

/// A change of a key: its name, its expiry, or its revocation.
#[derive(Debug, Clone)]
pub struct ApiKeyUpdate {
    /// The MAC of the row that the change is based on.
    pub expected: RowMac,
    /// The row as it becomes.
    pub row: ApiKeyRow,
    /// A key that is added in the same transaction: its successor.
    pub successor: Option<ApiKeyRow>,
    /// Whether another key must be able to manage keys.
    pub other_manager: OtherManager,
}

/// Whether a change of a key needs another active key of the account that has the scope `keys:manage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherManager {
    /// Without one, the change is refused.
    Required,
    /// The key changes whatever others there are.
    NotRequired,
}

/// The hour in which a key was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyUse {
    /// The key.
    pub key_id: ApiKeyId,
    /// The start of the hour.
    pub hour: Timestamp,
}

/// The columns of a grant: scopes, creator, rotated key.
pub(crate) fn grant_columns(grant: Option<&Grant>) -> (Option<String>, Option<String>, Option<&str>) {
    let Some(Grant { scopes, creator, rotated_from }) = grant else { return (None, None, None) };
    let creator = match creator {
        Creator::Operator => OPERATOR.to_owned(),
        Creator::ApiKey(id) => id.as_str().to_owned(),
        Creator::Person(name) => format!("{PERSON}{name}"),
    };
    (Some(scopes.to_stored()), Some(creator), rotated_from.as_ref().map(ApiKeyId::as_str))
}

/// The grant of a row; `None` for a key from before scopes existed.
pub(crate) fn grant_from(
    scopes: Option<&str>,
    created_by: Option<String>,
    rotated_from: Option<String>,
) -> Option<Grant> {
    let creator = match created_by {
        Some(text) if text != OPERATOR => match text.strip_prefix(PERSON) {
            Some(name) => Creator::Person(Label::from_stored(name.to_owned())),
            None => Creator::ApiKey(ApiKeyId::from_stored(text)),
        },
        _ => Creator::Operator,
    };
    let rotated_from = rotated_from.map(ApiKeyId::from_stored);
    scopes.map(|scopes| Grant { scopes: Scopes::from_stored(scopes), creator, rotated_from })
}
