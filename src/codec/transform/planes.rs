//! The planes transform: bytes of equal significance stand together.

use super::Grid;

/// Writes the planes of `body` into `planes`, which is as long: plane 0 (the lowest byte of the rotated
/// elements) first. `width` is 1, 2, 4 or 8, and `body` is whole elements.
pub(in crate::codec) fn split(body: &[u8], width: usize, rotate: u32, planes: &mut [u8]) {
    let count = body.len() / width;
    match width {
        1 => {
            for (out, byte) in planes.iter_mut().zip(body) {
                *out = byte.rotate_left(rotate);
            }
        }
        2 => {
            let (low, high) = planes.split_at_mut(count);
            for ((element, low), high) in body.as_chunks().0.iter().zip(low).zip(high) {
                [*low, *high] = u16::from_le_bytes(*element).rotate_left(rotate).to_le_bytes();
            }
        }
        4 => {
            let mut words = [0; STEP];
            for (step, elements) in body.as_chunks().0.chunks(STEP).enumerate() {
                for (word, element) in words.iter_mut().zip(elements) {
                    *word = u32::from_le_bytes(*element).rotate_left(rotate);
                }
                spread(&words[..elements.len()], planes, count, step * STEP);
            }
        }
        _ => {
            let (mut low, mut high) = ([0; STEP], [0; STEP]);
            let (low_planes, high_planes) = planes.split_at_mut(4 * count);
            for (step, elements) in body.as_chunks().0.chunks(STEP).enumerate() {
                for ((low, high), element) in low.iter_mut().zip(&mut high).zip(elements) {
                    let rotated = u64::from_le_bytes(*element).rotate_left(rotate);
                    let [a, b, c, d, e, f, g, h] = rotated.to_le_bytes();
                    (*low, *high) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
                }
                spread(&low[..elements.len()], low_planes, count, step * STEP);
                spread(&high[..elements.len()], high_planes, count, step * STEP);
            }
        }
    }
}

/// Elements whose bytes are sorted at a time, plane by plane: one loop over four planes is twice as slow.
const STEP: usize = 128;

/// Writes the bytes of `words`, which begin with element `at`, into four planes of `count` bytes.
fn spread(words: &[u32], planes: &mut [u8], count: usize, at: usize) {
    for place in 0..4 {
        let plane = &mut planes[place * count + at..][..words.len()];
        for (byte, word) in plane.iter_mut().zip(words) {
            [*byte, ..] = (word >> (8 * place)).to_le_bytes();
        }
    }
}

/// Undoes [`split`]: `planes` are `width` slices (1, 2, 4 or 8) of one length, `body` has room for exactly
/// their elements.
pub(in crate::codec) fn merge(planes: &[&[u8]], rotate: u32, body: &mut [u8]) {
    match planes {
        [plane] => {
            for (out, byte) in body.iter_mut().zip(*plane) {
                *out = byte.rotate_right(rotate);
            }
        }
        [low, high] => {
            for ((element, low), high) in body.as_chunks_mut().0.iter_mut().zip(*low).zip(*high) {
                *element = u16::from_le_bytes([*low, *high]).rotate_right(rotate).to_le_bytes();
            }
        }
        [p0, p1, p2, p3] => {
            let quads = p0.iter().zip(*p1).zip(p2.iter().zip(*p3));
            for (element, ((a, b), (c, d))) in body.as_chunks_mut().0.iter_mut().zip(quads) {
                *element = u32::from_le_bytes([*a, *b, *c, *d]).rotate_right(rotate).to_le_bytes();
            }
        }
        [p0, p1, p2, p3, p4, p5, p6, p7] => {
            let low = p0.iter().zip(*p1).zip(p2.iter().zip(*p3));
            let high = p4.iter().zip(*p5).zip(p6.iter().zip(*p7));
            let octets = low.zip(high);
            for (element, (((a, b), (c, d)), ((e, f), (g, h)))) in
                body.as_chunks_mut().0.iter_mut().zip(octets)
            {
                let rotated = u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                *element = rotated.rotate_right(rotate).to_le_bytes();
            }
        }
        _ => {}
    }
}

/// Writes the parts of `data` into `parts`, which is as long, and returns their lengths: the planes, then
/// what lies outside of whole elements.
pub(in crate::codec) fn split_block(data: &[u8], grid: Grid, rotate: u32, parts: &mut [u8]) -> Vec<usize> {
    let (planes, rest) = parts.split_at_mut(grid.body_bytes());
    split(grid.cut(data).1, grid.width, rotate, planes);
    grid.copy_rest(data, rest);
    lengths(data.len(), grid)
}

/// Returns the lengths of the parts of `raw_bytes` bytes.
pub(in crate::codec) fn lengths(raw_bytes: usize, grid: Grid) -> Vec<usize> {
    let mut lengths = vec![grid.count; grid.width];
    lengths.push(raw_bytes - grid.body_bytes());
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merged_planes_are_the_raw_bytes(
            raw in proptest::collection::vec(any::<u8>(), 0..3000),
            width in proptest::sample::select(vec![1_usize, 2, 4, 8]),
            rotate in 0_u32..8,
            lead in 0_usize..8,
        ) {
            let grid = Grid::new(raw.len(), width, lead.min(width - 1).min(raw.len())).unwrap();
            let mut parts = vec![0xee; raw.len()];
            let lengths = split_block(&raw, grid, rotate, &mut parts);
            prop_assert_eq!(lengths.iter().sum::<usize>(), raw.len());
            let number = |element: &[u8]| {
                element.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
            };
            for (at, element) in grid.cut(&raw).1.chunks(width).enumerate() {
                let bits = u32::try_from(8 * width).unwrap();
                let whole = number(element);
                let rotated = whole << rotate | whole >> (bits - rotate).min(63) & ((1 << rotate) - 1);
                for (place, byte) in rotated.to_le_bytes()[..width].iter().enumerate() {
                    prop_assert_eq!(parts[place * grid.count + at], *byte);
                }
            }
            let (body, rest) = parts.split_at(grid.body_bytes());
            let planes: Vec<&[u8]> = (0..width).map(|k| &body[k * grid.count..][..grid.count]).collect();
            let mut merged = vec![0xdd; raw.len()];
            merge(&planes, rotate, grid.place_rest(rest, &mut merged));
            prop_assert_eq!(merged, raw);
        }
    }

    #[test]
    fn the_top_plane_of_rotated_bf16_is_the_exponent() {
        let value: u16 = 0b1011_1111_0000_0101;
        let mut planes = [0; 2];
        split(&value.to_le_bytes(), 2, 1, &mut planes);
        assert_eq!(planes, [0b0000_1011, 0b0111_1110]);
    }
}
