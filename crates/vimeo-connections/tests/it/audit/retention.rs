//! Old audit events are deleted, and the rest is verified from the checkpoint.

use crate::support::audit::AuditEnv;
use crate::support::connections::create;
use crate::support::harness::{Service, printed, until};

async fn old_events_are_deleted(mut audit: AuditEnv) {
    let id = create(&audit.env, &audit.env.valid_body("kept")).await;
    assert_eq!(audit.env.service.terminate(), Some(0));
    // As if all but the last event had been written in 2020, before chains existed.
    audit.sql(&format!(
        "DELETE FROM audit_links; DELETE FROM audit_chains; DELETE FROM sweeps;
         UPDATE audit_events SET audit_event_id = '2020' || substr(audit_event_id, 5)
         WHERE subject IS NULL OR subject <> '{id}'"
    ));
    let old = "SELECT count(*) FROM audit_events WHERE audit_event_id < '2021'";
    let count: u64 = audit.value(old).parse().unwrap();
    assert!(count >= 2, "{count}");
    audit.env.service = Service::start(audit.env.path());
    until("the old events are deleted", async || audit.value(old) == "0").await;
    assert_eq!(audit.value("SELECT count(*) FROM audit_links WHERE audit_event_id < '2021'"), "0");
    audit.wait_for_links().await;
    create(&audit.env, &audit.env.valid_body("later")).await;
    audit.wait_for_links().await;
    assert_eq!(audit.verify(&[]), Vec::<String>::new());
    assert_eq!(audit.value("SELECT deleted_position FROM audit_chains"), count.to_string());
    let shown = audit.env.cli(&["audit", "verify"], "");
    let expected = format!("Deleted because of their age: {count}.");
    assert!(printed(&shown).contains(&expected), "{}", printed(&shown));
    // The checkpoint cannot be moved to hide a deletion.
    assert_eq!(audit.env.service.terminate(), Some(0));
    let next = audit.event_at(count + 1);
    audit.sql(&format!(
        "DELETE FROM audit_events WHERE audit_event_id = '{next}'; DELETE FROM audit_links WHERE audit_event_id = '{next}';
         UPDATE audit_chains SET deleted_position = deleted_position + 1"
    ));
    assert_eq!(audit.verify(&[])[0], "chain_changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_audit_events_are_deleted_and_the_rest_verifies_from_the_checkpoint() {
    old_events_are_deleted(AuditEnv::sqlite("audit.retention_days = 30\n").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_audit_events_are_deleted_and_the_rest_verifies_from_the_checkpoint_on_postgres() {
    let Some(audit) = AuditEnv::postgres("audit.retention_days = 30\n").await else { return };
    old_events_are_deleted(audit).await;
}
