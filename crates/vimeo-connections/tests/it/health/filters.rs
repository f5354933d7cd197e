//! `GET /v1/vimeo-connections?health=…`.

use serde_json::{Value, json};

use crate::support::harness::{COLLECTION, EnvOptions, TestEnv};

fn names(page: &Value) -> Vec<String> {
    let items = page["Items"].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_filtered_by_their_health_and_paged() {
    let env = TestEnv::start().await;
    let mut paths = Vec::new();
    for number in 1..=4 {
        paths.push(env.connect(&format!("c{number}")).await);
    }
    env.change_token(json!({"revoked": true})).await;
    for path in &paths[..3] {
        assert_eq!(env.verified(path).await["status"], "unhealthy");
    }
    let list = async |query: &str| {
        let answer = env.get(&format!("{COLLECTION}?{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    assert_eq!(names(&list("health=healthy").await), ["c4"]);
    assert_eq!(names(&list("health=unverified").await), [] as [&str; 0]);
    let first = list("health=unhealthy&limit=2").await;
    assert_eq!(names(&first), ["c1", "c2"]);
    let key = first["nextPageKey"].as_str().unwrap();
    let second = list(&format!("health=unhealthy&limit=2&nextPageKey={key}")).await;
    assert_eq!((names(&second), &second["nextPageKey"]), (vec!["c3".to_owned()], &Value::Null));
    assert_eq!(names(&list("health=unhealthy&name=c2").await), ["c2"]);
    assert_eq!(names(&list("health=unhealthy&name=c4").await), [] as [&str; 0]);
    assert_eq!(first["Items"][0].as_object().unwrap().len(), 9, "the documented fields alone: {first}");
    let wrong = env.get(&format!("{COLLECTION}?health=well")).await;
    assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (400, "INVALID_QUERY"), "{}", wrong.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_were_not_verified_are_unverified() {
    let env = TestEnv::with(EnvOptions { verification_off: true, ..EnvOptions::default() }).await;
    let connection = env.connect("c").await;
    let health = env.health(&connection).await;
    assert_eq!((&health["status"], &health["checkedDate"]), (&json!("unverified"), &Value::Null), "{health}");
    assert_eq!(env.verified(&connection).await["status"], "healthy", "a check on request works");
}
