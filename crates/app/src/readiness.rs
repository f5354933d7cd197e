//! The readiness check: the database can be written, its disk has free space, and the keyring is the right one.

use std::sync::Arc;
use std::time::Duration;

use domain::secret::KeyringCheck;
use seal::keyring::Keyring;
use store::Error;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::App;

/// How long a result is cached. The endpoint needs no API key, so the cache limits the writes that anyone can cause.
const TTL: Duration = Duration::from_secs(1);
/// A write that takes longer counts as failed.
const DEADLINE: Duration = Duration::from_secs(3);
/// With less free space, the check warns.
const FREE_WARN_BYTES: u64 = 64 << 20;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// `database`, `disk`, `keyring` or `certificate`.
    pub name: &'static str,
    /// The result.
    pub result: CheckResult,
    /// What is wrong. Contains no path, host or key, because the endpoint is public.
    pub message: Option<String>,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// Nothing is wrong.
    Pass,
    /// The service works, but needs attention.
    Warn,
    /// The service cannot work.
    Fail,
    /// The state is not known.
    Unknown,
}

impl CheckResult {
    /// The name, as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

impl Check {
    /// A passed check.
    pub const fn pass(name: &'static str) -> Self {
        Self { name, result: CheckResult::Pass, message: None }
    }

    /// A check with a message.
    pub fn with(name: &'static str, result: CheckResult, message: impl Into<String>) -> Self {
        Self { name, result, message: Some(message.into()) }
    }
}

/// The last result, with its time.
#[derive(Default)]
pub(crate) struct Readiness {
    last: Mutex<Option<(Instant, Arc<[Check]>)>>,
}

/// The result of the test write.
enum Write {
    Done,
    TooSlow,
    Failed(Error),
}

/// What a test write shows about the writer of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterAnswer {
    /// It wrote, or it said why it could not: it responds.
    Answered,
    /// It did not answer in time, or was not asked because its queue is full.
    Silent,
}

impl App {
    /// Has the writer of the database write, and waits at most this long for its answer.
    pub async fn probe_writer(&self, limit: Duration) -> WriterAnswer {
        match timeout(limit, self.store.probe_write()).await {
            Ok(Err(Error::Overloaded)) | Err(_) => WriterAnswer::Silent,
            Ok(Ok(()) | Err(_)) => WriterAnswer::Answered,
        }
    }

    /// Checks that the database can be written, that its disk has free space, and that the keyring has the keys of the
    /// database. The service is ready if none of these fails. Results are cached, so it writes at most once a second.
    pub async fn check_readiness(&self) -> Arc<[Check]> {
        // Locked during the check, so that concurrent requests share the result.
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
        // An error of the read needs no report: the write fails for the same reason.
        let stored = stored.ok().and_then(Result::ok);
        // A node that is not ready gets no request that would have it read its keyring again.
        if stored.as_ref().is_some_and(|stored| !self.keyring.get().missing(stored).is_empty()) {
            self.reread_keyring().await;
        }
        let checks: Arc<[Check]> = Arc::new([
            check_database(&write),
            check_disk(&write, self.store.free_bytes()),
            check_keyring(&self.keyring.get(), stored.as_deref()),
        ]);
        *last = Some((Instant::now(), checks.clone()));
        checks
    }
}

fn check_database(write: &Write) -> Check {
    const NAME: &str = "database";
    match write {
        Write::Done => Check::pass(NAME),
        // The database is written, but too slowly for the load.
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
        // The disk of a database server is not visible: only a write shows whether it is full.
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

    fn unreachable() -> Write {
        Write::Failed(Error::Unavailable("unreachable".into()))
    }

    #[test]
    fn the_database_check_passes_only_after_a_successful_write() {
        for (write, expected) in [
            (Write::Done, CheckResult::Pass),
            (Write::Failed(Error::Overloaded), CheckResult::Warn),
            (Write::Failed(Error::OutcomeUnknown), CheckResult::Fail),
            (Write::TooSlow, CheckResult::Fail),
            (unreachable(), CheckResult::Fail),
            (full(), CheckResult::Fail),
        ] {
            assert_eq!(check_database(&write).result, expected);
        }
    }

    #[test]
    fn the_disk_check_fails_if_a_write_found_no_space_and_warns_below_a_limit() {
        for (write, free, expected) in [
            (Write::Done, None, CheckResult::Pass),
            (Write::Done, Some(FREE_WARN_BYTES), CheckResult::Pass),
            (Write::Done, Some(FREE_WARN_BYTES - 1), CheckResult::Warn),
            (unreachable(), None, CheckResult::Unknown),
            (Write::TooSlow, Some(FREE_WARN_BYTES), CheckResult::Pass),
            (full(), Some(0), CheckResult::Fail),
            // The disk has free space, but a quota is exhausted.
            (full(), Some(u64::MAX), CheckResult::Fail),
            (full(), None, CheckResult::Fail),
        ] {
            assert_eq!(check_disk(&write, free).result, expected, "{free:?}");
        }
    }

    #[test]
    fn the_keyring_check_fails_if_a_key_of_the_database_is_missing() {
        let keyring = Keyring::generate(&Randomness::system());
        let ours = keyring.primary_check().unwrap();
        let other = KeyringCheck { keyring_key: KeyringKeyId("k_other".into()), value: [1; 32] };
        assert_eq!(check_keyring(&keyring, Some(std::slice::from_ref(&ours))).result, CheckResult::Pass);
        assert_eq!(check_keyring(&keyring, Some(&[ours, other])).result, CheckResult::Fail);
        assert_eq!(check_keyring(&keyring, None).result, CheckResult::Unknown);
    }
}
