//! Coders of one part: raw, zstd, constant, rans.

use std::cell::RefCell;

use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, ParamSwitch, ResetDirective};

use super::CodecError;
use super::estimate::Histogram;
use super::rans::{self, Contexts, Plan};
use crate::format::wire::length;
use crate::format::zstd_frame::{ContentSize, WINDOW_LOG_MAX, require_plain};

/// How a part is to be coded; the encoder falls back to raw where that is not shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartCoder {
    /// As it is.
    Raw,
    /// zstd at this level.
    Zstd {
        /// Compression level.
        level: i32,
    },
    /// A zstd frame with literals only: no match search, Huffman coding. Parts that a sample shows to be
    /// noise stay raw untried; where one byte rules, a search for matches is tried too.
    Literals,
    /// As literals, or by the coder *rans* where that is shorter by a 400th.
    Rans,
}

/// Numbers of the coders in the part table.
pub(super) const RAW: u8 = 0;
pub(super) const ZSTD: u8 = 1;
pub(super) const CONSTANT: u8 = 2;
pub(super) const RANS: u8 = 3;

/// What rANS must save of a part, one in so many bytes, since it takes longer to decode.
const RANS_WORTH: usize = 400;
/// Shortest part that it is tried on.
const RANS_MIN_BYTES: usize = 256;
/// Bytes that share a table of Huffman codes in a zstd frame.
const LITERALS_PIECE_BYTES: usize = 128 << 10;

/// A level so fast that the match finder skips everything; the literals are coded nevertheless.
const LITERALS_LEVEL: i32 = -100_000;
/// The smallest window that zstd knows, as a power of two.
const WINDOW_LOG_MIN: u32 = 10;
/// The longest prefix and block together, as a power of two, that the tables of a level remember whole.
const LEVEL_SPAN_LOG_MAX: u32 = 19;
/// The hash table of level 3, as a power of two, for short inputs.
const HASH_LOG_MIN: u32 = 15;

/// The level that finds runs, where Huffman coding cannot go below a bit for each byte.
const RUNS_LEVEL: i32 = 1;
/// Bits per byte above which zstd leaves literals as they are.
const NOISE_BITS: f64 = 7.9;
/// Share of one byte, in hundredths, from which on runs are looked for.
const RULING_HUNDREDTHS: u64 = 75;

thread_local! {
    static FRAME: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static COMPRESSOR: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static DECOMPRESSOR: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
    static PREFIX_COMPRESSOR: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
}

/// Appends `part` as coded to `out` and returns the number of its coder.
/// A coder that knows contexts may code by these.
pub(super) fn encode_part(
    part: &[u8],
    coder: PartCoder,
    contexts: Option<Contexts>,
    out: &mut Vec<u8>,
) -> Result<u8, CodecError> {
    let start = out.len();
    if let Some(first) = part.first()
        && part.len() > 1
        && part.iter().all(|byte| byte == first)
    {
        out.push(*first);
        return Ok(CONSTANT);
    }
    match coder {
        PartCoder::Raw => {}
        PartCoder::Zstd { level } => append_shorter(part, level, false, start, out)?,
        PartCoder::Literals => append_literals(part, start, out)?,
        PartCoder::Rans => return append_rans(part, contexts, start, out),
    }
    Ok(end_part(part, start, out))
}

/// Returns the coder of what stands behind `start`; where nothing does, puts the part there as it is.
fn end_part(part: &[u8], start: usize, out: &mut Vec<u8>) -> u8 {
    if out.len() == start {
        out.extend_from_slice(part);
        return RAW;
    }
    ZSTD
}

fn append_literals(part: &[u8], start: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let sample = Histogram::of_places(part);
    if sample.bits_per_byte() < NOISE_BITS {
        append_shorter(part, LITERALS_LEVEL, true, start, out)?;
    }
    if sample.greatest_hundredths() >= RULING_HUNDREDTHS {
        append_shorter(part, RUNS_LEVEL, false, start, out)?;
    }
    Ok(())
}

/// Puts `part` behind `start` as literals or by rANS, and returns the number of the coder.
fn append_rans(
    part: &[u8],
    contexts: Option<Contexts>,
    start: usize,
    out: &mut Vec<u8>,
) -> Result<u8, CodecError> {
    let plan = if part.len() < RANS_MIN_BYTES { None } else { Plan::of(part, contexts) };
    let is_worth = |plan: &Plan, other: usize| plan.bytes * RANS_WORTH < other * (RANS_WORTH - 1);
    let Some(plan) = plan.filter(|plan| is_worth(plan, part.len())) else {
        append_literals(part, start, out)?;
        return Ok(end_part(part, start, out));
    };
    if !is_worth(&plan, literals_floor(part)) {
        append_literals(part, start, out)?;
        if out.len() > start && !is_worth(&plan, out.len() - start) {
            return Ok(ZSTD);
        }
        out.truncate(start);
    }
    plan.encode(part, contexts, out);
    // A plan is an estimate, though a close one.
    if out.len() - start >= part.len() {
        out.truncate(start);
        return Ok(end_part(part, start, out));
    }
    Ok(RANS)
}

/// Returns a length that `part` does not come below as literals; nothing is known of parts with long runs.
fn literals_floor(part: &[u8]) -> usize {
    let floor = |piece| {
        let histogram = Histogram::of(piece);
        let is_ruled = histogram.greatest_hundredths() >= RULING_HUNDREDTHS;
        if is_ruled { 0 } else { histogram.huffman_bits() / 8 }
    };
    usize::try_from(part.chunks(LITERALS_PIECE_BYTES).map(floor).sum::<u64>()).unwrap_or(usize::MAX)
}

/// Puts the frame of `part` behind `start` of `out`, if it is shorter than what stands there, or than the
/// part where nothing does.
fn append_shorter(
    part: &[u8],
    level: i32,
    literals: bool,
    start: usize,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    FRAME.with_borrow_mut(|frame| {
        compress(part, level, literals, frame)?;
        let bound = if out.len() > start { out.len() - start } else { part.len() };
        if frame.len() < bound {
            out.truncate(start);
            out.extend_from_slice(frame);
        }
        Ok(())
    })
}

fn compress(part: &[u8], level: i32, literals: bool, frame: &mut Vec<u8>) -> Result<(), CodecError> {
    COMPRESSOR.with_borrow_mut(|context| {
        context.reset(ResetDirective::SessionAndParameters).map_err(CodecError::zstd)?;
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(CodecError::zstd)?;
        if literals {
            let mode = CParameter::LiteralCompressionMode(ParamSwitch::Enable);
            context.set_parameter(mode).map_err(CodecError::zstd)?;
        }
        frame.clear();
        frame.reserve(zstd::zstd_safe::compress_bound(part.len()));
        context.compress2(frame, part).map_err(CodecError::zstd)?;
        Ok(())
    })
}

/// Appends a zstd frame of `raw` with `base` as prefix to `out`.
pub(super) fn compress_with_prefix(
    raw: &[u8],
    base: &[u8],
    level: i32,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let span = window_log(raw.len() + base.len());
    FRAME.with_borrow_mut(|frame| {
        frame.clear();
        frame.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        if span <= LEVEL_SPAN_LOG_MAX && is_only_content(base) {
            PREFIX_COMPRESSOR.with_borrow_mut(|context| {
                context.compress_using_dict(frame, raw, base, level).map_err(CodecError::zstd)
            })?;
        } else {
            // The prefix is borrowed by the context, so one that the thread keeps cannot take it.
            let mut context = CCtx::create();
            // By itself a level looks back less far than the longest base with the longest block, and its
            // table forgets the beginning of it.
            let hash = CParameter::HashLog(span.saturating_sub(2).max(HASH_LOG_MIN));
            for parameter in [CParameter::CompressionLevel(level), CParameter::WindowLog(span), hash] {
                context.set_parameter(parameter).map_err(CodecError::zstd)?;
            }
            context.ref_prefix(base).map_err(CodecError::zstd)?;
            context.compress2(frame, raw).map_err(CodecError::zstd)?;
        }
        out.extend_from_slice(frame);
        Ok(())
    })
}

/// Tells whether zstd takes `base` for mere content where a dictionary may stand: what begins with the
/// number of its trained dictionaries, it would parse.
fn is_only_content(base: &[u8]) -> bool {
    !base.starts_with(&zstd::zstd_safe::MAGIC_DICTIONARY.to_le_bytes())
}

/// Returns the binary logarithm of the smallest window that spans `bytes`.
fn window_log(bytes: usize) -> u32 {
    bytes.next_power_of_two().ilog2().clamp(WINDOW_LOG_MIN, WINDOW_LOG_MAX)
}

/// Returns the part of `part_bytes` bytes that `coded` stands for: `coded` itself, or bytes at the beginning
/// of `room`, which has that many.
pub(super) fn decode_part<'a>(
    number: u8,
    coded: &'a [u8],
    prefix: Option<&[u8]>,
    contexts: Option<Contexts>,
    room: &'a mut [u8],
) -> Result<&'a [u8], CodecError> {
    match (number, room.len()) {
        (RAW, part_bytes) if coded.len() == part_bytes => Ok(coded),
        (ZSTD, 1..) => {
            decompress(coded, prefix, room)?;
            Ok(room)
        }
        (CONSTANT, 1..) => match coded {
            [byte] => {
                room.fill(*byte);
                Ok(room)
            }
            _ => Err(CodecError::invalid("constant part")),
        },
        (RANS, 1..) => {
            rans::decode(coded, contexts, room).ok_or(CodecError::invalid("rans part"))?;
            Ok(room)
        }
        (RAW | ZSTD | CONSTANT | RANS, _) => Err(CodecError::invalid("part length")),
        _ => Err(CodecError::Unknown { what: "coder", number }),
    }
}

fn decompress(coded: &[u8], prefix: Option<&[u8]>, room: &mut [u8]) -> Result<(), CodecError> {
    require_plain(coded, length(room.len()), ContentSize::Required)
        .map_err(|_| CodecError::invalid("zstd frame"))?;
    let part_bytes = room.len();
    let written = match prefix {
        // zstd would read tables out of it; a prefix is content whatever it begins with.
        Some(base) if !is_only_content(base) => {
            let mut context = DCtx::create();
            context.ref_prefix(base).map_err(CodecError::zstd)?;
            context.decompress(room, coded).map_err(CodecError::zstd)?
        }
        // Anything else is content as it stands, as a prefix is, and borrowed for this call alone.
        Some(base) => DECOMPRESSOR.with_borrow_mut(|context| {
            context.reset(ResetDirective::SessionAndParameters).map_err(CodecError::zstd)?;
            context.decompress_using_dict(room, coded, base).map_err(CodecError::zstd)
        })?,
        None => DECOMPRESSOR.with_borrow_mut(|context| {
            context.reset(ResetDirective::SessionAndParameters).map_err(CodecError::zstd)?;
            context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(CodecError::zstd)?;
            context.decompress(room, coded).map_err(CodecError::zstd)
        })?,
    };
    if written == part_bytes { Ok(()) } else { Err(CodecError::invalid("length of a zstd part")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::noise;

    type Value = fn(&[u8]) -> u8;
    /// Each value half as often as the one below: Huffman codes take no more than the entropy.
    const HALVES: Value = |pair| u16::from_le_bytes([pair[0], pair[1]]).trailing_zeros().to_le_bytes()[0];
    const FEW: Value = |pair| u8::from(pair[0] < 90) + u8::from(pair[1] < 9);

    fn part(value: Value) -> Vec<u8> {
        noise("literals", 2 * 300_000).chunks_exact(2).map(value).collect()
    }

    #[test]
    fn rans_is_taken_where_it_is_shorter_than_huffman_codes_by_what_it_is_worth() {
        for (value, number) in [(HALVES, ZSTD), (FEW, RANS)] {
            assert_eq!(encode_part(&part(value), PartCoder::Rans, None, &mut Vec::new()).unwrap(), number);
        }
    }

    #[test]
    fn literals_take_no_less_than_their_floor_and_little_more() {
        let values: [Value; 5] =
            [|pair| pair[0] / 2 + pair[1] / 2, |pair| pair[0] & pair[1], |pair| pair[0] & 15, HALVES, FEW];
        for part in values.map(part) {
            for length in [256, 3000, LITERALS_PIECE_BYTES, LITERALS_PIECE_BYTES + 1, part.len()] {
                let (part, mut coded) = (&part[..length], Vec::new());
                encode_part(part, PartCoder::Literals, None, &mut coded).unwrap();
                let floor = literals_floor(part);
                assert!(coded.len() >= floor, "{length}: {} below {floor}", coded.len());
                let tables = 200 * (1 + length / LITERALS_PIECE_BYTES);
                assert!(coded.len() < floor + floor / 50 + tables, "{length}: {} of {floor}", coded.len());
            }
        }
    }
}
