//! The size of a page in a list.

use thiserror::Error;

/// Maximum number of items on a page, and the default.
pub const PAGE_ITEMS_MAX: u32 = 1_000;

/// Maximum number of items on a page: 1 to [`PAGE_ITEMS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit(u32);

/// The text is not a valid [`PageLimit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a whole number from 1 to {PAGE_ITEMS_MAX}")]
pub struct PageLimitError;

impl PageLimit {
    /// The largest page.
    pub const MAX: Self = Self(PAGE_ITEMS_MAX);

    /// A limit that the service chooses, within the range.
    pub const fn of(items: u32) -> Self {
        Self(if items == 0 {
            1
        } else if items > PAGE_ITEMS_MAX {
            PAGE_ITEMS_MAX
        } else {
            items
        })
    }

    /// Parses a number from a client: digits only, without a leading zero.
    pub fn parse(text: &str) -> Result<Self, PageLimitError> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let number = text.parse().ok().filter(|_| is_plain).ok_or(PageLimitError)?;
        if (1..=PAGE_ITEMS_MAX).contains(&number) { Ok(Self(number)) } else { Err(PageLimitError) }
    }

    /// The number of items.
    pub fn as_u32(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_the_service_is_within_the_range() {
        for (items, expected) in [(0, 1), (1, 1), (50, 50), (1_000, 1_000), (1_001, 1_000)] {
            assert_eq!(PageLimit::of(items).as_u32(), expected);
        }
    }

    #[test]
    fn a_limit_is_a_plain_number_within_its_range() {
        for good in ["1", "50", "1000"] {
            assert_eq!(PageLimit::parse(good).map(|limit| limit.as_u32().to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "0", "1001", "-1", "+5", "05", "5.0", " 5", "5 ", "1e2", "4294967296", "٣", "five"] {
            assert_eq!(PageLimit::parse(bad), Err(PageLimitError), "{bad:?}");
        }
    }
}
