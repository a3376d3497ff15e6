//! Which features are surely not remembered: most of what is asked for. A table of bits in memory, made when
//! the first question comes.

/// Bits for each row: one question in eight for what is not there passes.
const ROW_BITS: u64 = 8;
/// Bits at least: 8 KiB.
const BITS_MIN: u64 = 1 << 16;
/// Bits at most: 16 MiB. More rows than fit let more questions pass.
const BITS_MAX: u64 = 1 << 27;

/// A set of features that may tell of one that it has it though it was never added, never the reverse.
#[derive(Debug)]
pub(super) struct Filter {
    words: Vec<u64>,
    shift: u32,
    /// Rows that may still be added.
    room: u64,
    /// The newest run whose rows are in it.
    pub(super) newest: i64,
}

impl Filter {
    /// Returns an empty filter with room for `rows`, and as many again, before it should be made anew.
    pub(super) fn new(rows: u64) -> Self {
        let bits = rows.saturating_mul(ROW_BITS).clamp(BITS_MIN, BITS_MAX).next_power_of_two();
        let words = usize::try_from(bits / 64).unwrap_or(0);
        let room = if bits < BITS_MAX { rows.saturating_mul(2).max(bits / ROW_BITS) } else { u64::MAX };
        Self { words: vec![0; words], shift: 64 - bits.ilog2(), room, newest: 0 }
    }

    fn place(&self, feature: u64) -> (usize, u64) {
        // Features are small numbers: the product spreads them.
        let bit = feature.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        (usize::try_from(bit / 64).unwrap_or(usize::MAX), 1 << (bit % 64))
    }

    /// Adds a feature.
    pub(super) fn add(&mut self, feature: u64) {
        let (at, bit) = self.place(feature);
        if let Some(word) = self.words.get_mut(at) {
            *word |= bit;
        }
        self.room = self.room.saturating_sub(1);
    }

    /// Tells whether more was added than it has room for.
    pub(super) fn is_full(&self) -> bool {
        self.room == 0
    }

    /// Tells whether the feature may be there.
    pub(super) fn has(&self, feature: u64) -> bool {
        let (at, bit) = self.place(feature);
        self.words.get(at).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_and_most_else_is_not() {
        for rows in [0, 100, 50_000] {
            let mut filter = Filter::new(rows);
            for feature in 0..rows {
                filter.add(feature);
            }
            assert!((0..rows).all(|feature| filter.has(feature)) && !filter.is_full());
            let passed = (rows..rows + 10_000).filter(|feature| filter.has(*feature)).count();
            assert!(passed < 2_000, "{passed} of 10,000 with {rows} rows");
        }
    }

    #[test]
    fn a_full_filter_says_so_unless_it_cannot_grow() {
        let mut filter = Filter::new(1);
        let count = BITS_MIN / ROW_BITS;
        (0..count).for_each(|feature| filter.add(feature));
        assert!(filter.is_full());
        assert_eq!(Filter::new(u64::MAX).words.len() as u64 * 64, BITS_MAX);
    }
}
