//! Storing chunks: dedup → block → code and seal → pack → put → index.
//!
//! One thread adds chunks; blocks are sealed by rayon, where bases are read too; one thread packs; a few
//! threads put packs. Every queue
//! is bounded, so a slow store slows the source instead of filling memory. Whatever was put is remembered
//! locally at once and named by an index object from time to time, so an interrupted run loses nothing that
//! arrived.

mod moved;
mod open;
mod plain;
mod sealing;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;

pub use moved::sealed_bytes;
pub(crate) use open::BASED_BLOCK_BYTES;
use open::{OpenBlock, OpenBlocks, Slot};
use plain::{Chunk, is_same};
use sealing::{Group, SealedLater, Sealing};

use super::bases::BaseChunk;
use super::uploader::{UploadContext, Uploader};
use super::{ChunkCache, Error, Repository};
use crate::base::{BufferPool, ChunkId};
use crate::chunker::features::Sampler;
use crate::codec::Hint;
use crate::crypto::KeyRing;
use crate::format::pack::{BaseName, Content};
use crate::pack::PackWriter;

/// Size at which packs of tree chunks are closed.
const TREE_PACK_BYTES: usize = 16 << 20;
/// Features that wait for the local index.
const FEATURES_WAITING_MAX: usize = 1 << 18;
/// Packs that fill, one of each content.
const PACKS_FILLING: usize = 2;

/// What a writer stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriterStats {
    /// Chunks that were new.
    pub new_chunks: u64,
    /// Plaintext of new data chunks.
    pub new_data_bytes: u64,
    /// Plaintext of new tree and list chunks.
    pub new_tree_bytes: u64,
    /// Packs and index objects as stored.
    pub stored_bytes: u64,
    /// Packs put.
    pub packs: u64,
    /// Blocks whose encoder failed its check and that were stored raw.
    pub fallbacks: u64,
}

/// What the threads of a writer share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Chunks added by this writer that the local index does not show yet.
    pub(super) in_flight: Mutex<HashSet<ChunkId>>,
    /// The first failure; everything stops on it.
    pub(super) failure: Mutex<Option<Error>>,
    pub(super) stored_bytes: AtomicU64,
    pub(super) packs: AtomicU64,
    fallbacks: AtomicU64,
    /// What new chunks are known by, not yet in the local index.
    features: Mutex<Vec<(u64, BaseName)>>,
}

impl Shared {
    pub(super) fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take_failure(&self) -> Result<(), Error> {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Stores chunks that are not there yet.
#[derive(Debug)]
pub struct ChunkWriter {
    repository: Arc<Repository>,
    shared: Arc<Shared>,
    open: OpenBlocks,
    /// Blocks of bases.
    cache: Arc<ChunkCache>,
    sampler: Sampler,
    /// Bytes that passed, stored or not.
    place: u64,
    /// The buffer that open blocks may lie in.
    kept: Option<Bytes>,
    /// Blocks that wait for others to be sealed with.
    group: Group,
    to_packer: Option<SyncSender<SealedLater>>,
    packer: Option<JoinHandle<()>>,
    stats: WriterStats,
    dry: bool,
}

impl ChunkWriter {
    /// Returns a writer; packs that an earlier run put but did not index are indexed first.
    ///
    /// `dry`: everything is computed, nothing is sealed or stored.
    pub fn new(repository: Arc<Repository>, dry: bool) -> Result<Self, Error> {
        if !dry {
            repository.require_writable()?;
            repository.adopt_intents()?;
        }
        let sampler = Sampler::new(repository.keys.gear());
        let sampler = sampler.map_err(|_| Error::Internal { what: "gear table" })?;
        let memory = repository.memory;
        let shared = Arc::new(Shared::default());
        let (to_packer, from_writer) = sync_channel(memory.blocks_waiting());
        let packer = {
            let context = UploadContext { repository: repository.clone(), shared: shared.clone() };
            std::thread::Builder::new()
                .name("packer".into())
                .spawn(move || run_packer(&context, &from_writer))
        };
        let packer = packer.map_err(|_| Error::Internal { what: "cannot start a thread" })?;
        Ok(Self {
            repository,
            shared,
            open: OpenBlocks::within(memory),
            cache: Arc::new(ChunkCache::for_bases(memory)),
            sampler,
            place: 0,
            kept: None,
            group: Group::default(),
            to_packer: Some(to_packer),
            packer: Some(packer),
            stats: WriterStats::default(),
            dry,
        })
    }

    /// Returns the repository that this writes to.
    pub fn repository(&self) -> &Arc<Repository> {
        &self.repository
    }

    /// Tells for each chunk whether it is stored already, or about to be.
    pub fn contains(&self, ids: &[ChunkId]) -> Result<Vec<bool>, Error> {
        let mut known = self.repository.index.contains(ids)?;
        let in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        for (known, id) in known.iter_mut().zip(ids) {
            *known = *known || in_flight.contains(id);
        }
        Ok(known)
    }

    /// Stores a data chunk that is not there yet. Returns whether it was new.
    pub fn add_data(&mut self, id: ChunkId, data: &[u8], hint: Hint) -> Result<bool, Error> {
        if self.contains(&[id])?.first() == Some(&true) {
            return Ok(false);
        }
        self.add_new(Content::Data, id, data, hint)?;
        Ok(true)
    }

    /// Stores a data chunk that [`ChunkWriter::contains`] just said is absent.
    pub fn add_absent(&mut self, id: ChunkId, data: &[u8], hint: Hint) -> Result<bool, Error> {
        if self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner).contains(&id) {
            return Ok(false);
        }
        self.add_new(Content::Data, id, data, hint)?;
        Ok(true)
    }

    /// The same for a chunk that lies in `buffer` with its neighbours: those that follow each other there are
    /// not copied. One such buffer at a time is kept until its blocks are sealed, or [`ChunkWriter::let_go`]
    /// is called.
    pub fn add_absent_of(
        &mut self,
        buffer: &Bytes,
        id: ChunkId,
        data: &[u8],
        hint: Hint,
    ) -> Result<bool, Error> {
        if !self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            return Ok(false);
        }
        if !self.kept.as_ref().is_some_and(|kept| is_same(kept, buffer)) {
            self.open.keep_only(Some(buffer));
            self.kept = Some(buffer.clone());
        }
        self.add_to_block(Content::Data, &[(id, Chunk { data, buffer: Some(buffer) })], hint, &[])?;
        Ok(true)
    }

    /// Copies what is still needed of the buffer of [`ChunkWriter::add_absent_of`].
    pub fn let_go(&mut self) {
        if self.kept.take().is_some() {
            self.open.keep_only(None);
        }
    }

    /// Stores a chunk again although the index may know it: for repacking.
    pub fn add_again(&mut self, content: Content, id: ChunkId, data: &[u8]) -> Result<bool, Error> {
        if self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner).contains(&id) {
            return Ok(false);
        }
        self.add_new(content, id, data, Hint::Unknown)?;
        Ok(true)
    }

    /// Says that `bytes` more of a file's content went by, whether they had to be stored or not.
    pub fn passed(&mut self, bytes: u64) {
        self.place = self.place.saturating_add(bytes);
    }

    /// Stores a run of data chunks that [`ChunkWriter::contains`] just said are absent, coded together
    /// against `bases`, which stood in an earlier snapshot where the run stands now.
    pub fn add_run(
        &mut self,
        run: &[(ChunkId, Bytes)],
        hint: Hint,
        bases: &[BaseChunk],
    ) -> Result<(), Error> {
        let absent = self.claim(run);
        self.add_to_block(Content::Data, &absent, hint, bases)
    }

    /// Stores chunks of numbers, one after the other, as one block mixed with their former values, where that
    /// pays: byte `skip` of `bases` belongs to the first byte.
    pub fn add_mixed(
        &mut self,
        run: &[(ChunkId, Bytes)],
        hint: Hint,
        bases: &[BaseChunk],
        skip: usize,
    ) -> Result<(), Error> {
        let absent = self.claim(run);
        if absent.len() != run.len() {
            // A chunk of it is on its way already, so the others do not stand together.
            return self.add_to_block(Content::Data, &absent, hint, &[]);
        }
        self.add_own_block(&absent, hint, bases, Some(skip))
    }

    /// Stores chunks as one block of their own, coded with `bases` as text that they are looked up in, where
    /// that pays.
    pub fn add_beside(
        &mut self,
        run: &[(ChunkId, Bytes)],
        hint: Hint,
        bases: &[BaseChunk],
    ) -> Result<(), Error> {
        let absent = self.claim(run);
        self.add_own_block(&absent, hint, bases, None)
    }

    fn add_own_block(
        &mut self,
        run: &[(ChunkId, Chunk<'_>)],
        hint: Hint,
        bases: &[BaseChunk],
        skip: Option<usize>,
    ) -> Result<(), Error> {
        let run_bytes: usize = run.iter().map(|(_, chunk)| chunk.data.len()).sum();
        self.count(Content::Data, run.len(), run_bytes);
        if self.dry || run.is_empty() {
            return Ok(());
        }
        let mut block = OpenBlock { bases: bases.to_vec(), skip, ..OpenBlock::default() };
        block.add_run(run, &self.open.buffers, run_bytes)?;
        self.flush_block(Slot::own(hint, bases), block)
    }

    /// Returns the chunks of a run that nobody is storing yet, each once: a run may hold a chunk twice.
    fn claim<'c>(&self, run: &'c [(ChunkId, Bytes)]) -> Vec<(ChunkId, Chunk<'c>)> {
        let mut in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        run.iter().filter(|(id, _)| in_flight.insert(*id)).map(|(id, data)| (*id, data[..].into())).collect()
    }

    fn count(&mut self, content: Content, chunks: usize, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.stats.new_chunks += u64::try_from(chunks).unwrap_or(u64::MAX);
        match content {
            Content::Data => self.stats.new_data_bytes += bytes,
            Content::Tree => self.stats.new_tree_bytes += bytes,
        }
    }

    /// Stores a tree or list chunk unless it is there, and returns its id.
    pub fn add_tree(&mut self, plain: Vec<u8>) -> Result<ChunkId, Error> {
        self.add_tree_beside(plain, &[])
    }

    /// The same, coded against `bases`: tree chunks of an earlier snapshot that are much like it.
    pub fn add_tree_beside(&mut self, plain: Vec<u8>, bases: &[BaseChunk]) -> Result<ChunkId, Error> {
        let id = self.repository.keys.tree_id(&plain);
        if self.contains(&[id])?.first() != Some(&true) {
            self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            self.add_to_block(Content::Tree, &[(id, plain[..].into())], Hint::Text, bases)?;
        }
        Ok(id)
    }

    fn add_new(&mut self, content: Content, id: ChunkId, data: &[u8], hint: Hint) -> Result<(), Error> {
        self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        self.add_to_block(content, &[(id, data.into())], hint, &[])
    }

    fn add_to_block(
        &mut self,
        content: Content,
        run: &[(ChunkId, Chunk<'_>)],
        hint: Hint,
        bases: &[BaseChunk],
    ) -> Result<(), Error> {
        let run_bytes: usize = run.iter().map(|(_, chunk)| chunk.data.len()).sum();
        self.count(content, run.len(), run_bytes);
        if self.dry || run.is_empty() {
            return Ok(());
        }
        let slot = Slot::of(content, hint, run_bytes, bases);
        if let Some(full) = self.open.make_room(slot, self.place, run, bases) {
            self.flush_block(slot, full)?;
        }
        let buffers = self.open.buffers.clone();
        let block = self.open.of(slot);
        if block.chunks.is_empty() {
            block.start = self.place;
        }
        block.add_run(run, &buffers, slot.limit_bytes())?;
        if slot.has_base {
            block.add_bases(bases);
        }
        Ok(())
    }

    fn flush_block(&mut self, slot: Slot, block: OpenBlock) -> Result<(), Error> {
        if self.group.push(slot, block) { self.flush_group() } else { Ok(()) }
    }

    /// Has a thread seal the blocks that were gathered for it.
    fn flush_group(&mut self) -> Result<(), Error> {
        if self.group.is_empty() {
            return Ok(());
        }
        let (to_result, result) = sync_channel(1);
        let group = std::mem::take(&mut self.group);
        let sealing = Sealing {
            repository: self.repository.clone(),
            shared: self.shared.clone(),
            cache: self.cache.clone(),
            rooms: self.open.buffers.clone(),
            sampler: self.sampler.clone(),
        };
        self.save_features(FEATURES_WAITING_MAX)?;
        // Nobody waits any more when the run has failed elsewhere.
        rayon::spawn(move || drop(to_result.send(sealing.seal_all(group))));
        self.send(result)
    }

    /// Hands blocks to the packer.
    fn send(&mut self, sealed: SealedLater) -> Result<(), Error> {
        if self.shared.has_failed() {
            self.shared.take_failure()?;
        }
        if self.to_packer.as_ref().is_some_and(|queue| queue.send(sealed).is_ok()) {
            return Ok(());
        }
        self.shared.take_failure()?;
        Err(Error::Internal { what: "the packer ended early" })
    }

    /// Has the local index remember what chunks are known by, once at least `waiting` wait for it.
    fn save_features(&self, waiting: usize) -> Result<(), Error> {
        let features = {
            let mut features = self.shared.features.lock().unwrap_or_else(PoisonError::into_inner);
            if features.len() < waiting.max(1) {
                return Ok(());
            }
            std::mem::take(&mut *features)
        };
        Ok(self.repository.index.save_features(&features)?)
    }

    fn flush_all(&mut self) -> Result<(), Error> {
        for (slot, block) in self.open.take_all() {
            self.flush_block(slot, block)?;
            // At the end there is nothing to come that would occupy the other threads.
            self.flush_group()?;
        }
        self.flush_group()
    }

    /// Ends the writer: everything added is stored and named by an index object when this returns.
    pub fn finish(mut self) -> Result<WriterStats, Error> {
        self.flush_all()?;
        self.join();
        self.shared.take_failure()?;
        self.save_features(0)?;
        let mut stats = self.stats;
        stats.stored_bytes = self.shared.stored_bytes.load(Ordering::Relaxed);
        stats.packs = self.shared.packs.load(Ordering::Relaxed);
        stats.fallbacks = self.shared.fallbacks.load(Ordering::Relaxed);
        Ok(stats)
    }

    fn join(&mut self) {
        self.to_packer = None;
        if let Some(packer) = self.packer.take()
            && packer.join().is_err()
        {
            self.shared.fail(Error::Internal { what: "the packer failed" });
        }
    }
}

impl Drop for ChunkWriter {
    /// Keeps what arrived: complete blocks are packed, put and indexed even when the run ends early.
    fn drop(&mut self) {
        if self.packer.is_some() {
            // Without it less arrived, that is all.
            let _ = self.flush_group();
            self.join();
        }
    }
}

fn run_packer(context: &UploadContext, blocks: &Receiver<SealedLater>) {
    let keys: &KeyRing = &context.repository.keys;
    let memory = context.repository.memory;
    let target = memory.pack_target_bytes(context.repository.config.pack_target_bytes);
    let mut uploader = Uploader::start(context);
    let mut packs: [Option<PackWriter>; 2] = [None, None];
    // Those of packs that were put are kept for the next ones.
    let buffers = BufferPool::new(target * (PACKS_FILLING + memory.uploads()));
    let close = |pack: PackWriter, uploader: &mut Uploader| match pack.finish(keys) {
        Ok(pack) => uploader.put(pack),
        Err(error) => context.shared.fail(Error::Pack(error)),
    };
    let buffer = || buffers.take(target);
    for later in blocks {
        if context.shared.has_failed() {
            break;
        }
        let blocks = match later.recv() {
            Ok(Ok(blocks)) => blocks,
            Ok(Err(error)) => {
                context.shared.fail(error);
                break;
            }
            Err(_) => {
                context.shared.fail(Error::Internal { what: "sealing ended early" });
                break;
            }
        };
        for (content, block) in blocks {
            let (at, target) = match content {
                Content::Data => (0, target),
                Content::Tree => (1, TREE_PACK_BYTES.min(target)),
            };
            let is_full = packs[at].as_ref().is_some_and(|pack| pack.is_full(block.stored.len(), target));
            if let Some(pack) = packs[at].take_if(|_| is_full) {
                close(pack, &mut uploader);
            }
            packs[at].get_or_insert_with(|| PackWriter::new(content, buffer())).push(block);
        }
    }
    if !context.shared.has_failed() {
        for pack in packs.into_iter().flatten() {
            close(pack, &mut uploader);
        }
    }
    uploader.finish();
}

#[cfg(test)]
mod tests;
