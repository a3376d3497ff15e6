//! GGUF, little-endian, versions 2 and 3: counts, key-value pairs, descriptions of the tensors, their bytes.

use super::read::Fields;
use super::{Element, QuantKind, ReadAt, TENSORS_MAX, Tensor};

/// The first bytes.
pub(super) const MAGIC: &[u8] = b"GGUF";

/// Most bytes before the tensors. Vocabularies of a million tokens take some 50 MiB.
const HEADER_BYTES_MAX: u64 = 1 << 28;

/// Most key-value pairs.
const PAIRS_MAX: u64 = 1 << 16;

/// Longest key, and longest name of a tensor.
const NAME_BYTES_MAX: u64 = 1 << 16;

/// How deep arrays may lie in arrays.
const ARRAY_DEPTH_MAX: u32 = 2;

/// Most dimensions of a tensor.
const DIMENSIONS_MAX: u32 = 8;

/// What offsets are multiples of, unless a pair says otherwise.
const ALIGNMENT_DEFAULT: u64 = 32;

/// Largest multiple that a pair may ask for.
const ALIGNMENT_MAX: u64 = 1 << 20;

/// The pair that tells what offsets are multiples of.
const ALIGNMENT_KEY: &[u8] = b"general.alignment";

/// Types of values.
const TYPE_U32: u32 = 4;
const TYPE_STRING: u32 = 8;
const TYPE_ARRAY: u32 = 9;

/// Returns the tensors.
pub(super) fn tensors(source: &dyn ReadAt) -> Option<Vec<Tensor>> {
    let mut fields = Fields::new(source, 0, u64::MAX, HEADER_BYTES_MAX);
    fields.skip(MAGIC.len() as u64)?;
    matches!(fields.u32()?, 2 | 3).then_some(())?;
    let tensor_count = fields.u64().filter(|count| *count <= TENSORS_MAX as u64)?;
    let pair_count = fields.u64().filter(|count| *count <= PAIRS_MAX)?;
    let mut alignment = ALIGNMENT_DEFAULT;
    for _ in 0..pair_count {
        let key = string(&mut fields)?;
        let kind = fields.u32()?;
        if key == ALIGNMENT_KEY {
            let value = (kind == TYPE_U32).then(|| fields.u32())??;
            alignment = Some(u64::from(value)).filter(|value| value.is_power_of_two())?;
            (alignment <= ALIGNMENT_MAX).then_some(())?;
        } else {
            skip_value(&mut fields, kind, ARRAY_DEPTH_MAX)?;
        }
    }
    let mut tensors = Vec::new();
    for _ in 0..tensor_count {
        tensors.extend(tensor(&mut fields, alignment)?);
    }
    let data_begin = fields.position().checked_next_multiple_of(alignment)?;
    for tensor in &mut tensors {
        tensor.offset = tensor.offset.checked_add(data_begin)?;
    }
    Some(tensors)
}

fn string(fields: &mut Fields) -> Option<Vec<u8>> {
    let length = fields.u64()?;
    fields.bytes(length, NAME_BYTES_MAX)
}

/// Goes over `length` bytes of the header, which ends within its bound.
fn skip(fields: &mut Fields, length: u64) -> Option<()> {
    fields.skip(length)?;
    (fields.position() <= HEADER_BYTES_MAX).then_some(())
}

/// Returns the bytes of a value whose length its type tells.
fn width_bytes(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        TYPE_U32 | 5 | 6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// Goes over a value. Every item of an array takes bytes, so the bound of the header bounds their count.
fn skip_value(fields: &mut Fields, kind: u32, depth: u32) -> Option<()> {
    match kind {
        TYPE_STRING => {
            let length = fields.u64()?;
            skip(fields, length)
        }
        TYPE_ARRAY => {
            let below = depth.checked_sub(1)?;
            let item = fields.u32()?;
            let count = fields.u64()?;
            match width_bytes(item) {
                Some(width) => skip(fields, count.checked_mul(width)?),
                None => (0..count).try_for_each(|_| skip_value(fields, item, below)),
            }
        }
        _ => skip(fields, width_bytes(kind)?),
    }
}

/// Reads the description of a tensor; nothing for one of a type that is not known. Its offset is still the
/// one in the data.
fn tensor(fields: &mut Fields, alignment: u64) -> Option<Option<Tensor>> {
    let name = string(fields)?;
    let dimensions = fields.u32().filter(|count| *count <= DIMENSIONS_MAX)?;
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        shape.push(fields.u64()?);
    }
    // The file has the row's length first.
    shape.reverse();
    let kind = fields.u32()?;
    let offset = fields.u64().filter(|offset| offset.is_multiple_of(alignment))?;
    let Some(kind) = element(kind) else { return Some(None) };
    let (element, length_bytes) = match kind {
        Kind::Known(element) => (element, element.length_bytes(&shape)?),
        Kind::Record { weights, bytes } => {
            let count = shape.iter().try_fold(1_u64, |product, dimension| product.checked_mul(*dimension))?;
            let records = count.is_multiple_of(weights).then_some(count / weights)?;
            (Element::Bytes, records.checked_mul(bytes)?)
        }
    };
    Some(Some(Tensor { name, element, shape, offset, length_bytes }))
}

enum Kind {
    Known(Element),
    /// Only how long they are is known.
    Record {
        weights: u64,
        bytes: u64,
    },
}

/// Returns what the numbers of types mean.
fn element(kind: u32) -> Option<Kind> {
    let quant = |kind| Kind::Known(Element::Quant(kind));
    let integer = |width_bytes| Kind::Known(Element::Integer { width_bytes });
    let record = |weights, bytes| Kind::Record { weights, bytes };
    Some(match kind {
        0 => Kind::Known(Element::F32),
        1 => Kind::Known(Element::F16),
        2 => quant(QuantKind::Q4_0),
        3 => quant(QuantKind::Q4_1),
        6 => quant(QuantKind::Q5_0),
        7 => quant(QuantKind::Q5_1),
        8 => quant(QuantKind::Q8_0),
        9 => record(32, 36),
        10 => quant(QuantKind::Q2K),
        11 => quant(QuantKind::Q3K),
        12 => quant(QuantKind::Q4K),
        13 => quant(QuantKind::Q5K),
        14 => quant(QuantKind::Q6K),
        15 => record(256, 292),
        16 => record(256, 66),
        17 => record(256, 74),
        18 => record(256, 98),
        19 => record(256, 50),
        20 => quant(QuantKind::Iq4Nl),
        21 => record(256, 110),
        22 => record(256, 82),
        23 => quant(QuantKind::Iq4Xs),
        24 => integer(1),
        25 => integer(2),
        26 => integer(4),
        27 => integer(8),
        28 => Kind::Known(Element::F64),
        29 => record(256, 56),
        30 => Kind::Known(Element::Bf16),
        34 => record(256, 54),
        35 => record(256, 66),
        39 => quant(QuantKind::Mxfp4),
        40 => record(64, 36),
        41 => record(128, 18),
        42 => record(64, 18),
        _ => return None,
    })
}
