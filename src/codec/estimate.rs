//! Sizes that coded bytes would have, from counts of their values.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Bytes that a sample of a part looks at.
const PLACE_BYTES: usize = 1024;
const PLACES: usize = 8;

/// How often every byte occurs.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: [u32; 256],
    total: u32,
}

impl Histogram {
    /// Counts all of `bytes`, fewer than 2^32.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut histogram = Self { counts: [0; 256], total: 0 };
        histogram.add(bytes);
        histogram
    }

    /// Counts some places of `bytes`, spread evenly; all of them where they are few.
    pub(super) fn of_places(bytes: &[u8]) -> Self {
        if bytes.len() <= 4 * PLACES * PLACE_BYTES {
            return Self::of(bytes);
        }
        let mut histogram = Self { counts: [0; 256], total: 0 };
        let step = (bytes.len() - PLACE_BYTES) / (PLACES - 1);
        for place in 0..PLACES {
            histogram.add(&bytes[place * step..][..PLACE_BYTES]);
        }
        histogram
    }

    /// Counts `bytes` too.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        // Several tables, so that equal bytes in a row do not wait for each other.
        let mut tables = [[0_u32; 256]; 4];
        let (groups, last) = bytes.as_chunks::<4>();
        for group in groups {
            for (table, byte) in tables.iter_mut().zip(group) {
                table[usize::from(*byte)] += 1;
            }
        }
        for (table, byte) in tables.iter_mut().zip(last) {
            table[usize::from(*byte)] += 1;
        }
        let mut added = 0;
        for (value, count) in self.counts.iter_mut().enumerate() {
            *count += tables.iter().map(|table| table[value]).sum::<u32>();
            added += *count;
        }
        self.total = added;
    }

    /// Counts one byte too.
    pub(super) fn push(&mut self, byte: u8) {
        self.counts[usize::from(byte)] += 1;
        self.total += 1;
    }

    /// Returns the counts of both.
    pub(super) fn joined(mut self, other: &Self) -> Self {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.total += other.total;
        self
    }

    /// Returns how often `byte` occurs.
    pub(super) fn count(&self, byte: u8) -> usize {
        usize::try_from(self.counts[usize::from(byte)]).unwrap_or(usize::MAX)
    }

    /// Returns the order-0 entropy in bits of one byte, corrected for values that a short sample misses; 0
    /// without bytes.
    pub(super) fn bits_per_byte(&self) -> f64 {
        let total = f64::from(self.total.max(1));
        let total_log = total.log2();
        let mut bits = 0.0;
        let mut values = 0_u32;
        for count in self.counts.iter().filter(|count| **count > 0) {
            let count = f64::from(*count);
            bits += count * (total_log - count.log2());
            values += 1;
        }
        // Miller and Madow: half a nat for each value beyond the first, over the whole sample.
        let missed = f64::from(values.saturating_sub(1)) * std::f64::consts::LOG2_E / 2.0;
        ((bits + missed) / total).min(8.0)
    }

    /// Returns the bits of all bytes under the best code of whole bits for each value, without its table.
    pub(super) fn huffman_bits(&self) -> u64 {
        let present = self.counts.iter().filter(|count| **count > 0);
        let mut trees: BinaryHeap<Reverse<u64>> = present.map(|count| Reverse(u64::from(*count))).collect();
        let mut bits = 0;
        // Each joining of the two rarest puts a bit before all that is below it.
        while let (Some(Reverse(one)), Some(Reverse(other))) = (trees.pop(), trees.pop()) {
            bits += one + other;
            trees.push(Reverse(one + other));
        }
        bits
    }

    /// Returns bits for one byte under Huffman codes of zstd, about: no less than one, eight where coding
    /// does not pay, nothing where all bytes are one value.
    pub(super) fn coded_bits(&self) -> f64 {
        let entropy = self.bits_per_byte();
        match entropy {
            0.0 => 0.0,
            // Runs of a ruling byte are found by a search for matches, at some loss.
            ..1.0 => (entropy * 1.3).min(1.0),
            ..7.87 => entropy * 1.004 + 0.01,
            _ => 8.0,
        }
    }

    /// Returns the share of the most frequent byte in hundredths.
    pub(super) fn greatest_hundredths(&self) -> u64 {
        let greatest = self.counts.iter().copied().max().unwrap_or(0);
        u64::from(greatest) * 100 / u64::from(self.total.max(1))
    }
}
