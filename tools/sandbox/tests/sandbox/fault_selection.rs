//! Which requests faults apply to, and invalid faults.

use serde_json::{Value, json};

use crate::faults::{pending, verify};
use crate::support::test_sandbox::TestSandbox;

#[tokio::test]
async fn faults_apply_in_order_and_as_often_as_configured() {
    let sandbox = TestSandbox::strict().await;
    let status = |status: u16| json!({"route": "GET /oauth/verify", "kind": "empty", "status": status});
    let with = |mut fault: Value, name: &str, value: Value| {
        fault[name] = value;
        fault
    };
    sandbox.fault(with(status(501), "after", json!(1))).await;
    sandbox.fault(with(status(502), "times", json!(2))).await;
    sandbox.fault(status(503)).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(verify(&sandbox).await.status);
    }
    assert_eq!(seen, [502, 501, 502, 503, 200]);
    assert_eq!(pending(&sandbox).await, json!([]));
}

#[tokio::test]
async fn an_unlimited_fault_lasts_until_it_is_removed() {
    let sandbox = TestSandbox::strict().await;
    for times in [json!(0), json!("always")] {
        let fault = json!({"route": "/me", "kind": "empty", "status": 500, "times": times});
        let made = sandbox.control("POST", "faults", &fault).await.json();
        for _ in 0..3 {
            assert_eq!(sandbox.request("GET", "/me").await.status, 500);
        }
        assert_eq!(pending(&sandbox).await[0]["remaining"], "always");
        let path = format!("faults/{}", made["id"]);
        assert_eq!(sandbox.control("DELETE", &path, &Value::Null).await.status, 204);
        assert_eq!(sandbox.control("DELETE", &path, &Value::Null).await.status, 404);
        assert_eq!(sandbox.request("GET", "/me").await.status, 200);
    }
}

#[tokio::test]
async fn a_fault_applies_only_to_its_route() {
    let sandbox = TestSandbox::strict().await;
    for (route, method, path, hits) in [
        ("get /me", "GET", "/me", true),
        ("GET /me", "PUT", "/me", false),
        ("GET /me", "GET", "/me?fields=uri", true),
        ("/me", "GET", "/me/videos", false),
        ("/me*", "GET", "/me/videos", true),
        ("/oauth/*", "GET", "/oauth/verify", true),
        ("/oauth/*", "GET", "/me", false),
        ("DELETE *", "DELETE", "/anything", true),
        ("*", "GET", "/anything", true),
    ] {
        sandbox.fault(json!({"route": route, "kind": "empty", "status": 599})).await;
        assert_eq!(sandbox.request(method, path).await.status == 599, hits, "{route} {method} {path}");
        sandbox.control("DELETE", "faults", &Value::Null).await;
    }
}

#[tokio::test]
async fn controls_are_never_faulted_counted_or_journalled() {
    let sandbox = TestSandbox::on_plan(sandbox::Plan::Free).await;
    sandbox.fault(json!({"route": "*", "kind": "cut", "times": 1})).await;
    for _ in 0..30 {
        assert_eq!(sandbox.request("GET", "/_sandbox/journal").await.status, 200);
    }
    assert_eq!(pending(&sandbox).await[0]["remaining"], 1);
    assert!(sandbox.journal().await.is_empty());
}

#[tokio::test]
async fn an_invalid_fault_is_rejected_with_a_message() {
    let sandbox = TestSandbox::strict().await;
    for (fault, part) in [
        (json!({}), "needs a `kind`"),
        (json!({"kind": "explode", "route": "*"}), "there are status, delay, hold, cut,"),
        (json!({"kind": "cut"}), "needs a `route`"),
        (json!({"kind": "cut", "route": "me"}), "is not a route"),
        (json!({"kind": "cut", "route": "/a*b"}), "is not a route"),
        (json!({"kind": "cut", "route": "/me?x"}), "is not a route"),
        (json!({"kind": "cut", "route": "G(T /me"}), "HTTP method"),
        (json!({"kind": "cut", "route": "GET /_sandbox/reset"}), "never subject"),
        (json!({"kind": "cut", "route": "*", "millis": 5}), "takes `route`, `kind`, `times`, `after`"),
        (json!({"kind": "cut", "route": "*", "times": -1}), "`times`"),
        (json!({"kind": "cut", "route": "*", "times": "often"}), "`times`"),
        (json!({"kind": "cut", "route": "*", "after": 1.5}), "`after`"),
        (json!({"kind": "delay", "route": "*"}), "needs `millis`"),
        (json!({"kind": "hold", "route": "*", "times": 1}), "takes no `times`"),
        (json!({"kind": "status", "route": "*"}), "needs a `status`"),
        (json!({"kind": "status", "route": "*", "status": 100}), "between 200 and 599"),
        (json!({"kind": "status", "route": "*", "status": 500, "headers": {"a b": "c"}}), "header's name"),
        (
            json!({"kind": "status", "route": "*", "status": 500, "headers": {"a": "b\n"}}),
            "is not a valid header value",
        ),
        (json!({"kind": "status", "route": "*", "status": 500, "headers": {"a": 1}}), "must be a string"),
        (json!({"kind": "status", "route": "*", "status": 500, "headers": []}), "object of strings"),
        (
            json!({"kind": "status", "route": "*", "status": 500, "headers": {"Content-Length": "5"}}),
            "cannot be set",
        ),
        (json!({"kind": "status", "route": "*", "status": 500, "body": "x", "error_code": 5}), "not both"),
        (json!({"kind": "status", "route": "*", "status": 500, "error_code": 4_294_967_296_u64}), "at most"),
        (json!({"kind": "redirect", "route": "*"}), "needs a `location`"),
    ] {
        let reply = sandbox.control("POST", "faults", &fault).await;
        let sentence = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(reply.status == 400 && sentence.contains(part), "{fault}: {sentence}");
    }
    assert_eq!(pending(&sandbox).await, json!([]));
}
