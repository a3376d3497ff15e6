//! The records transform: fields of quantised weights stand together.
//!
//! A record is unpacked first (packed scales and high bits become bytes of their own), so that every field is
//! a run of bytes; the runs of all records form the parts.

use super::unpack::{pack, unpack};
use super::{Grid, apart};
use crate::codec::rans::contexts_before;
use crate::container::QuantKind;

/// Greatest length of an unpacked record.
const UNPACKED_MAX: usize = 276;
/// The bits of the high byte of an f16 that are of its mantissa.
const HIGH_MASK: u8 = 3;
/// Scales on each side that one is compared with.
const AROUND: usize = 4;

/// How records of one kind are stored.
#[derive(Debug, Clone, Copy)]
pub(in crate::codec) struct Layout {
    kind: QuantKind,
    /// The greatest quant of each record stands apart.
    apart: bool,
    /// Bytes of one record.
    pub(in crate::codec) record_bytes: usize,
    /// Bytes that one record gives to each part.
    runs: &'static [usize],
    /// Parts that are the low bytes of scales; the high bytes are the part behind.
    lows: &'static [usize],
}

/// What a field is coded by, where that is not what stands before it; fields lean on those of earlier kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::codec) enum Leaning {
    /// Nothing else.
    None,
    /// The lowest bits of this part's byte of the same record.
    High(usize),
    /// How far the scale of a record, low and high bytes in parts 0 and 1, is above those around it.
    Scales,
}

/// Every number, its kind, which has this number in GGUF files, and whether the greatest quant stands apart,
/// for which 128 is added.
const LAYOUTS: [(u8, QuantKind, bool); 14] = [
    (2, QuantKind::Q4_0, false),
    (3, QuantKind::Q4_1, false),
    (6, QuantKind::Q5_0, false),
    (7, QuantKind::Q5_1, false),
    (8, QuantKind::Q8_0, false),
    (10, QuantKind::Q2K, false),
    (11, QuantKind::Q3K, false),
    (12, QuantKind::Q4K, false),
    (13, QuantKind::Q5K, false),
    (14, QuantKind::Q6K, false),
    (20, QuantKind::Iq4Nl, false),
    (23, QuantKind::Iq4Xs, false),
    (39, QuantKind::Mxfp4, false),
    (136, QuantKind::Q8_0, true),
];

/// Returns the number of a layout; `None` where there is none of a kind with the greatest apart.
pub(in crate::codec) fn number(kind: QuantKind, apart: bool) -> Option<u8> {
    let mut layouts = LAYOUTS.iter();
    layouts.find(|(_, known, is_apart)| (*known, *is_apart) == (kind, apart)).map(|(number, ..)| *number)
}

/// Returns the layout of a number; `None` for a number without one.
pub(in crate::codec) fn layout(number: u8) -> Option<Layout> {
    let (_, kind, apart) = *LAYOUTS.iter().find(|(known, ..)| *known == number)?;
    let (runs, lows): (&[usize], &[usize]) = match kind {
        QuantKind::Q4_0 | QuantKind::Iq4Nl => (&[1, 1, 16], &[0]),
        QuantKind::Q4_1 => (&[1, 1, 1, 1, 16], &[0, 2]),
        QuantKind::Q5_0 => (&[1, 1, 32], &[0]),
        QuantKind::Q5_1 => (&[1, 1, 1, 1, 32], &[0, 2]),
        QuantKind::Q8_0 if apart => (apart::RUNS, &[0]),
        QuantKind::Q8_0 => (&[1, 1, 32], &[0]),
        QuantKind::Q2K => (&[16, 64, 1, 1, 1, 1], &[2, 4]),
        QuantKind::Q3K => (&[128, 16, 1, 1], &[2]),
        QuantKind::Q4K => (&[1, 1, 1, 1, 8, 8, 128], &[0, 2]),
        QuantKind::Q5K => (&[1, 1, 1, 1, 8, 8, 256], &[0, 2]),
        QuantKind::Q6K => (&[256, 16, 1, 1], &[2]),
        QuantKind::Iq4Xs => (&[1, 1, 8, 128], &[0]),
        QuantKind::Mxfp4 => (&[1, 16], &[]),
    };
    Some(Layout { kind, apart, record_bytes: usize::try_from(kind.record_bytes()).ok()?, runs, lows })
}

impl Layout {
    /// Returns what a part leans on; of the parts it names, none leans on others that do.
    pub(in crate::codec) fn leaning(self, part: usize) -> Leaning {
        match part {
            4 if self.apart => Leaning::Scales,
            _ if self.lows.contains(&part) => Leaning::High(part + 1),
            _ => Leaning::None,
        }
    }

    /// Returns a byte of context for each record of a part that leans on `parts`, and the bytes of a record.
    pub(in crate::codec) fn contexts(self, part: usize, parts: &[&[u8]]) -> Option<(Vec<u8>, usize)> {
        let run = *self.runs.get(part)?;
        match self.leaning(part) {
            Leaning::None => None,
            Leaning::High(high) => {
                Some((parts.get(high)?.iter().map(|byte| byte & HIGH_MASK).collect(), run))
            }
            Leaning::Scales => Some((above_others(parts.first()?, parts.get(1)?), run)),
        }
    }

    /// Returns what a writer of this part may go by: as for a reader, and for the high bytes of scales, which
    /// are like those before them, what a reader goes by without being told.
    pub(in crate::codec) fn contexts_for_writer(
        self,
        part: usize,
        parts: &[&[u8]],
    ) -> Option<(Vec<u8>, usize)> {
        let is_high = self.lows.iter().any(|low| low + 1 == part);
        if is_high { Some((contexts_before(parts.get(part)?), 1)) } else { self.contexts(part, parts) }
    }

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
        if self.apart {
            apart::split(body, &mut runs);
            return lengths;
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
        if self.apart {
            return apart::merge(parts, body);
        }
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

/// Returns how far each scale is above the mean of the [`AROUND`] before it and behind it: f16 as integers,
/// of which 1024 are an octave, 16 to a step, 128 where they are equal.
fn above_others(low: &[u8], high: &[u8]) -> Vec<u8> {
    let scales: Vec<i32> =
        low.iter().zip(high).map(|(low, high)| u16::from_le_bytes([*low, *high]).into()).collect();
    let Some(last) = scales.len().checked_sub(1) else { return Vec::new() };
    let above = |at: usize| {
        let around = (1..=AROUND).map(|far| scales[at.saturating_sub(far)] + scales[(at + far).min(last)]);
        let above = 8 * scales[at] - around.sum::<i32>();
        u8::try_from((128 + (above >> 7)).clamp(0, 255)).unwrap_or(0)
    };
    (0..scales.len()).map(above).collect()
}

/// Cuts `bytes` into pieces of these lengths.
pub(in crate::codec) fn cut_mut<'a>(mut bytes: &'a mut [u8], lengths: &[usize]) -> Vec<&'a mut [u8]> {
    lengths.iter().filter_map(|length| bytes.split_off_mut(..*length)).collect()
}
