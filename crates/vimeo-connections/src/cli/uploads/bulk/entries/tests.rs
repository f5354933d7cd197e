use std::fs;

use super::super::cells::Row;
use super::*;

const FILMS: &str = "films-id";

/// Every URL is a valid one.
fn check_address(_: &str) -> Result<EgressUrl, UrlError> {
    super::super::super::addresses::lenient_egress().unwrap().validate("https://media.example.com/")
}

fn check_in(folder: &Path, lines: &[Value]) -> Result<Vec<Entry>, Vec<String>> {
    let ids = HashMap::from([
        ("films".to_owned(), FILMS.to_owned()),
        (FILMS.to_owned(), FILMS.to_owned()),
        ("other".to_owned(), "other-id".to_owned()),
    ]);
    let mut input = Input::default();
    for (place, line) in lines.iter().enumerate() {
        let row = Row::of_object(line.as_object().unwrap().clone());
        input.lines.push(InputLine { number: place as u64 + 1, row });
    }
    let rules = Rules { place: "acme", folder, connection: Some("films"), check_address: &check_address };
    check(input, &rules, &ids).map_err(|errors| errors.iter().map(LineError::text).collect())
}

fn check_lines(lines: &[Value]) -> Result<Vec<Entry>, Vec<String>> {
    check_in(Path::new("/nowhere"), lines)
}

fn digest_of(line: Value) -> String {
    check_lines(&[line]).unwrap().remove(0).digest
}

#[test]
fn the_digest_depends_on_the_content_and_on_nothing_else() {
    let plain = json!({"source": "https://a.example/1", "name": "One", "privacy": {"view": "unlisted"}});
    let one = digest_of(plain.clone());
    for same in [
        json!({"privacy": {"view": "unlisted", "embed": null}, "name": "One", "source": {"url": "https://a.example/1"}}),
        json!({"source": "https://a.example/1", "name": "One", "privacy": {"view": "unlisted"}, "connection": "films"}),
        json!({"source": "https://a.example/1", "name": "One", "privacy": {"view": "unlisted"}, "connection": FILMS}),
        json!({"source": "https://a.example/1", "name": "One", "privacy": {"view": "unlisted"}, "license": null}),
    ] {
        assert_eq!(digest_of(same.clone()), one, "{same}");
    }
    for other in [
        json!({"source": "https://a.example/2", "name": "One", "privacy": {"view": "unlisted"}}),
        json!({"source": "https://a.example/1?x", "name": "One", "privacy": {"view": "unlisted"}}),
        json!({"source": "https://a.example/1", "name": "Two", "privacy": {"view": "unlisted"}}),
        json!({"source": "https://a.example/1", "name": "One", "privacy": {"view": "unlisted"}, "connection": "other"}),
        json!({"source": "https://a.example/1", "name": "One"}),
    ] {
        assert_ne!(digest_of(other.clone()), one, "{other}");
    }
    // Another version must find the uploads of this one: this text never changes.
    assert_eq!(one, "94de3bb971dda05985f42a336448abd851a85a985791bea1d6beb8609286260b");
    let entry = check_lines(&[plain]).unwrap().remove(0);
    assert_eq!(entry.key(1).unwrap().as_str(), format!("cli-bulk-{}", &one[..40]));
    assert_eq!(entry.key(3).unwrap().as_str(), format!("cli-bulk-{}-3", &one[..40]));
}

#[test]
fn equal_lines_are_one_upload_and_no_digest_depends_on_a_password() {
    let line = |password: &str| json!({"source": "https://a.example/1", "privacy": {"view": "password"}, "password": password});
    let entries = check_lines(&[line("one"), json!({"source": "https://b.example"}), line("one")]).unwrap();
    let duplicates: Vec<_> = entries.iter().map(|entry| entry.duplicate_of).collect();
    assert_eq!(duplicates, [None, None, Some(0)]);
    assert_eq!(digest_of(line("one")), digest_of(line("two")));
    assert_eq!(
        check_lines(&[line("one"), line("two")]).err().unwrap(),
        ["line 2: differs from line 1 only in a password or a header"]
    );
}

#[test]
fn a_file_is_named_relative_to_the_input_and_identified_by_its_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("My film.mp4");
    fs::write(&path, b"film").unwrap();
    let lines = [json!({"source": "My film.mp4"}), json!({"source": {"file": path.to_str().unwrap()}})];
    let entries = check_in(directory.path(), &lines).unwrap();
    assert_eq!(entries[1].duplicate_of, Some(0), "it is the same file");
    let body: Value = serde_json::from_slice(&entries[0].body).unwrap();
    assert_eq!(body, json!({"name": "My film", "source": {"size": 4}}));
    fs::write(&path, b"films").unwrap();
    let changed = check_in(directory.path(), &lines[..1]).unwrap();
    assert_ne!(changed[0].digest, entries[0].digest);
}

#[test]
fn all_errors_are_found_and_none_has_a_value() {
    let errors = check_lines(&[
        json!({"source": "missing-canary.mp4"}),
        json!({"source": "s3://canary/x"}),
        json!({"name": "canary"}),
        json!({"source": {"size": 5}}),
        json!({"source": {"file": "canary", "url": "canary"}}),
        json!({"source": 5, "connection": 5}),
        json!({"source": "https://a.example", "connection": "canary"}),
        json!({"source": "https://a.example", "privacy": {"view": "canary"}, "licence": "canary"}),
        json!({"source": "https://a.example"}),
    ])
    .err()
    .unwrap();
    let starts = [
        "line 1: source cannot be read",
        "line 2: source must be a path, or a URL",
        "line 3: source is required",
        "line 4: source.size is known from the file",
        "line 5: source must have either url or file",
        "line 6: source must be a URL, a path",
        "line 6: connection must be a string",
        "line 7: connection is the ID or name of no connection",
        "line 8: privacy.view must be",
        "line 8: licence is not a known field",
    ];
    assert_eq!(errors.len(), starts.len(), "{errors:?}");
    for (error, start) in errors.iter().zip(starts) {
        assert!(error.starts_with(start), "{error}");
    }
    assert!(!errors.concat().contains("canary"), "{errors:?}");
}

#[test]
fn a_first_run_needs_times_in_the_future() {
    let line = |at: &str| json!({"source": "https://a.example/1", "name": at, "publishAt": at});
    let lines = [line("2026-01-01T00:00:00Z"), line("2026-01-02T00:00:00Z"), line("2028-01-01T00:00:00Z")];
    let entries = check_lines(&lines).unwrap();
    let now = Timestamp::parse("2026-01-01T12:00:00Z").unwrap();
    let errors: Vec<_> = check_times(&entries, now).iter().map(LineError::text).collect();
    assert_eq!(
        errors,
        ["line 1: publishAt must be in the future", "line 3: publishAt must be at most a year ahead"]
    );
}

#[test]
fn a_file_gives_its_name_only_to_a_new_video_that_has_none() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("film.mp4"), [0; 10]).unwrap();
    let name_of = |more: Value| {
        let mut line = json!({"source": "film.mp4"});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let entry = check_in(folder.path(), &[line]).unwrap().remove(0);
        entry.request.settings.name.map(|name| name.as_str().to_owned())
    };
    assert_eq!(name_of(json!({})).as_deref(), Some("film"));
    assert_eq!(name_of(json!({"name": "One"})).as_deref(), Some("One"));
    assert_eq!(name_of(json!({"destination": {"name": "Two"}})).as_deref(), Some("Two"));
    assert_eq!(name_of(json!({"replaces": "/videos/1"})), None);
}
