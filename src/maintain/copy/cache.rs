//! Which id of the target an id of the source became: two generations of bounded size.

use std::collections::HashMap;

use crate::base::ChunkId;

/// Remembers at least the newest half of its bound, and what is used again.
#[derive(Debug)]
pub(in crate::maintain) struct Cache {
    young: HashMap<ChunkId, ChunkId>,
    old: HashMap<ChunkId, ChunkId>,
    generation_max: usize,
}

impl Cache {
    /// Returns an empty cache that holds at most `count_max` ids.
    pub(in crate::maintain) fn new(count_max: usize) -> Self {
        let generation_max = (count_max / 2).max(1);
        Self { young: HashMap::new(), old: HashMap::new(), generation_max }
    }

    /// Returns what `id` became, and keeps it longer.
    pub(in crate::maintain) fn get(&mut self, id: &ChunkId) -> Option<ChunkId> {
        if let Some(found) = self.young.get(id) {
            return Some(*found);
        }
        let found = *self.old.get(id)?;
        self.put(*id, found);
        Some(found)
    }

    /// Remembers that `id` became `new`.
    pub(in crate::maintain) fn put(&mut self, id: ChunkId, new: ChunkId) {
        if self.young.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, new);
    }

    /// Forgets all.
    pub(in crate::maintain) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_bounded_and_keeps_what_is_used() {
        let id = |n: u8| ChunkId([n; 32]);
        let mut cache = Cache::new(8);
        for n in 0..200 {
            cache.put(id(n), id(n));
            assert_eq!(cache.get(&id(0)), Some(id(0)));
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        assert_eq!(cache.get(&id(100)), None);
        cache.clear();
        assert_eq!(cache.get(&id(199)), None);
    }
}
