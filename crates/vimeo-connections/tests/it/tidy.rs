//! The house is as ARCHITECTURE.md says: who knows whom, which library lives where, nothing stale, nothing left over.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn manifest(room: &str) -> toml::Table {
    fs::read_to_string(root().join("crates").join(room).join("Cargo.toml")).unwrap().parse().unwrap()
}

fn dependencies(room: &str) -> BTreeSet<String> {
    let manifest = manifest(room);
    manifest
        .get("dependencies")
        .and_then(toml::Value::as_table)
        .map(|t| t.keys().cloned().collect())
        .unwrap_or_default()
}

fn rooms() -> Vec<String> {
    let mut rooms: Vec<_> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    rooms.sort();
    rooms
}

/// Which rooms a room may know. The binary is the wiring: it knows the doors, but never the store behind `app`.
const DOORS: [(&str, &[&str]); 9] = [
    ("domain", &[]),
    ("seal", &["domain"]),
    ("vimeo", &["domain"]),
    ("store", &["domain"]),
    ("app", &["domain", "seal", "store", "vimeo"]),
    ("web", &["domain", "app"]),
    ("sandbox", &[]),
    ("bench", &[]),
    ("vimeo-connections", &["domain", "seal", "vimeo", "app", "web"]),
];

/// Libraries that live in these rooms and no other. The bench has servers and a database of its own to compare with: the
/// smallest axum server, and PostgreSQL without us. It meets the service over HTTP alone.
const LODGERS: [(&str, &[&str]); 15] = [
    ("rusqlite", &["store"]),
    ("tokio-postgres", &["store", "bench"]),
    ("rustls-tokio-postgres", &["store"]),
    ("reqwest", &["vimeo", "app", "sandbox"]),
    ("hickory-resolver", &["app"]),
    ("axum", &["web", "sandbox", "bench"]),
    ("hyper", &["sandbox", "bench"]),
    ("axum-server", &["vimeo-connections"]),
    ("clap", &["sandbox", "bench", "vimeo-connections"]),
    ("aws-lc-rs", &["seal"]),
    ("rustix", &["store", "vimeo-connections"]),
    ("hdrhistogram", &["bench"]),
    ("rpassword", &["vimeo-connections"]),
    ("csv-core", &["vimeo-connections"]),
    ("indicatif", &["vimeo-connections"]),
];

#[test]
fn every_room_knows_only_whom_it_may() {
    let rooms = rooms();
    assert_eq!(rooms.len(), DOORS.len(), "a room without a row: {rooms:?}");
    for (room, may_know) in DOORS {
        for known in dependencies(room).iter().filter(|name| rooms.contains(name)) {
            assert!(may_know.contains(&known.as_str()), "{room} must not know {known}");
        }
    }
}

#[test]
fn libraries_stay_in_their_rooms() {
    for room in rooms() {
        for library in dependencies(&room) {
            if let Some((_, homes)) = LODGERS.iter().find(|(lodger, _)| *lodger == library) {
                assert!(homes.contains(&room.as_str()), "{library} does not live in {room}");
            }
        }
    }
}

#[test]
fn no_crate_that_was_ruled_out_is_locked_into_the_build() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--edges", "normal,build", "--prefix", "none", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    for name in ["openssl ", "openssl-sys ", "native-tls ", "ring "] {
        assert!(!tree.lines().any(|line| line.starts_with(name)), "{name}is in the build");
    }
}

#[test]
fn the_generated_pages_are_fresh() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["docs", directory.path().to_str().unwrap()];
    assert!(crate::harness::cli(directory.path(), &arguments, "").status.success());
    for page in ["errors.md", "config.md", "openapi.json"] {
        let fresh = fs::read_to_string(directory.path().join(page)).unwrap();
        let kept = fs::read_to_string(root().join("docs").join(page)).unwrap_or_default();
        assert!(fresh == kept, "docs/{page} is stale: run `cargo run -p vimeo-connections -- docs docs`");
    }
}

/// All source files of all rooms.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = rooms().iter().map(|room| root().join("crates").join(room)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn every_room_says_what_it_knows_and_its_invariant() {
    for room in rooms() {
        let lib = root().join("crates").join(&room).join("src/lib.rs");
        let file = if lib.exists() { lib } else { root().join("crates").join(&room).join("src/main.rs") };
        let head: String =
            fs::read_to_string(file).unwrap().lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(head.contains("Knows") && head.contains("Invariant:"), "{room}: {head}");
    }
}

#[test]
fn files_stay_readable_and_finished() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
        for word in ["todo!(", "unimplemented!(", "FIXME", "XXX"] {
            let is_this_list = path.ends_with("tidy.rs");
            assert!(is_this_list || !text.contains(word), "{} has {word}", path.display());
        }
    }
}
#[test]
fn the_architecture_names_every_room() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(page.lines().count() <= 200, "ARCHITECTURE.md is longer than a person reads");
    for room in rooms() {
        assert!(page.contains(&format!("{room}/")), "ARCHITECTURE.md does not name {room}/");
    }
}

#[test]
fn every_test_that_the_edge_cases_name_exists() {
    let page = fs::read_to_string(root().join("docs/edge-cases.md")).unwrap();
    let sources: String = sources().into_iter().map(|(_, text)| text).collect();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case "));
    let mut count = 0;
    for row in rows {
        let test = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        // Other words in the cell are the suite, modules and remarks.
        let is_there = |word: &str| word.len() >= 12 && sources.contains(&format!("fn {word}("));
        let mut words = test.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        assert!(words.any(is_there), "docs/edge-cases.md names a test that is missing: {test}");
        count += 1;
    }
    assert!(count > 300, "docs/edge-cases.md has {count} rows");
}
