//! An environment with webhook endpoints.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{EnvOptions, TestEnv};
use crate::support::uploads::{CONFIG, WAIT_LIMIT};
use crate::support::webhooks::{DELIVERIES, ENDPOINTS};

/// The service with receivers on loopback allowed; connections are not verified.
pub(crate) struct WebhookEnv {
    pub(crate) env: TestEnv,
}

/// An endpoint as it was created.
pub(crate) struct CreatedEndpoint(pub(crate) Value);

impl CreatedEndpoint {
    pub(crate) fn id(&self) -> &str {
        self.0["endpointId"].as_str().unwrap()
    }

    pub(crate) fn secret(&self) -> String {
        self.0["secret"].as_str().unwrap().to_owned()
    }
}

impl WebhookEnv {
    pub(crate) async fn start(config: &str) -> Self {
        let config = format!("{CONFIG}{config}");
        Self {
            env: TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await,
        }
    }

    pub(crate) async fn create_endpoint(&self, url: &str) -> CreatedEndpoint {
        self.create_endpoint_with(&json!({"url": url})).await
    }

    pub(crate) async fn create_endpoint_with(&self, body: &Value) -> CreatedEndpoint {
        let headers = [("content-type", "application/json")];
        let made = self.env.send(Method::POST, ENDPOINTS, &headers, body.to_string().into_bytes()).await;
        assert_eq!(made.status, 201, "{}", made.text);
        CreatedEndpoint(made.json())
    }

    /// A page of the deliveries of an endpoint.
    pub(crate) async fn deliveries_with(&self, endpoint: &str, query: &str) -> Value {
        let answer = self.env.get(&format!("{ENDPOINTS}/{endpoint}/deliveries?{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// The deliveries of an endpoint, newest first.
    pub(crate) async fn deliveries(&self, endpoint: &str) -> Vec<Value> {
        self.deliveries_with(endpoint, "limit=1000").await["items"].as_array().unwrap().clone()
    }

    pub(crate) async fn is_enabled(&self, endpoint: &str) -> bool {
        self.env.get(&format!("{ENDPOINTS}/{endpoint}")).await.json()["enabled"] == true
    }

    /// Waits until no delivery of the account waits.
    pub(crate) async fn until_no_delivery_waits(&self) {
        let started = Instant::now();
        loop {
            let answer = self.env.get(&format!("{DELIVERIES}?status=waiting&limit=1")).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            if answer.json()["items"].as_array().unwrap().is_empty() {
                return;
            }
            assert!(started.elapsed() < WAIT_LIMIT, "{}", answer.text);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) fn account_id(&self) -> String {
        let sql = "SELECT account_id FROM accounts WHERE name = 'acme'";
        self.env.database().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Copies the only delivery of an endpoint under other identifiers; how many copies.
    pub(crate) fn copy_deliveries(&self, endpoint: &str, count: usize) -> usize {
        let database = self.env.database();
        let columns: Vec<String> = database
            .prepare("SELECT name FROM pragma_table_info('webhook_deliveries')")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let copied: Vec<String> = columns
            .iter()
            .map(|column| match column.as_str() {
                "delivery_id" => {
                    "substr(delivery_id, 1, 26) || printf('%06d', n) || substr(delivery_id, 33)".to_owned()
                }
                "attempts" | "fence" => "0".to_owned(),
                "lease_until" | "last_attempt_at" | "last_result" | "last_status" | "last_duration_ms" => {
                    "NULL".to_owned()
                }
                "due_at" => "created_at".to_owned(),
                column => column.to_owned(),
            })
            .collect();
        let sql = format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
             INSERT INTO webhook_deliveries ({}) SELECT {} FROM webhook_deliveries, numbers WHERE endpoint_id = ?1",
            columns.join(", "),
            copied.join(", ")
        );
        database.execute(&sql, [endpoint]).unwrap()
    }
}
