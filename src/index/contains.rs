//! Whether chunks are held, the question that a writer asks of every chunk.
//!
//! Most of what a writer asks for stands together, in the order in which an earlier run stored it. So a few
//! ids are looked up first, and the blocks they are found in answer for the ids around them: one search for
//! many ids. What that leaves open is looked up id by id.

use std::collections::HashSet;
use std::sync::PoisonError;

use rusqlite::Connection;

use super::chunks;
use super::database::IndexDatabase;
use super::error::IndexError;
use super::lookup::visit_copies;
use super::sieve::Tables;
use super::sound::{BasedBlock, Sound};
use crate::base::ChunkId;

/// Ids answered together.
const WINDOW: usize = 1 << 16;
/// Of so many ids one is looked up first: fewer than an ordinary block of small chunks holds.
const STRIDE: usize = 16;
/// Ids of blocks held for one window: 10 MiB.
const NEIGHBOUR_COUNT_MAX: usize = 1 << 18;

impl IndexDatabase {
    /// Returns, for each of `ids`, whether a writer may rely on it: a pack that is not pending deletion holds
    /// it, and the same goes for all bases that it is decoded from.
    ///
    /// Packs count that an index object names or that this handle added; ids are compared in full. Batches of
    /// thousands are many times faster than single ids, and ids in the order of their file faster than
    /// shuffled ones.
    pub fn contains(&self, ids: &[ChunkId]) -> Result<Vec<bool>, IndexError> {
        self.read(|transaction| {
            let mut sound = self.sound.lock().unwrap_or_else(PoisonError::into_inner);
            sound.follow(transaction)?;
            let mut sieves = self.sieves.lock().unwrap_or_else(PoisonError::into_inner);
            let sieves = sieves.follow(transaction, ids.len(), self.settings.sieve_max_bytes)?;
            let mut held = vec![false; ids.len()];
            for (ids, held) in ids.chunks(WINDOW).zip(held.chunks_mut(WINDOW)) {
                Window { connection: transaction, handle: self.handle, ids, sieves }
                    .answer(held, &mut sound)?;
            }
            Ok(held)
        })
    }

    /// Returns, for each of `ids`, whether a pack that is not pending deletion holds it, wherever its bases
    /// are: whether it was moved out of packs that go.
    pub fn is_outside_pending(&self, ids: &[ChunkId]) -> Result<Vec<bool>, IndexError> {
        self.read(|transaction| {
            let mut held = vec![false; ids.len()];
            visit_copies(transaction, self.handle, ids, |place, _, pack, _| {
                if let Some(held) = held.get_mut(place) {
                    *held = *held || !pack.is_pending;
                }
                Ok(())
            })?;
            Ok(held)
        })
    }
}

/// Ids that are answered together.
struct Window<'c> {
    connection: &'c Connection,
    handle: i64,
    ids: &'c [ChunkId],
    sieves: Option<&'c Tables>,
}

impl Window<'_> {
    fn answer(&self, held: &mut [bool], sound: &mut Sound) -> Result<(), IndexError> {
        let probes: Vec<usize> = (0..self.ids.len()).step_by(STRIDE).collect();
        let neighbours = self.look_up(held, &probes, NEIGHBOUR_COUNT_MAX, sound)?;
        let mut open = Vec::new();
        for (place, (id, held)) in self.ids.iter().zip(held.iter_mut()).enumerate() {
            if neighbours.contains(id) {
                *held = true;
            } else if place % STRIDE != 0 {
                open.push(place);
            }
        }
        self.look_up(held, &open, 0, sound)?;
        Ok(())
    }

    /// Returns those of `places` whose ids are not surely absent.
    fn possible(&self, places: &[usize]) -> Result<Vec<usize>, IndexError> {
        let Some(sieves) = self.sieves else { return Ok(places.to_vec()) };
        let mut possible = Vec::new();
        for place in places {
            let Some(id) = self.ids.get(*place) else { continue };
            let key = chunks::key_of(&id.0);
            if sieves.may_hold(key) || chunks::is_in_first(self.connection, key)? {
                possible.push(*place);
            }
        }
        Ok(possible)
    }

    /// Marks those of `places` whose ids are held, and returns the ids of the blocks that hold them, until
    /// there are `neighbour_count_max`.
    fn look_up(
        &self,
        held: &mut [bool],
        places: &[usize],
        neighbour_count_max: usize,
        sound: &mut Sound,
    ) -> Result<HashSet<ChunkId>, IndexError> {
        let places = self.possible(places)?;
        let wanted: Vec<ChunkId> = places.iter().filter_map(|place| self.ids.get(*place)).copied().collect();
        let mut neighbours = HashSet::new();
        let mut last_block = None;
        let mut open: Vec<(usize, i64)> = Vec::new();
        let mut based: Vec<BasedBlock> = Vec::new();
        visit_copies(self.connection, self.handle, &wanted, |found, block, pack, _| {
            let Some(place) = places.get(found).filter(|_| !pack.is_pending) else { return Ok(()) };
            if !sound.is_known(block) {
                open.push((*place, block.first_n));
                if based.last().is_none_or(|last| last.first_n != block.first_n) {
                    based.push(BasedBlock::of(block, pack.content));
                }
                return Ok(());
            }
            if let Some(held) = held.get_mut(*place) {
                *held = true;
            }
            if last_block != Some(block.first_n) && neighbours.len() < neighbour_count_max {
                neighbours.extend(block.ids());
                last_block = Some(block.first_n);
            }
            Ok(())
        })?;
        let judged = sound.judge(self.connection, self.handle, based)?;
        for (place, first_n) in open {
            if let Some(held) = held.get_mut(place) {
                *held = *held || judged.contains(&first_n);
            }
        }
        Ok(neighbours)
    }
}
