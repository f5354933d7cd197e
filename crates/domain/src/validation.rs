//! A list of all errors of a value, so that they can be fixed at once.

use std::fmt;

/// The errors of a value, in the order of its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationErrors<E>(Vec<E>);

impl<E> ValidationErrors<E> {
    /// An empty list.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Adds an error if the condition is met.
    pub(crate) fn add_if(mut self, has_error: bool, error: E) -> Self {
        if has_error {
            self.0.push(error);
        }
        self
    }

    /// The value, if there are no errors.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// The errors; at least one.
    pub fn as_slice(&self) -> &[E] {
        &self.0
    }
}

impl<E: fmt::Display> fmt::Display for ValidationErrors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for ValidationErrors<E> {}
