//! npy, versions 1 to 3: a header with a Python dictionary as text, then one array.

use super::read::Fields;
use super::{Element, ReadAt, Tensor};

/// The first bytes.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest dictionary.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// Most dimensions: numpy's own limit is 64.
const DIMENSIONS_MAX: usize = 64;

/// Returns the array.
pub(super) fn tensors(source: &dyn ReadAt) -> Option<Vec<Tensor>> {
    Some(vec![array(source, 0, u64::MAX, Vec::new())?])
}

/// Returns the array of the npy file from `begin` on, which ends at `end` at the latest.
pub(super) fn array(source: &dyn ReadAt, begin: u64, end: u64, name: Vec<u8>) -> Option<Tensor> {
    let mut fields = Fields::new(source, begin, end, HEADER_BYTES_MAX + 16);
    let magic: [u8; MAGIC.len()] = fields.take()?;
    (magic == *MAGIC).then_some(())?;
    let [major, _] = fields.take()?;
    let length = match major {
        1 => u64::from(fields.u16()?),
        2 | 3 => u64::from(fields.u32()?),
        _ => return None,
    };
    let header = fields.bytes(length, HEADER_BYTES_MAX)?;
    let Header { element, shape, length_bytes } = header_of(&header)?;
    let offset = fields.position();
    (offset.checked_add(length_bytes)? <= end).then_some(())?;
    Some(Tensor { name, element, shape, offset, length_bytes })
}

struct Header {
    element: Element,
    shape: Vec<u64>,
    length_bytes: u64,
}

/// Returns the value of a key, up to the end of the dictionary. Texts in it have no quotes inside, as numpy
/// writes them, but for the names of fields, which are not looked at.
fn value<'a>(header: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = header.windows(key.len()).position(|window| window == key)?;
    let rest = header.get(at + key.len()..)?.trim_ascii_start();
    Some(rest.strip_prefix(b":")?.trim_ascii_start())
}

fn header_of(header: &[u8]) -> Option<Header> {
    let descr = value(header, b"'descr'")?.strip_prefix(b"'")?;
    let descr = descr.split(|byte| *byte == b'\'').next()?;
    let is_fortran = value(header, b"'fortran_order'")?.starts_with(b"True");
    let text = value(header, b"'shape'")?.strip_prefix(b"(")?;
    let text = text.split(|byte| *byte == b')').next()?;
    let mut shape = Vec::new();
    for dimension in text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if !dimension.is_empty() {
            shape.push(number(dimension)?);
            (shape.len() <= DIMENSIONS_MAX).then_some(())?;
        }
    }
    if is_fortran {
        shape.reverse();
    }
    let [order, kind, width @ ..] = descr else { return None };
    // Units of time stand behind the width.
    let width_bytes = number(width.split(|byte| *byte == b'[').next()?)?;
    let element = element(*order, *kind, width_bytes);
    let count = shape.iter().try_fold(1_u64, |product, dimension| product.checked_mul(*dimension))?;
    let length_bytes = count.checked_mul(match kind {
        // Text of four bytes a letter.
        b'U' => width_bytes.checked_mul(4)?,
        _ => width_bytes,
    })?;
    if *kind == b'c' && element != Element::Bytes {
        // A complex number is two elements next to each other.
        shape.push(2);
    }
    Some(Header { element, shape, length_bytes })
}

/// Returns a decimal number; numpy of Python 2 wrote an `L` behind it.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.strip_suffix(b"L").unwrap_or(text);
    let is_plain = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_plain)?.parse().ok()
}

/// Returns the element of a kind and width; only little-endian ones are more than bytes.
fn element(order: u8, kind: u8, width_bytes: u64) -> Element {
    match (order, kind, width_bytes) {
        (b'|', b'b' | b'i' | b'u', 1) => Element::Integer { width_bytes: 1 },
        (b'<', b'f', 2) => Element::F16,
        (b'<', b'f', 4) | (b'<', b'c', 8) => Element::F32,
        (b'<', b'f', 8) | (b'<', b'c', 16) => Element::F64,
        (b'<', b'i' | b'u' | b'm' | b'M', 2 | 4 | 8) => Element::Integer { width_bytes: width_bytes as u8 },
        _ => Element::Bytes,
    }
}
