//! Connections and what breaks them at the sandbox.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::harness::{Response, TestEnv};
use crate::support::uploads::WAIT_LIMIT;

/// How the sandbox names a token.
pub(crate) fn fingerprint(token: &str) -> String {
    let digest = Sha256::digest(token);
    digest.iter().take(6).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

impl TestEnv {
    /// Creates a connection; its path.
    pub(crate) async fn connect(&self, name: &str) -> String {
        let created = self.post(&self.valid_body(name)).await;
        assert_eq!(created.status, 201, "{}", created.text);
        created.header("location").to_owned()
    }

    pub(crate) async fn health(&self, connection: &str) -> Value {
        let answer = self.get(&format!("{connection}/health")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// Asks for a check.
    pub(crate) async fn verify(&self, connection: &str) -> Response {
        self.send(Method::POST, &format!("{connection}/verify"), &[], Vec::new()).await
    }

    /// Asks for a check until it is admitted; its result.
    pub(crate) async fn verified(&self, connection: &str) -> Value {
        let started = Instant::now();
        loop {
            let answer = self.verify(connection).await;
            if answer.status == 200 {
                return answer.json();
            }
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (429, "RATE_LIMITED"),
                "{}",
                answer.text
            );
            assert!(started.elapsed() < WAIT_LIMIT);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Changes the environment's access token at the sandbox.
    pub(crate) async fn change_token(&self, change: Value) {
        let path = format!("tokens/{}", fingerprint(&self.sandbox.access_token));
        self.control(Method::PATCH, &path, change).await;
    }

    /// Changes the environment's app at the sandbox.
    pub(crate) async fn change_app(&self, change: Value) -> Value {
        let apps = self.control(Method::GET, "apps", Value::Null).await;
        let uri = apps["apps"][0]["uri"].as_str().unwrap().to_owned();
        self.control(Method::PATCH, uri.trim_start_matches('/'), change).await
    }

    /// Changes the Vimeo user of the environment's token.
    pub(crate) async fn change_user(&self, change: Value) {
        let users = self.control(Method::GET, "users", Value::Null).await;
        let uri = users["users"][0]["uri"].as_str().unwrap().to_owned();
        self.control(Method::PATCH, uri.trim_start_matches('/'), change).await;
    }

    /// Another valid token of the same app and user.
    pub(crate) async fn new_token(&self) -> String {
        let made = self.control(Method::POST, "tokens", json!({"app": self.sandbox.client_id})).await;
        made["access_token"].as_str().unwrap().to_owned()
    }

    /// Gives a connection of this version another token.
    pub(crate) async fn replace_token(&self, connection: &str, version: u64, token: &str) -> Response {
        let body = json!({"version": version, "accessToken": token}).to_string();
        self.send(Method::PUT, connection, &[("content-type", "application/json")], body.into()).await
    }

    /// Waits until the health is as wanted.
    pub(crate) async fn until_health(&self, connection: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let health = self.health(connection).await;
            if is_so(&health) {
                return health;
            }
            assert!(started.elapsed() < WAIT_LIMIT, "{health}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The audit events of these actions, oldest first: action and outcome.
    pub(crate) async fn audited_actions(&self, wanted: &[&str]) -> Vec<String> {
        let answer = self.get("/pictoryapis/v1/audit-events?limit=1000").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let items = answer.json()["items"].as_array().unwrap().clone();
        let actions = items.iter().rev().map(|item| item["action"].as_str().unwrap().to_owned());
        actions.filter(|action| wanted.contains(&action.as_str())).collect()
    }
}

/// The result of one check.
pub(crate) fn check<'a>(health: &'a Value, name: &str) -> &'a str {
    let checks = health["checks"].as_array().unwrap();
    let found =
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {health}"));
    found["result"].as_str().unwrap()
}
