//! What was read from the database a moment ago: asked again only when it is older than a revocation may take to be
//! felt, so that no node needs a message from another to hear of one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::Error;

/// How old an answer may be, counted from when it was asked for: what is in it was true then or later.
const AGE_MAX: Duration = Duration::from_millis(700);
/// How long a revoked key may still be good for, anywhere: the contract's word.
const REVOCATION_FELT: Duration = Duration::from_secs(1);
const _: () = assert!(AGE_MAX.as_millis() < REVOCATION_FELT.as_millis());
/// Most answers that are kept. Beyond it, each request asks for itself.
const KEPT_MAX: usize = 10_000;

/// Answers by what they were asked with. Only what was found is kept: whoever is new is known at once.
pub(crate) struct Recent<K, V> {
    entries: Mutex<Entries<K, V>>,
}

struct Entries<K, V> {
    by_key: HashMap<K, Entry<V>>,
    /// When those that were too old were last let go of.
    swept_at: Instant,
}

/// An answer, and its age when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aged<V> {
    pub(crate) value: V,
    pub(crate) age: Duration,
}

enum Entry<V> {
    /// Somebody is asking; the channel is closed when they are done.
    Asking(watch::Receiver<()>),
    Known {
        value: V,
        asked_at: Instant,
    },
}

/// What there is for whoever comes.
enum Found<'a, K: Eq + Hash, V> {
    Known(Aged<V>),
    /// Another asks already.
    Asking(watch::Receiver<()>),
    /// Nobody does: whoever comes is the one.
    Ours(Asking<'a, K, V>),
    /// There is no room to remember anything.
    Full,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::new(Entries { by_key: HashMap::new(), swept_at: Instant::now() }) }
    }

    /// The answer of a moment ago, or else a new one. While one asks, others with the same key wait for that answer; if
    /// none comes of it, they ask for themselves.
    pub(crate) async fn find(
        &self,
        key: &K,
        ask: impl AsyncFnOnce() -> Result<Option<V>, Error>,
    ) -> Result<Option<Aged<V>>, Error> {
        let asking = match self.look(key) {
            Found::Known(aged) => return Ok(Some(aged)),
            Found::Ours(asking) => Some(asking),
            Found::Full => None,
            Found::Asking(mut done) => {
                // It carries nothing: that it is closed is the news.
                while done.changed().await.is_ok() {}
                if let Some(aged) = self.known(key) {
                    return Ok(Some(aged));
                }
                None
            }
        };
        let asked_at = Instant::now();
        let Some(value) = ask().await? else { return Ok(None) };
        if let Some(asking) = asking {
            asking.keep(value.clone(), asked_at);
        }
        Ok(Some(Aged { value, age: asked_at.elapsed() }))
    }

    fn look(&self, key: &K) -> Found<'_, K, V> {
        let mut entries = self.entries();
        let entry = entries.by_key.get(key);
        if let Some(aged) = entry.and_then(Entry::known) {
            return Found::Known(aged);
        }
        if let Some(Entry::Asking(done)) = entry {
            return Found::Asking(done.clone());
        }
        entries.sweep();
        if entries.by_key.len() >= KEPT_MAX && !entries.by_key.contains_key(key) {
            return Found::Full;
        }
        let (closed_when_done, done) = watch::channel(());
        entries.by_key.insert(key.clone(), Entry::Asking(done));
        Found::Ours(Asking { recent: self, key: Some(key.clone()), _closed_when_done: closed_when_done })
    }

    fn known(&self, key: &K) -> Option<Aged<V>> {
        self.entries().by_key.get(key).and_then(Entry::known)
    }
}

impl<K, V> Recent<K, V> {
    fn entries(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Entries<K, V> {
    /// Lets go of what is too old to be of use, wrapped keys of accounts among it that may be deleted by now.
    fn sweep(&mut self) {
        if self.swept_at.elapsed() > AGE_MAX {
            self.by_key.retain(|_, entry| entry.is_of_use());
            self.swept_at = Instant::now();
        }
    }
}

impl<V> Entry<V> {
    /// How old the answer is, if it is young enough to be given.
    fn age(&self) -> Option<Duration> {
        match self {
            Self::Asking(_) => None,
            Self::Known { asked_at, .. } => Some(asked_at.elapsed()).filter(|age| *age <= AGE_MAX),
        }
    }

    fn is_of_use(&self) -> bool {
        matches!(self, Self::Asking(_)) || self.age().is_some()
    }
}

impl<V: Clone> Entry<V> {
    fn known(&self) -> Option<Aged<V>> {
        match self {
            Self::Asking(_) => None,
            Self::Known { value, .. } => self.age().map(|age| Aged { value: value.clone(), age }),
        }
    }
}

/// The one who asks. Dropped without an answer (there was none, or the client hung up), it makes room for the next.
struct Asking<'a, K: Eq + Hash, V> {
    recent: &'a Recent<K, V>,
    /// `None` once the answer is kept.
    key: Option<K>,
    /// Goes after the entry has changed, and tells who waits.
    _closed_when_done: watch::Sender<()>,
}

impl<K: Eq + Hash, V> Asking<'_, K, V> {
    fn keep(mut self, value: V, asked_at: Instant) {
        if let Some(key) = self.key.take() {
            self.recent.entries().by_key.insert(key, Entry::Known { value, asked_at });
        }
    }
}

impl<K: Eq + Hash, V> Drop for Asking<'_, K, V> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.recent.entries().by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{Mutex as Gate, oneshot};
    use tokio::time::advance;
    use tokio_util::task::TaskTracker;

    use super::*;

    /// A database that counts how often it is asked.
    #[derive(Default)]
    struct Database {
        asked: AtomicUsize,
    }

    impl Database {
        async fn ask(&self, recent: &Recent<u32, usize>, key: u32) -> Option<Aged<usize>> {
            recent.find(&key, async || Ok(Some(self.asked.fetch_add(1, Ordering::SeqCst)))).await.unwrap()
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as it is compared with what was found")]
    fn aged(value: usize, millis: u64) -> Option<Aged<usize>> {
        Some(Aged { value, age: Duration::from_millis(millis) })
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_good_for_so_long_and_using_it_makes_it_no_younger() {
        let (recent, database) = (Recent::new(), Database::default());
        assert_eq!(database.ask(&recent, 1).await, aged(0, 0));
        advance(Duration::from_millis(400)).await;
        assert_eq!(database.ask(&recent, 1).await, aged(0, 400));
        assert_eq!(database.ask(&recent, 2).await, aged(1, 0), "another key has an answer of its own");
        advance(Duration::from_millis(300)).await;
        assert_eq!(database.ask(&recent, 1).await, aged(0, 700));
        advance(Duration::from_millis(1)).await;
        assert_eq!(database.ask(&recent, 1).await, aged(2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_as_old_as_its_question() {
        let (recent, database) = (Recent::new(), Database::default());
        let slow = async || {
            tokio::time::sleep(Duration::from_millis(600)).await;
            Ok(Some(7))
        };
        assert_eq!(recent.find(&1, slow).await.unwrap(), aged(7, 600));
        advance(Duration::from_millis(100)).await;
        assert_eq!(database.ask(&recent, 1).await, aged(7, 700));
        advance(Duration::from_millis(1)).await;
        assert_eq!(database.ask(&recent, 1).await, aged(0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_found_and_no_answer_are_not_remembered() {
        let (recent, database) = (Recent::<u32, usize>::new(), Database::default());
        assert_eq!(recent.find(&1, async || Ok(None)).await.unwrap(), None);
        assert_eq!(database.ask(&recent, 1).await, aged(0, 0), "who is new is known at once");
        advance(Duration::from_millis(701)).await;
        recent.find(&1, async || Err(Error::Overloaded)).await.unwrap_err();
        recent.find(&1, async || Err(Error::Overloaded)).await.unwrap_err();
        assert_eq!(database.ask(&recent, 1).await, aged(1, 0), "an old answer does not come back");
    }

    #[tokio::test(start_paused = true)]
    async fn one_asks_for_all_who_come_meanwhile() {
        let (recent, database) = (Arc::new(Recent::new()), Arc::new(Database::default()));
        let (answer, answered) = oneshot::channel::<Result<Option<usize>, Error>>();
        let first = TaskTracker::new().spawn({
            let recent = recent.clone();
            async move { recent.find(&1, async || answered.await.unwrap()).await }
        });
        tokio::task::yield_now().await;
        let others: Vec<_> = (0..5)
            .map(|_| {
                let (recent, database) = (recent.clone(), database.clone());
                TaskTracker::new().spawn(async move { database.ask(&recent, 1).await })
            })
            .collect();
        tokio::task::yield_now().await;
        answer.send(Ok(Some(9))).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), aged(9, 0));
        for other in others {
            assert_eq!(other.await.unwrap(), aged(9, 0));
        }
        assert_eq!(database.asked.load(Ordering::SeqCst), 0);
    }

    /// The one who asks fails, finds nothing, or hangs up: whoever waited asks for itself.
    #[tokio::test(start_paused = true)]
    async fn nobody_is_refused_for_the_trouble_of_another() {
        for end in ["failed", "nothing", "hung up"] {
            let (recent, database) = (Arc::new(Recent::new()), Arc::new(Database::default()));
            let gate = Arc::new(Gate::new(()));
            let closed = gate.clone().lock_owned().await;
            let first = TaskTracker::new().spawn({
                let (recent, gate) = (recent.clone(), gate.clone());
                let answer = async move || {
                    drop(gate.lock().await);
                    if end == "failed" { Err(Error::Overloaded) } else { Ok(None) }
                };
                async move { recent.find(&1, answer).await }
            });
            tokio::task::yield_now().await;
            let other = TaskTracker::new().spawn({
                let (recent, database) = (recent.clone(), database.clone());
                async move { database.ask(&recent, 1).await }
            });
            tokio::task::yield_now().await;
            assert_eq!(database.asked.load(Ordering::SeqCst), 0, "{end}");
            if end == "hung up" {
                first.abort();
            }
            drop(closed);
            assert_eq!(other.await.unwrap(), aged(0, 0), "{end}");
            assert!(first.await.is_err() == (end == "hung up"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_kept_and_old_ones_make_room() {
        let (recent, database) = (Recent::new(), Database::default());
        let many = u32::try_from(KEPT_MAX).unwrap();
        for key in 0..many {
            database.ask(&recent, key).await;
        }
        assert_eq!(database.ask(&recent, many).await, aged(KEPT_MAX, 0));
        assert_eq!(database.ask(&recent, many).await, aged(KEPT_MAX + 1, 0), "each asks for itself");
        assert_eq!(database.ask(&recent, 7).await, aged(7, 0), "who is kept is kept");
        advance(Duration::from_millis(701)).await;
        assert_eq!(database.ask(&recent, many).await, aged(KEPT_MAX + 2, 0));
        assert_eq!(database.ask(&recent, many).await, aged(KEPT_MAX + 2, 0));
        assert_eq!(recent.entries().by_key.len(), 1);
    }
}
