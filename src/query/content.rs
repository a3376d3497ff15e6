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
        let mut change = ContentChange::default();
        self.visit_changed(old, new, &mut |side, _, chunk| {
            let bytes = u64::from(chunk.length_bytes);
            match side {
                0 => change.removed_bytes += bytes,
                _ => change.added_bytes += bytes,
            }
        })?;
        change.shared_bytes = new.1.saturating_sub(change.added_bytes);
        Ok(change)
    }

    /// Calls `found` for each chunk of one side (0 is old, 1 is new) that the other has not, with its offset:
    /// those of the new side in their order, then those of the old one.
    pub(super) fn visit_changed(
        &mut self,
        old: (&FileContent, u64),
        new: (&FileContent, u64),
        found: &mut dyn FnMut(usize, u64, ChunkRef),
    ) -> Result<(), Error> {
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
        visit_located(self.reader, old, |_, _, ordinal| {
            if let Some(ordinal) = ordinal {
                of_old.insert(ordinal);
            }
        })?;
        visit_located(self.reader, new, |offset, chunk, ordinal| {
            if let Some(ordinal) = ordinal {
                of_new.insert(ordinal);
            }
            if !ordinal.is_some_and(|ordinal| of_old.contains(ordinal)) {
                found(1, offset, chunk);
            }
        })?;
        visit_located(self.reader, old, |offset, chunk, ordinal| {
            if !ordinal.is_some_and(|ordinal| of_new.contains(ordinal)) {
                found(0, offset, chunk);
            }
        })
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

/// Calls `found` for each chunk of a content, in order, with its offset and its ordinal; none when no pack
/// holds it.
fn visit_located(
    reader: &ChunkReader<'_>,
    (content, size_bytes): (&FileContent, u64),
    mut found: impl FnMut(u64, ChunkRef, Option<u64>),
) -> Result<(), Error> {
    let mut list = ListReader::new(reader, content, size_bytes)?;
    let mut batch: Vec<ChunkRef> = Vec::new();
    let mut offset = 0;
    loop {
        let chunk = list.next_chunk()?;
        batch.extend(chunk);
        if batch.len() < LOOKUP_COUNT_MAX && chunk.is_some() {
            continue;
        }
        reader.repository().check_stop()?;
        let ids: Vec<ChunkId> = batch.iter().map(|chunk| chunk.id).collect();
        for (chunk, location) in batch.drain(..).zip(reader.repository().index().locate(&ids)?) {
            found(offset, chunk, location.map(|location| location.ordinal));
            offset += u64::from(chunk.length_bytes);
        }
        if chunk.is_none() {
            return Ok(());
        }
    }
}
