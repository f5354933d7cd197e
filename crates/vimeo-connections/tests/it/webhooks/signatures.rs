//! The public libraries of the Standard Webhooks specification verify what the service signs, also while a secret is rotated.

use std::io::Write as _;
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::json;

use crate::support::tools::{find_tool, program, tests_folder};
use crate::support::webhook_env::WebhookEnv;
use crate::support::webhook_receiver::{Reaction, ScriptedReceiver};
use crate::support::webhooks::{ENDPOINTS, Message};

/// Feeds webhooks with a secret each to a program; its verdicts.
fn verdicts(mut verifier: Command, webhooks: &[(&str, &Message)]) -> Vec<String> {
    let mut child =
        verifier.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for (secret, webhook) in webhooks {
        let line = json!({"secret": secret, "headers": webhook.headers, "body": webhook.body});
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

/// Programs that verify; none where they are not installed.
fn verifiers() -> Vec<Box<dyn Fn() -> Command>> {
    let mut verifiers: Vec<Box<dyn Fn() -> Command>> = Vec::new();
    if let Some(packages) = find_tool("javascript/node_modules") {
        verifiers.push(Box::new(move || {
            let mut node = program("node");
            node.env("NODE_PATH", &packages).arg(tests_folder().join("clients/javascript/verify-webhook.js"));
            node
        }));
    }
    if let Some(python) = find_tool("python/bin/python") {
        verifiers.push(Box::new(move || {
            let mut python = program(&python);
            python.arg(tests_folder().join("clients/python/verify_webhook.py"));
            python
        }));
    }
    verifiers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_libraries_verify_signatures_also_during_a_rotation() {
    let verifiers = verifiers();
    let receiver = ScriptedReceiver::start().await;
    let env = WebhookEnv::start("").await;
    let endpoint = env.create_endpoint(&receiver.url("/hook", &[Reaction::Status(204)])).await;
    let rotate = async || {
        let path = format!("{ENDPOINTS}/{}/rotate-secret", endpoint.id());
        let rotated = env.env.send(Method::POST, &path, &[], Vec::new()).await;
        assert!(rotated.status.is_success(), "{}", rotated.text);
        rotated.json()["secret"].as_str().unwrap().to_owned()
    };
    let first = endpoint.secret();
    env.env.connect("before").await;
    receiver.wait_for("/hook", 1).await;
    let second = rotate().await;
    env.env.connect("after one rotation").await;
    receiver.wait_for("/hook", 2).await;
    let third = rotate().await;
    env.env.connect("after two").await;
    let webhooks = receiver.wait_for("/hook", 3).await;
    let stranger = format!("whsec_{}", "A".repeat(32));
    let (before, one, two) = (&webhooks[0].message, &webhooks[1].message, &webhooks[2].message);
    let tampered = Message { body: two.body.replace("after two", "after ten"), ..two.clone() };
    let old = Message {
        headers: two
            .headers
            .iter()
            .map(|(name, value)| {
                let is_time = name == "webhook-timestamp";
                (name.clone(), if is_time { "1700000000".to_owned() } else { value.clone() })
            })
            .collect(),
        ..two.clone()
    };
    let cases = [
        (first.as_str(), before, "verified connection.created"),
        (&first, one, "verified connection.created"),
        (&second, one, "verified connection.created"),
        (&second, two, "verified connection.created"),
        (&third, two, "verified connection.created"),
        // Exactly one predecessor signs.
        (&first, two, "refused"),
        (&stranger, before, "refused"),
        (&third, &tampered, "refused"),
        (&third, &old, "refused"),
    ];
    for verifier in &verifiers {
        let webhooks: Vec<_> = cases.iter().map(|(secret, webhook, _)| (*secret, *webhook)).collect();
        let found = verdicts(verifier(), &webhooks);
        for ((_, _, expected), found) in cases.iter().zip(&found) {
            assert!(found.starts_with(expected), "{expected}: {found}");
        }
        assert_eq!(found.len(), cases.len());
    }
}
