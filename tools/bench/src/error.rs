//! Errors, as one sentence for the person who runs the bench.

use std::fmt::Display;

/// The text is for the person who runs the bench.
pub(crate) type BenchError = Box<dyn std::error::Error + Send + Sync>;

/// Adds what was being done when something failed.
pub(crate) trait Context<T> {
    /// The sentence `what: why`.
    fn context(self, what: impl Display) -> Result<T, BenchError>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context(self, what: impl Display) -> Result<T, BenchError> {
        self.map_err(|error| format!("{what}: {error}").into())
    }
}
