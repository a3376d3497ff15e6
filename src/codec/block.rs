//! Coded blocks: head, part table, parts.

use super::CodecError;
use super::coder::{self, PartCoder};
use super::rans::Contexts;
use super::scratch;
use super::transform::{Grid, delta, planes, records, sparse};
use crate::base::limits::{BASE_MAX_BYTES, BLOCK_BASED_RAW_MAX_BYTES, BLOCK_RAW_MAX_BYTES};
use crate::container::QuantKind;

pub(super) const HEAD_BYTES: usize = 12;
pub(super) const PART_BYTES: usize = 5;
pub(super) const IDENTITY: u8 = 0;
pub(super) const PLANES: u8 = 1;
pub(super) const RECORDS: u8 = 2;
pub(super) const SPARSE: u8 = 3;
const DELTA: u8 = 4;

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
    /// Records of quantised weights, each field coded on its own.
    Records {
        /// What the records are.
        kind: QuantKind,
        /// The greatest quant of each record stands apart; [`QuantKind::Q8_0`] alone.
        apart: bool,
        /// Bytes before the first record.
        lead: u8,
        /// Coder of fields.
        coder: PartCoder,
    },
    /// Places and planes of the elements that are not zero.
    Sparse {
        /// Element width: 1, 2, 4 or 8.
        width: u8,
        /// Bits by which elements are rotated left.
        rotate: u8,
        /// Bytes before the first element.
        lead: u8,
        /// Coder of gaps and planes.
        coder: PartCoder,
    },
    /// Planes of the differences between integers and those before them.
    Delta {
        /// Element width: 4 or 8.
        width: u8,
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
    /// XOR of each byte with one of the base.
    Xor,
}

/// The base of a block and what it is for.
///
/// `bytes` is empty exactly for [`BaseUse::None`]. `skip` is below the length of `bytes` for
/// [`BaseUse::Xor`], and 0 for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base<'a> {
    /// What it is for.
    pub use_: BaseUse,
    /// The plaintexts of the base chunks, one after the other.
    pub bytes: &'a [u8],
    /// The byte of the base that the first byte of the block is mixed with.
    pub skip: usize,
}

impl Base<'static> {
    /// No base.
    pub const NONE: Self = Self { use_: BaseUse::None, bytes: &[], skip: 0 };
}

/// Head of a coded block, as far as the parts depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) transform: u8,
    /// Element width, or number of the layout of records.
    pub(super) width: u8,
    pub(super) rotate: u8,
    pub(super) lead: u8,
}

impl Shape {
    const WHOLE: Self = Self { transform: IDENTITY, width: 1, rotate: 0, lead: 0 };

    fn of(coding: Coding) -> Result<(Self, PartCoder), CodecError> {
        Ok(match coding {
            Coding::Whole(coder) => (Self::WHOLE, coder),
            Coding::Planes { width, rotate, lead, coder } => {
                (Self { transform: PLANES, width, rotate, lead }, coder)
            }
            Coding::Records { kind, apart, lead, coder } => {
                let width = records::number(kind, apart).ok_or(CodecError::invalid("layout of records"))?;
                (Self { transform: RECORDS, width, rotate: 0, lead }, coder)
            }
            Coding::Sparse { width, rotate, lead, coder } => {
                (Self { transform: SPARSE, width, rotate, lead }, coder)
            }
            Coding::Delta { width, lead, coder } => {
                (Self { transform: DELTA, width, rotate: 0, lead }, coder)
            }
        })
    }

    /// Returns where elements lie; refuses parameters out of their range.
    pub(super) fn grid(self, raw_bytes: usize) -> Result<Grid, CodecError> {
        let holds = match self.transform {
            IDENTITY => self.width == 1 && self.rotate == 0,
            PLANES => matches!(self.width, 2 | 4 | 8),
            RECORDS => self.rotate == 0,
            SPARSE => matches!(self.width, 1 | 2 | 4 | 8),
            DELTA => matches!(self.width, 4 | 8) && self.rotate == 0,
            number => return Err(CodecError::Unknown { what: "transform", number }),
        };
        let width = match self.transform {
            RECORDS => self.layout()?.record_bytes,
            _ => usize::from(self.width),
        };
        if !holds || usize::from(self.rotate) >= 8 * width {
            return Err(CodecError::invalid("parameter of the transform"));
        }
        Grid::new(raw_bytes, width, usize::from(self.lead)).ok_or(CodecError::invalid("lead"))
    }

    pub(super) fn layout(self) -> Result<records::Layout, CodecError> {
        let unknown = CodecError::Unknown { what: "layout of records", number: self.width };
        records::layout(self.width).ok_or(unknown)
    }
}

/// Returns the coded block of `raw`; without base never longer than raw and a fixed few bytes.
///
/// With [`BaseUse::Prefix`] the coding must be whole and zstd.
pub fn encode(raw: &[u8], coding: Coding, base: Base) -> Result<Vec<u8>, CodecError> {
    encode_behind(Vec::new(), 0, raw, coding, base)
}

/// The same behind `front_bytes` zeros, in which a seal has room for its nonce, and in the memory of `room`,
/// whose content is lost.
pub fn encode_behind(
    room: Vec<u8>,
    front_bytes: usize,
    raw: &[u8],
    coding: Coding,
    base: Base,
) -> Result<Vec<u8>, CodecError> {
    require_bounds(raw.len(), base)?;
    match (base.use_, coding) {
        (BaseUse::Prefix, Coding::Whole(PartCoder::Zstd { level })) => {
            let mut block = Assembly::new(room, front_bytes, Shape::WHOLE, base, raw.len(), 1)?;
            coder::compress_with_prefix(raw, base.bytes, level, &mut block.out)?;
            block.end_part(coder::ZSTD)?;
            Ok(block.out)
        }
        (BaseUse::Prefix, _) => Err(CodecError::invalid("coding with a prefix")),
        (BaseUse::Xor, _) => scratch::with_xor(raw, &base.bytes[base.skip..], |mixed| {
            encode_parts(room, front_bytes, mixed, coding, base)
        }),
        (BaseUse::None, _) => {
            let coded = encode_parts(room, front_bytes, raw, coding, base)?;
            let plain = Coding::Whole(PartCoder::Raw);
            let plain_bytes = front_bytes + HEAD_BYTES + PART_BYTES + raw.len();
            let shorter = coding == plain || coded.len() < plain_bytes;
            if shorter { Ok(coded) } else { encode_parts(coded, front_bytes, raw, plain, base) }
        }
    }
}

fn encode_parts(
    room: Vec<u8>,
    front_bytes: usize,
    data: &[u8],
    coding: Coding,
    base: Base,
) -> Result<Vec<u8>, CodecError> {
    let (shape, coder) = Shape::of(coding)?;
    let grid = shape.grid(data.len())?;
    let from_parts = |lengths: &[usize], mut parts: &[u8], layout: Option<records::Layout>| {
        let mut block = Assembly::new(room, front_bytes, shape, base, data.len(), lengths.len())?;
        let parts: Vec<&[u8]> = lengths.iter().filter_map(|length| parts.split_off(..*length)).collect();
        for (at, part) in parts.iter().enumerate() {
            let leaned = layout.and_then(|layout| layout.contexts_for_writer(at, &parts));
            let contexts = leaned.as_ref().map(|(bytes, run)| Contexts { bytes, run: *run });
            let number = coder::encode_part(part, coder, contexts, &mut block.out)?;
            block.end_part(number)?;
        }
        Ok(block.out)
    };
    match shape.transform {
        IDENTITY => from_parts(&[data.len()], data, None),
        PLANES => scratch::with_parts(data.len(), |parts| {
            let lengths = planes::split_block(data, grid, u32::from(shape.rotate), parts);
            from_parts(&lengths, parts, None)
        }),
        RECORDS => {
            let layout = shape.layout()?;
            scratch::with_parts(layout.room(data.len(), grid), |parts| {
                let lengths = layout.split_block(data, grid, parts);
                from_parts(&lengths, parts, Some(layout))
            })
        }
        SPARSE => scratch::with_parts(sparse::room(data.len(), grid), |parts| {
            let lengths = sparse::split_block(data, grid, u32::from(shape.rotate), parts)
                .ok_or(CodecError::invalid("length"))?;
            from_parts(&lengths, parts, None)
        }),
        _ => scratch::with_parts(data.len(), |parts| {
            let lengths = delta::split_block(data, grid, parts);
            from_parts(&lengths, parts, None)
        }),
    }
}

/// What a seal appends, so that it needs no new memory.
const SEAL_ROOM_BYTES: usize = 16;

/// A coded block that grows part by part.
struct Assembly {
    out: Vec<u8>,
    /// Where the next entry of the part table stands.
    entry: usize,
    /// Where the next part begins.
    start: usize,
}

impl Assembly {
    fn new(
        mut out: Vec<u8>,
        front_bytes: usize,
        shape: Shape,
        base: Base,
        raw_bytes: usize,
        parts: usize,
    ) -> Result<Self, CodecError> {
        let number = match base.use_ {
            BaseUse::None => 0,
            BaseUse::Prefix => 1,
            BaseUse::Xor => 2,
        };
        let entry = front_bytes + HEAD_BYTES;
        let start = entry + PART_BYTES * parts;
        out.clear();
        out.reserve(start + raw_bytes + SEAL_ROOM_BYTES);
        out.resize(front_bytes, 0);
        out.extend_from_slice(&[shape.transform, shape.width, shape.rotate, shape.lead, number]);
        // At most BASE_MAX_BYTES, far below 2^24.
        out.extend_from_slice(&narrow(base.skip)?[..3]);
        out.extend_from_slice(&narrow(raw_bytes)?);
        out.resize(start, 0);
        Ok(Self { out, entry, start })
    }

    /// Enters what was appended since the last part as a part of its own.
    fn end_part(&mut self, coder: u8) -> Result<(), CodecError> {
        let coded_bytes = narrow(self.out.len() - self.start)?;
        let entry = &mut self.out[self.entry..][..PART_BYTES];
        entry[0] = coder;
        entry[1..].copy_from_slice(&coded_bytes);
        self.entry += PART_BYTES;
        self.start = self.out.len();
        Ok(())
    }
}

fn narrow(length: usize) -> Result<[u8; 4], CodecError> {
    u32::try_from(length).map(u32::to_le_bytes).map_err(|_| CodecError::invalid("length"))
}

pub(super) fn require_bounds(raw_bytes: usize, base: Base) -> Result<(), CodecError> {
    let raw_max = match base.use_ {
        BaseUse::None => BLOCK_RAW_MAX_BYTES,
        BaseUse::Prefix | BaseUse::Xor => BLOCK_BASED_RAW_MAX_BYTES,
    };
    let within = |length: usize, limit: u64| u64::try_from(length).is_ok_and(|length| length <= limit);
    if raw_bytes == 0 || !within(raw_bytes, raw_max) {
        return Err(CodecError::invalid("raw length"));
    }
    if (base.use_ == BaseUse::None) != base.bytes.is_empty() || !within(base.bytes.len(), BASE_MAX_BYTES) {
        return Err(CodecError::invalid("base"));
    }
    let skips = base.skip == 0 || base.use_ == BaseUse::Xor && base.skip < base.bytes.len();
    if skips { Ok(()) } else { Err(CodecError::invalid("base skip")) }
}
