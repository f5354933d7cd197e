//! `status`, on the database and on a remote service.

use serde_json::{Value, json};

use crate::support::harness::{TestEnv, cli, printed, schema};
use crate::support::remote_cli::RemoteUser;
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_a_service_has_its_checks_its_version_and_whose_the_key_is() {
    let env = TestEnv::start().await;
    let user = RemoteUser::of(&env);
    let status = user.json(&["status"], "");
    assert_eq!((&status["ready"], &status["version"]), (&json!(true), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(status["identity"], env.get("/pictoryapis/v1/whoami").await.json());
    assert_eq!(status["clockDifferenceSeconds"], json!(0), "one machine has one clock");
    let names: Vec<_> =
        status["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["database", "disk", "keyring"]);
    let text = printed(&user.run(&["status"], ""));
    for part in [
        "ready              yes",
        "database pass",
        "account            acme (",
        "clock              the same",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains(&env.api_key), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_not_ready_has_an_exit_status_of_its_own() {
    let mut env = TestEnv::start().await;
    let user = RemoteUser::of(&env);
    let database = env.database();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let output = user.run(&["status", "--json"], "");
    assert_eq!(output.status.code(), Some(69), "{}", printed(&output));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&status["ready"], &status["checks"][0]["result"]),
        (&json!(false), &json!("fail")),
        "{status}"
    );
    drop(database);
    let elsewhere = RemoteUser::with(&env.url("/nothing/here"), &env.api_key);
    let (status, error) = elsewhere.error(&["status"], "");
    assert!(status == Some(78) && error.contains("Check the URL"), "{error}");
    env.service.kill();
    let (status, error) = user.error(&["status"], "");
    assert!(status == Some(69) && error.contains("cannot be reached"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_the_database_counts_unfinished_jobs_by_phase() {
    let env = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let done = env.submit(2_000).await;
    env.wait_for_end(&done).await;
    for _ in 0..2 {
        assert_eq!(env.post(&json!({"source": {"size": 1_000}})).await.status, 201);
    }
    let output = cli(env.env.path(), &["status", "--json"], "");
    assert!(output.status.success(), "{}", printed(&output));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["unfinishedJobs"], json!({"uploading": 2}), "{status}");
    assert_eq!((&status["accounts"], &status["schema"]), (&json!(1), &json!(schema())), "{status}");
    let text = printed(&cli(env.env.path(), &["status"], ""));
    assert!(text.contains("unfinished jobs    2 uploading\n"), "{text}");
}
