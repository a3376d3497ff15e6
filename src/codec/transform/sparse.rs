//! The sparse transform: where elements differ from zero, and those elements alone.

use super::Grid;
use super::planes;

/// A code below this one says how many zeros stand before an element that is none; code `ESCAPE + k` stands
/// for `ESCAPE << k` zeros.
const ESCAPE: usize = 240;
/// Escapes are `ESCAPE` to `ESCAPE + ESCAPE_SHIFT_MAX`.
const ESCAPE_SHIFT_MAX: usize = 15;
/// Bytes in which the first part says how many codes there are.
pub(in crate::codec) const COUNT_BYTES: usize = 4;

/// Returns the greatest number of codes for `elements` elements.
pub(in crate::codec) fn codes_max(elements: usize) -> usize {
    elements + elements / ESCAPE
}

/// Returns the room that the parts of `raw_bytes` bytes may need.
pub(in crate::codec) fn room(raw_bytes: usize, grid: Grid) -> usize {
    COUNT_BYTES + raw_bytes + codes_max(grid.count)
}

/// Writes the parts of `data` into `parts`, which has [`room`] for them, and returns their lengths: the
/// number of codes and what lies outside of whole elements; the codes; the planes of the elements that are
/// not zero. `None` where there are too many codes for the field.
pub(in crate::codec) fn split_block(
    data: &[u8],
    grid: Grid,
    rotate: u32,
    parts: &mut [u8],
) -> Option<Vec<usize>> {
    let body = grid.cut(data).1;
    let (codes, elements) = gather_of(body, grid.width);
    let rest_bytes = data.len() - grid.body_bytes();
    let (count, after) = parts.split_at_mut(COUNT_BYTES);
    let (rest, after) = after.split_at_mut(rest_bytes);
    let (gaps, after) = after.split_at_mut(codes.len());
    count.copy_from_slice(&u32::try_from(codes.len()).ok()?.to_le_bytes());
    grid.copy_rest(data, rest);
    gaps.copy_from_slice(&codes);
    planes::split(&elements, grid.width, rotate, &mut after[..elements.len()]);
    let mut lengths = vec![COUNT_BYTES + rest_bytes, codes.len()];
    lengths.extend(vec![elements.len() / grid.width; grid.width]);
    Some(lengths)
}

/// Returns the codes of the gaps, and the elements that are not zero.
fn gather<const WIDTH: usize>(body: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut codes, mut elements) = (Vec::new(), Vec::new());
    let mut rest = body.as_chunks::<WIDTH>().0;
    while let Some(gap) = rest.iter().position(|element| *element != [0; WIDTH]) {
        let above = gap / ESCAPE;
        if above > 0 {
            let shifts = (0..=ESCAPE_SHIFT_MAX).rev().filter(|shift| above >> shift & 1 == 1);
            codes.extend(shifts.filter_map(|shift| u8::try_from(ESCAPE + shift).ok()));
        }
        codes.extend(u8::try_from(gap % ESCAPE));
        elements.extend_from_slice(&rest[gap]);
        rest = &rest[gap + 1..];
    }
    (codes, elements)
}

/// Returns the elements of `body` that are not zero, one after the other.
pub(in crate::codec) fn elements(body: &[u8], width: usize) -> Vec<u8> {
    gather_of(body, width).1
}

fn gather_of(body: &[u8], width: usize) -> (Vec<u8>, Vec<u8>) {
    match width {
        1 => gather::<1>(body),
        2 => gather::<2>(body),
        4 => gather::<4>(body),
        _ => gather::<8>(body),
    }
}

/// Returns how many elements `codes` place; `None` unless the last code places one, and all lie within
/// `count` elements.
pub(in crate::codec) fn placed(codes: &[u8], count: usize) -> Option<usize> {
    let (mut at, mut placed) = (0_usize, 0_usize);
    for code in codes {
        let code = usize::from(*code);
        if code < ESCAPE {
            at = at.checked_add(code + 1)?;
            placed += 1;
        } else {
            at = at.checked_add(ESCAPE << (code - ESCAPE))?;
        }
        if at > count {
            return None;
        }
    }
    let ended = codes.last().is_none_or(|code| usize::from(*code) < ESCAPE);
    ended.then_some(placed)
}

/// Writes `elements` where `codes`, which [`placed`] has counted, put them, and zeros elsewhere.
pub(in crate::codec) fn scatter(codes: &[u8], elements: &[u8], width: usize, body: &mut [u8]) {
    body.fill(0);
    match width {
        1 => scatter_of::<1>(codes, elements, body),
        2 => scatter_of::<2>(codes, elements, body),
        4 => scatter_of::<4>(codes, elements, body),
        _ => scatter_of::<8>(codes, elements, body),
    }
}

fn scatter_of<const WIDTH: usize>(codes: &[u8], elements: &[u8], body: &mut [u8]) {
    let mut elements = elements.as_chunks::<WIDTH>().0.iter();
    let places = body.as_chunks_mut::<WIDTH>().0;
    let mut at = 0;
    for code in codes {
        let code = usize::from(*code);
        if code >= ESCAPE {
            at += ESCAPE << (code - ESCAPE);
            continue;
        }
        at += code;
        if let (Some(place), Some(element)) = (places.get_mut(at), elements.next()) {
            *place = *element;
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_of_every_length_are_placed_where_they_were() {
        for gap in [0, 1, 239, 240, 241, 479, 480, 719, 720, 10_000, 524_287, 1_000_000] {
            let mut body = vec![0; gap + 2];
            body[gap] = 9;
            let (codes, elements) = gather::<1>(&body);
            assert_eq!((placed(&codes, body.len()), elements.as_slice()), (Some(1), [9].as_slice()), "{gap}");
            assert_eq!(placed(&codes, gap), None);
            assert!(codes.len() <= 14);
            let mut out = vec![0; body.len()];
            scatter(&codes, &elements, 1, &mut out);
            assert_eq!(out, body, "{gap}");
        }
    }

    #[test]
    fn codes_that_end_in_an_escape_or_beyond_the_end_are_refused() {
        assert_eq!(placed(&[], 0), Some(0));
        assert_eq!(placed(&[240], 1000), None);
        assert_eq!(placed(&[0, 241], 1000), None);
        assert_eq!(placed(&[0, 0], 1), None);
        assert_eq!(placed(&[255; 1000], 1 << 20), None);
        assert_eq!(placed(&[240, 3], 244), Some(1));
    }
}
