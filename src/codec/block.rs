//! Coded blocks: head, part table, parts.

use super::CodecError;
use super::coder::{self, PartCoder};
use super::transform::{merge_planes, split_planes};
use crate::base::limits::{BASE_MAX_BYTES, BLOCK_BASED_RAW_MAX_BYTES, BLOCK_RAW_MAX_BYTES};

const HEAD_BYTES: usize = 12;
const PART_BYTES: usize = 5;
const IDENTITY: u8 = 0;
const PLANES: u8 = 1;

/// How a block is laid out before its parts are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// One part.
    Whole(PartCoder),
    /// Planes, each coded on its own.
    Planes {
        /// Element width: 2, 4 or 8.
        width: u8,
        /// Bits by which elements are rotated left.
        rotate: u8,
        /// Bytes before the first element.
        lead: u8,
        /// Coder of planes.
        coder: PartCoder,
    },
}

/// What the base of a block is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseUse {
    /// No base.
    None,
    /// Text before the block, for the compressor.
    Prefix,
    /// XOR of equal places.
    Xor,
}

impl BaseUse {
    fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Prefix => 1,
            Self::Xor => 2,
        }
    }
}

/// One entry of the part table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Number of its coder.
    pub coder: u8,
    /// Length as coded.
    pub coded_bytes: u32,
}

/// Returns the coded block of `raw`; never longer than raw and a fixed few bytes.
///
/// `base` is empty exactly for [`BaseUse::None`]. With [`BaseUse::Prefix`] the coding must be whole and zstd.
pub fn encode(raw: &[u8], coding: Coding, use_of_base: BaseUse, base: &[u8]) -> Result<Vec<u8>, CodecError> {
    require_bounds(raw.len(), use_of_base, base)?;
    let coded = match (use_of_base, coding) {
        (BaseUse::Prefix, Coding::Whole(PartCoder::Zstd { level })) => {
            let frame = coder::compress_with_prefix(raw, base, level)?;
            assemble([IDENTITY, 1, 0, 0, 1], raw.len(), vec![(coder::ZSTD, frame)])?
        }
        (BaseUse::Prefix, _) => return Err(CodecError::invalid("coding with a prefix")),
        (BaseUse::Xor, _) => encode_parts(&xor(raw, base), coding, BaseUse::Xor)?,
        (BaseUse::None, _) => encode_parts(raw, coding, BaseUse::None)?,
    };
    let plain = Coding::Whole(PartCoder::Raw);
    if use_of_base == BaseUse::None && coding != plain && coded.len() >= HEAD_BYTES + PART_BYTES + raw.len() {
        return encode_parts(raw, plain, BaseUse::None);
    }
    Ok(coded)
}

fn encode_parts(data: &[u8], coding: Coding, use_of_base: BaseUse) -> Result<Vec<u8>, CodecError> {
    let base_number = use_of_base.number();
    match coding {
        Coding::Whole(coder) => {
            let part = coder::encode_part(data, coder)?;
            assemble([IDENTITY, 1, 0, 0, base_number], data.len(), vec![part])
        }
        Coding::Planes { width, rotate, lead, coder } => {
            let lead_bytes = usize::from(lead);
            let lies_inside = matches!(width, 2 | 4 | 8) && lead < width && lead_bytes <= data.len();
            if !lies_inside || u32::from(rotate) >= 8 * u32::from(width) {
                return Err(CodecError::invalid("planes"));
            }
            let parts = split_planes(data, usize::from(width), u32::from(rotate), lead_bytes);
            let coded = parts.iter().map(|part| coder::encode_part(part, coder)).collect::<Result<_, _>>()?;
            assemble([PLANES, width, rotate, lead, base_number], data.len(), coded)
        }
    }
}

fn assemble(head: [u8; 5], raw_bytes: usize, parts: Vec<(u8, Vec<u8>)>) -> Result<Vec<u8>, CodecError> {
    let narrow = |length: usize| u32::try_from(length).map_err(|_| CodecError::invalid("length"));
    let coded_bytes: usize = parts.iter().map(|(_, coded)| coded.len()).sum();
    let mut out = Vec::with_capacity(HEAD_BYTES + PART_BYTES * parts.len() + coded_bytes);
    out.extend_from_slice(&head);
    out.extend_from_slice(&[0; 3]);
    out.extend_from_slice(&narrow(raw_bytes)?.to_le_bytes());
    for (coder, coded) in &parts {
        out.push(*coder);
        out.extend_from_slice(&narrow(coded.len())?.to_le_bytes());
    }
    for (_, coded) in &parts {
        out.extend_from_slice(coded);
    }
    Ok(out)
}

/// Returns the plaintext of a coded block, which must have `raw_bytes` bytes; `base` is empty without bases.
pub fn decode(coded: &[u8], raw_bytes: usize, base: &[u8]) -> Result<Vec<u8>, CodecError> {
    let (head, rest) = coded.split_at_checked(HEAD_BYTES).ok_or(CodecError::invalid("head"))?;
    let [transform, width, rotate, lead, base_number, r0, r1, r2, length @ ..] = head else {
        return Err(CodecError::invalid("head"));
    };
    let named: [u8; 4] = length.try_into().map_err(|_| CodecError::invalid("head"))?;
    if [*r0, *r1, *r2] != [0; 3] {
        return Err(CodecError::invalid("reserved byte"));
    }
    if usize::try_from(u32::from_le_bytes(named)) != Ok(raw_bytes) {
        return Err(CodecError::invalid("raw length"));
    }
    let use_of_base = match base_number {
        0 => BaseUse::None,
        1 => BaseUse::Prefix,
        2 => BaseUse::Xor,
        number => return Err(CodecError::Unknown { what: "base use", number: *number }),
    };
    require_bounds(raw_bytes, use_of_base, base)?;
    let data = match *transform {
        IDENTITY if (*width, *rotate, *lead) == (1, 0, 0) => {
            let prefix = (use_of_base == BaseUse::Prefix).then_some(base);
            let (parts, body) = part_table(rest, 1)?;
            if prefix.is_some() && parts[0].coder != coder::ZSTD {
                return Err(CodecError::invalid("coder with a prefix"));
            }
            coder::decode_part(parts[0].coder, body, raw_bytes, prefix)?
        }
        PLANES if use_of_base != BaseUse::Prefix => decode_planes(rest, *width, *rotate, *lead, raw_bytes)?,
        IDENTITY | PLANES => return Err(CodecError::invalid("transform")),
        number => return Err(CodecError::Unknown { what: "transform", number }),
    };
    Ok(if use_of_base == BaseUse::Xor { xor(&data, base) } else { data })
}

fn decode_planes(
    rest: &[u8],
    width: u8,
    rotate: u8,
    lead: u8,
    raw_bytes: usize,
) -> Result<Vec<u8>, CodecError> {
    let lead_bytes = usize::from(lead);
    let lies_inside = matches!(width, 2 | 4 | 8) && lead < width && lead_bytes <= raw_bytes;
    if !lies_inside || u32::from(rotate) >= 8 * u32::from(width) {
        return Err(CodecError::invalid("planes"));
    }
    let planes = usize::from(width);
    let (table, mut body) = part_table(rest, planes + 1)?;
    let count = (raw_bytes - lead_bytes) / planes;
    let mut parts = Vec::with_capacity(planes + 1);
    for (at, part) in table.iter().enumerate() {
        let part_bytes = if at < planes { count } else { raw_bytes - count * planes };
        let coded_bytes = usize::try_from(part.coded_bytes).map_err(|_| CodecError::invalid("part table"))?;
        let (coded, after) = body.split_at(coded_bytes);
        parts.push(coder::decode_part(part.coder, coded, part_bytes, None)?);
        body = after;
    }
    merge_planes(&parts, planes, u32::from(rotate), lead_bytes, raw_bytes)
        .ok_or(CodecError::invalid("planes"))
}

/// Returns the table of `count` parts and the coded bytes, whose sum it has checked.
fn part_table(rest: &[u8], count: usize) -> Result<(Vec<Part>, &[u8]), CodecError> {
    let wrong = || CodecError::invalid("part table");
    let (table, body) = rest.split_at_checked(PART_BYTES * count).ok_or_else(wrong)?;
    let parts: Vec<Part> = table
        .chunks_exact(PART_BYTES)
        .map(|entry| Part {
            coder: entry[0],
            coded_bytes: u32::from_le_bytes([entry[1], entry[2], entry[3], entry[4]]),
        })
        .collect();
    let total: u64 = parts.iter().map(|part| u64::from(part.coded_bytes)).sum();
    if u64::try_from(body.len()) == Ok(total) { Ok((parts, body)) } else { Err(wrong()) }
}

fn require_bounds(raw_bytes: usize, use_of_base: BaseUse, base: &[u8]) -> Result<(), CodecError> {
    let raw_max = if use_of_base == BaseUse::None { BLOCK_RAW_MAX_BYTES } else { BLOCK_BASED_RAW_MAX_BYTES };
    let within = |length: usize, limit: u64| u64::try_from(length).is_ok_and(|length| length <= limit);
    if raw_bytes == 0 || !within(raw_bytes, raw_max) {
        return Err(CodecError::invalid("raw length"));
    }
    if (use_of_base == BaseUse::None) != base.is_empty() || !within(base.len(), BASE_MAX_BYTES) {
        return Err(CodecError::invalid("base"));
    }
    Ok(())
}

fn xor(data: &[u8], base: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    for (byte, other) in out.iter_mut().zip(base) {
        *byte ^= other;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codings() -> Vec<Coding> {
        let coders = [PartCoder::Raw, PartCoder::Zstd { level: 3 }, PartCoder::Literals];
        let mut all: Vec<Coding> = coders.iter().map(|coder| Coding::Whole(*coder)).collect();
        for width in [2, 4, 8] {
            for lead in [0, 1] {
                for coder in coders {
                    all.push(Coding::Planes { width, rotate: 1, lead, coder });
                }
            }
        }
        all
    }

    fn samples() -> Vec<Vec<u8>> {
        let mut noise = vec![0; 50_001];
        blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut noise);
        let text = b"the quick brown fox ".repeat(3000);
        let floats: Vec<u8> = (0..20_000_u32).flat_map(|n| (1.0 / f64::from(n + 1)).to_le_bytes()).collect();
        vec![vec![7], vec![1, 2, 3], vec![0; 100_000], noise, text, floats]
    }

    #[test]
    fn every_coding_of_every_kind_of_data_decodes_to_it_and_never_grows() {
        for raw in samples() {
            for coding in codings() {
                let coded = encode(&raw, coding, BaseUse::None, &[]).unwrap();
                assert!(coded.len() <= raw.len() + 17, "{coding:?}");
                assert_eq!(decode(&coded, raw.len(), &[]).unwrap(), raw, "{coding:?}");
                assert!(decode(&coded, raw.len() + 1, &[]).is_err());
                assert!(decode(&coded, raw.len(), &[1]).is_err());
            }
        }
    }

    #[test]
    fn blocks_with_bases_decode_with_their_base_alone() {
        let base: Vec<u8> = (0..60_000_u32).flat_map(|n| (n * 7919).to_le_bytes()).collect();
        let mut raw = base[1000..200_000].to_vec();
        raw[5000] ^= 1;
        let coding = Coding::Whole(PartCoder::Zstd { level: 3 });
        let coded = encode(&raw, coding, BaseUse::Prefix, &base).unwrap();
        assert!(coded.len() < 1000, "{}", coded.len());
        assert_eq!(decode(&coded, raw.len(), &base).unwrap(), raw);
        assert!(decode(&coded, raw.len(), &[]).is_err());
        for coding in codings() {
            let coded = encode(&raw, coding, BaseUse::Xor, &base).unwrap();
            assert_eq!(decode(&coded, raw.len(), &base).unwrap(), raw);
            let short = encode(&raw, coding, BaseUse::Xor, &base[..100]).unwrap();
            assert_eq!(decode(&short, raw.len(), &base[..100]).unwrap(), raw);
        }
        let long = vec![0; 262_145];
        assert!(encode(&long, Coding::Whole(PartCoder::Raw), BaseUse::Xor, &base).is_err());
    }

    proptest! {
        #[test]
        fn hostile_blocks_are_refused_or_decode_to_the_length_asked_for(
            mut bytes in proptest::collection::vec(any::<u8>(), 12..200),
            transform in 0_u8..3, width in 0_u8..9, raw in 1_usize..300,
        ) {
            bytes[0] = transform;
            bytes[1] = width;
            bytes[5..8].fill(0);
            bytes[8..12].copy_from_slice(&u32::try_from(raw).unwrap().to_le_bytes());
            if let Ok(plain) = decode(&bytes, raw, &[]) {
                prop_assert_eq!(plain.len(), raw);
            }
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0_usize..2000, flip in 1_u8..=255) {
            let raw = b"abcdefgh".repeat(800);
            let coding = Coding::Planes { width: 4, rotate: 1, lead: 1, coder: PartCoder::Literals };
            let mut coded = encode(&raw, coding, BaseUse::None, &[]).unwrap();
            let at = at % coded.len();
            coded[at] ^= flip;
            let _ = decode(&coded, raw.len(), &[]);
        }
    }
}
