//! Which coding a block gets: measured on a sample of its bytes, never decided by a name.

use super::block::Coding;
use super::coder::PartCoder;
use super::sample::Sample;
use crate::container::Element;

/// Level of zstd for whole blocks.
pub const LEVEL: i32 = 3;
/// Level of zstd for blocks with a prefix.
pub const PREFIX_LEVEL: i32 = 3;

/// A coding must bring the sample below this share, in thousandths, or the block stays raw.
const WORTH_THOUSANDTHS: usize = 990;
/// The XOR with a base must bring the sample below this share of the best coding without it, in hundredths.
const XOR_WORTH_HUNDREDTHS: usize = 98;

/// What is known about the bytes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Nothing.
    Unknown,
    /// Text or records, not arrays of numbers.
    Text,
    /// Elements of a tensor, the first of which begins with the block; a sample decides nevertheless.
    Elements(Element),
    /// Compressed or encrypted: no attempt pays.
    Stored,
}

/// Returns the coding that makes a sample of `raw` smallest.
pub fn choose(raw: &[u8], hint: Hint) -> Coding {
    if hint == Hint::Stored {
        return Coding::Whole(PartCoder::Raw);
    }
    let sample = Sample::of(raw, hint, 4, if hint == Hint::Text { 8 << 10 } else { 4 << 10 });
    let (size, coding) = sample.best(hint);
    if size * 1000 > sample.bytes.len() * WORTH_THOUSANDTHS { Coding::Whole(PartCoder::Raw) } else { coding }
}

/// Returns the coding of the XOR of `raw` with `base[skip..]`, if a sample says that it becomes smaller by a
/// twentieth than `raw` by itself.
pub fn choose_xor(raw: &[u8], base: &[u8], skip: usize, hint: Hint) -> Option<Coding> {
    let base = base.get(skip..).filter(|base| !base.is_empty() && hint != Hint::Stored)?;
    let plain = Sample::of(raw, hint, 8, 8 << 10);
    let mixed = plain.mixed(raw, base);
    let (mixed_size, coding) = mixed.best(hint);
    let plain_size = plain.best(hint).0.min(plain.bytes.len());
    (mixed_size * 100 <= plain_size * XOR_WORTH_HUNDREDTHS).then_some(coding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::noise;
    use crate::codec::{Base, BaseUse, decode, encode};
    use crate::container::QuantKind;

    fn weights(seed: &str, count: usize) -> Vec<f32> {
        let weight = |bytes: &[u8]| {
            let sum: f32 = bytes.iter().map(|byte| f32::from(*byte) - 127.5).sum();
            sum / 20_000.0
        };
        noise(seed, 8 * count).chunks(8).map(weight).collect()
    }

    fn bf16(seed: &str, count: usize) -> Vec<u8> {
        let weights = weights(seed, count);
        weights.iter().flat_map(|weight| weight.to_le_bytes()[2..].to_vec()).collect()
    }

    fn share(raw: &[u8], coding: Coding, base: Base) -> f64 {
        let coded = encode(raw, coding, base).unwrap();
        assert_eq!(decode(&coded, raw.len(), base.bytes).unwrap(), raw);
        coded.len() as f64 / raw.len() as f64
    }

    #[test]
    fn weights_get_planes_at_any_offset_texts_get_zstd_and_noise_stays_raw() {
        let narrow = bf16("weights", 100_000);
        let wide: Vec<u8> =
            weights("weights", 60_000).iter().flat_map(|weight| weight.to_le_bytes()).collect();
        for (weights, width, bound) in [(&narrow, 2, 0.75), (&wide, 4, 0.87)] {
            for skip in 0..width {
                let raw = &weights[skip..];
                let coding = choose(raw, Hint::Unknown);
                let Coding::Planes { width: chosen, lead, .. } = coding else { panic!("{coding:?}") };
                assert_eq!((usize::from(chosen), (usize::from(lead) + skip) % width), (width, 0));
                assert!(share(raw, coding, Base::NONE) < bound);
            }
        }
        let text = b"select id, name from accounts where id = 5;\n".repeat(5000);
        for hint in [Hint::Unknown, Hint::Text, Hint::Elements(Element::Bf16)] {
            assert!(matches!(choose(&text, hint), Coding::Whole(PartCoder::Zstd { .. })), "{hint:?}");
            assert_eq!(choose(&noise("noise", 100_000), hint), Coding::Whole(PartCoder::Raw));
        }
        assert_eq!(choose(&text, Hint::Stored), Coding::Whole(PartCoder::Raw));
    }

    #[test]
    fn a_hint_that_lies_costs_a_per_mille_at_most() {
        let mut hints = vec![
            Element::Bf16,
            Element::F16,
            Element::F32,
            Element::F64,
            Element::F8,
            Element::Integer { width_bytes: 8 },
            Element::Bytes,
        ];
        hints.extend(QuantKind::ALL.map(Element::Quant));
        let text = b"select id, name from accounts where id = 5;\n".repeat(5000);
        for raw in [text, noise("noise", 100_000), vec![0; 100_000]] {
            let honest = share(&raw, choose(&raw, Hint::Unknown), Base::NONE);
            for element in &hints {
                let coding = choose(&raw, Hint::Elements(*element));
                assert!(share(&raw, coding, Base::NONE) <= honest + 0.001, "{element:?}, {coding:?}");
            }
        }
    }

    #[test]
    fn quantised_weights_of_any_kind_never_lose_and_gain_what_their_scales_hold() {
        for kind in QuantKind::ALL {
            let record_bytes = usize::try_from(kind.record_bytes()).unwrap();
            let mut records = noise("records", 2000 * record_bytes);
            let coded = |records: &[u8]| {
                let coding = choose(records, Hint::Elements(Element::Quant(kind)));
                encode(records, coding, Base::NONE).unwrap().len()
            };
            // The head of a block and the entry of its one part.
            assert!(coded(&records) <= records.len() + 17, "{kind:?}");
            if record_bytes > 34 {
                continue;
            }
            // The first byte is of a scale, and one with few values takes half a byte.
            records.iter_mut().step_by(record_bytes).for_each(|byte| *byte &= 15);
            let saved = records.len() - coded(&records);
            assert!(saved >= 2000 * 2 / 5, "{kind:?} saves {saved} bytes");
        }
    }

    #[test]
    fn records_sorted_ids_and_rare_elements_get_their_transforms() {
        let record = |(at, pair): (usize, &[f32])| {
            let scale = u16::try_from(8000 + at % 900).unwrap().to_le_bytes();
            let quants = pair.iter().map(|weight| (weight * 2000.0).clamp(-127.0, 127.0) as i8);
            scale.into_iter().chain(quants.map(i8::cast_unsigned)).collect::<Vec<u8>>()
        };
        let quants: Vec<u8> = weights("quants", 320_000).chunks(32).enumerate().flat_map(record).collect();
        let kind = Element::Quant(QuantKind::Q8_0);
        assert!(matches!(choose(&quants, Hint::Elements(kind)), Coding::Records { lead: 0, .. }));
        let ids: Vec<u8> = (0..50_000_u64).flat_map(|n| (n * 40 + n * n % 37).to_le_bytes()).collect();
        for hint in [Hint::Elements(Element::Integer { width_bytes: 8 }), Hint::Unknown] {
            assert!(matches!(choose(&ids, hint), Coding::Delta { width: 8, .. }), "{hint:?}");
        }
        let mut rare = bf16("rare", 100_000);
        rare.chunks_mut(2).enumerate().filter(|(at, _)| at * at % 11 != 3).for_each(|(_, pair)| pair.fill(0));
        for hint in [Hint::Elements(Element::Bf16), Hint::Unknown] {
            assert!(matches!(choose(&rare, hint), Coding::Sparse { .. }), "{hint:?}");
        }
    }

    #[test]
    fn a_base_is_used_where_it_saves_a_twentieth() {
        let base = [noise("before", 6), bf16("weights", 200_000)].concat();
        let mut raw = bf16("weights", 131_072);
        for (at, place) in noise("places", 3 * 1311).chunks(3).zip(bf16("fresh", 1311).chunks(2)) {
            let at = 2 * (usize::from(at[0]) << 9 | usize::from(at[1]) << 1 | usize::from(at[2]) & 1);
            raw[at..at + 2].copy_from_slice(place);
        }
        for hint in [Hint::Elements(Element::Bf16), Hint::Unknown] {
            let coding = choose_xor(&raw, &base, 6, hint).unwrap();
            assert!(matches!(coding, Coding::Sparse { .. }), "{coding:?}");
            let base = Base { use_: BaseUse::Xor, bytes: &base, skip: 6 };
            let share = share(&raw, coding, base);
            assert!(share <= 0.0135, "{share}");
            assert_eq!(choose_xor(&raw, &bf16("others", 140_000), 0, hint), None);
            assert_eq!(choose_xor(&raw, base.bytes, base.bytes.len(), hint), None);
        }
        assert_eq!(choose_xor(&raw, &base, 6, Hint::Stored), None);
    }
}
