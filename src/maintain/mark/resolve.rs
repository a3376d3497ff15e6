//! From chunk ids to the stored copies that a restore would read, with the bases below them.

use super::live::LiveSet;
use super::losses::{Cause, Causes};
use crate::base::ChunkId;
use crate::base::limits::BASE_DEPTH_MAX;
use crate::format::pack::Content;
use crate::index::{BlockLocation, ChunkLocation, IndexDatabase};
use crate::repository::Error;

/// Where a chunk is read from, or why it cannot be.
pub(in crate::maintain) type Found = Result<ChunkLocation, Causes>;

/// Finds chunks and marks them live, transitively through bases.
#[derive(Debug)]
pub(in crate::maintain) struct Resolver<'r> {
    index: &'r IndexDatabase,
    /// Copies that cannot be read.
    damaged: Option<&'r LiveSet>,
    pub(super) live: LiveSet,
    /// Of these, what was asked for, not what that leans on.
    pub(super) needed: LiveSet,
    /// Blocks, by their first ordinal, all of whose bases were found.
    chained: LiveSet,
}

impl<'r> Resolver<'r> {
    pub(in crate::maintain) fn new(
        index: &'r IndexDatabase,
        damaged: Option<&'r LiveSet>,
    ) -> Result<Self, Error> {
        let live = LiveSet::new(index.ordinal_end()?);
        let needed = live.clone();
        Ok(Self { index, damaged, live, needed, chained: LiveSet::default() })
    }

    /// Finds each of `ids` and marks the copy that a reader prefers, with all that it is decoded from.
    pub(in crate::maintain) fn find(
        &mut self,
        content: Content,
        ids: &[ChunkId],
    ) -> Result<Vec<Found>, Error> {
        let mut found = Vec::with_capacity(ids.len());
        for (id, first) in ids.iter().zip(self.index.locate(ids)?) {
            found.push(match first {
                Some(first) => self.choose(content, id, first, 0)?,
                None => Err(Causes::from([Cause::MissingChunk(*id)])),
            });
        }
        for location in found.iter().flatten() {
            self.needed.insert(location.ordinal);
        }
        Ok(found)
    }

    /// Takes the preferred copy, or another one when that cannot be read.
    fn choose(
        &mut self,
        content: Content,
        id: &ChunkId,
        first: ChunkLocation,
        depth: u64,
    ) -> Result<Found, Error> {
        let mut causes = match self.accept(content, &first, depth)? {
            Ok(()) => {
                self.live.insert(first.ordinal);
                return Ok(Ok(first));
            }
            Err(causes) => causes,
        };
        for copy in self.index.locate_all(id)? {
            if copy.block == first.block {
                continue;
            }
            match self.accept(content, &copy, depth)? {
                Ok(()) => {
                    self.live.insert(copy.ordinal);
                    return Ok(Ok(copy));
                }
                Err(more) => causes.extend(more),
            }
        }
        Ok(Err(causes))
    }

    fn accept(
        &mut self,
        content: Content,
        location: &ChunkLocation,
        depth: u64,
    ) -> Result<Result<(), Causes>, Error> {
        if location.block.content != content || self.is_damaged(location.ordinal) {
            return Ok(Err(Causes::from([Cause::Pack(location.block.pack)])));
        }
        self.chain(&location.block, depth)
    }

    fn is_damaged(&self, ordinal: u64) -> bool {
        self.damaged.is_some_and(|damaged| damaged.contains(ordinal))
    }

    /// Finds the bases of a block. Where a name is ambiguous all that bear it are marked: only reading tells.
    fn chain(&mut self, block: &BlockLocation, depth: u64) -> Result<Result<(), Causes>, Error> {
        if block.bases.is_empty() {
            return Ok(Ok(()));
        }
        let is_short = depth + u64::from(block.depth) <= BASE_DEPTH_MAX;
        if is_short && self.chained.contains(block.first_ordinal) {
            return Ok(Ok(()));
        }
        if depth >= BASE_DEPTH_MAX {
            let reason = "chain of bases is too long or goes in a circle".to_owned();
            return Ok(Err(Causes::from([Cause::Broken(reason)])));
        }
        let mut lost = Causes::new();
        for (name, copies) in block.bases.iter().zip(self.index.locate_bases(&block.bases)?) {
            let mut found = Vec::with_capacity(copies.len());
            for (id, first) in copies {
                found.push(self.choose(block.content, &id, first, depth + 1)?);
            }
            if found.iter().any(Result::is_ok) {
                continue;
            }
            if found.is_empty() {
                let mut padded = [0; 32];
                padded[..8].copy_from_slice(&name.0);
                lost.insert(Cause::MissingChunk(ChunkId(padded)));
            }
            lost.extend(found.into_iter().filter_map(Result::err).flatten());
        }
        if !lost.is_empty() {
            return Ok(Err(lost));
        }
        self.chained.insert(block.first_ordinal);
        Ok(Ok(()))
    }
}
