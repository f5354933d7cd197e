//! Announcing events to webhook endpoints, in the statement that writes the audit event.

use domain::audit::AuditEvent;
use domain::job::JobId;

use super::parameters::{Named, distinct};
use crate::webhooks::announced_rows;

/// The messages that events announce, an array for each column. A statement that writes audit events in a CTE `logged` adds
/// the deliveries in a CTE `announced`, and in `announced_to_operator` if an event can have a message for the operator; both
/// are the same in every statement.
#[derive(Default)]
pub(super) struct Announcements<'a> {
    accounts: Vec<&'a str>,
    audit_event_ids: Vec<&'a str>,
    types: Vec<&'static str>,
    bits: Vec<i64>,
    bodies: Vec<&'a str>,
    macs: Vec<&'a [u8]>,
    job_ids: Vec<Option<&'a str>>,
    only_ids: Vec<Option<&'a str>>,
    except_ids: Vec<Option<&'a str>>,
    is_for_operator: Vec<bool>,
}

impl<'a> Announcements<'a> {
    pub(super) fn of(events: impl Iterator<Item = &'a AuditEvent>) -> Self {
        let mut all = Self::default();
        for event in events {
            for row in announced_rows(event) {
                let (only_id, except_id) = row.audience();
                let event_type = row.announcement.event_type;
                all.accounts.push(event.account_id.as_str());
                all.audit_event_ids.push(event.id.as_str());
                all.types.push(event_type.as_str());
                all.bits.push(event_type.bit());
                all.bodies.push(&row.message.body);
                all.macs.push(&row.message.mac);
                all.job_ids.push(row.announcement.job_id.as_ref().map(JobId::as_str));
                all.only_ids.push(only_id);
                all.except_ids.push(except_id);
                all.is_for_operator.push(row.is_for_operator);
            }
        }
        all.accounts = distinct(&all.accounts);
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.audit_event_ids.is_empty()
    }

    pub(super) fn parameters(&self) -> [Named<'_>; 10] {
        [
            ("announced_accounts", &self.accounts),
            ("announced_audit_event_id", &self.audit_event_ids),
            ("announced_type", &self.types),
            ("announced_bit", &self.bits),
            ("announced_body", &self.bodies),
            ("announced_mac", &self.macs),
            ("announced_job_id", &self.job_ids),
            ("announced_only_id", &self.only_ids),
            ("announced_except_id", &self.except_ids),
            ("announced_is_for_operator", &self.is_for_operator),
        ]
    }
}
