//! The wire types of API keys.

use std::time::Duration;

use app::{KeyOptions, NewApiKey, RotateOptions};
use domain::account::Label;
use domain::api_key::{ApiKey, Creator, KeyStatus};
use domain::id::ApiKeyId;
use domain::scope::{Scope, Scopes};
use domain::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::UnknownFields;
use crate::error::Problem;
use crate::fields::{Fields, Known};
use crate::json::{Json, Keep};

/// The longest lifetime of a key, in days: a hundred years.
const EXPIRES_MAX_DAYS: u32 = 36_500;
/// How long a rotated key remains valid, unless the request says otherwise: a day.
const OVERLAP_DEFAULT_SECONDS: u64 = 86_400;
/// The longest overlap: 30 days.
const OVERLAP_MAX_SECONDS: u64 = 2_592_000;

const NEW: &[&str] = &["name", "scopes", "expiresInDays"];
const RENAMED: &[&str] = &["name"];
const ROTATED: &[&str] = &["overlapSeconds", "expiresInDays"];

pub(super) const KEEP_NEW: Keep<'_> = Keep { raw: &[], known: Some(NEW) };
pub(super) const KEEP_RENAMED: Keep<'_> = Keep { raw: &[], known: Some(RENAMED) };
pub(super) const KEEP_ROTATED: Keep<'_> = Keep { raw: &[], known: Some(ROTATED) };

/// An API key, without the key itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiKey)]
pub(crate) struct ApiKeyOut {
    #[schema(example = "key_7t1b8z4d0c6q2v9x1k3m")]
    key_id: String,
    #[schema(example = "api key")]
    name: String,
    /// The last four characters of the key.
    #[schema(example = "3mW9")]
    last_four: String,
    /// `active`, `expired`, `revoked`, or `tampered`: its row in the database was changed by something other than the
    /// service, and it is not accepted.
    #[schema(example = "active")]
    status: &'static str,
    /// What the key allows.
    #[schema(value_type = Vec<String>, example = json!(["connections:read", "connections:write"]))]
    scopes: Vec<&'static str>,
    /// The ID of the key that created it, or `operator`.
    #[schema(example = "operator")]
    creator: String,
    /// The ID of the key that it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "key_0c6q2v9x1k3m7t1b8z4d")]
    rotated_from: Option<String>,
    #[schema(format = DateTime, pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$", example = "2026-01-31T09:05:00.042Z")]
    created_date: String,
    /// Omitted if the key does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$", example = "2027-01-31T09:05:00.042Z")]
    expires_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$", example = "2026-07-31T09:05:00.042Z")]
    revoked_date: Option<String>,
    /// The start of the hour in which the key was last used; some seconds late. Omitted if it was never used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:00:00\.000Z$", example = "2026-06-30T14:00:00.000Z")]
    last_used_date: Option<String>,
}

impl ApiKeyOut {
    pub(super) fn new(key: &ApiKey, status: KeyStatus) -> Self {
        let grant = key.grant.as_ref();
        let date = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            key_id: key.id.to_string(),
            name: key.name.to_string(),
            last_four: key.last_four.clone(),
            status: status.as_str(),
            scopes: key.scopes().iter().map(Scope::as_str).collect(),
            creator: match grant.map(|grant| &grant.creator) {
                None | Some(Creator::Operator) => "operator".to_owned(),
                Some(Creator::ApiKey(id)) => id.to_string(),
                Some(Creator::Person(name)) => format!("person:{name}"),
            },
            rotated_from: grant.and_then(|grant| grant.rotated_from.as_ref()).map(ApiKeyId::to_string),
            created_date: key.created_at.to_string(),
            expires_date: date(key.expires_at),
            revoked_date: date(key.revoked_at),
            last_used_date: date(key.last_used_at),
        }
    }
}

/// A key as JSON text, for the command line: the object of the API.
pub fn api_key_object(key: &ApiKey, status: KeyStatus) -> serde_json::Value {
    // Serialising strings cannot fail.
    serde_json::to_value(ApiKeyOut::new(key, status)).unwrap_or_default()
}

/// A new API key.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
pub(crate) struct CreatedApiKeyOut<'a> {
    #[serde(flatten)]
    created: ApiKeyOut,
    /// The key itself. Returned only once: only a keyed hash of it is stored.
    #[schema(
        pattern = "^pictai_[0-9A-Za-z]{49}$",
        example = "pictai_4rT0vJx7nQeYb2LkWcHs9ZpMdUa6GfBi1OyRtEwXqKj3Nh0Vm"
    )]
    key: &'a str,
}

impl<'a> CreatedApiKeyOut<'a> {
    pub(super) fn new(new: &'a NewApiKey) -> Self {
        Self { created: ApiKeyOut::new(&new.key, KeyStatus::Active), key: new.plain.expose() }
    }
}

/// A page of API keys.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiKeyPage)]
pub(crate) struct ApiKeysOut {
    pub(super) items: Vec<ApiKeyOut>,
    /// Omitted on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) next_page_key: Option<String>,
}

/// The settings of a new key.
#[derive(ToSchema)]
#[schema(as = NewApiKey, rename_all = "camelCase")]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct NewApiKeyIn {
    /// To recognise it by; not necessarily unique.
    #[schema(min_length = 1, max_length = 100, format = "label", example = "billing service")]
    name: String,
    /// What the key allows; not more than the key that creates it. Omitted or null: as much.
    #[schema(min_items = 1, max_items = 7, example = json!(["connections:read", "uploads:write"]))]
    scopes: Option<Vec<String>>,
    /// Days until it expires; not later than the key that creates it. Omitted or null: when that one expires, if it does.
    #[schema(minimum = 1, maximum = 36_500, example = 90)]
    expires_in_days: Option<i32>,
}

/// A new name.
#[derive(ToSchema)]
#[schema(as = RenamedApiKey)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct RenamedApiKeyIn {
    #[schema(min_length = 1, max_length = 100, format = "label", example = "billing service (old)")]
    name: String,
}

/// How a key is rotated.
#[derive(ToSchema)]
#[schema(as = ApiKeyRotation, rename_all = "camelCase")]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct RotationIn {
    /// How long the old key remains valid, in seconds, unless it expires earlier.
    #[schema(minimum = 0, maximum = 2_592_000, default = 86400, example = 3600)]
    overlap_seconds: Option<i32>,
    /// Days until the new key expires; not later than the key that creates it. Omitted or null: when the old one would have.
    #[schema(minimum = 1, maximum = 36_500, example = 90)]
    expires_in_days: Option<i32>,
}

/// Reads the settings of a new key. `own` are the scopes of the key that creates it.
pub(super) fn read_new_key(object: Vec<(String, Json)>, own: Scopes) -> Result<KeyOptions, Problem> {
    let mut fields = Fields::new(object, Known::new(NEW, UnknownFields::Reject));
    let name = fields.required_text("name", Label::parse);
    let has_scopes = fields.is_set("scopes");
    let scopes = fields.optional_texts("scopes", Scope::ALL.len(), Scope::parse);
    if has_scopes && scopes.is_empty() && !fields.has_error(&["scopes"]) {
        fields.error::<()>("scopes", "must name at least one scope");
    }
    let expires_in_days = read_days(&mut fields);
    let (errors, _) = fields.finish();
    match name {
        Some(name) if errors.is_empty() => {
            let scopes = if has_scopes { scopes.into_iter().collect() } else { own };
            Ok(KeyOptions { name, scopes, expires_in_days })
        }
        _ => Err(Problem::invalid_fields(errors)),
    }
}

/// Reads the new name of a key.
pub(super) fn read_name(object: Vec<(String, Json)>) -> Result<Label, Problem> {
    let mut fields = Fields::new(object, Known::new(RENAMED, UnknownFields::Reject));
    let name = fields.required_text("name", Label::parse);
    let (errors, _) = fields.finish();
    name.filter(|_| errors.is_empty()).ok_or_else(|| Problem::invalid_fields(errors))
}

/// Reads how a key is rotated.
pub(super) fn read_rotation(object: Vec<(String, Json)>) -> Result<RotateOptions, Problem> {
    let mut fields = Fields::new(object, Known::new(ROTATED, UnknownFields::Reject));
    let rule = format!("must be a whole number from 0 to {OVERLAP_MAX_SECONDS}");
    let overlap = fields.optional_number("overlapSeconds", &rule, |number| {
        number.whole().filter(|seconds| *seconds <= OVERLAP_MAX_SECONDS)
    });
    let expires_in_days = read_days(&mut fields);
    let (errors, _) = fields.finish();
    if !errors.is_empty() {
        return Err(Problem::invalid_fields(errors));
    }
    Ok(RotateOptions {
        overlap: Duration::from_secs(overlap.unwrap_or(OVERLAP_DEFAULT_SECONDS)),
        expires_in_days,
    })
}

fn read_days(fields: &mut Fields) -> Option<u32> {
    let rule = format!("must be a whole number from 1 to {EXPIRES_MAX_DAYS}");
    fields.optional_number("expiresInDays", &rule, |number| {
        let days = number.whole().and_then(|days| u32::try_from(days).ok());
        days.filter(|days| (1..=EXPIRES_MAX_DAYS).contains(days))
    })
}
