//! Example clients in JavaScript, Python and curl, written from the documentation: they get a base URL, a key and
//! credentials, and nothing else.

use std::process::Command;

use crate::support::harness::{TestEnv, printed};
use crate::support::tools::{find_tool, finish, program, tests_folder};

/// Runs a client in its own environment. It checks the responses and prints its progress.
async fn run_client(mut client: Command) {
    let env = TestEnv::start().await;
    client
        .env("BASE_URL", env.url("/pictoryapis"))
        .env("API_KEY", &env.api_key)
        .env("VIMEO_CLIENT_IDENTIFIER", &env.sandbox.client_id)
        .env("VIMEO_CLIENT_SECRET", &env.sandbox.client_secret)
        .env("VIMEO_ACCESS_TOKEN", &env.sandbox.access_token);
    let output = finish(client);
    assert!(output.status.success(), "{}", printed(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout, "created\nfound\nupdated\ndeleted\ndone\n", "{}", printed(&output));
    assert_eq!(env.connection_count(), 0);
    assert!(env.stray_tokens().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_javascript_client_runs_the_whole_lifecycle() {
    let Some(packages) = find_tool("javascript/node_modules") else { return };
    let mut client = program("node");
    client.env("NODE_PATH", packages).arg(tests_folder().join("clients/javascript/client.js"));
    run_client(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_runs_the_whole_lifecycle() {
    let Some(python) = find_tool("python/bin/python") else { return };
    let mut client = program(python);
    client.arg(tests_folder().join("clients/python/client.py"));
    run_client(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_curl_client_runs_the_whole_lifecycle() {
    let mut client = program("bash");
    client.arg(tests_folder().join("clients/curl/client.sh"));
    run_client(client).await;
}
