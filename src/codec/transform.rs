//! The planes transform: bytes of equal significance stand together.

/// Splits `raw` into `width` planes and the bytes outside of whole elements.
///
/// The result has `width + 1` parts: plane 0 (lowest byte of the rotated elements) to plane `width - 1`, then
/// `raw[..lead]` and the bytes behind the last whole element. `width` is 2, 4 or 8; `lead` is below it and at
/// most the length of `raw`.
pub fn split_planes(raw: &[u8], width: usize, rotate: u32, lead: usize) -> Vec<Vec<u8>> {
    let (head, rest) = raw.split_at(lead.min(raw.len()));
    let count = rest.len() / width;
    let (body, tail) = rest.split_at(count * width);
    let mut parts: Vec<Vec<u8>> = (0..width).map(|_| vec![0; count]).collect();
    match (width, parts.as_mut_slice()) {
        (2, [low, high]) => {
            for (at, element) in body.chunks_exact(2).enumerate() {
                let value = u16::from_le_bytes([element[0], element[1]]).rotate_left(rotate);
                [low[at], high[at]] = value.to_le_bytes();
            }
        }
        (4, [p0, p1, p2, p3]) => {
            for (at, element) in body.chunks_exact(4).enumerate() {
                let value = u32::from_le_bytes([element[0], element[1], element[2], element[3]]);
                [p0[at], p1[at], p2[at], p3[at]] = value.rotate_left(rotate).to_le_bytes();
            }
        }
        (_, planes) => {
            for (at, element) in body.chunks_exact(width).enumerate() {
                let mut wide = [0; 8];
                wide[..width].copy_from_slice(element);
                let bytes = u64::from_le_bytes(wide).rotate_left(rotate).to_le_bytes();
                for (plane, byte) in planes.iter_mut().zip(bytes) {
                    plane[at] = byte;
                }
            }
        }
    }
    parts.push([head, tail].concat());
    parts
}

/// Undoes [`split_planes`]; `None` when the parts do not fit each other.
pub fn merge_planes(
    parts: &[Vec<u8>],
    width: usize,
    rotate: u32,
    lead: usize,
    raw_bytes: usize,
) -> Option<Vec<u8>> {
    let (rest, planes) = parts.split_last()?;
    let count = raw_bytes.checked_sub(lead)? / width;
    let fits = planes.len() == width
        && planes.iter().all(|plane| plane.len() == count)
        && rest.len() == raw_bytes - count * width;
    if !fits {
        return None;
    }
    let mut raw = vec![0; raw_bytes];
    let (head, tail) = rest.split_at(lead);
    raw[..lead].copy_from_slice(head);
    let body = &mut raw[lead..lead + count * width];
    match (width, planes) {
        (2, [low, high]) => {
            for ((element, low), high) in body.chunks_exact_mut(2).zip(low).zip(high) {
                let value = u16::from_le_bytes([*low, *high]).rotate_right(rotate);
                element.copy_from_slice(&value.to_le_bytes());
            }
        }
        (4, [p0, p1, p2, p3]) => {
            let quads = p0.iter().zip(p1).zip(p2.iter().zip(p3));
            for (element, ((a, b), (c, d))) in body.chunks_exact_mut(4).zip(quads) {
                let value = u32::from_le_bytes([*a, *b, *c, *d]).rotate_right(rotate);
                element.copy_from_slice(&value.to_le_bytes());
            }
        }
        _ => {
            for (at, element) in body.chunks_exact_mut(width).enumerate() {
                let mut wide = [0; 8];
                for (byte, plane) in wide.iter_mut().zip(planes) {
                    *byte = plane[at];
                }
                let bytes = u64::from_le_bytes(wide).rotate_right(rotate).to_le_bytes();
                element.copy_from_slice(&bytes[..width]);
            }
        }
    }
    raw[lead + count * width..].copy_from_slice(tail);
    Some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merged_planes_are_the_raw_bytes(
            raw in proptest::collection::vec(any::<u8>(), 0..300),
            width in proptest::sample::select(vec![2_usize, 4, 8]),
            rotate in 0_u32..16,
            lead in 0_usize..8,
        ) {
            let lead = lead.min(width - 1).min(raw.len());
            let parts = split_planes(&raw, width, rotate, lead);
            prop_assert_eq!(parts.len(), width + 1);
            prop_assert_eq!(merge_planes(&parts, width, rotate, lead, raw.len()), Some(raw.clone()));
            prop_assert_eq!(merge_planes(&parts[1..], width, rotate, lead, raw.len()), None);
        }
    }

    #[test]
    fn the_top_plane_of_rotated_bf16_is_the_exponent() {
        let value: u16 = 0b1011_1111_0000_0101;
        let parts = split_planes(&value.to_le_bytes(), 2, 1, 0);
        assert_eq!(parts[1], [0b0111_1110]);
        assert_eq!(parts[0], [0b0000_1011]);
    }
}
