//! Commands that make and restore backups, and what they leave on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::SystemTime;

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::canaries::files;
use crate::support::harness::{TestEnv, is_documented_failure, printed, run};

pub(crate) const DATABASE: &str = "data/vimeo-connections.db";
pub(crate) const KEYRING: &str = "vimeo-connections.keyring";

pub(crate) async fn create_connection(env: &TestEnv, name: &str) -> Value {
    let created = env.post(&env.valid_body(name)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    created.json()
}

/// Runs a command that must succeed; its output.
pub(crate) fn run_successfully(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, &[], arguments);
    assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
    printed(&output)
}

/// A new directory with the keyring, the configuration and a backup, and without a database.
pub(crate) fn directory_with_backup(env: &TestEnv, backup: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for file in [KEYRING, "vimeo-connections.toml", backup] {
        fs::copy(env.path().join(file), place.path().join(file)).unwrap();
    }
    place
}

/// Names, bytes and times of all files, except the log of the service and the shared memory.
pub(crate) fn snapshot(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for file in files(directory) {
        if !file.ends_with("service.log") && !file.to_str().unwrap().ends_with("-shm") {
            let modified = file.metadata().unwrap().modified().unwrap();
            found.insert(file.clone(), (fs::read(file).unwrap(), modified));
        }
    }
    found
}

/// Asserts that a command fails with exactly this message, and creates or changes nothing, not even a directory.
pub(crate) fn assert_refused(directory: &Path, arguments: &[&str], sentence: &str) {
    let list = || fs::read_dir(directory).unwrap().count();
    let before = (snapshot(directory), list());
    let output = run(directory, &[], arguments);
    assert_prints(&output, sentence);
    assert!((snapshot(directory), list()) == before, "{arguments:?} changed a file");
}

pub(crate) fn assert_prints(output: &Output, sentence: &str) {
    assert!(is_documented_failure(output), "{}", printed(output));
    assert_eq!(printed(output), format!("vimeo-connections: {sentence}\n"));
}
