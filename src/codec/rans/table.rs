//! Tables of frequencies: runs of byte values that are alike often.

/// Frequencies of one table, together.
pub(super) const TOTAL: u32 = 1 << TOTAL_LOG;
/// Their sum, as a power of two.
pub(super) const TOTAL_LOG: u32 = 12;
/// In the first byte of a run: its values do not occur, and no weight follows.
const ABSENT: u8 = 128;
/// Longest run.
pub(super) const RUN_MAX: usize = 128;
/// Weight of the greatest code, for one value.
const WEIGHT_MAX: f64 = weight(u8::MAX) as f64;

/// For every byte value where its places begin among all, and how many it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) starts: [u16; 256],
    pub(super) counts: [u16; 256],
}

/// Values of equal weight that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// How many, at most [`RUN_MAX`].
    pub(super) length: usize,
    /// The code of their weight; `None` where they do not occur.
    pub(super) weight: Option<u8>,
}

/// Returns the weight of a code: four bits of mantissa below a hidden one, four of exponent.
const fn weight(code: u8) -> u32 {
    (16 + (code & 15) as u32) << (code >> 4)
}

/// Returns the code whose weight is nearest to that of a value with `places` of all places.
pub(super) fn weight_code(places: f64) -> u8 {
    // A value has one place whatever its weight, so the weight tells of those beyond it.
    let wanted = ((places - 1.0) / f64::from(TOTAL) * WEIGHT_MAX).clamp(16.0, WEIGHT_MAX);
    let exponent = (wanted / 16.0).log2().floor();
    let mantissa = wanted / exponent.exp2() - 16.0;
    // A mantissa that is rounded up to 16 is the next exponent's first.
    (16.0 * exponent + mantissa.round()) as u8
}

impl Table {
    /// Takes a table off `coded`; `None` where its runs do not end with the last value, or none occurs.
    pub(super) fn decode(coded: &mut &[u8]) -> Option<Self> {
        let mut runs = Vec::new();
        let mut values = 0;
        while values < 256 {
            let (head, rest) = coded.split_first()?;
            let (weight, rest) = match head & ABSENT {
                0 => rest.split_first().map(|(code, rest)| (Some(*code), rest))?,
                _ => (None, rest),
            };
            let length = usize::from(head & !ABSENT) + 1;
            runs.push(Run { length, weight });
            values += length;
            *coded = rest;
        }
        Self::of(&runs)
    }

    /// Appends the table of these runs as coded.
    pub(super) fn encode(runs: &[Run], out: &mut Vec<u8>) {
        for run in runs {
            let head = run.length.to_le_bytes()[0].wrapping_sub(1) & !ABSENT;
            match run.weight {
                Some(code) => out.extend_from_slice(&[head, code]),
                None => out.push(head | ABSENT),
            }
        }
    }

    /// Returns the table of these runs; `None` unless they are of 256 values, of which some occur.
    pub(super) fn of(runs: &[Run]) -> Option<Self> {
        let mut weights = [None; 256];
        let mut at = 0;
        for run in runs {
            weights.get_mut(at..at + run.length)?.fill(run.weight.map(weight));
            at += run.length;
        }
        let sum: u64 = weights.iter().flatten().copied().map(u64::from).sum();
        let present = u32::try_from(weights.iter().flatten().count()).ok()?;
        if at != weights.len() || present == 0 {
            return None;
        }
        let shared = u64::from(TOTAL - present);
        let mut table = Self { starts: [0; 256], counts: [0; 256] };
        let (mut below, mut seen) = (0, 0);
        let mut start = 0;
        for (value, weight) in weights.iter().enumerate() {
            table.starts[value] = start;
            let Some(weight) = weight else { continue };
            below += u64::from(*weight);
            seen += 1;
            let end = u16::try_from(seen + below * shared / sum).ok()?;
            table.counts[value] = end - start;
            start = end;
        }
        Some(table)
    }
}
