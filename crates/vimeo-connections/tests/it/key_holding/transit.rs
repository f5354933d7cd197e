//! The keyring with OpenBao: created through it, waited for, not needed while running, and every state with its message.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::harness::{Service, TestEnv, cli, until};
use crate::support::holders::openbao::{KEY, OpenBao};
use crate::support::holders::{check, error_of, waits};

fn keyring_file(env: &TestEnv) -> PathBuf {
    env.path().join("vimeo-connections.keyring")
}

fn log(directory: &Path) -> String {
    fs::read_to_string(directory.join("service.log")).unwrap_or_default()
}

/// Starts the service while OpenBao is away, then sealed, then usable.
async fn start_before(bao: &mut OpenBao, directory: PathBuf) -> Service {
    let before = waits(&log(&directory)).len();
    let path = directory.clone();
    let starting = tokio::task::spawn_blocking(move || Service::start(&path));
    let seen = |part: &str| waits(&log(&directory)).iter().skip(before).any(|wait| wait.contains(part));
    until("it waits, more than once", async || waits(&log(&directory)).len() >= before + 2).await;
    assert!(seen("cannot be reached"), "{:?}", waits(&log(&directory)));
    bao.run().await;
    until("it waits for a sealed OpenBao", async || seen("it is sealed")).await;
    assert!(!starting.is_finished());
    bao.unseal().await;
    starting.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_starting_service_waits_for_openbao_and_a_running_one_does_not_need_it() {
    let Some(mut bao) = OpenBao::start().await else { return };
    let mut env = TestEnv::without_verification(&bao.config()).await;
    let keyring = fs::read_to_string(keyring_file(&env)).unwrap();
    assert!(keyring.contains("format = 2") && keyring.contains("\"transit:vault:v1:"), "{keyring}");
    assert_eq!(env.post(&env.valid_body("first")).await.status, 201);

    bao.stop();
    let second = env.post(&env.valid_body("second")).await;
    assert_eq!(second.status, 201, "{}", second.text);
    let ready = env.get("/health/ready").await;
    assert_eq!(ready.status, 200, "{}", ready.text);

    // Commands do not wait.
    for arguments in [&["accounts", "list"][..], &["config", "check", "--beside-running"]] {
        let output = env.cli(arguments, "");
        let error = error_of(&output);
        assert_eq!(output.status.code(), Some(69), "{error}");
        assert!(error.contains("cannot be used now: it cannot be reached"), "{error}");
    }

    env.service.terminate();
    env.service = start_before(&mut bao, env.path().to_owned()).await;
    assert_eq!(env.post(&env.valid_body("third")).await.status, 201);
    let checked = env.cli(&["connections", "check"], "");
    assert!(checked.status.success(), "{}", error_of(&checked));

    let log = env.log();
    for secret in [bao.token(), keyring.rsplit('"').nth(1).unwrap().to_owned()] {
        assert!(!log.contains(&secret), "a secret is in the log");
    }
}

/// A state of OpenBao, its key or the keyring file, and what `config check` reports.
fn assert_state(env: &TestEnv, state: &str, expected: (i32, &str)) {
    let (status, error) = check(env.path());
    assert!(status == Some(expected.0) && error.contains(expected.1), "{state}: {status:?} {error}");
    assert_eq!(error.lines().count(), 1, "{state}: {error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_state_of_openbao_and_its_key_has_its_message() {
    let Some(bao) = OpenBao::start().await else { return };
    let env = TestEnv::without_verification(&bao.config()).await;
    let fine = || assert_eq!(check(env.path()).0, Some(0));
    fine();

    bao.freeze(Signal::STOP);
    assert_state(&env, "no answer", (69, "it did not answer"));
    bao.freeze(Signal::CONT);

    let token = bao.token();
    bao.write_token("s.nonsense");
    assert_state(&env, "wrong token", (77, "refuses access: the token is not valid"));
    bao.write_token(" \n");
    assert_state(&env, "empty token", (78, "keyring.transit.token_file"));
    fs::remove_file(bao.token_file()).unwrap();
    assert_state(&env, "no token", (78, "cannot be read"));
    bao.write_token(&token);
    fs::set_permissions(bao.token_file(), fs::Permissions::from_mode(0o666)).unwrap();
    assert_state(&env, "exposed token", (78, "can be changed by every user of this machine"));
    fs::set_permissions(bao.token_file(), fs::Permissions::from_mode(0o600)).unwrap();
    bao.allow(&["encrypt"]).await;
    assert_state(&env, "no permission", (77, "its policy lacks `update` on transit/encrypt/keyring"));
    bao.allow(&["encrypt", "decrypt"]).await;
    fine();

    let path = format!("transit/keys/{KEY}");
    bao.api(Method::POST, &format!("{path}/rotate"), Value::Null).await;
    fine();
    let config = format!("{path}/config");
    bao.api(Method::POST, &config, json!({"min_decryption_version": 2})).await;
    assert_state(&env, "retired version", (78, "is disabled: it was deleted softly, or the version"));
    bao.api(Method::POST, &config, json!({"min_decryption_version": 1})).await;
    bao.api(Method::DELETE, &format!("{path}/soft-delete"), Value::Null).await;
    assert_state(&env, "deleted softly", (78, "is disabled: it was deleted softly"));
    bao.api(Method::POST, &format!("{path}/soft-delete-restore"), Value::Null).await;
    fine();

    bao.api(Method::POST, &config, json!({"deletion_allowed": true})).await;
    bao.api(Method::DELETE, &path, Value::Null).await;
    assert_state(&env, "deleted", (78, "does not exist: check keyring.transit.mount"));
    // A key of the same name is another key.
    bao.api(Method::POST, &path, json!({"type": "aes256-gcm96"})).await;
    assert_state(&env, "replaced", (78, "cannot decrypt what is in the keyring"));
    bao.api(Method::POST, &config, json!({"deletion_allowed": true})).await;
    bao.api(Method::DELETE, &path, Value::Null).await;
    bao.api(Method::POST, &path, json!({"type": "rsa-2048"})).await;
    assert_state(&env, "other type", (78, "the key must have the type aes256-gcm96"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_keyring_is_decrypted_only_under_its_own_identifier() {
    let Some(bao) = OpenBao::start().await else { return };
    let env = TestEnv::without_verification(&bao.config()).await;
    let text = fs::read_to_string(keyring_file(&env)).unwrap();
    let id = text.split("primary = \"").nth(1).unwrap().split('"').next().unwrap();
    let other = id.replace("k_", "k_0");
    for changed in [text.replace(id, &other), text.replace("\"transit:vault:v1:", "\"transit:vault:v1:AA")] {
        fs::write(keyring_file(&env), &changed).unwrap();
        assert_state(&env, &changed, (78, "cannot decrypt what is in the keyring"));
    }
    // A holder that does not bind to the identifier would not be enough: the key itself has it too.
    let swapped = text.replace("transit:", "kms:");
    fs::write(keyring_file(&env), swapped).unwrap();
    assert_state(&env, "other holder", (78, "encrypted by another holder (kms)"));
    fs::write(keyring_file(&env), &text).unwrap();
    assert_eq!(check(env.path()).0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyring_that_cannot_be_encrypted_is_not_created() {
    let Some(bao) = OpenBao::start().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vimeo-connections.keyring");
    let init = || cli(directory.path(), &["init"], "");
    let configure =
        |config: &str| fs::write(directory.path().join("vimeo-connections.toml"), config).unwrap();
    // The engine creates missing keys for a token that may create them: the service never asks for that.
    let config = bao.config();
    configure(&config.replace(&format!("\"{KEY}\""), "\"missing\""));
    bao.write_token(&bao.root_token());
    assert_eq!(init().status.code(), Some(78), "{}", error_of(&init()));
    assert!(error_of(&init()).contains("does not exist") && !file.exists());
    configure(&config);
    let made = init();
    assert!(made.status.success(), "{}", error_of(&made));
    let printed = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(
        printed.contains("encrypted by the transit key transit/keyring at http://127.0.0.1:"),
        "{printed}"
    );
    assert_eq!(error_of(&init()).matches("never overwritten").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_keyring_is_converted_only_if_its_holder_decrypts_it_again() {
    let Some(bao) = OpenBao::start().await else { return };
    let env = TestEnv::without_verification("").await;
    let plain = fs::read_to_string(keyring_file(&env)).unwrap();
    let configuration = env.path().join("vimeo-connections.toml");
    let config = fs::read_to_string(&configuration).unwrap() + &bao.config();
    fs::write(&configuration, config).unwrap();
    bao.allow(&["encrypt"]).await;
    let refused = env.cli(&["keyring", "rotate"], "");
    assert_eq!(refused.status.code(), Some(77), "{}", error_of(&refused));
    assert_eq!(fs::read_to_string(keyring_file(&env)).unwrap(), plain);
    bao.allow(&["encrypt", "decrypt"]).await;
    let rotated = env.cli(&["keyring", "rotate"], "");
    assert!(rotated.status.success(), "{}", error_of(&rotated));
    let sealed = fs::read_to_string(keyring_file(&env)).unwrap();
    assert!(sealed.contains("format = 2") && !sealed.contains(plain.rsplit('"').nth(1).unwrap()), "{sealed}");
    for arguments in [&["keyring", "rewrap"][..], &["connections", "check"]] {
        let output = env.cli(arguments, "");
        assert!(output.status.success(), "{}", error_of(&output));
    }
}
