//! JSON numbers as written.

/// A number as written. Exact in the top-level object; nested numbers, which do not need more, have the precision of a
/// double.
#[derive(Debug, PartialEq)]
pub(crate) struct Number(pub(super) String);

impl Number {
    /// A whole number.
    pub(crate) fn from_whole(whole: u64) -> Self {
        Self(whole.to_string())
    }

    /// Its value if it is a whole number from 0 to 2^53 - 1, in any notation: `5.0` is 5.
    pub(crate) fn whole(&self) -> Option<u64> {
        whole_number(&self.0)
    }

    /// Its value in thousandths, rounded; `None` if it is negative or far too large.
    pub(crate) fn thousandths(&self) -> Option<u64> {
        let number: f64 = self.0.parse().ok()?;
        format!("{:.0}", number * 1_000.0).parse().ok()
    }
}

/// The largest supported whole number: 2^53 - 1, which every JSON parser represents exactly.
const WHOLE_MAX: u64 = domain::connection::VERSION_MAX;
/// The number of its digits.
const WHOLE_MAX_DIGITS: usize = 16;

/// The exact value of a JSON number, if it is a whole number from 0 to [`WHOLE_MAX`].
fn whole_number(text: &str) -> Option<u64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (is_negative, whole) = whole.strip_prefix('-').map_or((false, whole), |whole| (true, whole));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let trailing = i64::try_from(digits.len() - significant.len()).ok()?;
    // With an exponent outside i64, the number is far too large or not whole.
    let exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let zeros =
        usize::try_from(exponent.checked_add(trailing)?).ok().filter(|zeros| *zeros <= WHOLE_MAX_DIGITS)?;
    let value: u64 = format!("{significant}{}", "0".repeat(zeros)).parse().ok()?;
    (!is_negative && value <= WHOLE_MAX).then_some(value)
}
