//! Chunks by pack: each needed range is fetched once, in large requests, and decoded on all cores.
//!
//! ```text
//! ids → index → blocks, by pack and offset → ranges → I/O threads → open, decode, re-hash (rayon) → sink
//! ```
//! What is in flight is bounded by bytes: an I/O thread waits for room before it asks, and the room is given
//! back when the last block of its range is done.
//!
//! Blocks with bases come after the others, in the order of the files: what stands together in a file
//! leans on the same older blocks, whatever snapshots those are of, so that each is decoded once while it
//! is at hand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::Bytes;

use super::RestoreError;
use crate::backend::ObjectKey;
use crate::base::{ChunkId, PackId};
use crate::format::pack::Content;
use crate::index::BlockLocation;
use crate::pack::{PackError, open_block_with};
use crate::repository::{ChunkCache, ChunkReader, Error, Repository};

/// Bytes between two needed blocks that are fetched along rather than asked around.
const GAP_MAX_BYTES: u64 = 256 << 10;
/// Requests at a time.
const REQUEST_COUNT_MAX: usize = 8;
/// Blocks with bases whose chains are looked up at once.
const BASED_WINDOW: usize = 1 << 10;
/// Neighbouring blocks that one thread decodes one after the other. Most lean on the same few blocks, up to a
/// MiB long, for which threads side by side would wait for each other.
const BASED_STRETCH: usize = 16;
/// Ids looked up at once.
const LOOKUP_COUNT_MAX: usize = 1 << 16;

/// Takes chunks, from many threads, in no order.
pub(super) trait Sink: Sync {
    /// The chunk of the `wanted`-th id, checked against it. May come again for the same id only after an
    /// error.
    fn chunk(&self, wanted: usize, plain: &[u8]) -> Result<(), RestoreError>;
    /// No whole copy of that chunk is to be had.
    fn missing(&self, wanted: usize, error: &Error) -> Result<(), RestoreError>;
}

struct Want {
    wanted: usize,
    chunk_offset: u32,
    length_bytes: u32,
}

struct WantedBlock {
    location: BlockLocation,
    wants: Vec<Want>,
}

struct Range {
    pack: PackId,
    offset: u64,
    length_bytes: u64,
    blocks: std::ops::Range<usize>,
}

/// Room for stored bytes that are fetched and not decoded yet.
struct Room {
    max_bytes: u64,
    held_bytes: Mutex<u64>,
    freed: Condvar,
}

struct Held<'a> {
    room: &'a Room,
    bytes: u64,
}

impl Room {
    fn take(&self, bytes: u64) -> Held<'_> {
        let mut held = self.held_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        while *held > 0 && *held + bytes > self.max_bytes {
            held = self.freed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        *held += bytes;
        Held { room: self, bytes }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.room.held_bytes.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.room.freed.notify_all();
    }
}

struct Fetch<'a> {
    reader: &'a ChunkReader<'a>,
    repository: &'a Repository,
    ids: &'a [ChunkId],
    sink: &'a dyn Sink,
    blocks: Vec<WantedBlock>,
    ranges: Vec<Range>,
    next: AtomicUsize,
    room: Room,
    has_failed: AtomicBool,
    failure: Mutex<Option<RestoreError>>,
}

/// Gives every chunk of `ids`, which are all different, to `sink`.
///
/// Damage goes to the sink; a store that does not answer, a stop, or an error of the sink ends it.
pub(super) fn fetch(reader: &ChunkReader<'_>, ids: &[ChunkId], sink: &dyn Sink) -> Result<(), RestoreError> {
    let repository = reader.repository();
    let (blocks, based) = locate(repository, ids, sink)?;
    let memory = repository.memory();
    let ranges = ranges_of(&blocks, memory.request_bytes());
    let thread_count = REQUEST_COUNT_MAX.min(ranges.len());
    let fetch = Fetch {
        reader,
        repository,
        ids,
        sink,
        blocks,
        ranges,
        next: AtomicUsize::new(0),
        room: Room { max_bytes: memory.restoring_bytes(), held_bytes: Mutex::new(0), freed: Condvar::new() },
        has_failed: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    let fetch = &fetch;
    rayon::in_place_scope(|decoders| {
        std::thread::scope(|threads| {
            for _ in 0..thread_count {
                threads.spawn(|| fetch.run(decoders));
            }
        });
    });
    fetch.run_based(&based);
    match fetch.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Finds the blocks that hold `ids`: those without bases, and those with, which stand in the order in which
/// `ids` need them. Of the former, packs are in the order in which `ids` need them first, offsets ascending
/// within.
fn locate(
    repository: &Repository,
    ids: &[ChunkId],
    sink: &dyn Sink,
) -> Result<(Vec<WantedBlock>, Vec<WantedBlock>), RestoreError> {
    let mut blocks: Vec<WantedBlock> = Vec::new();
    let mut numbers: HashMap<(PackId, u32), usize> = HashMap::new();
    let mut pack_order: HashMap<PackId, usize> = HashMap::new();
    for (round, batch) in ids.chunks(LOOKUP_COUNT_MAX).enumerate() {
        repository.check_stop()?;
        let found = repository.index().locate(batch).map_err(Error::from)?;
        for (place, location) in found.into_iter().enumerate() {
            let wanted = round * LOOKUP_COUNT_MAX + place;
            let Some(location) = location.filter(|location| location.block.content == Content::Data) else {
                sink.missing(wanted, &Error::MissingChunk { id: batch[place] })?;
                continue;
            };
            let want =
                Want { wanted, chunk_offset: location.chunk_offset, length_bytes: location.length_bytes };
            pack_order.entry(location.block.pack).or_insert(wanted);
            let number = *numbers.entry((location.block.pack, location.block.offset)).or_insert(blocks.len());
            if number == blocks.len() {
                blocks.push(WantedBlock { location: location.block, wants: Vec::new() });
            }
            blocks[number].wants.push(want);
        }
    }
    let is_based = |block: &mut WantedBlock| !block.location.bases.is_empty();
    let based: Vec<WantedBlock> = blocks.extract_if(.., is_based).collect();
    blocks.sort_by_cached_key(|block| {
        let pack = block.location.pack;
        (pack_order.get(&pack).copied().unwrap_or(usize::MAX), block.location.offset)
    });
    Ok((blocks, based))
}

fn ranges_of(blocks: &[WantedBlock], request_max_bytes: u64) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let location = &block.location;
        let (start, length) = (u64::from(location.offset), u64::from(location.stored_bytes));
        let end = start + length;
        if let Some(last) = ranges.last_mut()
            && last.pack == location.pack
            && start.saturating_sub(last.offset + last.length_bytes) <= GAP_MAX_BYTES
            && end.saturating_sub(last.offset) <= request_max_bytes
        {
            last.length_bytes = last.length_bytes.max(end - last.offset);
            last.blocks.end = at + 1;
            continue;
        }
        ranges.push(Range { pack: location.pack, offset: start, length_bytes: length, blocks: at..at + 1 });
    }
    ranges
}

impl<'a> Fetch<'a> {
    /// One I/O thread.
    fn run<'s>(&'s self, decoders: &rayon::Scope<'s>)
    where
        'a: 's,
    {
        while !self.has_failed.load(Ordering::Relaxed) {
            let Some(range) = self.ranges.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return };
            if let Err(error) = self.repository.check_stop() {
                return self.fail(error.into());
            }
            let held = Arc::new(self.room.take(range.length_bytes));
            let key = ObjectKey::pack(&range.pack);
            let stored = self.repository.backend().get_range(&key, range.offset, range.length_bytes);
            let stored = stored.map_err(|error| Error::of_pack(key.path(), PackError::from(error)));
            let stored = match stored {
                Ok(stored) => Some(stored),
                Err(error) if error.is_damage() => None,
                Err(error) => return self.fail(error.into()),
            };
            for block in &self.blocks[range.blocks.clone()] {
                let held = held.clone();
                let start = usize::try_from(u64::from(block.location.offset) - range.offset);
                let length = usize::try_from(block.location.stored_bytes);
                let part = match (&stored, start, length) {
                    (Some(stored), Ok(start), Ok(length)) if start + length <= stored.len() => {
                        Some(stored.slice(start..start + length))
                    }
                    _ => None,
                };
                decoders.spawn(move |_| {
                    self.decode(block, part);
                    drop(held);
                });
            }
        }
    }

    /// Gives the chunks of blocks with bases, on all cores, in the order of the files.
    fn run_based(&self, blocks: &[WantedBlock]) {
        let cache = Arc::new(ChunkCache::for_bases(self.repository.memory()));
        let look_ahead = |window: Option<&&[WantedBlock]>| {
            let Some(window) = window else { return };
            let reader = ChunkReader::with_cache(self.repository, cache.clone());
            let locations: Vec<&BlockLocation> = window.iter().map(|block| &block.location).collect();
            reader.look_ahead(&locations).unwrap_or_else(|error| self.fail(error.into()));
        };
        let mut windows = blocks.chunks(BASED_WINDOW).peekable();
        look_ahead(windows.peek());
        while let Some(window) = windows.next() {
            self.run_window(window, &cache, || look_ahead(windows.peek()));
        }
    }

    /// Decodes blocks while `meanwhile` runs on this thread.
    fn run_window(&self, blocks: &[WantedBlock], cache: &Arc<ChunkCache>, meanwhile: impl FnOnce()) {
        let stretches = Mutex::new(blocks.chunks(BASED_STRETCH));
        let next = || stretches.lock().unwrap_or_else(PoisonError::into_inner).next();
        rayon::in_place_scope(|decoders| {
            for _ in 0..rayon::current_num_threads() {
                decoders.spawn(|_| {
                    let reader = ChunkReader::with_cache(self.repository, cache.clone());
                    while let Some(stretch) = next() {
                        let decoded = stretch.iter().try_for_each(|block| self.decode_based(&reader, block));
                        if let Err(error) = decoded {
                            self.fail(error);
                        }
                    }
                });
            }
            meanwhile();
        });
    }

    fn decode_based(&self, reader: &ChunkReader<'_>, block: &WantedBlock) -> Result<(), RestoreError> {
        if self.has_failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.repository.check_stop()?;
        let mut open: Vec<&Want> = block.wants.iter().collect();
        let damage = match reader.block_untested(&block.location, None) {
            Ok(plain) => self.give(&plain, &block.location, &mut open)?,
            Err(error) if error.is_damage() => Some(error),
            Err(error) => return Err(error.into()),
        };
        for want in open {
            self.give_copy(block, want, damage.as_ref())?;
        }
        Ok(())
    }

    fn fail(&self, error: RestoreError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.has_failed.store(true, Ordering::Relaxed);
    }

    fn decode(&self, block: &WantedBlock, stored: Option<Bytes>) {
        if self.has_failed.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.try_decode(block, stored) {
            self.fail(error);
        }
    }

    fn try_decode(&self, block: &WantedBlock, stored: Option<Bytes>) -> Result<(), RestoreError> {
        let mut open: Vec<&Want> = block.wants.iter().collect();
        let damage = match self.give_whole(block, stored, &mut open) {
            Ok(()) if open.is_empty() => return Ok(()),
            Ok(()) => None,
            Err(RestoreError::Repository(error)) if error.is_damage() => Some(error),
            Err(error) => return Err(error),
        };
        for want in open {
            self.give_copy(block, want, damage.as_ref())?;
        }
        Ok(())
    }

    /// Decodes a block and gives its chunks.
    fn give_whole(
        &self,
        block: &WantedBlock,
        stored: Option<Bytes>,
        open: &mut Vec<&Want>,
    ) -> Result<(), RestoreError> {
        let location = &block.location;
        let key = ObjectKey::pack(&location.pack);
        let stored = match stored {
            Some(stored) => stored,
            // The range failed as a whole; this block of it may be there.
            None => {
                let length = u64::from(location.stored_bytes);
                let stored = self.repository.backend().get_range(&key, u64::from(location.offset), length);
                stored.map_err(|error| Error::of_pack(key.path(), PackError::from(error)))?
            }
        };
        let raw_bytes = usize::try_from(location.raw_bytes).unwrap_or(usize::MAX);
        let given = open_block_with(self.repository.keys(), &stored, raw_bytes, &[], |plain| {
            self.give(plain, location, open)
        });
        let damage = given.map_err(|error| Error::of_pack(key.path(), error))??;
        damage.map_or(Ok(()), |damage| Err(damage.into()))
    }

    /// Gives the wanted chunks of a decoded block; those that are not what their ids name stay open, and the
    /// last of them is returned as damage.
    fn give(
        &self,
        plain: &[u8],
        location: &BlockLocation,
        open: &mut Vec<&Want>,
    ) -> Result<Option<Error>, RestoreError> {
        let mut damage = None;
        let mut outcome = Ok(());
        open.retain(|want| {
            let start = usize::try_from(want.chunk_offset).unwrap_or(usize::MAX);
            let end = start.saturating_add(usize::try_from(want.length_bytes).unwrap_or(usize::MAX));
            let id = self.ids[want.wanted];
            let chunk = plain.get(start..end);
            match chunk.filter(|chunk| self.repository.keys().data_id(chunk) == id) {
                Some(chunk) if outcome.is_ok() => {
                    outcome = self.sink.chunk(want.wanted, chunk);
                    false
                }
                Some(_) => true,
                None => {
                    let object = ObjectKey::pack(&location.pack).to_string();
                    damage = Some(Error::of_pack(object, PackError::ChunkMismatch { id }));
                    true
                }
            }
        });
        outcome.map(|()| damage)
    }

    /// Looks for another copy of a chunk whose best copy is damaged.
    fn give_copy(
        &self,
        block: &WantedBlock,
        want: &Want,
        damage: Option<&Error>,
    ) -> Result<(), RestoreError> {
        let id = self.ids[want.wanted];
        let copies = self.repository.index().locate_all(&id).map_err(Error::from)?;
        // With a base, reading the chunk by itself also tries other chunks of the same short names.
        let is_based = !block.location.bases.is_empty();
        if is_based || copies.iter().any(|copy| copy.block != block.location) {
            match self.reader.read(Content::Data, &id) {
                Ok(chunk) => return self.sink.chunk(want.wanted, &chunk),
                Err(error) if error.is_damage() => return self.sink.missing(want.wanted, &error),
                Err(error) => return Err(error.into()),
            }
        }
        self.sink.missing(want.wanted, damage.unwrap_or(&Error::MissingChunk { id }))
    }
}
