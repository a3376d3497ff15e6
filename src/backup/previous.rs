//! The previous version of a file beside the new one: where a run of new chunks stands, and what stood there.

use std::collections::{HashMap, VecDeque};

use crate::base::ChunkId;
use crate::format::node::{ChunkRef, FileContent};
use crate::format::pack::BaseName;
use crate::index::{ChunkLocation, IndexDatabase};
use crate::repository::{BaseChunk, ChunkReader, Error, ListReader};

/// Chunks of the previous version that are looked at ahead of the place reached.
const AHEAD_MAX: usize = 1 << 15;
/// Chunks that are kept behind it: the order of a dump's parts may change.
const BEHIND_MAX: usize = 1 << 15;
/// Chunks read at once.
const BATCH: usize = 1 << 10;

/// One chunk of the previous version.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Its depth counts once it `is_located`.
    chunk: BaseChunk,
    /// Where it begins in the file.
    offset: u64,
    is_located: bool,
    leaf: Option<BaseChunk>,
}

/// A window over the chunks of a file's previous version, which follows the new version.
pub(super) struct Previous<'a, 'r> {
    index: &'r IndexDatabase,
    list: Option<ListReader<'a, 'r>>,
    /// The leaf that the last chunk of the window lies in.
    last_leaf: Option<BaseChunk>,
    window: VecDeque<Entry>,
    /// Number of the first chunk in the window.
    first: u64,
    /// Where the last chunk in the window ends in the file.
    end: u64,
    /// Numbers by the short name of the id; of equal chunks the last.
    numbers: HashMap<BaseName, u64>,
    /// Number of the chunk that is expected next.
    place: u64,
}

impl<'a, 'r> Previous<'a, 'r> {
    /// Begins with the content that the previous snapshot has. One that cannot be read is as good as none.
    pub(super) fn new(reader: &'a ChunkReader<'r>, content: &FileContent, size_bytes: u64) -> Self {
        let list = ListReader::new(reader, content, size_bytes).ok();
        Self {
            index: reader.repository().index(),
            list,
            last_leaf: None,
            window: VecDeque::new(),
            first: 0,
            end: 0,
            numbers: HashMap::new(),
            place: 0,
        }
    }

    /// Returns the number of `id` in the previous version, if it is near the place reached.
    pub(super) fn find(&mut self, id: &ChunkId) -> Result<Option<u64>, Error> {
        self.read_ahead()?;
        let number = self.number_of(BaseName::of(id));
        Ok(number.filter(|number| self.entry(*number).is_some_and(|entry| entry.chunk.id == *id)))
    }

    /// Returns the number of the chunk with this name, if it is near the place reached.
    pub(super) fn number_of(&self, name: BaseName) -> Option<u64> {
        self.numbers.get(&name).copied()
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.window.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Goes on behind the chunk numbered `number`.
    pub(super) fn reached(&mut self, number: u64) {
        self.place = number + 1;
        while self.place.saturating_sub(self.first) > u64::try_from(BEHIND_MAX).unwrap_or(u64::MAX) {
            let Some(entry) = self.window.pop_front() else { break };
            let name = BaseName::of(&entry.chunk.id);
            if self.numbers.get(&name) == Some(&self.first) {
                self.numbers.remove(&name);
            }
            self.first += 1;
        }
    }

    /// Returns where the chunk with this number begins in the previous version, if it is near.
    pub(super) fn offset(&self, number: u64) -> Option<u64> {
        self.entry(number).map(|entry| entry.offset)
    }

    /// Returns the number of the chunk that is expected next.
    pub(super) fn place(&self) -> u64 {
        self.place
    }

    /// Returns the leaf of the chunk list that the place reached lies in.
    pub(super) fn leaf(&self) -> Option<BaseChunk> {
        self.entry(self.place).or(self.window.back())?.leaf
    }

    /// Returns the chunks from number `from` on, until there are `max_bytes` of them, or up to number `end`.
    pub(super) fn between(
        &mut self,
        from: u64,
        end: Option<u64>,
        max_bytes: u64,
    ) -> Result<Vec<BaseChunk>, Error> {
        self.read_ahead()?;
        let mut held_bytes = 0;
        let start = from.max(self.first);
        let mut number = start;
        while end.is_none_or(|end| number < end) {
            let Some(entry) = self.entry(number) else { break };
            held_bytes += u64::from(entry.chunk.length_bytes);
            if held_bytes > max_bytes && number > start {
                break;
            }
            number += 1;
        }
        self.located(start, number)
    }

    /// Returns the chunks from number `from` up to `end`, all in the window, with their depths.
    fn located(&mut self, from: u64, end: u64) -> Result<Vec<BaseChunk>, Error> {
        let places = |number: u64| usize::try_from(number - self.first).unwrap_or(usize::MAX);
        let range = places(from)..places(end);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let open = self.window.range(range.clone()).filter(|entry| !entry.is_located);
        let ids: Vec<ChunkId> = open.map(|entry| entry.chunk.id).collect();
        let mut depths = self.depths(&ids)?.into_iter();
        let mut chunks = Vec::with_capacity(range.len());
        for entry in self.window.range_mut(range) {
            if !entry.is_located {
                entry.chunk.depth = depths.next().unwrap_or(0);
                entry.is_located = true;
            }
            chunks.push(entry.chunk);
        }
        Ok(chunks)
    }

    fn depths(&self, ids: &[ChunkId]) -> Result<Vec<u8>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let depth = |location: Option<ChunkLocation>| location.map_or(0, |at| at.block.depth);
        Ok(self.index.locate(ids)?.into_iter().map(depth).collect())
    }

    fn read_ahead(&mut self) -> Result<(), Error> {
        let end = self.first + u64::try_from(self.window.len()).unwrap_or(u64::MAX);
        let ahead = end.saturating_sub(self.place);
        if self.list.is_none() || ahead >= u64::try_from(AHEAD_MAX - BATCH).unwrap_or(u64::MAX) {
            return Ok(());
        }
        let mut read: Vec<(ChunkRef, Option<BaseChunk>)> = Vec::with_capacity(BATCH);
        while let Some(list) = self.list.as_mut().filter(|_| read.len() < BATCH) {
            match list.next_chunk() {
                Ok(Some(chunk)) => read.push((chunk, list.leaf())),
                Ok(None) => self.list = None,
                // A list that is damaged from here on costs density, not the backup.
                Err(error) if error.is_damage() => self.list = None,
                Err(error) => return Err(error),
            }
        }
        for (chunk, leaf) in read {
            let leaf = match (leaf, self.last_leaf) {
                (Some(leaf), Some(last)) if leaf.id == last.id => Some(last),
                (Some(leaf), _) => {
                    let depth = self.depths(&[leaf.id])?.first().copied().unwrap_or(0);
                    Some(BaseChunk { depth, ..leaf })
                }
                (None, _) => None,
            };
            self.last_leaf = leaf;
            self.push(BaseChunk { id: chunk.id, length_bytes: chunk.length_bytes, depth: 0 }, leaf);
        }
        Ok(())
    }

    fn push(&mut self, chunk: BaseChunk, leaf: Option<BaseChunk>) {
        let number = self.first + u64::try_from(self.window.len()).unwrap_or(u64::MAX);
        self.numbers.insert(BaseName::of(&chunk.id), number);
        self.window.push_back(Entry { chunk, offset: self.end, is_located: false, leaf });
        self.end = self.end.saturating_add(u64::from(chunk.length_bytes));
    }
}
