//! Which runs describe counts of byte values in the fewest bits.

use super::table::{RUN_MAX, Run, TOTAL, Table, weight_code};

/// How often every byte occurs.
pub(super) type Counts = [u32; 256];

/// Bits that a run takes, with a weight and without.
const RUN_BITS: f64 = 16.0;
const ABSENT_BITS: f64 = 8.0;

/// Runs, their table, and what both cost.
pub(super) struct Fit {
    pub(super) runs: Vec<Run>,
    pub(super) table: Table,
    /// Bits of the table and of all that was counted.
    pub(super) bits: f64,
}

impl Fit {
    /// Returns what fits `counts`, of which some are not zero, well among runs of powers of two of values.
    pub(super) fn of(counts: &Counts) -> Option<Self> {
        let total: u32 = counts.iter().sum();
        let runs = shortest(counts, f64::from(total));
        let table = Table::of(&runs)?;
        let mut bits: f64 = runs.iter().map(|run| run.weight.map_or(ABSENT_BITS, |_| RUN_BITS)).sum();
        for (count, places) in counts.iter().zip(table.counts).filter(|(count, _)| **count > 0) {
            bits -= f64::from(*count) * (f64::from(places) / f64::from(TOTAL)).log2();
        }
        Some(Self { runs, table, bits })
    }
}

/// Returns the runs whose bits and those of what they describe are fewest, of all that halving makes.
fn shortest(counts: &Counts, total: f64) -> Vec<Run> {
    let mut stretches = Vec::new();
    halve(counts, f64::from(TOTAL) / total, &mut stretches);
    let mut runs = Vec::new();
    for (length, places) in stretches {
        match (runs.last_mut(), places) {
            // Where no value of a half occurs, its run goes on in the next.
            (Some(Run { length: last, weight: None }), None) if *last + length <= RUN_MAX => *last += length,
            _ => runs.push(Run { length, weight: places.map(weight_code) }),
        }
    }
    runs
}

/// Appends lengths and places of one value for the runs of these values, and returns their bits; `share` is
/// the places of one that was counted.
fn halve(counts: &[u32], share: f64, out: &mut Vec<(usize, Option<f64>)>) -> f64 {
    let count = f64::from(counts.iter().sum::<u32>());
    let length = counts.len();
    if count == 0.0 && length <= RUN_MAX {
        out.push((length, None));
        return ABSENT_BITS;
    }
    let places = count * share / length as f64;
    let whole = RUN_BITS - count * (places.max(1.0) / f64::from(TOTAL)).log2();
    if length > 1 {
        let (start, (left, right)) = (out.len(), counts.split_at(length / 2));
        let halves = halve(left, share, out) + halve(right, share, out);
        if halves < whole || length > RUN_MAX {
            return halves;
        }
        out.truncate(start);
    }
    out.push((length, Some(places)));
    whole
}
