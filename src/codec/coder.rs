//! Coders of one part: raw, zstd, constant.

use std::cell::RefCell;

use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, ParamSwitch, ResetDirective};

use super::CodecError;
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
    /// A zstd frame with literals only: no match search, Huffman coding.
    Literals,
}

/// Numbers of the coders in the part table.
pub(super) const RAW: u8 = 0;
pub(super) const ZSTD: u8 = 1;
pub(super) const CONSTANT: u8 = 2;

/// A level so fast that the match finder skips everything; the literals are coded nevertheless.
const LITERALS_LEVEL: i32 = -100_000;

thread_local! {
    static COMPRESSOR: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static DECOMPRESSOR: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Returns the coder's number and the coded bytes of `part`.
pub(super) fn encode_part(part: &[u8], coder: PartCoder) -> Result<(u8, Vec<u8>), CodecError> {
    if let Some(first) = part.first()
        && part.len() > 1
        && part.iter().all(|byte| byte == first)
    {
        return Ok((CONSTANT, vec![*first]));
    }
    let coded = match coder {
        PartCoder::Raw => None,
        PartCoder::Zstd { level } => Some(compress(part, level, false)?),
        PartCoder::Literals => Some(compress(part, LITERALS_LEVEL, true)?),
    };
    match coded.filter(|coded| coded.len() < part.len()) {
        Some(coded) => Ok((ZSTD, coded)),
        None => Ok((RAW, part.to_vec())),
    }
}

fn compress(part: &[u8], level: i32, literals: bool) -> Result<Vec<u8>, CodecError> {
    COMPRESSOR.with_borrow_mut(|context| {
        context.reset(ResetDirective::SessionAndParameters).map_err(CodecError::zstd)?;
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(CodecError::zstd)?;
        if literals {
            let mode = CParameter::LiteralCompressionMode(ParamSwitch::Enable);
            context.set_parameter(mode).map_err(CodecError::zstd)?;
        }
        let mut coded = Vec::with_capacity(zstd::zstd_safe::compress_bound(part.len()));
        context.compress2(&mut coded, part).map_err(CodecError::zstd)?;
        Ok(coded)
    })
}

/// Returns a zstd frame of `raw` with `base` as prefix.
pub(super) fn compress_with_prefix(raw: &[u8], base: &[u8], level: i32) -> Result<Vec<u8>, CodecError> {
    // The prefix is borrowed by the context for one frame, so a context of its own keeps lifetimes honest.
    let mut context = CCtx::create();
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(CodecError::zstd)?;
    let env = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u32>().ok());
    if let Some(v) = env("ZW") {
        context.set_parameter(CParameter::WindowLog(v)).map_err(CodecError::zstd)?;
    }
    if let Some(v) = env("ZH") {
        context.set_parameter(CParameter::HashLog(v)).map_err(CodecError::zstd)?;
    }
    if let Some(v) = env("ZC") {
        context.set_parameter(CParameter::ChainLog(v)).map_err(CodecError::zstd)?;
    }
    if let Some(v) = env("ZL") {
        context.set_parameter(CParameter::CompressionLevel(v as i32)).map_err(CodecError::zstd)?;
    }
    context.ref_prefix(base).map_err(CodecError::zstd)?;
    let mut coded = Vec::with_capacity(zstd::zstd_safe::compress_bound(raw.len()));
    context.compress2(&mut coded, raw).map_err(CodecError::zstd)?;
    Ok(coded)
}

/// Returns the part of `part_bytes` bytes that `coded` stands for.
pub(super) fn decode_part(
    number: u8,
    coded: &[u8],
    part_bytes: usize,
    prefix: Option<&[u8]>,
) -> Result<Vec<u8>, CodecError> {
    match (number, part_bytes) {
        (RAW, _) if coded.len() == part_bytes => Ok(coded.to_vec()),
        (ZSTD, 1..) => decompress(coded, part_bytes, prefix),
        (CONSTANT, 1..) => match coded {
            [byte] => Ok(vec![*byte; part_bytes]),
            _ => Err(CodecError::invalid("constant part")),
        },
        (RAW | ZSTD | CONSTANT, _) => Err(CodecError::invalid("part length")),
        _ => Err(CodecError::Unknown { what: "coder", number }),
    }
}

fn decompress(coded: &[u8], part_bytes: usize, prefix: Option<&[u8]>) -> Result<Vec<u8>, CodecError> {
    require_plain(coded, length(part_bytes), ContentSize::Required)
        .map_err(|_| CodecError::invalid("zstd frame"))?;
    let mut part = Vec::with_capacity(part_bytes);
    match prefix {
        Some(base) => {
            let mut context = DCtx::create();
            context.ref_prefix(base).map_err(CodecError::zstd)?;
            context.decompress(&mut part, coded).map_err(CodecError::zstd)?;
        }
        None => DECOMPRESSOR
            .with_borrow_mut(|context| {
                context.reset(ResetDirective::SessionAndParameters).map_err(CodecError::zstd)?;
                context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(CodecError::zstd)?;
                context.decompress(&mut part, coded).map_err(CodecError::zstd)
            })
            .map(|_| ())?,
    }
    if part.len() == part_bytes { Ok(part) } else { Err(CodecError::invalid("length of a zstd part")) }
}
