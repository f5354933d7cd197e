//! Disks that are full or read-only at the start: a small tmpfs, in a mount namespace of the started process.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use crate::support::harness::{cli, finish, printed};
use crate::support::tools::{program, skip_everywhere};

const WAIT_LIMIT: Duration = Duration::from_mins(1);
/// The status of the script below if the machine does not permit the mount.
const CANNOT_MOUNT: i32 = 97;
/// 69: the database is unavailable. 78: the configuration, or a file that it names, is unusable.
const UNAVAILABLE: i32 = 69;
const MISCONFIGURED: i32 = 78;

/// Fills the disk in `data` completely.
const FILL: &str = "cat /dev/zero >data/filler 2>/dev/null; true";
const MAKE_READ_ONLY: &str = "mount -o remount,ro data";

/// A directory with a keyring and this configuration. `kept` is copied to the disk.
fn installation(config: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let always = "listen = \"127.0.0.1:0\"\nvimeo.verification = \"off\"\n";
    fs::write(path.join("vimeo-connections.toml"), format!("{always}{config}")).unwrap();
    assert!(cli(path, &["init"], "").status.success());
    for name in ["data", "kept"] {
        fs::create_dir_all(path.join(name)).unwrap();
    }
    directory
}

/// The same with a database.
fn with_database() -> tempfile::TempDir {
    let directory = installation("");
    let path = directory.path();
    assert!(cli(path, &["accounts", "create", "a"], "").status.success());
    fs::remove_dir(path.join("kept")).unwrap();
    fs::rename(path.join("data"), path.join("kept")).unwrap();
    fs::create_dir(path.join("data")).unwrap();
    directory
}

/// Runs the binary with a small disk at `data`, which holds the files of `kept` and was changed by `prepare`. `None`,
/// and reported, if the machine does not permit the mount.
fn run_on_disk(directory: &Path, prepare: &str, arguments: &[&str]) -> Option<Output> {
    let script = format!(
        "mount -t tmpfs -o size=4m,mode=0700 tmpfs data && cp -a kept/. data || exit {CANNOT_MOUNT}\n\
         {prepare} || exit {CANNOT_MOUNT}\nexec \"$0\" \"$@\""
    );
    let mut command = program("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--", "sh", "-c", &script, env!("CARGO_BIN_EXE_vimeo-connections")]);
    command.args(arguments).current_dir(directory);
    let output = finish(command, WAIT_LIMIT);
    let is_denied = output.status.code() == Some(CANNOT_MOUNT) || printed(&output).starts_with("unshare: ");
    if is_denied {
        skip_everywhere(&format!("this machine does not permit mounting a small disk: {}", printed(&output)));
    }
    (!is_denied).then_some(output)
}

/// `serve` and `config check` exit with this status, and print these texts.
fn assert_both_refuse(directory: &Path, prepare: &str, (status, expected): (i32, &[&str])) {
    for arguments in [&["serve"][..], &["config", "check"]] {
        let Some(output) = run_on_disk(directory, prepare, arguments) else { return };
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {printed}");
        for text in expected {
            assert!(printed.contains(text), "{arguments:?}, {text:?}: {printed}");
        }
        assert!(!printed.contains("Error code") && !printed.contains("disk I/O"), "{arguments:?}: {printed}");
    }
}

#[test]
fn a_full_disk_is_reported_with_its_directory_and_free_bytes() {
    let expected = ["no space left on the disk that holds ./data", "(0 bytes free)"];
    for directory in [installation(""), with_database()] {
        assert_both_refuse(directory.path(), FILL, (UNAVAILABLE, &expected));
    }
}

#[test]
fn a_read_only_disk_is_reported() {
    for directory in [installation(""), with_database()] {
        assert_both_refuse(directory.path(), MAKE_READ_ONLY, (UNAVAILABLE, &["data", "is read-only"]));
    }
}

#[test]
fn both_reject_an_unwritable_spool_directory() {
    let config = "database_url = \"sqlite:elsewhere/a.db\"\nsources.spool_directory = \"data/spool\"\n";
    let directory = installation(config);
    let expected = ["sources.spool_directory data/spool cannot be used"];
    assert_both_refuse(directory.path(), MAKE_READ_ONLY, (MISCONFIGURED, &expected));
    fs::create_dir(directory.path().join("kept/spool")).unwrap();
    assert_both_refuse(directory.path(), MAKE_READ_ONLY, (MISCONFIGURED, &expected));
}

#[test]
fn a_small_disk_with_free_space_is_used() {
    let directory = with_database();
    let Some(output) = run_on_disk(directory.path(), "true", &["config", "check"]) else { return };
    assert!(output.status.success(), "{}", printed(&output));
}
