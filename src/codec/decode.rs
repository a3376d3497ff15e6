//! Coded blocks back to plaintext; nothing in them is trusted.

use super::CodecError;
use super::block::{
    Base, BaseUse, HEAD_BYTES, IDENTITY, PART_BYTES, PLANES, RECORDS, SPARSE, Shape, require_bounds,
};
use super::coder;
use super::rans::Contexts;
use super::scratch;
use super::transform::{Grid, delta, planes, records, sparse};
use crate::base::limits::BLOCK_RAW_MAX_BYTES;

/// Returns the plaintext of a coded block, which must have `raw_bytes` bytes; `base` is empty without bases.
pub fn decode(coded: &[u8], raw_bytes: usize, base: &[u8]) -> Result<Vec<u8>, CodecError> {
    // Before memory is taken for what the caller believes.
    if u64::try_from(raw_bytes).is_ok_and(|length| length > BLOCK_RAW_MAX_BYTES) {
        return Err(CodecError::invalid("raw length"));
    }
    let mut raw = vec![0; raw_bytes];
    decode_into(coded, base, &mut raw)?;
    Ok(raw)
}

/// Writes the plaintext of a coded block into `raw`, which must be as long; `base` is empty without bases.
/// After an error the content of `raw` is unspecified.
pub fn decode_into(coded: &[u8], base: &[u8], raw: &mut [u8]) -> Result<(), CodecError> {
    let raw_bytes = raw.len();
    let (head, rest) = coded.split_first_chunk::<HEAD_BYTES>().ok_or(CodecError::invalid("head"))?;
    let [transform, width, rotate, lead, base_number, s0, s1, s2, l0, l1, l2, l3] = *head;
    if usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])) != Ok(raw_bytes) {
        return Err(CodecError::invalid("raw length"));
    }
    let use_ = match base_number {
        0 => BaseUse::None,
        1 => BaseUse::Prefix,
        2 => BaseUse::Xor,
        number => return Err(CodecError::Unknown { what: "base use", number }),
    };
    let skip = u32::from_le_bytes([s0, s1, s2, 0]);
    let skip = usize::try_from(skip).map_err(|_| CodecError::invalid("base skip"))?;
    let base = Base { use_, bytes: base, skip };
    require_bounds(raw_bytes, base)?;
    let shape = Shape { transform, width, rotate, lead };
    let grid = shape.grid(raw_bytes)?;
    match (use_, transform) {
        (BaseUse::Prefix, IDENTITY) => decode_whole(rest, Some(base.bytes), raw)?,
        (BaseUse::Prefix, _) => return Err(CodecError::invalid("transform with a prefix")),
        (_, IDENTITY) => decode_whole(rest, None, raw)?,
        _ => decode_parts(rest, shape, grid, raw)?,
    }
    if use_ == BaseUse::Xor {
        scratch::xor(raw, &base.bytes[base.skip..]);
    }
    Ok(())
}

/// Returns the byte of the base that belongs to the first byte of a coded block that was mixed with it;
/// `None` for other blocks.
pub fn mixing_skip(coded: &[u8]) -> Option<usize> {
    let [_, _, _, _, base_number, s0, s1, s2, ..] = *coded.first_chunk::<HEAD_BYTES>()?;
    let skip = usize::try_from(u32::from_le_bytes([s0, s1, s2, 0])).ok()?;
    (base_number == 2).then_some(skip)
}

fn decode_whole(rest: &[u8], prefix: Option<&[u8]>, raw: &mut [u8]) -> Result<(), CodecError> {
    let (number, coded) = Parts::new(rest, 1, &mut [])?.next_coded()?;
    if prefix.is_some() && number != coder::ZSTD {
        return Err(CodecError::invalid("coder with a prefix"));
    }
    match number {
        coder::RAW if coded.len() == raw.len() => raw.copy_from_slice(coded),
        coder::RAW => return Err(CodecError::invalid("part length")),
        _ => drop(coder::decode_part(number, coded, prefix, None, raw)?),
    }
    Ok(())
}

fn decode_parts(rest: &[u8], shape: Shape, grid: Grid, raw: &mut [u8]) -> Result<(), CodecError> {
    let raw_bytes = raw.len();
    match shape.transform {
        SPARSE => scratch::with_parts(sparse::room(raw_bytes, grid), |room| {
            let mut parts = Parts::new(rest, 2 + grid.width, room)?;
            decode_sparse(&mut parts, shape, grid, raw)
        }),
        RECORDS => {
            let layout = shape.layout()?;
            scratch::with_parts(layout.room(raw_bytes, grid), |room| {
                let lengths = layout.lengths(raw_bytes, grid);
                let decoded = decode_fields(Parts::new(rest, lengths.len(), room)?, layout, &lengths)?;
                let (outside, fields) = decoded.split_last().ok_or(CodecError::invalid("part table"))?;
                let fits = layout.merge(fields, grid.place_rest(outside, raw));
                if fits { Ok(()) } else { Err(CodecError::invalid("field of a record")) }
            })
        }
        _ => {
            let lengths = planes::lengths(raw_bytes, grid);
            scratch::with_parts(raw_bytes, |room| {
                let decoded = Parts::new(rest, lengths.len(), room)?.all(&lengths)?;
                let (outside, elements) = decoded.split_last().ok_or(CodecError::invalid("part table"))?;
                let body = grid.place_rest(outside, raw);
                planes::merge(elements, u32::from(shape.rotate), body);
                if shape.transform != PLANES {
                    delta::accumulate(body, grid.width);
                }
                Ok(())
            })
        }
    }
}

/// Returns the parts of a block of records: first those that lean on no other.
fn decode_fields<'a>(
    mut parts: Parts<'a>,
    layout: records::Layout,
    lengths: &[usize],
) -> Result<Vec<&'a [u8]>, CodecError> {
    let mut rooms = records::cut_mut(std::mem::take(&mut parts.room), lengths);
    let coded: Vec<_> = lengths.iter().map(|_| parts.next_coded()).collect::<Result<_, _>>()?;
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|part| layout.leaning(*part));
    let mut decoded: Vec<&[u8]> = vec![&[]; lengths.len()];
    for part in order {
        let (number, coded) = coded[part];
        let leaned = if number == coder::RANS { layout.contexts(part, &decoded) } else { None };
        let contexts = leaned.as_ref().map(|(bytes, run)| Contexts { bytes, run: *run });
        decoded[part] = coder::decode_part(number, coded, None, contexts, std::mem::take(&mut rooms[part]))?;
    }
    Ok(decoded)
}

fn decode_sparse(parts: &mut Parts, shape: Shape, grid: Grid, raw: &mut [u8]) -> Result<(), CodecError> {
    let wrong = || CodecError::invalid("gap");
    let first = parts.next(sparse::COUNT_BYTES + raw.len() - grid.body_bytes())?;
    let (count, outside) = first.split_first_chunk::<{ sparse::COUNT_BYTES }>().ok_or_else(wrong)?;
    let codes = usize::try_from(u32::from_le_bytes(*count)).map_err(|_| wrong())?;
    if codes > sparse::codes_max(grid.count) {
        return Err(wrong());
    }
    let codes = parts.next(codes)?;
    let placed = sparse::placed(codes, grid.count).ok_or_else(wrong)?;
    let elements = parts.all(&vec![placed; grid.width])?;
    let mut dense = vec![0; placed * grid.width];
    planes::merge(&elements, u32::from(shape.rotate), &mut dense);
    sparse::scatter(codes, &dense, grid.width, grid.place_rest(outside, raw));
    Ok(())
}

/// The parts of a block, taken one after the other.
struct Parts<'a> {
    /// Coder and coded length of each part that is left.
    table: &'a [u8],
    /// Their coded bytes.
    body: &'a [u8],
    /// Room for those that need decoding.
    room: &'a mut [u8],
}

impl<'a> Parts<'a> {
    /// Takes the table of `count` parts off `rest`; the rest must be as long as the table says.
    fn new(rest: &'a [u8], count: usize, room: &'a mut [u8]) -> Result<Self, CodecError> {
        let wrong = || CodecError::invalid("part table");
        let (table, body) = rest.split_at_checked(PART_BYTES * count).ok_or_else(wrong)?;
        let lengths = table.as_chunks::<PART_BYTES>().0.iter();
        let total: u64 = lengths.map(|[_, length @ ..]| u64::from(u32::from_le_bytes(*length))).sum();
        if u64::try_from(body.len()) == Ok(total) { Ok(Self { table, body, room }) } else { Err(wrong()) }
    }

    /// Returns the next part as coded, and the number of its coder.
    fn next_coded(&mut self) -> Result<(u8, &'a [u8]), CodecError> {
        let wrong = || CodecError::invalid("part table");
        let ([number, length @ ..], table) =
            self.table.split_first_chunk::<PART_BYTES>().ok_or_else(wrong)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| wrong())?;
        let (coded, body) = self.body.split_at_checked(length).ok_or_else(wrong)?;
        (self.table, self.body) = (table, body);
        Ok((*number, coded))
    }

    /// Returns the next part, which has `part_bytes` bytes.
    fn next(&mut self, part_bytes: usize) -> Result<&'a [u8], CodecError> {
        let (number, coded) = self.next_coded()?;
        let room = std::mem::take(&mut self.room);
        let (room, after) =
            room.split_at_mut_checked(part_bytes).ok_or(CodecError::invalid("part length"))?;
        self.room = after;
        coder::decode_part(number, coded, None, None, room)
    }

    /// Returns the next parts, which have these lengths.
    fn all(&mut self, lengths: &[usize]) -> Result<Vec<&'a [u8]>, CodecError> {
        lengths.iter().map(|length| self.next(*length)).collect()
    }
}
