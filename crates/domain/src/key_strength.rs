//! Estimates how hard a key is to guess, from its text only.
//!
//! zxcvbn was considered. It is made for passwords and counts 10 guesses for each unknown character, so that 32 random
//! hexadecimal digits (128 bits) would count as 106 bits.

use std::collections::BTreeSet;

/// The strength of a word chosen by a person: slightly more than one of the 7,776 words of a common list.
const WORD_BITS: f64 = 13.0;
/// Shorter runs of letters occur by chance.
const WORD_MIN_CHARS: usize = 4;

/// The estimated strength in bits: the number of unpredictable characters, times the bits per character of the
/// alphabet. It is reduced if few different characters are used, or if the text is mostly words.
pub(crate) fn estimate_bits(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    // Random characters also repeat or follow each other occasionally: about every eighth in hexadecimal.
    let fresh = count_unpredictable(bytes).saturating_add(length / 8).min(length);
    let bits = f64::from(fresh) * bits_per_char(bytes);
    let bits = bits.min(words_bits(bytes).unwrap_or(f64::INFINITY));
    // Truncated, and never negative.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and some 1,400")]
    let bits = bits.max(0.0) as u32;
    bits
}

/// Counts the characters that neither repeat the previous one, nor continue a sequence, nor belong to a repeated block.
fn count_unpredictable(bytes: &[u8]) -> u32 {
    let at = |place: Option<usize>| place.and_then(|place| bytes.get(place)).copied().map(i16::from);
    let mut fresh = 0;
    for place in 0..bytes.len() {
        let here = at(Some(place));
        let step = |from: usize, to: usize| Some(at(place.checked_sub(to))? - at(place.checked_sub(from))?);
        let is_repeated = here == at(place.checked_sub(1)) && place > 0;
        let is_sequence = matches!((step(1, 0), step(2, 1)), (Some(a), Some(b)) if a == b && a.abs() == 1);
        // A block of at least four characters that occurred before.
        let block = place.checked_sub(3).and_then(|from| bytes.get(from..=place));
        let is_copied = block.is_some_and(|block| {
            let before = bytes.get(..place).unwrap_or_default();
            before.windows(block.len()).any(|window| window == block)
        });
        if !(is_repeated || is_sequence || is_copied) {
            fresh += 1;
        }
    }
    fresh
}

fn bits_per_char(bytes: &[u8]) -> f64 {
    let has = |test: fn(&u8) -> bool| bytes.iter().any(test);
    let is_all = |test: fn(&u8) -> bool| bytes.iter().all(test);
    let alphabet: u32 = if is_all(u8::is_ascii_digit) {
        10
    } else if is_all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        || is_all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
    {
        16
    } else {
        let mut alphabet = 0;
        for (is_there, size) in [
            (has(u8::is_ascii_lowercase), 26),
            (has(u8::is_ascii_uppercase), 26),
            (has(u8::is_ascii_digit), 10),
            // Most keys use two or three punctuation characters, as separators.
            (has(u8::is_ascii_punctuation), 2),
        ] {
            alphabet += if is_there { size } else { 0 };
        }
        alphabet
    };
    let distinct = bytes.iter().collect::<BTreeSet<_>>().len();
    let distinct = u32::try_from(distinct).unwrap_or(u32::MAX);
    // Random texts use most of an alphabet or, if they are short, mostly different characters.
    let expected = alphabet.min(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    let alphabet = if distinct.saturating_mul(2) < expected { distinct } else { alphabet };
    f64::from(alphabet.max(1)).log2()
}

/// The strength of a text that is mostly words; `None` for other texts.
fn words_bits(bytes: &[u8]) -> Option<f64> {
    let (mut words, mut chars) = (0_u32, 0);
    for run in bytes.split(|byte| !byte.is_ascii_alphabetic()) {
        if is_word(run) {
            words += 1;
            chars += run.len();
        }
    }
    let rest = f64::from(u32::try_from(bytes.len() - chars).unwrap_or(u32::MAX));
    // At least 70 %.
    (chars * 10 >= bytes.len() * 7).then_some(f64::from(words) * WORD_BITS + rest * 2.0)
}

/// Letters of one case (except for the first), with a vowel and without four consecutive consonants.
fn is_word(run: &[u8]) -> bool {
    let is_vowel = |byte: &u8| b"aeiouyAEIOUY".contains(byte);
    let Some((_, rest)) = run.split_first() else { return false };
    let is_one_case = rest.iter().all(u8::is_ascii_lowercase) || run.iter().all(u8::is_ascii_uppercase);
    run.len() >= WORD_MIN_CHARS
        && is_one_case
        && run.iter().any(is_vowel)
        && run.split(is_vowel).all(|consonants| consonants.len() < 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_are_strong_enough() {
        for key in [
            // 16 and 32 random bytes in hexadecimal, 22 base 62, 24 base 64, 26 base 32.
            "8f14e45fceea167a5a36dedd4bea2543",
            "9C1185A5C5E9FC54612808977EE8F548B2258D31",
            "q7Zr2LxVb9TnKc4JmWs8Yd",
            "Gm3p/Vx0q+R8tYwZ1nKc5A==",
            "k3jx7q2vwm5zt4rb6hpy2ncg7d",
            "6f9619ff-8b86-d011-b42d-00c04fc964ff-1a",
        ] {
            assert!(estimate_bits(key) >= 128, "{key}: {}", estimate_bits(key));
        }
    }

    #[test]
    fn typed_keys_are_not_strong_enough() {
        for key in [
            "12345678",
            "password",
            "imported",
            "given-by-the-operator",
            "correct-horse-battery-staple",
            "correct-horse-battery-staple-correct-horse-battery-staple",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            "abababababababababababababababababababababababababababab",
            "0101101001011010100110101001011010011010",
            "Acme2026!Acme2026!Acme2026!Acme2026!",
        ] {
            assert!(estimate_bits(key) < 128, "{key}: {}", estimate_bits(key));
        }
        assert_eq!(estimate_bits(""), 0);
    }
}
