//! `healthcheck` asks the running service, with the configuration alone.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::certificates::make_certificate_of;
use crate::support::harness::{ClosedPort, EnvOptions, TestEnv, printed, run, until};

/// Runs it for the service that listens there, without a keyring and a database.
fn healthcheck(configuration: &Path, address: &str, arguments: &[&str]) -> Output {
    let elsewhere = tempfile::tempdir().unwrap();
    let variables = [("VIMEO_CONNECTIONS_LISTEN", address)];
    let start = ["--config", configuration.to_str().unwrap(), "healthcheck"];
    let output = run(elsewhere.path(), &variables, &[&start, arguments].concat());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "it creates nothing");
    output
}

fn assert_prints(output: &Output, status: i32, text: &str) {
    let printed = printed(output);
    assert_eq!((output.status.code(), printed.trim_end()), (Some(status), text));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthcheck_succeeds_exactly_while_the_service_is_ready() {
    let mut env = TestEnv::without_verification("").await;
    let configuration = env.path().join("vimeo-connections.toml");
    let address = env.service.address.to_string();
    let check = |arguments: &[&str]| healthcheck(&configuration, &address, arguments);
    assert_prints(&check(&[]), 0, "The service is ready.");
    assert_prints(&check(&["--live"]), 0, "The service is live.");

    let insert = "INSERT INTO keyring_checks (keyring_key_id, check_value) VALUES ('k_other', zeroblob(32))";
    env.database().execute(insert, []).unwrap();
    until("the service notices it", async || env.get("/health/ready").await.status == 503).await;
    let reason = "a key that the database is sealed with is missing";
    let text = format!("vimeo-connections: the service is not ready: keyring: {reason}");
    assert_prints(&check(&[]), 1, &text);
    assert_prints(&check(&["--live"]), 0, "The service is live.");

    assert_eq!(env.service.terminate(), Some(0));
    let stopped = check(&["--live"]);
    assert_eq!(stopped.status.code(), Some(1));
    let expected = format!("vimeo-connections: the service at {address} cannot be asked: ");
    assert!(printed(&stopped).starts_with(&expected), "{}", printed(&stopped));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthcheck_uses_https_where_the_service_does() {
    let files = tempfile::tempdir().unwrap();
    make_certificate_of(files.path(), "authority", "service");
    let file = |name: &str| files.path().join(name);
    let config = format!(
        "tls.certificate_file = {:?}\ntls.key_file = {:?}\n",
        file("service.pem"),
        file("service.key")
    );
    let env = TestEnv::with(EnvOptions { verification_off: true, config, ..EnvOptions::default() }).await;
    let configuration = env.path().join("vimeo-connections.toml");
    let any = format!("0.0.0.0:{}", env.service.address.port());
    for address in [&env.service.address.to_string(), &any] {
        assert_prints(&healthcheck(&configuration, address, &[]), 0, "The service is ready.");
    }
}

#[test]
fn a_healthcheck_that_cannot_ask_fails_with_status_1() {
    let directory = tempfile::tempdir().unwrap();
    let configuration = directory.path().join("c.toml");
    let closed = ClosedPort::bind();
    for (config, address, expected) in [
        ("", closed.address().to_string().as_str(), "cannot be asked"),
        ("", "127.0.0.1:0", "`listen` has port 0"),
        ("lisen = \"x\"\n", "127.0.0.1:1", "did you mean listen?"),
    ] {
        fs::write(&configuration, config).unwrap();
        let output = healthcheck(&configuration, address, &[]);
        assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
        assert!(printed(&output).contains(expected), "{}", printed(&output));
    }
    let remote = [("VIMEO_CONNECTIONS_URL", "https://videos.example.com")];
    let refused = run(directory.path(), &remote, &["healthcheck"]);
    assert_eq!(refused.status.code(), Some(2), "{}", printed(&refused));
}
