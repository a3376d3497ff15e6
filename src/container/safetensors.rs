//! safetensors: a length of 8 bytes, a JSON object of that length, the bytes of the tensors.

use super::json::Json;
use super::read::Fields;
use super::{Element, ReadAt, TENSORS_MAX, Tensor};

/// Longest header: the limit that the format's own readers have.
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// Bytes of the header's length.
const LENGTH_BYTES: u64 = 8;

/// Most dimensions of a tensor.
const DIMENSIONS_MAX: usize = 32;

/// The member of the header that is no tensor.
const METADATA: &[u8] = b"__metadata__";

/// Returns whether a file begins as the format does: with a length in bounds and a brace.
pub(super) fn is_magic(front: &[u8]) -> bool {
    let length = front.first_chunk().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| (2..=HEADER_BYTES_MAX).contains(&length))
        && front.get(LENGTH_BYTES as usize) == Some(&b'{')
}

/// Returns the tensors.
pub(super) fn tensors(source: &dyn ReadAt) -> Option<Vec<Tensor>> {
    let mut fields = Fields::new(source, 0, u64::MAX, LENGTH_BYTES + HEADER_BYTES_MAX);
    let length = fields.u64()?;
    let header = fields.bytes(length, HEADER_BYTES_MAX)?;
    let data_begin = fields.position();
    let mut json = Json::new(std::str::from_utf8(&header).ok()?);
    let mut tensors = Vec::new();
    json.object(|json, name| {
        if name == METADATA {
            return json.skip();
        }
        tensors.push(tensor(json, name, data_begin)?);
        (tensors.len() <= TENSORS_MAX).then_some(())
    })?;
    json.end()?;
    Some(tensors)
}

/// Reads what the header says of one tensor.
fn tensor(json: &mut Json, name: Vec<u8>, data_begin: u64) -> Option<Tensor> {
    let (mut dtype, mut shape, mut range) = (None, None, None);
    json.object(|json, key| {
        match key.as_slice() {
            b"dtype" => dtype = Some(json.string()?),
            b"shape" => shape = Some(numbers(json, DIMENSIONS_MAX)?),
            b"data_offsets" => range = Some(numbers(json, 2)?),
            _ => json.skip()?,
        }
        Some(())
    })?;
    let mut shape = shape?;
    let [begin, end] = range?.try_into().ok()?;
    let length_bytes = end.checked_sub(begin)?;
    let (element, width_bits) = element(&dtype?);
    let count = shape.iter().try_fold(1_u64, |product, dimension| product.checked_mul(*dimension))?;
    if let Some(bits) = width_bits
        && count.checked_mul(bits)?.div_ceil(8) != length_bytes
    {
        return None;
    }
    if width_bits.is_some_and(|bits| bits == 2 * 8 * u64::from(element.width_bytes())) {
        // A complex number is two elements next to each other.
        shape.push(2);
    }
    Some(Tensor { name, element, shape, offset: data_begin.checked_add(begin)?, length_bytes })
}

fn numbers(json: &mut Json, count_max: usize) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    json.array(|json| {
        numbers.push(json.unsigned()?);
        (numbers.len() <= count_max).then_some(())
    })?;
    Some(numbers)
}

/// Returns the element of a dtype and the bits of one value; no bits where the dtype is not known.
fn element(dtype: &[u8]) -> (Element, Option<u64>) {
    let integer = |width_bytes| Element::Integer { width_bytes };
    let (element, bits) = match dtype {
        b"BF16" => (Element::Bf16, 16),
        b"F16" => (Element::F16, 16),
        b"F32" => (Element::F32, 32),
        b"F64" => (Element::F64, 64),
        b"C64" => (Element::F32, 64),
        b"I8" | b"U8" | b"BOOL" => (integer(1), 8),
        b"I16" | b"U16" => (integer(2), 16),
        b"I32" | b"U32" => (integer(4), 32),
        b"I64" | b"U64" => (integer(8), 64),
        b"F4" => (Element::Bytes, 4),
        b"F6_E2M3" | b"F6_E3M2" => (Element::Bytes, 6),
        _ if dtype.starts_with(b"F8_") => (Element::F8, 8),
        _ => return (Element::Bytes, None),
    };
    (element, Some(bits))
}
