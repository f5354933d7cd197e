//! Commands on a remote service: where it is and which key is used, and `connections` through its API.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::certificates::{make_certificate, make_certificate_of};
use crate::support::harness::{COLLECTION, ClosedPort, EnvOptions, Service, TestEnv, cli, printed};
use crate::support::remote_cli::{RemoteUser, finish};

fn secrets(env: &TestEnv) -> String {
    json!({"clientSecret": env.sandbox.client_secret, "accessToken": env.sandbox.access_token}).to_string()
}

fn create(env: &TestEnv, user: &RemoteUser, name: &str) -> Value {
    let identifier = env.sandbox.client_id.clone();
    let arguments =
        ["connections", "create", "--name", name, "--client-identifier", &identifier, "--credentials", "-"];
    user.json(&arguments, &secrets(env))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_managed_over_http_as_in_the_database() {
    let env = TestEnv::start().await;
    let user = RemoteUser::of(&env);
    let made = create(&env, &user, "by hand");
    let path = format!("{COLLECTION}/{}", made["connectionId"].as_str().unwrap());
    assert_eq!(env.get(&path).await.json(), made);
    let same = |arguments: &[&str]| {
        let remote = user.run(arguments, "");
        let local = env.cli(&[arguments, &["--account", "acme"]].concat(), "");
        assert!(remote.status.success(), "{}", printed(&remote));
        assert_eq!(printed(&remote), printed(&local), "{arguments:?}");
    };
    same(&["connections", "list"]);
    same(&["connections", "list", "--json"]);
    same(&["connections", "show", "by hand"]);
    same(&["connections", "show", " by hand ", "--json"]);

    let changed = user.json(&["connections", "update", "by hand", "--name", "Renamed"], "");
    assert_eq!((&changed["name"], &changed["version"]), (&json!("Renamed"), &json!(2)));
    let off = user.json(&["connections", "disable", "Renamed"], "");
    assert_eq!((&off["enabled"], &off["version"]), (&json!(false), &json!(3)));
    assert_eq!(user.json(&["connections", "disable", "Renamed"], ""), off);
    assert_eq!(user.json(&["connections", "enable", "Renamed"], "")["enabled"], json!(true));
    let renewed = user.json(&["connections", "update", "Renamed", "--credentials", "-"], &secrets(&env));
    assert_eq!(env.get(&path).await.json(), renewed);
    let unsure = user.error(&["connections", "delete", "Renamed"], "");
    assert!(unsure.1.contains("pass --yes"), "{unsure:?}");
    let deleted = user.json(&["connections", "delete", "Renamed", "--yes"], "");
    assert_eq!(deleted, json!({"connectionId": made["connectionId"], "status": "deleted"}));
    assert_eq!(env.get(&path).await.code(), "CONNECTION_NOT_FOUND");
    let gone = user.error(&["connections", "show", "Renamed"], "");
    assert!(gone.0 == Some(1) && gone.1.contains("no connection with this ID or name"), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_api_is_shown_with_its_code_its_fields_and_its_request() {
    let env = TestEnv::start().await;
    let user = RemoteUser::of(&env);
    create(&env, &user, "films");
    let arguments =
        ["connections", "create", "--name", "other", "--client-identifier", "x", "--credentials", "-"];
    let (status, error) = user.error(&arguments, r#"{"clientSecret":"canary-1","accessToken":"canary-2"}"#);
    assert_eq!(status, Some(1), "{error}");
    for part in ["INVALID_VIMEO_CREDENTIALS", "clientIdentifier is not known", "accessToken is", "request "] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("canary"), "{error}");
    let id = error.rsplit_once("request ").unwrap().1.trim_end().trim_end_matches(')');
    assert!(env.log().contains(id), "operators find the request by its ID: {error}");
    let arguments = ["connections", "create", "--name", "films", "--credentials", "-", "--client-identifier"];
    let (_, error) = user.error(&[&arguments[..], &[&env.sandbox.client_id]].concat(), &secrets(&env));
    assert!(error.contains("CONNECTION_NAME_EXISTS"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_imported_once_and_refused_like_those_of_the_database() {
    let env = TestEnv::start().await;
    let user = RemoteUser::of(&env);
    let mut other_app = env.valid_body("one");
    other_app["clientIdentifier"] = json!("another");
    let mut wrong = env.valid_body("wrong");
    wrong["accessToken"] = json!("unknown");
    let lines = [
        env.valid_body("one").to_string(),
        "{".to_owned(),
        wrong.to_string(),
        other_app.to_string(),
        env.valid_body("two").to_string(),
    ];
    let output = user.run(&["connections", "import", "-", "--json"], &lines.join("\n"));
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let outcomes: Vec<_> =
        report["lines"].as_array().unwrap().iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["imported", "refused", "refused", "refused", "imported"], "{report}");
    assert!(report["lines"][2]["reason"].as_str().unwrap().contains("accessToken"), "{report}");
    let again = user.run(&["connections", "import", "-"], &[&*lines[0], &*lines[4]].join("\n"));
    assert!(again.status.success(), "{}", printed(&again));
    assert!(printed(&again).ends_with("0 imported, 2 already there, 0 refused\n"), "{}", printed(&again));
    assert_eq!(env.connection_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_reads_every_page_of_the_service() {
    let env = TestEnv::without_verification("").await;
    let user = RemoteUser::of(&env);
    let lines: String = (0..1_001).map(|n| env.valid_body(&format!("c{n}")).to_string() + "\n").collect();
    assert!(env.cli(&["connections", "import", "-", "--account", "acme"], &lines).status.success());
    assert_eq!(user.json(&["connections", "list"], "").as_array().unwrap().len(), 1_001);
}

fn assert_fails(output: &Output, status: i32, part: &str) {
    assert_eq!(output.status.code(), Some(status), "{}", printed(output));
    assert!(output.stdout.is_empty() && printed(output).contains(part), "{}", printed(output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_is_selected_by_a_url_and_the_key_comes_from_the_environment() {
    let env = TestEnv::start().await;
    let user = RemoteUser::of(&env);
    let url = env.url("/pictoryapis/");
    let with = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = user.command(arguments);
        command.envs(variables.iter().copied());
        finish(command, "")
    };
    let key = ("VIMEO_CONNECTIONS_API_KEY", env.api_key.as_str());
    let list = ["connections", "list"];
    assert!(with(&[key], &["connections", "list", "--url", &url]).status.success());
    assert!(with(&[key, ("VIMEO_CONNECTIONS_URL", &url)], &list).status.success());
    assert_fails(&with(&[("VIMEO_CONNECTIONS_URL", &url)], &list), 78, "there is no API key");
    assert_fails(
        &with(&[key], &["connections", "list", "--url", "http://videos.example.com"]),
        78,
        "https://",
    );
    let unauthorized = ("VIMEO_CONNECTIONS_API_KEY", "pictai_unknown-canary");
    let refused = with(&[unauthorized], &["connections", "list", "--url", &url]);
    assert_fails(&refused, 77, "UNAUTHORIZED");
    assert!(!printed(&refused).contains("canary"), "{}", printed(&refused));
    let malformed = with(&[("VIMEO_CONNECTIONS_API_KEY", "canary")], &["connections", "list", "--url", &url]);
    assert_fails(&malformed, 78, "must start with pictai_");
    assert!(!printed(&malformed).contains("canary"), "{}", printed(&malformed));
    let both = with(&[key], &["connections", "list", "--url", &url, "--profile", "test"]);
    assert_fails(&both, 2, "--url and --profile");
    let closed = ClosedPort::bind();
    let nowhere = format!("http://{}", closed.address());
    assert_fails(&with(&[key], &["connections", "list", "--url", &nowhere]), 69, "cannot be reached");
    let foreign = format!("{}/x", env.sandbox.base_url);
    assert_fails(&with(&[key], &["connections", "list", "--url", &foreign]), 78, "check the URL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_profiles_that_others_can_read_is_refused_and_never_shown() {
    let env = TestEnv::start().await;
    let user = RemoteUser::of(&env);
    let text = std::fs::read_to_string(user.profiles()).unwrap();
    let list = ["connections", "list"];
    assert!(user.run(&list, "").status.success());
    for mode in [0o640, 0o604, 0o660] {
        user.write_profiles(&text, mode);
        assert_fails(&user.run(&list, ""), 78, "chmod 600");
    }
    for (text, part) in [
        (text.replace("test", "other"), "it has: other"),
        (text.replace("api_key", "key"), "line 3"),
        (String::new(), "it has: none"),
        (format!("{text}ca_file = \"missing.pem\"\n"), "missing.pem"),
    ] {
        user.write_profiles(&text, 0o600);
        let output = user.run(&list, "");
        assert_fails(&output, 78, part);
        assert!(!printed(&output).contains(&env.api_key), "{}", printed(&output));
    }
    std::fs::remove_file(user.profiles()).unwrap();
    assert_fails(&user.run(&list, ""), 78, "profiles.toml cannot be read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_the_database_does_not_run_where_a_service_is_selected() {
    let env = TestEnv::start().await;
    let user = RemoteUser::of(&env);
    for arguments in [&["serve"][..], &["accounts", "list"], &["backup", "x"], &["config", "check"]] {
        assert_fails(&user.run(arguments, ""), 2, "--profile selects a remote service");
    }
    for arguments in [&["connections", "check"][..], &["keys", "import"]] {
        let arguments =
            if arguments[0] == "keys" { &["keys", "import", "--account", "acme"] } else { arguments };
        assert_fails(&user.run(arguments, ""), 2, "works on the database");
    }
    assert_fails(&user.run(&["connections", "list", "--account", "acme"], ""), 2, "the API key decides");
    let missing = cli(env.path(), &["connections", "list"], "");
    assert_fails(&missing, 2, "--account NAME is missing");
    let mut command = user.command(&["accounts", "list"]);
    command.env("VIMEO_CONNECTIONS_URL", env.url(""));
    assert_fails(&finish(command, ""), 2, "VIMEO_CONNECTIONS_URL selects a remote service");
    // A key alone selects nothing.
    let mut command = user.command(&["accounts", "list"]);
    command.current_dir(env.path()).env("VIMEO_CONNECTIONS_API_KEY", "x");
    assert!(finish(command, "").status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_with_a_private_certificate_authority_is_reached_by_its_certificate_alone() {
    let mut env = TestEnv::with(EnvOptions { verification_off: true, ..EnvOptions::default() }).await;
    env.service.kill();
    make_certificate_of(env.path(), "authority", "service");
    make_certificate(env.path(), "other");
    let files = [("CERTIFICATE", "service.pem"), ("KEY", "service.key")]
        .map(|(key, file)| (format!("VIMEO_CONNECTIONS_TLS__{key}_FILE"), env.path().join(file)));
    let variables: Vec<_> =
        files.iter().map(|(name, path)| (name.as_str(), path.to_str().unwrap())).collect();
    env.service = Service::start_with(env.path(), &variables);
    let url = format!("https://{}", env.service.address);
    let profile = |ca_file: &str| {
        let user = RemoteUser::with(&url, &env.api_key);
        let text = std::fs::read_to_string(user.profiles()).unwrap();
        let path = env.path().join(ca_file);
        user.write_profiles(&format!("{text}ca_file = \"{}\"\n", path.display()), 0o600);
        user
    };
    let user = profile("authority.pem");
    assert_eq!(user.json(&["connections", "list"], ""), json!([]));
    assert_eq!(user.json(&["status"], "")["ready"], json!(true));
    let (status, error) = profile("other.pem").error(&["connections", "list"], "");
    assert!(status == Some(69) && error.contains("certificate"), "{error}");
    let plain = RemoteUser::with(&url, &env.api_key);
    let mut command = plain.command(&["connections", "list", "--profile", "test"]);
    command.env("VIMEO_CONNECTIONS_CA_FILE", env.path().join("authority.pem"));
    assert!(finish(command, "").status.success());
}
