//! Transforms: what stands in which part.
//!
//! Splitting writes the parts one after the other into one buffer; merging takes them as slices.

mod apart;
pub(super) mod delta;
pub(super) mod planes;
pub(super) mod records;
pub(super) mod sparse;
mod unpack;

/// Where whole elements lie in a block: bytes before the first, their width and their count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    /// Bytes before the first element.
    pub(super) lead: usize,
    /// Bytes of one element.
    pub(super) width: usize,
    /// Whole elements.
    pub(super) count: usize,
}

impl Grid {
    /// Returns the grid of `raw_bytes` bytes; `None` when the lead is a whole element or longer than them.
    pub(super) fn new(raw_bytes: usize, width: usize, lead: usize) -> Option<Self> {
        let body = raw_bytes.checked_sub(lead)?;
        (lead < width).then(|| Self { lead, width, count: body / width })
    }

    /// Returns the bytes of all whole elements.
    pub(super) fn body_bytes(self) -> usize {
        self.width * self.count
    }

    /// Returns `data[..lead]`, the elements, and what follows them.
    pub(super) fn cut(self, data: &[u8]) -> (&[u8], &[u8], &[u8]) {
        let (head, rest) = data.split_at(self.lead);
        let (body, tail) = rest.split_at(self.body_bytes());
        (head, body, tail)
    }

    /// Writes the bytes outside of whole elements into `out`, which has room for exactly them.
    pub(super) fn copy_rest(self, data: &[u8], out: &mut [u8]) {
        let (head, _, tail) = self.cut(data);
        let (before, after) = out.split_at_mut(self.lead);
        before.copy_from_slice(head);
        after.copy_from_slice(tail);
    }

    /// Writes `rest`, what [`Self::copy_rest`] gave, around the elements of `raw`, and returns their place.
    pub(super) fn place_rest<'a>(self, rest: &[u8], raw: &'a mut [u8]) -> &'a mut [u8] {
        let (head, body) = raw.split_at_mut(self.lead);
        let (body, tail) = body.split_at_mut(self.body_bytes());
        let (before, after) = rest.split_at(self.lead);
        head.copy_from_slice(before);
        tail.copy_from_slice(after);
        body
    }
}
