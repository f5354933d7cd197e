//! The generated values of the rows that P writes.

/// The size of the service's envelope for a 48-character secret and a 32-character token.
pub(super) const ENVELOPE_BYTES: usize = 120;

/// The service's format: 17 digits that grow with time, then 15 random characters.
pub(super) fn id(number: u64) -> String {
    let mut random = scattered(number);
    let mut text = format!("2026{number:013}");
    for _ in 0..15 {
        text.push(char::from_digit(u32::try_from(random % 36).unwrap_or_default(), 36).unwrap_or('0'));
        random = scattered(random);
    }
    text
}

pub(super) fn moment(number: u64) -> i64 {
    1_780_000_000_000_000 + i64::try_from(number).unwrap_or_default()
}

/// Incompressible bytes, like sealed ones.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = scattered(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = scattered(state);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The next number of a well-mixed sequence (`SplitMix64`).
pub(super) fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_the_services_format_and_ascend() {
        assert_eq!(id(7).len(), 32);
        assert!(id(7) < id(8) && id(9_999) < id(10_000));
        assert_eq!(noise(1, 60).len(), 60);
    }
}
