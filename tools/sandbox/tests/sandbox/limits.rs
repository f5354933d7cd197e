use sandbox::Plan;
use serde_json::json;

use crate::harness::{Desk, Reply};

fn standing(reply: &Reply) -> (u64, u64, &str) {
    let number = |name| reply.header(name).unwrap().parse().unwrap();
    let reset = reply.header("x-ratelimit-reset").unwrap();
    (number("x-ratelimit-limit"), number("x-ratelimit-remaining"), reset)
}

#[tokio::test]
async fn a_spent_window_refuses_until_it_ends() {
    let desk = Desk::on_plan(Plan::Free).await;
    let reset = "2021-10-05T13:47:34+00:00";
    for left in (0..25).rev() {
        let reply = desk.ask("GET", "/oauth/verify").await;
        assert_eq!((reply.status, standing(&reply)), (200, (25, left, reset)));
    }
    let refused = desk.ask("GET", "/oauth/verify").await;
    assert_eq!((refused.status, refused.code()), (429, json!(9000)));
    assert_eq!(standing(&refused), (25, 0, reset));

    desk.pass_seconds(59);
    assert_eq!(desk.ask("GET", "/me").await.status, 429);
    desk.pass_seconds(1);
    let fresh = desk.ask("GET", "/me").await;
    assert_eq!((fresh.status, standing(&fresh)), (200, (25, 24, "2021-10-05T13:48:34+00:00")));
}

#[tokio::test]
async fn fields_double_the_limit() {
    let desk = Desk::on_plan(Plan::Free).await;
    for _ in 0..25 {
        assert_eq!(desk.ask("GET", "/me").await.status, 200);
    }
    assert_eq!(desk.ask("GET", "/me").await.status, 429);
    let reply = desk.ask("GET", "/me?fields=uri").await;
    let (limit, remaining, _) = standing(&reply);
    assert_eq!((reply.status, limit, remaining), (200, 50, 24));
}

#[tokio::test]
async fn every_plan_has_a_limit_of_its_own() {
    let desk = Desk::strict().await;
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
        desk.change_owner(json!({"plan": plan})).await;
        let reply = desk.ask("GET", "/me").await;
        assert_eq!((standing(&reply).0, &reply.json()["account"]), (limit, &json!(plan)));
        assert_eq!(standing(&desk.ask("GET", "/me?fields=uri").await).0, 2 * limit);
    }
}

#[tokio::test]
async fn an_apps_own_token_spends_the_owners_window() {
    let desk = Desk::on_plan(Plan::Free).await;
    let token = desk.grant_first().await.json()["access_token"].clone();
    desk.ask("GET", "/oauth/verify").await;
    let reply = desk.ask_with(token.as_str().unwrap(), "GET", "/oauth/verify").await;
    assert_eq!(standing(&reply).1, 23);
}

#[tokio::test]
async fn users_do_not_spend_each_others_windows() {
    let desk = Desk::on_plan(Plan::Free).await;
    let body = json!({"app": desk.running.client_id, "user": {"name": "Somebody Else"}});
    let other = desk.control("POST", "tokens", &body).await.json();
    desk.ask("GET", "/oauth/verify").await;
    let reply = desk.ask_with(other["access_token"].as_str().unwrap(), "GET", "/oauth/verify").await;
    assert_eq!(standing(&reply).1, 24);
}

#[tokio::test]
async fn every_authenticated_reply_says_where_its_user_stands() {
    let desk = Desk::strict().await;
    for (method, path, status) in
        [("GET", "/me", 200), ("GET", "/nonsense", 404), ("PUT", "/me", 405), ("DELETE", "/tokens", 204)]
    {
        let reply = desk.ask(method, path).await;
        assert_eq!((reply.status, standing(&reply).0), (status, 2500));
    }
    assert_eq!(desk.send("GET", "/nonsense", &[], b"").await.header("x-ratelimit-limit"), None);
}
