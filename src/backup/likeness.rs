//! Which stored chunks look like new ones, wherever they stand.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::ChunkId;
use crate::chunker::features::Sampler;
use crate::format::pack::BaseName;
use crate::index::ChunkLocation;
use crate::repository::{BaseChunk, Error, Repository};

/// Samples of a chunk that are asked for: its smallest, among which the features of a like chunk are.
const SAMPLES_ASKED: usize = 8;
/// Runs after which it is judged whether asking pays.
const TRIAL_RUNS: u32 = 64;
/// One run in so many is still asked for where asking does not pay.
const SELDOM: u32 = 16;

/// Asks the local index for chunks that look alike; seldom, where it knows none.
#[derive(Debug)]
pub(super) struct Likeness {
    repository: Arc<Repository>,
    sampler: Sampler,
    asked: u32,
    answered: u32,
}

impl Likeness {
    /// Returns what asks the local index of `repository`.
    pub(super) fn new(repository: &Arc<Repository>) -> Result<Self, Error> {
        let sampler = Sampler::new(repository.keys().gear());
        let sampler = sampler.map_err(|_| Error::Internal { what: "gear table" })?;
        Ok(Self { repository: repository.clone(), sampler, asked: 0, answered: 0 })
    }

    /// Returns, for each chunk of a run, names of stored chunks that look like it, the likeliest first.
    pub(super) fn of_run(&mut self, run: &[(ChunkId, Bytes)]) -> Result<Vec<Vec<BaseName>>, Error> {
        let mut names: Vec<Vec<BaseName>> = vec![Vec::new(); run.len()];
        self.asked += 1;
        let pays = self.asked < TRIAL_RUNS || self.answered * 8 > self.asked;
        if !pays && !self.asked.is_multiple_of(SELDOM) {
            return Ok(names);
        }
        let mut samples = Vec::with_capacity(run.len() * SAMPLES_ASKED);
        let mut owners = Vec::with_capacity(run.len() * SAMPLES_ASKED);
        for (place, (_, data)) in run.iter().enumerate() {
            for sample in self.sampler.samples(data).into_iter().take(SAMPLES_ASKED) {
                samples.push(sample);
                owners.push(place);
            }
        }
        let mut votes: Vec<Vec<(BaseName, u32)>> = vec![Vec::new(); run.len()];
        for (asked, name) in self.repository.index().similar(&samples)? {
            let Some(votes) = owners.get(asked).and_then(|owner| votes.get_mut(*owner)) else { continue };
            match votes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => votes.push((name, 1)),
            }
        }
        for (names, mut votes) in names.iter_mut().zip(votes) {
            votes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            names.extend(votes.into_iter().map(|(name, _)| name));
        }
        if names.iter().any(|names| !names.is_empty()) {
            self.answered += if pays { 1 } else { SELDOM };
        }
        Ok(names)
    }

    /// Returns the chunks with these names that are stored.
    pub(super) fn resolve(&self, names: &[BaseName]) -> Result<Vec<BaseChunk>, Error> {
        let found = self.repository.index().locate_bases(names)?;
        let chunks = found.into_iter().filter_map(|copies| copies.into_iter().next());
        let base = |(id, at): (ChunkId, ChunkLocation)| BaseChunk {
            id,
            length_bytes: at.length_bytes,
            depth: at.block.depth,
        };
        Ok(chunks.map(base).collect())
    }
}
