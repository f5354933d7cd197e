//! A preloaded library that makes disk calls of the service fail on demand.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the library. A C compiler is available, because SQLite is built with it.
pub(crate) fn failing_disk(directory: &Path) -> PathBuf {
    let library = directory.join("failing_disk.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/failing_disk.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(compiler.status().unwrap().success());
    library
}
