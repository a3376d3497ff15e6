//! Chunks by pack: each needed range is fetched once, in large requests, and decoded on all cores.
//!
//! ```text
//! ids → index → blocks, by pack and offset → ranges → I/O threads → open, decode, re-hash (rayon) → sink
//! ```
//! What is in flight is bounded by bytes: an I/O thread waits for room before it asks, and the room is given
//! back when the last block of its range is done.
//!
//! Blocks with bases are decoded in the order of the files, while what the next of them lean on is fetched.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use super::RestoreError;
use super::steps::{PackRange, Step, Steps, Want, WantedBlock};
use crate::backend::ObjectKey;
use crate::base::ChunkId;
use crate::format::pack::Content;
use crate::index::BlockLocation;
use crate::pack::{PackError, open_block_with};
use crate::repository::{ChunkCache, ChunkReader, Error, Repository};

/// Requests at a time.
const REQUEST_COUNT_MAX: usize = 8;
/// Neighbouring blocks that one thread decodes one after the other, at least, and into how many such
/// stretches a step is cut for each thread. Neighbours lean on the same blocks, for which threads side by
/// side would wait for each other, so there are few.
const STRETCH_MIN_COUNT: usize = 16;
const STRETCHES_PER_THREAD: usize = 2;

/// A chunk that was asked for.
#[derive(Debug)]
pub(super) struct Found {
    /// By its place in what was asked for.
    pub(super) wanted: usize,
    /// Where it lies in its block.
    pub(super) place: Range<usize>,
}

/// Takes chunks, from many threads, in no order.
pub(super) trait Sink: Sync {
    /// Chunks of one block, each checked against its id, in the order in which they were asked for. One may
    /// come again only after an error.
    fn chunks(&self, found: &[Found], plain: &[u8]) -> Result<(), RestoreError>;
    /// No whole copy of that chunk is to be had.
    fn missing(&self, wanted: usize, error: &Error) -> Result<(), RestoreError>;
}

/// Returns what is told of a chunk that is not as long as the list says that asks for it.
pub(super) fn wrong_length() -> Error {
    let reason = "a chunk has another length than its list says".to_owned();
    Error::Damaged { object: "chunk list".to_owned(), reason }
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
    /// Reads chunk by chunk, where a block is damaged.
    reader: &'a ChunkReader<'a>,
    /// Reads blocks with bases, and what they lean on.
    based: ChunkReader<'a>,
    repository: &'a Repository,
    ids: &'a [ChunkId],
    sink: &'a dyn Sink,
    room: Room,
    has_failed: AtomicBool,
    failure: Mutex<Option<RestoreError>>,
}

/// Gives every chunk of `ids`, which are all different and whose blocks are those of `steps`, to `sink`.
///
/// Damage goes to the sink; a store that does not answer, a stop, or an error of the sink ends it.
pub(super) fn fetch(
    reader: &ChunkReader<'_>,
    ids: &[ChunkId],
    steps: Steps,
    sink: &dyn Sink,
) -> Result<(), RestoreError> {
    let repository = reader.repository();
    let memory = repository.memory();
    let fetch = Fetch {
        reader,
        based: ChunkReader::with_cache(repository, Arc::new(ChunkCache::for_bases(memory))),
        repository,
        ids,
        sink,
        room: Room { max_bytes: memory.restoring_bytes(), held_bytes: Mutex::new(0), freed: Condvar::new() },
        has_failed: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    fetch.run(steps);
    match fetch.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

impl<'a> Fetch<'a> {
    /// Takes step by step: what one leans on is fetched while blocks of the one before are decoded.
    fn run(&self, mut steps: Steps) {
        let mut based = Vec::new();
        loop {
            let next = OnceLock::new();
            let threads = rayon::current_num_threads();
            let stretch_count = based.len().div_ceil(threads * STRETCHES_PER_THREAD).max(STRETCH_MIN_COUNT);
            let stretches = Mutex::new(based.chunks(stretch_count));
            rayon::in_place_scope(|decoders| {
                for _ in 0..threads {
                    decoders.spawn(|_| self.decode_stretches(&stretches));
                }
                if let Some(step) = next.get_or_init(|| self.next_of(&mut steps)) {
                    self.fetch_step(step, decoders);
                }
            });
            let Some(step) = next.into_inner().flatten() else { return };
            based = step.based;
        }
    }

    fn next_of(&self, steps: &mut Steps) -> Option<Step> {
        if self.has_failed.load(Ordering::Relaxed) {
            return None;
        }
        steps.next(&self.based).unwrap_or_else(|error| {
            self.fail(error.into());
            None
        })
    }

    /// One of the threads that decode blocks with bases.
    fn decode_stretches(&self, stretches: &Mutex<std::slice::Chunks<'_, WantedBlock>>) {
        let next = || stretches.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(stretch) = next() {
            for block in stretch {
                if let Err(error) = self.repository.check_stop() {
                    return self.fail(error.into());
                }
                self.decode(block, None);
            }
        }
    }

    /// Fetches the ranges of a step, several at a time, and has their blocks decoded.
    fn fetch_step<'s>(&'s self, step: &'s Step, decoders: &rayon::Scope<'s>)
    where
        'a: 's,
    {
        let ranges = Mutex::new(step.ranges.iter());
        std::thread::scope(|threads| {
            for _ in 0..REQUEST_COUNT_MAX.min(step.ranges.len()) {
                threads.spawn(|| self.fetch_ranges(step, &ranges, decoders));
            }
        });
    }

    /// One I/O thread.
    fn fetch_ranges<'s>(
        &'s self,
        step: &'s Step,
        ranges: &Mutex<std::slice::Iter<'s, PackRange>>,
        decoders: &rayon::Scope<'s>,
    ) where
        'a: 's,
    {
        let next = || ranges.lock().unwrap_or_else(PoisonError::into_inner).next();
        while !self.has_failed.load(Ordering::Relaxed) {
            let Some(range) = next() else { return };
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
            for block in &step.blocks[range.blocks.clone()] {
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
            Err(RestoreError::Repository(error)) if error.is_damage() => error,
            outcome => return outcome,
        };
        open.into_iter().try_for_each(|want| self.give_copy(block, want, &damage))
    }

    /// Decodes a block and gives its chunks; those that are damaged stay open.
    fn give_whole(
        &self,
        block: &WantedBlock,
        stored: Option<Bytes>,
        open: &mut Vec<&Want>,
    ) -> Result<(), RestoreError> {
        let location = &block.location;
        if block.is_base || !location.bases.is_empty() {
            match self.based.block_untested(location, stored.as_ref()) {
                Ok(plain) => {
                    let damage = self.give(&plain, location, open)?;
                    return damage.map_or(Ok(()), |damage| Err(damage.into()));
                }
                // What was read along with it may be what is damaged.
                Err(error) if error.is_damage() && location.bases.is_empty() => {}
                Err(error) => return Err(error.into()),
            }
        }
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
        let mut found = Vec::with_capacity(open.len());
        open.retain(|want| {
            let start = usize::try_from(want.chunk_offset).unwrap_or(usize::MAX);
            let end = start.saturating_add(usize::try_from(want.length_bytes).unwrap_or(usize::MAX));
            let id = self.ids[want.wanted];
            let chunk = plain.get(start..end);
            let is_right = chunk.is_some_and(|chunk| self.repository.keys().data_id(chunk) == id);
            if is_right {
                found.push(Found { wanted: want.wanted, place: start..end });
            } else {
                let object = ObjectKey::pack(&location.pack).to_string();
                damage = Some(Error::of_pack(object, PackError::ChunkMismatch { id }));
            }
            !is_right
        });
        self.sink.chunks(&found, plain)?;
        Ok(damage)
    }

    /// Looks for another copy of a chunk whose best copy is damaged.
    fn give_copy(&self, block: &WantedBlock, want: &Want, damage: &Error) -> Result<(), RestoreError> {
        let id = self.ids[want.wanted];
        let copies = self.repository.index().locate_all(&id).map_err(Error::from)?;
        // With a base, reading the chunk by itself also tries other chunks of the same short names.
        let is_based = !block.location.bases.is_empty();
        if is_based || copies.iter().any(|copy| copy.block != block.location) {
            match self.reader.read(Content::Data, &id) {
                Ok(chunk) => {
                    let found = Found { wanted: want.wanted, place: 0..chunk.len() };
                    return self.sink.chunks(&[found], &chunk);
                }
                Err(error) if error.is_damage() => return self.sink.missing(want.wanted, &error),
                Err(error) => return Err(error.into()),
            }
        }
        self.sink.missing(want.wanted, damage)
    }
}
