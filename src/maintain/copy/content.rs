//! The content of one file: chunks read ahead in order, named anew on all cores, stored where absent.
//!
//! What the source has coded against bases is coded against the same chunks in the target, if it has them:
//! whole snapshots are copied oldest first, so it mostly does.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use rayon::prelude::*;

use super::cache::Cache;
use crate::base::ChunkId;
use crate::codec::Hint;
use crate::format::node::{ChunkRef, FileContent};
use crate::format::pack::Content;
use crate::index::{BlockLocation, ChunkLocation};
use crate::repository::{
    BASED_BLOCK_BYTES, BaseChunk, ChunkReader, ChunkWriter, Error, ListReader, ListWriter, parallel,
};
use crate::source::Class;

/// Plaintext read at once.
const WINDOW_BYTES: u64 = 32 << 20;
/// Chunks read at once.
const WINDOW_CHUNKS: usize = 4096;
/// Chunks remembered: about 100 bytes each.
const CHUNKS_MAX: usize = 400_000;

/// Copies contents, and remembers what the source's ids became.
#[derive(Debug)]
pub(super) struct Contents {
    chunks: Cache,
}

impl Default for Contents {
    fn default() -> Self {
        Self { chunks: Cache::new(CHUNKS_MAX) }
    }
}

/// Chunks of one block of the source that the target lacks.
#[derive(Debug)]
struct Group {
    block: BlockLocation,
    /// Where the first of them stands in the window.
    offset: u64,
    /// In the order of the block, with their places in it: ordinal and offset.
    chunks: Vec<(u64, u32, (ChunkId, Bytes))>,
}

impl Contents {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.chunks.clear();
    }

    /// Copies the chunks of a file of `class`, and returns its content in the target, where an earlier
    /// version of it has the list `older`.
    pub(super) fn copy(
        &mut self,
        reader: &ChunkReader<'_>,
        class: u8,
        (content, size_bytes): (&FileContent, u64),
        mut older: OlderList<'_, '_>,
        writer: &mut ChunkWriter,
    ) -> Result<FileContent, Error> {
        let mut from = ListReader::new(reader, content, size_bytes)?;
        let mut to = ListWriter::new();
        loop {
            reader.repository().check_stop()?;
            let window = next_window(&mut from)?;
            if window.is_empty() {
                return to.finish(writer);
            }
            let mut ids: Vec<Option<ChunkId>> =
                window.iter().map(|chunk| self.chunks.get(&chunk.id)).collect();
            let mut seen = HashSet::new();
            let mut unknown: Vec<ChunkRef> = Vec::new();
            let mut offsets: Vec<u64> = Vec::new();
            let mut window_bytes = 0;
            for (chunk, id) in window.iter().zip(&ids) {
                if id.is_none() && seen.insert(chunk.id) {
                    unknown.push(*chunk);
                    offsets.push(window_bytes);
                }
                window_bytes += u64::from(chunk.length_bytes);
            }
            let (new, passed_bytes) = self.store(reader, class, (&unknown, &offsets), writer)?;
            writer.passed(window_bytes.saturating_sub(passed_bytes));
            for (id, chunk) in ids.iter_mut().zip(&window) {
                if let Some(found) = new.get(&chunk.id) {
                    *id = Some(*found);
                    self.chunks.put(chunk.id, *found);
                }
            }
            for (chunk, id) in window.iter().zip(ids) {
                let id = id.ok_or(Error::Internal { what: "a chunk that was not copied" })?;
                reader.repository().progress().advance(0, u64::from(chunk.length_bytes));
                if let Some(leaf) = older.leaf_at(to.content_bytes())? {
                    to.stands_beside(leaf);
                }
                to.push(ChunkRef { id, length_bytes: chunk.length_bytes }, writer)?;
            }
        }
    }

    /// Reads `chunks`, at `offsets` of the window, and stores those that the target lacks. Returns what their
    /// ids became, and the part of the window that the writer was told to have passed.
    fn store(
        &mut self,
        reader: &ChunkReader<'_>,
        class: u8,
        (chunks, offsets): (&[ChunkRef], &[u64]),
        writer: &mut ChunkWriter,
    ) -> Result<(BTreeMap<ChunkId, ChunkId>, u64), Error> {
        let ids: Vec<ChunkId> = chunks.iter().map(|chunk| chunk.id).collect();
        let located = reader.repository().index().locate(&ids)?;
        let plain = read(reader, chunks, &located)?;
        let keys = writer.repository().keys();
        let ids: Vec<ChunkId> = plain.par_iter().map(|data| keys.data_id(data)).collect();
        let held = writer.contains(&ids)?;
        let hint = if class == Class::Dump.number() { Hint::Text } else { Hint::Unknown };
        let mut groups: Vec<Group> = Vec::new();
        let mut numbers: HashMap<u64, usize> = HashMap::new();
        let found = ids.iter().zip(plain).zip(offsets).zip(located).zip(held);
        for ((((id, data), offset), location), held) in found {
            match location {
                _ if held => {}
                Some(at) if !at.block.bases.is_empty() => {
                    let number = *numbers.entry(at.block.first_ordinal).or_insert(groups.len());
                    if number == groups.len() {
                        groups.push(Group { block: at.block, offset: *offset, chunks: Vec::new() });
                    }
                    if let Some(group) = groups.get_mut(number) {
                        group.chunks.push((at.ordinal, at.chunk_offset, (*id, data)));
                    }
                }
                _ => drop(writer.add_absent(*id, &data, hint)?),
            }
        }
        let mut passed_bytes = 0;
        for group in groups {
            writer.passed(group.offset.saturating_sub(passed_bytes));
            passed_bytes = passed_bytes.max(group.offset);
            self.store_group(reader, class, hint, group, writer)?;
        }
        Ok((chunks.iter().map(|chunk| chunk.id).zip(ids).collect(), passed_bytes))
    }

    /// Stores chunks that the source has coded together against bases.
    fn store_group(
        &mut self,
        reader: &ChunkReader<'_>,
        class: u8,
        hint: Hint,
        mut group: Group,
        writer: &mut ChunkWriter,
    ) -> Result<(), Error> {
        group.chunks.sort_unstable_by_key(|(ordinal, ..)| *ordinal);
        let bases = self.bases(reader, &group.block, writer)?;
        // Only arrays of numbers are mixed with former values; others need no second look at the block.
        let skip = match class == Class::Tensors.number() {
            true => reader.mixing_skip(&group.block)?,
            false => None,
        };
        let Some(skip) = skip.filter(|_| bases.len() == group.block.bases.len()) else {
            let run: Vec<(ChunkId, Bytes)> = group.chunks.into_iter().map(|(.., chunk)| chunk).collect();
            // Longer than blocks that are shared: rows that stood among these.
            let is_own = usize::try_from(group.block.raw_bytes).unwrap_or(usize::MAX) > BASED_BLOCK_BYTES;
            return match is_own && hint != Hint::Text {
                true => writer.add_beside(&run, hint, &bases),
                false => writer.add_run(&run, hint, &bases),
            };
        };
        for stretch in group.chunks.chunk_by(|(before, ..), (after, ..)| before + 1 == *after) {
            let Some((_, offset, _)) = stretch.first() else { continue };
            let start = skip.saturating_add(usize::try_from(*offset).unwrap_or(usize::MAX));
            let run: Vec<(ChunkId, Bytes)> = stretch.iter().map(|(.., chunk)| chunk.clone()).collect();
            writer.add_mixed(&run, hint, &bases, start)?;
        }
        Ok(())
    }

    /// Returns the bases of a block of the source as the target has them, without those that are ambiguous or
    /// cannot be read.
    fn bases(
        &mut self,
        reader: &ChunkReader<'_>,
        block: &BlockLocation,
        writer: &ChunkWriter,
    ) -> Result<Vec<BaseChunk>, Error> {
        let mut bases = Vec::with_capacity(block.bases.len());
        for copies in reader.repository().index().locate_bases(&block.bases)? {
            let [(id, at)] = copies.as_slice() else { continue };
            let new = match self.chunks.get(id) {
                Some(new) => new,
                None => match reader.read_located(Content::Data, id, at) {
                    Ok(plain) => writer.repository().keys().data_id(&plain),
                    Err(error) if error.is_damage() => continue,
                    Err(error) => return Err(error),
                },
            };
            self.chunks.put(*id, new);
            bases.push(BaseChunk { id: new, length_bytes: at.length_bytes, depth: at.block.depth });
        }
        Ok(bases)
    }
}

/// The chunk list that an earlier version of a file has in the target: leaves lean on its leaves.
#[derive(Debug, Default)]
pub(super) struct OlderList<'a, 'r> {
    list: Option<ListReader<'a, 'r>>,
    read_bytes: u64,
    leaf: Option<BaseChunk>,
}

impl<'a, 'r> OlderList<'a, 'r> {
    /// Begins with the content that the earlier version has. One that cannot be read is as good as none.
    pub(super) fn new(reader: &'a ChunkReader<'r>, content: &FileContent, size_bytes: u64) -> Self {
        Self { list: ListReader::new(reader, content, size_bytes).ok(), read_bytes: 0, leaf: None }
    }

    /// Returns the leaf that stands for the byte at `offset`, which never goes back; the last one behind the
    /// end.
    fn leaf_at(&mut self, offset: u64) -> Result<Option<BaseChunk>, Error> {
        while self.read_bytes <= offset {
            let Some(list) = &mut self.list else { break };
            match list.next_chunk() {
                Ok(Some(chunk)) => {
                    self.read_bytes = self.read_bytes.saturating_add(u64::from(chunk.length_bytes));
                    self.leaf = list.leaf();
                }
                Ok(None) => self.list = None,
                Err(error) if error.is_damage() => self.list = None,
                Err(error) => return Err(error),
            }
        }
        Ok(self.leaf)
    }
}

fn next_window(from: &mut ListReader<'_, '_>) -> Result<Vec<ChunkRef>, Error> {
    let mut window = Vec::new();
    let mut held = 0;
    while held < WINDOW_BYTES && window.len() < WINDOW_CHUNKS {
        let Some(chunk) = from.next_chunk()? else { break };
        held += u64::from(chunk.length_bytes);
        window.push(chunk);
    }
    Ok(window)
}

/// Reads `chunks`, block by block so that none is fetched twice, many blocks at once.
fn read(
    reader: &ChunkReader<'_>,
    chunks: &[ChunkRef],
    located: &[Option<ChunkLocation>],
) -> Result<Vec<Bytes>, Error> {
    let mut blocks: BTreeMap<Option<u64>, Vec<usize>> = BTreeMap::new();
    for (place, location) in located.iter().enumerate() {
        blocks.entry(location.as_ref().map(|found| found.block.first_ordinal)).or_default().push(place);
    }
    let groups: Vec<Vec<usize>> = blocks.into_values().collect();
    let read = parallel(&groups, |places| {
        let chunk = |place: &usize| {
            let chunk = chunks.get(*place).ok_or(Error::Internal { what: "place of a chunk" })?;
            let data = reader.read(Content::Data, &chunk.id)?;
            if u64::try_from(data.len()).ok() != Some(u64::from(chunk.length_bytes)) {
                let reason = "a chunk is not as long as its list says".to_owned();
                return Err(Error::Damaged { object: "chunk list".to_owned(), reason });
            }
            Ok((*place, data))
        };
        places.iter().map(chunk).collect::<Result<Vec<_>, Error>>()
    });
    let mut plain = vec![Bytes::new(); chunks.len()];
    for group in read {
        for (place, data) in group? {
            if let Some(slot) = plain.get_mut(place) {
                *slot = data;
            }
        }
    }
    Ok(plain)
}
