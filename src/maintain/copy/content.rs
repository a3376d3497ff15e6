//! The content of one file: chunks read ahead in order, named anew on all cores, stored where absent.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use rayon::prelude::*;

use super::cache::Cache;
use crate::base::ChunkId;
use crate::codec::Hint;
use crate::format::node::{ChunkRef, FileContent};
use crate::format::pack::Content;
use crate::repository::{ChunkReader, ChunkWriter, Error, ListReader, ListWriter, parallel};

/// Plaintext read at once.
const WINDOW_BYTES: u64 = 32 << 20;
/// Chunks read at once.
const WINDOW_CHUNKS: usize = 4096;

/// Copies the chunks of a file, and returns its content in the target.
pub(super) fn copy(
    reader: &ChunkReader<'_>,
    known: &mut Cache,
    content: &FileContent,
    size_bytes: u64,
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
        let mut ids: Vec<Option<ChunkId>> = window.iter().map(|chunk| known.get(&chunk.id)).collect();
        let mut seen = HashSet::new();
        let unknown: Vec<ChunkRef> = window
            .iter()
            .zip(&ids)
            .filter(|(chunk, id)| id.is_none() && seen.insert(chunk.id))
            .map(|(chunk, _)| *chunk)
            .collect();
        let new = store(reader, &unknown, writer)?;
        for (id, chunk) in ids.iter_mut().zip(&window) {
            if let Some(found) = new.get(&chunk.id) {
                *id = Some(*found);
                known.put(chunk.id, *found);
            }
        }
        for (chunk, id) in window.iter().zip(ids) {
            let id = id.ok_or(Error::Internal { what: "a chunk that was not copied" })?;
            reader.repository().progress().advance(0, u64::from(chunk.length_bytes));
            to.push(ChunkRef { id, length_bytes: chunk.length_bytes }, writer)?;
        }
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

/// Reads `chunks` and stores those that the target lacks. Returns what their ids became.
fn store(
    reader: &ChunkReader<'_>,
    chunks: &[ChunkRef],
    writer: &mut ChunkWriter,
) -> Result<BTreeMap<ChunkId, ChunkId>, Error> {
    let plain = read(reader, chunks)?;
    let keys = writer.repository().keys();
    let ids: Vec<ChunkId> = plain.par_iter().map(|data| keys.data_id(data)).collect();
    let held = writer.contains(&ids)?;
    for ((id, data), held) in ids.iter().zip(plain).zip(held) {
        if !held {
            writer.add_absent(*id, &data, Hint::Unknown)?;
        }
    }
    Ok(chunks.iter().map(|chunk| chunk.id).zip(ids).collect())
}

/// Reads `chunks`, block by block so that none is fetched twice, many blocks at once.
fn read(reader: &ChunkReader<'_>, chunks: &[ChunkRef]) -> Result<Vec<Bytes>, Error> {
    let ids: Vec<ChunkId> = chunks.iter().map(|chunk| chunk.id).collect();
    let located = reader.repository().index().locate(&ids)?;
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
