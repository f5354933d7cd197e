//! With an audit log that cannot be written, nothing is changed: neither over HTTP nor on the command line.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::audit::AuditEnv;
use crate::support::connections::create;
use crate::support::harness::{ACCOUNT, COLLECTION, Response, is_documented_failure, printed};
use crate::support::webhooks::ENDPOINTS;

/// What mutations change. Claims of idempotency keys change nothing, and the last use of a key is recorded later.
const QUERIES: [&str; 9] = [
    "SELECT * FROM accounts",
    "SELECT api_key_id, name, expires_at, revoked_at, row_mac FROM api_keys",
    "SELECT * FROM connections",
    "SELECT * FROM jobs",
    "SELECT * FROM job_secrets",
    "SELECT * FROM webhook_secrets",
    "SELECT * FROM webhook_endpoints",
    "SELECT * FROM webhook_deliveries",
    "SELECT * FROM authorizations",
];
/// Jobs stay where they are.
const CONFIG: &str = "uploads.work = false\n";

/// Every route that changes something.
const MUTATIONS: [&str; 21] = [
    "POST /v1/vimeo-connections",
    "POST /v1/vimeo-connections/authorizations",
    "DELETE /v1/vimeo-connections/authorizations/{authorizationId}",
    "PUT /v1/vimeo-connections/{connectionId}",
    "POST /v1/vimeo-connections/{connectionId}/verify",
    "DELETE /v1/vimeo-connections/{connectionId}",
    "POST /v1/vimeo-connections/{connectionId}/uploads",
    "POST /v1/jobs/{jobId}/retry",
    "PATCH /v1/jobs/{jobId}",
    "DELETE /v1/jobs/{jobId}",
    "POST /v1/webhook-secret",
    "POST /v1/webhook-endpoints",
    "PATCH /v1/webhook-endpoints/{endpointId}",
    "POST /v1/webhook-endpoints/{endpointId}/rotate-secret",
    "POST /v1/webhook-endpoints/{endpointId}/test",
    "POST /v1/webhook-deliveries/{deliveryId}/redeliver",
    "DELETE /v1/webhook-endpoints/{endpointId}",
    "POST /v1/api-keys",
    "PATCH /v1/api-keys/{keyId}",
    "POST /v1/api-keys/{keyId}/rotate",
    "DELETE /v1/api-keys/{keyId}",
];

fn described_mutations() -> BTreeSet<String> {
    let described: Value = serde_json::from_str(include_str!("../../../../../docs/openapi.json")).unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let path = path.strip_prefix("/pictoryapis").unwrap_or(path).to_owned();
        let methods = item.as_object().unwrap().keys().filter(|method| *method != "get");
        let methods: Vec<_> = methods.map(|method| method.to_uppercase()).collect();
        methods.into_iter().map(move |method| format!("{method} {path}"))
    };
    described["paths"].as_object().unwrap().iter().flat_map(of_path).collect()
}

#[test]
fn every_route_that_changes_something_is_tested_without_an_audit_log() {
    assert_eq!(MUTATIONS.map(str::to_owned).into_iter().collect::<BTreeSet<_>>(), described_mutations());
}

/// Everything that mutations could have changed.
fn stored(audit: &AuditEnv) -> Vec<String> {
    QUERIES
        .iter()
        .map(|query| {
            if audit.is_postgres() {
                return audit.value(&format!("SELECT (t)::text FROM ({query}) AS t ORDER BY 1"));
            }
            let database = audit.env.database();
            let mut rows = database.prepare(query).unwrap();
            let columns = rows.column_count();
            let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
                (0..columns).map(|at| Ok(format!("{:?} ", row.get_ref(at)?))).collect()
            };
            let mut rows: Vec<_> = rows.query_map([], read).unwrap().map(Result::unwrap).collect();
            rows.sort_unstable();
            rows.concat()
        })
        .collect()
}

fn forbid_events(audit: &AuditEnv) {
    audit.sql(if audit.is_postgres() {
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no audit log'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION refuse()"
    } else {
        "CREATE TRIGGER refuse BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'no audit log'); END"
    });
}

async fn request(
    audit: &AuditEnv,
    mutation: &str,
    [connection, job, key, endpoint, delivery, authorization]: [&str; 6],
) -> Response {
    let env = &audit.env;
    let (method, path) = mutation.split_once(' ').unwrap();
    let body = match mutation {
        "POST /v1/vimeo-connections" => env.valid_body("another"),
        "PUT /v1/vimeo-connections/{connectionId}" => json!({"version": 1, "description": "changed"}),
        "POST /v1/vimeo-connections/{connectionId}/uploads" => upload(),
        "POST /v1/vimeo-connections/authorizations" => new_authorization("asked"),
        "POST /v1/webhook-endpoints" => new_endpoint(),
        "PATCH /v1/jobs/{jobId}" => json!({"publishAt": null}),
        "PATCH /v1/webhook-endpoints/{endpointId}" => json!({"description": "changed"}),
        "POST /v1/api-keys" | "PATCH /v1/api-keys/{keyId}" => json!({"name": "another"}),
        _ => Value::Null,
    };
    let path = path.replace("{connectionId}", connection).replace("{jobId}", job).replace("{keyId}", key);
    let path = path.replace("{endpointId}", endpoint).replace("{deliveryId}", delivery);
    let path = path.replace("{authorizationId}", authorization);
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let (headers, body) = match body {
        Value::Null => (Vec::new(), Vec::new()),
        body => (vec![("content-type", "application/json")], body.to_string().into_bytes()),
    };
    env.send(method, &format!("/pictoryapis{path}"), &headers, body).await
}

fn new_endpoint() -> Value {
    json!({"url": "https://hooks.example.com/"})
}

fn new_authorization(name: &str) -> Value {
    json!({"name": name, "clientIdentifier": "client", "clientSecret": "secret"})
}

fn upload() -> Value {
    json!({"source": {"url": "https://example.com/film.mp4"}})
}

async fn nothing_changes(audit: AuditEnv) {
    let env = &audit.env;
    let connection = create(env, &env.valid_body("kept")).await;
    let headers = [("content-type", "application/json")];
    let path = format!("{COLLECTION}/{connection}/uploads");
    let accepted = env.send(Method::POST, &path, &headers, upload().to_string().into_bytes()).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let job = accepted.json()["data"]["jobId"].as_str().unwrap().to_owned();
    // A second key, which may be revoked.
    env.make_key(ACCOUNT, &["--name", "second"]);
    let key = audit.value("SELECT api_key_id FROM api_keys WHERE name = 'second'");
    let created = env.send(Method::POST, ENDPOINTS, &headers, new_endpoint().to_string().into_bytes()).await;
    let endpoint = created.json()["endpointId"].as_str().unwrap().to_owned();
    env.send(Method::POST, &format!("{ENDPOINTS}/{endpoint}/test"), &[], Vec::new()).await;
    let delivery = audit.value("SELECT delivery_id FROM webhook_deliveries");
    let path = format!("{COLLECTION}/authorizations");
    let asked =
        env.send(Method::POST, &path, &headers, new_authorization("open").to_string().into_bytes()).await;
    let authorization = asked.json()["authorizationId"].as_str().unwrap().to_owned();
    let ids = [&*connection, &job, &key, &endpoint, &delivery, &authorization];
    forbid_events(&audit);
    let before = stored(&audit);
    for mutation in MUTATIONS {
        let answer = request(&audit, mutation, ids).await;
        assert_eq!(answer.status, 503, "{mutation}: {}", answer.text);
        assert_eq!(stored(&audit), before, "{mutation}");
    }
    // Not even a refusal is reported that is not audited.
    let refused = env.post(&env.valid_body("kept")).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    for command in [
        &["accounts", "create", "new"][..],
        &["accounts", "delete", ACCOUNT, "--yes"],
        &["keys", "create", "--account", ACCOUNT],
        &["keys", "revoke", &key],
        &["connections", "delete", "kept", "--account", ACCOUNT, "--yes"],
    ] {
        let output = env.cli(command, "");
        assert!(is_documented_failure(&output), "{command:?}: {}", printed(&output));
        assert_eq!(stored(&audit), before, "{command:?}");
    }
    // It is only the log: reads are served.
    assert_eq!(env.get(&format!("{COLLECTION}/{connection}")).await.status, 200);
    audit.sql(if audit.is_postgres() {
        "DROP TRIGGER refuse ON audit_events"
    } else {
        "DROP TRIGGER refuse"
    });
    for mutation in MUTATIONS {
        let answer = request(&audit, mutation, ids).await;
        // What the mutation before has deleted, a job that has not failed, or a check that follows another too soon.
        let is_refused = [404, 409, 429].contains(&answer.status.as_u16());
        assert!(answer.status.is_success() || is_refused, "{mutation}: {}", answer.text);
    }
    assert_ne!(stored(&audit), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_writable_audit_log_nothing_is_changed() {
    nothing_changes(AuditEnv::sqlite(CONFIG).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_writable_audit_log_nothing_is_changed_on_postgres() {
    let Some(audit) = AuditEnv::postgres(CONFIG).await else { return };
    nothing_changes(audit).await;
}
