//! Sets of stored chunk copies: one bit an ordinal.

/// A set of ordinals (see [`IndexDatabase`](crate::index::IndexDatabase)): 12.5 MB for 10^8 stored chunks.
#[derive(Debug, Clone, Default)]
pub struct LiveSet {
    words: Vec<u64>,
    count: u64,
}

fn place(ordinal: u64) -> (usize, u64) {
    (usize::try_from(ordinal / 64).unwrap_or(usize::MAX), 1 << (ordinal % 64))
}

impl LiveSet {
    /// Returns an empty set with room for the ordinals below `ordinal_end`; it grows when that is exceeded.
    pub fn new(ordinal_end: u64) -> Self {
        let words = usize::try_from(ordinal_end.div_ceil(64)).unwrap_or(0);
        Self { words: vec![0; words], count: 0 }
    }

    /// Adds an ordinal; returns whether it was new.
    pub fn insert(&mut self, ordinal: u64) -> bool {
        let (at, bit) = place(ordinal);
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let is_new = self.words[at] & bit == 0;
        self.words[at] |= bit;
        self.count += u64::from(is_new);
        is_new
    }

    /// Adds the `count` ordinals from `first` on.
    pub fn insert_range(&mut self, first: u64, count: u64) {
        for ordinal in first..first.saturating_add(count) {
            self.insert(ordinal);
        }
    }

    /// Takes the `count` ordinals from `first` on out.
    pub fn remove_range(&mut self, first: u64, count: u64) {
        for ordinal in first..first.saturating_add(count) {
            let (at, bit) = place(ordinal);
            if let Some(word) = self.words.get_mut(at).filter(|word| **word & bit != 0) {
                *word &= !bit;
                self.count -= 1;
            }
        }
    }

    /// Tells whether an ordinal is in the set.
    pub fn contains(&self, ordinal: u64) -> bool {
        let (at, bit) = place(ordinal);
        self.words.get(at).is_some_and(|word| word & bit != 0)
    }

    /// Returns how many of the `count` ordinals from `first` on are in the set: how much of a pack is live.
    pub fn count_in(&self, first: u64, count: u64) -> u64 {
        let end = first.saturating_add(count);
        let mut found = 0;
        let mut at = first;
        while at < end {
            let (word_at, _) = place(at);
            let Some(word) = self.words.get(word_at) else { break };
            let word_end = (at / 64 + 1) * 64;
            let mut bits = word >> (at % 64);
            if end < word_end {
                // Fewer than 64 ordinals are left, so the shift is in range.
                bits &= (1 << (end - at)) - 1;
            }
            found += u64::from(bits.count_ones());
            at = word_end;
        }
        found
    }

    /// Returns how many ordinals are in the set.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Tells whether no ordinal is in the set.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_set_counts_as_a_set_of_numbers_does() {
        let members: BTreeSet<u64> = (0..500).filter(|n| n % 7 == 0 || n % 64 == 63 || *n > 480).collect();
        let mut set = LiveSet::new(100);
        for ordinal in &members {
            assert!(set.insert(*ordinal));
            assert!(!set.insert(*ordinal));
        }
        assert_eq!(set.len(), members.len() as u64);
        for first in (0..600).step_by(13) {
            for count in [0, 1, 5, 63, 64, 65, 128, 700] {
                let expected = members.range(first..first + count).count() as u64;
                assert_eq!(set.count_in(first, count), expected, "{count} from {first}");
            }
        }
        assert!((0..600).all(|n| set.contains(n) == members.contains(&n)));
        let mut range = LiveSet::default();
        range.insert_range(60, 70);
        assert_eq!((range.len(), range.count_in(60, 70)), (70, 70));
        range.remove_range(50, 20);
        assert_eq!((range.len(), range.count_in(60, 70), range.contains(70)), (60, 60, true));
    }
}
