//! `/health/ready` reports whether the service can write, and the failed check if it cannot.

use serde_json::{Value, json};

use crate::support::harness::{COLLECTION, TestEnv, until};

async fn checks(env: &TestEnv) -> (u16, Value) {
    let ready = env.get("/health/ready").await;
    (ready.status.as_u16(), ready.json()["checks"].take())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ready_service_lists_its_checks() {
    let env = TestEnv::without_verification("").await;
    let ready = env.get("/health/ready").await;
    let pass = |name: &str| json!({"name": name, "result": "pass"});
    let expected = json!({"status": "ready", "checks": [pass("database"), pass("disk"), pass("keyring")]});
    assert_eq!((ready.status.as_u16(), ready.json()), (200, expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_is_not_ready_but_still_readable() {
    let env = TestEnv::without_verification("").await;
    let lock = env.database();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (status, failed) = checks(&env).await;
    assert_eq!((status, &failed[0]["result"], &failed[1]["result"]), (503, &json!("fail"), &json!("pass")));
    assert_eq!(env.get(COLLECTION).await.status, 200);
    assert_eq!(env.get("/health/live").await.status, 200);
    lock.execute_batch("ROLLBACK").unwrap();
    until("it is ready again", async || checks(&env).await.0 == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_readiness_checks_share_one_write() {
    let env = TestEnv::without_verification("").await;
    let written = || {
        let count = "SELECT coalesce(max(writes), 0) FROM write_probes";
        env.database().query_row(count, [], |row| row.get::<_, u64>(0)).unwrap()
    };
    let started = std::time::Instant::now();
    for _ in 0..200 {
        assert_eq!(checks(&env).await.0, 200);
    }
    let seconds = started.elapsed().as_secs();
    assert!((1..=seconds + 1).contains(&written()), "{} writes in {seconds} s", written());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_keyring_key_makes_the_service_not_ready() {
    let env = TestEnv::without_verification("").await;
    assert_eq!(checks(&env).await.0, 200);
    let insert = "INSERT INTO keyring_checks (keyring_key_id, check_value) VALUES ('k_other', zeroblob(32))";
    env.database().execute(insert, []).unwrap();
    until("the service notices it", async || checks(&env).await.0 == 503).await;
    let ready = env.get("/health/ready").await;
    assert_eq!((&*ready.code(), &ready.json()["checks"][2]["result"]), ("NOT_READY", &json!("fail")));
    assert!(!ready.text.contains("k_other"), "{}", ready.text);
}
