//! Error responses to malformed bodies.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::error_responses::{JSON, VERSION, upload};
use crate::support::test_sandbox::TestSandbox;

#[tokio::test]
async fn malformed_bodies_are_400() {
    let sandbox = TestSandbox::strict().await;
    let token = sandbox.running.access_token.clone();
    let authorization = format!("bearer {token}");
    let headers = [("Authorization", authorization.as_str()), ("Accept", VERSION), ("Content-Type", JSON)];
    for (body, code) in
        [("", 2205), ("{}", 2205), ("[]", 2205), ("\"x\"", 2205), ("{\"a\":", 2700), ("a=b", 2700)]
    {
        let reply = sandbox.send("POST", "/me/videos", &headers, body.as_bytes()).await;
        assert_eq!((reply.status, reply.code()), (400, json!(code)), "{body}");
    }
    let video = sandbox.placeholder(json!({})).await;
    for (body, code) in [("", 2205), ("{}", 2205), ("[]", 2205), ("{", 2700)] {
        let reply = sandbox.send("PATCH", &video, &headers, body.as_bytes()).await;
        assert_eq!((reply.status, reply.code()), (400, json!(code)), "{body}");
    }
    let folder = sandbox.call("POST", "/me/projects", &json!({"name": "F"})).await.json();
    for (method, path) in [("POST", "/me/projects"), ("PATCH", folder["uri"].as_str().unwrap())] {
        for (body, code) in [("", 2205), ("{}", 2205), ("[]", 2205), ("{", 2700)] {
            let reply = sandbox.send(method, path, &headers, body.as_bytes()).await;
            assert_eq!((reply.status, reply.code()), (400, json!(code)), "{method} {path} {body}");
        }
    }
    sandbox.call("DELETE", &video, &Value::Null).await;
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(1024 * 1024));
    let reply = sandbox.send("POST", "/me/videos", &headers, long.as_bytes()).await;
    assert_eq!((reply.status, reply.code()), (400, json!(2205)));
    for approach in [json!("streaming"), json!(""), Value::Null, json!(1)] {
        let body = json!({"upload": {"approach": approach, "size": 5}});
        assert_eq!(sandbox.refused_upload(&token, &body).await, (400, json!(2230)), "{approach}");
    }
    assert_eq!(
        sandbox.refused_upload(&token, &json!({"type": "pull", "link": "x"})).await,
        (400, json!(3116))
    );
}

#[tokio::test]
async fn a_body_must_be_json_with_its_content_type() {
    let sandbox = TestSandbox::strict().await;
    let authorization = format!("bearer {}", sandbox.running.access_token);
    let body = upload(json!({})).to_string();
    for (content_type, status) in [
        (None, 200),
        (Some("application/json"), 200),
        (Some("Application/JSON; charset=utf-8"), 200),
        // As specified, which differs from Vimeo's behaviour.
        (Some("application/vnd.vimeo.video+json"), 400),
        (Some("application/x-www-form-urlencoded"), 400),
        (Some("text/plain"), 400),
    ] {
        let mut headers = vec![("Authorization", authorization.as_str()), ("Accept", VERSION)];
        headers.extend(content_type.map(|content_type| ("Content-Type", content_type)));
        let reply = sandbox.send("POST", "/me/videos", &headers, body.as_bytes()).await;
        assert_eq!(reply.status, status, "{content_type:?} {}", reply.text());
        if status == 400 {
            assert_eq!(reply.code(), 2205);
        }
    }
}

#[tokio::test]
async fn an_interrupted_body_creates_nothing() {
    let sandbox = TestSandbox::strict().await;
    let body = upload(json!({})).to_string();
    let head = format!(
        "POST /me/videos HTTP/1.1\r\nHost: x\r\nAuthorization: bearer {}\r\nAccept: {VERSION}\r\nContent-Length: {}\r\n\r\n",
        sandbox.running.access_token,
        body.len() + 1,
    );
    let mut stream = tokio::net::TcpStream::connect(sandbox.running.addr).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    drop(stream);
    assert_eq!(sandbox.call("GET", "/me/videos", &Value::Null).await.json()["total"], 0);
}
