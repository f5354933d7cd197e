//! Everything that is wrong with a value, told at once: who has to mend it wants to mend it once.

use std::fmt;

/// The faults of one value, in the order of its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults<E>(Vec<E>);

impl<E> Faults<E> {
    /// None so far.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Adds a fault if the value has it.
    pub(crate) fn add_if(mut self, has_fault: bool, fault: E) -> Self {
        if has_fault {
            self.0.push(fault);
        }
        self
    }

    /// The value if nothing is wrong with it.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// The faults, at least one.
    pub fn as_slice(&self) -> &[E] {
        &self.0
    }
}

impl<E: fmt::Display> fmt::Display for Faults<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Faults<E> {}
