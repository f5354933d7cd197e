//! `connections` commands, from create to delete, while the service runs.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::canaries::Canaries;
use crate::support::harness::{ACCOUNT, COLLECTION, EnvOptions, TestEnv, binary, printed, until};

/// `O_NONBLOCK` on Linux.
const NONBLOCKING: i32 = 0o4000;

/// Runs `connections …` for the account, and returns its JSON output.
fn done(env: &TestEnv, arguments: &[&str], input: &str) -> Value {
    let arguments = [&["connections"], arguments, &["--account", ACCOUNT, "--json"]].concat();
    let output = env.cli(&arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs `connections …` for the account, which must fail, and returns its error.
fn refused(env: &TestEnv, arguments: &[&str], input: &str) -> String {
    let arguments = [&["connections"], arguments, &["--account", ACCOUNT]].concat();
    assert_refused(&env.cli(&arguments, input))
}

fn assert_refused(output: &Output) -> String {
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &[][..]), "{}", printed(output));
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    // A warning of the log may precede it.
    text.lines().find_map(|line| line.strip_prefix("vimeo-connections: ")).unwrap().to_owned()
}

/// The valid secrets of the sandbox, as a file of credentials.
fn secrets(env: &TestEnv) -> String {
    json!({"clientSecret": env.sandbox.client_secret, "accessToken": env.sandbox.access_token}).to_string()
}

fn create(env: &TestEnv, name: &str) -> Value {
    let identifier = env.sandbox.client_id.clone();
    let arguments = ["create", "--name", name, "--client-identifier", &identifier, "--credentials", "-"];
    done(env, &arguments, &secrets(env))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_manages_a_connection_like_the_api() {
    let env = TestEnv::start().await;
    let made = create(&env, "by hand");
    let path = format!("{COLLECTION}/{}", text(&made, "connectionId"));
    assert_eq!(env.get(&path).await.json(), made);
    assert!(env.stray_tokens().await.is_empty());

    let changed =
        done(&env, &["update", "by hand", "--name", "Renamed", "--description", "a\nb\u{202e}"], "");
    assert_eq!((text(&changed, "name"), &changed["version"]), ("Renamed", &json!(2)));
    assert_eq!(env.get(&path).await.json(), changed);
    let shown = env.cli(&["connections", "show", "Renamed", "--account", ACCOUNT], "");
    assert!(printed(&shown).contains("description        a b \n"), "{}", printed(&shown));
    let cleared = done(&env, &["update", text(&made, "connectionId"), "--clear-description"], "");
    assert_eq!(cleared.get("description"), None);

    let off = done(&env, &["disable", "Renamed"], "");
    assert_eq!((&off["enabled"], &off["version"]), (&json!(false), &json!(4)));
    assert_eq!(done(&env, &["disable", "Renamed"], ""), off, "nothing changes the second time");
    let again = env.cli(&["connections", "disable", "Renamed", "--account", ACCOUNT], "");
    assert!(printed(&again).contains("is disabled already."), "{}", printed(&again));
    assert_eq!(env.get(&path).await.json(), off);
    assert_eq!(done(&env, &["enable", "Renamed"], "")["enabled"], json!(true));
    let renewed = done(&env, &["update", "Renamed", "--credentials", "-"], &secrets(&env));
    assert_eq!(renewed["version"], json!(6));
    assert_eq!(done(&env, &["list"], ""), json!([renewed]));
    assert_eq!(done(&env, &["show", " Renamed "], ""), renewed);

    let deleted = done(&env, &["delete", "Renamed", "--yes"], "");
    assert_eq!(deleted, json!({"connectionId": made["connectionId"], "status": "deleted"}));
    assert_eq!(env.get(&path).await.code(), "CONNECTION_NOT_FOUND");
    assert_eq!(done(&env, &["list"], ""), json!([]));
    let events = "SELECT count(*), count(api_key_id) FROM audit_events WHERE subject = ?1";
    let id = text(&made, "connectionId");
    let counted: (u64, u64) =
        env.database().query_row(events, [id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(counted, (7, 0), "every change is audited as the operator's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_output_has_the_fields_of_the_api_in_order() {
    let env = TestEnv::start().await;
    let made = create(&env, "ordered");
    let path = format!("{COLLECTION}/{}", text(&made, "connectionId"));
    done(&env, &["update", "ordered", "--description", "d"], "");
    let over_http = env.get(&path).await.text;
    for command in [&["show", "ordered"][..], &["list"]] {
        let output = env.cli(&[&["connections"], command, &["--account", ACCOUNT, "--json"]].concat(), "");
        let compact: String =
            printed(&output).lines().map(str::trim).collect::<String>().replace("\": ", "\":");
        assert_eq!(compact.trim_matches(['[', ']']), over_http);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_reads_all_pages() {
    let env = TestEnv::without_verification("").await;
    let lines: String = (0..1_001).map(|n| env.valid_body(&format!("c{n}")).to_string() + "\n").collect();
    let report = done(&env, &["import", "-"], &lines);
    assert_eq!(report["imported"], 1_001);
    assert_eq!(done(&env, &["list"], "").as_array().unwrap().len(), 1_001);
    let table = printed(&env.cli(&["connections", "list", "--account", ACCOUNT], ""));
    assert!(table.starts_with("NAME") && table.lines().count() == 1_002 && table.contains("c1000"));
}

/// Asserts that each output contains its text, and no secret.
fn assert_printed(sentences: &[(String, &str)]) {
    for (printed, expected) in sentences {
        assert!(printed.contains(expected), "{expected:?}: {printed}");
        assert!(!printed.contains("canary"), "{printed}");
    }
}

/// Tries to create a connection with this name and these credentials.
fn refused_new(env: &TestEnv, name: &str, input: &str) -> String {
    let identifier = ["--client-identifier", &env.sandbox.client_id, "--credentials", "-"];
    refused(env, &[&["create", "--name", name], &identifier[..]].concat(), input)
}

/// The valid secrets with one replaced by an unknown one.
fn bad(env: &TestEnv, field: &str) -> String {
    let mut secrets: Value = serde_json::from_str(&secrets(env)).unwrap();
    secrets[field] = json!("canary-unknown");
    secrets.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_commands_explain_why_and_change_nothing() {
    let env = TestEnv::start().await;
    let made = create(&env, "taken");
    create(&env, "other");
    let before = done(&env, &["list"], "");
    assert_printed(&[
        (refused_new(&env, "taken ", &secrets(&env)), "the account already has a connection with this name"),
        (
            refused_new(&env, "new", &bad(&env, "clientSecret")),
            "Vimeo refused the credentials, and nothing was stored: clientSecret does not \
            belong to the client identifier; copy the client secret",
        ),
        (
            refused_new(&env, "new", &bad(&env, "accessToken")),
            "accessToken is unknown to Vimeo, expired or revoked; generate a new one",
        ),
        (
            refused(&env, &["update", "taken", "--name", "other"], ""),
            "already has a connection with this name",
        ),
        (
            refused(&env, &["update", "taken", "--credentials", "-"], &bad(&env, "clientSecret")),
            "clientSecret does not belong",
        ),
        (
            refused(&env, &["show", "canary-pasted"], ""),
            "the account acme has no connection with this ID or name; `vimeo",
        ),
        (refused(&env, &["show", "canary/\u{1b}[1m"], ""), "the account acme has no connection"),
        (
            refused(&env, &["enable", "20200101000000000abcdefghijklmno"], ""),
            "the account acme has no connection",
        ),
        (
            refused(&env, &["delete", "taken"], "taken\n"),
            "cannot be undone; pass --yes, or run this at a terminal",
        ),
    ]);
    let stranger = env.cli(&["connections", "list", "--account", "unknown"], "");
    assert!(assert_refused(&stranger).contains("no account is named unknown"));
    env.make_key("stranger", &[]);
    let elsewhere =
        env.cli(&["connections", "show", text(&made, "connectionId"), "--account", "stranger"], "");
    assert!(assert_refused(&elsewhere).contains("the account stranger has no connection"));
    env.inject_fault(json!({"route": "GET /oauth/verify", "kind": "status", "status": 503})).await;
    let printed = refused_new(&env, "new", &secrets(&env));
    assert!(
        printed.contains("could not be checked at Vimeo") && printed.contains("try again in 10 seconds"),
        "{printed}"
    );
    assert_eq!(done(&env, &["list"], ""), before);
    assert!(env.stray_tokens().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_invalid_arguments_are_reported_together() {
    let env = TestEnv::start().await;
    create(&env, "taken");
    let before = done(&env, &["list"], "");
    let new = |name: &str, input: &str| refused_new(&env, name, input);
    let good = secrets(&env);
    assert_printed(&[
        (
            new("a.b", r#"{"accessToken":"a b"}"#),
            "name must contain only letters, digits, spaces, hyphens and \
            underscores; clientSecret is required; accessToken must contain only visible ASCII characters",
        ),
        (new("new", "canary"), "standard input: is not valid JSON (line 1, column 1)"),
        (
            new("new", r#"{"client_secret":"canary"}"#),
            "client_secret is not a known field; did you mean clientSecret?",
        ),
        (new("new", r#"{"name":"canary"}"#), "name is not a known field"),
        (new("new", r#"{"clientIdentifier":"canary"}"#), "clientIdentifier is given twice"),
        (
            refused(&env, &["update", "taken", "--client-identifier", "x y", "--name", ""], ""),
            "name must not be empty or blank; clientIdentifier must contain only visible ASCII",
        ),
        (
            refused(&env, &["create", "--name", "new", "--client-identifier", "x"], &good),
            "there is no terminal to prompt",
        ),
        (
            refused(&env, &["update", "taken", "--ask-access-token"], ""),
            "Pass --credentials FILE (- is standard input)",
        ),
        (
            refused(&env, &["update", "taken", "--credentials", "absent.json"], ""),
            "absent.json cannot be read",
        ),
    ]);
    for argument in ["--client-secret=canary", "--access-token=canary"] {
        for command in [&["update", "taken"][..], &["create", "--name", "new"]] {
            let printed = refused(&env, &[command, &[argument]].concat(), "");
            assert!(
                printed.starts_with("secrets are never taken from arguments") && !printed.contains("canary"),
                "{printed}"
            );
        }
    }
    assert!(refused(&env, &["update", "taken"], "").contains("there is nothing to change"));
    assert_eq!(done(&env, &["list"], ""), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_does_not_overwrite_a_concurrent_change() {
    let env = TestEnv::start().await;
    let made = create(&env, "contested");
    let path = format!("{COLLECTION}/{}", text(&made, "connectionId"));
    let fifo = env.path().join("secrets.fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let child = binary(env.path())
        .args(["connections", "update", "contested", "--account", ACCOUNT, "--credentials", "secrets.fifo"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Opening for writing succeeds once the command reads. By then it has read the version.
    let mut input = None;
    until("the command asks for the secrets", async || {
        input = OpenOptions::new().write(true).custom_flags(NONBLOCKING).open(&fifo).ok();
        input.is_some()
    })
    .await;
    let body = json!({"version": 1, "description": "meanwhile"}).to_string().into_bytes();
    assert_eq!(env.send(Method::PUT, &path, &[], body).await.status, 200);
    input.take().unwrap().write_all(secrets(&env).as_bytes()).unwrap();
    let printed = assert_refused(&child.wait_with_output().unwrap());
    assert!(
        printed.contains("was changed by another request; nothing was changed. Run the command again"),
        "{printed}"
    );
    assert_eq!(env.get(&path).await.json()["version"], json!(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_printed_or_logged() {
    let env = TestEnv::with(EnvOptions { open_sandbox: true, ..EnvOptions::default() }).await;
    let (secret, token) = ("Canary-Cli-Secret-0123456789", "Canary-Cli-Token-0123456789");
    let canaries = Canaries::of(&[("client secret", secret.as_bytes()), ("access token", token.as_bytes())]);
    let body =
        json!({"name": "quiet", "clientIdentifier": "guest", "clientSecret": secret, "accessToken": token});
    let pair = json!({"clientSecret": secret, "accessToken": token}).to_string();
    let named = ["--account", ACCOUNT, "--credentials", "-"];
    let mut heard = String::new();
    for (arguments, input) in [
        (vec!["create", "--name", "silent", "--client-identifier", "guest"], pair.clone()),
        (vec!["create", "--name", "silent", "--client-identifier", "guest"], pair.clone()),
        (vec!["create", "--name", "bad", "--client-identifier", "invalid"], pair.clone()),
        (vec!["update", "silent"], pair.clone()),
        (vec!["update", "silent"], format!("{pair}{secret}")),
        (vec!["update", "silent"], json!({ secret: token, "clientSecret": [token] }).to_string()),
    ] {
        heard += &printed(&env.cli(&[&["connections"], &arguments[..], &named].concat(), &input));
    }
    let csv = format!(
        "name,clientIdentifier,clientSecret,accessToken\nrow,guest,{secret},{token}\nbad,guest,{secret} ,{token}\n"
    );
    let headless = format!("row,guest,{secret},{token}\n");
    for (kind, input) in [("jsonl", format!("{body}\n{body}{secret}\n")), ("csv", csv), ("csv", headless)] {
        for format in [&["--json"][..], &[]] {
            let arguments =
                [&["connections", "import", "-", "--account", ACCOUNT, "--format", kind], format].concat();
            heard += &printed(&env.cli(&arguments, &input));
        }
    }
    heard += &printed(&env.cli(&["connections", "list", "--account", ACCOUNT, "--json"], ""));
    assert!(heard.contains("quiet") && heard.contains("silent") && heard.contains("row"), "{heard}");
    assert!(canaries.in_bytes(heard.as_bytes()).is_empty(), "{heard}");
    let found = canaries.in_files(env.path(), &[]);
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_not_echoed_and_deletes_are_confirmed_by_name() {
    let env = TestEnv::start().await;
    let program = env!("CARGO_BIN_EXE_vimeo-connections");
    let at_terminal = |arguments: &str, talk: &[(&str, &str)]| {
        let command = format!("{program} connections {arguments} --account {ACCOUNT}");
        let mut child = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .current_dir(env.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (mut shown, mut byte) = (Vec::new(), [0]);
        for (question, answer) in talk {
            while !shown.ends_with(question.as_bytes()) && output.read(&mut byte).unwrap() > 0 {
                shown.extend(byte);
            }
            // The terminal turns echo off right after the question.
            std::thread::sleep(Duration::from_millis(300));
            input.write_all(format!("{answer}\n").as_bytes()).unwrap();
        }
        output.read_to_end(&mut shown).unwrap();
        (child.wait().unwrap().success(), String::from_utf8(shown).unwrap())
    };
    let (secret, token) = (&env.sandbox.client_secret, &env.sandbox.access_token);
    let new = format!("create --name typed --client-identifier {}", env.sandbox.client_id);
    let (is_done, printed) =
        at_terminal(&new, &[("Client secret (not shown): ", secret), ("Access token (not shown): ", token)]);
    assert!(
        is_done
            && printed.contains("Client secret (not shown)")
            && printed.contains("Created the connection"),
        "{printed}"
    );
    assert!(!printed.contains(secret.as_str()) && !printed.contains(token.as_str()), "{printed}");
    let (is_done, printed) = at_terminal("delete typed", &[("to continue:", "another")]);
    assert!(!is_done && printed.contains("that is not the name; nothing was deleted"), "{printed}");
    let (is_done, printed) = at_terminal("delete typed", &[("to continue:", "typed")]);
    assert!(is_done && printed.contains("Deleted the connection typed"), "{printed}");
    assert_eq!(env.connection_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_a_deleted_account_stop_working_and_others_remain() {
    let env = TestEnv::start().await;
    create(&env, "goes with it");
    let stays = env.make_key("stays", &[]);
    let kept = env.valid_body("kept").to_string().into_bytes();
    let as_other = [("authorization", stays.as_str())];
    assert_eq!(env.send(Method::POST, COLLECTION, &as_other, kept).await.status, 201);
    assert!(
        assert_refused(&env.cli(&["accounts", "delete", ACCOUNT], "acme\n")).contains("pass --yes"),
        "there was no prompt"
    );
    assert_eq!(env.get(COLLECTION).await.status, 200);

    let deleted = env.cli(&["accounts", "delete", ACCOUNT, "--yes"], "");
    assert!(
        deleted.status.success() && printed(&deleted).contains("Deleted the account acme"),
        "{}",
        printed(&deleted)
    );
    until("its keys are refused", async || env.get(COLLECTION).await.status == 401).await;
    let left = env.send(Method::GET, COLLECTION, &as_other, Vec::new()).await;
    assert_eq!(left.json()["Items"][0]["name"], "kept");
    assert_eq!(env.connection_count(), 1);
    let again = env.cli(&["accounts", "delete", ACCOUNT, "--yes"], "");
    assert!(assert_refused(&again).contains("no account is named acme"));
    let listed = printed(&env.cli(&["keys", "list"], ""));
    assert!(!listed.contains(ACCOUNT), "{listed}");
}
