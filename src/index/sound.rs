//! Which blocks with bases can be relied on: those all of whose bases are there.
//!
//! What a prune keeps of a pack may be blocks that no snapshot needs, and their bases go: their chunks are
//! still found, but nobody can decode them. So it is after a pack with bases was lost. A writer must not take
//! such chunks for stored.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use super::error::IndexError;
use super::lookup::{StoredBlock, visit_copies};
use crate::format::pack::{BaseName, Content};

/// Blocks remembered as sound; each takes 16 bytes.
const KNOWN_COUNT_MAX: usize = 1 << 20;
/// Blocks judged together: with the bases of each bounded, this bounds the memory of one layer of bases.
const JUDGED_TOGETHER: usize = 256;

/// A block with bases.
#[derive(Debug)]
pub(super) struct BasedBlock {
    pub(super) first_n: i64,
    content: Content,
    depth: u8,
    bases: Vec<BaseName>,
}

impl BasedBlock {
    pub(super) fn of(block: &StoredBlock, content: Content) -> Self {
        Self { first_n: block.first_n, content, depth: block.depth(), bases: block.bases().collect() }
    }
}

/// A stored copy of a base.
#[derive(Debug, Clone, Copy)]
struct Copy {
    first_n: i64,
    content: Content,
    /// Depth of its block; `None` without bases.
    depth: Option<u8>,
}

/// Blocks that were judged before. Only what is added leaves verdicts as they are, and only soundness is
/// remembered, so whoever takes something away makes this forget.
#[derive(Debug, Default)]
pub(super) struct Sound {
    known: HashSet<i64>,
    /// The state of the database, as far as others change it.
    version: i64,
}

impl Sound {
    /// Forgets everything when another process has changed the database since.
    pub(super) fn follow(&mut self, connection: &Connection) -> Result<(), IndexError> {
        let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version != version {
            self.forget();
            self.version = version;
        }
        Ok(())
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Tells whether a block needs no judging.
    pub(super) fn is_known(&self, block: &StoredBlock) -> bool {
        block.bases().next().is_none() || self.known.contains(&block.first_n)
    }

    /// Returns those of `blocks` all of whose bases are stored in packs that are not pending deletion, in
    /// blocks that are sound themselves and of lesser depth. So no chain is longer than a block's depth says,
    /// and none goes in a circle.
    pub(super) fn judge(
        &mut self,
        connection: &Connection,
        handle: i64,
        mut blocks: Vec<BasedBlock>,
    ) -> Result<HashSet<i64>, IndexError> {
        let mut sound = HashSet::new();
        while !blocks.is_empty() {
            let part = blocks.split_off(blocks.len().saturating_sub(JUDGED_TOGETHER));
            let asked: Vec<i64> = part.iter().map(|block| block.first_n).collect();
            let found = self.judge_part(connection, handle, part)?;
            sound.extend(asked.into_iter().filter(|first_n| found.contains(first_n)));
            if self.known.len() + found.len() > KNOWN_COUNT_MAX {
                self.known.clear();
            }
            self.known.extend(found);
        }
        Ok(sound)
    }

    /// Follows bases down layer by layer, then judges from the bottom up.
    fn judge_part(
        &self,
        connection: &Connection,
        handle: i64,
        blocks: Vec<BasedBlock>,
    ) -> Result<HashSet<i64>, IndexError> {
        let mut copies: HashMap<BaseName, Vec<Copy>> = HashMap::new();
        let mut seen: HashSet<i64> = blocks.iter().map(|block| block.first_n).collect();
        let mut all: Vec<BasedBlock> = Vec::new();
        let mut layer = blocks;
        while !layer.is_empty() {
            // Only bases of lesser depth count, so each layer is less deep than the one above.
            let depth_end = layer.iter().map(|block| block.depth).max().unwrap_or(0);
            let names: HashSet<BaseName> = layer.iter().flat_map(|block| &block.bases).copied().collect();
            let names: Vec<BaseName> = names.into_iter().filter(|name| !copies.contains_key(name)).collect();
            names.iter().for_each(|name| drop(copies.insert(*name, Vec::new())));
            all.append(&mut layer);
            visit_copies(connection, handle, &names, |place, block, pack, _| {
                let copies = names.get(place).and_then(|name| copies.get_mut(name));
                let Some(copies) = copies.filter(|_| !pack.is_pending) else { return Ok(()) };
                let is_plain = block.bases().next().is_none();
                let depth = (!is_plain).then(|| block.depth());
                copies.push(Copy { first_n: block.first_n, content: pack.content, depth });
                let is_open = !is_plain && block.depth() < depth_end && !self.known.contains(&block.first_n);
                if is_open && seen.insert(block.first_n) {
                    layer.push(BasedBlock::of(block, pack.content));
                }
                Ok(())
            })?;
        }
        all.sort_by_key(|block| block.depth);
        let mut sound: HashSet<i64> = HashSet::new();
        for block in &all {
            let serves = |copy: &Copy| {
                let is_decoded = match copy.depth {
                    None => true,
                    Some(depth) => {
                        let is_sound = self.known.contains(&copy.first_n) || sound.contains(&copy.first_n);
                        depth < block.depth && is_sound
                    }
                };
                copy.content == block.content && is_decoded
            };
            let is_there = |name: &BaseName| copies.get(name).is_some_and(|copies| copies.iter().any(serves));
            if block.bases.iter().all(is_there) {
                sound.insert(block.first_n);
            }
        }
        Ok(sound)
    }
}
