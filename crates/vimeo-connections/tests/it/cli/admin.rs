//! Commands for operators: `init`, `migrate`, `config check`, `accounts`, `keys` and `connections check`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::harness::{
    ACCOUNT, COLLECTION, Service, TestEnv, binary, cli, is_documented_failure, printed, serve_error,
};

/// A directory with a configuration and a keyring, and no running service.
fn installation(config: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), config);
    let made = cli(directory.path(), &["init"], "");
    assert!(made.status.success(), "{}", printed(&made));
    directory
}

fn configure(directory: &Path, config: &str) {
    let always = "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\nvimeo.verification = \"off\"\n";
    fs::write(directory.join("vimeo-connections.toml"), format!("{always}{config}")).unwrap();
}

/// The JSON output of a command.
fn answer(directory: &Path, arguments: &[&str]) -> Value {
    let output = cli(directory, arguments, "");
    assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Asserts that a command failed with this text on standard error.
fn assert_refused(output: &Output, expected: &str) {
    assert!(is_documented_failure(output), "{}", printed(output));
    assert!(output.stdout.is_empty(), "{}", printed(output));
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    // `serve` reports errors in the format of the log, which is JSON here.
    let is_report = text.starts_with("vimeo-connections: ") || text.starts_with("{\"timestamp\":");
    assert!(is_report && text.contains(expected), "{expected:?}: {text}");
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn init_creates_a_keyring_once() {
    let directory = installation("");
    let keyring = directory.path().join("vimeo-connections.keyring");
    let before = fs::read(&keyring).unwrap();
    let again = cli(directory.path(), &["init"], "");
    assert_refused(&again, "exists already, and a keyring is never overwritten");
    assert_eq!(fs::read(&keyring).unwrap(), before);
    // Nor if the keyring is missing and a database needs it.
    answer(directory.path(), &["accounts", "create", ACCOUNT, "--json"]);
    fs::remove_file(&keyring).unwrap();
    assert_refused(&cli(directory.path(), &["init"], ""), "a new keyring could not decrypt it");
    assert!(!keyring.exists());
    let printed = serve_error(directory.path());
    assert!(printed.contains("Do not run `init`"), "{printed}");
}

#[test]
fn without_init_nothing_starts_and_no_file_is_created() {
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), "");
    let printed = serve_error(directory.path());
    assert!(printed.contains("Run `vimeo-connections init` once"), "{printed}");
    assert_refused(&cli(directory.path(), &["accounts", "create", "a"], ""), "there is no keyring file");
    assert!(!directory.path().join("data").exists());
}

#[test]
fn migrate_prepares_the_database_and_can_be_repeated() {
    let directory = installation("");
    for _ in 0..2 {
        let migrated = cli(directory.path(), &["migrate"], "");
        assert!(migrated.status.success(), "{}", printed(&migrated));
        let expected = "The database sqlite:./data/vimeo-connections.db has this version's schema.\n";
        assert_eq!(printed(&migrated), expected);
    }
    assert!(directory.path().join("data/vimeo-connections.db").exists());
}

#[test]
fn a_public_listen_address_requires_tls() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"] {
        let directory = installation("");
        fs::write(directory.path().join("vimeo-connections.toml"), format!("listen = \"{listen}\"\n"))
            .unwrap();
        let expected = format!("listen: {listen} can be reached from other machines");
        assert_refused(&cli(directory.path(), &["config", "check"], ""), &expected);
        assert!(serve_error(directory.path()).contains(&expected));
    }
}

#[test]
fn config_check_prints_effective_settings_without_secrets() {
    let secret = "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2E=";
    let config = format!("keyring.value = \"{secret}\"\nvimeo.proxy = \"http://user:canary@127.0.0.1:1\"\n");
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), &config);
    let shown = cli(directory.path(), &["config", "check"], "");
    assert!(shown.status.success(), "{}", printed(&shown));
    let text = printed(&shown);
    assert!(!text.contains(secret) && !text.contains("canary"), "{text}");
    for line in [
        "keyring.value = \"<redacted>\"  # from the file",
        "vimeo.proxy = \"<redacted>\"  # from the file",
        "listen = \"127.0.0.1:0\"  # from the file",
        "base_path = \"/pictoryapis\"  # default",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
    }
    assert!(!directory.path().join("data").exists(), "config check must not change the directory");
    // Without the redacted lines, the output is a valid configuration with the same meaning.
    let lines = text.lines().filter(|line| !line.contains("<redacted>"));
    let (kept, comments): (Vec<_>, Vec<_>) = lines.partition(|line| !line.starts_with('#'));
    assert!(!comments.is_empty());
    fs::write(directory.path().join("vimeo-connections.toml"), kept.join("\n")).unwrap();
    assert!(cli(directory.path(), &["init"], "").status.success());
    let again = printed(&cli(directory.path(), &["config", "check"], ""));
    for line in kept {
        let value = line.split("  # ").next().unwrap();
        assert!(again.contains(&format!("{value}  # from the file")), "{value}: {again}");
    }
}

#[test]
fn an_unknown_environment_variable_is_rejected() {
    let directory = installation("");
    for (name, value, expected) in [
        ("VIMEO_CONNECTIONS_LISTENN", "127.0.0.1:1", "did you mean VIMEO_CONNECTIONS_LISTEN?"),
        ("VIMEO_CONNECTIONS_VIMEO_BASE_URL", "canary", "did you mean VIMEO_CONNECTIONS_VIMEO__BASE_URL?"),
        ("VIMEO_CONNECTIONS_VIMEO__VERIFICATION", "canary", "must be one of: required, when-reachable, off"),
        ("VIMEO_CONNECTIONS_STRICT_FIELDS", "canary", "must be true or false"),
    ] {
        for arguments in [&["config", "check"][..], &["accounts", "list"], &["serve"]] {
            let output = binary(directory.path()).args(arguments).env(name, value).output().unwrap();
            assert_refused(&output, expected);
            assert!(!printed(&output).contains("canary"), "{}", printed(&output));
        }
    }
    let output = binary(directory.path())
        .args(["config", "check"])
        .env("VIMEO_CONNECTIONS_BASE_PATH", "/elsewhere")
        .env("SOMETHING_ELSE", "x")
        .output()
        .unwrap();
    assert!(printed(&output).contains("base_path = \"/elsewhere\"  # from VIMEO_CONNECTIONS_BASE_PATH"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bootstrap_creates_an_account_and_a_key_once() {
    let directory = installation("bootstrap.account = \"first\"\nbootstrap.api_key_file = \"first.key\"\n");
    let (path, file) = (directory.path(), directory.path().join("first.key"));
    let mut made = Vec::new();
    for _ in 0..2 {
        let mut service = Service::start(path);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("pictai_") && text.ends_with('\n'));
        let url = format!("http://{}{COLLECTION}/x", service.address);
        let request = reqwest::Client::builder().no_proxy().build().unwrap().get(url);
        let response = request.header("authorization", text.trim()).send().await.unwrap();
        assert_eq!(response.status(), 404, "the key lets its holder in");
        assert_eq!(service.terminate(), Some(0));
        assert!(!fs::read_to_string(path.join("service.log")).unwrap().contains(text.trim()));
        made.push((
            text,
            answer(path, &["accounts", "list", "--json"]),
            answer(path, &["keys", "list", "--json"]),
        ));
    }
    assert_eq!(made[0], made[1]);
    assert_eq!(made[0].1.as_array().unwrap().len(), 1);
    assert_eq!(made[0].2[0]["name"], "bootstrap");

    // A key of another account and a malformed key are refused.
    configure(path, "bootstrap.account = \"second\"\nbootstrap.api_key_file = \"first.key\"\n");
    let printed = serve_error(path);
    assert!(
        printed.contains("bootstrap.api_key_file first.key: the key in it belongs to another account"),
        "{printed}"
    );
    fs::write(&file, "canary\n").unwrap();
    let printed = serve_error(path);
    assert!(printed.contains("bootstrap.api_key_file first.key: an API key is `pictai_`"), "{printed}");
    assert!(!printed.contains("canary"), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bootstrap_imports_an_existing_key() {
    let directory = installation(
        "bootstrap.account = \"first\"\nbootstrap.api_key_file = \"given.key\"\napi_keys.allow_weak = true\n",
    );
    fs::write(directory.path().join("given.key"), "  pictai_given-by-the-operator\n\n").unwrap();
    let service = Service::start(directory.path());
    let url = format!("http://{}{COLLECTION}/x", service.address);
    let request = reqwest::Client::builder().no_proxy().build().unwrap().get(url);
    let response = request.header("authorization", "pictai_given-by-the-operator").send().await.unwrap();
    assert_eq!(response.status(), 404);
    let listed = answer(directory.path(), &["keys", "list", "--json"]);
    assert_eq!(listed[0]["lastFour"], "ator");
}

#[test]
fn accounts_are_created_and_listed() {
    let directory = installation("");
    let path = directory.path();
    let made = answer(path, &["accounts", "create", "  Acme & So\u{308}hne ", "--json"]);
    assert_eq!(keys(&made), ["accountId", "name"]);
    assert_eq!(made["name"], "Acme & S\u{f6}hne");
    assert!(made["accountId"].as_str().unwrap().starts_with("acc_"));
    let listed = answer(path, &["accounts", "list", "--json"]);
    assert_eq!(keys(&listed[0]), ["accountId", "createdDate", "name"]);
    assert_eq!((&listed[0]["accountId"], listed.as_array().unwrap().len()), (&made["accountId"], 1));
    let again = cli(path, &["accounts", "create", "Acme & S\u{f6}hne"], "");
    assert_refused(&again, "an account named Acme & S\u{f6}hne already exists");
    assert_eq!(answer(path, &["accounts", "list", "--json"]), listed);
    for bad in ["", "  ", "a\u{200b}b", &"x".repeat(101)] {
        let refused = cli(path, &["accounts", "create", bad], "");
        assert_eq!(refused.status.code(), Some(2), "{}", printed(&refused));
    }
    let table = printed(&cli(path, &["accounts", "list"], ""));
    assert!(table.starts_with("NAME") && table.contains("Acme & S\u{f6}hne"), "{table}");
}

#[test]
fn keys_are_created_listed_and_revoked() {
    let directory = installation("api_keys.allow_weak = true\n");
    let path = directory.path();
    answer(path, &["accounts", "create", ACCOUNT, "--json"]);
    let made = answer(
        path,
        &["keys", "create", "--account", ACCOUNT, "--name", "ci", "--expires-in-days", "2", "--json"],
    );
    assert_eq!(
        keys(&made),
        [
            "account",
            "accountId",
            "createdDate",
            "creator",
            "expiresDate",
            "key",
            "keyId",
            "lastFour",
            "name",
            "scopes",
        ]
    );
    let key = made["key"].as_str().unwrap();
    let id = made["keyId"].as_str().unwrap();
    assert_eq!((key.len(), &made["lastFour"]), (56, &json!(key[52..])));
    let status = |expected: &str| {
        let mut listed = answer(path, &["keys", "list", "--account", ACCOUNT, "--json"]);
        let revoked_date = listed[0].as_object_mut().unwrap().remove("revokedDate");
        assert_eq!(revoked_date.is_some(), expected == "revoked");
        let fields = [
            "account",
            "accountId",
            "createdDate",
            "creator",
            "expiresDate",
            "keyId",
            "lastFour",
            "name",
            "scopes",
            "status",
        ];
        assert_eq!(keys(&listed[0]), fields);
        assert_eq!((&listed[0]["status"], &listed[0]["keyId"]), (&json!(expected), &made["keyId"]));
        assert!(!listed.to_string().contains(key));
        assert!(!printed(&cli(path, &["keys", "list"], "")).contains(key));
    };
    status("active");

    // The key itself is not accepted as an identifier, nor printed again, however it was copied.
    for typed in [key.to_owned(), format!(" {key} "), format!("Bearer {key}"), format!("{key}\n")] {
        let refused = cli(path, &["keys", "revoke", &typed], "");
        assert_refused(&refused, "keys inspect --revoke`, which reads it from standard input");
        assert!(!printed(&refused).contains(key), "{}", printed(&refused));
        status("active");
    }
    assert_refused(
        &cli(path, &["keys", "revoke", "key_00000000000000000000"], ""),
        "no key has the ID or name key_00000000000000000000; `vimeo-connections keys list` shows them",
    );
    for _ in 0..2 {
        let revoked = answer(path, &["keys", "revoke", id, "--json"]);
        assert_eq!(revoked, json!({"keyId": id, "status": "revoked"}));
        status("revoked");
    }
    let expired = answer(path, &["keys", "create", "--account", ACCOUNT, "--expires-in-days", "0", "--json"]);
    let listed = answer(path, &["keys", "list", "--json"]);
    let statuses: Vec<_> =
        listed.as_array().unwrap().iter().map(|row| (&row["keyId"], &row["status"])).collect();
    assert!(statuses.contains(&(&expired["keyId"], &json!("expired"))), "{listed}");
    assert_eq!(statuses.len(), 2);
    let unknown = cli(path, &["keys", "create", "--account", "unknown"], "");
    assert_refused(&unknown, "no account is named unknown; `vimeo-connections accounts list` shows them");
}

#[test]
fn an_imported_key_has_all_scopes_and_no_expiry() {
    let directory = installation("api_keys.allow_weak = true\n");
    let path = directory.path();
    answer(path, &["accounts", "create", ACCOUNT, "--json"]);
    let imported = cli(path, &["keys", "import", "--account", ACCOUNT, "--json"], "pictai_imported");
    let imported: Value = serde_json::from_slice(&imported.stdout).unwrap();
    assert_eq!(imported.get("expiresDate"), None);
    assert_eq!((&imported["status"], &imported["creator"]), (&json!("active"), &json!("operator")));
    assert_eq!(imported["scopes"].as_array().unwrap().len(), 7, "{imported}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_check_counts_what_decrypts() {
    let env = TestEnv::without_verification("").await;
    assert_eq!(env.post(&env.valid_body("one")).await.status, 201);
    let report = answer(env.path(), &["connections", "check", "--json"]);
    assert_eq!(report, json!({"accounts": 1, "opened": 1, "broken": []}));
}
