//! Golden conversations: requests and responses, byte for byte, in files that a person can read.
//!
//! Each file of `golden/` is a script. A block starts with `=== title`, followed by directives (`@…`), the request,
//! `---`, and the response. Lines of a head end in CRLF on the wire, and in LF in the file. Values that differ between
//! runs are in braces, and a name always has the same value:
//!
//! - in requests: `{apiKey}`, `{clientIdentifier}`, `{clientSecret}`, `{accessToken}`, `{length}` (of the body),
//!   `{70000 spaces}`, and every name from an earlier response;
//! - in responses: `{date}`, `{rateLimit}`, `{connectionId1}`, `{createdDate1}`, `{updatedDate1}`, `{nextPageKey1}`, `{accountId}` …
//!
//! `@fault {…}` injects a fault into the sandbox, `@token name {…}` creates a token, `@app name {…}` an app.
//!
//! After an intended change of the responses, renew the files with `UPDATE_GOLDEN=1 cargo test -p vimeo-connections
//! --test it -- golden`, and review the diff.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::support::harness::{EnvOptions, TestEnv};

/// A request and its response, as in the file.
struct Pair {
    title: String,
    directives: Vec<String>,
    request: String,
    answer: String,
}

/// The values behind the names, in the order in which they were seen.
#[derive(Default)]
struct Names(Vec<(String, String)>);

impl Names {
    fn learn(&mut self, name: impl Into<String>, value: &str) {
        self.0.push((name.into(), value.to_owned()));
    }

    /// The name of a value; a new one is numbered within its kind.
    fn of(&mut self, kind: &str, value: &str) -> String {
        let is_kind = |name: &str| name.strip_prefix(kind).is_some_and(|rest| rest.parse::<u32>().is_ok());
        let mut known = self.0.iter().filter(|(name, _)| is_kind(name));
        if let Some((name, _)) = known.find(|(_, known)| known == value) {
            return name.clone();
        }
        let count = self.0.iter().filter(|(name, _)| is_kind(name)).count();
        let name = format!("{kind}{}", count + 1);
        self.learn(&name, value);
        name
    }

    /// Replaces names by values.
    fn expand(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// Replaces values that differ between runs by names.
    fn abstracted(&mut self, answer: &str) -> String {
        let (head, body) = answer.split_once("\n\n").unwrap();
        let mut text = String::new();
        for line in head.lines() {
            let line = match line.split_once(": ") {
                Some(("date", _)) => "date: {date}",
                // What remains of a quota depends on the time since the previous request.
                Some(("ratelimit", _)) => "ratelimit: {rateLimit}",
                _ => line,
            };
            let _ = writeln!(text, "{line}");
        }
        let mut body = body.to_owned();
        let json: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
        let items = json["Items"].as_array().cloned().unwrap_or_else(|| vec![json.clone()]);
        // Each value once, from left to right: two dates may be equal by chance.
        let mut from = 0;
        for item in &items {
            for (kind, field) in VARIABLE_FIELDS {
                let Some(value) = item[field].as_str() else { continue };
                let is_first = field == "updatedDate" && item["version"] == 1;
                let name = self.of(if is_first { "createdDate" } else { kind }, value);
                let (old, new) = (format!("\"{field}\":\"{value}\""), format!("\"{field}\":\"{{{name}}}\""));
                let Some(at) = body[from..].find(&old) else { continue };
                body.replace_range(from + at..from + at + old.len(), &new);
                from += at;
            }
        }
        if let Some(key) = json["nextPageKey"].as_str() {
            let name = self.of("nextPageKey", key);
            body = body.replace(key, &format!("{{{name}}}"));
        }
        let _ = write!(text, "\n{body}");
        // The longest first: one value may be part of another.
        let mut known: Vec<_> = self.0.iter().filter(|(name, _)| !name.contains("Date")).collect();
        known.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        known.into_iter().fold(text, |text, (name, value)| text.replace(value, &format!("{{{name}}}")))
    }
}

/// Fields whose values differ between runs, in the order of the response, and the names of the values.
const VARIABLE_FIELDS: [(&str, &str); 5] = [
    ("connectionId", "connectionId"),
    ("createdDate", "createdDate"),
    ("updatedDate", "updatedDate"),
    ("accountId", "accountId"),
    ("keyId", "keyId"),
];

/// Splits a file into its preface and its pairs.
fn read(file: &str) -> (String, Vec<Pair>) {
    let mut parts = file.split("=== ");
    let preface = parts.next().unwrap().to_owned();
    let pairs = parts.map(|part| {
        let (title, rest) = part.split_once('\n').unwrap();
        let directives: Vec<_> = rest.lines().take_while(|line| line.starts_with('@')).collect();
        let skipped: usize = directives.iter().map(|line| line.len() + 1).sum();
        let (request, answer) =
            rest[skipped..].split_once("---\n").unwrap_or_else(|| panic!("no --- in {title:?}"));
        Pair {
            title: title.to_owned(),
            directives: directives.into_iter().map(str::to_owned).collect(),
            request: request.trim_end_matches('\n').to_owned(),
            answer: answer.trim_end_matches('\n').to_owned(),
        }
    });
    let pairs = pairs.collect();
    (preface, pairs)
}

fn written(preface: &str, pairs: &[Pair]) -> String {
    let mut file = preface.to_owned();
    for pair in pairs {
        let _ = writeln!(file, "=== {}", pair.title);
        for directive in &pair.directives {
            let _ = writeln!(file, "{directive}");
        }
        let _ = writeln!(file, "{}\n---\n{}\n", pair.request, pair.answer);
    }
    file.pop();
    file
}

/// A connection that is opened again after a response has closed it.
struct Wire<'a> {
    env: &'a TestEnv,
    stream: Option<BufReader<TcpStream>>,
}

impl Wire<'_> {
    /// Sends one request and reads its response, with LF for CRLF in the head.
    fn ask(&mut self, request: &str) -> String {
        let stream = self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect(self.env.service.address).unwrap();
            stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
            BufReader::new(stream)
        });
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).unwrap(), 0, "closed after {head:?}");
            assert!(head.ends_with("\r\n"), "a line of the head has no CRLF: {head:?}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let has_body = !request.starts_with("HEAD ") && !head.starts_with("HTTP/1.1 304");
        let mut body = vec![0; if has_body { length.unwrap_or(0) } else { 0 }];
        stream.read_exact(&mut body).unwrap();
        if head.contains("connection: close") {
            self.stream = None;
        } else {
            assert!(stream.buffer().is_empty(), "more than the response: {:?}", stream.buffer());
        }
        head.replace("\r\n", "\n") + &String::from_utf8(body).unwrap()
    }
}

/// The bytes of a request from a file.
fn on_the_wire(request: &str, names: &Names) -> String {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let body = names.expand(body).replace("{70000 spaces}", &" ".repeat(70_000));
    let head = names.expand(head).replace("{length}", &body.len().to_string());
    format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n"))
}

/// Executes a directive.
async fn direct(env: &TestEnv, directive: &str, names: &mut Names) {
    let (directive_name, rest) = directive.split_once(' ').unwrap();
    if directive_name == "@fault" {
        return env.inject_fault(serde_json::from_str(rest).unwrap()).await;
    }
    let (name, options) = rest.split_once(' ').unwrap();
    let options = serde_json::from_str(&names.expand(options)).unwrap();
    match directive_name {
        "@token" => {
            let made = env.control(Method::POST, "tokens", options).await;
            names.learn(name, made["access_token"].as_str().unwrap());
        }
        "@app" => {
            let made = env.control(Method::POST, "apps", options).await;
            names.learn(format!("{name}Identifier"), made["client_id"].as_str().unwrap());
            names.learn(format!("{name}Secret"), made["client_secret"].as_str().unwrap());
        }
        _ => panic!("no such directive: {directive}"),
    }
}

/// Runs the conversation of a file in its own environment; the pairs with the actual responses.
async fn have(pairs: &[Pair]) -> Vec<Pair> {
    // The policy would depend on whether another account has sent a request within ten seconds.
    let config = "limits.burst_seconds = 60\n".to_owned();
    let env = TestEnv::with(EnvOptions { config, ..EnvOptions::default() }).await;
    let mut names = Names::default();
    names.learn("apiKey", &env.api_key);
    names.learn("clientIdentifier", &env.sandbox.client_id);
    names.learn("clientSecret", &env.sandbox.client_secret);
    names.learn("accessToken", &env.sandbox.access_token);
    names.learn("strangersApiKey", &env.make_key("strangers", &[]));
    let mut wire = Wire { env: &env, stream: None };
    let mut had = Vec::new();
    for pair in pairs {
        for directive in &pair.directives {
            direct(&env, directive, &mut names).await;
        }
        let answer = wire.ask(&on_the_wire(&pair.request, &names));
        had.push(Pair {
            title: pair.title.clone(),
            directives: pair.directives.clone(),
            request: pair.request.clone(),
            answer: names.abstracted(&answer).trim_end_matches('\n').to_owned(),
        });
    }
    had
}

/// A line diff with its context; empty if both are equal.
fn difference(expected: &str, got: &str) -> String {
    let (expected, got): (Vec<_>, Vec<_>) = (expected.lines().collect(), got.lines().collect());
    if expected == got {
        return String::new();
    }
    let before = expected.iter().zip(&got).take_while(|(one, other)| one == other).count();
    let rest = (&expected[before..], &got[before..]);
    let after = rest.0.iter().rev().zip(rest.1.iter().rev()).take_while(|(one, other)| one == other).count();
    let mut text = String::new();
    let parts = [
        ("   ", &expected[..before]),
        ("  -", &rest.0[..rest.0.len() - after]),
        ("  +", &rest.1[..rest.1.len() - after]),
        ("   ", &expected[expected.len() - after..]),
    ];
    for (mark, lines) in parts {
        for line in lines {
            let _ = writeln!(text, "{mark} {line}");
        }
    }
    text
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/http/golden");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[expect(
    clippy::disallowed_methods,
    reason = "renewing the files of a test is not configuration of the service"
)]
fn is_renewal() -> bool {
    std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_golden_conversation_matches_byte_for_byte() {
    let mut differences = String::new();
    for path in files() {
        let file = fs::read_to_string(&path).unwrap();
        let (preface, pairs) = read(&file);
        let had = have(&pairs).await;
        if is_renewal() {
            fs::write(&path, written(&preface, &had)).unwrap();
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy();
        for (pair, had) in pairs.iter().zip(&had) {
            let difference = difference(&pair.answer, &had.answer);
            if !difference.is_empty() {
                let _ = writeln!(differences, "\n{name}: {}\n{difference}", pair.title);
            }
        }
        assert!(
            !differences.is_empty() || file == written(&preface, &had),
            "{name} is not normalised: renew it"
        );
    }
    assert!(
        differences.is_empty(),
        "{differences}\nIf this is meant, renew the files and read the diff:\n    \
         UPDATE_GOLDEN=1 cargo test -p vimeo-connections --test it -- golden\n"
    );
}
