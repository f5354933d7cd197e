//! SQLite: crash recovery, failing disks, locks.

pub(crate) mod crash_recovery;
pub(crate) mod disk_faults;
pub(crate) mod locks;
