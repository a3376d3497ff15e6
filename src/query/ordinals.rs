//! Sets of chunks, one bit for each that the local index knows.

/// Words whose places are remembered for clearing; with more, everything is cleared.
const TOUCHED_COUNT_MAX: usize = 1 << 16;

/// A set of ordinals. Takes an eighth of a byte for each ordinal that the index ever gave.
#[derive(Debug)]
pub(super) struct OrdinalSet {
    words: Vec<u64>,
    touched: Vec<usize>,
}

impl OrdinalSet {
    /// Returns an empty set for ordinals below `end`.
    pub(super) fn new(end: u64) -> Self {
        let words = usize::try_from(end.div_ceil(64)).unwrap_or(usize::MAX);
        Self { words: vec![0; words], touched: Vec::new() }
    }

    /// Adds `ordinal`; returns whether it was not there.
    pub(super) fn insert(&mut self, ordinal: u64) -> bool {
        let (at, bit) = place(ordinal);
        if at >= self.words.len() {
            // Packs that were indexed since the set was made.
            self.words.resize(at + 1, 0);
        }
        let word = &mut self.words[at];
        let is_new = *word & bit == 0;
        if *word == 0 && self.touched.len() <= TOUCHED_COUNT_MAX {
            self.touched.push(at);
        }
        *word |= bit;
        is_new
    }

    /// Tells whether `ordinal` is in the set.
    pub(super) fn contains(&self, ordinal: u64) -> bool {
        let (at, bit) = place(ordinal);
        self.words.get(at).is_some_and(|word| word & bit != 0)
    }

    /// Empties the set, at once when little was added.
    pub(super) fn clear(&mut self) {
        if self.touched.len() > TOUCHED_COUNT_MAX {
            self.words.fill(0);
        } else {
            for &at in &self.touched {
                self.words[at] = 0;
            }
        }
        self.touched.clear();
    }
}

fn place(ordinal: u64) -> (usize, u64) {
    (usize::try_from(ordinal / 64).unwrap_or(usize::MAX - 1), 1 << (ordinal % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_bitmap_is_a_set_also_beyond_its_end_and_after_clearing() {
        let mut set = OrdinalSet::new(100);
        for round in 0..3_u64 {
            let mut model = BTreeSet::new();
            let count = [50, 70_000, 50][usize::try_from(round).unwrap()];
            for n in 0..count {
                let ordinal = (n * 97 + round) * 64 % 6_000_011;
                assert_eq!(set.insert(ordinal), model.insert(ordinal));
            }
            for ordinal in 0..10_000 {
                assert_eq!(set.contains(ordinal), model.contains(&ordinal), "{ordinal} in round {round}");
            }
            set.clear();
            assert!(model.iter().all(|ordinal| !set.contains(*ordinal)));
        }
    }
}
