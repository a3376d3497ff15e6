//! Codings of blocks: identity, bounds, hostile bytes.

use proptest::prelude::*;

use super::*;
use crate::base::limits::{BASE_MAX_BYTES, BLOCK_BASED_RAW_MAX_BYTES, BLOCK_RAW_MAX_BYTES};
use crate::container::QuantKind;

/// As [`super::decode`]; what stood in the memory before makes no difference.
fn decode(coded: &[u8], raw_bytes: usize, base: &[u8]) -> Result<Vec<u8>, CodecError> {
    let decoded = super::decode(coded, raw_bytes, base);
    if raw_bytes <= usize::try_from(BLOCK_RAW_MAX_BYTES).unwrap() {
        let mut used = vec![0xee; raw_bytes];
        let again = decode_into(coded, base, &mut used).map(|()| used);
        assert_eq!(again, decoded);
    }
    decoded
}

/// Codings of every transform, with this coder.
fn codings(coder: PartCoder) -> Vec<Coding> {
    let mut all = vec![Coding::Whole(coder)];
    for width in [1, 2, 4, 8] {
        for (rotate, lead) in [(1, 0), (0, width - 1), (8 * width - 1, width / 2)] {
            if width > 1 {
                all.push(Coding::Planes { width, rotate, lead, coder });
            }
            all.push(Coding::Sparse { width, rotate, lead, coder });
            if width > 2 {
                all.push(Coding::Delta { width, lead, coder });
            }
        }
    }
    for kind in QuantKind::ALL {
        for lead in [0, 1, 16] {
            for apart in [false, true] {
                if !apart || kind == QuantKind::Q8_0 {
                    all.push(Coding::Records { kind, apart, lead, coder });
                }
            }
        }
    }
    all
}

const CODERS: [PartCoder; 4] =
    [PartCoder::Raw, PartCoder::Zstd { level: 3 }, PartCoder::Literals, PartCoder::Rans];

/// Random bytes that a seed stands for.
pub(super) fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn samples() -> Vec<Vec<u8>> {
    let text = b"the quick brown fox ".repeat(3000);
    let floats: Vec<u8> = (0..20_000_u32).flat_map(|n| (1.0 / f64::from(n + 1)).to_le_bytes()).collect();
    let ids: Vec<u8> = (0..10_000_u64).flat_map(|n| (n * 37 % 90_000).to_le_bytes()).collect();
    let mut rare = vec![0; 120_003];
    noise("places", 600).chunks(3).for_each(|at| {
        rare[usize::from(at[0]) * 400 + usize::from(at[1])] = at[2];
    });
    vec![vec![7], noise("few", 17), vec![0; 100_000], noise("noise", 50_001), text, floats, ids, rare]
}

fn base_of(use_: BaseUse, bytes: &[u8], skip: usize) -> Base<'_> {
    Base { use_, bytes, skip }
}

#[test]
fn every_coding_of_every_kind_of_data_decodes_to_it_and_never_grows() {
    for raw in samples() {
        for coding in CODERS.into_iter().flat_map(codings) {
            let Ok(coded) = encode(&raw, coding, Base::NONE) else {
                assert!(raw.len() < 20, "{coding:?}");
                continue;
            };
            assert!(coded.len() <= raw.len() + 17, "{coding:?}");
            assert_eq!(decode(&coded, raw.len(), &[]).unwrap(), raw, "{coding:?}");
            assert!(decode(&coded, raw.len() + 1, &[]).is_err());
            assert!(decode(&coded, raw.len(), &[1]).is_err());
        }
    }
}

#[test]
fn xor_blocks_decode_with_their_base_alone_at_any_skip() {
    let base = noise("base", 200_000);
    for (skip, length) in [(0, 150_000), (1, 199_999), (70_001, 150_000), (199_999, 40_000)] {
        let mut raw = noise("tail", length);
        let both = length.min(base.len() - skip);
        raw[..both].copy_from_slice(&base[skip..skip + both]);
        raw[both / 2] ^= 9;
        for coding in CODERS.into_iter().flat_map(codings) {
            let coded = encode(&raw, coding, base_of(BaseUse::Xor, &base, skip)).unwrap();
            assert_eq!(decode(&coded, raw.len(), &base).unwrap(), raw, "{coding:?}");
            assert_ne!(decode(&coded, raw.len(), &noise("other", 200_000)), Ok(raw.clone()));
            assert!(decode(&coded, raw.len(), &base[..skip]).is_err());
        }
    }
}

#[test]
fn blocks_and_bases_beyond_their_bounds_are_refused() {
    let (raw, base) = ([1, 2, 3], [4, 5, 6]);
    let plain = Coding::Whole(PartCoder::Raw);
    let zstd = Coding::Whole(PartCoder::Zstd { level: 3 });
    assert!(encode(&raw, plain, base_of(BaseUse::Xor, &base, 2)).is_ok());
    assert!(encode(&raw, plain, base_of(BaseUse::Xor, &base, 3)).is_err());
    assert!(encode(&raw, zstd, base_of(BaseUse::Prefix, &base, 0)).is_ok());
    assert!(encode(&raw, zstd, base_of(BaseUse::Prefix, &base, 1)).is_err());
    assert!(encode(&raw, plain, base_of(BaseUse::Prefix, &base, 0)).is_err());
    assert!(encode(&raw, plain, base_of(BaseUse::None, &base, 0)).is_err());
    assert!(encode(&[], plain, Base::NONE).is_err());
    for (limit, is_base) in [(BLOCK_BASED_RAW_MAX_BYTES, false), (BASE_MAX_BYTES, true)] {
        let limit = usize::try_from(limit).unwrap();
        for (length, holds) in [(limit, true), (limit + 1, false)] {
            let long = vec![0; length];
            let (raw, base) = if is_base { (&raw[..], &long[..]) } else { (&long[..], &base[..]) };
            let coded = encode(raw, plain, base_of(BaseUse::Xor, base, 0));
            assert_eq!(coded.is_ok(), holds, "{length}");
        }
    }
}

#[test]
fn a_prefix_is_found_across_the_longest_base_and_the_longest_block() {
    let base = noise("far", usize::try_from(BASE_MAX_BYTES).unwrap());
    let length = usize::try_from(BLOCK_BASED_RAW_MAX_BYTES).unwrap();
    // What the block ends with stands at the beginning of the base.
    let mut raw = noise("new", length);
    raw[length - 100_000..].copy_from_slice(&base[..100_000]);
    let coding = Coding::Whole(PartCoder::Zstd { level: 3 });
    let coded = encode(&raw, coding, base_of(BaseUse::Prefix, &base, 0)).unwrap();
    assert!(coded.len() < length - 95_000, "{}", coded.len());
    assert_eq!(decode(&coded, raw.len(), &base).unwrap(), raw);
    assert!(decode(&coded, raw.len(), &[]).is_err());
    assert_ne!(decode(&coded, raw.len(), &noise("near", base.len())), Ok(raw));
}

#[test]
fn a_prefix_of_any_length_and_beginning_is_content_and_nothing_else() {
    let coding = Coding::Whole(PartCoder::Zstd { level: PREFIX_LEVEL });
    // What zstd would take for a dictionary with tables, whole and cut; and bases below its least length.
    let beginnings: [&[u8]; 4] =
        [b"", &[0x37, 0xa4, 0x30, 0xec], &[0x37, 0xa4, 0x30, 0xec, 1, 2, 3, 4], b"7"];
    for beginning in beginnings {
        for length in [0, 1, 3, 7, 8, 9, 5_000] {
            let base = [beginning, &noise("prefix", length)].concat();
            if base.is_empty() {
                continue;
            }
            let raw = [&noise("before", 100), base.as_slice(), &noise("behind", 100)].concat();
            let coded = encode(&raw, coding, base_of(BaseUse::Prefix, &base, 0)).unwrap();
            assert_eq!(decode(&coded, raw.len(), &base).unwrap(), raw, "{beginning:?} {length}");
            // The context is used again: nothing of this base may be left in it.
            let alone = encode(&raw, coding, Base::NONE).unwrap();
            assert_eq!(decode(&alone, raw.len(), &[]).unwrap(), raw);
            let other = noise("other", base.len());
            assert!(decode(&coded, raw.len(), &other).map_or(true, |found| length < 5_000 || found != raw));
        }
    }
}

/// Blocks of each transform whose parts have every coder.
fn small_blocks() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rare = b"abcd".repeat(300);
    rare.iter_mut().enumerate().filter(|(at, _)| at % 97 > 3).for_each(|(_, byte)| *byte = 0);
    let words = b"abcdefgh0123".repeat(80);
    let ids: Vec<u8> = (0..300_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
    let blocks = CODERS.into_iter().flat_map(codings).flat_map(|coding| {
        [&rare, &words, &ids].map(|raw| (encode(raw, coding, Base::NONE).unwrap(), raw.clone()))
    });
    blocks.filter(|(coded, _)| coded[0] != 0).collect()
}

#[test]
fn every_cut_of_a_block_is_refused() {
    for (coded, raw) in small_blocks() {
        let step = (coded.len() / 150).max(1);
        for length in (0..coded.len()).step_by(step).chain([coded.len() - 1]) {
            assert!(decode(&coded[..length], raw.len(), &[]).is_err(), "{length} of {}", coded.len());
        }
        assert!(decode(&[coded.as_slice(), &[0]].concat(), raw.len(), &[]).is_err());
    }
}

#[test]
fn every_flipped_bit_of_head_and_tables_is_refused_or_decodes_to_the_length() {
    for (mut coded, raw) in small_blocks() {
        for bit in 0..8 * coded.len().min(120) {
            coded[bit / 8] ^= 1 << (bit % 8);
            if let Ok(plain) = decode(&coded, raw.len(), &[]) {
                assert_eq!(plain.len(), raw.len());
            }
            coded[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(decode(&coded, raw.len(), &[]).unwrap(), raw);
    }
}

#[test]
fn parameters_out_of_their_range_are_refused_whatever_else_fits() {
    let (coder, raw) = (PartCoder::Raw, noise("parameters", 680));
    let kind = QuantKind::Q8_0;
    let cases = [
        (Coding::Planes { width: 2, rotate: 0, lead: 0, coder }, &[16, 17, 255][..]),
        (Coding::Planes { width: 8, rotate: 0, lead: 0, coder }, &[64, 65, 255]),
        (Coding::Sparse { width: 1, rotate: 0, lead: 0, coder }, &[8, 9, 255]),
        (Coding::Delta { width: 4, lead: 0, coder }, &[1, 31, 32]),
        (Coding::Records { kind, apart: false, lead: 0, coder }, &[1, 255]),
    ];
    for (coding, rotations) in cases {
        let base = [0];
        let mut coded = encode(&raw, coding, base_of(BaseUse::Xor, &base, 0)).unwrap();
        for rotate in rotations {
            coded[2] = *rotate;
            assert!(decode(&coded, raw.len(), &base).is_err(), "{coding:?}, rotated by {rotate}");
        }
        coded[2] = 0;
        assert_eq!(decode(&coded, raw.len(), &base).unwrap(), raw, "{coding:?}");
    }
}

#[test]
fn fields_with_bits_that_a_record_has_no_room_for_are_refused() {
    let cases = [(QuantKind::Q5_0, 22), (QuantKind::Q4K, 144), (QuantKind::Q5K, 176), (QuantKind::Q6K, 210)];
    for (kind, length) in cases {
        let raw = noise("record", length);
        let coding = Coding::Records { kind, apart: false, lead: 0, coder: PartCoder::Raw };
        let base = [0];
        let coded = encode(&raw, coding, base_of(BaseUse::Xor, &base, 0)).unwrap();
        let refused = (8 * coded.len() - 8 * 255.min(length)..8 * coded.len()).filter(|bit| {
            let mut other = coded.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            match decode(&other, length, &base) {
                Ok(plain) => assert_ne!(plain, raw),
                Err(_) => return true,
            }
            false
        });
        assert!(refused.count() > 0, "{kind:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_come_back_from_any_coding(
        raw in proptest::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 20..3000),
        pick in any::<prop::sample::Index>(),
        coder in proptest::sample::select(CODERS.to_vec()),
    ) {
        let all = codings(coder);
        let coding = all[pick.index(all.len())];
        let coded = encode(&raw, coding, Base::NONE).unwrap();
        prop_assert!(coded.len() <= raw.len() + 17);
        prop_assert_eq!(decode(&coded, raw.len(), &[]).unwrap(), raw);
    }

    #[test]
    fn hostile_blocks_are_refused_or_decode_to_the_length_asked_for(
        mut bytes in proptest::collection::vec(any::<u8>(), 12..400),
        transform in 0_u8..6, width in 0_u8..16, raw in 1_usize..300, small in any::<bool>(),
    ) {
        bytes[0] = transform;
        bytes[1] = width;
        bytes[4..8].fill(0);
        bytes[8..12].copy_from_slice(&u32::try_from(raw).unwrap().to_le_bytes());
        if small {
            bytes[2..4].fill(0);
            for at in (12..bytes.len()).step_by(5) {
                let end = bytes.len().min(at + 5);
                bytes[at] %= 3;
                bytes[(at + 2).min(end)..end].fill(0);
            }
        }
        if let Ok(plain) = decode(&bytes, raw, &[]) {
            prop_assert_eq!(plain.len(), raw);
        }
    }
}

#[test]
fn a_base_is_a_prefix_whatever_it_begins_with_and_however_long_it_is() {
    let coding = Coding::Whole(PartCoder::Zstd { level: PREFIX_LEVEL });
    let magic = zstd::zstd_safe::MAGIC_DICTIONARY.to_le_bytes();
    for base_bytes in [5, 300, 40_000, 600_000] {
        let mut bytes = vec![0; base_bytes];
        blake3::Hasher::new().update(b"base").finalize_xof().fill(&mut bytes);
        for begins in [&b""[..], &magic] {
            bytes[..begins.len()].copy_from_slice(begins);
            // A copy: zstd takes a prefix whose memory the block shares for overwritten.
            let raw = bytes[base_bytes - base_bytes.min(20_000)..].to_vec();
            let base = Base { use_: BaseUse::Prefix, bytes: &bytes, skip: 0 };
            let coded = encode(&raw, coding, base).unwrap();
            assert!(base_bytes < 8 || coded.len() < 200, "{base_bytes} {}", coded.len());
            assert_eq!(decode(&coded, raw.len(), &bytes).unwrap(), raw);
        }
    }
}
