//! What is known of the bytes of an upload.

/// How a source can be read again from the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// It gives any range of its bytes.
    Ranged,
    /// It begins at its first byte each time.
    Whole,
    /// It does not say how long it is, and is kept on the disk first.
    Spooled,
}

impl Fetch {
    const ALL: [Self; 3] = [Self::Ranged, Self::Whole, Self::Spooled];

    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ranged => "ranged",
            Self::Whole => "whole",
            Self::Spooled => "spooled",
        }
    }

    /// Reads a stored name.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fetch| fetch.as_str() == text)
    }
}

/// What is known of a source's bytes, so that a file which changes in the middle is noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFacts {
    /// How many bytes there are.
    pub length: u64,
    /// A strong `ETag` or a `Last-Modified`, for a version of the service that knows no marks.
    pub validator: Option<String>,
    /// Every mark of the answer that is read, in the form of whoever reads sources.
    pub marks: Option<String>,
    /// How it can be read.
    pub fetch: Fetch,
}
