//! The result of a conditional write.

/// Whether a compare-and-set found what it expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It did, and wrote.
    Yes,
    /// The row had changed or was deleted; nothing was written.
    No,
}

impl Changed {
    /// By the number of rows that the write has found.
    pub(crate) fn of(rows: usize) -> Self {
        if rows == 0 { Self::No } else { Self::Yes }
    }
}
