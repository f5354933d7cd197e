//! Values at the limits of what is accepted, ignored fields, and the order of the checks.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{COLLECTION, Response, TestEnv};
use crate::support::raw_http::exchange;

async fn post_text(env: &TestEnv, headers: &[(&str, &str)], body: String) -> Response {
    env.send(Method::POST, COLLECTION, headers, body.into_bytes()).await
}

/// Posts a body that must be accepted, and compares the whole response, with this name in it.
async fn assert_accepted(env: &TestEnv, body: &Value, name: &str) -> Response {
    let answer = env.post(body).await;
    assert_eq!(answer.status, 201, "{body}: {}", answer.text);
    let id = answer.json()["connectionId"].as_str().unwrap().to_owned();
    let text = |value: &str| Value::from(value).to_string();
    let description = match body["description"].as_str() {
        None | Some("") => String::new(),
        Some(description) => format!(r#""description":{},"#, text(description)),
    };
    assert_eq!(
        answer.text,
        format!(
            r#"{{"name":{},{description}"enabled":{},"clientIdentifier":{},"connectionId":"{id}","version":1}}"#,
            text(name),
            body["enabled"],
            body["clientIdentifier"],
        )
    );
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_valid_name_is_accepted_and_returned_in_nfc() {
    let env = TestEnv::without_verification("").await;
    let hundred = "n".repeat(100);
    let composed = "\u{e9}".repeat(100);
    // Composed, these are three scalar values each: 99.
    let hebrew = ("\u{fb2c}".repeat(33), "\u{5e9}\u{5bc}\u{5c1}".repeat(33));
    let astral = "\u{20000}".repeat(100);
    let names = [
        ("a", "a"),
        (&*hundred, &*hundred),
        (&"e\u{301}".repeat(100), &composed),
        (&hebrew.0, &hebrew.1),
        (&astral, &astral),
        ("My Vimeo_Connection - 2", "My Vimeo_Connection - 2"),
        ("_", "_"),
        ("-", "-"),
        ("  spaces at both ends  ", "  spaces at both ends  "),
        ("A\u{30a}ngstro\u{308}m", "\u{c5}ngstr\u{f6}m"),
        // A compatibility character is kept: NFC, not NFKC.
        ("\u{fb01}nal", "\u{fb01}nal"),
        ("\u{939}\u{93f}\u{928}\u{94d}\u{926}\u{940}", "\u{939}\u{93f}\u{928}\u{94d}\u{926}\u{940}"),
        ("\u{b95}\u{bcb}\u{baa}\u{bcd}\u{baa}\u{bc1}", "\u{b95}\u{bcb}\u{baa}\u{bcd}\u{baa}\u{bc1}"),
        ("\u{e40}\u{e0a}\u{e37}\u{e48}\u{e2d}\u{e21}", "\u{e40}\u{e0a}\u{e37}\u{e48}\u{e2d}\u{e21}"),
        (
            "\u{63}\u{648}\u{635}\u{644}\u{629} \u{661}\u{662}\u{663}",
            "\u{63}\u{648}\u{635}\u{644}\u{629} \u{661}\u{662}\u{663}",
        ),
        ("\u{540d}\u{524d}\u{30ab}\u{3099}", "\u{540d}\u{524d}\u{30ac}"),
        ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
        ("\u{416}\u{438}\u{432}\u{43e} \u{396}\u{3ae}", "\u{416}\u{438}\u{432}\u{43e} \u{396}\u{3ae}"),
        // A combining keycap may follow a digit.
        ("1\u{20e3}", "1\u{20e3}"),
    ];
    for (number, (sent, kept)) in names.into_iter().enumerate() {
        let mut body = env.valid_body(sent);
        body["enabled"] = json!(number % 2 == 0);
        let created = assert_accepted(&env, &body, kept).await;
        let found = env.get(created.header("location")).await;
        assert_eq!(found.json()["name"], kept, "{sent:?}");
    }
    assert_eq!(env.connection_count(), names.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_equal_up_to_unicode_form_and_outer_spaces() {
    let env = TestEnv::without_verification("").await;
    assert_accepted(&env, &env.valid_body("Caf\u{e9}"), "Caf\u{e9}").await;
    for same in ["Caf\u{e9}", "Cafe\u{301}", " Caf\u{e9}", "Caf\u{e9}  "] {
        let answer = env.post(&env.valid_body(same)).await;
        assert_eq!(answer.status, 409, "{same:?}");
        assert_eq!(
            answer.text,
            r#"{"code":"CONNECTION_NAME_EXISTS","message":"This account already has a connection of this name."}"#
        );
    }
    for other in ["caf\u{e9}", "Cafe", "Caf \u{e9}", "Caf\u{e9}_", "\u{421}af\u{e9}"] {
        assert_accepted(&env, &env.valid_body(other), other).await;
    }
    let stranger = env.make_key("another", &[]);
    let headers = [("authorization", &*stranger), ("content-type", "application/json")];
    let answer = post_text(&env, &headers, env.valid_body("Caf\u{e9}").to_string()).await;
    assert_eq!(answer.status, 201, "names are unique within an account only: {}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_field_is_accepted_up_to_its_limit() {
    let env = TestEnv::without_verification("").await;
    let mut number = 0;
    let mut accept = async |field: &str, value: Value| {
        number += 1;
        let name = format!("limit {number}");
        let mut body = env.valid_body(&name);
        body[field] = value;
        assert_accepted(&env, &body, &name).await;
    };
    for description in [
        "d".repeat(250),
        "\u{1f600}".repeat(250),
        "e\u{301}".repeat(125),
        "a\r\n\tb \u{a0}\u{2028}\u{200d}".into(),
        " ".into(),
    ] {
        accept("description", json!(description)).await;
    }
    accept("description", json!(null)).await;
    accept("description", json!("")).await;
    let every_character: String = ('!'..='~').collect();
    for field in ["clientIdentifier", "clientSecret", "accessToken"] {
        for value in ["c", &"c".repeat(500), &every_character] {
            accept(field, json!(value)).await;
        }
    }
    let mut bare = env.valid_body("no description at all");
    bare.as_object_mut().unwrap().remove("description");
    assert_accepted(&env, &bare, "no description at all").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_accepted_up_to_its_limit_and_in_any_json_type() {
    let env = TestEnv::without_verification("").await;
    let body = |name: &str| env.valid_body(name).to_string();
    let full = " ".repeat(65_536 - body("full").len()) + &body("full");
    assert_eq!(post_text(&env, &[("content-type", "application/json")], full.clone()).await.status, 201);
    assert_eq!(post_text(&env, &[], body("no type")).await.status, 201);
    let types = [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        " application/json ",
        "application/vnd.pictory+json",
        "application/ld+json; profile=x",
        "",
    ];
    for (number, value) in types.into_iter().enumerate() {
        let answer = post_text(&env, &[("content-type", value)], body(&format!("type {number}"))).await;
        assert_eq!(answer.status, 201, "{value:?}: {}", answer.text);
    }
    let plain = [("content-encoding", "identity")];
    assert_eq!(post_text(&env, &plain, body("identity")).await.status, 201);
    // The same limit applies to a body without a declared length.
    for (extra, status) in [(0, 409), (1, 413)] {
        let text = " ".repeat(extra) + &full;
        assert_eq!(chunked(&env, &text).status, status, "{extra} bytes too many");
    }
    assert_eq!(chunked(&env, &body("chunked")).status, 201);
}

/// Posts a body in chunks of 1,000 bytes.
fn chunked(env: &TestEnv, body: &str) -> Response {
    let mut request = format!(
        "POST {COLLECTION} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        env.api_key
    );
    for chunk in body.as_bytes().chunks(1_000) {
        let text = std::str::from_utf8(chunk).unwrap();
        write!(request, "{:x}\r\n{text}\r\n", chunk.len()).unwrap();
    }
    request += "0\r\n\r\n";
    exchange(env, request.as_bytes()).remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_or_truncated_body_is_rejected_and_not_stored() {
    let env = TestEnv::without_verification("").await;
    let body = env.valid_body("broken").to_string();
    let head = format!("POST {COLLECTION} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n", env.api_key);
    let length = body.len();
    for rest in [
        format!("transfer-encoding: chunked\r\n\r\nnonsense\r\n{body}\r\n0\r\n\r\n"),
        format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}nonsense\r\n0\r\n\r\n"),
    ] {
        let answer = exchange(&env, format!("{head}{rest}").as_bytes()).remove(0);
        assert_eq!(answer.status, 400, "{rest:?}");
        let text = r#"{"code":"INVALID_REQUEST_BODY","message":"The request body ended early."}"#;
        assert_eq!(answer.text, text, "{rest:?}");
    }
    // A request that is cut off has no effect.
    for rest in [
        format!("content-length: {}\r\n\r\n{body}", length + 1),
        format!("content-length: {length}\r\n\r\n{}", &body[..length - 1]),
        format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n"),
    ] {
        let mut stream = TcpStream::connect(env.service.address).unwrap();
        stream.write_all(format!("{head}{rest}").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut printed = String::new();
        // The service may reset the connection instead of closing it.
        let _ = stream.read_to_string(&mut printed);
        assert!(printed.is_empty() || printed.starts_with("HTTP/1.1 400 "), "{printed}");
    }
    assert_eq!(env.connection_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_are_ignored_and_reported_if_printable() {
    let env = TestEnv::without_verification("").await;
    let forty = "x".repeat(40);
    let cases = [
        (json!({}), ""),
        (json!({"folder_uri": "canary"}), "folder_uri"),
        (json!({"title": 1, "tags": ["canary"], "meta": {"deep": [{"canary": null}]}}), "title, tags, meta"),
        // Three edits away from a known field, so no suggestion is made.
        (json!({"nameeee": 1}), "nameeee"),
        (json!({"clientId": 1, "token": 1, "isEnabled": true}), "clientId, token, isEnabled"),
        (json!({&forty: 1}), &*forty),
        (
            json!({"y".repeat(41): 1, "": 2, "sk-live canary": 3, "caf\u{e9}s": 4, "a\r\nset-cookie: b": 5}),
            "?, ?, ?, ?, ?",
        ),
        (json!({"clientSecret is canary": 1}), "?"),
    ];
    for (number, (extra, ignored)) in cases.into_iter().enumerate() {
        let mut body = env.valid_body(&format!("ignoring {number}"));
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let answer = env.post(&body).await;
        assert_eq!(answer.status, 201, "{extra}: {}", answer.text);
        assert_eq!(answer.header("x-ignored-fields"), ignored, "{extra}");
        assert!(!format!("{answer:?}").contains("canary"), "{answer:?}");
    }
    // A refusal lists them as well.
    let mut faulty = env.valid_body("x.y");
    faulty["folder_uri"] = json!(1);
    let answer = env.post(&faulty).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-ignored-fields")), (400, "folder_uri"));
    assert_eq!(answer.fields().len(), 1, "{}", answer.text);
    let mut many = env.valid_body("many");
    (0..30).for_each(|number| many[format!("unheard_of_{number:02}")] = json!(number));
    let ignored = env.post(&many).await.header("x-ignored-fields").to_owned();
    assert!(ignored.ends_with("unheard_of_19, ..."), "{ignored}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_fields_are_ignored_with_any_value() {
    let env = TestEnv::without_verification("strict_fields = true\n").await;
    let first = env.post(&env.valid_body("original")).await;
    let record = env.get(first.header("location")).await.json();
    let mut copy = env.valid_body("copy");
    for field in ["connectionId", "type", "createdDate", "updatedDate", "version"] {
        copy[field] = record[field].clone();
    }
    let copied = assert_accepted(&env, &copy, "copy").await;
    assert_ne!(copied.json()["connectionId"], record["connectionId"]);
    assert_eq!(copied.header("x-ignored-fields"), "");
    for (number, value) in
        [json!(null), json!(7), json!(-1.5), json!(true), json!([]), json!({"a": 1}), json!("x")]
            .into_iter()
            .enumerate()
    {
        let mut body = env.valid_body(&format!("copy {number}"));
        for field in ["connectionId", "type", "createdDate", "updatedDate", "version"] {
            body[field] = value.clone();
        }
        assert_accepted(&env, &body, &format!("copy {number}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_fields_reject_unknown_fields() {
    let env = TestEnv::without_verification("strict_fields = true\n").await;
    let mut body = env.valid_body("strict");
    body["folder_uri"] = json!("canary");
    body["nmae"] = json!("canary");
    body["z canary"] = json!(1);
    let answer = env.post(&body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.text,
        "{\"code\":\"INVALID_REQUEST_BODY\",\"message\":\"The request body is not valid: folder_uri is not a known field. 2 more in `fields`.\",\"fields\":[\
         {\"name\":\"folder_uri\",\"errors\":\"is not a known field\"},\
         {\"name\":\"nmae\",\"errors\":\"is not a known field; did you mean name?\"},\
         {\"name\":\"?\",\"errors\":\"is not a known field\"}]}"
    );
    assert_eq!(answer.header("x-ignored-fields"), "");
    assert_eq!(env.connection_count(), 0);
}

/// Each request fixes the first error of the one before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_failed_check_determines_the_response() {
    let env = TestEnv::start().await;
    assert_eq!(env.post(&env.valid_body("taken")).await.status, 201);
    let mut refused = env.valid_body("taken");
    refused["clientSecret"] = json!("canary-wrong-secret");
    let mut ill_formed = refused.clone();
    ill_formed["enabled"] = json!("canary");
    let large = " ".repeat(65_537) + &ill_formed.to_string();
    let (unknown_key, xml, json_type) =
        (("authorization", "canary"), ("content-type", "text/xml"), ("content-type", "application/json"));
    let elsewhere = format!("{COLLECTION}/");
    let send = async |method, path: &str, headers: &[(&str, &str)], body: &dyn ToString| {
        let answer = env.send(method, path, headers, body.to_string().into_bytes()).await;
        assert!(!format!("{answer:?}").contains("canary"), "{answer:?}");
        assert_eq!(env.connection_count(), 1);
        (answer.status.as_u16(), answer.code())
    };
    let expected = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(send(Method::PUT, &elsewhere, &[unknown_key, xml], &large).await, expected(404, "NOT_FOUND"));
    assert_eq!(
        send(Method::PUT, COLLECTION, &[unknown_key, xml], &large).await,
        expected(405, "METHOD_NOT_ALLOWED")
    );
    let post = async |headers: &[(&str, &str)], body: &dyn ToString| {
        send(Method::POST, COLLECTION, headers, body).await
    };
    assert_eq!(post(&[unknown_key, xml], &large).await, expected(401, "UNAUTHORIZED"));
    assert_eq!(post(&[xml], &large).await, expected(415, "UNSUPPORTED_MEDIA_TYPE"));
    assert_eq!(post(&[json_type], &large).await, expected(413, "BODY_TOO_LARGE"));
    assert_eq!(post(&[json_type], &ill_formed).await, expected(400, "INVALID_REQUEST_BODY"));
    env.control(Method::DELETE, "journal", Value::Null).await;
    assert_eq!(post(&[json_type], &refused).await, expected(409, "CONNECTION_NAME_EXISTS"));
    let journal = env.control(Method::GET, "journal", Value::Null).await;
    assert_eq!(journal["requests"], json!([]), "Vimeo is asked last");
    refused["name"] = json!("free");
    assert_eq!(post(&[json_type], &refused).await, expected(422, "INVALID_VIMEO_CREDENTIALS"));
    refused["clientSecret"] = json!(env.sandbox.client_secret);
    let answer = env.post(&refused).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}
