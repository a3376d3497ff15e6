//! Reading a file of a snapshot at any place: the list chunks and chunks around it, and no others.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{ChunkReader, Error};
use crate::base::ChunkId;
use crate::base::limits::LIST_LEVEL_MAX;
use crate::container::ReadAt;
use crate::format::list::{ListChunk, ListEntry};
use crate::format::node::{ChunkRef, FileContent};
use crate::format::pack::Content;

/// List chunks kept besides the root: a path to a leaf and some of its neighbours, at most 320 KiB each.
const LISTS_KEPT: usize = 12;
/// Chunks kept: reads of a few bytes come in the order of the file, with steps back.
const CHUNKS_KEPT: usize = 4;
/// Chunks that [`StoredFile::chunks_in`] returns at once.
const CHUNKS_IN_MAX: usize = 1 << 20;

/// One list chunk, or the chunks of a node, with the end of each entry counted from the first one.
#[derive(Debug)]
struct Entries {
    level: u8,
    entries: Vec<ListEntry>,
    ends: Vec<u64>,
}

impl Entries {
    /// `None` when the lengths do not add up to a number of 64 bits.
    fn new(level: u8, entries: Vec<ListEntry>) -> Option<Self> {
        let mut end = 0_u64;
        let mut ends = Vec::with_capacity(entries.len());
        for entry in &entries {
            end = end.checked_add(entry.content_bytes)?;
            ends.push(end);
        }
        Some(Self { level, entries, ends })
    }

    fn content_bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Returns the entries that overlap `[start, end)`, each with its offset.
    fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, &ListEntry)> {
        let first = self.ends.partition_point(|entry_end| *entry_end <= start);
        let entries = self.entries.iter().zip(&self.ends).skip(first);
        let placed = entries.map(|(entry, entry_end)| (entry_end - entry.content_bytes, entry));
        placed.take_while(move |(offset, _)| *offset < end)
    }
}

/// The last few things looked at, the latest first.
#[derive(Debug)]
struct Recent<V> {
    entries: Mutex<VecDeque<(ChunkId, V)>>,
    count_max: usize,
}

impl<V: Clone> Recent<V> {
    fn new(count_max: usize) -> Self {
        Self { entries: Mutex::new(VecDeque::new()), count_max }
    }

    /// Whoever panicked left whole entries.
    fn lock(&self) -> MutexGuard<'_, VecDeque<(ChunkId, V)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &ChunkId) -> Option<V> {
        let mut entries = self.lock();
        let place = entries.iter().position(|(known, _)| known == id)?;
        let found = entries.remove(place)?;
        let value = found.1.clone();
        entries.push_front(found);
        Some(value)
    }

    fn put(&self, id: ChunkId, value: V) {
        let mut entries = self.lock();
        entries.push_front((id, value));
        entries.truncate(self.count_max);
    }
}

/// A file of a snapshot, readable at any offset. May be shared by threads.
///
/// Seeks in the list of its chunks: of a list that is a tree it reads the list chunks above the place asked
/// for. Lengths are checked as far as they are read; that the number of chunks is the node's is left to those
/// who read all of them.
#[derive(Debug)]
pub struct StoredFile<'a, 'r> {
    reader: &'a ChunkReader<'r>,
    root: Entries,
    size_bytes: u64,
    lists: Recent<Arc<Entries>>,
    chunks: Recent<Bytes>,
}

impl<'a, 'r> StoredFile<'a, 'r> {
    /// Begins with the content of a node of `size_bytes`; reads the root of its list, if it has one.
    pub fn new(reader: &'a ChunkReader<'r>, content: &FileContent, size_bytes: u64) -> Result<Self, Error> {
        let root = match content {
            FileContent::Inline(chunks) => {
                let entry = |chunk: &ChunkRef| ListEntry {
                    id: chunk.id,
                    content_bytes: u64::from(chunk.length_bytes),
                };
                let root = Entries::new(0, chunks.iter().map(entry).collect());
                root.filter(|root| root.content_bytes() == size_bytes).ok_or_else(|| Error::Damaged {
                    object: "chunk list".to_owned(),
                    reason: "lengths of its chunks are not those of the file".to_owned(),
                })?
            }
            FileContent::List { root, level, .. } => load_list(reader, root, *level, size_bytes, true)?,
        };
        Ok(Self {
            reader,
            root,
            size_bytes,
            lists: Recent::new(LISTS_KEPT),
            chunks: Recent::new(CHUNKS_KEPT),
        })
    }

    /// Returns the chunks that overlap `[start, end)`, in order, each with its offset in the file.
    ///
    /// At most 1,048,576 at once: whoever wants more asks again from the end of the last.
    pub fn chunks_in(&self, start: u64, end: u64) -> Result<Vec<(u64, ChunkRef)>, Error> {
        let mut found = Vec::new();
        if start < end {
            self.collect(&self.root, 0, start, end, &mut found)?;
        }
        Ok(found)
    }

    /// Goes down at most [`LIST_LEVEL_MAX`] levels: each list chunk is of the level that its parent says.
    fn collect(
        &self,
        list: &Entries,
        list_offset: u64,
        start: u64,
        end: u64,
        found: &mut Vec<(u64, ChunkRef)>,
    ) -> Result<(), Error> {
        let (local_start, local_end) = (start.saturating_sub(list_offset), end.saturating_sub(list_offset));
        for (offset, entry) in list.overlapping(local_start, local_end) {
            if found.len() >= CHUNKS_IN_MAX {
                return Ok(());
            }
            let offset = list_offset.saturating_add(offset);
            match list.level.checked_sub(1) {
                Some(below) => {
                    let child = self.list(&entry.id, below, entry.content_bytes)?;
                    self.collect(&child, offset, start, end, found)?;
                }
                None => {
                    let length_bytes = u32::try_from(entry.content_bytes)
                        .map_err(|_| Error::Internal { what: "chunk length" })?;
                    found.push((offset, ChunkRef { id: entry.id, length_bytes }));
                }
            }
        }
        self.reader.repository().check_stop()
    }

    /// The same list chunk may stand at several places, but what its parents say of it has to fit each time.
    fn list(&self, id: &ChunkId, level: u8, content_bytes: u64) -> Result<Arc<Entries>, Error> {
        if let Some(list) = self.lists.get(id)
            && (list.level, list.content_bytes()) == (level, content_bytes)
        {
            return Ok(list);
        }
        let list = Arc::new(load_list(self.reader, id, level, content_bytes, false)?);
        self.lists.put(*id, list.clone());
        Ok(list)
    }

    fn chunk(&self, chunk: &ChunkRef) -> Result<Bytes, Error> {
        let plain = match self.chunks.get(&chunk.id) {
            Some(plain) => plain,
            None => {
                let plain = self.reader.read(Content::Data, &chunk.id)?;
                self.chunks.put(chunk.id, plain.clone());
                plain
            }
        };
        if u32::try_from(plain.len()).ok() != Some(chunk.length_bytes) {
            let reason = "length differs from what its list says".to_owned();
            return Err(Error::Damaged { object: format!("chunk {}", chunk.id.short()), reason });
        }
        Ok(plain)
    }

    /// Fills `buffer` from `offset` on and returns how many bytes there were: fewer than its length only at
    /// the end.
    pub fn fill(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let length = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        let end = offset.saturating_add(length).min(self.size_bytes);
        let mut filled = 0;
        let mut at = offset;
        while at < end {
            for (start, chunk) in self.chunks_in(at, end)? {
                let plain = self.chunk(&chunk)?;
                let skip = usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
                let from = plain.get(skip..).unwrap_or(&[]);
                let to = buffer.get_mut(filled..).unwrap_or(&mut []);
                let count = from.len().min(to.len());
                to[..count].copy_from_slice(&from[..count]);
                filled += count;
                at = start.saturating_add(u64::from(chunk.length_bytes));
            }
        }
        Ok(filled)
    }
}

impl ReadAt for StoredFile<'_, '_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill(offset, buffer).map_err(io::Error::other)
    }

    fn size_bytes(&self) -> Option<u64> {
        Some(self.size_bytes)
    }
}

fn load_list(
    reader: &ChunkReader<'_>,
    id: &ChunkId,
    level: u8,
    content_bytes: u64,
    is_root: bool,
) -> Result<Entries, Error> {
    let object = || format!("chunk list {}", id.short());
    let damaged = |reason: &str| Error::Damaged { object: object(), reason: reason.to_owned() };
    if u64::from(level) > LIST_LEVEL_MAX {
        return Err(damaged("level is too high"));
    }
    let plain = reader.read(Content::Tree, id)?;
    let chunk = ListChunk::decode(&plain).map_err(|error| Error::of_format(object(), &error))?;
    if is_root {
        chunk.require_root().map_err(|error| Error::of_format(object(), &error))?;
    }
    let found_level = chunk.level;
    Entries::new(found_level, chunk.entries)
        .filter(|list| (list.level, list.content_bytes()) == (level, content_bytes))
        .ok_or_else(|| damaged("level or length differs from what its parent says"))
}

#[cfg(test)]
mod tests;
