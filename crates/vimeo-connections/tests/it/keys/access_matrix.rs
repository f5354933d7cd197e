//! The access of every kind of caller to every route: route × scope × caller.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::connections::revoke_key;
use crate::support::harness::{COLLECTION, EnvOptions, Response, TestEnv};

/// All scopes of the contract.
const SCOPES: [&str; 7] = [
    "connections:read",
    "connections:write",
    "uploads:read",
    "uploads:write",
    "webhooks:manage",
    "audit:read",
    "keys:manage",
];

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// No key.
    Nothing,
    /// A key with any scopes.
    AnyKey,
    /// A key with this scope.
    Scope(&'static str),
}
use Needs::{AnyKey, Nothing, Scope};

/// Each route, what it needs, and the statuses of a key that has it: of the record's own account, and of another one.
const MATRIX: [(&str, Needs, u16, u16); 42] = [
    ("GET /health/live", Nothing, 200, 200),
    ("GET /health/ready", Nothing, 200, 200),
    ("GET /openapi.json", Nothing, 200, 200),
    ("GET /docs", Nothing, 200, 200),
    ("GET /v1/whoami", AnyKey, 200, 200),
    ("POST /v1/vimeo-connections", Scope("connections:write"), 201, 201),
    ("GET /v1/vimeo-connections", Scope("connections:read"), 200, 200),
    ("POST /v1/vimeo-connections/authorizations", Scope("connections:write"), 201, 201),
    ("GET /v1/vimeo-connections/authorizations", Scope("connections:read"), 200, 200),
    ("GET /v1/vimeo-connections/authorizations/{authorizationId}", Scope("connections:read"), 200, 404),
    ("DELETE /v1/vimeo-connections/authorizations/{authorizationId}", Scope("connections:write"), 204, 404),
    ("GET /v1/vimeo-connections/{connectionId}", Scope("connections:read"), 200, 404),
    ("PUT /v1/vimeo-connections/{connectionId}", Scope("connections:write"), 200, 404),
    // Deleting another account's connection looks like deleting one that is gone.
    ("DELETE /v1/vimeo-connections/{connectionId}", Scope("connections:write"), 204, 204),
    ("GET /v1/vimeo-connections/{connectionId}/health", Scope("connections:read"), 200, 404),
    ("POST /v1/vimeo-connections/{connectionId}/verify", Scope("connections:write"), 200, 404),
    ("POST /v1/vimeo-connections/{connectionId}/uploads", Scope("uploads:write"), 202, 404),
    ("GET /v1/jobs", Scope("uploads:read"), 200, 200),
    ("GET /v1/jobs/{jobId}", Scope("uploads:read"), 200, 404),
    // It has ended.
    ("PATCH /v1/jobs/{jobId}", Scope("uploads:write"), 409, 404),
    ("DELETE /v1/jobs/{jobId}", Scope("uploads:write"), 204, 404),
    ("GET /v1/jobs/{jobId}/events", Scope("uploads:read"), 200, 404),
    // It has not failed.
    ("POST /v1/jobs/{jobId}/retry", Scope("uploads:write"), 409, 404),
    ("POST /v1/webhook-secret", Scope("webhooks:manage"), 201, 201),
    ("POST /v1/webhook-endpoints", Scope("webhooks:manage"), 201, 201),
    ("GET /v1/webhook-endpoints", Scope("webhooks:manage"), 200, 200),
    ("GET /v1/webhook-endpoints/{endpointId}", Scope("webhooks:manage"), 200, 404),
    ("PATCH /v1/webhook-endpoints/{endpointId}", Scope("webhooks:manage"), 200, 404),
    ("DELETE /v1/webhook-endpoints/{endpointId}", Scope("webhooks:manage"), 204, 404),
    ("POST /v1/webhook-endpoints/{endpointId}/rotate-secret", Scope("webhooks:manage"), 200, 404),
    ("POST /v1/webhook-endpoints/{endpointId}/test", Scope("webhooks:manage"), 202, 404),
    ("GET /v1/webhook-endpoints/{endpointId}/deliveries", Scope("webhooks:manage"), 200, 404),
    ("GET /v1/webhook-deliveries", Scope("webhooks:manage"), 200, 200),
    ("POST /v1/webhook-deliveries/{deliveryId}/redeliver", Scope("webhooks:manage"), 202, 404),
    ("GET /v1/audit-events", Scope("audit:read"), 200, 200),
    ("GET /v1/audit-events/export", Scope("audit:read"), 200, 200),
    ("GET /v1/api-keys", Scope("keys:manage"), 200, 200),
    ("POST /v1/api-keys", Scope("keys:manage"), 201, 201),
    ("GET /v1/api-keys/{keyId}", Scope("keys:manage"), 200, 404),
    ("PATCH /v1/api-keys/{keyId}", Scope("keys:manage"), 200, 404),
    ("DELETE /v1/api-keys/{keyId}", Scope("keys:manage"), 204, 404),
    ("POST /v1/api-keys/{keyId}/rotate", Scope("keys:manage"), 201, 404),
];

/// A record of each kind that a path can name, in the account of the environment's key.
pub(super) struct Records {
    pub(super) connection: String,
    /// Of a cancelled upload, whose event stream ends.
    pub(super) job: String,
    pub(super) key: String,
    pub(super) endpoint: String,
    /// Of a test of the endpoint.
    pub(super) delivery: String,
    pub(super) authorization: String,
}

impl Records {
    pub(super) async fn create(env: &TestEnv, number: u32) -> Self {
        let created = env.post(&env.valid_body(&format!("connection {number}"))).await;
        assert_eq!(created.status, 201, "{}", created.text);
        let connection = created.json()["connectionId"].as_str().unwrap().to_owned();
        let uploads = format!("{COLLECTION}/{connection}/uploads");
        let accepted = env.send(Method::POST, &uploads, &[], upload().into()).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        let job = accepted.json()["data"]["jobId"].as_str().unwrap().to_owned();
        let path = format!("/pictoryapis/v1/jobs/{job}");
        assert_eq!(env.send(Method::DELETE, &path, &[], Vec::new()).await.status, 204);
        let body = json!({ "name": format!("key {number}"), "scopes": ["keys:manage"] }).to_string();
        let made = env.send(Method::POST, "/pictoryapis/v1/api-keys", &[], body.into()).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let key = made.json()["keyId"].as_str().unwrap().to_owned();
        let (endpoint, delivery) = create_endpoint(env).await;
        let authorization = create_authorization(env, number).await;
        Self { connection, job, key, endpoint, delivery, authorization }
    }

    /// The path of a route for these records.
    pub(super) fn path(&self, template: &str) -> String {
        let path = template
            .replace("{connectionId}", &self.connection)
            .replace("{jobId}", &self.job)
            .replace("{keyId}", &self.key)
            .replace("{endpointId}", &self.endpoint)
            .replace("{deliveryId}", &self.delivery)
            .replace("{authorizationId}", &self.authorization);
        assert!(!path.contains('{'), "{template} names a record that the test does not create");
        if path.starts_with("/v1/") { format!("/pictoryapis{path}") } else { path }
    }
}

/// An authorization that waits for its person.
async fn create_authorization(env: &TestEnv, number: u32) -> String {
    let path = format!("{COLLECTION}/authorizations");
    let made = env.send(Method::POST, &path, &[], authorization(&format!("asked {number}")).into()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()["authorizationId"].as_str().unwrap().to_owned()
}

fn authorization(name: &str) -> String {
    json!({ "name": name, "clientIdentifier": "client", "clientSecret": "secret" }).to_string()
}

/// An endpoint, and its test, which nothing delivers.
async fn create_endpoint(env: &TestEnv) -> (String, String) {
    let endpoints = "/pictoryapis/v1/webhook-endpoints";
    let made = env.send(Method::POST, endpoints, &[], endpoint().into()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json()["endpointId"].as_str().unwrap().to_owned();
    let tested = env.send(Method::POST, &format!("{endpoints}/{id}/test"), &[], Vec::new()).await;
    assert_eq!(tested.status, 202, "{}", tested.text);
    let listed = env.get(&format!("{endpoints}/{id}/deliveries")).await.json();
    (id, listed["items"][0]["deliveryId"].as_str().unwrap().to_owned())
}

fn endpoint() -> String {
    // It subscribes to nothing that the test does.
    json!({ "url": "https://hooks.invalid.example/", "events": ["connection.recovered"] }).to_string()
}

fn upload() -> String {
    json!({ "source": { "url": "https://media.invalid.example/film.mp4" } }).to_string()
}

/// A valid body for a route.
pub(super) fn body(env: &TestEnv, route: &str, number: u32) -> String {
    match route {
        "POST /v1/vimeo-connections" => env.valid_body(&format!("new {number}")).to_string(),
        "POST /v1/vimeo-connections/{connectionId}/uploads" => upload(),
        "PUT /v1/vimeo-connections/{connectionId}" => json!({ "version": 1, "enabled": false }).to_string(),
        "POST /v1/vimeo-connections/authorizations" => authorization(&format!("new {number}")),
        "POST /v1/webhook-endpoints" => endpoint(),
        "PATCH /v1/jobs/{jobId}" => json!({ "publishAt": null }).to_string(),
        "PATCH /v1/webhook-endpoints/{endpointId}" => json!({ "description": "changed" }).to_string(),
        "POST /v1/api-keys" | "PATCH /v1/api-keys/{keyId}" => {
            json!({ "name": format!("new {number}") }).to_string()
        }
        _ => String::new(),
    }
}

/// Every route in the OpenAPI description, with what it needs.
fn described() -> BTreeSet<(String, Option<String>)> {
    let document: Value = serde_json::from_str(include_str!("../../../../../docs/openapi.json")).unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/pictoryapis").unwrap_or(path);
        for (method, operation) in item.as_object().unwrap() {
            let scopes = operation["security"].pointer("/0/apiKey").map(|scopes| {
                let scopes = scopes.as_array().unwrap().iter().map(|scope| scope.as_str().unwrap());
                scopes.collect::<Vec<_>>().join(" ")
            });
            routes.insert((format!("{} {path}", method.to_uppercase()), scopes));
        }
    }
    routes
}

#[test]
fn every_route_has_a_row_with_its_declared_scope_in_the_access_matrix() {
    let row = |(route, needs, ..): &(&str, Needs, u16, u16)| {
        let scopes = match needs {
            Nothing => None,
            AnyKey => Some(String::new()),
            Scope(scope) => Some((*scope).to_owned()),
        };
        ((*route).to_owned(), scopes)
    };
    assert_eq!(MATRIX.iter().map(row).collect::<BTreeSet<_>>(), described());
    // No route bypasses the description.
    for undescribed in [".route(", ".route_service(", ".nest_service(", ".fallback_service("] {
        assert!(!include_str!("../../../../web/src/lib.rs").contains(undescribed), "{undescribed}");
    }
}

/// The callers of the matrix, each with its key.
struct Callers {
    /// A name, and a key that is not accepted.
    refused: Vec<(&'static str, String)>,
    /// A scope, and a key that has only that one.
    scoped: Vec<(&'static str, String)>,
    stranger: String,
}

impl Callers {
    fn create(env: &TestEnv) -> Self {
        let revoked = env.make_key("acme", &[]);
        revoke_key(env, &revoked);
        let mut unknown = env.api_key.clone();
        let last = unknown.pop().unwrap();
        unknown.push(if last == 'a' { 'b' } else { 'a' });
        let refused = vec![
            ("no key", String::new()),
            ("an unknown key", unknown),
            ("an expired key", env.make_key("acme", &["--expires-in-days", "0"])),
            ("a revoked key", revoked),
        ];
        let scoped = SCOPES.map(|scope| (scope, env.make_key("acme", &["--scopes", scope])));
        Self { refused, scoped: scoped.into(), stranger: env.make_key("another", &[]) }
    }
}

async fn call(env: &TestEnv, route: &str, records: &Records, number: u32, key: &str) -> Response {
    let (method, template) = route.split_once(' ').unwrap();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let headers = [("authorization", key)];
    env.send(method, &records.path(template), &headers, body(env, route, number).into()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_follows_the_access_matrix() {
    // No worker may fetch the requested sources.
    let env = TestEnv::with(EnvOptions {
        config: "uploads.work = false\nlimits.webhook_endpoints = 0\n".to_owned(),
        verification_off: true,
        ..EnvOptions::default()
    })
    .await;
    let callers = Callers::create(&env);
    let mut number = 0;
    for (route, needs, own, foreign) in MATRIX {
        // Refused callers change nothing, so that they share one set of records.
        number += 1;
        let records = Records::create(&env, number).await;
        for (caller, key) in &callers.refused {
            let answer = call(&env, route, &records, number, key).await;
            let expected = if needs == Nothing { own } else { 401 };
            assert_eq!(answer.status.as_u16(), expected, "{route} with {caller}: {}", answer.text);
        }
        let answer = call(&env, route, &records, number, &callers.stranger).await;
        assert_eq!(answer.status.as_u16(), foreign, "{route} of another account: {}", answer.text);
        for (scope, key) in &callers.scoped {
            let is_allowed = match needs {
                Nothing | AnyKey => true,
                Scope(needed) => needed == *scope,
            };
            if is_allowed {
                continue;
            }
            let answer = call(&env, route, &records, number, key).await;
            assert_eq!(answer.status.as_u16(), 403, "{route} with {scope}: {}", answer.text);
            let Scope(needed) = needs else { unreachable!() };
            let message = format!("The API key does not allow this: it lacks the scope {needed}.");
            assert_eq!(answer.json(), json!({ "code": "FORBIDDEN", "message": message }), "{route}");
        }
        // The records are unchanged: each allowed caller gets what the owner gets.
        let allowed = callers.scoped.iter().filter(|(scope, _)| match needs {
            Nothing | AnyKey => true,
            Scope(needed) => needed == *scope,
        });
        let full = env.api_key.clone();
        for (caller, key) in allowed.map(|(scope, key)| (*scope, key)).chain([("all scopes", &full)]) {
            number += 1;
            let records = Records::create(&env, number).await;
            let answer = call(&env, route, &records, number, key).await;
            assert_eq!(answer.status.as_u16(), own, "{route} with {caller}: {}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scope_is_checked_after_the_key_and_before_the_body_and_the_record() {
    let env = TestEnv::without_verification("").await;
    let reads = env.make_key("acme", &["--scopes", "connections:read,uploads:read"]);
    let headers = [("authorization", &*reads), ("content-type", "text/plain")];
    for (method, path) in [
        (Method::POST, COLLECTION.to_owned()),
        (Method::PUT, format!("{COLLECTION}/unknown")),
        (Method::DELETE, format!("{COLLECTION}/unknown")),
        (Method::POST, format!("{COLLECTION}/unknown/uploads")),
        (Method::DELETE, "/pictoryapis/v1/jobs/unknown".to_owned()),
        (Method::POST, "/pictoryapis/v1/api-keys?unknown=1".to_owned()),
    ] {
        let answer = env.send(method.clone(), &path, &headers, b"{".to_vec()).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (403, "FORBIDDEN"), "{method} {path}");
    }
    let answer = env.send(Method::PATCH, COLLECTION, &headers, Vec::new()).await;
    assert_eq!(answer.status, 405, "the method is checked first");
    // HEAD needs what GET needs.
    let writes = env.make_key("acme", &["--scopes", "connections:write"]);
    for (key, expected) in [(&reads, 200), (&writes, 403)] {
        let answer = env.send(Method::HEAD, COLLECTION, &[("authorization", key)], Vec::new()).await;
        assert_eq!(answer.status.as_u16(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_mutation_is_audited_and_a_forbidden_read_is_not() {
    let env = TestEnv::without_verification("").await;
    let reads = env.make_key("acme", &["--scopes", "uploads:read"]);
    let headers = [("authorization", &*reads)];
    let audited = || -> Vec<(String, Option<String>, String)> {
        let database = env.database();
        let sql = "SELECT action, subject, refusal FROM audit_events WHERE refusal IS NOT NULL ORDER BY audit_event_id";
        let mut statement = database.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    };
    let id = "20260131090500042abcdefghijklmno";
    env.send(Method::GET, &format!("{COLLECTION}/{id}"), &headers, Vec::new()).await;
    assert_eq!(audited(), []);
    env.send(Method::DELETE, &format!("{COLLECTION}/{id}"), &headers, Vec::new()).await;
    env.send(Method::POST, COLLECTION, &headers, b"{}".to_vec()).await;
    let refused = |action: &str, subject: Option<&str>| {
        (action.to_owned(), subject.map(str::to_owned), "FORBIDDEN".to_owned())
    };
    assert_eq!(audited(), [refused("delete_connection", Some(id)), refused("create_connection", None)]);
    // A key in the place of an ID is not kept.
    let pasted = COLLECTION.replace("vimeo-connections", "api-keys/") + &reads;
    env.send(Method::DELETE, &pasted, &headers, Vec::new()).await;
    assert_eq!(audited()[2..], [refused("revoke_api_key", None)]);
}
