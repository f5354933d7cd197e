//! The password in the database URL is never exposed: not by the log at its most verbose level, nor by an error of the
//! configuration, the network or the server.

use std::fs;

use crate::support::canaries::Canaries;
use crate::support::cluster::env_on_database;
use crate::support::harness::{Service, TestEnv, binary, is_documented_failure, printed, run, until};
use crate::support::postgres::{Postgres, Stop, Version};

const URL: &str = "VIMEO_CONNECTIONS_DATABASE_URL";
/// The right password and a wrong one, each in plain and percent-encoded.
const RIGHT: (&str, &str) = ("Canary+right/%\"pass:word@0123", "Canary%2Bright%2F%25%22pass%3Aword%400123");
const WRONG: (&str, &str) = ("Canary+wrong/%\"pass:word@4567", "Canary%2Bwrong%2F%25%22pass%3Aword%404567");

fn canaries() -> Canaries {
    Canaries::of(&[
        ("right password", RIGHT.0.as_bytes()),
        ("right password in the URL", RIGHT.1.as_bytes()),
        ("wrong password", WRONG.0.as_bytes()),
        ("wrong password in the URL", WRONG.1.as_bytes()),
        // The rest of a password, if a parser mistakes its `@`, `/` or `:` for a part of the URL.
        ("end of a password", b"word@0123"),
        ("end of a wrong password", b"word@4567"),
    ])
}

/// Asserts that no password is in this output, nor in any file except the configuration.
fn assert_silent(env: &TestEnv, heard: &str) {
    let found = canaries().in_bytes(heard.as_bytes());
    assert!(found.is_empty(), "{found:?}: {heard}");
    let configuration = env.path().join("vimeo-connections.toml");
    let found = canaries().in_files(env.path(), &[&configuration]);
    assert!(found.is_empty(), "{found:?}");
}

/// A server with a role that has the right password, and the part of the URL after the password.
fn server() -> Option<(Postgres, String)> {
    let server = Postgres::private(Version::V15)?;
    let password = RIGHT.0.replace('\'', "''");
    server.sql(&format!("CREATE ROLE clerk LOGIN PASSWORD '{password}'"));
    server.sql("CREATE DATABASE records OWNER clerk");
    let url = server.url("records");
    let (_, place) = url.rsplit_once('@').unwrap();
    Some((server, place.to_owned()))
}

/// Unusable URLs, some of which cannot even be parsed.
fn unusable(place: &str) -> Vec<String> {
    let (right, wrong) = (RIGHT.1, WRONG.1);
    let (host, _) = place.split_once('/').unwrap();
    let mut urls = vec![
        format!("postgres://clerk:{wrong}@{place}"),
        format!("postgres://clerk@{place}?password={wrong}"),
        format!("postgres://clerk:{right}@{place}?application_name=x&password={wrong}"),
        format!("postgres://clerk:{right}@{place}?password={wrong}&password={right}x"),
        format!("postgres://unknown:{right}@{place}"),
        format!("postgres://clerk:{right}@{host}/nowhere"),
        format!("postgres://clerk:{right}@127.0.0.1:1/records"),
        format!("postgres://clerk:{right}@no-such-host.invalid:5432/records"),
        format!("postgres://clerk:{right}@no-such-host.invalid:5432,127.0.0.1:1/records"),
        format!("postgres://clerk:{right}@{place}?sslmode=prefer"),
        format!("postgres://clerk:{right}@{place}?sslmode=verify-full"),
        format!("postgres://clerk:{right}@{place}?sslrootcert=/no/such/file"),
        format!("postgres://clerk:{right}@{place}?no_such={right}"),
        format!("postgres://clerk:{right}@{place}?connect_timeout={right}"),
        format!("postgres://clerk:{right}@127.0.0.1:99999/records"),
        format!("postgres://clerk:{right}@127.0.0.1:{right}/records"),
        format!("postgres://{right}:{wrong}"),
        format!("mysql://clerk:{right}@{place}"),
        format!("postgres:clerk:{right}@{place}"),
        format!("clerk:{right}@{place}"),
    ];
    // Without percent-encoding, which is a common mistake.
    urls.extend(
        ["postgres", "postgresql", "Postgres"].map(|scheme| format!("{scheme}://clerk:{}@{place}", RIGHT.0)),
    );
    urls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unusable_url_is_never_shown_with_its_password() {
    let Some((server, place)) = server() else { return };
    let mut env = env_on_database(&format!("postgres://clerk:{}@{place}", RIGHT.1), "").await;
    assert_eq!(env.service.terminate(), Some(0));
    let mut heard = String::new();
    for url in unusable(&place) {
        for arguments in
            [&["serve"][..], &["config", "check"], &["accounts", "list"], &["migrate"], &["init"]]
        {
            let environment = [(URL, &*url), ("RUST_BACKTRACE", "full"), ("RUST_LOG", "trace")];
            let output = tokio::task::block_in_place(|| run(env.path(), &environment, arguments));
            let is_to_fail = matches!(arguments[0], "serve" | "accounts" | "migrate");
            assert!(!is_to_fail || is_documented_failure(&output), "{arguments:?} {url}: {output:?}");
            assert!(!printed(&output).contains("panicked"), "{arguments:?} {url}: {}", printed(&output));
            heard.push_str(&printed(&output));
        }
        // In the file, where a parser could quote the line.
        let file = env.path().join("vimeo-connections.toml");
        let good = fs::read_to_string(&file).unwrap();
        for broken in
            [format!("database_url = {url:?}\ndatabase_url = {url:?}"), format!("database_url = \"{url}")]
        {
            fs::write(&file, &broken).unwrap();
            let output = run(env.path(), &[], &["config", "check"]);
            assert!(!output.status.success(), "{broken}");
            heard.push_str(&printed(&output));
        }
        fs::write(&file, good).unwrap();
    }
    assert!(heard.contains("password authentication failed"), "{heard}");
    assert!(heard.contains("\"nowhere\" does not exist"), "{heard}");
    assert_silent(&env, &heard);
    let found = canaries().in_bytes(server.log().as_bytes());
    assert!(found.is_empty(), "{found:?} in the server's log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_never_shown_by_a_running_service() {
    let Some((mut server, place)) = server() else { return };
    for url in [
        format!("postgres://clerk:{}@{place}", RIGHT.1),
        format!("postgres://clerk@{place}?password={}", RIGHT.1),
    ] {
        let mut env = env_on_database(&url, "").await;
        let mut heard = String::new();
        let checked = env.cli(&["config", "check"], "");
        assert!(
            checked.status.success() && printed(&checked).contains("<redacted>@127"),
            "{}",
            printed(&checked)
        );
        heard.push_str(&printed(&checked));
        for arguments in [&["migrate"][..], &["keys", "list"], &["connections", "check"]] {
            heard.push_str(&printed(&env.cli(arguments, "")));
        }
        assert_eq!(env.post(&env.valid_body("stored")).await.status, 201);
        server.stop(Stop::Immediate);
        until("the service notices it", async || env.get("/health/ready").await.status == 503).await;
        for path in ["/health/ready", "/pictoryapis/v1/vimeo-connections"] {
            let answer = env.get(path).await;
            assert_eq!(answer.status, 503);
            heard.extend([format!("{:?}", answer.headers), answer.text]);
        }
        let output = run(env.path(), &[], &["accounts", "list"]);
        assert_eq!(output.status.code(), Some(69));
        heard.push_str(&printed(&output));
        server.start();
        until("it works again", async || env.get("/health/ready").await.status == 200).await;
        // The password is changed while the service runs.
        server.sql("ALTER ROLE clerk PASSWORD 'another'");
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'clerk'");
        until("the log says why", async || {
            let _ = env.get("/health/ready").await;
            env.log().contains("password authentication failed")
        })
        .await;
        server.sql(&format!("ALTER ROLE clerk PASSWORD '{}'", RIGHT.0));
        until("it can connect again", async || env.get("/health/ready").await.status == 200).await;
        assert_eq!(env.service.terminate(), Some(0));
        // A missing keyring: the error names the database.
        fs::rename(env.path().join("vimeo-connections.keyring"), env.path().join("away")).unwrap();
        let refused = Service::try_start(binary(env.path()), env.path()).err().unwrap();
        assert!(refused.contains("postgres://clerk@"), "{refused}");
        heard.push_str(&refused);
        assert_silent(&env, &heard);
        server.sql("DROP DATABASE records");
        server.sql("CREATE DATABASE records OWNER clerk");
    }
}
