//! Keyring files of both formats, and configurations that do not match them.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::support::harness::{binary, cli, until};
use crate::support::holders::{check, error_of, succeeded, waits};
use crate::support::processes::{signal, wait};

/// A holder that is never asked: port 1 refuses every connection.
const HOLDER: &str = "keyring.holder = \"transit\"\nkeyring.transit.address = \"http://127.0.0.1:1\"\n\
    keyring.transit.key = \"k\"\nkeyring.transit.token_file = \"token\"\n";

fn configure(directory: &Path, config: &str) {
    let config = format!("listen = \"127.0.0.1:0\"\nvimeo.verification = \"off\"\n{config}");
    fs::write(directory.join("vimeo-connections.toml"), config).unwrap();
}

#[test]
fn plain_and_encrypted_keys_are_not_mixed() {
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), "");
    succeeded(&cli(directory.path(), &["init"], ""));
    let file = directory.path().join("vimeo-connections.keyring");
    let plain = fs::read_to_string(&file).unwrap();
    let encrypted = "k_0123456789abcdef = \"transit:vault:v1:AAAA\"\n";
    for (text, expected) in [
        (
            format!("{plain}{encrypted}"),
            "k_0123456789abcdef is encrypted by a holder, but the keyring has format 1",
        ),
        (
            format!("{}{encrypted}", plain.replace("format = 1", "format = 2")),
            "is not encrypted by a holder, but the keyring has format 2",
        ),
        (
            plain.replace("format = 1", "format = 3"),
            "has format 3, which this version of the service does not support",
        ),
    ] {
        fs::write(&file, text).unwrap();
        for config in ["", HOLDER] {
            configure(directory.path(), config);
            let (status, error) = check(directory.path());
            assert!(status == Some(78) && error.contains(expected), "{expected}: {status:?} {error}");
        }
    }
}

#[test]
fn a_plain_keyring_with_a_holder_is_used_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), "");
    succeeded(&cli(directory.path(), &["init"], ""));
    configure(directory.path(), HOLDER);
    let output = cli(directory.path(), &["config", "check"], "");
    succeeded(&output);
    assert!(
        error_of(&output).contains("the keys in the keyring file are not encrypted"),
        "{}",
        error_of(&output)
    );
}

#[test]
fn an_encrypted_keyring_needs_its_holder() {
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), "");
    succeeded(&cli(directory.path(), &["init"], ""));
    let file = directory.path().join("vimeo-connections.keyring");
    let text = fs::read_to_string(&file).unwrap().replace("format = 1", "format = 2");
    let key = text.rsplit('"').nth(1).unwrap().to_owned();
    for (kind, config, expected) in [
        ("transit", "", "encrypted by another holder (transit) than keyring.holder names (none)"),
        ("kms", HOLDER, "encrypted by another holder (kms) than keyring.holder names (transit)"),
        ("later", HOLDER, "encrypted by another holder (unknown to this version)"),
    ] {
        fs::write(&file, text.replace(&key, &format!("{kind}:AAAA"))).unwrap();
        configure(directory.path(), config);
        let (status, error) = check(directory.path());
        assert!(status == Some(78) && error.contains(expected), "{expected}: {status:?} {error}");
    }
}

#[cfg(not(feature = "kms"))]
#[test]
fn a_build_without_a_feature_names_the_feature_that_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    configure(
        directory.path(),
        "keyring.holder = \"kms\"\nkeyring.kms.key = \"k\"\nkeyring.kms.region = \"eu-west-1\"\n",
    );
    let output = cli(directory.path(), &["init"], "");
    assert_eq!(output.status.code(), Some(78), "{}", error_of(&output));
    assert!(error_of(&output).contains("build the service with `--features kms`"), "{}", error_of(&output));
}

/// As the first process of a container, it would ignore the signal if it did not handle it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_waits_for_its_holder_stops_on_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), "");
    succeeded(&cli(directory.path(), &["init"], ""));
    let file = directory.path().join("vimeo-connections.keyring");
    let text = fs::read_to_string(&file).unwrap();
    let key = text.rsplit('"').nth(1).unwrap();
    fs::write(&file, text.replace("format = 1", "format = 2").replace(key, "transit:vault:v1:AA")).unwrap();
    configure(directory.path(), &format!("{HOLDER}log.format = \"json\"\n"));
    fs::write(directory.path().join("token"), "s.token").unwrap();
    let log = directory.path().join("service.log");
    let mut command = binary(directory.path());
    command.arg("serve").stderr(fs::File::create(&log).unwrap());
    let mut service = command.spawn().unwrap();
    until("it waits", async || !waits(&fs::read_to_string(&log).unwrap()).is_empty()).await;
    for kind in [Signal::HUP, Signal::TERM] {
        signal(service.id(), kind).unwrap();
    }
    wait(&mut service);
    assert_eq!(service.wait().unwrap().code(), Some(0), "{}", fs::read_to_string(&log).unwrap());
}
