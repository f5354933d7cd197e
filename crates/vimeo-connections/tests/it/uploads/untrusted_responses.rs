//! Responses of Vimeo are not trusted: an echoed token or a page elsewhere is never returned or logged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::canaries::Canaries;
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

/// A response that echoes the token in every text, in plain and encoded.
fn echo(status: u16, token: &str) -> Value {
    let texts = [
        format!("The token {token} may not do this."),
        format!("Authorization: bearer {token}"),
        STANDARD.encode(token),
        token.to_uppercase(),
    ];
    json!({
        "kind": "status", "status": status, "times": "always",
        "headers": {"X-Echo": token, "WWW-Authenticate": format!("Bearer error=\"{token}\"")},
        "body": {
            "error": texts[0], "developer_message": texts[1], "link": format!("https://evil.example/?{token}"),
            "error_code": 2_204,
            "invalid_parameters": [
                {"field": "name", "error": texts[2], "error_code": 2_204, "developer_message": texts[3]},
            ],
        },
    })
}

fn at(route: &str, mut fault: Value) -> Value {
    fault["route"] = json!(route);
    fault
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_echoed_by_vimeo_is_never_returned_or_logged() {
    let uploads = UploadEnv::with(&format!("{CONFIG}uploads.confirm_seconds = 2\n"), fast_sandbox()).await;
    let env = &uploads.env;
    let token = env.sandbox.access_token.clone();
    let mut heard = String::new();
    // A refusal of each kind of request: a create, a change that becomes a warning, and one that fails the job.
    for (route, status, body, code) in [
        ("POST /me/videos", 403, json!({}), "VIMEO_REFUSED"),
        (
            "PATCH /videos/{video}",
            400,
            json!({"name": "A film", "description": "Of a day"}),
            "VIMEO_SETTING_REFUSED",
        ),
        (
            "PUT /videos/{video}/privacy/domains/{domain}",
            400,
            json!({"privacy": {"embed": "whitelist"}, "embed_domains": ["a.example"]}),
            "VIMEO_SETTING_REFUSED",
        ),
        ("GET /videos/{video}", 403, json!({}), "VIMEO_REFUSED"),
    ] {
        env.inject_fault(at(route, echo(status, &token))).await;
        let mut body = body;
        body["source"] = json!({"url": uploads.source.url("film.mp4", 1_000)});
        let id = uploads.submit_with(body).await;
        let job = uploads.wait_for_end(&id).await;
        assert_eq!(job["data"]["error_code"], code, "{route}: {job}");
        // The text of Vimeo is shown with the token redacted.
        assert!(job.to_string().contains("[redacted]"), "{route}: {job}");
        heard += &job.to_string();
        heard += &env.get("/pictoryapis/v1/jobs").await.text;
        env.control(Method::DELETE, "faults", Value::Null).await;
    }
    env.inject_fault(at("GET /oauth/verify", echo(401, &token))).await;
    let refused = env.post(&env.valid_body("refused")).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    let headers = format!("{:?}", refused.headers);
    heard.extend([headers, refused.text, env.log()]);
    let canaries =
        Canaries::of(&[("token", token.as_bytes()), ("upper case", token.to_uppercase().as_bytes())]);
    assert!(canaries.in_bytes(heard.as_bytes()).is_empty(), "{heard}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_outside_vimeo_is_never_returned_or_logged() {
    let by_hand = sandbox::Options { pace: sandbox::Pace::ByHand, ..sandbox::Options::default() };
    let uploads = UploadEnv::with(CONFIG, by_hand).await;
    let env = &uploads.env;
    let source = json!({"url": uploads.source.url("film.mp4", 1_000)});
    let id = uploads.submit_with(json!({"source": source, "privacy": {"view": "unlisted"}})).await;
    let uri = uploads.wait_for_phase(&id, "transcoding").await["data"]["vimeoUri"].clone();
    let shown = json!({
        "uri": uri, "name": "film", "link": "https://vimeo.com.evil.example/1?canary-of-a-link",
        "player_embed_url": "javascript:fetch('canary-of-a-link')", "is_playable": true, "status": "available",
        "upload": {"status": "complete"}, "transcode": {"status": "complete"}, "privacy": {"view": "unlisted"},
    });
    let fault = json!({"kind": "status", "status": 200, "body": shown, "times": "always",
        "content_type": "application/vnd.vimeo.video+json"});
    env.inject_fault(at("GET /videos/{video}", fault)).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["status"], "completed", "{job}");
    assert_eq!((&job["data"]["vimeoUrl"], &job["data"]["playerUrl"]), (&Value::Null, &Value::Null), "{job}");
    assert!(job["data"]["warnings"].to_string().contains("it was left out"), "{job}");
    let events = env.get(&format!("/pictoryapis/v1/jobs/{id}/events")).await.text;
    let listed = env.get("/pictoryapis/v1/jobs").await.text;
    let heard = format!("{job}{events}{listed}{}", env.log());
    let canaries = Canaries::of(&[("host", b"evil.example"), ("link", b"canary-of-a-link")]);
    assert!(canaries.in_bytes(heard.as_bytes()).is_empty(), "{heard}");
}
