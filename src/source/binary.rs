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

/// Tells whether `bytes` are mostly printable UTF-8: text, JSON, CSV, SQL, logs.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let mut printable = 0;
    for part in bytes.utf8_chunks() {
        for byte in part.valid().bytes() {
            printable +=
                usize::from(byte >= 0x20 && byte != 0x7f || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c));
        }
    }
    // A character cut at the end is at most three bytes and does not count against it.
    let count = bytes.len();
    count > 0 && (printable + 3).min(count) * 100 >= count * TEXT_MIN_PERCENT && !bytes.contains(&0)
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
