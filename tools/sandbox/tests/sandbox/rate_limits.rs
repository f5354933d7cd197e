use sandbox::Plan;
use serde_json::json;

use crate::support::test_sandbox::{Reply, TestSandbox};

fn standing(reply: &Reply) -> (u64, u64, &str) {
    let number = |name| reply.header(name).unwrap().parse().unwrap();
    let reset = reply.header("x-ratelimit-reset").unwrap();
    (number("x-ratelimit-limit"), number("x-ratelimit-remaining"), reset)
}

#[tokio::test]
async fn requests_beyond_the_limit_are_rejected_until_the_window_ends() {
    let sandbox = TestSandbox::on_plan(Plan::Free).await;
    let reset = "2021-10-05T13:47:34+00:00";
    for left in (0..25).rev() {
        let reply = sandbox.request("GET", "/oauth/verify").await;
        assert_eq!((reply.status, standing(&reply)), (200, (25, left, reset)));
    }
    let refused = sandbox.request("GET", "/oauth/verify").await;
    assert_eq!((refused.status, refused.code()), (429, json!(9000)));
    assert_eq!(standing(&refused), (25, 0, reset));

    sandbox.pass_seconds(59);
    assert_eq!(sandbox.request("GET", "/me").await.status, 429);
    sandbox.pass_seconds(1);
    let fresh = sandbox.request("GET", "/me").await;
    assert_eq!((fresh.status, standing(&fresh)), (200, (25, 24, "2021-10-05T13:48:34+00:00")));
}

#[tokio::test]
async fn fields_double_the_limit() {
    let sandbox = TestSandbox::on_plan(Plan::Free).await;
    for _ in 0..25 {
        assert_eq!(sandbox.request("GET", "/me").await.status, 200);
    }
    assert_eq!(sandbox.request("GET", "/me").await.status, 429);
    let reply = sandbox.request("GET", "/me?fields=uri").await;
    let (limit, remaining, _) = standing(&reply);
    assert_eq!((reply.status, limit, remaining), (200, 50, 24));
}

#[tokio::test]
async fn every_plan_has_its_limit() {
    let sandbox = TestSandbox::strict().await;
    for (plan, limit) in [
        ("free", 25),
        ("starter", 125),
        ("standard", 250),
        ("advanced", 750),
        ("studio", 1500),
        ("enterprise", 2500),
        ("basic", 25),
        ("plus", 125),
        ("pro", 250),
        ("business", 500),
        ("premium", 750),
    ] {
        sandbox.change_owner(json!({"plan": plan})).await;
        let reply = sandbox.request("GET", "/me").await;
        assert_eq!((standing(&reply).0, &reply.json()["account"]), (limit, &json!(plan)));
        assert_eq!(standing(&sandbox.request("GET", "/me?fields=uri").await).0, 2 * limit);
    }
}

#[tokio::test]
async fn an_apps_token_uses_its_owners_limit() {
    let sandbox = TestSandbox::on_plan(Plan::Free).await;
    let token = sandbox.grant_first().await.json()["access_token"].clone();
    sandbox.request("GET", "/oauth/verify").await;
    let reply = sandbox.request_with(token.as_str().unwrap(), "GET", "/oauth/verify").await;
    assert_eq!(standing(&reply).1, 23);
}

#[tokio::test]
async fn users_have_separate_limits() {
    let sandbox = TestSandbox::on_plan(Plan::Free).await;
    let body = json!({"app": sandbox.running.client_id, "user": {"name": "Somebody Else"}});
    let other = sandbox.control("POST", "tokens", &body).await.json();
    sandbox.request("GET", "/oauth/verify").await;
    let reply = sandbox.request_with(other["access_token"].as_str().unwrap(), "GET", "/oauth/verify").await;
    assert_eq!(standing(&reply).1, 24);
}

#[tokio::test]
async fn every_authenticated_response_has_rate_limit_headers() {
    let sandbox = TestSandbox::strict().await;
    for (method, path, status) in
        [("GET", "/me", 200), ("GET", "/nonsense", 404), ("PUT", "/me", 405), ("DELETE", "/tokens", 204)]
    {
        let reply = sandbox.request(method, path).await;
        assert_eq!((reply.status, standing(&reply).0), (status, 2500));
    }
    assert_eq!(sandbox.send("GET", "/nonsense", &[], b"").await.header("x-ratelimit-limit"), None);
}
