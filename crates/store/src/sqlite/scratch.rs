//! Files that are being made: for the owner alone, beside the place where they will stand, and gone if they come to
//! nothing.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What SQLite may put beside a database.
pub(super) const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A file that has not got its name yet.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    made: NewDirectories,
}

/// Directories that were made for a file, outermost first; dropped, they are gone, if nothing is in them.
#[derive(Debug, Default)]
struct NewDirectories(Vec<PathBuf>);

impl Scratch {
    /// A new, empty file in the directory where `target` will stand. The tag tells it from others there.
    pub(super) fn beside(target: &Path, tag: &str) -> io::Result<Self> {
        let path = directory_of(target).join(format!(".vimeo-connections-{tag}.partial"));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, made: NewDirectories::default() })
    }

    /// The same, making the directory if it is not there.
    pub(super) fn beside_in_new_directory(target: &Path, tag: &str) -> io::Result<Self> {
        let directory = directory_of(target);
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let mut missing: Vec<_> = directory.ancestors().take_while(is_missing).map(Path::to_owned).collect();
        missing.reverse();
        let made = NewDirectories(missing);
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let mut scratch = Self::beside(target, tag)?;
        scratch.made = made;
        Ok(scratch)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name, durably, where nothing may stand: `AlreadyExists`.
    pub(super) fn put_in_place(mut self, target: &Path) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        self.link(target)?;
        let _ = fs::remove_file(&self.path);
        let directory = directory_of(target);
        let parents = self.made.0.iter().map(|made| directory_of(made));
        let synced = std::iter::once(directory).chain(parents).try_for_each(|directory| sync(&directory));
        if synced.is_err() {
            // Nobody knows whether it would survive: it is not there.
            let _ = fs::remove_file(target);
        } else {
            self.made.0.clear();
        }
        synced
    }

    fn link(&self, target: &Path) -> io::Result<()> {
        match fs::hard_link(&self.path, target) {
            // A link, unlike a renaming, fails where something stands already. Some file systems have none.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !is_there(target) => {
                fs::rename(&self.path, target)
            }
            linked => linked,
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays: it has a name of its own and nobody else may read it.
        let _ = fs::remove_file(&self.path);
        for companion in COMPANIONS {
            let _ = fs::remove_file(with_ending(&self.path, companion));
        }
    }
}

impl Drop for NewDirectories {
    fn drop(&mut self) {
        for made in self.0.iter().rev() {
            let _ = fs::remove_dir(made);
        }
    }
}

/// Whether anything has that name, were it a link to nowhere.
pub(super) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A file's name with something behind it.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // A file system that does not sync directories has nothing to lose by it.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        synced => synced,
    }
}
