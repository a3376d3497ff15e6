//! Whether chunks are held, the question that a writer asks of every chunk.
//!
//! Most of what a writer asks for stands together, in the order in which an earlier run stored it. So a few
//! ids are looked up first, and the blocks they are found in answer for the ids around them: one search for
//! many ids. What that leaves open is looked up id by id.

use std::collections::HashSet;

use rusqlite::Connection;

use super::database::IndexDatabase;
use super::error::IndexError;
use super::lookup::visit_copies;
use crate::base::ChunkId;

/// Ids answered together.
const WINDOW: usize = 1 << 16;
/// Of so many ids one is looked up first: fewer than an ordinary block of small chunks holds.
const STRIDE: usize = 16;
/// Ids of blocks held for one window: 10 MiB.
const NEIGHBOUR_COUNT_MAX: usize = 1 << 18;

impl IndexDatabase {
    /// Returns, for each of `ids`, whether a pack that is not pending deletion holds it: whether a writer may
    /// rely on it.
    ///
    /// Packs count that an index object names or that this handle added; ids are compared in full. Batches of
    /// thousands are many times faster than single ids, and ids in the order of their file faster than
    /// shuffled ones.
    pub fn contains(&self, ids: &[ChunkId]) -> Result<Vec<bool>, IndexError> {
        self.read(|transaction| {
            let mut held = vec![false; ids.len()];
            for (ids, held) in ids.chunks(WINDOW).zip(held.chunks_mut(WINDOW)) {
                contains_window(transaction, self.handle, ids, held)?;
            }
            Ok(held)
        })
    }
}

fn contains_window(
    connection: &Connection,
    handle: i64,
    ids: &[ChunkId],
    held: &mut [bool],
) -> Result<(), IndexError> {
    let probes: Vec<usize> = (0..ids.len()).step_by(STRIDE).collect();
    let neighbours = look_up(connection, handle, ids, held, &probes, NEIGHBOUR_COUNT_MAX)?;
    let mut open = Vec::new();
    for (place, (id, held)) in ids.iter().zip(held.iter_mut()).enumerate() {
        if neighbours.contains(id) {
            *held = true;
        } else if place % STRIDE != 0 {
            open.push(place);
        }
    }
    look_up(connection, handle, ids, held, &open, 0)?;
    Ok(())
}

/// Marks those of `places` whose ids are held, and returns the ids of the blocks that hold them, until there
/// are `neighbour_count_max`.
fn look_up(
    connection: &Connection,
    handle: i64,
    ids: &[ChunkId],
    held: &mut [bool],
    places: &[usize],
    neighbour_count_max: usize,
) -> Result<HashSet<ChunkId>, IndexError> {
    let wanted: Vec<ChunkId> = places.iter().filter_map(|place| ids.get(*place)).copied().collect();
    let mut neighbours = HashSet::new();
    let mut last_block = None;
    visit_copies(connection, handle, &wanted, |found, block, pack, _| {
        if pack.is_pending {
            return Ok(());
        }
        if let Some(held) = places.get(found).and_then(|place| held.get_mut(*place)) {
            *held = true;
        }
        if last_block != Some(block.first_n) && neighbours.len() < neighbour_count_max {
            neighbours.extend(block.ids());
            last_block = Some(block.first_n);
        }
        Ok(())
    })?;
    Ok(neighbours)
}
