//! Chunk lists of files (`format-spec/05-lists.md`): written as chunks arrive, read one leaf at a time.

use super::{BaseChunk, ChunkReader, ChunkWriter, Error};
use crate::base::ChunkId;
use crate::base::limits::{INLINE_CHUNK_COUNT_MAX, LIST_LEVEL_MAX};
use crate::format::list::{ListChunk, ListEntry, ends_after};
use crate::format::node::{ChunkRef, FileContent};
use crate::format::pack::Content;

/// Leaves of an earlier list that one new leaf is coded against.
const LEAVES_BESIDE_MAX: usize = 4;

/// Gathers the chunks of one file, in order, in bounded memory.
#[derive(Debug, Default)]
pub struct ListWriter {
    inline: Vec<ChunkRef>,
    beside: Vec<BaseChunk>,
    levels: Vec<Vec<ListEntry>>,
    chunk_count: u64,
    content_bytes: u64,
}

impl ListWriter {
    /// Returns an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the content bytes so far.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Says that an earlier version of the list stands at `leaf` where this one stands now.
    pub fn stands_beside(&mut self, leaf: BaseChunk) {
        if self.beside.last() != Some(&leaf) {
            if self.beside.len() == LEAVES_BESIDE_MAX {
                self.beside.remove(0);
            }
            self.beside.push(leaf);
        }
    }

    /// Appends a chunk; list chunks that are complete go to `writer`.
    pub fn push(&mut self, chunk: ChunkRef, writer: &mut ChunkWriter) -> Result<(), Error> {
        self.chunk_count += 1;
        self.content_bytes += u64::from(chunk.length_bytes);
        if self.levels.is_empty() {
            self.inline.push(chunk);
            if u64::try_from(self.inline.len()).unwrap_or(u64::MAX) <= INLINE_CHUNK_COUNT_MAX {
                return Ok(());
            }
            for chunk in std::mem::take(&mut self.inline) {
                self.push_entry(0, entry_of(chunk), writer)?;
            }
            return Ok(());
        }
        self.push_entry(0, entry_of(chunk), writer)
    }

    fn push_entry(&mut self, level: usize, entry: ListEntry, writer: &mut ChunkWriter) -> Result<(), Error> {
        if self.levels.len() <= level {
            self.levels.push(Vec::new());
        }
        let entries = &mut self.levels[level];
        entries.push(entry);
        if !ends_after(&entry.id, entries.len()) {
            return Ok(());
        }
        let entries = std::mem::take(entries);
        let parent = self.store_list(level, entries, writer)?;
        self.push_entry(level + 1, parent, writer)
    }

    /// Ends the list and returns the content of the file's node.
    pub fn finish(mut self, writer: &mut ChunkWriter) -> Result<FileContent, Error> {
        if self.levels.is_empty() {
            return Ok(FileContent::Inline(self.inline));
        }
        let mut level = 0;
        loop {
            let entries = std::mem::take(&mut self.levels[level]);
            let is_top = level + 1 == self.levels.len();
            if is_top && level > 0 && entries.len() == 1 {
                let root = entries[0].id;
                let level = u8::try_from(level - 1).map_err(|_| Error::Internal { what: "list level" })?;
                return Ok(FileContent::List { root, level, chunk_count: self.chunk_count });
            }
            if !entries.is_empty() {
                let parent = self.store_list(level, entries, writer)?;
                if self.levels.len() == level + 1 {
                    self.levels.push(Vec::new());
                }
                self.levels[level + 1].push(parent);
            }
            level += 1;
        }
    }

    fn store_list(
        &mut self,
        level: usize,
        entries: Vec<ListEntry>,
        writer: &mut ChunkWriter,
    ) -> Result<ListEntry, Error> {
        let bases = match (level, self.beside.last().copied()) {
            (0, Some(last)) => {
                // The earlier leaf may go on where the next new one begins.
                std::mem::replace(&mut self.beside, vec![last])
            }
            _ => Vec::new(),
        };
        let level = u8::try_from(level).map_err(|_| Error::Internal { what: "list level" })?;
        let chunk = ListChunk { level, entries };
        let content_bytes = chunk.content_bytes();
        let id = writer.add_tree_beside(chunk.encode()?, &bases)?;
        Ok(ListEntry { id, content_bytes })
    }
}

fn entry_of(chunk: ChunkRef) -> ListEntry {
    ListEntry { id: chunk.id, content_bytes: u64::from(chunk.length_bytes) }
}

/// Reads the chunks of one file in order, holding one list chunk a level.
#[derive(Debug)]
pub struct ListReader<'a, 'r> {
    reader: &'a ChunkReader<'r>,
    stack: Vec<(u8, std::vec::IntoIter<ListEntry>)>,
    expected_bytes: u64,
    seen_bytes: u64,
    expected_count: Option<u64>,
    seen_count: u64,
    list_chunks: Vec<ChunkId>,
    leaf: Option<BaseChunk>,
}

impl<'a, 'r> ListReader<'a, 'r> {
    /// Begins with the content of a node of `size_bytes`.
    pub fn new(reader: &'a ChunkReader<'r>, content: &FileContent, size_bytes: u64) -> Result<Self, Error> {
        let mut list = Self {
            reader,
            stack: Vec::new(),
            expected_bytes: size_bytes,
            seen_bytes: 0,
            expected_count: None,
            seen_count: 0,
            list_chunks: Vec::new(),
            leaf: None,
        };
        match content {
            FileContent::Inline(chunks) => {
                let entries: Vec<ListEntry> = chunks.iter().copied().map(entry_of).collect();
                list.stack.push((0, entries.into_iter()));
            }
            FileContent::List { root, level, chunk_count } => {
                list.expected_count = Some(*chunk_count);
                list.descend(root, *level, size_bytes)?;
            }
        }
        Ok(list)
    }

    fn descend(&mut self, id: &ChunkId, level: u8, content_bytes: u64) -> Result<(), Error> {
        let object = || format!("chunk list {}", id.short());
        let damaged = |reason: &str| Error::Damaged { object: object(), reason: reason.to_owned() };
        if u64::from(level) > LIST_LEVEL_MAX {
            return Err(damaged("level is too high"));
        }
        let plain = self.reader.read(Content::Tree, id)?;
        let chunk = ListChunk::decode(&plain).map_err(|error| Error::of_format(object(), &error))?;
        if chunk.level != level || chunk.content_bytes() != content_bytes {
            return Err(damaged("level or length differs from what its parent says"));
        }
        if self.list_chunks.is_empty() {
            chunk.require_root().map_err(|error| Error::of_format(object(), &error))?;
        }
        self.list_chunks.push(*id);
        if level == 0 {
            let length_bytes = u32::try_from(plain.len()).unwrap_or(u32::MAX);
            self.leaf = Some(BaseChunk { id: *id, length_bytes, depth: 0 });
        }
        self.stack.push((level, chunk.entries.into_iter()));
        Ok(())
    }

    /// Returns the list chunks that were read so far.
    pub fn list_chunks(&self) -> &[ChunkId] {
        &self.list_chunks
    }

    /// Returns the leaf that the last chunk came from; none where the file's node holds the chunks itself.
    pub fn leaf(&self) -> Option<BaseChunk> {
        self.leaf
    }

    /// Returns the next chunk, `None` at the end; fails when lengths or number of the chunks are not the
    /// file's.
    pub fn next_chunk(&mut self) -> Result<Option<ChunkRef>, Error> {
        loop {
            let Some((level, entries)) = self.stack.last_mut() else {
                let counted = self.expected_count.is_none_or(|expected| expected == self.seen_count);
                if self.seen_bytes == self.expected_bytes && counted {
                    return Ok(None);
                }
                let reason = "lengths or number of its chunks are not those of the file".to_owned();
                return Err(Error::Damaged { object: "chunk list".to_owned(), reason });
            };
            let level = *level;
            let Some(entry) = entries.next() else {
                self.stack.pop();
                continue;
            };
            if level > 0 {
                self.descend(&entry.id, level - 1, entry.content_bytes)?;
                continue;
            }
            self.seen_bytes = self.seen_bytes.saturating_add(entry.content_bytes);
            self.seen_count += 1;
            let length_bytes =
                u32::try_from(entry.content_bytes).map_err(|_| Error::Internal { what: "chunk length" })?;
            return Ok(Some(ChunkRef { id: entry.id, length_bytes }));
        }
    }
}
