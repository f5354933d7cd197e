//! Linking audit events into the chain of their account, seconds after they are written and off the request path.
//!
//! A process links the events that it wrote. One node at a time also visits all accounts, for what other processes wrote and
//! for events that were committed late. Two nodes that link the same account do not conflict: a chain's row is written only
//! by who read its last version.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::{ActorKind, AuditChain, AuditLink, AuditRecord};
use domain::id::{AccountId, AuditEventId};
use domain::time::Timestamp;
use store::{AuditChainWrite, Changed, LinkHorizons};
use tokio::time::Instant;

use super::pending::SETTLE;
use crate::{App, Context, Error};

/// An event whose identifier is older than this when it is committed is not linked any more: `audit verify` reports it as
/// inserted. Clocks of nodes must not differ by more.
pub(super) const LATE: Duration = Duration::from_mins(10);
/// The pause between two rounds.
const ROUND_PAUSE: Duration = Duration::from_secs(1);
/// Accounts that a round visits.
const ACCOUNTS_PER_ROUND: usize = 200;
/// Events linked in one transaction: few, because SQLite commits the writes of requests together with it.
const BATCH: u32 = 100;
/// The shortest pause after a full batch: requests write meanwhile.
const BATCH_PAUSE_MIN: Duration = Duration::from_millis(5);
/// The pause is at least this many times as long as the batch took, so that linking leaves the database to requests when it is
/// busy, and catches up later.
const BATCH_PAUSES: u32 = 2;
/// The longest pause: other accounts wait for it.
const BATCH_PAUSE_MAX: Duration = Duration::from_millis(500);
/// The name of the lease for visiting all accounts.
const SWEEP: &str = "audit_links";
/// How often all accounts are visited.
const PASS_INTERVAL: Duration = Duration::from_secs(30);
/// Accounts in one read of such a pass.
const PASS_PAGE: u32 = 500;
/// How often a write that lost to another node is tried.
const TRIES: u32 = 5;

/// Settings of the work on the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditOptions {
    /// After how many days audit events are deleted; `None`: never.
    pub retention_days: Option<u32>,
}

/// Which events of an account are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visit {
    /// Those after the last linked one.
    New,
    /// Late ones as well.
    All,
}

/// What a visit left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    More,
}

impl App {
    /// Links audit events and deletes old ones, until it is dropped.
    pub async fn run_audit_work(self: Arc<Self>, options: AuditOptions) {
        let mut next_pass = self.clock.now();
        loop {
            let now = self.clock.now();
            self.link_pending(now).await;
            if next_pass <= now {
                next_pass = now.plus(PASS_INTERVAL);
                if let Err(error) = self.pass(options).await {
                    warn(&error, "audit events could not be linked or deleted; the next pass retries");
                }
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    }

    /// Links what this process wrote.
    async fn link_pending(&self, now: Timestamp) {
        for account in self.pending.due(now, ACCOUNTS_PER_ROUND) {
            match self.link_account(&account, Visit::New, now).await {
                Ok(()) => self.pending.visited(&account, now),
                Err(error) => {
                    return warn(&error, "audit events could not be linked; the next round retries");
                }
            }
        }
    }

    async fn pass(&self, options: AuditOptions) -> Result<(), Error> {
        let now = self.clock.now();
        if self.store.lease_sweep(SWEEP, PASS_INTERVAL, now).await?.is_some() {
            self.link_all(now).await?;
        }
        match options.retention_days {
            Some(days) => self.delete_old_audit_events(days).await,
            None => Ok(()),
        }
    }

    async fn link_all(&self, now: Timestamp) -> Result<(), Error> {
        let horizons = horizons(now, SETTLE);
        let mut after = None;
        loop {
            let page = self.store.list_unlinked_accounts(after.as_ref(), &horizons, PASS_PAGE).await?;
            for account in &page.accounts {
                self.link_account(account, Visit::All, now).await?;
            }
            let Some(last) = page.last else { return Ok(()) };
            after = Some(last);
            tokio::task::yield_now().await;
        }
    }

    async fn link_account(&self, account: &AccountId, visit: Visit, now: Timestamp) -> Result<(), Error> {
        let horizons = horizons(now, SETTLE);
        loop {
            let started_at = Instant::now();
            if self.link_batch(account, visit, &horizons).await? == Left::Nothing {
                return Ok(());
            }
            let pause = started_at.elapsed() * BATCH_PAUSES;
            tokio::time::sleep(pause.clamp(BATCH_PAUSE_MIN, BATCH_PAUSE_MAX)).await;
        }
    }
}

impl Context {
    /// Links all events of an account that is deleted, also the last ones. Nothing is written for it any more.
    pub(crate) async fn close_audit_chain(&self, account: &AccountId) -> Result<(), Error> {
        let horizons = horizons(self.clock.now().next_milli(), Duration::ZERO);
        while self.link_batch(account, Visit::New, &horizons).await? == Left::More {}
        Ok(())
    }

    /// Links up to [`BATCH`] events.
    async fn link_batch(
        &self,
        account: &AccountId,
        visit: Visit,
        horizons: &LinkHorizons,
    ) -> Result<Left, Error> {
        for _ in 0..TRIES {
            let stored = self.store.find_audit_chain(account).await?;
            let chain = match stored {
                Some(chain) if !self.fresh_service_keys().await?.verify_audit_chain(&chain) => {
                    tracing::error!(
                        %account,
                        "the state of the account's audit chain was not written by this service, or was changed since: \
                         its events are not linked. Run `vimeo-connections audit verify`"
                    );
                    return Ok(Left::Nothing);
                }
                Some(chain) => chain,
                None => AuditChain::empty(account.clone(), self.clock.now()),
            };
            let found = self.find_unlinked(&chain, visit, horizons).await?;
            let has_moved = found.checked.as_ref().is_some_and(|checked| *checked > chain.checked_event_id);
            if found.events.is_empty() && !has_moved {
                return Ok(Left::Nothing);
            }
            let left = if found.is_complete { Left::Nothing } else { Left::More };
            if chain.version == 0 && self.lacks_chain(account, &horizons.late).await? {
                tracing::error!(
                    %account,
                    "the account has old audit events and no audit chain, which is started again: someone may have \
                     removed the chain from the database and changed these events. Compare with exported heads \
                     (`vimeo-connections audit verify --head`)"
                );
            }
            let write = self.extend(chain, found, horizons);
            if self.store.write_audit_chain(account, write).await? == Changed::Yes {
                return Ok(left);
            }
        }
        // Other nodes link this account just now.
        Ok(Left::Nothing)
    }

    /// Whether this account, which has no chain, must have had one.
    pub(super) async fn lacks_chain(&self, account: &AccountId, late: &AuditEventId) -> Result<bool, Error> {
        let mut first = AuditEventId::smallest();
        loop {
            let events = self.store.list_unlinked_audit_events(account, &first, late, PASS_PAGE).await?;
            if must_have_had_chain(&events, late) {
                return Ok(true);
            }
            match events.last() {
                Some(last) if events.len() == PASS_PAGE as usize => first = last.id.clone(),
                _ => return Ok(false),
            }
        }
    }

    /// The next events to link, late ones first.
    async fn find_unlinked(
        &self,
        chain: &AuditChain,
        visit: Visit,
        horizons: &LinkHorizons,
    ) -> Result<Found, Error> {
        let account = &chain.account_id;
        let late_end = chain.linked_event_id.clone().min(horizons.late.clone());
        let mut events = if visit == Visit::All && chain.checked_event_id < late_end {
            self.store.list_unlinked_audit_events(account, &chain.checked_event_id, &late_end, BATCH).await?
        } else {
            Vec::new()
        };
        if events.len() >= BATCH as usize {
            let checked = events.last().map(|event| event.id.clone());
            return Ok(Found { events, checked, is_complete: false });
        }
        let rest = BATCH - u32::try_from(events.len()).unwrap_or(BATCH);
        let first = &chain.linked_event_id.clone().max(chain.checked_event_id.clone());
        let new = self.store.list_unlinked_audit_events(account, first, &horizons.settled, rest).await?;
        let is_complete = new.len() < rest as usize;
        events.extend(new);
        let checked = match visit {
            Visit::New => None,
            Visit::All if is_complete => Some(horizons.late.clone()),
            Visit::All => events.last().map(|event| event.id.clone().min(horizons.late.clone())),
        };
        Ok(Found { events, checked, is_complete })
    }

    /// The chain with these events linked.
    fn extend(&self, mut chain: AuditChain, found: Found, horizons: &LinkHorizons) -> AuditChainWrite {
        let expected_version = chain.version;
        let mut links = Vec::with_capacity(found.events.len());
        if expected_version == 0 {
            // Whatever is written later with an older identifier was not written by the service.
            chain.checked_event_id = found
                .events
                .first()
                .map_or_else(|| horizons.late.clone(), |first| first.id.clone().min(horizons.late.clone()));
        }
        for event in found.events {
            let position = chain.position + 1;
            let bytes = event.canonical_bytes();
            let link = self.service_keys().link_audit_event(&chain.account_id, position, &chain.link, &bytes);
            (chain.position, chain.link) = (position, link);
            chain.linked_event_id = chain.linked_event_id.max(event.id.clone());
            links.push(AuditLink { event_id: event.id, position, link });
        }
        if let Some(checked) = found.checked {
            chain.checked_event_id = chain.checked_event_id.max(checked);
        }
        let chain = self.renew_audit_chain(chain);
        AuditChainWrite { expected_version, chain, links, deleted: Vec::new() }
    }

    /// A chain's row with its next version and its MAC.
    pub(super) fn renew_audit_chain(&self, mut chain: AuditChain) -> AuditChain {
        chain.version += 1;
        chain.updated_at = self.clock.now();
        chain.row_mac = self.service_keys().mac_audit_chain(&chain).to_vec();
        chain
    }
}

/// Whether one of these events of an account without a chain must have been linked: a service links what clients do within seconds.
/// Events of versions without chains have no kind of actor, and those of commands wait until a service runs.
fn must_have_had_chain(events: &[AuditRecord], late: &AuditEventId) -> bool {
    let by_client = [ActorKind::ApiKey, ActorKind::Session, ActorKind::Guest].map(|kind| Some(kind.as_str()));
    events.iter().any(|event| event.id < *late && by_client.contains(&event.actor_kind.as_deref()))
}

/// Events to link.
struct Found {
    events: Vec<AuditRecord>,
    /// Nothing before this is linked any more, once these are.
    checked: Option<AuditEventId>,
    is_complete: bool,
}

pub(super) fn horizons(now: Timestamp, settle: Duration) -> LinkHorizons {
    let ago = |duration: Duration| {
        AuditEventId::first_at(Timestamp::from_micros(
            now.as_micros() - i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
        ))
    };
    LinkHorizons { settled: ago(settle), late: ago(LATE.max(settle)) }
}

fn warn(error: &Error, message: &str) {
    let error: &(dyn std::error::Error + 'static) = error;
    tracing::warn!(error, "{message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_events_of_clients_must_have_had_a_chain() {
        let late = AuditEventId::first_at(Timestamp::from_millis(1_700_000_000_000));
        let event = |millis: i64, kind: Option<&str>| AuditRecord {
            id: AuditEventId::first_at(Timestamp::from_millis(millis)),
            account_id: AccountId::from_random([1; 16]),
            at: Timestamp::from_millis(millis),
            actor_kind: kind.map(str::to_owned),
            api_key_id: None,
            actor_name: None,
            remote: None,
            action: "create_connection".to_owned(),
            subject: None,
            refusal: None,
        };
        let (old, new) = (1_600_000_000_000, 1_800_000_000_000);
        assert!(must_have_had_chain(&[event(old, Some("operator")), event(old, Some("api_key"))], &late));
        assert!(must_have_had_chain(&[event(old, Some("guest"))], &late));
        assert!(!must_have_had_chain(&[event(new, Some("api_key"))], &late), "it is to be linked");
        assert!(!must_have_had_chain(&[event(old, None)], &late), "of a version without chains");
        assert!(!must_have_had_chain(&[event(old, Some("operator"))], &late), "no service was running");
    }
}
