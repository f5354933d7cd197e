//! Rotations step by step, and commands that are killed in the middle.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::audit::AuditEnv;
use crate::support::backups::{KEYRING, run_successfully};
use crate::support::harness::{TestEnv, binary, is_documented_failure, printed, run};

/// The identifiers of the keys in a keyring file, the primary one first.
pub(super) fn keys_of(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join(KEYRING)).unwrap();
    let primary = text.lines().find_map(|line| line.strip_prefix("primary = ")).unwrap().trim_matches('"');
    let keys = text.lines().skip_while(|line| *line != "[keys]").skip(1);
    let keys = keys.map(|line| line.split(' ').next().unwrap()).filter(|key| *key != primary);
    std::iter::once(primary).chain(keys).map(str::to_owned).collect()
}

/// `keyring status`, by key.
pub(super) fn status(directory: &Path) -> Vec<Value> {
    let output = run(directory, &[], &["keyring", "status", "--json"]);
    assert!(output.status.success(), "{}", printed(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Asserts that everything decrypts; the number of connections.
pub(super) fn assert_decrypts(env: &TestEnv) -> usize {
    let checked = run_successfully(env.path(), &["connections", "check"]);
    let count =
        checked.trim().strip_prefix("Connections decrypted: ").and_then(|rest| rest.split(' ').next());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{checked}"))
}

/// Asserts that a command fails and says this.
pub(super) fn assert_refused(directory: &Path, arguments: &[&str], phrase: &str) {
    let output = run(directory, &[], arguments);
    assert!(is_documented_failure(&output), "{}", printed(&output));
    assert!(printed(&output).contains(phrase), "{}", printed(&output));
}

/// Starts a command, and kills it once it has reported this many steps; whether it had not ended by then.
pub(super) fn kill_after(directory: &Path, arguments: &[&str], steps: usize) -> bool {
    let mut command = binary(directory);
    let mut child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let reported = wait_for_steps(&mut child, steps);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    reported == steps && !status.success()
}

/// Reads the progress of a command; the number of steps that it has reported.
fn wait_for_steps(child: &mut Child, steps: usize) -> usize {
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let is_step = |line: &String| line.ends_with(" rewrapped") || line.ends_with(" signed");
    lines.map(Result::unwrap).filter(is_step).take(steps).count()
}

/// Ends the lease of a command that was killed, instead of waiting for its end.
pub(super) fn end_lease(env: &AuditEnv) {
    env.sql("UPDATE sweeps SET lease_until = 0 WHERE name = 'rewrap'");
}

/// Has the service read its keyring again, and waits until it has.
pub(super) fn reload(env: &TestEnv) {
    let before = env.log().matches("the keyring was reloaded").count();
    env.service.signal("HUP");
    let started = std::time::Instant::now();
    while env.log().matches("the keyring was reloaded").count() == before {
        assert!(started.elapsed() < std::time::Duration::from_mins(1), "{}", env.log());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
