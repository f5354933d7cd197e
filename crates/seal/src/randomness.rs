//! Random bytes. The source is passed in, so that tests can control it.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use zeroize::{Zeroize as _, Zeroizing};

/// How many bytes are drawn at a time for identifiers. Each call of the generator reseeds from the processor, which
/// costs more than the bytes.
const RESERVE_BYTES: usize = 1024;

thread_local! {
    static RESERVE: RefCell<Reserve> = RefCell::new(Reserve::empty());
}

/// A source of random bytes.
#[derive(Clone)]
pub struct Randomness {
    fill: Arc<Fill>,
    fill_identifiers: Arc<Fill>,
}

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

impl Randomness {
    /// The operating system's randomness, through the cryptographic library.
    ///
    /// # Panics
    /// If the system returns no randomness: nothing could continue safely.
    #[expect(clippy::disallowed_methods, reason = "the one place where randomness enters")]
    pub fn system() -> Self {
        let fill = |bytes: &mut [u8]| {
            let filled = aws_lc_rs::rand::fill(bytes);
            assert!(filled.is_ok(), "the system returned no randomness");
        };
        let fill_identifiers =
            move |bytes: &mut [u8]| RESERVE.with_borrow_mut(|reserve| reserve.take(bytes, fill));
        Self { fill: Arc::new(fill), fill_identifiers: Arc::new(fill_identifiers) }
    }

    /// Bytes chosen by the caller, for tests and frozen vectors.
    pub fn from_fn(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        let fill: Arc<Fill> = Arc::new(fill);
        Self { fill_identifiers: fill.clone(), fill }
    }

    /// `N` bytes, for keys and nonces.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.fill)(&mut bytes);
        bytes
    }

    /// `N` bytes for an identifier, from a reserve. Not for keys: after a snapshot of a virtual machine, two copies
    /// would return the same reserved bytes.
    pub fn identifier_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.fill_identifiers)(&mut bytes);
        bytes
    }
}

/// Reserved random bytes. Each is used once and then zeroed.
struct Reserve {
    bytes: Zeroizing<[u8; RESERVE_BYTES]>,
    /// Bytes from this index on are unused.
    next: usize,
}

impl Reserve {
    fn empty() -> Self {
        Self { bytes: Zeroizing::new([0; RESERVE_BYTES]), next: RESERVE_BYTES }
    }

    fn take(&mut self, wanted: &mut [u8], refill: impl Fn(&mut [u8])) {
        for part in wanted.chunks_mut(RESERVE_BYTES) {
            if RESERVE_BYTES - self.next < part.len() {
                // If `refill` panics, the reserve is empty.
                self.next = RESERVE_BYTES;
                refill(&mut *self.bytes);
                self.next = 0;
            }
            let end = self.next + part.len();
            if let Some(given) = self.bytes.get_mut(self.next..end) {
                part.copy_from_slice(given);
                given.zeroize();
            }
            self.next = end;
        }
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::HashSet;

    use super::*;

    /// Counts up, so that repeated or missing bytes are detected.
    fn counting(next: &Cell<u8>) -> impl Fn(&mut [u8]) {
        |bytes| {
            for byte in bytes {
                next.set(next.get() % 251 + 1);
                *byte = next.get();
            }
        }
    }

    #[test]
    fn each_byte_is_returned_once_and_then_zeroed() {
        let (source, expected) = (Cell::new(0), Cell::new(0));
        let mut reserve = Reserve::empty();
        for length in [16, 32, 12, 1024, 1, 500, 500, 23, 24, 1000, 0, 24] {
            let rest = RESERVE_BYTES - reserve.next;
            if rest < length {
                // A remainder that is too short is discarded.
                counting(&expected)(&mut vec![0; rest]);
            }
            let (mut given, mut wanted) = (vec![0; length], vec![0; length]);
            reserve.take(&mut given, counting(&source));
            counting(&expected)(&mut wanted);
            assert_eq!(given, wanted, "{length}");
            assert!(reserve.bytes[..reserve.next].iter().all(|byte| *byte == 0), "{length}");
            assert!(reserve.bytes[reserve.next..].iter().all(|byte| *byte != 0), "{length}");
        }
    }

    #[test]
    fn a_request_larger_than_the_reserve_is_filled_in_parts() {
        let source = Cell::new(0);
        let mut given = vec![0; 2 * RESERVE_BYTES + 100];
        Reserve::empty().take(&mut given, counting(&source));
        let mut wanted = vec![0; given.len()];
        counting(&Cell::new(0))(&mut wanted);
        assert_eq!(given, wanted);
    }

    #[test]
    fn no_two_draws_are_alike_on_any_thread() {
        let draw = || (0..500).map(|_| Randomness::system().identifier_bytes::<16>()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let draws: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(draws.iter().collect::<HashSet<_>>().len(), 2_000);
        assert!(!draws.contains(&[0; 16]));
    }
}
