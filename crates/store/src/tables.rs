//! What an engine migration copies: every table with every column, whose names are the same in both engines, and the values of
//! a row.

use sha2::{Digest as _, Sha256};

use crate::hex::hex;

/// A table. Its first columns are its key, which orders its rows.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    key_columns: usize,
}

/// A column.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    /// 0 or 1 in an engine without that type.
    Boolean,
    Bytes,
}

/// The value of one column in one row.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Nothing,
    Text(String),
    Integer(i64),
    Boolean(bool),
    Bytes(Vec<u8>),
}

/// A row: a value for each of its table's columns.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Row(pub(crate) Vec<Value>);

macro_rules! table {
    ($name:ident by $key_columns:literal: $($column:ident $kind:ident,)+) => {
        Table {
            name: stringify!($name),
            columns: &[$(Column { name: stringify!($column), kind: Kind::$kind },)+],
            key_columns: $key_columns,
        }
    };
}

/// All tables but those about the database itself, each after those that it refers to. A sealing key is a column here,
/// wherever the engine keeps it.
pub(crate) const TABLES: [Table; 20] = [
    table! { keyring_checks by 1: keyring_key_id Text, check_value Bytes, },
    table! { service_secrets by 1: purpose Text, keyring_key_id Text, wrapped_key Bytes, number Integer, },
    table! { other_service_secrets by 1:
    number Integer, role Text, since Integer, keyring_key_id Text, wrapped_key Bytes, },
    table! { accounts by 1:
    account_id Text, name Text, created_at Integer, keyring_key_id Text, wrapped_key Bytes,
    max_requests_per_minute Integer, max_key_requests_per_minute Integer, max_connections Integer,
    max_jobs_in_progress Integer, max_idempotency_records Integer, max_event_streams Integer,
    max_webhook_endpoints Integer, max_open_authorizations Integer, second_keyring_key_id Text,
    second_wrapped_key Bytes, second_key_role Text, second_key_since Integer, },
    table! { api_keys by 1:
    api_key_id Text, account_id Text, name Text, key_hash Bytes, last_four Text, created_at Integer,
    expires_at Integer, revoked_at Integer, row_mac Bytes, scopes Text, created_by Text, rotated_from Text,
    last_used_at Integer, },
    table! { connections by 2:
    account_id Text, connection_id Text, name Text, unique_name Text, description Text, is_enabled Boolean,
    client_identifier Text, created_at Integer, updated_at Integer, version Integer, sealed_version Integer,
    wrapped_key Bytes, envelope Bytes, },
    table! { audit_events by 2:
    account_id Text, audit_event_id Text, at Integer, api_key_id Text, remote Text, action Text, subject Text,
    refusal Text, actor_kind Text, actor_name Text, },
    table! { idempotency_records by 3:
    account_id Text, operation Text, idempotency_key Text, attempt Integer, request_mac Bytes,
    reserved_until Integer, is_released Boolean, answered_at Integer, answer Bytes, operation_id Bytes, },
    table! { jobs by 2:
    account_id Text, job_id Text, connection_id Text, source Text, created_at Integer, retry_of Text,
    updated_at Integer, version Integer, state Text, total_bytes Integer, validator Text, source_marks Text, fetching Text,
    sent_bytes Integer, bytes_per_second Integer, video_number Integer, orphan_number Integer, deadline_at
    Integer, probes Integer, restarts Integer, ending Text, kept Text, vimeo_link Text, player_link Text,
    failure_code Text, failure_message Text, warnings Text, undeleted Text, unconfirmed_since Integer,
    retry_count Integer, last_progress_at Integer, refused_since Integer, missing_since Integer, webhook Text,
    webhook_attempts Integer, waiting_for Text, is_connection_deleted Boolean, due_class Integer, row_mac
    Bytes, due_at Integer, lease_until Integer, fence Integer, replaces Integer, request_format Integer,
    publish_at Integer, is_playable Boolean, parts_done Integer, unique_request Text, newest_picture Integer, },
    table! { job_secrets by 3:
    account_id Text, job_id Text, part Text, kept_since Integer, wrapped_key Bytes, envelope Bytes, },
    table! { webhook_secrets by 2:
    account_id Text, secret_id Text, created_at Integer, retires_at Integer, wrapped_key Bytes, envelope Bytes, },
    table! { connection_health by 2:
    account_id Text, connection_id Text, status Text, since Integer, checked_at Integer, next_check_at Integer,
    unanswered Integer, revision Integer, lease_until Integer, details Text, },
    table! { webhook_endpoints by 2:
    account_id Text, endpoint_id Text, created_at Integer, updated_at Integer, version Integer, events Integer,
    is_enabled Boolean, disabled_reason Text, failing_since Integer, wrapped_key Bytes, envelope Bytes, },
    table! { webhook_deliveries by 2:
    account_id Text, delivery_id Text, endpoint_id Text, job_id Text, event_id Text, event_type Text,
    created_at Integer, body Text, body_mac Bytes, receiver Text, status Text, attempts Integer,
    last_attempt_at Integer, last_result Text, last_status Integer, last_duration_ms Integer, due_at Integer,
    ended_at Integer, fence Integer, lease_until Integer, },
    table! { webhook_delivery_secrets by 2:
    account_id Text, delivery_id Text, wrapped_key Bytes, envelope Bytes, },
    table! { dashboard_sessions by 2:
    account_id Text, session_id Text, state Text, method Text, api_key_id Text, person Text, role Text, scopes Text,
    created_at Integer, authenticated_at Integer, expires_at Integer, last_seen_at Integer, remote Text,
    user_agent Text, subject Text, token_hash Bytes, row_mac Bytes, },
    table! { audit_links by 2: account_id Text, audit_event_id Text, position Integer, link Bytes, },
    table! { audit_chains by 1:
    account_id Text, version Integer, position Integer, link Bytes, linked_event_id Text, checked_event_id Text,
    deleted_position Integer, deleted_link Bytes, updated_at Integer, row_mac Bytes, },
    table! { authorizations by 2:
    account_id Text, authorization_id Text, created_at Integer, expires_at Integer, version Integer, flow Text,
    next_poll_at Integer, state Text, exchanging_since Integer, connection_id Text, failure_reason Text,
    overdue_at Integer, ended_at Integer, connect_hash Bytes, state_hash Bytes, binding_hash Bytes, request Text,
    outcome Text, },
    table! { authorization_secrets by 2:
    account_id Text, authorization_id Text, wrapped_key Bytes, envelope Bytes, },
];

impl Table {
    /// Whether its rows have sealed data and its key.
    pub(crate) fn is_sealed(&self) -> bool {
        let has = |name| self.columns.iter().any(|column| column.name == name);
        has("wrapped_key") && has("envelope")
    }

    /// The columns of its key.
    pub(crate) fn key(&self) -> &'static [Column] {
        self.columns.get(..self.key_columns).unwrap_or(self.columns)
    }

    /// The columns of its key for a statement, each with a suffix.
    pub(crate) fn key_list(&self, behind: &str) -> String {
        list(self.key(), behind)
    }

    /// All its columns for a statement.
    pub(crate) fn column_list(&self) -> String {
        list(self.columns, "")
    }

    /// The key of a row.
    pub(crate) fn key_of(&self, row: &Row) -> Vec<Value> {
        row.0.iter().take(self.key_columns).cloned().collect()
    }

    /// The first column of a row whose text contains a NUL.
    pub(crate) fn column_with_nul(&self, row: &Row) -> Option<&'static str> {
        let mut columns = self.columns.iter().zip(&row.0);
        columns
            .find(|(_, value)| matches!(value, Value::Text(text) if text.contains('\0')))
            .map(|(column, _)| column.name)
    }

    /// A row for a message: its table and key, which are not secret.
    pub(crate) fn name_of(&self, row: &Row) -> String {
        let key: Vec<_> = self.key_of(row).iter().map(Value::shown).collect();
        format!("{} ({})", self.name, key.join(", "))
    }
}

fn list(columns: &[Column], behind: &str) -> String {
    let names: Vec<_> = columns.iter().map(|column| format!("{}{behind}", column.name)).collect();
    names.join(", ")
}

impl Value {
    fn shown(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Text(text) => text.escape_debug().to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Boolean(is_so) => is_so.to_string(),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
        }
    }

    /// Its approximate size in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Nothing | Self::Integer(_) | Self::Boolean(_) => size_of::<i64>(),
        }
    }
}

/// The number of rows, and a SHA-256 over all their values in order.
#[derive(Default)]
pub(crate) struct Checksum {
    rows: u64,
    hash: Sha256,
}

impl Checksum {
    /// Each value is preceded by its type and its length, so that different tables are different bytes.
    pub(crate) fn add(&mut self, row: &Row) {
        self.rows += 1;
        for value in &row.0 {
            match value {
                Value::Nothing => self.hash.update([0]),
                Value::Text(text) => self.add_bytes(1, text.as_bytes()),
                Value::Integer(number) => self.add_bytes(2, &number.to_be_bytes()),
                Value::Boolean(is_so) => self.add_bytes(3, &[u8::from(*is_so)]),
                Value::Bytes(bytes) => self.add_bytes(4, bytes),
            }
        }
    }

    fn add_bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.hash.update([kind]);
        self.hash.update((bytes.len() as u64).to_be_bytes());
        self.hash.update(bytes);
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of rows, and the hash in hexadecimal digits.
    pub(crate) fn finish(self) -> (u64, String) {
        (self.rows, hex(self.hash.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&[Value]]) -> (u64, String) {
        let mut checksum = Checksum::default();
        for row in rows {
            checksum.add(&Row(row.to_vec()));
        }
        checksum.finish()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn values_that_look_alike_have_different_checksums() {
        let sums = [
            sum(&[&[text("ab"), text("c")]]),
            sum(&[&[text("a"), text("bc")]]),
            sum(&[&[text("ab")], &[text("c")]]),
            sum(&[&[Value::Bytes(b"ab".to_vec()), text("c")]]),
            sum(&[&[text("ab"), Value::Nothing]]),
            sum(&[&[text("ab"), text("")]]),
            sum(&[&[Value::Integer(1), Value::Boolean(true)]]),
            sum(&[&[Value::Boolean(true), Value::Integer(1)]]),
            sum(&[]),
        ];
        for (index, one) in sums.iter().enumerate() {
            assert!(!sums[index + 1..].contains(one), "{index}");
        }
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sum(&[]), (0, empty.to_owned()), "the hash is SHA-256");
    }

    #[test]
    fn a_row_is_named_on_one_line_whatever_its_key_holds() {
        let table = TABLES.iter().find(|table| table.name == "idempotency_records").unwrap();
        let row = Row(vec![text("acc_1"), text("create"), text("a\n\0b"), Value::Integer(7)]);
        assert_eq!(table.name_of(&row), "idempotency_records (acc_1, create, a\\n\\0b)");
    }
}
