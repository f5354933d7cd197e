//! What the process asks of the system before it holds a secret.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// No core dumps, which would hold every secret in memory; and as many open files as the system allows, because
/// each client is one.
pub(crate) fn apply() {
    // Each can be refused by a stricter system; then that system's own rules hold, and there is nothing to add.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
}
