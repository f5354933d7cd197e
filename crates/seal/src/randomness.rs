//! Where random bytes come from. Passed in, so that a test can say what they are.

use std::fmt;
use std::sync::Arc;

/// A source of random bytes.
#[derive(Clone)]
pub struct Randomness(Arc<Fill>);

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

impl Randomness {
    /// The operating system's, through the cryptographic library's generator.
    ///
    /// # Panics
    /// If the system has no randomness to give: nothing here could go on safely.
    #[expect(clippy::disallowed_methods, reason = "the one place where randomness enters")]
    pub fn system() -> Self {
        Self(Arc::new(|bytes| {
            let filled = aws_lc_rs::rand::fill(bytes);
            assert!(filled.is_ok(), "the system gives no randomness");
        }))
    }

    /// Bytes that the caller chooses: for tests and frozen vectors.
    pub fn from_fn(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// So many bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness")
    }
}
