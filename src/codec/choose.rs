//! Which coding a block gets: measured on a sample of its bytes, never decided by a name.

use super::block::Coding;
use super::coder::PartCoder;

/// Bytes of the sample that decides.
const SAMPLE_BYTES: usize = 32 << 10;
/// A coding must bring the sample below this share, in thousandths, or the block stays raw.
const WORTH_THOUSANDTHS: usize = 990;
const LEVEL: i32 = 3;
/// How blocks with text before them are coded.
pub const PREFIX_CODING: Coding = Coding::Whole(PartCoder::Zstd { level: 3 });

/// Returns the coding that made a sample of `raw` smallest.
///
/// `numbers` allows planes, for data that may be arrays of numbers; texts do not need the attempt.
pub fn choose(raw: &[u8], numbers: bool) -> Coding {
    let start = (raw.len().saturating_sub(SAMPLE_BYTES) / 2) & !7;
    let sample = &raw[start..raw.len().min(start + SAMPLE_BYTES)];
    let whole = Coding::Whole(PartCoder::Zstd { level: LEVEL });
    let mut best = (coded_size(sample, whole), whole);
    if numbers && sample.len() >= 1024 {
        for (width, rotate) in [(2_u8, 1_u8), (4, 1)] {
            for lead in 0..width {
                let coder = PartCoder::Literals;
                let size = planes_estimate(sample, usize::from(width), rotate, usize::from(lead));
                if size < best.0 {
                    best = (size, Coding::Planes { width, rotate, lead, coder });
                }
            }
        }
    }
    if best.0 * 1000 > sample.len() * WORTH_THOUSANDTHS { Coding::Whole(PartCoder::Raw) } else { best.1 }
}

fn coded_size(sample: &[u8], coding: Coding) -> usize {
    if sample.is_empty() {
        return 0;
    }
    super::encode(sample, coding, super::BaseUse::None, &[]).map_or(sample.len(), |coded| coded.len())
}

/// Estimates the size of the coded planes from the order-0 entropy of each: what Huffman coding comes close
/// to.
fn planes_estimate(sample: &[u8], width: usize, rotate: u8, lead: usize) -> usize {
    let parts = super::split_planes(sample, width, u32::from(rotate), lead);
    parts.iter().map(|part| entropy_bytes(part).min(part.len())).sum()
}

fn entropy_bytes(part: &[u8]) -> usize {
    /// What a Huffman table costs, about.
    const TABLE_BYTES: f64 = 100.0;
    let mut counts = [0_u32; 256];
    for byte in part {
        counts[usize::from(*byte)] += 1;
    }
    let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) * (total / f64::from(*count)).log2())
        .sum();
    let bytes = bits / 8.0 + TABLE_BYTES;
    // An estimate of at most a few times the sample: the cast cannot lose anything that matters.
    bytes as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{BaseUse, decode, encode};

    fn bf16(count: u32) -> Vec<u8> {
        let mut noise = vec![0; 8 * usize::try_from(count).unwrap()];
        blake3::Hasher::new().update(b"weights").finalize_xof().fill(&mut noise);
        let weight = |bytes: &[u8]| {
            let sum: f32 = bytes.iter().map(|byte| f32::from(*byte) - 127.5).sum();
            let bits = (sum / 20_000.0).to_bits() >> 16;
            u16::try_from(bits).unwrap().to_le_bytes()
        };
        noise.chunks(8).flat_map(weight).collect()
    }

    #[test]
    fn weights_get_planes_at_any_offset_texts_get_zstd_and_noise_stays_raw() {
        let weights = bf16(100_000);
        for skip in 0..2 {
            let raw = &weights[skip..];
            let coding = choose(raw, true);
            let Coding::Planes { width: 2, lead, .. } = coding else { panic!("{coding:?}") };
            assert_eq!(usize::from(lead), skip);
            let coded = encode(raw, coding, BaseUse::None, &[]).unwrap();
            assert!(coded.len() * 100 < raw.len() * 75, "{} of {}", coded.len(), raw.len());
            assert_eq!(decode(&coded, raw.len(), &[]).unwrap(), raw);
        }
        let text = b"select id, name from accounts where id = 5;\n".repeat(5000);
        assert!(matches!(choose(&text, true), Coding::Whole(PartCoder::Zstd { .. })));
        let mut noise = vec![0; 100_000];
        blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut noise);
        assert_eq!(choose(&noise, true), Coding::Whole(PartCoder::Raw));
    }
}
