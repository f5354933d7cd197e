//! Concurrent updates, deletes and searches of one connection.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::support::connections::{create, delete, fetch, is_wiped, path_of, put, stored_row};
use crate::support::harness::{COLLECTION, Response, TestEnv};
use crate::support::tools::print_numbers;

const WRITERS: u64 = 32;

async fn env() -> Arc<TestEnv> {
    Arc::new(TestEnv::without_verification("").await)
}

/// Sends concurrent updates of one version, each with its own description.
async fn put_at_once(env: &Arc<TestEnv>, id: &str, version: u64) -> Vec<(String, Response)> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (env, id) = (env.clone(), id.to_owned());
        let mark = format!("version {version} writer {writer}");
        let body = json!({"version": version, "description": mark, "clientSecret": format!("secret-{version}-{writer}")});
        writers.spawn(async move { (mark, put(&env, &id, &body).await) });
    }
    writers.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_updates_of_a_version_succeeds() {
    let env = env().await;
    let id = create(&env, &env.valid_body("contended")).await;
    for version in 1..=20 {
        let before = stored_row(&env, &id);
        let answers = put_at_once(&env, &id, version).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|(_, answer)| answer.status == 200);
        assert_eq!((won.len(), lost.len()), (1, 31), "{answers:?}");
        let (mark, won) = won[0];
        for (_, answer) in &lost {
            assert_eq!((answer.status.as_u16(), &*answer.code()), (409, "VERSION_CONFLICT"));
            assert_eq!(answer.json()["currentVersion"], version + 1);
        }
        let now = fetch(&env, &id).await;
        assert_eq!((&now, &now["description"]), (&won.json(), &json!(mark)));
        assert!(is_wiped(&env, before.sealing_key_id));
    }
    let database = env.database();
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM sealing_keys WHERE wrapped_key <> zeroblob(60)"), 1);
    let update = "SELECT count(*) FROM audit_events WHERE action = 'update_connection' AND refusal";
    assert_eq!(count(&format!("{update} IS NULL")), 20);
    assert_eq!(count(&format!("{update} = 'VERSION_CONFLICT'")), 20 * 31);
    assert!(env.cli(&["connections", "check"], "").status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_deleted_among_updates_stays_deleted() {
    let env = env().await;
    let mut changed = 0;
    for round in 0..20 {
        let id = create(&env, &env.valid_body(&format!("round {round}"))).await;
        let before = stored_row(&env, &id);
        let deleter = {
            let (env, id) = (env.clone(), id.clone());
            TaskTracker::new().spawn(async move { delete(&env, &id).await })
        };
        let answers = put_at_once(&env, &id, 1).await;
        assert_eq!(deleter.await.unwrap().status, 204);
        let won = answers.iter().filter(|(_, answer)| answer.status == 200).count();
        assert!(won <= 1);
        changed += won;
        for (_, answer) in answers.iter().filter(|(_, answer)| answer.status != 200) {
            match answer.status.as_u16() {
                // A conflict requires that an update succeeded first.
                409 => assert_eq!((won, &answer.json()["currentVersion"]), (1, &json!(2))),
                status => assert_eq!((status, &*answer.code()), (404, "CONNECTION_NOT_FOUND")),
            }
        }
        assert_eq!(env.get(&path_of(&id)).await.status, 404);
        assert!(is_wiped(&env, before.sealing_key_id));
    }
    assert_eq!(env.connection_count(), 0);
    let unwiped = "SELECT count(*) FROM sealing_keys WHERE wrapped_key <> zeroblob(60)";
    assert_eq!(env.database().query_row(unwiped, [], |row| row.get::<_, u64>(0)).unwrap(), 0);
    print_numbers(&format!("20 rounds of {WRITERS} updates and a delete: {changed} updates came first"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_search_during_renames_finds_the_name_or_nothing() {
    let env = env().await;
    let id = create(&env, &env.valid_body("left")).await;
    let mover = {
        let env = env.clone();
        TaskTracker::new().spawn(async move {
            for version in 1..=600 {
                let name = if version % 2 == 1 { "right" } else { "left" };
                assert_eq!(put(&env, &id, &json!({"version": version, "name": name})).await.status, 200);
            }
        })
    };
    let mut lookers = JoinSet::new();
    let moving = Arc::new(mover);
    for name in ["left", "right", "left", "right"] {
        let (env, moving) = (env.clone(), moving.clone());
        lookers.spawn(async move {
            let (mut found, mut missed) = (0, 0);
            while !moving.is_finished() {
                let answer =
                    env.send(Method::GET, &format!("{COLLECTION}?name={name}"), &[], Vec::new()).await;
                let items: Vec<Value> = answer.json()["Items"].as_array().unwrap().clone();
                assert!(items.iter().all(|item| item["name"] == name), "searched for {name}: {items:?}");
                if items.is_empty() { missed += 1 } else { found += 1 }
            }
            (found, missed)
        });
    }
    let looks = lookers.join_all().await;
    assert!(looks.iter().all(|(found, missed)| found + missed > 0));
    Arc::into_inner(moving).unwrap().await.unwrap();
    print_numbers(&format!("searches that found it, and that did not: {looks:?}"));
}
