//! Invalid requests to create a connection. `create_validation_rows.rs` has the table.

use reqwest::Method;
use serde_json::Value;

use crate::connections::create_validation_rows::{Row, rows};
use crate::support::harness::{COLLECTION, Response, TestEnv};

/// Every string of the body that is long enough not to occur in our own messages by chance.
fn texts_of(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= 5 => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts_of(item, texts)),
        Value::Object(members) => members.values().for_each(|member| texts_of(member, texts)),
        _ => {}
    }
}

fn assert_not_echoed(row: &Row, answer: &Response) {
    let mut texts = vec!["canary".to_owned(), "31337".to_owned()];
    texts_of(&serde_json::from_slice(&row.body).unwrap_or_default(), &mut texts);
    let mut headers = answer.headers.clone();
    // It is random, and may have any digits.
    headers.remove("x-request-id");
    let shown = format!("{headers:?} {}", answer.text);
    for text in texts {
        assert!(!shown.contains(&text), "{}: {text:?} is echoed in {shown}", row.what);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_invalid_create_has_its_exact_response_and_no_effect() {
    let env = TestEnv::without_verification("").await;
    let rows = rows();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let answer = env.send(Method::POST, COLLECTION, &row.headers, row.body.clone()).await;
        if (answer.status.as_u16(), &answer.text) != (row.status, &row.answer) {
            wrong.push(format!(
                "{}:\n  expected {} {}\n  got {} {}",
                row.what, row.status, row.answer, answer.status, answer.text
            ));
        }
        assert_eq!(answer.header("content-type"), "application/json", "{}", row.what);
        assert_not_echoed(row, &answer);
        assert_eq!(env.connection_count(), 0, "{}", row.what);
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}
