//! A small disk that can be filled: a tmpfs, in a mount namespace that only the server sees.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::support::processes::server_user;
use crate::support::tools::{program, skip_everywhere};

/// Enough for a new server and some work.
const SIZE: &str = "96m";

/// The part of a server that is on the small disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but the WAL: statements that need space fail.
    Data,
    /// The WAL: a full disk stops the server.
    Log,
}

/// Removed with its last process, whatever happens to the test.
pub(crate) struct SmallDisk {
    /// Keeps the namespace alive until its standard input is closed.
    holder: Child,
    /// The directory as seen from outside the namespace.
    seen_at: PathBuf,
}

impl SmallDisk {
    /// Mounts it on an empty directory. `None`, and reported, if this is not permitted.
    pub(crate) fn mount(on: &Path) -> Option<Self> {
        let Some((user, group)) = server_user() else {
            skip_everywhere("only root can mount a small disk");
            return None;
        };
        let options = format!("size={SIZE},uid={user},gid={group},mode=0700");
        let mut command = program("unshare");
        command.args(["--mount", "--", "sh", "-c"]);
        command.arg("mount -t tmpfs -o \"$1\" tmpfs \"$2\" && echo mounted && exec cat").arg("sh");
        command.arg(options).arg(on).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut printed = [0; 8];
        if holder.stdout.as_mut().unwrap().read_exact(&mut printed).is_err() {
            holder.wait().unwrap();
            skip_everywhere("this machine does not permit mounting a small disk");
            return None;
        }
        let root = format!("/proc/{}/root", holder.id());
        let seen_at = Path::new(&root).join(on.strip_prefix("/").unwrap());
        Some(Self { holder, seen_at })
    }

    pub(crate) fn holder(&self) -> u32 {
        self.holder.id()
    }

    /// Fills the disk completely.
    pub(crate) fn fill(&self) {
        let mut file = fs::File::create(self.filler()).unwrap();
        loop {
            match file.write(&[0; 8 * 1024]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Frees the space again.
    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.seen_at.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
