//! Audit events as they are read: as stored, so that an action or actor that a newer version wrote is shown, not an error.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::chain::put_text;
use super::{Action, ActorKind, AuditEvent};
use crate::id::{AccountId, ApiKeyId, AuditEventId};
use crate::time::Timestamp;

/// The version of [`AuditRecord::canonical_bytes`].
const FORMAT: u8 = 1;
/// Space for the canonical bytes of most events.
const CANONICAL_CAPACITY: usize = 320;
/// The address column of what the worker did, before actors had a column of their own.
const OLD_WORKER: &str = "service";

/// A stored audit event, column by column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its identifier.
    pub id: AuditEventId,
    /// The account in which it happened.
    pub account_id: AccountId,
    /// When it happened.
    pub at: Timestamp,
    /// The kind of actor; `None` in events of versions before schema 13.
    pub actor_kind: Option<String>,
    /// The actor's API key.
    pub api_key_id: Option<String>,
    /// The name of that key at the time, or of the person.
    pub actor_name: Option<String>,
    /// The client's address.
    pub remote: Option<String>,
    /// What was done.
    pub action: String,
    /// The identifier of the affected record.
    pub subject: Option<String>,
    /// The error code, if it was refused.
    pub refusal: Option<String>,
}

impl From<&AuditEvent> for AuditRecord {
    fn from(event: &AuditEvent) -> Self {
        Self {
            id: event.id.clone(),
            account_id: event.account_id.clone(),
            at: event.at,
            actor_kind: Some(event.actor.kind().as_str().to_owned()),
            api_key_id: event.actor.key_id().map(ToString::to_string),
            actor_name: event.actor.name().map(ToString::to_string),
            remote: event.actor.remote().map(|remote| remote.to_string()),
            action: event.action.as_str().to_owned(),
            subject: event.subject.clone(),
            refusal: event.outcome.refusal().map(str::to_owned),
        }
    }
}

impl AuditRecord {
    /// The kind of its actor.
    pub fn actor_kind(&self) -> &str {
        match (&self.actor_kind, &self.api_key_id) {
            (Some(kind), _) => kind,
            (None, Some(_)) => ActorKind::ApiKey.as_str(),
            (None, None) if self.remote.as_deref() == Some(OLD_WORKER) => ActorKind::Worker.as_str(),
            (None, None) => ActorKind::Operator.as_str(),
        }
    }

    /// The client's address, if it is known.
    pub fn address(&self) -> Option<&str> {
        self.remote.as_deref().filter(|remote| self.actor_kind.is_some() || *remote != OLD_WORKER)
    }

    /// The bytes that its link authenticates: every column, each with its length or as absent. The format is frozen.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CANONICAL_CAPACITY);
        bytes.push(FORMAT);
        put(&mut bytes, Some(self.account_id.as_str()));
        put(&mut bytes, Some(self.id.as_str()));
        bytes.extend_from_slice(&self.at.as_micros().to_be_bytes());
        let optional = [&self.actor_kind, &self.api_key_id, &self.actor_name, &self.remote];
        for column in optional {
            put(&mut bytes, column.as_deref());
        }
        put(&mut bytes, Some(&self.action));
        put(&mut bytes, self.subject.as_deref());
        put(&mut bytes, self.refusal.as_deref());
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, column: Option<&str>) {
    let Some(text) = column else { return bytes.push(0) };
    bytes.push(1);
    put_text(bytes, text);
}

/// Which audit events are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only events with a smaller identifier: where a page starts.
    pub before_id: Option<AuditEventId>,
    /// Only events after this instant, in whole milliseconds.
    pub after: Option<Timestamp>,
    /// Only events before this instant, in whole milliseconds.
    pub before: Option<Timestamp>,
    /// Only this action.
    pub action: Option<Action>,
    /// Only events about the record with this identifier.
    pub subject: Option<String>,
    /// Only events of this actor.
    pub actor: Option<FilterActor>,
}

impl AuditFilter {
    /// The smallest identifier of a listed event.
    pub fn first_id(&self) -> AuditEventId {
        self.after.map_or_else(AuditEventId::smallest, |after| AuditEventId::first_at(after.next_milli()))
    }

    /// All identifiers of listed events are smaller than this.
    pub fn end_id(&self) -> AuditEventId {
        let before = self.before.map_or_else(AuditEventId::greatest, AuditEventId::first_at);
        self.before_id.clone().map_or(before.clone(), |id| id.min(before))
    }

    /// Whether it leaves out events by more than their time.
    pub fn is_selective(&self) -> bool {
        self.action.is_some() || self.subject.is_some() || self.actor.is_some()
    }
}

/// The actor in a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterActor {
    /// An API key.
    Key(ApiKeyId),
    /// All actors of a kind.
    Kind(ActorKind),
}

/// The text is not a [`FilterActor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be the ID of an API key (`key_…`), `api_key`, `session`, `operator` or `worker`")]
pub struct FilterActorError;

impl FromStr for FilterActor {
    type Err = FilterActorError;

    fn from_str(text: &str) -> Result<Self, FilterActorError> {
        if let Some(kind) = ActorKind::ALL.into_iter().find(|kind| kind.as_str() == text) {
            return Ok(Self::Kind(kind));
        }
        let is_key = text.strip_prefix("key_").is_some_and(|rest| !rest.is_empty());
        if is_key { Ok(Self::Key(ApiKeyId::from_stored(text.to_owned()))) } else { Err(FilterActorError) }
    }
}

impl fmt::Display for FilterActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => f.write_str(id.as_str()),
            Self::Kind(kind) => f.write_str(kind.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(api_key_id: Option<&str>, remote: Option<&str>) -> AuditRecord {
        AuditRecord {
            id: AuditEventId::from_stored("20260131090500042abcdefghijklmno".to_owned()),
            account_id: AccountId::from_random([1; 16]),
            at: Timestamp::from_micros(5),
            actor_kind: None,
            api_key_id: api_key_id.map(str::to_owned),
            actor_name: None,
            remote: remote.map(str::to_owned),
            action: "create_connection".to_owned(),
            subject: None,
            refusal: None,
        }
    }

    #[test]
    fn the_actor_of_an_old_event_is_derived_from_its_other_columns() {
        let cases = [
            (old(Some("key_1"), Some("127.0.0.1")), "api_key", Some("127.0.0.1")),
            (old(Some("key_1"), None), "api_key", None),
            (old(None, None), "operator", None),
            (old(None, Some("service")), "worker", None),
        ];
        for (record, kind, address) in cases {
            assert_eq!((record.actor_kind(), record.address()), (kind, address), "{record:?}");
        }
    }

    #[test]
    fn no_two_different_records_have_the_same_bytes() {
        let plain = old(None, None);
        let mut all = vec![plain.clone()];
        let mut add = |change: &dyn Fn(&mut AuditRecord)| {
            let mut changed = plain.clone();
            change(&mut changed);
            all.push(changed);
        };
        add(&|record| record.id = AuditEventId::from_stored("x".to_owned()));
        add(&|record| record.account_id = AccountId::from_random([2; 16]));
        add(&|record| record.at = Timestamp::from_micros(6));
        add(&|record| record.actor_kind = Some(String::new()));
        add(&|record| record.api_key_id = Some(String::new()));
        add(&|record| record.actor_name = Some(String::new()));
        add(&|record| record.remote = Some(String::new()));
        add(&|record| record.action = "create_connectio".to_owned());
        add(&|record| record.subject = Some(String::new()));
        add(&|record| record.refusal = Some(String::new()));
        let bytes: std::collections::HashSet<_> = all.iter().map(AuditRecord::canonical_bytes).collect();
        assert_eq!(bytes.len(), all.len());
    }

    #[test]
    fn a_filter_of_time_becomes_a_range_of_identifiers() {
        let at = Timestamp::from_micros(1_769_850_300_042_999);
        let filter =
            AuditFilter { after: Some(at), before: Some(at.plus_seconds(1)), ..AuditFilter::default() };
        assert_eq!(filter.first_id().as_str(), "20260131090500043");
        assert_eq!(filter.end_id().as_str(), "20260131090501042");
        let page = AuditEventId::from_stored("20260131090500999abcdefghijklmno".to_owned());
        assert_eq!(AuditFilter { before_id: Some(page.clone()), ..filter }.end_id(), page);
        assert!(AuditFilter::default().first_id() < page && page < AuditFilter::default().end_id());
    }

    #[test]
    fn an_actor_is_a_key_or_a_kind() {
        assert_eq!("worker".parse(), Ok(FilterActor::Kind(ActorKind::Worker)));
        let key = ApiKeyId::from_random([7; 16]);
        assert_eq!(key.as_str().parse(), Ok(FilterActor::Key(key.clone())));
        for actor in [FilterActor::Key(key), FilterActor::Kind(ActorKind::Operator)] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        for text in ["", "key_", "pictai_x", "Operator", "someone"] {
            assert_eq!(text.parse::<FilterActor>(), Err(FilterActorError), "{text}");
        }
    }
}
