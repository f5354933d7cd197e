//! The exit status and the error of a failed start: 78 for the configuration, 69 for the database, 1 for everything
//! else.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::harness::{ClosedPort, binary, cli, printed, run};

/// A directory with a keyring and this configuration.
fn installation(config: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    assert!(cli(directory.path(), &["init"], "").status.success());
    configure(directory.path(), config);
    directory
}

fn configure(directory: &Path, config: &str) {
    fs::write(directory.join("vimeo-connections.toml"), config).unwrap();
}

fn serve(directory: &Path) -> Output {
    run(directory, &[], &["serve"])
}

/// Asserts the exit status of `serve` and of `accounts list`, which opens the same database.
fn assert_both_end(directory: &Path, status: i32) {
    for arguments in [&["serve"][..], &["accounts", "list"]] {
        let output = run(directory, &[], arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", printed(&output));
    }
}

const HERE: &str = "listen = \"127.0.0.1:0\"\n";

#[test]
fn an_invalid_configuration_exits_with_78() {
    for config in [
        "lisen = \"x\"\n",
        "listen = \n",
        "listen = \"0.0.0.0:8080\"\n",
        "database_url = \"mysql://localhost/x\"\n",
        "vimeo.budget_seconds = 0\n",
    ] {
        assert_both_end(installation(config).path(), 78);
    }
    let directory = installation(HERE);
    let output = run(directory.path(), &[("VIMEO_CONNECTIONS_LISTENN", "x")], &["serve"]);
    assert_eq!(output.status.code(), Some(78), "{}", printed(&output));
    let output = run(directory.path(), &[], &["--config", "absent.toml", "serve"]);
    assert_eq!(output.status.code(), Some(78), "{}", printed(&output));
}

#[test]
fn an_unusable_configured_file_exits_with_78() {
    let directory = installation(HERE);
    let keyring = directory.path().join("vimeo-connections.keyring");
    let kept = fs::read(&keyring).unwrap();
    fs::write(&keyring, "junk").unwrap();
    assert_both_end(directory.path(), 78);
    fs::remove_file(&keyring).unwrap();
    assert_both_end(directory.path(), 78);
    fs::write(&keyring, kept).unwrap();
    assert!(!serve(directory.path()).status.success(), "its mode permits others to read it");
    for config in [
        "tls.certificate_file = \"absent.pem\"\ntls.key_file = \"absent.key\"\n",
        "bootstrap.account = \"a\"\nbootstrap.api_key_file = \"junk.key\"\n",
    ] {
        let directory = installation(&format!("{HERE}{config}"));
        fs::write(directory.path().join("junk.key"), "junk").unwrap();
        let output = serve(directory.path());
        assert_eq!(output.status.code(), Some(78), "{}", printed(&output));
    }
    // An address that this machine does not have.
    let directory = installation("listen = \"192.0.2.1:0\"\nbehind_tls_proxy = true\n");
    let output = serve(directory.path());
    assert_eq!(output.status.code(), Some(78), "{}", printed(&output));
}

#[test]
fn a_keyring_of_another_database_exits_with_78() {
    let directory = installation(HERE);
    assert!(cli(directory.path(), &["accounts", "create", "a"], "").status.success());
    let other = installation(HERE);
    let name = "vimeo-connections.keyring";
    fs::copy(other.path().join(name), directory.path().join(name)).unwrap();
    assert_both_end(directory.path(), 78);
}

#[test]
fn an_unavailable_database_exits_with_69() {
    let closed = ClosedPort::bind();
    let address = closed.address();
    let away = format!("{HERE}database_url = \"postgres://u@{address}/d\"\nstore.timeout_seconds = 1\n");
    assert_both_end(installation(&away).path(), 69);
    // A dangling link in place of the data directory.
    let directory = installation(HERE);
    symlink("/nonexistent/vimeo-connections", directory.path().join("data")).unwrap();
    assert_both_end(directory.path(), 69);
}

#[test]
fn a_damaged_database_exits_with_69_and_a_foreign_one_with_78() {
    let directory = installation(HERE);
    assert!(cli(directory.path(), &["accounts", "create", "a"], "").status.success());
    let file = directory.path().join("data/vimeo-connections.db");
    let mut bytes = fs::read(&file).unwrap();
    bytes[4096..20_480].fill(0xff);
    fs::write(&file, bytes).unwrap();
    assert_both_end(directory.path(), 69);
    fs::write(&file, "some other file".repeat(1_000)).unwrap();
    assert_both_end(directory.path(), 78);
}

#[test]
fn a_used_port_exits_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = installation(&format!("listen = \"{}\"\n", taken.local_addr().unwrap()));
    let output = serve(directory.path());
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
}

/// The last line that `serve` prints. Every line must be JSON.
fn report(directory: &Path, environment: &[(&str, &str)]) -> Value {
    let output = run(directory, environment, &["serve"]);
    let text = printed(&output);
    let lines: Vec<_> = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    let report = lines.last().unwrap().clone();
    assert_eq!(report["exit_status"], output.status.code().unwrap());
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    report
}

#[test]
fn a_failed_start_is_reported_as_json_with_json_logs() {
    let json = "log.format = \"json\"\n";
    for (config, status, expected) in [
        (format!("{json}lisen = \"x\"\n"), 78, "lisen is not a configuration key"),
        (format!("{json}listen = \"x\"\n"), 78, "must be an address and a port"),
        (
            format!("{json}log.level = \"off\"\nlisten = \"192.0.2.1:0\"\nbehind_tls_proxy = true\n"),
            78,
            "192.0.2.1:0",
        ),
        (format!("{json}{HERE}keyring.file = \"absent\"\n"), 78, "there is no keyring file at absent"),
        (
            format!("{json}{HERE}store.timeout_seconds = 1\ndatabase_url = \"postgres://u@127.0.0.1:1/d\"\n"),
            69,
            "the database server cannot be used",
        ),
    ] {
        let report = report(installation(&config).path(), &[]);
        assert_eq!((&report["level"], &report["exit_status"]), (&"ERROR".into(), &status.into()), "{config}");
        assert!(report["error"].as_str().unwrap().contains(expected), "{config}: {report}");
    }
    // The format is set in the environment, and the file cannot be parsed.
    let directory = installation("no TOML");
    let report = report(directory.path(), &[("VIMEO_CONNECTIONS_LOG__FORMAT", "json")]);
    assert!(report["error"].as_str().unwrap().contains("is not TOML"), "{report}");
}

#[test]
fn commands_report_errors_as_text_with_any_log_format() {
    let directory = installation("log.format = \"json\"\nlisen = \"x\"\n");
    let output = run(directory.path(), &[], &["accounts", "list"]);
    assert!(
        printed(&output).starts_with("vimeo-connections: the configuration is invalid:\n"),
        "{}",
        printed(&output)
    );
}

#[test]
fn the_help_lists_the_exit_statuses() {
    let directory = tempfile::tempdir().unwrap();
    let help = binary(directory.path()).arg("--help").output().unwrap();
    let help = printed(&help);
    for status in ["69 ", "70 ", "78 ", "130 "] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(status)), "{status}: {help}");
    }
}
