//! The disk space shared by all spooled sources of this node.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, io};

/// Location and limits of the spool.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// The directory. Created when first needed, accessible by the service only.
    pub directory: PathBuf,
    /// Limit for one file; 0 disables spooling.
    pub file_max_bytes: u64,
    /// Limit for all files. At least one file of the maximum size always fits.
    pub total_max_bytes: u64,
    /// Limit for the time to read one file.
    pub time_limit: Duration,
}

/// The spool space. Cheap to clone; clones share one accounting.
#[derive(Debug, Clone)]
pub struct SpoolSpace {
    options: Arc<SpoolOptions>,
    used: Arc<AtomicU64>,
}

/// The space reserved by one file. Released on drop.
#[derive(Debug)]
pub(super) struct Reservation {
    space: SpoolSpace,
    bytes: u64,
}

/// No space is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl SpoolSpace {
    /// An empty space with these options.
    pub fn new(options: SpoolOptions) -> Self {
        Self { options: Arc::new(options), used: Arc::default() }
    }

    pub(super) fn options(&self) -> &SpoolOptions {
        &self.options
    }

    /// The space in use by all files.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.options.total_max_bytes.max(self.options.file_max_bytes)
    }

    /// An empty reservation.
    pub(super) fn reservation(&self) -> Reservation {
        Reservation { space: self.clone(), bytes: 0 }
    }

    /// An unnamed file. Blocks on disk access.
    pub(super) fn file(&self) -> io::Result<fs::File> {
        let directory = &self.options.directory;
        if !directory.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        tempfile::tempfile_in(directory)
    }
}

impl Reservation {
    /// The limit for all files.
    pub(super) fn total_bytes(&self) -> u64 {
        self.space.total_bytes()
    }

    /// Reserves more bytes.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), Full> {
        let total = self.space.total_bytes();
        let taken = self.space.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= total)
        });
        taken.map_err(|_| Full)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.space.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn space(file_max_bytes: u64, total_max_bytes: u64) -> SpoolSpace {
        SpoolSpace::new(SpoolOptions {
            directory: PathBuf::new(),
            file_max_bytes,
            total_max_bytes,
            time_limit: Duration::from_secs(1),
        })
    }

    #[test]
    fn reservations_never_exceed_the_space_and_are_released() {
        let space = space(5, 10);
        let (mut one, mut other) = (space.reservation(), space.reservation());
        assert_eq!((one.grow(5), one.grow(1), other.grow(4)), (Ok(()), Ok(()), Ok(())));
        assert_eq!((other.grow(1), space.used_bytes()), (Err(Full), 10));
        drop(one);
        assert_eq!((other.grow(1), space.used_bytes()), (Ok(()), 5));
        drop(other);
        assert_eq!(space.used_bytes(), 0);
        assert_eq!(space.reservation().grow(u64::MAX), Err(Full));
    }

    #[test]
    fn one_file_of_the_maximum_size_always_fits() {
        let space = space(20, 10);
        assert_eq!(space.reservation().grow(20), Ok(()));
        assert_eq!(space.reservation().grow(21), Err(Full));
    }

    #[test]
    fn the_directory_is_accessible_by_the_service_only() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("data/spool");
        let options = SpoolOptions {
            directory: directory.clone(),
            file_max_bytes: 1,
            total_max_bytes: 1,
            time_limit: Duration::from_secs(1),
        };
        SpoolSpace::new(options).file().unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }
}
