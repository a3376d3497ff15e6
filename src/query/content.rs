//! What two versions of a file's content have in common.

use super::ordinals::OrdinalSet;
use crate::base::ChunkId;
use crate::format::node::{ChunkRef, FileContent};
use crate::repository::{ChunkReader, Error, ListReader};

/// Chunks looked up in the index at once.
pub(super) const LOOKUP_COUNT_MAX: usize = 4_096;

/// Content bytes of two versions of a file, by chunk: repeated chunks count as often as they occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContentChange {
    /// Bytes of the new version in chunks that the old one has too.
    pub shared_bytes: u64,
    /// Bytes of the new version in chunks that the old one has not.
    pub added_bytes: u64,
    /// Bytes of the old version in chunks that the new one has not.
    pub removed_bytes: u64,
}

/// Compares contents by their chunks. Takes two bits for each chunk that the index knows, however long the
/// files are.
#[derive(Debug)]
pub(super) struct ContentComparer<'a, 'r> {
    reader: &'a ChunkReader<'r>,
    sets: Option<[OrdinalSet; 2]>,
}

impl<'a, 'r> ContentComparer<'a, 'r> {
    pub(super) fn new(reader: &'a ChunkReader<'r>) -> Self {
        Self { reader, sets: None }
    }

    /// Compares two contents, each with its length.
    pub(super) fn compare(
        &mut self,
        old: (&FileContent, u64),
        new: (&FileContent, u64),
    ) -> Result<ContentChange, Error> {
        if let (FileContent::Inline(old), FileContent::Inline(new)) = (old.0, new.0) {
            return Ok(compare_inline(old, new));
        }
        let sets = match &mut self.sets {
            Some(sets) => sets,
            empty => {
                let end = self.reader.repository().index().ordinal_end()?;
                empty.insert([OrdinalSet::new(end), OrdinalSet::new(end)])
            }
        };
        let [of_old, of_new] = sets;
        of_old.clear();
        of_new.clear();
        let mut change = ContentChange::default();
        visit_located(self.reader, old, |_, ordinal| {
            if let Some(ordinal) = ordinal {
                of_old.insert(ordinal);
            }
        })?;
        visit_located(self.reader, new, |bytes, ordinal| {
            if let Some(ordinal) = ordinal {
                of_new.insert(ordinal);
            }
            match ordinal.is_some_and(|ordinal| of_old.contains(ordinal)) {
                true => change.shared_bytes += bytes,
                false => change.added_bytes += bytes,
            }
        })?;
        visit_located(self.reader, old, |bytes, ordinal| {
            if !ordinal.is_some_and(|ordinal| of_new.contains(ordinal)) {
                change.removed_bytes += bytes;
            }
        })?;
        Ok(change)
    }
}

fn compare_inline(old: &[ChunkRef], new: &[ChunkRef]) -> ContentChange {
    let bytes_where = |chunks: &[ChunkRef], keep: &dyn Fn(&ChunkId) -> bool| {
        chunks.iter().filter(|chunk| keep(&chunk.id)).map(|chunk| u64::from(chunk.length_bytes)).sum()
    };
    let has = |chunks: &[ChunkRef], id: &ChunkId| chunks.iter().any(|chunk| chunk.id == *id);
    ContentChange {
        shared_bytes: bytes_where(new, &|id| has(old, id)),
        added_bytes: bytes_where(new, &|id| !has(old, id)),
        removed_bytes: bytes_where(old, &|id| !has(new, id)),
    }
}

/// Calls `found` for each chunk of a content, in order, with its length and its ordinal; none when no pack
/// holds it.
fn visit_located(
    reader: &ChunkReader<'_>,
    (content, size_bytes): (&FileContent, u64),
    mut found: impl FnMut(u64, Option<u64>),
) -> Result<(), Error> {
    let mut list = ListReader::new(reader, content, size_bytes)?;
    let mut batch: Vec<ChunkRef> = Vec::new();
    loop {
        let chunk = list.next_chunk()?;
        batch.extend(chunk);
        if batch.len() < LOOKUP_COUNT_MAX && chunk.is_some() {
            continue;
        }
        reader.repository().check_stop()?;
        let ids: Vec<ChunkId> = batch.iter().map(|chunk| chunk.id).collect();
        for (chunk, location) in batch.drain(..).zip(reader.repository().index().locate(&ids)?) {
            found(u64::from(chunk.length_bytes), location.map(|location| location.ordinal));
        }
        if chunk.is_none() {
            return Ok(());
        }
    }
}
