//! The metadata of an upload's source.

/// How a source is read, and how a transfer resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// Its server supports range requests.
    Ranged,
    /// Its server does not: each read starts at the first byte.
    Whole,
    /// It does not state its length and is spooled to disk first.
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

    /// Parses a stored name.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fetch| fetch.as_str() == text)
    }
}

/// The metadata of a source, from which a changed file is detected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFacts {
    /// The length in bytes.
    pub length: u64,
    /// A strong `ETag` or a `Last-Modified`, for versions of the service that do not read `marks`.
    pub validator: Option<String>,
    /// All validators of the source, encoded by the crate that reads sources.
    pub marks: Option<String>,
    /// How it is read.
    pub fetch: Fetch,
}
