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
    chunk: BaseChunk,
    leaf: Option<BaseChunk>,
}

/// A window over the chunks of a file's previous version, which follows the new version.
pub(super) struct Previous<'a, 'r> {
    index: &'r IndexDatabase,
    list: Option<ListReader<'a, 'r>>,
    window: VecDeque<Entry>,
    /// Number of the first chunk in the window.
    first: u64,
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
            window: VecDeque::new(),
            first: 0,
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
        let mut chunks = Vec::new();
        let mut held_bytes = 0;
        let mut number = from.max(self.first);
        while end.is_none_or(|end| number < end) {
            let Some(entry) = self.entry(number) else { break };
            held_bytes += u64::from(entry.chunk.length_bytes);
            if held_bytes > max_bytes && !chunks.is_empty() {
                break;
            }
            chunks.push(entry.chunk);
            number += 1;
        }
        Ok(chunks)
    }

    fn read_ahead(&mut self) -> Result<(), Error> {
        let end = self.first + u64::try_from(self.window.len()).unwrap_or(u64::MAX);
        let ahead = end.saturating_sub(self.place);
        if ahead >= u64::try_from(AHEAD_MAX - BATCH).unwrap_or(u64::MAX) {
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
        let mut ids: Vec<ChunkId> = read.iter().map(|(chunk, _)| chunk.id).collect();
        ids.extend(read.iter().filter_map(|(_, leaf)| leaf.map(|leaf| leaf.id)));
        let depth = |location: Option<ChunkLocation>| location.map_or(0, |at| at.block.depth);
        let mut depths = self.index.locate(&ids)?.into_iter().map(depth);
        let own: Vec<u8> = depths.by_ref().take(read.len()).collect();
        for ((chunk, leaf), depth) in read.into_iter().zip(own) {
            let leaf = leaf.map(|leaf| BaseChunk { depth: depths.next().unwrap_or(0), ..leaf });
            self.push(BaseChunk { id: chunk.id, length_bytes: chunk.length_bytes, depth }, leaf);
        }
        Ok(())
    }

    fn push(&mut self, chunk: BaseChunk, leaf: Option<BaseChunk>) {
        let number = self.first + u64::try_from(self.window.len()).unwrap_or(u64::MAX);
        self.numbers.insert(BaseName::of(&chunk.id), number);
        self.window.push_back(Entry { chunk, leaf });
    }
}
