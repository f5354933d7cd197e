//! `audit verify` names every event that was changed, removed, inserted or reordered in the database, and what was cut off
//! since a head was exported.

use std::fs;

use serde_json::json;

use crate::support::audit::AuditEnv;
use crate::support::connections::{create, delete};
use crate::support::harness::{Service, printed};

const TABLES: [&str; 3] = ["audit_events", "audit_links", "audit_chains"];
/// An event that the service did not write, with an identifier from the past.
const FORGED: &str = "20200101000000000aaaaaaaaaaaaaaa";
/// One from the future, which would be listed first for ever.
const FUTURE: &str = "20991231000000000aaaaaaaaaaaaaaa";

fn keep(audit: &AuditEnv, prefix: &str) {
    for table in TABLES {
        audit.sql(&format!("CREATE TABLE {prefix}_{table} AS SELECT * FROM {table}"));
    }
}

fn restore(audit: &AuditEnv, prefix: &str) {
    for table in TABLES {
        audit.sql(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {prefix}_{table}"));
    }
}

/// Two connections, whose events are linked and kept; then more, an exported head, and the end of the service.
async fn prepare(audit: &mut AuditEnv) -> u64 {
    for number in 0..2 {
        create(&audit.env, &audit.env.valid_body(&format!("c {number}"))).await;
    }
    audit.wait_for_links().await;
    keep(audit, "early");
    let id = create(&audit.env, &audit.env.valid_body("late")).await;
    assert_eq!(audit.env.post(&audit.env.valid_body("late")).await.status, 409);
    delete(&audit.env, &id).await;
    audit.wait_for_links().await;
    let exported = audit.env.cli(&["audit", "head", "export"], "");
    assert!(exported.status.success(), "{}", printed(&exported));
    fs::write(audit.env.path().join("heads.jsonl"), exported.stdout).unwrap();
    assert_eq!(audit.env.service.terminate(), Some(0));
    keep(audit, "whole");
    audit.value("SELECT max(position) FROM audit_links").parse().unwrap()
}

async fn every_tampering_is_named(mut audit: AuditEnv) {
    let last = prepare(&mut audit).await;
    assert!(last >= 7, "{last} events");
    let event = |position| audit.event_at(position);
    let (second, fourth) = (event(2), event(4));
    let head = ["--head", "heads.jsonl"];
    assert_eq!(audit.verify(&head), Vec::<String>::new());
    let cases = [
        (format!("UPDATE audit_events SET subject = 'x' WHERE audit_event_id = '{second}'"), vec![format!("changed {second} at 2")]),
        (format!("UPDATE audit_events SET at = at + 1 WHERE audit_event_id = '{second}'"), vec![format!("changed {second} at 2")]),
        (
            format!("UPDATE audit_events SET actor_kind = NULL WHERE audit_event_id = '{second}'"),
            vec![format!("changed {second} at 2")],
        ),
        (
            format!("UPDATE audit_events SET refusal = 'FORGED' WHERE audit_event_id = '{second}'"),
            vec![format!("changed {second} at 2")],
        ),
        (format!("DELETE FROM audit_events WHERE audit_event_id = '{second}'"), vec![format!("removed {second} at 2")]),
        (
            format!("DELETE FROM audit_events WHERE audit_event_id = '{second}'; DELETE FROM audit_links WHERE position = 2"),
            vec!["removed at 2".to_owned()],
        ),
        (
            "UPDATE audit_links SET position = 6 - position WHERE position IN (2, 4)".to_owned(),
            vec![format!("reordered {fourth} at 2"), format!("reordered {second} at 4")],
        ),
        (
            format!(
                "INSERT INTO audit_events (account_id, audit_event_id, at, action, actor_kind)
                 SELECT account_id, '{FORGED}', at, action, actor_kind FROM audit_events WHERE audit_event_id = '{second}'"
            ),
            vec![format!("inserted {FORGED}")],
        ),
        (
            format!(
                "INSERT INTO audit_events (account_id, audit_event_id, at, action, actor_kind)
                 SELECT account_id, '{FUTURE}', at, action, actor_kind FROM audit_events WHERE audit_event_id = '{second}'"
            ),
            vec![format!("inserted {FUTURE}")],
        ),
        (
            format!("DELETE FROM audit_events WHERE audit_event_id = '{}'; DELETE FROM audit_links WHERE position = {last}", event(last)),
            vec![format!("removed at {last}")],
        ),
        ("UPDATE audit_chains SET checked_event_id = ''".to_owned(), vec!["chain_changed".to_owned()]),
    ];
    for (tampering, expected) in cases {
        audit.sql(&tampering);
        assert_eq!(audit.verify(&[]), expected, "{tampering}");
        let with_head = audit.verify(&head);
        assert_eq!(with_head, expected, "{tampering}");
        restore(&audit, "whole");
        assert_eq!(audit.verify(&head), Vec::<String>::new(), "after {tampering}");
    }
    only_heads_show_what_is_consistent(&mut audit, last).await;
}

async fn only_heads_show_what_is_consistent(audit: &mut AuditEnv, last: u64) {
    let (second, head) = (audit.event_at(2), ["--head", "heads.jsonl"]);
    // The database as it was earlier is consistent. Only a head from later shows that something is missing.
    let early = audit.value("SELECT max(position) FROM early_audit_links").parse::<u64>().unwrap();
    restore(audit, "early");
    assert_eq!(audit.verify(&[]), Vec::<String>::new());
    assert_eq!(audit.verify(&head), [format!("cut_off at {}-{last}", early + 1)]);
    restore(audit, "whole");
    audit.sql("DELETE FROM audit_chains; DELETE FROM audit_links; DELETE FROM audit_events");
    assert_eq!(audit.verify(&[]), Vec::<String>::new());
    assert_eq!(audit.verify(&head), [format!("cut_off at 1-{last}")]);
    restore(audit, "whole");
    // Without its chain, the account would get a new one over whatever its events are now.
    // Many events of commands, before any service ran, do not hide it.
    let by_command = |number: u32| format!("('20200101000000000{number:015}')");
    let by_command: Vec<_> = (0..1_500).map(by_command).collect();
    audit.sql(&format!(
        "DELETE FROM audit_chains; DELETE FROM audit_links;
         INSERT INTO audit_events (account_id, audit_event_id, at, actor_kind, remote, action)
         SELECT account_id, id, 1577836800000000, 'operator', 'local', 'create_connection'
         FROM accounts, (SELECT column1 AS id FROM (VALUES {}) AS ids) AS n;
         UPDATE audit_events SET audit_event_id = '{FORGED}', actor_kind = 'api_key' WHERE audit_event_id = '{second}'",
        by_command.join(", ")
    ));
    assert_eq!(audit.verify(&[]), ["chain_missing"]);
    assert_eq!(audit.verify(&head), ["chain_missing".to_owned(), format!("cut_off at 1-{last}")]);
    audit.env.service = Service::start(audit.env.path());
    audit.wait_for_links().await;
    assert!(audit.env.log().contains("has old audit events and no audit chain"), "{}", audit.env.log());
    assert_eq!(audit.env.service.terminate(), Some(0));
    assert_eq!(audit.verify(&head).len(), 1, "only the head still shows it");
    restore(audit, "whole");
    let line = fs::read_to_string(audit.env.path().join("heads.jsonl")).unwrap();
    let position = |number: u64| format!("\"position\":{number}");
    let forged = line.replace(&position(last), &position(last - 1));
    assert_ne!(forged, line);
    fs::write(audit.env.path().join("forged.jsonl"), forged).unwrap();
    assert_eq!(audit.verify(&["--head", "forged.jsonl"]), [format!("head_invalid at {}", last - 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tampering_with_the_audit_log_is_named() {
    every_tampering_is_named(AuditEnv::sqlite("").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tampering_with_the_audit_log_is_named_on_postgres() {
    let Some(audit) = AuditEnv::postgres("").await else { return };
    every_tampering_is_named(audit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_of_a_deleted_account_is_closed_and_verified_by_its_id() {
    let audit = AuditEnv::sqlite("").await;
    audit.env.make_key("short-lived", &[]);
    let id = audit.value("SELECT account_id FROM accounts WHERE name = 'short-lived'");
    let deleted = audit.env.cli(&["accounts", "delete", "short-lived", "--yes"], "");
    assert!(deleted.status.success(), "{}", printed(&deleted));
    // The command itself linked them, with its own deletion at the end.
    assert_eq!(audit.value(&format!("SELECT count(*) FROM audit_links WHERE account_id = '{id}'")), "4");
    assert_eq!(audit.verify(&["--account", &id]), Vec::<String>::new());
    let listed = audit.env.cli(&["audit", "list", "--json", "--account", &id], "");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["action"], json!("delete_account"));
    assert_eq!(listed[0]["actor"], json!({"type": "operator"}));
    for command in [&["list"][..], &["export"], &["verify"], &["head", "export"]] {
        let arguments = [&["audit"], command, &["--account", "acc_0c6q2v9x1k3m7t1b8z4d"]].concat();
        let refused = audit.env.cli(&arguments, "");
        assert_eq!(refused.status.code(), Some(1), "{}", printed(&refused));
        assert!(printed(&refused).contains("no account has the ID acc_0c6q2v9x1k3m7t1b8z4d"), "{refused:?}");
    }
    let head = audit.env.cli(&["audit", "head", "export", "--account", &id], "");
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&head.stdout).unwrap()["position"], json!(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_heads_is_refused() {
    let audit = AuditEnv::sqlite("").await;
    for (content, expected) in
        [("", "has no heads"), ("{}\n", "line 1 is not a head"), ("nonsense", "line 1 is not a head")]
    {
        fs::write(audit.env.path().join("heads.jsonl"), content).unwrap();
        let output = audit.env.cli(&["audit", "verify", "--head", "heads.jsonl"], "");
        assert_eq!(output.status.code(), Some(1), "{content}");
        assert!(printed(&output).contains(expected), "{}", printed(&output));
    }
}
