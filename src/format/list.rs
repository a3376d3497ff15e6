//! List chunks (`format-spec/05-lists.md`): the sequence of a file's chunks as a hash tree.

use super::wire::{FormatError, Reader, Writer, length};
use crate::base::ChunkId;
use crate::base::limits::{CHUNK_SIZE_MAX_BYTES, LIST_ENTRY_COUNT_MAX, LIST_LEVEL_MAX};

const TAG: u8 = 0x4c;
const ENTRIES_MIN: usize = 128;
const ENTRIES_MAX: usize = 4096;

/// One entry: a data chunk and its length, or a list chunk and the content bytes below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListEntry {
    /// The chunk.
    pub id: ChunkId,
    /// Content bytes that it stands for.
    pub content_bytes: u64,
}

/// A decoded list chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListChunk {
    /// 0: entries are data chunks; above: list chunks of the level below.
    pub level: u8,
    /// The entries in order, at least one.
    pub entries: Vec<ListEntry>,
}

/// Tells whether a list chunk (or an inner tree chunk) ends after the entry `id`, its `count`-th.
pub fn ends_after(id: &ChunkId, count: usize) -> bool {
    let head = u16::from_le_bytes([id.0[0], id.0[1]]);
    count >= ENTRIES_MAX || (count >= ENTRIES_MIN && head.is_multiple_of(512))
}

impl ListChunk {
    /// Returns the content bytes of all entries.
    pub fn content_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.content_bytes).sum()
    }

    /// Refuses an inner chunk of one entry at the top of a list: the entry would be the root.
    pub fn require_root(&self) -> Result<(), FormatError> {
        match self.level > 0 && self.entries.len() < 2 {
            true => Err(FormatError::invalid("root list chunk with one entry")),
            false => Ok(()),
        }
    }

    /// Encodes the chunk.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.validate()?;
        let mut out = Writer::new();
        out.u8(TAG).u8(self.level);
        out.count32(self.entries.len(), LIST_ENTRY_COUNT_MAX, "list entries")?;
        for entry in &self.entries {
            out.raw(&entry.id.0);
        }
        for entry in &self.entries {
            if self.level == 0 {
                let narrow = u32::try_from(entry.content_bytes);
                out.u32(narrow.map_err(|_| FormatError::invalid("chunk length in a list"))?);
            } else {
                out.u64(entry.content_bytes);
            }
        }
        Ok(out.finish())
    }

    /// Decodes a chunk.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes, "list chunk");
        if input.u8("tag")? != TAG {
            return Err(FormatError::invalid("tag of a list chunk"));
        }
        let level = input.u8("level")?;
        let width = if level == 0 { 36 } else { 40 };
        let count = input.count32(LIST_ENTRY_COUNT_MAX, width, "list entries")?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(ListEntry { id: ChunkId(input.array("chunk id")?), content_bytes: 0 });
        }
        for entry in &mut entries {
            entry.content_bytes = match level {
                0 => u64::from(input.u32("chunk length")?),
                _ => input.u64("content bytes")?,
            };
        }
        input.finish()?;
        let chunk = Self { level, entries };
        chunk.validate()?;
        Ok(chunk)
    }

    fn validate(&self) -> Result<(), FormatError> {
        if u64::from(self.level) > LIST_LEVEL_MAX || self.entries.is_empty() {
            return Err(FormatError::invalid("level or length of a list chunk"));
        }
        let mut total = 0_u64;
        for entry in &self.entries {
            let too_long = self.level == 0 && entry.content_bytes > CHUNK_SIZE_MAX_BYTES;
            if entry.content_bytes == 0 || too_long {
                return Err(FormatError::invalid("chunk length in a list"));
            }
            total = total
                .checked_add(entry.content_bytes)
                .ok_or(FormatError::invalid("sum of lengths in a list"))?;
        }
        if length(self.entries.len()) > LIST_ENTRY_COUNT_MAX {
            return Err(FormatError::invalid("number of list entries"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_chunks_of_both_kinds_read_back() {
        for level in [0, 3] {
            let entries = vec![ListEntry { id: ChunkId([1; 32]), content_bytes: 70_000 }; 3];
            let chunk = ListChunk { level, entries };
            assert_eq!(ListChunk::decode(&chunk.encode().unwrap()).unwrap(), chunk);
        }
    }

    #[test]
    fn a_root_has_two_entries_or_is_a_leaf() {
        let entry = ListEntry { id: ChunkId([1; 32]), content_bytes: 9 };
        for (level, count, holds) in [(0, 1, true), (1, 1, false), (1, 2, true), (8, 1, false)] {
            let chunk = ListChunk { level, entries: vec![entry; count] };
            assert_eq!(chunk.require_root().is_ok(), holds, "{count} entries at level {level}");
        }
    }

    #[test]
    fn a_list_chunk_has_as_many_entries_as_the_limit_says_and_not_one_more() {
        let entry = ListEntry { id: ChunkId([1; 32]), content_bytes: 9 };
        let count = usize::try_from(LIST_ENTRY_COUNT_MAX).unwrap();
        let chunk = |count| ListChunk { level: 0, entries: vec![entry; count] };
        assert_eq!(ListChunk::decode(&chunk(count).encode().unwrap()).unwrap(), chunk(count));
        assert!(chunk(count + 1).encode().is_err());
    }

    #[test]
    fn empty_lists_and_empty_chunks_are_refused() {
        assert!(ListChunk { level: 0, entries: vec![] }.encode().is_err());
        let entries = vec![ListEntry { id: ChunkId([1; 32]), content_bytes: 0 }];
        assert!(ListChunk { level: 0, entries }.encode().is_err());
    }
}
