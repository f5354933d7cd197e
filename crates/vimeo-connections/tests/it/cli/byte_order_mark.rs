//! A byte order mark at the start of a file or of standard input is ignored.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::certificates::make_certificate;
use crate::support::harness::{ACCOUNT, EnvOptions, Service, TestEnv, cli, printed, run};

const MARK: &[u8] = b"\xef\xbb\xbf";

/// Puts a byte order mark at the start of a file.
fn mark(path: &Path) {
    fs::write(path, [MARK, &fs::read(path).unwrap()].concat()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pem_files_may_start_with_a_byte_order_mark() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    make_certificate(path, "ours");
    fs::copy(path.join("ours.pem"), path.join("authorities.pem")).unwrap();
    for name in ["ours.pem", "ours.key", "authorities.pem"] {
        mark(&path.join(name));
    }
    let config = "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\nvimeo.verification = \"off\"\n\
        tls.certificate_file = \"ours.pem\"\ntls.key_file = \"ours.key\"\nca_file = \"authorities.pem\"\n";
    fs::write(path.join("vimeo-connections.toml"), config).unwrap();
    assert!(cli(path, &["init"], "").status.success());
    let checked = run(path, &[], &["config", "check"]);
    assert!(checked.status.success(), "{}", printed(&checked));
    let service = Service::start(path);
    let client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build().unwrap();
    let ready = client.get(format!("https://{}/health/ready", service.address)).send().await.unwrap();
    assert_eq!(ready.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_and_passwords_may_start_with_a_byte_order_mark() {
    let env = TestEnv::with(EnvOptions::default()).await;
    let secrets = json!({
        "clientSecret": env.sandbox.client_secret,
        "accessToken": env.sandbox.access_token,
    });
    let create = |name: &str, credentials: &str, input: &str| {
        let identifier = env.sandbox.client_id.as_str();
        let mut arguments = vec!["connections", "create", "--account", ACCOUNT, "--name", name];
        arguments.extend(["--client-identifier", identifier, "--credentials", credentials]);
        env.cli(&arguments, input)
    };
    let marked = format!("\u{feff}{secrets}\n");
    let made = create("from standard input", "-", &marked);
    assert!(made.status.success(), "{}", printed(&made));
    fs::write(env.path().join("credentials.json"), &marked).unwrap();
    let made = create("from a file", "credentials.json", "");
    assert!(made.status.success(), "{}", printed(&made));
    assert_eq!(env.connection_count(), 2);

    fs::write(env.path().join("film.mp4"), "film").unwrap();
    // The maximum length of a password: with the mark it would be too long.
    let password = "p".repeat(32);
    fs::write(env.path().join("password"), format!("\u{feff}{password}\r\n")).unwrap();
    let settings = ["--view", "password", "--password-file", "password"];
    let arguments = ["upload", "film.mp4", "--account", ACCOUNT, "--connection", "from a file"];
    let uploaded = env.cli(&[&arguments[..], &settings].concat(), "");
    assert!(uploaded.status.success(), "{}", printed(&uploaded));
}
