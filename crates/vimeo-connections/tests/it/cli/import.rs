//! `connections import`: each line is imported or reported, and an import can be repeated.

use std::fmt::Write as _;
use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::harness::{ACCOUNT, EnvOptions, TestEnv, printed};

fn import(env: &TestEnv, arguments: &[&str], input: &str) -> Output {
    env.cli(&[&["connections", "import", "--account", ACCOUNT], arguments].concat(), input)
}

/// The exit status, and the report as JSON.
fn report(env: &TestEnv, arguments: &[&str], input: &str) -> (i32, Value) {
    let output = import(env, &[arguments, &["--json"]].concat(), input);
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), report.unwrap_or_else(|_| panic!("{}", printed(&output))))
}

/// Line, name, outcome and reason of each row.
fn fates(report: &Value) -> Vec<(u64, String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let lines = report["lines"].as_array().unwrap().iter();
    lines
        .map(|line| {
            let number = line["line"].as_u64().unwrap();
            (number, text(&line["name"]), text(&line["outcome"]), text(&line["reason"]))
        })
        .collect()
}

fn fate(line: u64, name: &str, outcome: &str, reason: &str) -> (u64, String, String, String) {
    (line, name.to_owned(), outcome.to_owned(), reason.to_owned())
}

/// A line with valid credentials of the sandbox, changed in these fields.
fn line(env: &TestEnv, name: &str, changes: &Value) -> String {
    let mut body = env.valid_body(name);
    for (field, value) in changes.as_object().unwrap() {
        body[field] = value.clone();
    }
    format!("{body}\n")
}

/// The stored connections: name, description and whether each is enabled.
async fn stored(env: &TestEnv) -> Vec<(String, Value, bool)> {
    let listed = env.get(crate::support::harness::COLLECTION).await.json();
    let items = listed["Items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let name = item["name"].as_str().unwrap().to_owned();
            (name, item["description"].clone(), item["enabled"].as_bool().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines_are_imported_independently_and_once() {
    let env = TestEnv::start().await;
    let mut text = "\u{feff}".to_owned();
    text += &line(&env, "one", &json!({"connectionId": "x", "type": "VIMEO", "version": 9, "other": 1}));
    text += "\r\n  \n";
    text += &line(&env, "two", &json!({"enabled": false, "description": null})).replace('\n', "\r\n");
    text += "canary\n";
    text += &line(&env, "a.b", &json!({"clientSecret": "", "accesToken": "canary", "enabled": "yes"}));
    text += &line(&env, "three", &json!({"clientSecret": "canary"}));
    text += &line(&env, " one ", &json!({}));
    text += &line(&env, "one", &json!({"accessToken": "canary"}));
    writeln!(text, "{{\"name\":\"{}\"}}", "x".repeat(70_000)).unwrap();
    let mut last: Value = serde_json::from_str(&line(&env, "last", &json!({}))).unwrap();
    last.as_object_mut().unwrap().remove("enabled");
    text += &last.to_string();

    let refused = [
        fate(5, "-", "refused", "is not valid JSON (column 1)"),
        fate(
            6,
            "-",
            "refused",
            "name must contain only letters, digits, spaces, hyphens and underscores; enabled must be true or false; \
             clientSecret must not be empty; accesToken is not a known field; did you mean accessToken?",
        ),
        fate(
            7,
            "three",
            "refused",
            "Vimeo refused the credentials: clientSecret does not belong to the client identifier; copy the client \
             secret from the same app's page",
        ),
    ];
    let after = [
        fate(8, " one ", "already there", "the same as line 1"),
        fate(9, "one", "refused", "line 1 has the same name with different credentials"),
        fate(10, "-", "refused", "is longer than 64 KiB"),
    ];
    for outcome in ["imported", "already there"] {
        let (code, report) = report(&env, &["-"], &text);
        let mut expected = vec![fate(1, "one", outcome, "-"), fate(4, "two", outcome, "-")];
        expected.extend(refused.clone());
        expected.extend(after.clone());
        expected.push(fate(11, "last", outcome, "-"));
        assert_eq!((code, fates(&report)), (1, expected));
        assert!(!report.to_string().contains("canary"), "{report}");
    }
    let described = json!("Testing Vimeo connection via API");
    let expected = [
        ("one".to_owned(), described.clone(), true),
        ("two".to_owned(), Value::Null, false),
        ("last".to_owned(), described, true),
    ];
    assert_eq!(stored(&env).await, expected);
    assert!(env.stray_tokens().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_csv_file_is_imported_by_its_header_and_once() {
    let env = TestEnv::start().await;
    let (id, secret, token) = (&env.sandbox.client_id, &env.sandbox.client_secret, &env.sandbox.access_token);
    let text = format!(
        "\u{feff}accessToken,name,description,enabled,clientIdentifier,clientSecret,notes\r\n\
         {token},plain,,,{id},{secret},x\r\n\
         \r\n\
         {token},quoted,\"two\r\nlines, \"\"so\"\"\",FALSE,{id},{secret},\r\n\
         {token},short,,,{id}\r\n\
         ,faulty,,maybe,{id},{secret} ,\r\n"
    );
    fs::write(env.path().join("all.CSV"), &text).unwrap();
    let (code, first) = report(&env, &["all.CSV"], "");
    let faulty = "enabled must be true or false; clientSecret has a space or an invisible character at its start \
                  or end: remove it; accessToken is required";
    let expected = |outcome| {
        vec![
            fate(2, "plain", outcome, "-"),
            fate(4, "quoted", outcome, "-"),
            fate(6, "-", "refused", "has 5 cells, and the header has 7"),
            fate(7, "faulty", "refused", faulty),
        ]
    };
    assert_eq!((code, fates(&first)), (1, expected("imported")));
    assert_eq!(fates(&report(&env, &["-", "--format", "csv"], &text).1), expected("already there"));
    let both = [
        ("plain".to_owned(), Value::Null, true),
        ("quoted".to_owned(), json!("two\r\nlines, \"so\""), false),
    ];
    assert_eq!(stored(&env).await, both);

    for (header, expected) in [
        ("name,clientIdentifier,clientSecret\n", "accessToken has no column"),
        ("name;clientIdentifier;clientSecret;accessToken\n", "has 1 cells, and the header has 4"),
        ("name,client_identifier,clientSecret,accessToken\n", "did you mean clientIdentifier?"),
        ("name,name,clientIdentifier,clientSecret,accessToken\n", "name appears twice"),
        (&format!("a,{id},{secret},{token}\n"), "name has no column; clientIdentifier has no column"),
    ] {
        let output = import(&env, &["-", "--format", "csv"], &format!("{header}{token}\n"));
        let text = printed(&output);
        assert!(!output.status.success() && text.contains(expected), "{text}");
        assert!(!text.contains(token.as_str()) && !text.contains(secret.as_str()), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_is_readable_and_an_import_can_be_repeated() {
    let env = TestEnv::start().await;
    let text = line(&env, "one", &json!({})) + &line(&env, "two", &json!({}));
    let output = import(&env, &["-"], &text);
    let id = |name| {
        let shown = printed(&env.cli(&["connections", "show", name, "--account", ACCOUNT, "--json"], ""));
        serde_json::from_str::<Value>(&shown).unwrap()["connectionId"].as_str().unwrap().to_owned()
    };
    let (one, two) = (id("one"), id("two"));
    assert!(output.status.success());
    assert_eq!(
        printed(&output),
        format!(
            "line 1, one: imported ({one})\nline 2, two: imported ({two})\n2 imported, 0 already there, 0 refused\n"
        )
    );
    let again = import(&env, &["-"], &(text + "oops"));
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(
        printed(&again),
        format!(
            "line 1, one: already there ({one})\nline 2, two: already there ({two})\n\
             line 3, ?: refused: is not valid JSON (column 1)\n0 imported, 2 already there, 1 refused\n"
        )
    );
    let nothing = import(&env, &["-"], "");
    assert_eq!(
        (nothing.status.success(), printed(&nothing).as_str()),
        (true, "0 imported, 0 already there, 0 refused\n")
    );
    let repeated = import(&env, &["-"], &line(&env, "two", &json!({})));
    assert!(repeated.status.success(), "{}", printed(&repeated));
    assert!(printed(&import(&env, &["absent.jsonl"], "")).contains("absent.jsonl cannot be read"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_with_other_credentials_is_not_overwritten() {
    let env = TestEnv::with(EnvOptions { open_sandbox: true, ..EnvOptions::default() }).await;
    assert_eq!(env.post(&env.valid_body("taken")).await.status, 201);
    let (code, report) = report(&env, &["-"], &line(&env, "taken", &json!({"accessToken": "newer"})));
    let reason = "the account has a connection with this name and different credentials";
    assert_eq!((code, fates(&report)), (1, vec![fate(1, "taken", "refused", reason)]));
    assert_eq!(env.connection_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_retried_once_after_a_vimeo_failure() {
    let env = TestEnv::start().await;
    let text = line(&env, "one", &json!({})) + &line(&env, "two", &json!({}));
    env.inject_fault(json!({"route": "GET /oauth/verify", "kind": "status", "status": 503})).await;
    let (code, first) = report(&env, &["-"], &text);
    assert_eq!((code, &first["imported"]), (0, &json!(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_a_vimeo_outage_the_remaining_lines_are_skipped() {
    let env = TestEnv::start().await;
    assert_eq!(env.post(&env.valid_body("one")).await.status, 201);
    let mut text = line(&env, "one", &json!({}));
    text += &line(&env, "two", &json!({}));
    text += "oops\n";
    text += &line(&env, "three", &json!({}));
    for _ in 0..2 {
        env.inject_fault(json!({"route": "GET /oauth/verify", "kind": "status", "status": 503})).await;
    }
    let (code, first) = report(&env, &["-"], &text);
    let why =
        "the credentials could not be checked at Vimeo, and nothing was stored; try again in 10 seconds";
    let expected = vec![
        fate(1, "one", "already there", "-"),
        fate(2, "two", "not tried", why),
        fate(3, "-", "refused", "is not valid JSON (column 1)"),
        fate(4, "three", "not tried", "the import stopped at line 2"),
    ];
    assert_eq!((code, fates(&first)), (1, expected));
    assert_eq!(first["notTried"], json!(2));
    assert_eq!(env.connection_count(), 1);

    let (code, second) = report(&env, &["-"], &text.replace("oops", ""));
    assert_eq!((code, &second["alreadyThere"], &second["imported"]), (0, &json!(1), &json!(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_fields_apply_to_imported_files() {
    let config = "strict_fields = true\n".to_owned();
    let env = TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await;
    let (_, first) = report(&env, &["-"], &line(&env, "one", &json!({"notes": "x"})));
    assert_eq!(fates(&first), [fate(1, "one", "refused", "notes is not a known field")]);
    let output =
        import(&env, &["-", "--format", "csv"], "name,clientIdentifier,clientSecret,accessToken,notes\n");
    assert!(printed(&output).contains("notes is not a known field"), "{}", printed(&output));
}
