//! The orders that a list of videos or folders can have.

/// What a list is sorted by. Equal keys are sorted by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// By creation time.
    Date,
    /// By name, in lower case.
    Alphabetical,
    /// By the time of the last change.
    Modified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}
