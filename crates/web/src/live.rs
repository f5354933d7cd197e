//! Settings that are replaced while requests are served.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// A setting that can be replaced. Clones share it; reading it takes no lock.
#[derive(Debug)]
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Live<T> {
    /// Starts with this value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// The current value. A request that has read it keeps it.
    pub fn get(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// Replaces the value, for all clones.
    pub fn replace(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_have_the_new_value_and_readers_keep_the_old_one() {
        let live = Live::new(1);
        let (clone, read) = (live.clone(), live.get());
        clone.replace(2);
        assert_eq!((**live.get(), **read), (2, 1));
    }
}
