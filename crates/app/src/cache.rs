//! A short-lived cache of database rows. The TTL bounds how long a revoked key remains valid on another node, so that nodes
//! need no messages between them. Concurrent lookups of one key share a single read (single flight).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::Error;

/// The maximum age of an entry, counted from the start of its read, so that the value is never older than its age.
const TTL: Duration = Duration::from_millis(700);
/// The contract's limit for a revocation to take effect on all nodes.
const REVOCATION_LIMIT: Duration = Duration::from_secs(1);
const _: () = assert!(TTL.as_millis() < REVOCATION_LIMIT.as_millis());
/// The maximum number of entries. When the cache is full, lookups of other keys read the database.
const CAPACITY: usize = 10_000;

/// Values by key. Only existing values are cached, so that a new one is found at once.
pub(crate) struct SingleFlightCache<K, V> {
    entries: Mutex<Entries<K, V>>,
}

struct Entries<K, V> {
    by_key: HashMap<K, Entry<V>>,
    /// When expired entries were last removed.
    swept_at: Instant,
}

/// A value, and its age when it was returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cached<V> {
    pub(crate) value: V,
    pub(crate) age: Duration,
}

enum Entry<V> {
    /// A read is in progress; the channel is closed when it has ended.
    InFlight(watch::Receiver<()>),
    Loaded {
        value: V,
        requested_at: Instant,
    },
}

enum Lookup<'a, K: Eq + Hash, V> {
    Hit(Cached<V>),
    /// Another lookup is reading the value.
    InFlight(watch::Receiver<()>),
    /// The caller reads the value for all.
    Leader(InFlight<'a, K, V>),
    /// The cache is full.
    Full,
}

impl<K: Clone + Eq + Hash, V: Clone> SingleFlightCache<K, V> {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::new(Entries { by_key: HashMap::new(), swept_at: Instant::now() }) }
    }

    /// The cached value, or the result of `load`. Concurrent lookups of a key wait for the first one; if it loads
    /// nothing, each of them loads for itself.
    pub(crate) async fn find(
        &self,
        key: &K,
        load: impl AsyncFnOnce() -> Result<Option<V>, Error>,
    ) -> Result<Option<Cached<V>>, Error> {
        let leader = match self.look_up(key) {
            Lookup::Hit(cached) => return Ok(Some(cached)),
            Lookup::Leader(leader) => Some(leader),
            Lookup::Full => None,
            Lookup::InFlight(mut done) => {
                // Nothing is sent: the channel closes when the read has ended.
                while done.changed().await.is_ok() {}
                if let Some(cached) = self.cached(key) {
                    return Ok(Some(cached));
                }
                None
            }
        };
        let requested_at = Instant::now();
        let Some(value) = load().await? else { return Ok(None) };
        if let Some(leader) = leader {
            leader.insert(value.clone(), requested_at);
        }
        Ok(Some(Cached { value, age: requested_at.elapsed() }))
    }

    fn look_up(&self, key: &K) -> Lookup<'_, K, V> {
        let mut entries = self.entries();
        let entry = entries.by_key.get(key);
        if let Some(cached) = entry.and_then(Entry::cached) {
            return Lookup::Hit(cached);
        }
        if let Some(Entry::InFlight(done)) = entry {
            return Lookup::InFlight(done.clone());
        }
        entries.sweep();
        if entries.by_key.len() >= CAPACITY && !entries.by_key.contains_key(key) {
            return Lookup::Full;
        }
        let (closed_when_done, done) = watch::channel(());
        entries.by_key.insert(key.clone(), Entry::InFlight(done));
        Lookup::Leader(InFlight { cache: self, key: Some(key.clone()), _closed_when_done: closed_when_done })
    }

    /// The cached value.
    pub(crate) fn cached(&self, key: &K) -> Option<Cached<V>> {
        self.entries().by_key.get(key).and_then(Entry::cached)
    }
}

impl<K, V> SingleFlightCache<K, V> {
    fn entries(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Entries<K, V> {
    /// Removes expired entries, among them wrapped keys of accounts that may have been deleted.
    fn sweep(&mut self) {
        if self.swept_at.elapsed() > TTL {
            self.by_key.retain(|_, entry| !entry.has_expired());
            self.swept_at = Instant::now();
        }
    }
}

impl<V> Entry<V> {
    /// The age of the value; `None` if it has expired or is not loaded.
    fn age(&self) -> Option<Duration> {
        match self {
            Self::InFlight(_) => None,
            Self::Loaded { requested_at, .. } => Some(requested_at.elapsed()).filter(|age| *age <= TTL),
        }
    }

    fn has_expired(&self) -> bool {
        matches!(self, Self::Loaded { .. }) && self.age().is_none()
    }
}

impl<V: Clone> Entry<V> {
    fn cached(&self) -> Option<Cached<V>> {
        match self {
            Self::InFlight(_) => None,
            Self::Loaded { value, .. } => self.age().map(|age| Cached { value: value.clone(), age }),
        }
    }
}

/// A read in progress. If it is dropped without a value (nothing was found, it failed, or the client disconnected), its
/// entry is removed.
struct InFlight<'a, K: Eq + Hash, V> {
    cache: &'a SingleFlightCache<K, V>,
    /// `None` once the value is inserted.
    key: Option<K>,
    /// Dropped after the entry has changed, which wakes the waiting lookups.
    _closed_when_done: watch::Sender<()>,
}

impl<K: Eq + Hash, V> InFlight<'_, K, V> {
    fn insert(mut self, value: V, requested_at: Instant) {
        if let Some(key) = self.key.take() {
            self.cache.entries().by_key.insert(key, Entry::Loaded { value, requested_at });
        }
    }
}

impl<K: Eq + Hash, V> Drop for InFlight<'_, K, V> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.cache.entries().by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{Mutex as AsyncMutex, oneshot};
    use tokio::time::advance;
    use tokio_util::task::TaskTracker;

    use super::*;

    /// Each read returns the number of reads before it.
    #[derive(Default)]
    struct Database {
        reads: AtomicUsize,
    }

    impl Database {
        async fn find(&self, cache: &SingleFlightCache<u32, usize>, key: u32) -> Option<Cached<usize>> {
            cache.find(&key, async || Ok(Some(self.reads.fetch_add(1, Ordering::SeqCst)))).await.unwrap()
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "compared with the result of a lookup")]
    fn cached(value: usize, millis: u64) -> Option<Cached<usize>> {
        Some(Cached { value, age: Duration::from_millis(millis) })
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_expires_after_its_ttl_and_a_hit_does_not_extend_it() {
        let (cache, database) = (SingleFlightCache::new(), Database::default());
        assert_eq!(database.find(&cache, 1).await, cached(0, 0));
        advance(Duration::from_millis(400)).await;
        assert_eq!(database.find(&cache, 1).await, cached(0, 400));
        assert_eq!(database.find(&cache, 2).await, cached(1, 0), "another key has an entry of its own");
        advance(Duration::from_millis(300)).await;
        assert_eq!(database.find(&cache, 1).await, cached(0, 700));
        advance(Duration::from_millis(1)).await;
        assert_eq!(database.find(&cache, 1).await, cached(2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_of_a_value_counts_from_the_start_of_its_read() {
        let (cache, database) = (SingleFlightCache::new(), Database::default());
        let slow = async || {
            tokio::time::sleep(Duration::from_millis(600)).await;
            Ok(Some(7))
        };
        assert_eq!(cache.find(&1, slow).await.unwrap(), cached(7, 600));
        advance(Duration::from_millis(100)).await;
        assert_eq!(database.find(&cache, 1).await, cached(7, 700));
        advance(Duration::from_millis(1)).await;
        assert_eq!(database.find(&cache, 1).await, cached(0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn missing_values_and_errors_are_not_cached() {
        let (cache, database) = (SingleFlightCache::<u32, usize>::new(), Database::default());
        assert_eq!(cache.find(&1, async || Ok(None)).await.unwrap(), None);
        assert_eq!(database.find(&cache, 1).await, cached(0, 0), "a new value is found at once");
        advance(Duration::from_millis(701)).await;
        cache.find(&1, async || Err(Error::Overloaded)).await.unwrap_err();
        cache.find(&1, async || Err(Error::Overloaded)).await.unwrap_err();
        assert_eq!(database.find(&cache, 1).await, cached(1, 0), "an expired value is not returned");
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_lookups_share_one_read() {
        let (cache, database) = (Arc::new(SingleFlightCache::new()), Arc::new(Database::default()));
        let (result, read) = oneshot::channel::<Result<Option<usize>, Error>>();
        let first = TaskTracker::new().spawn({
            let cache = cache.clone();
            async move { cache.find(&1, async || read.await.unwrap()).await }
        });
        tokio::task::yield_now().await;
        let others: Vec<_> = (0..5)
            .map(|_| {
                let (cache, database) = (cache.clone(), database.clone());
                TaskTracker::new().spawn(async move { database.find(&cache, 1).await })
            })
            .collect();
        tokio::task::yield_now().await;
        result.send(Ok(Some(9))).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), cached(9, 0));
        for other in others {
            assert_eq!(other.await.unwrap(), cached(9, 0));
        }
        assert_eq!(database.reads.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_lookup_reads_itself_if_the_leader_returns_no_value() {
        for end in ["failed", "not found", "disconnected"] {
            let (cache, database) = (Arc::new(SingleFlightCache::new()), Arc::new(Database::default()));
            let pause = Arc::new(AsyncMutex::new(()));
            let paused = pause.clone().lock_owned().await;
            let first = TaskTracker::new().spawn({
                let (cache, pause) = (cache.clone(), pause.clone());
                let load = async move || {
                    drop(pause.lock().await);
                    if end == "failed" { Err(Error::Overloaded) } else { Ok(None) }
                };
                async move { cache.find(&1, load).await }
            });
            tokio::task::yield_now().await;
            let other = TaskTracker::new().spawn({
                let (cache, database) = (cache.clone(), database.clone());
                async move { database.find(&cache, 1).await }
            });
            tokio::task::yield_now().await;
            assert_eq!(database.reads.load(Ordering::SeqCst), 0, "{end}");
            if end == "disconnected" {
                first.abort();
            }
            drop(paused);
            assert_eq!(other.await.unwrap(), cached(0, 0), "{end}");
            assert!(first.await.is_err() == (end == "disconnected"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_cache_admits_no_key_until_entries_expire() {
        let (cache, database) = (SingleFlightCache::new(), Database::default());
        let capacity = u32::try_from(CAPACITY).unwrap();
        for key in 0..capacity {
            database.find(&cache, key).await;
        }
        assert_eq!(database.find(&cache, capacity).await, cached(CAPACITY, 0));
        assert_eq!(database.find(&cache, capacity).await, cached(CAPACITY + 1, 0), "it is not cached");
        assert_eq!(database.find(&cache, 7).await, cached(7, 0), "existing entries remain");
        advance(Duration::from_millis(701)).await;
        assert_eq!(database.find(&cache, capacity).await, cached(CAPACITY + 2, 0));
        assert_eq!(database.find(&cache, capacity).await, cached(CAPACITY + 2, 0));
        assert_eq!(cache.entries().by_key.len(), 1);
    }
}
