//! A client that sends the bytes itself, with the public tus client, and never gets a credential of Vimeo.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::harness::printed;
use crate::support::tools::{find_tool, finish, program, tests_folder};
use crate::support::uploads::source::bytes;
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

const SIZE: u64 = 3 * 1024 * 1024;
/// The number of bytes received when the connection breaks.
const CUT_AFTER: u64 = 1024 * 1024;
const USER_AGENT: &str = "somebody-with-tus-js-client/1";

/// The connections of these requests.
fn connections<'a>(entries: impl Iterator<Item = &'a Value>) -> BTreeSet<u64> {
    entries.map(|entry| entry["connection"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_uploads_by_link_without_seeing_a_credential() {
    let Some(packages) = find_tool("javascript/node_modules") else { return };
    let uploads = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let env = &uploads.env;
    let (file, transcript) = (env.path().join("film.mp4"), env.path().join("transcript.json"));
    std::fs::write(&file, bytes(SIZE)).unwrap();
    env.inject_fault(json!({"route": "PATCH /files/*", "kind": "cut-during", "bytes": CUT_AFTER})).await;

    let mut client = program("node");
    client
        .arg(tests_folder().join("clients/javascript/upload.js"))
        .env("NODE_PATH", packages)
        .env("BASE_URL", env.url("/pictoryapis"))
        .env("API_KEY", &env.api_key)
        .env("CONNECTION_ID", uploads.connection.rsplit('/').next().unwrap())
        .env("FILE", &file)
        .env("USER_AGENT", USER_AGENT)
        .env("TRANSCRIPT", &transcript);
    let output = tokio::task::spawn_blocking(|| finish(client)).await.unwrap();
    assert!(output.status.success(), "{}\n{}", printed(&output), env.log());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "linked\nsent\ncompleted\n", "{}", printed(&output));

    let responses: Vec<Value> = serde_json::from_slice(&std::fs::read(&transcript).unwrap()).unwrap();
    uploads.assert_one_video(&responses[responses.len() - 2]["data"], SIZE).await;
    uploads.assert_resumed().await;
    uploads.assert_free_of_credentials(&responses).await;
}

impl UploadEnv {
    /// Asserts that the interrupted upload was resumed: only the missing bytes were sent again.
    async fn assert_resumed(&self) {
        let sent = self.journal("PATCH /files/*").await;
        assert_eq!(sent[0]["fault"], "cut-during", "{sent:#?}");
        let last = sent.last().unwrap();
        assert_eq!((&last["status"], &last["request_bytes"]), (&json!(204), &json!(SIZE - CUT_AFTER)));
    }

    /// Asserts that the client never had a credential, by its requests to Vimeo and by our responses to it.
    async fn assert_free_of_credentials(&self, responses: &[Value]) {
        let journal = self.journal("*").await;
        let (clients, others): (Vec<&Value>, Vec<&Value>) =
            journal.iter().partition(|entry| entry["user_agent"] == USER_AGENT);
        // The client sends bytes and asks for the offset. It sends nothing to the API, and the service sends no bytes.
        assert!(clients.len() >= 4, "{clients:#?}");
        for entry in &clients {
            assert!(entry["path"].as_str().unwrap().starts_with("/files/"), "{entry}");
            assert!(["HEAD", "PATCH"].contains(&entry["method"].as_str().unwrap()), "{entry}");
            assert_eq!(entry["authorization"], Value::Null, "{entry}");
        }
        assert!(
            others
                .iter()
                .all(|entry| entry["method"] != "PATCH" || entry["route"] == "PATCH /videos/{video}")
        );
        // All requests with a credential came from the service, over its own connections.
        let (with, _): (Vec<&Value>, Vec<&Value>) =
            journal.iter().partition(|entry| !entry["authorization"].is_null());
        assert!(with.len() >= 4, "{with:#?}");
        let agents: BTreeSet<&str> = with.iter().map(|entry| entry["user_agent"].as_str().unwrap()).collect();
        assert_eq!(agents.len(), 1, "{agents:?}");
        assert!(agents.iter().all(|agent| agent.starts_with("vimeo-connections/")), "{agents:?}");
        let shared: BTreeSet<u64> =
            &connections(clients.iter().copied()) & &connections(with.iter().copied());
        assert_eq!(shared, BTreeSet::new());

        // Everything that the client received.
        let all = json!(responses).to_string();
        for secret in [&self.env.sandbox.access_token, &self.env.sandbox.client_secret] {
            assert!(!all.contains(secret.as_str()));
        }
        let link = responses[0]["data"]["data"]["uploadLink"].as_str().unwrap();
        assert!(link.starts_with(&format!("{}/files/", self.env.sandbox.base_url)), "{link}");
        let key = link.rsplit('/').next().unwrap();
        let shown: Vec<bool> = responses.iter().map(|answer| answer.to_string().contains(key)).collect();
        assert_eq!(shown[..2], [true, true], "the first response, and its replay");
        assert!(shown.len() >= 4 && !shown[2..].contains(&true), "and in no later response");
        assert_eq!(responses.last().unwrap()["request"], "get /jobs");
        assert!(!self.env.log().contains(key));
    }
}
