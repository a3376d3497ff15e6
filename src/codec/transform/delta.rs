//! The delta transform: differences of integers, for lists that ascend for the most part.
//!
//! A difference `d` is stored as `d << 1 ^ d >> (bits - 1)` (arithmetic shift), so that a small step back is
//! a small number too and the upper planes of a sorted list are constant.

use super::Grid;
use super::planes;

/// Writes the parts of `data` into `parts`, which is as long, and returns their lengths: the planes of the
/// differences, then what lies outside of whole elements. The grid's width is 4 or 8.
pub(in crate::codec) fn split_block(data: &[u8], grid: Grid, parts: &mut [u8]) -> Vec<usize> {
    let mut differences = Vec::with_capacity(grid.body_bytes());
    let body = grid.cut(data).1;
    if grid.width == 4 {
        let mut before = 0_i32;
        for element in body.as_chunks().0 {
            let value = i32::from_le_bytes(*element);
            let step = value.wrapping_sub(before);
            differences.extend_from_slice(&(step << 1 ^ step >> 31).to_le_bytes());
            before = value;
        }
    } else {
        let mut before = 0_i64;
        for element in body.as_chunks().0 {
            let value = i64::from_le_bytes(*element);
            let step = value.wrapping_sub(before);
            differences.extend_from_slice(&(step << 1 ^ step >> 63).to_le_bytes());
            before = value;
        }
    }
    let (planes, rest) = parts.split_at_mut(grid.body_bytes());
    planes::split(&differences, grid.width, 0, planes);
    grid.copy_rest(data, rest);
    planes::lengths(data.len(), grid)
}

/// Undoes the differences in `body`: elements of `width` bytes, 4 or 8, as the merged planes give them.
pub(in crate::codec) fn accumulate(body: &mut [u8], width: usize) {
    if width == 4 {
        let mut value = 0_u32;
        for element in body.as_chunks_mut().0 {
            let mark = u32::from_le_bytes(*element);
            value = value.wrapping_add(mark >> 1 ^ (mark & 1).wrapping_neg());
            *element = value.to_le_bytes();
        }
    } else {
        let mut value = 0_u64;
        for element in body.as_chunks_mut().0 {
            let mark = u64::from_le_bytes(*element);
            value = value.wrapping_add(mark >> 1 ^ (mark & 1).wrapping_neg());
            *element = value.to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_in_both_directions_are_small_and_extremes_come_back() {
        let values: [i64; 7] = [5, 6, 4, i64::MIN, i64::MAX, -1, 0];
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let grid = Grid::new(raw.len(), 8, 0).unwrap();
        let mut parts = vec![0; raw.len()];
        split_block(&raw, grid, &mut parts);
        assert_eq!(parts[..3], [10, 2, 3]);
        let planes: Vec<&[u8]> = parts.chunks_exact(7).collect();
        let mut merged = vec![0; raw.len()];
        planes::merge(&planes, 0, &mut merged);
        accumulate(&mut merged, 8);
        assert_eq!(merged, raw);
    }
}
