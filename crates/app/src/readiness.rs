//! Whether the service can work: can it write, is there room, does the keyring fit what is stored.

use std::sync::Arc;
use std::time::Duration;

use domain::secret::KeyringCheck;
use seal::keyring::Keyring;
use store::Error;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::App;

/// How long a result is used again. Readiness is asked without a key: a caller must not make the service write at will.
const TTL: Duration = Duration::from_secs(1);
/// A write that takes longer counts as failed.
const DEADLINE: Duration = Duration::from_secs(3);
/// With less than this free, the operator is warned.
const FREE_WARN_BYTES: u64 = 64 << 20;

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What: `database`, `disk`, `keyring`, `certificate`.
    pub name: &'static str,
    /// How it came out.
    pub result: CheckResult,
    /// What is wrong; names no path, host or key, because anyone may read it.
    pub message: Option<String>,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// As it should be.
    Pass,
    /// The service works, and the operator should look.
    Warn,
    /// The service cannot work.
    Fail,
    /// It could not be found out.
    Unknown,
}

impl Check {
    /// A check that found what it should.
    pub const fn pass(name: &'static str) -> Self {
        Self { name, result: CheckResult::Pass, message: None }
    }

    /// A check that found something else.
    pub fn with(name: &'static str, result: CheckResult, message: impl Into<String>) -> Self {
        Self { name, result, message: Some(message.into()) }
    }
}

/// The last result, and when it was found.
#[derive(Default)]
pub(crate) struct Readiness {
    last: Mutex<Option<(Instant, Arc<[Check]>)>>,
}

/// What became of the write.
enum Write {
    Done,
    TooSlow,
    Failed(Error),
}

impl App {
    /// Checks that the database can be written, that its disk has room and that the keyring opens what is stored. The
    /// service is ready if none of these fails. At most one write a second, however many ask.
    pub async fn check_readiness(&self) -> Arc<[Check]> {
        // Locked while it is checked: those who ask meanwhile share the result.
        let mut last = self.readiness.last.lock().await;
        if let Some((at, checks)) = &*last
            && at.elapsed() < TTL
        {
            return checks.clone();
        }
        let (written, stored) = tokio::join!(
            timeout(DEADLINE, self.store.probe_write()),
            timeout(DEADLINE, self.store.list_keyring_checks())
        );
        let write = match written {
            Ok(Ok(())) => Write::Done,
            Ok(Err(error)) => Write::Failed(error),
            Err(_) => Write::TooSlow,
        };
        match &write {
            Write::Done | Write::Failed(Error::Overloaded) => {}
            Write::TooSlow => tracing::error!(
                seconds = DEADLINE.as_secs(),
                "not ready: a write to the database did not finish in time"
            ),
            Write::Failed(error) => {
                let error: &(dyn std::error::Error + 'static) = error;
                tracing::error!(error, "not ready: the database cannot be written");
            }
        }
        // Why it could not be read, the write says too.
        let stored = stored.ok().and_then(Result::ok);
        let checks: Arc<[Check]> = Arc::new([
            check_database(&write),
            check_disk(&write, self.store.free_bytes()),
            check_keyring(&self.keyring, stored.as_deref()),
        ]);
        *last = Some((Instant::now(), checks.clone()));
        checks
    }
}

fn check_database(write: &Write) -> Check {
    const NAME: &str = "database";
    match write {
        Write::Done => Check::pass(NAME),
        // It writes all the time, and there is too much of it.
        Write::Failed(Error::Overloaded) => {
            Check::with(NAME, CheckResult::Warn, "the queue of writes is full")
        }
        Write::TooSlow => {
            let message = format!("a write did not finish within {} s", DEADLINE.as_secs());
            Check::with(NAME, CheckResult::Fail, message)
        }
        Write::Failed(_) => Check::with(NAME, CheckResult::Fail, "cannot be written"),
    }
}

fn check_disk(write: &Write, free_bytes: Option<u64>) -> Check {
    const NAME: &str = "disk";
    match (write, free_bytes) {
        (Write::Failed(error), _) if error.is_disk_full() => {
            let message = match free_bytes {
                Some(free) => format!("full ({free} bytes free)"),
                None => "full".to_owned(),
            };
            Check::with(NAME, CheckResult::Fail, message)
        }
        (_, Some(free)) if free < FREE_WARN_BYTES => {
            Check::with(NAME, CheckResult::Warn, format!("almost full ({free} bytes free)"))
        }
        (Write::Done, _) | (_, Some(_)) => Check::pass(NAME),
        // The server's disk: only a write shows.
        (_, None) => Check { name: NAME, result: CheckResult::Unknown, message: None },
    }
}

fn check_keyring(keyring: &Keyring, stored: Option<&[KeyringCheck]>) -> Check {
    const NAME: &str = "keyring";
    match stored {
        None => Check { name: NAME, result: CheckResult::Unknown, message: None },
        Some(stored) if keyring.missing(stored).is_empty() => Check::pass(NAME),
        Some(_) => {
            let message = "a key that the database is sealed with is missing";
            Check::with(NAME, CheckResult::Fail, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::secret::KeyringKeyId;
    use seal::Randomness;
    use store::DiskFull;

    use super::*;

    fn full() -> Write {
        Write::Failed(Error::Unavailable(Box::new(DiskFull::Server("FATAL 53100".to_owned()))))
    }

    fn away() -> Write {
        Write::Failed(Error::Unavailable("away".into()))
    }

    #[test]
    fn the_database_is_ready_when_it_was_written() {
        for (write, expected) in [
            (Write::Done, CheckResult::Pass),
            (Write::Failed(Error::Overloaded), CheckResult::Warn),
            (Write::Failed(Error::OutcomeUnknown), CheckResult::Fail),
            (Write::TooSlow, CheckResult::Fail),
            (away(), CheckResult::Fail),
            (full(), CheckResult::Fail),
        ] {
            assert_eq!(check_database(&write).result, expected);
        }
    }

    #[test]
    fn a_disk_is_full_when_a_write_says_so_and_almost_full_below_a_limit() {
        for (write, free, expected) in [
            (Write::Done, None, CheckResult::Pass),
            (Write::Done, Some(FREE_WARN_BYTES), CheckResult::Pass),
            (Write::Done, Some(FREE_WARN_BYTES - 1), CheckResult::Warn),
            (away(), None, CheckResult::Unknown),
            (Write::TooSlow, Some(FREE_WARN_BYTES), CheckResult::Pass),
            (full(), Some(0), CheckResult::Fail),
            // A quota, say: the disk has room, and this service has none.
            (full(), Some(u64::MAX), CheckResult::Fail),
            (full(), None, CheckResult::Fail),
        ] {
            assert_eq!(check_disk(&write, free).result, expected, "{free:?}");
        }
    }

    #[test]
    fn the_keyring_must_have_every_key_of_the_database() {
        let keyring = Keyring::generate(&Randomness::system());
        let ours = keyring.primary_check().unwrap();
        let other = KeyringCheck { keyring_key: KeyringKeyId("k_other".into()), value: [1; 32] };
        assert_eq!(check_keyring(&keyring, Some(std::slice::from_ref(&ours))).result, CheckResult::Pass);
        assert_eq!(check_keyring(&keyring, Some(&[ours, other])).result, CheckResult::Fail);
        assert_eq!(check_keyring(&keyring, None).result, CheckResult::Unknown);
    }
}
