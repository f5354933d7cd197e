//! API keys over HTTP: creating, listing, renaming, rotating and revoking them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{COLLECTION, Response, TestEnv, until};

const KEYS: &str = "/pictoryapis/v1/api-keys";
const ALL: [&str; 7] = [
    "connections:read",
    "connections:write",
    "uploads:read",
    "uploads:write",
    "webhooks:manage",
    "audit:read",
    "keys:manage",
];

async fn send(env: &TestEnv, key: &str, method: Method, path: &str, body: Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    env.send(method, path, &[("authorization", key)], body.into()).await
}

/// Creates a key with the environment's key; its object.
async fn create(env: &TestEnv, body: Value) -> Value {
    let made = send(env, &env.api_key, Method::POST, KEYS, body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()
}

fn id_of(key: &Value) -> String {
    key["keyId"].as_str().unwrap().to_owned()
}

fn text_of(key: &Value) -> String {
    key["key"].as_str().unwrap().to_owned()
}

async fn whoami(env: &TestEnv, key: &str) -> Response {
    send(env, key, Method::GET, "/pictoryapis/v1/whoami", Value::Null).await
}

async fn own_id(env: &TestEnv) -> String {
    whoami(env, &env.api_key).await.json()["keyId"].as_str().unwrap().to_owned()
}

async fn until_refused(env: &TestEnv, key: &str) {
    until("the key is refused", async || whoami(env, key).await.status == 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_created_key_is_shown_once_and_works() {
    let env = TestEnv::without_verification("").await;
    let body = json!({ "name": " billing ", "scopes": ["keys:manage", "audit:read"], "expiresInDays": 90 });
    let made = send(&env, &env.api_key, Method::POST, KEYS, body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let mut made_json = made.json();
    let (id, key) = (id_of(&made_json), text_of(&made_json));
    assert_eq!(made.header("location"), format!("{KEYS}/{id}"));
    assert_eq!((made_json["name"].as_str(), key.len()), (Some("billing"), 56));
    assert_eq!(made_json["lastFour"].as_str(), key.get(52..));
    assert_eq!(made_json["scopes"], json!(["audit:read", "keys:manage"]), "in the order of the contract");
    assert_eq!(made_json["creator"].as_str(), Some(&*own_id(&env).await));
    made_json.as_object_mut().unwrap().remove("key");
    for listed in
        [env.get(&format!("{KEYS}/{id}")).await.json(), env.get(KEYS).await.json()["items"][1].clone()]
    {
        assert_eq!(listed, made_json);
    }
    let who = whoami(&env, &key).await.json();
    assert_eq!((&who["keyId"], &who["scopes"]), (&json!(id), &json!(["audit:read", "keys:manage"])));
    assert_eq!(who["expiresDate"], made_json["expiresDate"]);
    assert!(!env.log().contains(&key));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_scopes_in_the_request_allows_what_its_creator_allows() {
    let env = TestEnv::without_verification("").await;
    let full = create(&env, json!({ "name": "full", "scopes": null, "expiresInDays": null })).await;
    assert_eq!((&full["scopes"], full.get("expiresDate")), (&json!(ALL), None));
    let limited =
        create(&env, json!({ "name": "limited", "scopes": ["keys:manage"], "expiresInDays": 5 })).await;
    let made = send(&env, &text_of(&limited), Method::POST, KEYS, json!({ "name": "third" })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json()["scopes"], json!(["keys:manage"]));
    assert_eq!(made.json()["expiresDate"], limited["expiresDate"], "it expires with its creator");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_never_allows_more_or_for_longer_than_its_creator() {
    let env = TestEnv::without_verification("").await;
    let limited = json!({ "name": "limited", "scopes": ["keys:manage", "audit:read"], "expiresInDays": 5 });
    let limited = create(&env, limited).await;
    let key = text_of(&limited);
    let wider = json!({ "name": "wider", "scopes": ["audit:read", "uploads:write", "connections:read"] });
    let refused = send(&env, &key, Method::POST, KEYS, wider).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (403, "FORBIDDEN"));
    assert!(refused.text.contains("it lacks the scope connections:read"), "{}", refused.text);
    let longer = json!({ "name": "longer", "scopes": ["audit:read"], "expiresInDays": 6 });
    let refused = send(&env, &key, Method::POST, KEYS, longer).await;
    assert_eq!(refused.status, 400);
    let fault = "must not exceed the expiry of the key that creates it";
    assert_eq!(refused.fields(), [("expiresInDays".to_owned(), fault.to_owned())]);
    // Rotating a wider key would return one.
    let own = own_id(&env).await;
    let refused = send(&env, &key, Method::POST, &format!("{KEYS}/{own}/rotate"), Value::Null).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (403, "FORBIDDEN"), "{}", refused.text);
    assert_eq!(env.get(KEYS).await.json()["items"].as_array().unwrap().len(), 2, "nothing was created");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_body_is_named() {
    let env = TestEnv::without_verification("").await;
    let scopes = "must be one of connections:read, connections:write, uploads:read, uploads:write, webhooks:manage, \
                  audit:read, keys:manage";
    let days = "must be a whole number from 1 to 36500";
    for (body, faults) in [
        (json!({}), vec![("name", "is required")]),
        (json!({ "name": " " }), vec![("name", "must not be empty")]),
        (json!({ "name": "a", "scopes": [] }), vec![("scopes", "must name at least one scope")]),
        (
            json!({ "name": 5, "scopes": ["audit:read", "audit:write"], "expiresInDays": 0 }),
            vec![
                ("name", "must be a string"),
                ("scopes", &*format!("entry 2 is invalid: {scopes}")),
                ("expiresInDays", days),
            ],
        ),
        (json!({ "name": "a", "expiresInDays": 1.5 }), vec![("expiresInDays", days)]),
        (json!({ "name": "a", "expiresInDays": 36501 }), vec![("expiresInDays", days)]),
        (
            json!({ "name": "a", "scope": ["audit:read"] }),
            vec![("scope", "is not a known field; did you mean scopes?")],
        ),
        (json!({ "name": "a", "key": "x" }), vec![("key", "is not a known field")]),
    ] {
        let refused = send(&env, &env.api_key, Method::POST, KEYS, body.clone()).await;
        assert_eq!((refused.status.as_u16(), &*refused.code()), (400, "INVALID_REQUEST_BODY"), "{body}");
        let faults: Vec<_> =
            faults.iter().map(|(name, fault)| ((*name).to_owned(), (*fault).to_owned())).collect();
        assert_eq!(refused.fields(), faults, "{body}");
    }
    let own = format!("{KEYS}/{}", own_id(&env).await);
    let overlap = "must be a whole number from 0 to 2592000";
    for (method, path, body, fault) in [
        (Method::PATCH, own.clone(), json!({ "name": null }), ("name", "must be a string")),
        (
            Method::PATCH,
            own.clone(),
            json!({ "name": "a", "scopes": ALL }),
            ("scopes", "is not a known field"),
        ),
        (Method::POST, format!("{own}/rotate"), json!({ "overlapSeconds": -1 }), ("overlapSeconds", overlap)),
        (
            Method::POST,
            format!("{own}/rotate"),
            json!({ "overlapSeconds": 2_592_001 }),
            ("overlapSeconds", overlap),
        ),
        (Method::POST, format!("{own}/rotate"), json!({ "overlap": 1 }), ("overlap", "is not a known field")),
    ] {
        let refused = send(&env, &env.api_key, method, &path, body.clone()).await;
        assert_eq!(refused.fields(), [(fault.0.to_owned(), fault.1.to_owned())], "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_key_keeps_working_and_its_events_name_who_renamed_it() {
    let env = TestEnv::without_verification("").await;
    let made = create(&env, json!({ "name": "before" })).await;
    let path = format!("{KEYS}/{}", id_of(&made));
    let renamed = send(&env, &env.api_key, Method::PATCH, &path, json!({ "name": "after" })).await;
    assert_eq!((renamed.status.as_u16(), &renamed.json()["name"]), (200, &json!("after")));
    assert_eq!(whoami(&env, &text_of(&made)).await.status, 200);
    let sql = "SELECT subject FROM audit_events WHERE action = 'rename_api_key' AND api_key_id = ?1";
    let subject: String = env.database().query_row(sql, [own_id(&env).await], |row| row.get(0)).unwrap();
    assert_eq!(subject, id_of(&made));
    for path in [format!("{KEYS}/key_00000000000000000000"), format!("{KEYS}/x")] {
        let missing = send(&env, &env.api_key, Method::PATCH, &path, json!({ "name": "after" })).await;
        assert_eq!((missing.status.as_u16(), &*missing.code()), (404, "API_KEY_NOT_FOUND"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_works_beside_its_successor_until_the_overlap_ends() {
    let env = TestEnv::without_verification("").await;
    let old = create(&env, json!({ "name": "ci", "scopes": ["audit:read"], "expiresInDays": 30 })).await;
    let path = format!("{KEYS}/{}/rotate", id_of(&old));
    let first = send(&env, &env.api_key, Method::POST, &path, Value::Null).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let successor = first.json();
    assert_eq!(successor["rotatedFrom"], old["keyId"]);
    for field in ["name", "scopes", "expiresDate"] {
        assert_eq!(successor[field], old[field], "{field}");
    }
    for key in [&old, &successor] {
        assert_eq!(whoami(&env, &text_of(key)).await.status, 200);
    }
    let shown = env.get(&format!("{KEYS}/{}", id_of(&old))).await.json();
    assert!(shown["expiresDate"].as_str() < old["expiresDate"].as_str(), "it expires after a day: {shown}");
    let path = format!("{KEYS}/{}/rotate", id_of(&successor));
    let body = json!({ "overlapSeconds": 0, "expiresInDays": 60 });
    let second = send(&env, &env.api_key, Method::POST, &path, body).await;
    assert_eq!(second.status, 201, "{}", second.text);
    assert!(second.json()["expiresDate"].as_str() > successor["expiresDate"].as_str());
    until_refused(&env, &text_of(&successor)).await;
    assert_eq!(whoami(&env, &text_of(&second.json())).await.status, 200);
    let again = send(&env, &env.api_key, Method::POST, &path, Value::Null).await;
    assert_eq!((again.status.as_u16(), &*again.code()), (409, "API_KEY_NOT_ACTIVE"), "it has expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_stops_working_and_the_last_managing_key_stays() {
    let env = TestEnv::without_verification("").await;
    let (reads, manages) = (
        create(&env, json!({ "name": "reads", "scopes": ["connections:read"] })).await,
        create(&env, json!({ "name": "manages", "scopes": ["keys:manage"] })).await,
    );
    let path = format!("{KEYS}/{}", id_of(&reads));
    for _ in 0..2 {
        let revoked = send(&env, &env.api_key, Method::DELETE, &path, Value::Null).await;
        assert_eq!((revoked.status.as_u16(), &*revoked.text), (204, ""));
    }
    until_refused(&env, &text_of(&reads)).await;
    assert_eq!(env.get(&path).await.json()["status"], "revoked");
    // A key may revoke itself while another one manages keys.
    let own = format!("{KEYS}/{}", own_id(&env).await);
    let revoked = send(&env, &env.api_key, Method::DELETE, &own, Value::Null).await;
    assert_eq!(revoked.status, 204, "{}", revoked.text);
    until_refused(&env, &env.api_key).await;
    let last = format!("{KEYS}/{}", id_of(&manages));
    let refused = send(&env, &text_of(&manages), Method::DELETE, &last, Value::Null).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (409, "LAST_MANAGING_KEY"));
    assert_eq!(whoami(&env, &text_of(&manages)).await.status, 200);
    let by_operator = env.cli(&["keys", "revoke", "manages"], "");
    assert!(by_operator.status.success(), "{by_operator:?}");
    until_refused(&env, &text_of(&manages)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_listed_in_pages_oldest_first() {
    let env = TestEnv::without_verification("").await;
    let mut ids = vec![own_id(&env).await];
    for number in 0..4 {
        ids.push(id_of(&create(&env, json!({ "name": format!("key {number}") })).await));
    }
    let (mut listed_ids, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = env.get(&format!("{KEYS}{query}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert!(!page.text.contains("\"key\""), "the keys themselves are not listed");
        listed_ids.extend(page.json()["items"].as_array().unwrap().iter().map(id_of));
        let Some(next) = page.json()["nextPageKey"].as_str().map(str::to_owned) else { break };
        query = format!("?limit=2&nextPageKey={next}");
    }
    assert_eq!(listed_ids, ids);
    let refused = env.get(&format!("{KEYS}?status=active")).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (400, "INVALID_QUERY"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hour_of_a_keys_last_use_is_stored_without_a_write_on_the_request_path() {
    let mut env = TestEnv::without_verification("").await;
    let used = create(&env, json!({ "name": "used" })).await;
    let idle = create(&env, json!({ "name": "idle" })).await;
    assert_eq!(whoami(&env, &text_of(&used)).await.status, 200);
    // A shutdown stores what is in memory.
    assert_eq!(env.service.terminate(), Some(0));
    env.kill_and_restart();
    let listed = env.get(KEYS).await.json();
    let item = |key: &Value| {
        let items = listed["items"].as_array().unwrap();
        items.iter().find(|item| item["keyId"] == key["keyId"]).unwrap().clone()
    };
    let hour = item(&used)["lastUsedDate"].as_str().unwrap().to_owned();
    assert!(hour.ends_with(":00:00.000Z"), "{hour}");
    assert_eq!(item(&idle).get("lastUsedDate"), None);
    let headers = [("authorization", &*text_of(&used))];
    assert_eq!(
        env.send(Method::GET, COLLECTION, &headers, Vec::new()).await.status,
        200,
        "it still verifies"
    );
}
