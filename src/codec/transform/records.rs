//! The records transform: fields of quantised weights stand together.
//!
//! A record is unpacked first (packed scales and high bits become bytes of their own), so that every field is
//! a run of bytes; the runs of all records form the parts.

use super::Grid;
use super::unpack::{pack, unpack};
use crate::container::QuantKind;

/// Greatest length of an unpacked record.
const UNPACKED_MAX: usize = 276;

/// How records of one kind are stored.
#[derive(Debug, Clone, Copy)]
pub(in crate::codec) struct Layout {
    kind: QuantKind,
    /// Bytes of one record.
    pub(in crate::codec) record_bytes: usize,
    /// Bytes that one record gives to each part.
    runs: &'static [usize],
}

/// Every kind and its number, which is the type's number in GGUF files.
const KINDS: [(u8, QuantKind); 13] = [
    (2, QuantKind::Q4_0),
    (3, QuantKind::Q4_1),
    (6, QuantKind::Q5_0),
    (7, QuantKind::Q5_1),
    (8, QuantKind::Q8_0),
    (10, QuantKind::Q2K),
    (11, QuantKind::Q3K),
    (12, QuantKind::Q4K),
    (13, QuantKind::Q5K),
    (14, QuantKind::Q6K),
    (20, QuantKind::Iq4Nl),
    (23, QuantKind::Iq4Xs),
    (39, QuantKind::Mxfp4),
];

/// Returns the number of a layout.
pub(in crate::codec) fn number(kind: QuantKind) -> Option<u8> {
    KINDS.iter().find(|(_, known)| *known == kind).map(|(number, _)| *number)
}

/// Returns the layout of a number; `None` for a number without one.
pub(in crate::codec) fn layout(number: u8) -> Option<Layout> {
    let (_, kind) = *KINDS.iter().find(|(known, _)| *known == number)?;
    let runs: &[usize] = match kind {
        QuantKind::Q4_0 | QuantKind::Iq4Nl => &[1, 1, 16],
        QuantKind::Q4_1 => &[1, 1, 1, 1, 16],
        QuantKind::Q5_0 => &[1, 1, 32],
        QuantKind::Q5_1 => &[1, 1, 1, 1, 32],
        QuantKind::Q8_0 => &[1, 1, 32],
        QuantKind::Q2K => &[16, 64, 1, 1, 1, 1],
        QuantKind::Q3K => &[128, 16, 1, 1],
        QuantKind::Q4K => &[1, 1, 1, 1, 8, 8, 128],
        QuantKind::Q5K => &[1, 1, 1, 1, 8, 8, 256],
        QuantKind::Q6K => &[256, 16, 1, 1],
        QuantKind::Iq4Xs => &[1, 1, 8, 128],
        QuantKind::Mxfp4 => &[1, 16],
    };
    Some(Layout { kind, record_bytes: usize::try_from(kind.record_bytes()).ok()?, runs })
}

impl Layout {
    /// Returns the length of one unpacked record.
    fn unpacked_bytes(self) -> usize {
        self.runs.iter().sum()
    }

    /// Returns the lengths of the parts of `raw_bytes` bytes: the runs, and what lies outside of whole
    /// records.
    pub(in crate::codec) fn lengths(self, raw_bytes: usize, grid: Grid) -> Vec<usize> {
        let mut lengths: Vec<usize> = self.runs.iter().map(|run| run * grid.count).collect();
        lengths.push(raw_bytes - grid.body_bytes());
        lengths
    }

    /// Returns the room that all parts of `raw_bytes` bytes need.
    pub(in crate::codec) fn room(self, raw_bytes: usize, grid: Grid) -> usize {
        self.unpacked_bytes() * grid.count + raw_bytes - grid.body_bytes()
    }

    /// Writes the parts of `data` into `parts`, which has [`Self::room`], and returns their lengths.
    pub(in crate::codec) fn split_block(self, data: &[u8], grid: Grid, parts: &mut [u8]) -> Vec<usize> {
        let lengths = self.lengths(data.len(), grid);
        let mut runs = cut_mut(parts, &lengths);
        let (head, body, tail) = grid.cut(data);
        if let Some(rest) = runs.pop() {
            let (before, after) = rest.split_at_mut(head.len());
            before.copy_from_slice(head);
            after.copy_from_slice(tail);
        }
        let mut unpacked = [0; UNPACKED_MAX];
        for (at, record) in body.chunks_exact(grid.width).enumerate() {
            unpack(self.kind, record, &mut unpacked);
            let mut from = 0;
            for (run, length) in runs.iter_mut().zip(self.runs) {
                run[at * length..][..*length].copy_from_slice(&unpacked[from..from + length]);
                from += length;
            }
        }
        lengths
    }

    /// Writes the records whose runs are `parts` into `body`; `false` when an unpacked field has bits that
    /// its record has no room for.
    pub(in crate::codec) fn merge(self, parts: &[&[u8]], body: &mut [u8]) -> bool {
        let mut unpacked = [0; UNPACKED_MAX];
        for (at, record) in body.chunks_exact_mut(self.record_bytes).enumerate() {
            let mut from = 0;
            for (run, length) in parts.iter().zip(self.runs) {
                unpacked[from..from + length].copy_from_slice(&run[at * length..][..*length]);
                from += length;
            }
            if !pack(self.kind, &unpacked, record) {
                return false;
            }
        }
        true
    }
}

/// Cuts `bytes` into pieces of these lengths.
fn cut_mut<'a>(mut bytes: &'a mut [u8], lengths: &[usize]) -> Vec<&'a mut [u8]> {
    let mut pieces = Vec::with_capacity(lengths.len());
    for length in lengths {
        let (piece, after) = bytes.split_at_mut(*length);
        pieces.push(piece);
        bytes = after;
    }
    pieces
}
