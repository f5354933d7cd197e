//! Helpers for the verification of credentials: requests to Vimeo, expected responses, and tokens that are left.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::harness::{Response, TestEnv};

pub(crate) const GRANT: &str = "POST /oauth/authorize/client";
pub(crate) const VERIFY: &str = "GET /oauth/verify";
pub(crate) const REVOKE: &str = "DELETE /tokens";
/// The limit of a wait, after which the test fails.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_mins(1);
pub(crate) const CLIENT_UNKNOWN: (&str, &str) = (
    "clientIdentifier",
    "is not known to Vimeo; copy the client identifier from the app's page at developer.vimeo.com",
);
pub(crate) const CLIENT_REJECTED: (&str, &str) = (
    "clientIdentifier",
    "was refused by Vimeo together with the client secret; copy both from the same app's page",
);
pub(crate) const SECRET_WRONG: (&str, &str) = (
    "clientSecret",
    "does not belong to the client identifier; copy the client secret from the same app's page",
);
pub(crate) const TOKEN_UNKNOWN: (&str, &str) =
    ("accessToken", "is unknown to Vimeo, expired or revoked; generate a new one on the app's page");
pub(crate) const NO_USER: (&str, &str) = (
    "accessToken",
    "is not bound to a Vimeo user; generate an authenticated token (you), not an unauthenticated one",
);
pub(crate) const OTHER_APP: (&str, &str) =
    ("accessToken", "belongs to another app than the client identifier; use the token of the same app");

/// The expected response of a row.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Created,
    /// 422 with these fields, in this order.
    Rejected(Vec<(&'static str, String)>),
    /// 503, with this `Retry-After` in seconds.
    Unavailable(u64),
}

/// One error for each of these fields.
pub(crate) fn rejected(faults: &[(&'static str, &str)]) -> Expected {
    Expected::Rejected(faults.iter().map(|(name, errors)| (*name, (*errors).to_owned())).collect())
}

/// The error of a token that lacks these scopes.
pub(crate) fn lacks(scopes: &str) -> String {
    if scopes.contains(", ") {
        format!("lacks the scopes {scopes}; generate a new one with these scopes added")
    } else {
        format!("lacks the scope {scopes}; generate a new one with this scope added")
    }
}

/// A valid body with some fields replaced.
pub(crate) fn body_with(env: &TestEnv, changes: &[(&str, &str)]) -> Value {
    let mut body = env.valid_body("a row");
    for (field, value) in changes {
        body[*field] = json!(value);
    }
    body
}

/// The number of stored rows: connections, their keys, and audit events of creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) connections: usize,
    pub(crate) sealing_keys: usize,
    pub(crate) events: usize,
}

pub(crate) fn footprint(env: &TestEnv) -> Footprint {
    let database = env.database();
    let count = |sql| database.query_row(sql, [], |row| row.get(0)).unwrap();
    Footprint {
        connections: count("SELECT count(*) FROM connections"),
        sealing_keys: count("SELECT count(*) FROM sealing_keys"),
        events: count("SELECT count(*) FROM audit_events WHERE action = 'create_connection'"),
    }
}

/// The requests to the sandbox, oldest first.
pub(crate) async fn journal(env: &TestEnv) -> Vec<Value> {
    env.control(Method::GET, "journal", Value::Null).await["requests"].as_array().unwrap().clone()
}

/// The requests of one route.
pub(crate) async fn requests_to(env: &TestEnv, route: &str) -> Vec<Value> {
    journal(env).await.into_iter().filter(|request| request["route"] == route).collect()
}

/// Waits until every grant was answered, even a late one, and all tokens but `lost` are revoked.
pub(crate) async fn wait_for_revocations(env: &TestEnv, lost: usize) {
    let started = Instant::now();
    loop {
        let grants = requests_to(env, GRANT).await;
        let is_cut = |fault: &Value| ["cut", "cut-after", "reset"].iter().any(|cut| fault == cut);
        let late =
            grants.iter().filter(|grant| grant["status"].is_null() && !is_cut(&grant["fault"])).count();
        let tokens = env.control(Method::GET, "tokens", Value::Null).await;
        let is_stray = |token: &&Value| token["origin"] == "granted" && token["revoked"] == false;
        let strays = tokens["tokens"].as_array().unwrap().iter().filter(is_stray).count();
        if late == 0 && strays == lost {
            return;
        }
        let is_in_time = started.elapsed() < WAIT_LIMIT;
        assert!(is_in_time, "{late} grants are unanswered and {strays} tokens are left, expected {lost}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Creates a token in the sandbox, of its first app unless another is given.
pub(crate) async fn create_token(env: &TestEnv, app: Option<&str>, scopes: &str, user: bool) -> String {
    let app = app.unwrap_or(&env.sandbox.client_id);
    let request = json!({"app": app, "scopes": scopes, "user": user});
    let made = env.control(Method::POST, "tokens", request).await;
    made["access_token"].as_str().unwrap().to_owned()
}

/// Compares the whole response: status, body, and `Retry-After` if and only if it is expected.
pub(crate) fn assert_response(what: &str, answer: &Response, expected: &Expected) {
    let (status, body, retry_after) = match expected {
        Expected::Created => {
            assert_eq!(answer.status, StatusCode::CREATED, "{what}: {answer:?}");
            assert_eq!(answer.json()["version"], 1, "{what}");
            return;
        }
        Expected::Rejected(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, errors)| format!("{{\"name\":\"{name}\",\"errors\":\"{errors}\"}}"))
                .collect();
            let body = format!(
                "{{\"code\":\"INVALID_VIMEO_CREDENTIALS\",\"message\":\"Vimeo refused the credentials.\",\
                 \"fields\":[{}]}}",
                fields.join(",")
            );
            (StatusCode::UNPROCESSABLE_ENTITY, body, String::new())
        }
        Expected::Unavailable(seconds) => {
            let body =
                "{\"code\":\"VIMEO_UNAVAILABLE\",\"message\":\"Vimeo is unavailable. Nothing was stored.\"}";
            (StatusCode::SERVICE_UNAVAILABLE, body.to_owned(), seconds.to_string())
        }
    };
    assert_eq!((answer.status, answer.text.as_str()), (status, body.as_str()), "{what}");
    assert_eq!(answer.header("retry-after"), retry_after, "{what}");
    assert_eq!(answer.header("content-type"), "application/json", "{what}");
}

/// Checks one row: the response, the effect on the database, and the tokens at Vimeo. `lost` tokens are those whose
/// grant was never received, so that only Vimeo knows them.
pub(crate) async fn assert_row(env: &TestEnv, what: &str, body: &Value, expected: &Expected, lost: usize) {
    let before = footprint(env);
    let mut body = body.clone();
    body["name"] = json!(format!("row {}", before.connections));
    let answer = env.post(&body).await;
    assert_response(what, &answer, expected);
    wait_for_revocations(env, lost).await;
    let Footprint { connections, sealing_keys, events } = before;
    let after = match expected {
        Expected::Created => {
            Footprint { connections: connections + 1, sealing_keys: sealing_keys + 1, events: events + 1 }
        }
        // A refusal is audited, a failure is not. Neither stores anything.
        Expected::Rejected(_) => Footprint { events: events + 1, ..before },
        Expected::Unavailable(_) => before,
    };
    assert_eq!(footprint(env), after, "{what}");
}

/// Options with a long time budget for Vimeo, so that responses do not depend on the load of the machine.
pub(crate) fn long_budget() -> crate::support::harness::EnvOptions {
    long_budget_with("")
}

/// The same with more configuration.
pub(crate) fn long_budget_with(config: &str) -> crate::support::harness::EnvOptions {
    crate::support::harness::EnvOptions {
        config: format!("vimeo.budget_seconds = 60\n{config}"),
        ..Default::default()
    }
}
