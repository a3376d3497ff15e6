//! Measures of bytes: how much like text, how much like noise.

/// Fewest bytes of which noise is judged, as a whole or as a plane: below that the measure itself is noise.
const NOISE_SIZE_MIN_BYTES: usize = 1_024;
/// From here on the stricter bound holds: at this size random bytes miss it by chance once in a million
/// times.
const NOISE_STRICT_SIZE_MIN_BYTES: usize = 8_192;
/// Bits per byte above which bytes are noise.
const NOISE_STRICT_MIN_BITS: f64 = 7.99;
/// The same for few bytes, and for planes.
const NOISE_MIN_BITS: f64 = 7.9;
/// Widths in bytes of the elements whose planes are looked at.
const PLANE_WIDTHS: [usize; 4] = [2, 3, 4, 8];
/// Share of printable bytes that makes text, in percent.
const TEXT_MIN_PERCENT: usize = 97;
/// Fewest bytes that are judged as text of one byte a character: fewer may lack control characters by chance.
const EIGHT_BIT_SIZE_MIN_BYTES: usize = 64;
/// Share of ASCII in such text, in percent: other scripts have only spaces, digits and marks of it.
const EIGHT_BIT_ASCII_MIN_PERCENT: usize = 10;
/// Share of spaces and line ends in it.
const EIGHT_BIT_SPACE_MIN_PERCENT: usize = 2;

/// How text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// UTF-8, or ASCII.
    Utf8,
    /// One byte a character, the upper half for letters.
    EightBit,
    /// Two bytes, lower one first, with a mark at the beginning.
    Utf16Le,
    /// Two bytes, upper one first, with a mark at the beginning.
    Utf16Be,
}

/// Returns how `head` is encoded if it is text: JSON, CSV, SQL, logs, prose.
pub(super) fn text_of(head: &[u8]) -> Option<Text> {
    if is_text(head) {
        Some(Text::Utf8)
    } else if is_wide_text(head.strip_prefix(b"\xff\xfe"), u16::from_le_bytes) {
        Some(Text::Utf16Le)
    } else if is_wide_text(head.strip_prefix(b"\xfe\xff"), u16::from_be_bytes) {
        Some(Text::Utf16Be)
    } else {
        is_eight_bit_text(head).then_some(Text::EightBit)
    }
}

impl Text {
    /// Tells whether bytes from within are of the same text; they begin in the middle of a character as often
    /// as not.
    pub(super) fn goes_on_with(self, sample: &[u8]) -> bool {
        let from = |start: usize| sample.get(start..);
        let wide = |unit: fn([u8; 2]) -> u16| is_wide_text(from(0), unit) || is_wide_text(from(1), unit);
        match self {
            // Dumps of binary columns in a text encoding have letters of others in between.
            Self::Utf8 => {
                let start = sample.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
                is_text(&sample[start..]) || is_eight_bit_text(sample)
            }
            Self::EightBit => is_eight_bit_text(sample) || is_text(sample),
            Self::Utf16Le => wide(u16::from_le_bytes),
            Self::Utf16Be => wide(u16::from_be_bytes),
        }
    }
}

fn is_control(byte: u8) -> bool {
    byte == 0x7f || (byte < 0x20) & !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c)
}

/// Returns how many of `bytes` `keep` says so of. Each part is counted in a byte, so that many are compared
/// at a time.
fn count_of(bytes: &[u8], keep: impl Fn(u8) -> bool) -> usize {
    let parts = bytes.chunks(usize::from(u8::MAX));
    parts.map(|part| usize::from(part.iter().map(|byte| u8::from(keep(*byte))).sum::<u8>())).sum()
}

/// Tells whether `bytes` are mostly printable UTF-8: text, JSON, CSV, SQL, logs.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let printable = |text: &str| text.len() - count_of(text.as_bytes(), is_control);
    let printable: usize = match std::str::from_utf8(bytes) {
        Ok(text) => printable(text),
        Err(_) => bytes.utf8_chunks().map(|part| printable(part.valid())).sum(),
    };
    // A character cut at the end is at most three bytes and does not count against it.
    let count = bytes.len();
    count > 0 && (printable + 3).min(count) * 100 >= count * TEXT_MIN_PERCENT && !bytes.contains(&0)
}

/// Tells whether `bytes` are text with one byte a character: no control characters, words with spaces or
/// lines.
fn is_eight_bit_text(bytes: &[u8]) -> bool {
    let ascii = count_of(bytes, |byte| byte < 0x80);
    let spaces = count_of(bytes, |byte| matches!(byte, b' ' | b'\n'));
    bytes.len() >= EIGHT_BIT_SIZE_MIN_BYTES
        && count_of(bytes, is_control) == 0
        && ascii * 100 >= bytes.len() * EIGHT_BIT_ASCII_MIN_PERCENT
        && spaces * 100 >= bytes.len() * EIGHT_BIT_SPACE_MIN_PERCENT
}

/// Tells whether `bytes` are mostly printable characters of two bytes.
fn is_wide_text(bytes: Option<&[u8]>, unit: fn([u8; 2]) -> u16) -> bool {
    let bytes = bytes.unwrap_or_default();
    // Most numbers of two bytes are a character of some script.
    if is_noise(bytes) {
        return false;
    }
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let (mut count, mut printable, mut common) = (0, 0, 0);
    for character in char::decode_utf16(units) {
        count += 1;
        let character = character.unwrap_or('\0');
        let is_blank = matches!(character, '\t' | '\n' | '\r');
        printable += usize::from(is_blank || !character.is_control());
        common += usize::from(is_blank || character == ' ' || character.is_alphanumeric());
    }
    count > 0 && printable * 100 >= count * TEXT_MIN_PERCENT && common * 2 >= count
}

/// Tells whether `bytes` look compressed or encrypted: all byte values alike often, at any place of an
/// element. Too few bytes never do.
pub(super) fn is_noise(bytes: &[u8]) -> bool {
    if bytes.len() < NOISE_SIZE_MIN_BYTES {
        return false;
    }
    let is_strict = bytes.len() >= NOISE_STRICT_SIZE_MIN_BYTES;
    let min_bits = if is_strict { NOISE_STRICT_MIN_BITS } else { NOISE_MIN_BITS };
    let plane = |start: usize, width: usize| entropy_bits(bytes.iter().skip(start).step_by(width));
    plane(0, 1) >= min_bits
        && PLANE_WIDTHS
            .iter()
            .filter(|width| bytes.len() / **width >= NOISE_SIZE_MIN_BYTES)
            .all(|width| (0..*width).all(|start| plane(start, *width) >= NOISE_MIN_BITS))
}

/// Tells whether `bytes` are filled as compressors fill them, whose codes are a little short of noise:
/// nothing worth its work is left to gain. Too few bytes never are.
pub(super) fn is_dense(bytes: &[u8]) -> bool {
    bytes.len() >= NOISE_SIZE_MIN_BYTES && entropy_bits(bytes.iter()) >= NOISE_MIN_BITS
}

/// Returns the order-0 entropy in bits per byte, with what a sample of this size is short of it by chance
/// added back (Miller and Madow), so that random bytes give about 8 whatever their number.
fn entropy_bits<'a>(bytes: impl Iterator<Item = &'a u8>) -> f64 {
    let mut counts = [0u32; 256];
    let mut total = 0u32;
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
        total += 1;
    }
    if total == 0 {
        return 0.0;
    }
    let total = f64::from(total);
    let mut bits = 0.0;
    let mut kinds = 0.0;
    for count in counts.into_iter().filter(|count| *count > 0) {
        let share = f64::from(count) / total;
        bits -= share * share.log2();
        kinds += 1.0;
    }
    bits + (kinds - 1.0) / (2.0 * total * std::f64::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Entropy, clock::SeededEntropy};

    fn random(size: usize, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; size];
        SeededEntropy::new(seed).fill(&mut bytes);
        bytes
    }

    #[test]
    fn random_bytes_are_noise_at_every_size_that_is_judged() {
        for seed in 0..20 {
            for size in [1_024, 8_191, 8_192, 65_536] {
                assert!(is_noise(&random(size, seed)), "seed {seed}, {size} bytes");
            }
        }
        assert!(!is_noise(&random(1_023, 1)));
    }

    #[test]
    fn a_plane_that_is_not_noise_makes_all_of_it_not_noise() {
        // Each value equally often, but one plane of each element takes half of them.
        for width in PLANE_WIDTHS {
            let mut bytes = random(65_536, 7);
            for (at, byte) in bytes.iter_mut().enumerate() {
                if at % width == 0 {
                    *byte &= 0x7f;
                }
            }
            assert!(!is_noise(&bytes), "width {width}");
        }
        let counting: Vec<u8> = (0..65_536u32).map(|n| n as u8).collect();
        assert!(!is_noise(&counting));
    }

    #[test]
    fn counting_is_right_at_every_length_and_for_every_byte() {
        let bytes: Vec<u8> = (0..2_000_usize).map(|at| (at * 7 + at / 256) as u8).collect();
        for length in [0, 1, 254, 255, 256, 509, 510, 511, 2_000] {
            let bytes = &bytes[..length];
            let expected = bytes.iter().filter(|byte| is_control(**byte)).count();
            assert_eq!(count_of(bytes, is_control), expected, "{length}");
            assert_eq!(count_of(bytes, |_| true), length);
        }
        let mixed = [b"text ".repeat(300), b"\xff\x01".to_vec(), "größe".repeat(20).into_bytes()].concat();
        assert!(is_text(&mixed), "a few other bytes leave it text");
    }

    #[test]
    fn text_may_be_cut_within_a_character_and_binary_is_not_text() {
        let text = "größe ".repeat(1_000);
        for cut in 0..4 {
            assert!(is_text(&text.as_bytes()[..text.len() - 4 - cut]));
        }
        assert!(is_text(b"x"));
        assert!(!is_text(b""));
        assert!(!is_text(b"text with one NUL\0"));
        assert!(!is_text(&random(1_000, 3)));
    }
}
