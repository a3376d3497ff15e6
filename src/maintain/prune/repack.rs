//! Moving what is needed out of packs that go: whole blocks as they are, single chunks sealed anew.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use rayon::prelude::*;

use super::Run;
use super::decide::{Moving, moving};
use super::error::PruneError;
use crate::backend::ObjectKey;
use crate::base::{ChunkId, PackId, Phase, PooledBuffer};
use crate::format::pack::{Content, DirectoryBlock, DirectoryChunk};
use crate::index::{BlockInfo, ChunkLocation, PackInfo};
use crate::maintain::mark::LiveSet;
use crate::pack::{PackError, SealedBlock, mixing_skip, open_block, verify_chunks};
use crate::repository::{
    ChunkReader, ChunkWriter, Error, NewBase, Repository, bases_that_stay, parallel, sealed_bytes,
};

/// Stored bytes read and opened together; opened they are a few times as much.
const BATCH_BYTES: u64 = 16 << 20;
/// One request reads neighbouring blocks up to this length together.
const REQUEST_BYTES: u64 = 4 << 20;
/// Chunks looked up together.
const LOOKUP_BATCH: usize = 8192;

/// How live blocks are moved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways<'a> {
    /// What is moved.
    pub(super) live: &'a LiveSet,
    /// What of it does not go as it is.
    pub(super) anew: Option<Remake<'a>>,
}

/// Blocks with bases that are sealed anew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remake<'a> {
    /// Which, by first ordinal.
    pub(super) blocks: &'a HashSet<u64>,
    /// Blocks that they must not lean on, by first ordinal.
    pub(super) unsteady: &'a HashSet<u64>,
}

/// A block that was opened and compared with its ids.
#[derive(Debug)]
enum Opened {
    /// To be stored as it is, and the ids of its live chunks.
    Whole(SealedBlock, Vec<ChunkId>),
    Chunks(Vec<(ChunkId, Bytes)>),
    /// What stood together, and what it is sealed anew against.
    Anew(Vec<(ChunkId, Bytes)>, NewBase),
}

/// A part of a pack that one request reads.
#[derive(Debug)]
struct Span<'b> {
    offset: u64,
    length_bytes: u64,
    blocks: Vec<&'b BlockInfo>,
}

impl Run {
    /// Moves what is live out of `packs`. When this returns it is stored and indexed elsewhere.
    pub(super) fn repack(&mut self, packs: &[PackInfo], ways: Ways<'_>) -> Result<(), PruneError> {
        if packs.is_empty() {
            return Ok(());
        }
        let repository = self.repository.clone();
        let bytes = packs.iter().map(|pack| u64::from(pack.size_bytes)).sum();
        let count = u64::try_from(packs.len()).unwrap_or(u64::MAX);
        repository.progress().begin(Phase::Repack, Some(count), Some(bytes));
        let mut writer = ChunkWriter::new(repository.clone(), false)?;
        let reader = ChunkReader::new(&repository);
        for pack in packs {
            repository.progress().current(ObjectKey::pack(&pack.id).path().as_bytes());
            let blocks = repository.index().pack_blocks(&pack.id)?;
            let blocks: Vec<&BlockInfo> =
                blocks.iter().filter(|block| moving(block, ways.live) != Moving::Nothing).collect();
            for batch in batches(&blocks) {
                repository.check_stop()?;
                self.renew()?;
                for opened in read_batch(&reader, pack, batch, ways)? {
                    write(&repository, &mut writer, pack.content, opened)?;
                }
            }
            self.report.repacked.add(u64::from(pack.size_bytes));
            repository.progress().advance(1, u64::from(pack.size_bytes));
        }
        let stats = writer.finish()?;
        self.report.written.count += stats.packs;
        self.report.written.bytes += stats.stored_bytes;
        repository.progress().end();
        Ok(())
    }

    /// Fails unless every live chunk of `packs` is in a pack that stays. `doomed` packs count as gone from
    /// now on, for writers of this host too.
    pub(super) fn require_moved(
        &self,
        packs: &[PackInfo],
        live: &LiveSet,
        doomed: &BTreeSet<PackId>,
    ) -> Result<(), PruneError> {
        let index = self.repository.index();
        let planned = self.repository.load_plans()?.into_iter().flat_map(|(_, _, plan)| plan.packs);
        let pending = planned.map(|pack| pack.id).chain(doomed.iter().copied()).collect();
        index.set_pending(&pending)?;
        for pack in packs {
            self.repository.check_stop()?;
            let mut ids: Vec<ChunkId> = Vec::new();
            for block in index.pack_blocks(&pack.id)? {
                let ordinals = block.location.first_ordinal..;
                ids.extend(ordinals.zip(&block.ids).filter(|(n, _)| live.contains(*n)).map(|(_, id)| *id));
            }
            for ids in ids.chunks(LOOKUP_BATCH) {
                let held = index.is_outside_pending(ids)?;
                if let Some((id, _)) = ids.iter().zip(held).find(|(_, held)| !held) {
                    return Err(PruneError::NotMoved { id: *id });
                }
            }
        }
        Ok(())
    }
}

/// Splits `blocks` so that each part is read at once.
fn batches<'a, 'b>(blocks: &'a [&'b BlockInfo]) -> Vec<&'a [&'b BlockInfo]> {
    let mut batches = Vec::new();
    let (mut start, mut held) = (0, 0);
    for (at, block) in blocks.iter().enumerate() {
        let stored = u64::from(block.location.stored_bytes);
        if at > start && held + stored > BATCH_BYTES {
            batches.push(&blocks[start..at]);
            (start, held) = (at, 0);
        }
        held += stored;
    }
    batches.push(&blocks[start..]);
    batches
}

/// Joins neighbouring blocks into requests.
fn spans<'b>(blocks: &[&'b BlockInfo]) -> Vec<Span<'b>> {
    let mut spans: Vec<Span<'b>> = Vec::new();
    for block in blocks {
        let (offset, stored) = (u64::from(block.location.offset), u64::from(block.location.stored_bytes));
        match spans.last_mut() {
            Some(span)
                if span.offset + span.length_bytes == offset
                    && span.length_bytes + stored <= REQUEST_BYTES =>
            {
                span.length_bytes += stored;
                span.blocks.push(block);
            }
            _ => spans.push(Span { offset, length_bytes: stored, blocks: vec![block] }),
        }
    }
    spans
}

fn read_batch(
    reader: &ChunkReader<'_>,
    pack: &PackInfo,
    blocks: &[&BlockInfo],
    ways: Ways<'_>,
) -> Result<Vec<Opened>, PruneError> {
    let key = ObjectKey::pack(&pack.id);
    let spans = spans(blocks);
    let backend = reader.repository().backend();
    let read = parallel(&spans, |span| backend.get_range(&key, span.offset, span.length_bytes));
    let mut stored = Vec::with_capacity(blocks.len());
    for (span, bytes) in spans.iter().zip(read) {
        let bytes = bytes.map_err(|error| Error::of_pack(key.path(), error.into()))?;
        let mut at = 0;
        for block in &span.blocks {
            let end = at + usize::try_from(block.location.stored_bytes).unwrap_or(usize::MAX);
            stored.push((*block, bytes.slice(at..end.min(bytes.len()))));
            at = end;
        }
    }
    let opened: Result<Vec<Opened>, Error> = stored
        .into_par_iter()
        .map(|(block, bytes)| open(reader, pack.content, block, &bytes, ways))
        .collect();
    Ok(opened?)
}

/// Opens a block and compares all its chunks. Other copies of its chunks make up for one that is damaged.
fn open(
    reader: &ChunkReader<'_>,
    content: Content,
    block: &BlockInfo,
    stored: &[u8],
    ways: Ways<'_>,
) -> Result<Opened, Error> {
    let live = ways.live;
    let plain = match open_verified(reader, content, block, stored) {
        Ok(plain) => plain,
        Err(error) if error.is_damage() => {
            let ids = live_places(block, live).map(|(id, ..)| id);
            let read = |id: ChunkId| reader.read(content, &id).map(|data| (id, data));
            return Ok(Opened::Chunks(ids.map(read).collect::<Result<_, _>>()?));
        }
        Err(error) => return Err(error),
    };
    let remake = ways.anew.filter(|anew| anew.blocks.contains(&block.location.first_ordinal));
    if remake.is_none() && moving(block, live) == Moving::Whole {
        let sealed = SealedBlock { stored: stored.to_vec().into(), entry: entry_of(block), fell_back: false };
        return Ok(Opened::Whole(sealed, live_places(block, live).map(|(id, ..)| id).collect()));
    }
    let plain = plain.share();
    let chunks = live_places(block, live)
        .filter(|(_, _, end)| *end <= plain.len())
        .map(|(id, start, end)| (id, plain.slice(start..end)))
        .collect();
    match remake {
        Some(remake) => open_anew(reader, block, stored, chunks, ways, remake),
        None => Ok(Opened::Chunks(chunks)),
    }
}

fn open_anew(
    reader: &ChunkReader<'_>,
    block: &BlockInfo,
    stored: &[u8],
    chunks: Vec<(ChunkId, Bytes)>,
    ways: Ways<'_>,
    remake: Remake<'_>,
) -> Result<Opened, Error> {
    let object = ObjectKey::pack(&block.location.pack).to_string();
    let skip =
        mixing_skip(reader.repository().keys(), stored).map_err(|error| Error::of_pack(object, error))?;
    let mut place = 0..0;
    for (at, (_, start, end)) in live_places(block, ways.live).enumerate() {
        if at > 0 && skip.is_some() && start != place.end {
            // Numbers with a gap are not worth a base.
            return Ok(Opened::Chunks(chunks));
        }
        place = if at == 0 { start..end } else { place.start..end };
    }
    let stays = |at: &ChunkLocation| !remake.unsteady.contains(&at.block.first_ordinal);
    let base = bases_that_stay(reader, &block.location, place, skip, &stays)?;
    Ok(Opened::Anew(chunks, base))
}

/// Returns what the live chunks of a block take when they are stored in this way; nothing is stored.
pub(super) fn trial_bytes(reader: &ChunkReader<'_>, block: &BlockInfo, ways: Ways<'_>) -> Result<u64, Error> {
    let stored = reader.stored_block(&block.location)?;
    match open(reader, block.location.content, block, &stored, ways)? {
        Opened::Whole(..) => Ok(u64::from(block.location.stored_bytes)),
        Opened::Chunks(run) => sealed_bytes(reader, &run, &NewBase::Numbers { bases: Vec::new(), skip: 0 }),
        Opened::Anew(run, base) => sealed_bytes(reader, &run, &base),
    }
}

fn open_verified(
    reader: &ChunkReader<'_>,
    content: Content,
    block: &BlockInfo,
    stored: &[u8],
) -> Result<PooledBuffer, Error> {
    let keys = reader.repository().keys();
    let object = ObjectKey::pack(&block.location.pack).to_string();
    let raw_bytes = usize::try_from(block.location.raw_bytes).unwrap_or(usize::MAX);
    let entry = entry_of(block);
    let mut failure = None;
    for base in reader.bases_of(&block.location, 0)? {
        let opened = open_block(reader.rooms(), keys, stored, raw_bytes, &base)
            .and_then(|plain| verify_chunks(keys, content, &entry, &plain).map(|()| plain));
        match opened {
            Ok(plain) => return Ok(plain),
            Err(error) => failure = Some(error),
        }
    }
    let failure = failure.unwrap_or(PackError::NameMismatch);
    Err(Error::of_pack(object, failure))
}

/// Returns id, begin and end in the plaintext of each live chunk of a block.
pub(super) fn live_places(
    block: &BlockInfo,
    live: &LiveSet,
) -> impl Iterator<Item = (ChunkId, usize, usize)> {
    let ordinals = block.location.first_ordinal..;
    let mut end = 0_usize;
    let places = block.ids.iter().zip(&block.lengths).map(move |(id, length)| {
        let start = end;
        end = start.saturating_add(usize::try_from(*length).unwrap_or(usize::MAX));
        (*id, start, end)
    });
    ordinals.zip(places).filter(|(ordinal, _)| live.contains(*ordinal)).map(|(_, place)| place)
}

fn entry_of(block: &BlockInfo) -> DirectoryBlock {
    let chunks = block.ids.iter().zip(&block.lengths);
    DirectoryBlock {
        stored_bytes: block.location.stored_bytes,
        depth: block.location.depth,
        bases: block.location.bases.to_vec(),
        chunks: chunks.map(|(id, length)| DirectoryChunk { id: *id, length_bytes: *length }).collect(),
    }
}

fn write(
    repository: &Repository,
    writer: &mut ChunkWriter,
    content: Content,
    opened: Opened,
) -> Result<(), PruneError> {
    match opened {
        Opened::Chunks(chunks) => {
            for (id, data) in chunks {
                writer.add_again(content, id, &data)?;
            }
        }
        Opened::Anew(run, base) => writer.add_anew(&run, &base)?,
        Opened::Whole(block, ids) => {
            if !writer.move_block(content, block)? {
                // One of its chunks is in the open pack already: the others go in one by one.
                let reader = ChunkReader::new(repository);
                for id in ids {
                    let data = reader.read(content, &id)?;
                    writer.add_again(content, id, &data)?;
                }
            }
        }
    }
    Ok(())
}
