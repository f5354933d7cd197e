//! Arriving with a file of connections: each line is taken in, or its fault is told, and it may be repeated.

use std::fmt::Write as _;
use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::harness::{ACCOUNT, Wish, World, said};

fn import(world: &World, arguments: &[&str], input: &str) -> Output {
    world.cli(&[&["connections", "import", "--account", ACCOUNT], arguments].concat(), input)
}

/// The exit code, and the report in JSON.
fn report(world: &World, arguments: &[&str], input: &str) -> (i32, Value) {
    let output = import(world, &[arguments, &["--json"]].concat(), input);
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), report.unwrap_or_else(|_| panic!("{}", said(&output))))
}

/// Line, name, outcome and reason of each line.
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

/// A line that the sandbox makes good, but for some fields.
fn line(world: &World, name: &str, changes: &Value) -> String {
    let mut body = world.good_body(name);
    for (field, value) in changes.as_object().unwrap() {
        body[field] = value.clone();
    }
    format!("{body}\n")
}

/// What is stored, as name, description and whether it is enabled.
async fn stored(world: &World) -> Vec<(String, Value, bool)> {
    let listed = world.get(crate::support::harness::COLLECTION).await.json();
    let items = listed["Items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let name = item["name"].as_str().unwrap().to_owned();
            (name, item["description"].clone(), item["enabled"].as_bool().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines_are_imported_each_for_itself_and_once() {
    let world = World::start().await;
    let mut text = "\u{feff}".to_owned();
    text += &line(&world, "one", &json!({"connectionId": "x", "type": "VIMEO", "version": 9, "other": 1}));
    text += "\r\n  \n";
    text += &line(&world, "two", &json!({"enabled": false, "description": null})).replace('\n', "\r\n");
    text += "canary\n";
    text += &line(&world, "a.b", &json!({"clientSecret": "", "accesToken": "canary", "enabled": "yes"}));
    text += &line(&world, "three", &json!({"clientSecret": "canary"}));
    text += &line(&world, " one ", &json!({}));
    text += &line(&world, "one", &json!({"accessToken": "canary"}));
    writeln!(text, "{{\"name\":\"{}\"}}", "x".repeat(70_000)).unwrap();
    let mut last: Value = serde_json::from_str(&line(&world, "last", &json!({}))).unwrap();
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
        fate(9, "one", "refused", "line 1 has this name too, with other credentials"),
        fate(10, "-", "refused", "is longer than 64 KiB"),
    ];
    for outcome in ["imported", "already there"] {
        let (code, report) = report(&world, &["-"], &text);
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
    assert_eq!(stored(&world).await, expected);
    assert!(world.stray_tokens().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_imported_by_its_header_and_once() {
    let world = World::start().await;
    let (id, secret, token) =
        (&world.sandbox.client_id, &world.sandbox.client_secret, &world.sandbox.access_token);
    let text = format!(
        "\u{feff}accessToken,name,description,enabled,clientIdentifier,clientSecret,notes\r\n\
         {token},plain,,,{id},{secret},x\r\n\
         \r\n\
         {token},quoted,\"two\r\nlines, \"\"so\"\"\",FALSE,{id},{secret},\r\n\
         {token},short,,,{id}\r\n\
         ,faulty,,maybe,{id},{secret} ,\r\n"
    );
    fs::write(world.path().join("all.CSV"), &text).unwrap();
    let (code, first) = report(&world, &["all.CSV"], "");
    let faulty = "enabled must be true or false; clientSecret has a space or an invisible character at its beginning \
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
    assert_eq!(fates(&report(&world, &["-", "--format", "csv"], &text).1), expected("already there"));
    let both = [
        ("plain".to_owned(), Value::Null, true),
        ("quoted".to_owned(), json!("two\r\nlines, \"so\""), false),
    ];
    assert_eq!(stored(&world).await, both);

    for (header, expected) in [
        ("name,clientIdentifier,clientSecret\n", "accessToken has no column"),
        ("name;clientIdentifier;clientSecret;accessToken\n", "has 1 cells, and the header has 4"),
        ("name,client_identifier,clientSecret,accessToken\n", "did you mean clientIdentifier?"),
        ("name,name,clientIdentifier,clientSecret,accessToken\n", "name is there twice"),
        (&format!("a,{id},{secret},{token}\n"), "name has no column; clientIdentifier has no column"),
    ] {
        let output = import(&world, &["-", "--format", "csv"], &format!("{header}{token}\n"));
        let text = said(&output);
        assert!(!output.status.success() && text.contains(expected), "{text}");
        assert!(!text.contains(token.as_str()) && !text.contains(secret.as_str()), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_made_for_eyes_and_a_good_file_may_be_repeated() {
    let world = World::start().await;
    let text = line(&world, "one", &json!({})) + &line(&world, "two", &json!({}));
    let output = import(&world, &["-"], &text);
    let id = |name| {
        let shown = said(&world.cli(&["connections", "show", name, "--account", ACCOUNT, "--json"], ""));
        serde_json::from_str::<Value>(&shown).unwrap()["connectionId"].as_str().unwrap().to_owned()
    };
    let (one, two) = (id("one"), id("two"));
    assert!(output.status.success());
    assert_eq!(
        said(&output),
        format!(
            "line 1, one: imported ({one})\nline 2, two: imported ({two})\n2 imported, 0 already there, 0 refused\n"
        )
    );
    let again = import(&world, &["-"], &(text + "oops"));
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(
        said(&again),
        format!(
            "line 1, one: already there ({one})\nline 2, two: already there ({two})\n\
             line 3, ?: refused: is not valid JSON (column 1)\n0 imported, 2 already there, 1 refused\n"
        )
    );
    let nothing = import(&world, &["-"], "");
    assert_eq!(
        (nothing.status.success(), said(&nothing).as_str()),
        (true, "0 imported, 0 already there, 0 refused\n")
    );
    let repeated = import(&world, &["-"], &line(&world, "two", &json!({})));
    assert!(repeated.status.success(), "{}", said(&repeated));
    assert!(said(&import(&world, &["absent.jsonl"], "")).contains("absent.jsonl cannot be read"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_taken_by_other_credentials_is_left_alone() {
    let world = World::with(Wish { open_sandbox: true, ..Wish::default() }).await;
    assert_eq!(world.post(&world.good_body("taken")).await.status, 201);
    let (code, report) = report(&world, &["-"], &line(&world, "taken", &json!({"accessToken": "newer"})));
    let reason = "the account has a connection of this name, with other credentials";
    assert_eq!((code, fates(&report)), (1, vec![fate(1, "taken", "refused", reason)]));
    assert_eq!(world.stored(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_vimeo_fails_once_the_line_is_tried_once_more() {
    let world = World::start().await;
    let text = line(&world, "one", &json!({})) + &line(&world, "two", &json!({}));
    world.fault(json!({"route": "GET /oauth/verify", "kind": "status", "status": 503})).await;
    let (code, first) = report(&world, &["-"], &text);
    assert_eq!((code, &first["imported"]), (0, &json!(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_vimeo_stays_away_the_rest_is_not_tried_and_may_be_later() {
    let world = World::start().await;
    assert_eq!(world.post(&world.good_body("one")).await.status, 201);
    let mut text = line(&world, "one", &json!({}));
    text += &line(&world, "two", &json!({}));
    text += "oops\n";
    text += &line(&world, "three", &json!({}));
    for _ in 0..2 {
        world.fault(json!({"route": "GET /oauth/verify", "kind": "status", "status": 503})).await;
    }
    let (code, first) = report(&world, &["-"], &text);
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
    assert_eq!(world.stored(), 1);

    let (code, second) = report(&world, &["-"], &text.replace("oops", ""));
    assert_eq!((code, &second["alreadyThere"], &second["imported"]), (0, &json!(1), &json!(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_fields_hold_for_files_too() {
    let config = "strict_fields = true\n".to_owned();
    let world = World::with(Wish { config, verification_off: true, ..Wish::default() }).await;
    let (_, first) = report(&world, &["-"], &line(&world, "one", &json!({"notes": "x"})));
    assert_eq!(fates(&first), [fate(1, "one", "refused", "notes is not a known field")]);
    let output =
        import(&world, &["-", "--format", "csv"], "name,clientIdentifier,clientSecret,accessToken,notes\n");
    assert!(said(&output).contains("notes is not a known field"), "{}", said(&output));
}
