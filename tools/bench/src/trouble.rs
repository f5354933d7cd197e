//! What can go wrong, as one sentence for the person who ran this.

use std::fmt::Display;

/// Its text is for the person who ran this.
pub(crate) type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Says what was being done when something failed.
pub(crate) trait While<T> {
    /// The sentence `what: why`.
    fn while_doing(self, what: impl Display) -> Result<T, Trouble>;
}

impl<T, E: Display> While<T> for Result<T, E> {
    fn while_doing(self, what: impl Display) -> Result<T, Trouble> {
        self.map_err(|error| format!("{what}: {error}").into())
    }
}
