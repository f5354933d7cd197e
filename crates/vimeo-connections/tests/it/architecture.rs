//! The workspace follows ARCHITECTURE.md: allowed dependencies, pinned libraries, short files, and generated pages that are
//! up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn dependencies(directory: &Path) -> BTreeSet<String> {
    let manifest: toml::Table = fs::read_to_string(directory.join("Cargo.toml")).unwrap().parse().unwrap();
    manifest
        .get("dependencies")
        .and_then(toml::Value::as_table)
        .map(|t| t.keys().cloned().collect())
        .unwrap_or_default()
}

/// The crates of the workspace by name, with their directories: the service and the tools.
fn crates() -> BTreeMap<String, PathBuf> {
    let entries = ["crates", "tools"].map(|part| fs::read_dir(root().join(part)).unwrap());
    entries
        .into_iter()
        .flatten()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), entry.path())
        })
        .collect()
}

/// The crates that a crate may depend on. The binary wires the others together, and uses the store only through `app`.
const ALLOWED_DEPENDENCIES: [(&str, &[&str]); 13] = [
    ("domain", &[]),
    ("metrics", &[]),
    ("seal", &["domain"]),
    ("key_holders", &[]),
    ("vimeo", &["domain", "metrics"]),
    ("egress", &["domain"]),
    ("oidc", &["domain"]),
    ("store", &["domain", "metrics"]),
    ("app", &["domain", "metrics", "seal", "store", "vimeo", "egress", "oidc"]),
    ("web", &["domain", "metrics", "app"]),
    ("sandbox", &[]),
    ("bench", &[]),
    (
        "vimeo-connections",
        &["domain", "metrics", "seal", "key_holders", "vimeo", "egress", "oidc", "app", "web"],
    ),
];

/// Libraries that only these crates may use. `bench` compares with servers and a database of its own, and talks to the
/// service over HTTP alone.
const PINNED_LIBRARIES: [(&str, &[&str]); 25] = [
    ("opentelemetry", &["vimeo-connections"]),
    ("tracing-opentelemetry", &["vimeo-connections"]),
    ("prometheus", &["metrics"]),
    ("rusqlite", &["store"]),
    ("tokio-postgres", &["store", "bench"]),
    ("rustls-tokio-postgres", &["store"]),
    ("openidconnect", &["oidc"]),
    ("reqwest", &["vimeo", "egress", "oidc", "key_holders", "sandbox", "vimeo-connections"]),
    ("aws-config", &["key_holders"]),
    ("aws-credential-types", &["key_holders"]),
    ("aws-sdk-kms", &["key_holders"]),
    ("cryptoki", &["key_holders"]),
    ("hickory-resolver", &["egress"]),
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
    ("clap_complete", &["vimeo-connections"]),
    ("clap_mangen", &["vimeo-connections"]),
];

#[test]
fn every_crate_depends_only_on_allowed_crates() {
    let crates = crates();
    assert_eq!(crates.len(), ALLOWED_DEPENDENCIES.len(), "a crate has no row: {crates:?}");
    for (name, allowed) in ALLOWED_DEPENDENCIES {
        for found in dependencies(&crates[name]).iter().filter(|found| crates.contains_key(*found)) {
            assert!(allowed.contains(&found.as_str()), "{name} must not depend on {found}");
        }
    }
}

#[test]
fn pinned_libraries_are_used_only_by_their_crates() {
    for (name, directory) in crates() {
        for library in dependencies(&directory) {
            if let Some((_, allowed)) = PINNED_LIBRARIES.iter().find(|(found, _)| *found == library) {
                assert!(allowed.contains(&name.as_str()), "{library} must not be used by {name}");
            }
        }
    }
}

#[test]
fn no_forbidden_crate_is_in_the_build() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--all-features", "--edges", "normal,build"])
        .args(["--prefix", "none", "--locked"])
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
fn generated_pages_are_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["docs", directory.path().to_str().unwrap()];
    assert!(crate::support::harness::cli(directory.path(), &arguments, "").status.success());
    for page in ["errors.md", "config.md", "openapi.json"] {
        let fresh = fs::read_to_string(directory.path().join(page)).unwrap();
        let kept = fs::read_to_string(root().join("docs").join(page)).unwrap_or_default();
        assert!(fresh == kept, "docs/{page} is stale: run `cargo run -p vimeo-connections -- docs docs`");
    }
}

/// The source files of all crates.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = crates().into_values().collect();
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
fn every_crate_documents_its_scope_and_invariant() {
    for (name, directory) in crates() {
        let lib = directory.join("src/lib.rs");
        let file = if lib.exists() { lib } else { directory.join("src/main.rs") };
        let head: String =
            fs::read_to_string(file).unwrap().lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(head.contains("Knows") && head.contains("Invariant:"), "{name}: {head}");
    }
}

/// The maximum length of a file.
const MAX_LINES: usize = 400;
/// Files that are longer, with their lengths. An entry may only shrink.
const LONG_FILES: [(&str, usize); 3] = [
    ("crates/domain/src/connection.rs", 490),
    ("crates/domain/src/upload.rs", 447),
    ("crates/web/src/json.rs", 470),
];

#[test]
fn files_have_at_most_400_lines() {
    let mut exceptions: BTreeMap<_, _> = LONG_FILES.into_iter().collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let (path, lines) = (path.strip_prefix(root()).unwrap().to_owned(), text.lines().count());
        match exceptions.remove(path.to_str().unwrap()) {
            None if lines > MAX_LINES => wrong.push(format!("{} has {lines} lines", path.display())),
            Some(_) if lines <= MAX_LINES => {
                wrong.push(format!("{} has {lines} lines: remove it from LONG_FILES", path.display()));
            }
            Some(listed) if lines != listed => {
                wrong.push(format!("{} has {lines} lines, and LONG_FILES says {listed}", path.display()));
            }
            _ => {}
        }
    }
    wrong.extend(exceptions.into_keys().map(|path| format!("{path} is missing: remove it from LONG_FILES")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_unfinished_code_is_left() {
    for (path, text) in sources() {
        for word in ["todo!(", "unimplemented!(", "FIXME", "XXX"] {
            let is_this_list = path.ends_with("architecture.rs");
            assert!(is_this_list || !text.contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn the_architecture_page_names_every_crate() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(page.lines().count() <= 200, "ARCHITECTURE.md has more than 200 lines");
    for name in crates().into_keys() {
        assert!(page.contains(&format!("{name}/")), "ARCHITECTURE.md does not name {name}/");
    }
}

#[test]
fn every_test_named_in_edge_cases_exists() {
    let page = fs::read_to_string(root().join("docs/edge-cases.md")).unwrap();
    let sources: String = sources().into_iter().map(|(_, text)| text).collect();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case "));
    let mut count = 0;
    for row in rows {
        let test = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        // The other words of the cell are crates, modules and remarks.
        let is_there = |word: &str| word.len() >= 12 && sources.contains(&format!("fn {word}("));
        let mut words = test.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        assert!(words.any(is_there), "docs/edge-cases.md names a test that is missing: {test}");
        count += 1;
    }
    assert!(count > 300, "docs/edge-cases.md has {count} rows");
}
