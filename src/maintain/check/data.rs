//! Reading packs whole: every byte, every block, every chunk.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::Bytes;
use rayon::prelude::*;

use super::packs::KnownPacks;
use super::report::CheckReport;
use crate::backend::{ErrorKind, ObjectKey};
use crate::base::limits::PACK_SIZE_MAX_BYTES;
use crate::base::{PackId, Phase};
use crate::crypto::KeyRing;
use crate::format::pack::{Content, Directory, DirectoryBlock, DirectoryChunk, HEAD_SIZE_BYTES};
use crate::index::{BlockInfo, BlockLocation, ChunkLocation, PackInfo};
use crate::pack::{
    PackError, chunk_id, open_block_with, parse_layout, read_directory, require_name, require_seal,
    verify_chunks,
};
use crate::repository::{ChunkCache, ChunkReader, Error, Repository, describe};

/// Packs that are fetched or verified at once.
const PACKS_IN_FLIGHT_MAX: usize = 4;
/// Blocks whose chains of bases are looked up at once.
const LOOKED_UP_COUNT: usize = 1 << 10;
/// Blocks of one pack named in its finding.
const BLOCKS_NAMED_MAX: usize = 4;

/// What is wrong with a block, and the ordinals of its chunks that are lost: first and count.
type BlockVerdict = (Option<String>, Vec<(u64, u64)>);

/// Bytes that may be held; one pack always fits.
#[derive(Debug)]
struct Budget {
    total_bytes: u64,
    free_bytes: Mutex<u64>,
    freed: Condvar,
}

impl Budget {
    fn new(total_bytes: u64) -> Self {
        Self { total_bytes, free_bytes: Mutex::new(total_bytes), freed: Condvar::new() }
    }

    fn take(&self, bytes: u64) {
        let mut free = self.free_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= bytes;
    }

    fn give_back(&self, bytes: u64) {
        *self.free_bytes.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
        self.freed.notify_all();
    }
}

/// What reading one pack showed.
#[derive(Debug, Default)]
struct Outcome {
    /// What is wrong, empty when nothing is.
    problems: Vec<String>,
    /// The pack is gone.
    is_missing: bool,
    /// Ordinals of chunks that cannot be read: first and count.
    damaged: Vec<(u64, u64)>,
    blocks: u64,
    chunks: u64,
    read_bytes: u64,
}

/// Reads `packs` whole, several at a time on all cores, and notes what is damaged.
///
/// Older packs come first: what a block leans on was then decoded not long before it.
pub(super) fn read_packs(
    repository: &Repository,
    mut packs: Vec<PackInfo>,
    known: &mut KnownPacks,
    report: &mut CheckReport,
) -> Result<(), Error> {
    packs.sort_by_key(|pack| pack.first_ordinal);
    let packs = packs.as_slice();
    if packs.is_empty() {
        return Ok(());
    }
    let total_bytes = packs.iter().map(|pack| u64::from(pack.size_bytes)).sum();
    repository.progress().begin(Phase::Check, u64::try_from(packs.len()).ok(), Some(total_bytes));
    for id in &known.unreadable {
        repository.index().record_verified(id, repository.clock().now(), false)?;
    }
    let readers = Readers {
        repository,
        blocks: ChunkReader::with_cache(repository, Arc::new(ChunkCache::for_bases(repository.memory()))),
        chunks: ChunkReader::new(repository),
        packs,
        copied: &known.copied,
        next: AtomicUsize::new(0),
        budget: Budget::new(repository.memory().checking_bytes()),
        outcomes: Mutex::new(Vec::new()),
        failure: Mutex::new(None),
    };
    std::thread::scope(|scope| {
        for _ in 0..packs.len().min(PACKS_IN_FLIGHT_MAX) {
            scope.spawn(|| readers.run());
        }
    });
    repository.progress().end();
    if let Some(error) = readers.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut outcomes = readers.outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    if outcomes.len() != packs.len() {
        return Err(Error::Internal { what: "a thread that reads packs failed" });
    }
    outcomes.sort_by_key(|(id, _)| *id);
    for (id, outcome) in outcomes {
        report.packs_read += 1;
        report.read_bytes += outcome.read_bytes;
        report.blocks_read += outcome.blocks;
        report.chunks_read += outcome.chunks;
        known.misses |= outcome.is_missing;
        for (first, count) in outcome.damaged {
            known.damaged.insert_range(first, count);
        }
        if !outcome.problems.is_empty() {
            report.error(ObjectKey::pack(&id).path(), outcome.problems.join("; "));
        }
    }
    Ok(())
}

/// The threads that read, and what they share.
#[derive(Debug)]
struct Readers<'a> {
    repository: &'a Repository,
    /// Reads bases that their blocks prove.
    blocks: ChunkReader<'a>,
    /// Reads bases of blocks that do not fit theirs, chunk by chunk.
    chunks: ChunkReader<'a>,
    packs: &'a [PackInfo],
    copied: &'a std::collections::BTreeSet<PackId>,
    next: AtomicUsize,
    budget: Budget,
    outcomes: Mutex<Vec<(PackId, Outcome)>>,
    failure: Mutex<Option<Error>>,
}

impl Readers<'_> {
    fn run(&self) {
        while let Some(pack) = self.packs.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                return;
            }
            let held_bytes = u64::from(pack.size_bytes).min(self.budget.total_bytes);
            self.budget.take(held_bytes);
            let outcome = self.one(pack);
            self.budget.give_back(held_bytes);
            match outcome {
                Ok(outcome) => {
                    let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                    outcomes.push((pack.id, outcome));
                }
                Err(error) => {
                    let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert(error);
                    return;
                }
            }
        }
    }

    fn one(&self, pack: &PackInfo) -> Result<Outcome, Error> {
        self.repository.check_stop()?;
        let key = ObjectKey::pack(&pack.id);
        self.repository.progress().current(key.path().as_bytes());
        let outcome = match self.repository.backend().get(&key, PACK_SIZE_MAX_BYTES) {
            Ok(bytes) => self.verify(pack, &bytes)?,
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Short) => Outcome {
                problems: vec![match error.kind {
                    ErrorKind::NotFound => "is missing".to_owned(),
                    _ => error.action,
                }],
                is_missing: error.kind == ErrorKind::NotFound,
                damaged: vec![(pack.first_ordinal, pack.chunk_count)],
                ..Outcome::default()
            },
            Err(error) => return Err(error.into()),
        };
        let now = self.repository.clock().now();
        self.repository.index().record_verified(&pack.id, now, outcome.problems.is_empty())?;
        self.repository.progress().advance(1, u64::from(pack.size_bytes));
        Ok(outcome)
    }

    fn verify(&self, pack: &PackInfo, bytes: &Bytes) -> Result<Outcome, Error> {
        let keys = self.repository.keys();
        let read_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut outcome = Outcome { read_bytes, ..Outcome::default() };
        let blocks = self.repository.index().pack_blocks(&pack.id)?;
        let directory = directory_of(&blocks);
        // The name is a hash over all bytes, and is computed where those do not prove themselves below, or
        // where they might be those of another pack.
        let parsed = parse_layout(keys, bytes);
        let is_expected = parsed
            .as_ref()
            .is_ok_and(|parsed| parsed.directory == directory && parsed.content == pack.content);
        let is_proven_below = is_expected && !self.has_twin(pack, &blocks)?;
        let is_named = (!is_proven_below).then(|| require_name(&pack.id, bytes));
        match (parsed, &is_named) {
            (Ok(_), None | Some(Ok(()))) if is_expected => {}
            (Ok(_), None | Some(Ok(()))) => outcome
                .problems
                .push("the local index differs from its directory: remove the local index".to_owned()),
            (Err(error), None | Some(Ok(()))) => {
                outcome.problems.push(describe(&error));
                self.judge_directory(pack, &mut outcome)?;
            }
            (_, Some(Err(error))) => {
                outcome.problems.push(describe(error));
                self.judge_directory(pack, &mut outcome)?;
            }
        }
        let mut verdicts: Vec<BlockVerdict> = Vec::with_capacity(blocks.len());
        let windows = blocks.chunks(LOOKED_UP_COUNT).zip(directory.blocks.chunks(LOOKED_UP_COUNT));
        for (blocks, entries) in windows {
            let locations: Vec<&BlockLocation> = blocks.iter().map(|block| &block.location).collect();
            self.blocks.look_ahead(&locations)?;
            let verify = |(block, entry): (&BlockInfo, &DirectoryBlock)| {
                self.repository.check_stop()?;
                self.verify_block(block, entry, bytes)
            };
            let found: Result<Vec<_>, Error> = blocks.par_iter().zip(entries).map(verify).collect();
            verdicts.extend(found?);
        }
        let is_proven = verdicts.iter().all(|(reason, damaged)| reason.is_none() && damaged.is_empty());
        if is_named.is_none()
            && !is_proven
            && let Err(error) = require_name(&pack.id, bytes)
        {
            outcome.problems.push(describe(&error));
        }
        let mut damaged_blocks = 0;
        for (block, (reason, damaged)) in blocks.iter().zip(verdicts) {
            outcome.blocks += 1;
            outcome.chunks += u64::try_from(block.ids.len()).unwrap_or(u64::MAX);
            outcome.damaged.extend(damaged);
            if let Some(reason) = reason {
                damaged_blocks += 1;
                if damaged_blocks <= BLOCKS_NAMED_MAX {
                    outcome.problems.push(format!("block at byte {}: {reason}", block.location.offset));
                }
            }
        }
        if damaged_blocks > BLOCKS_NAMED_MAX {
            let count = damaged_blocks - BLOCKS_NAMED_MAX;
            outcome.problems.push(format!("{count} more blocks are damaged"));
        }
        Ok(outcome)
    }

    /// Tells whether another pack of that size begins with the same chunk: one may stand under both names, so
    /// that what the other had is gone.
    fn has_twin(&self, pack: &PackInfo, blocks: &[BlockInfo]) -> Result<bool, Error> {
        let Some(id) = blocks.first().and_then(|block| block.ids.first()) else { return Ok(false) };
        let copies = self.repository.index().locate_all(id)?;
        let is_twin = |copy: &ChunkLocation| {
            let PackInfo { id, size_bytes, .. } = pack;
            copy.block.pack != *id
                && (copy.block.pack_bytes, copy.block.offset, copy.chunk_offset)
                    == (*size_bytes, HEAD_SIZE_BYTES, 0)
        };
        Ok(copies.iter().any(is_twin))
    }

    /// Finds out whether the directory of a damaged pack is whole. When it is not and no index object has a
    /// copy, hosts that do not know it find no chunk of the pack.
    fn judge_directory(&self, pack: &PackInfo, outcome: &mut Outcome) -> Result<(), Error> {
        let (backend, keys) = (self.repository.backend().as_ref(), self.repository.keys());
        let (size_bytes, told) = (u64::from(pack.size_bytes), Some(pack.directory_bytes));
        match read_directory(backend, keys, &pack.id, size_bytes, told) {
            Ok(_) => Ok(()),
            Err(error) if error.is_damage() => {
                outcome.problems.push("its directory cannot be read".to_owned());
                if !self.copied.contains(&pack.id) {
                    outcome.damaged.push((pack.first_ordinal, pack.chunk_count));
                }
                Ok(())
            }
            Err(error) => Err(Error::of_pack(ObjectKey::pack(&pack.id).path(), error)),
        }
    }

    /// Opens, decodes and re-hashes one block. Returns what is wrong and the ordinals of chunks that are
    /// lost.
    fn verify_block(
        &self,
        block: &BlockInfo,
        entry: &DirectoryBlock,
        pack: &Bytes,
    ) -> Result<BlockVerdict, Error> {
        let location = &block.location;
        let whole = block.ordinals();
        let start = usize::try_from(location.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(location.stored_bytes).unwrap_or(usize::MAX));
        if end > pack.len() || start > end {
            return Ok((Some("lies beyond the end".to_owned()), vec![whole]));
        }
        let stored = pack.slice(start..end);
        if !location.bases.is_empty() && self.is_right(location, entry, &stored)? {
            return Ok((None, Vec::new()));
        }
        let bases = match self.chunks.bases_of(location, 0) {
            Ok(bases) => bases,
            // Prune takes the bases of blocks that nobody needs: whoever does need this one says so.
            Err(Error::MissingChunk { .. }) => return Ok((None, vec![whole])),
            Err(error) if error.is_damage() => {
                return Ok((Some(format!("its base cannot be read: {error}")), vec![whole]));
            }
            Err(error) => return Err(error),
        };
        let keys = self.repository.keys();
        let raw_bytes = usize::try_from(location.raw_bytes).unwrap_or(usize::MAX);
        let mut outcome = (None, vec![whole]);
        for base in &bases {
            let judge = |raw: &[u8]| match verify_chunks(keys, location.content, entry, raw) {
                Ok(()) => None,
                Err(error) => Some((Some(describe(&error)), mismatches(keys, location.content, block, raw))),
            };
            match open_block_with(keys, &stored, raw_bytes, base, judge) {
                Ok(None) => return Ok((None, Vec::new())),
                Ok(Some(verdict)) => outcome = verdict,
                Err(error @ PackError::Backend(_)) => return Err(Error::of_pack("pack", error)),
                Err(error) => outcome.0 = Some(describe(&error)),
            }
        }
        Ok((outcome.0.or_else(|| Some("no base fits".to_owned())), outcome.1))
    }

    /// Tells whether a block with bases decodes to its chunks with them as they stand: they are right then.
    fn is_right(
        &self,
        location: &BlockLocation,
        entry: &DirectoryBlock,
        stored: &Bytes,
    ) -> Result<bool, Error> {
        match self.blocks.block_untested(location, Some(stored)) {
            Ok(raw) => {
                let keys = self.repository.keys();
                // It may have been decoded before, out of other bytes than these.
                let is_sealed = require_seal(keys, stored).is_ok();
                Ok(is_sealed && verify_chunks(keys, location.content, entry, &raw).is_ok())
            }
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Returns the ordinals of the chunks of a decoded block that are not what their ids name.
fn mismatches(keys: &KeyRing, content: Content, block: &BlockInfo, raw: &[u8]) -> Vec<(u64, u64)> {
    let mut lost = Vec::new();
    let mut rest = raw;
    let chunks = block.ids.iter().zip(&block.lengths);
    for (ordinal, (id, length_bytes)) in (block.location.first_ordinal..).zip(chunks) {
        let length = usize::try_from(*length_bytes).unwrap_or(usize::MAX).min(rest.len());
        let (plain, after) = rest.split_at(length);
        if chunk_id(keys, content, plain) != *id {
            lost.push((ordinal, 1));
        }
        rest = after;
    }
    lost
}

/// Returns the directory that the local index has of a pack.
pub(in crate::maintain) fn directory_of(blocks: &[BlockInfo]) -> Directory {
    let blocks = blocks.iter().map(|block| DirectoryBlock {
        stored_bytes: block.location.stored_bytes,
        depth: block.location.depth,
        bases: block.location.bases.to_vec(),
        chunks: block
            .ids
            .iter()
            .zip(&block.lengths)
            .map(|(id, length_bytes)| DirectoryChunk { id: *id, length_bytes: *length_bytes })
            .collect(),
    });
    Directory { blocks: blocks.collect() }
}
