//! Pages of a list: how long one may be.

use thiserror::Error;

/// Most items on a page, and how many there are when nothing is said.
pub const PAGE_ITEMS_MAX: u32 = 1_000;

/// How many items a page has at most: 1 to [`PAGE_ITEMS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit(u32);

/// Why a text is no [`PageLimit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a whole number from 1 to {PAGE_ITEMS_MAX}")]
pub struct PageLimitError;

impl PageLimit {
    /// The longest page.
    pub const MAX: Self = Self(PAGE_ITEMS_MAX);

    /// Reads a number as a client sent it: digits alone, no sign, no zero in front.
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
    fn a_limit_is_a_plain_number_within_its_range() {
        for good in ["1", "50", "1000"] {
            assert_eq!(PageLimit::parse(good).map(|limit| limit.as_u32().to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "0", "1001", "-1", "+5", "05", "5.0", " 5", "5 ", "1e2", "4294967296", "٣", "five"] {
            assert_eq!(PageLimit::parse(bad), Err(PageLimitError), "{bad:?}");
        }
    }
}
