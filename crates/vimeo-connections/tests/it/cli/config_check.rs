//! `config check` and `serve` accept and reject the same configurations.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use crate::support::harness::{Service, binary, cli, printed};
use crate::support::installation::{
    CERTIFICATES, KEYRING, STRONG, WEAK, check, installation, installation_with_accounts, open_database,
    revert_last_migration, serve, tls,
};

/// Both reject the configuration with this text.
fn assert_both_refuse(directory: &Path, expected: &str) {
    let (is_accepted, checked) = check(directory);
    assert!(!is_accepted && checked.contains(expected), "config check, {expected:?}: {checked}");
    let refused = serve(directory).unwrap_err();
    assert!(refused.contains(expected), "serve, {expected:?}: {refused}");
}

#[test]
fn both_reject_an_unusable_certificate() {
    fs::write(
        CERTIFICATES.path().join("junk.pem"),
        "-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    fs::write(CERTIFICATES.path().join("empty.pem"), "").unwrap();
    for (certificate, key, expected) in [
        ("absent.pem", "ours.key", "absent.pem cannot be read"),
        ("ours.pem", "absent.key", "absent.key cannot be read"),
        ("empty.pem", "ours.key", "has no certificate"),
        ("junk.pem", "ours.key", "is damaged"),
        ("ours.pem", "other.key", "do not match"),
        ("ours.pem", "rsa.key", "do not match"),
        ("ours.pem", "encrypted.key", "is encrypted with a passphrase"),
        ("ours.pem", "ours.pem", "has no private key"),
    ] {
        assert_both_refuse(installation(&tls(certificate, key)).path(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_warn_of_an_expired_or_future_certificate() {
    for (certificate, expected, shown) in [
        ("old.pem", "has expired", "expired 2020"),
        ("early.pem", "is not valid yet", "not valid before 2090"),
    ] {
        let directory = installation(&tls(certificate, "ours.key"));
        let (is_accepted, checked) = check(directory.path());
        assert!(is_accepted && checked.contains(expected), "{checked}");
        let service = Service::try_start(binary(directory.path()), directory.path()).unwrap();
        let log = fs::read_to_string(directory.path().join("service.log")).unwrap();
        assert!(log.contains(expected), "{log}");
        let client =
            reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build().unwrap();
        let url = format!("https://{}/health/ready", service.address);
        let ready = client.get(url).send().await.unwrap();
        assert_eq!(ready.status(), 200);
        let ready = ready.text().await.unwrap();
        assert!(
            ready.contains("\"name\":\"certificate\",\"result\":\"warn\"") && ready.contains(shown),
            "{ready}"
        );
    }
}

#[test]
fn both_reject_a_missing_or_damaged_keyring() {
    let directory = installation("");
    fs::write(directory.path().join(KEYRING), "format = 1\njunk").unwrap();
    assert_both_refuse(directory.path(), "keyring");
    fs::remove_file(directory.path().join(KEYRING)).unwrap();
    assert_both_refuse(directory.path(), "there is no keyring file");
}

#[test]
fn a_byte_order_mark_is_ignored_in_every_file() {
    let directory = installation("bootstrap.account = \"a\"\nbootstrap.api_key_file = \"a.key\"\n");
    let marked = |name: &str, text: &str| {
        fs::write(directory.path().join(name), format!("\u{feff}{}", text.trim_start_matches('\u{feff}')))
            .unwrap();
    };
    for name in [KEYRING, "vimeo-connections.toml"] {
        let path = directory.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        // The file is rewritten in place, so that its mode stays.
        fs::write(&path, format!("\u{feff}{text}")).unwrap();
    }
    marked("a.key", "pictai_8f14e45fceea167a5a36dedd4bea25431b2a\n");
    let (is_accepted, checked) = check(directory.path());
    assert!(is_accepted, "{checked}");
    serve(directory.path()).unwrap();
}

#[test]
fn both_reject_an_unusable_path_or_address() {
    for (config, expected) in [
        (
            "sources.spool_directory = \"vimeo-connections.toml/a\"\n",
            "sources.spool_directory vimeo-connections.toml/a",
        ),
        (
            "sources.spool_directory = \"vimeo-connections.toml\"\n",
            "sources.spool_directory vimeo-connections.toml",
        ),
        ("database_url = \"sqlite:vimeo-connections.toml/a.db\"\n", "cannot be used"),
        ("database_url = \"sqlite:/proc/none/a.db\"\n", "/proc"),
        (
            "bootstrap.account = \"a\"\nbootstrap.api_key_file = \"absent/a.key\"\n",
            "bootstrap.api_key_file absent/a.key",
        ),
        (
            "bootstrap.account = \"a\"\nbootstrap.api_key_file = \"vimeo-connections.toml\"\n",
            "an API key is `pictai_`",
        ),
        ("listen = \"192.0.2.1:0\"\nbehind_tls_proxy = true\n", "this machine does not have that address"),
    ] {
        assert_both_refuse(installation(config).path(), expected);
    }
}

#[test]
fn a_used_address_is_rejected_unless_beside_running() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = installation(&format!("listen = \"{}\"\n", taken.local_addr().unwrap()));
    assert_both_refuse(directory.path(), "the address is in use");
    let beside = cli(directory.path(), &["config", "check", "--beside-running"], "");
    assert!(beside.status.success(), "{}", printed(&beside));
}

#[test]
fn both_report_a_locked_database() {
    let directory = installation("");
    assert!(cli(directory.path(), &["accounts", "create", "a"], "").status.success());
    let lock = rusqlite::Connection::open(directory.path().join("data/vimeo-connections.db")).unwrap();
    lock.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; PRAGMA user_version = 0").unwrap();
    assert_both_refuse(directory.path(), "is locked by another process");
}

#[test]
fn a_new_key_that_cannot_be_printed_is_revoked() {
    let directory = installation("");
    assert!(cli(directory.path(), &["accounts", "create", "a"], "").status.success());
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = binary(directory.path());
    command.args(["keys", "create", "--account", "a"]).stdout(full).stderr(Stdio::piped());
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{}", printed(&output));
    let listed = printed(&cli(directory.path(), &["keys", "list", "--json"], ""));
    assert!(listed.contains("\"revoked\"") && !listed.contains("\"active\""), "{listed}");
}

#[test]
fn a_weak_key_is_imported_only_if_configured() {
    let directory = installation("");
    assert!(cli(directory.path(), &["accounts", "create", "a"], "").status.success());
    let import = |key: &str| cli(directory.path(), &["keys", "import", "--account", "a"], key);
    let refused = import("pictai_correct-horse-battery-staple");
    assert!(
        !refused.status.success() && printed(&refused).contains("at least 128 are required"),
        "{}",
        printed(&refused)
    );
    assert!(!printed(&refused).contains("horse"), "{}", printed(&refused));
    let strong = import("\u{feff}pictai_9C1185A5C5E9FC54612808977EE8F548B2258D31\n");
    assert!(strong.status.success(), "{}", printed(&strong));
    let file = directory.path().join("vimeo-connections.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{config}api_keys.allow_weak = true\n")).unwrap();
    assert!(import("pictai_correct-horse-battery-staple").status.success());
}

const BOOTSTRAP: &str = "bootstrap.account = \"a\"\nbootstrap.api_key_file = \"a.key\"\n";

#[test]
fn both_reject_a_weak_bootstrap_key_unless_it_is_stored() {
    let directory = installation(BOOTSTRAP);
    let key = directory.path().join("a.key");
    fs::write(&key, WEAK).unwrap();
    assert_both_refuse(directory.path(), "at least 128 are required");
    assert!(!check(directory.path()).1.contains("horse"));
    let file = directory.path().join("vimeo-connections.toml");
    let strict = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{strict}api_keys.allow_weak = true\n")).unwrap();
    assert!(check(directory.path()).0);
    serve(directory.path()).unwrap();
    // A key that was accepted before stays valid.
    fs::write(&file, strict).unwrap();
    let (is_accepted, checked) = check(directory.path());
    assert!(is_accepted, "{checked}");
    serve(directory.path()).unwrap();
}

#[test]
fn both_reject_a_bootstrap_key_of_another_account() {
    let directory = installation_with_accounts(BOOTSTRAP);
    fs::write(directory.path().join("a.key"), STRONG).unwrap();
    assert_both_refuse(directory.path(), "belongs to another account");
    open_database(directory.path()).execute("UPDATE api_keys SET name = 'changed'", []).unwrap();
    assert_both_refuse(directory.path(), "was not written by this service");
}

#[test]
fn both_reject_a_write_locked_database_if_they_must_write() {
    let lock = |directory: &Path| {
        let lock = open_database(directory);
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        lock
    };
    let directory = installation("");
    assert!(cli(directory.path(), &["accounts", "create", "a"], "").status.success());
    let held = lock(directory.path());
    assert!(check(directory.path()).0, "there is nothing to write");
    serve(directory.path()).unwrap();
    drop(held);
    revert_last_migration(&open_database(directory.path()));
    let held = lock(directory.path());
    assert_both_refuse(directory.path(), "is locked by another process");
    drop(held);
    assert!(check(directory.path()).0);
    serve(directory.path()).unwrap();
    // An existing account.
    let directory = installation("bootstrap.account = \"a\"\n");
    assert!(cli(directory.path(), &["accounts", "create", "a"], "").status.success());
    let held = lock(directory.path());
    assert!(check(directory.path()).0, "the account exists");
    serve(directory.path()).unwrap();
    drop(held);
    // An account that has to be created.
    let directory = installation("bootstrap.account = \"b\"\n");
    assert!(cli(directory.path(), &["accounts", "create", "a"], "").status.success());
    let held = lock(directory.path());
    assert_both_refuse(directory.path(), "is locked by another process");
    drop(held);
}

#[test]
fn both_reject_world_writable_secrets_and_report_readable_ones() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let directory = installation(BOOTSTRAP);
    let path = |name: &str| directory.path().join(name);
    fs::copy(CERTIFICATES.path().join("ours.key"), path("tls.key")).unwrap();
    fs::copy(CERTIFICATES.path().join("ours.pem"), path("tls.pem")).unwrap();
    let config = fs::read_to_string(path("vimeo-connections.toml")).unwrap();
    let tls = "tls.certificate_file = \"tls.pem\"\ntls.key_file = \"tls.key\"\n";
    fs::write(path("vimeo-connections.toml"), format!("{config}{tls}")).unwrap();
    fs::write(path("a.key"), STRONG).unwrap();
    for (name, key) in [("a.key", "bootstrap.api_key_file"), ("tls.key", "tls.key_file")] {
        mode(&path(name), 0o602);
        assert_both_refuse(directory.path(), &format!("{key} {name} can be changed by every user"));
        mode(&path(name), 0o644);
        let (is_accepted, checked) = check(directory.path());
        assert!(is_accepted && checked.contains("can read this file") && checked.contains(name), "{checked}");
        mode(&path(name), 0o640);
        let (is_accepted, checked) = check(directory.path());
        assert!(is_accepted && !checked.contains("WARN"), "{checked}");
    }
    serve(directory.path()).unwrap();
    assert!(check(directory.path()).0);
    for (name, mask, words) in [
        ("data", 0o777, "can change what is at this path"),
        ("data/vimeo-connections.db", 0o644, "can read this file"),
        ("data/vimeo-connections.db", 0o666, "can change what is at this path"),
    ] {
        let before = fs::metadata(path(name)).unwrap().permissions();
        mode(&path(name), mask);
        let (is_accepted, checked) = check(directory.path());
        assert!(is_accepted && checked.contains(words), "{name}: {checked}");
        fs::set_permissions(path(name), before).unwrap();
    }
}
