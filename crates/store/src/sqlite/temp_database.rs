//! Files that are being created: readable by the owner alone, in the directory of their target, and removed unless they are
//! completed.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The files that SQLite may create beside a database.
pub(super) const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A file that does not have its final name yet. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct TempDatabase {
    path: PathBuf,
    made: NewDirectories,
}

/// Directories that were created for a file, outermost first. Dropped, they are removed if they are empty.
#[derive(Debug, Default)]
struct NewDirectories(Vec<PathBuf>);

impl TempDatabase {
    /// A new, empty file in the directory of `target`. The tag distinguishes it from others there.
    pub(super) fn beside(target: &Path, tag: &str) -> io::Result<Self> {
        let path = directory_of(target).join(format!(".vimeo-connections-{tag}.partial"));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, made: NewDirectories::default() })
    }

    /// The same, creating the directory if it does not exist.
    pub(super) fn beside_in_new_directory(target: &Path, tag: &str) -> io::Result<Self> {
        let directory = directory_of(target);
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let mut missing: Vec<_> = directory.ancestors().take_while(is_missing).map(Path::to_owned).collect();
        missing.reverse();
        let made = NewDirectories(missing);
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let mut temporary = Self::beside(target, tag)?;
        temporary.made = made;
        Ok(temporary)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its final name, durably. `AlreadyExists` if there is a file of that name.
    pub(super) fn put_in_place(mut self, target: &Path) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        self.link(target)?;
        let _ = fs::remove_file(&self.path);
        let directory = directory_of(target);
        let parents = self.made.0.iter().map(|made| directory_of(made));
        let synced = std::iter::once(directory).chain(parents).try_for_each(|directory| sync(&directory));
        if synced.is_err() {
            // Whether it would survive a loss of power is not known: remove it.
            let _ = fs::remove_file(target);
        } else {
            self.made.0.clear();
        }
        synced
    }

    fn link(&self, target: &Path) -> io::Result<()> {
        match fs::hard_link(&self.path, target) {
            // A link, unlike a rename, fails if the name exists. Some file systems have no links.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !is_there(target) => {
                fs::rename(&self.path, target)
            }
            linked => linked,
        }
    }
}

impl Drop for TempDatabase {
    fn drop(&mut self) {
        // A file that cannot be removed stays: its name is unique and only the owner may read it.
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

/// Whether anything has that name, even a dangling link.
pub(super) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A file's name with a suffix.
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
        // Some file systems do not sync directories.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        synced => synced,
    }
}
