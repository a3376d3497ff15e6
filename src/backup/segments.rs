//! Where a file is cut before its content says so: at the tensors of a container.
//!
//! A tensor is cut from its own first byte, at whole elements. So it meets itself in another container, in
//! another order of tensors, and as part of a longer or resharded one.

use crate::codec::Hint;
use crate::container::Layout;

/// Shorter tensors are cut along with what is around them: as chunks of their own they would cost more than
/// they could save.
const TENSOR_MIN_BYTES: u64 = 4 << 10;

/// Where a chunk lies in the tensors of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the tensor in the layout.
    pub(super) tensor: usize,
    /// Where the chunk begins in it, in bytes.
    pub(super) offset: u64,
}

/// A stretch that is cut by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    start: u64,
    /// Where it ends; none for the rest of the file.
    pub(super) end: Option<u64>,
    /// What its bytes are.
    pub(super) hint: Hint,
    /// Cuts are multiples of this from its start.
    width_bytes: usize,
    tensor: Option<usize>,
}

impl Segment {
    /// Returns the place of a chunk that begins at `offset` of the file.
    pub(super) fn place(&self, offset: u64) -> Option<Place> {
        self.tensor.map(|tensor| Place { tensor, offset: offset - self.start })
    }

    /// Returns how many bytes behind `offset` the next whole element begins; `None` where there are none.
    pub(super) fn distance_to_element(&self, offset: u64) -> Option<usize> {
        let width = u64::try_from(self.width_bytes).ok()?;
        let distance = (width - offset.checked_sub(self.start)? % width) % width;
        self.tensor.and(usize::try_from(distance).ok())
    }

    /// Tells whether a chunk of `length` bytes from `start` on can have been cut here by its content: whole
    /// elements, none of them behind the end.
    pub(super) fn may_hold(&self, start: u64, length: usize) -> bool {
        let left = self.end.map_or(u64::MAX, |end| end.saturating_sub(start));
        match u64::try_from(length) {
            Ok(bytes) if bytes < left => self.aligned(length) == length,
            Ok(bytes) => bytes == left,
            Err(_) => false,
        }
    }

    /// Tells whether nothing behind a chunk of `length` bytes from `start` on has a say in where it ends.
    pub(super) fn ends_alone(&self, start: u64, length: usize) -> bool {
        let end = u64::try_from(length).ok().and_then(|length| start.checked_add(length));
        self.width_bytes == 1 || (end.is_some() && end == self.end)
    }

    /// Returns the length of the chunk that the content would end after `length` bytes, at a whole element.
    pub(super) fn aligned(&self, length: usize) -> usize {
        match length - length % self.width_bytes {
            0 => length,
            aligned => aligned,
        }
    }
}

/// The segments of one file, in order, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segments {
    hint: Hint,
    list: Vec<Segment>,
}

impl Segments {
    /// Returns the one segment of a file without layout.
    pub(super) fn whole(hint: Hint) -> Self {
        Self { hint, list: Vec::new() }
    }

    /// Returns the segments of a container: its longer tensors, and what is between them.
    pub(super) fn of(layout: &Layout) -> Self {
        let mut list: Vec<Segment> = Vec::new();
        let mut at = 0;
        for (number, tensor) in layout.tensors.iter().enumerate() {
            let Some(end) = tensor.end() else { break };
            if tensor.length_bytes < TENSOR_MIN_BYTES || tensor.offset < at {
                continue;
            }
            if tensor.offset > at {
                list.push(between(at, Some(tensor.offset)));
            }
            list.push(Segment {
                start: tensor.offset,
                end: Some(end),
                hint: Hint::Elements(tensor.element),
                width_bytes: usize::try_from(tensor.element.width_bytes()).unwrap_or(1).max(1),
                tensor: Some(number),
            });
            at = end;
        }
        Self { hint: Hint::Unknown, list }
    }

    /// Returns the segment that holds the byte at `offset`.
    pub(super) fn at(&self, offset: u64) -> Segment {
        let after = self.list.partition_point(|segment| segment.start <= offset);
        let segment = after.checked_sub(1).and_then(|at| self.list.get(at));
        match segment {
            Some(segment) if segment.end.is_some_and(|end| offset < end) => *segment,
            _ => Segment { hint: self.hint, ..between(offset, None) },
        }
    }
}

fn between(start: u64, end: Option<u64>) -> Segment {
    Segment { start, end, hint: Hint::Unknown, width_bytes: 1, tensor: None }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::container::{ContainerKind, Element, Tensor};

    /// Segments of tensors that are described by the gap before them, their length and their type.
    pub(in crate::backup) fn layout(tensors: &[(u64, u64, u8)]) -> Segments {
        let mut at = 0;
        let tensors = tensors.iter().map(|(gap, length_bytes, kind)| {
            let element = [Element::F32, Element::Bf16, Element::F64][usize::from(*kind)];
            let offset = at + gap;
            at = offset + length_bytes;
            Tensor { name: b"t".to_vec(), element, shape: Vec::new(), offset, length_bytes: *length_bytes }
        });
        let tensors: Vec<Tensor> = tensors.collect();
        match tensors.is_empty() {
            true => Segments::whole(Hint::Unknown),
            false => Segments::of(&Layout { kind: ContainerKind::Safetensors, tensors }),
        }
    }

    #[test]
    fn segments_cover_the_file_and_leave_small_tensors_to_what_is_around_them() {
        let tensor = |offset, length_bytes| Tensor {
            name: b"t".to_vec(),
            element: Element::F32,
            shape: Vec::new(),
            offset,
            length_bytes,
        };
        let tensors = vec![tensor(100, 40_000), tensor(40_100, 16), tensor(40_116, 80_000)];
        let segments = Segments::of(&Layout { kind: ContainerKind::Safetensors, tensors });
        let mut at = 0;
        let mut ends = Vec::new();
        while let Some(end) = segments.at(at).end {
            assert!(end > at);
            ends.push((end, segments.at(end - 1).place(at).map(|place| place.tensor)));
            at = end;
        }
        assert_eq!(ends, [(100, None), (40_100, Some(0)), (40_116, None), (120_116, Some(2))]);
        let last = segments.at(41_000);
        assert_eq!(last.place(41_000), Some(Place { tensor: 2, offset: 884 }));
        assert_eq!((last.aligned(1003), last.aligned(3)), (1000, 3));
    }
}
