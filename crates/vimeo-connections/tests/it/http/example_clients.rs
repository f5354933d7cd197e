//! Clients as customers write them after the documentation, in their own languages, run as they stand: they know the
//! base URL, the key and the credentials, and nothing of us.

use std::process::Command;

use crate::support::harness::{World, said};
use crate::support::tools::{find_tool, finish, program, tests_folder};

/// Runs a client in a world of its own. It checks what it gets, and says how far it came.
async fn lead(mut client: Command) {
    let world = World::start().await;
    client
        .env("BASE_URL", world.url("/pictoryapis"))
        .env("API_KEY", &world.api_key)
        .env("VIMEO_CLIENT_IDENTIFIER", &world.sandbox.client_id)
        .env("VIMEO_CLIENT_SECRET", &world.sandbox.client_secret)
        .env("VIMEO_ACCESS_TOKEN", &world.sandbox.access_token);
    let output = finish(client);
    assert!(output.status.success(), "{}", said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout, "created\nfound\nupdated\ndeleted\ndone\n", "{}", said(&output));
    assert_eq!(world.stored(), 0);
    assert!(world.stray_tokens().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_javascript_leads_a_connection_through_its_life() {
    let Some(packages) = find_tool("javascript/node_modules") else { return };
    let mut client = program("node");
    client.env("NODE_PATH", packages).arg(tests_folder().join("clients/javascript/client.js"));
    lead(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_python_leads_a_connection_through_its_life() {
    let Some(python) = find_tool("python/bin/python") else { return };
    let mut client = program(python);
    client.arg(tests_folder().join("clients/python/client.py"));
    lead(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_curl_leads_a_connection_through_its_life() {
    let mut client = program("bash");
    client.arg(tests_folder().join("clients/curl/client.sh"));
    lead(client).await;
}
