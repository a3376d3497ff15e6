//! What a restore fetches together, and in which order.
//!
//! Blocks with bases are taken in the order of the files, some at a time. What those lean on in the end comes
//! right before them, along with the blocks without bases of the same places, so that each is fetched and
//! decoded once while it is at hand, whatever it is needed for.

use std::collections::{HashMap, VecDeque};

use super::RestoreError;
use super::fetch::Sink;
use crate::base::{ChunkId, PackId};
use crate::format::pack::Content;
use crate::index::{BlockKey, BlockLocation};
use crate::repository::{ChunkReader, Error, Repository};

/// Bytes between two needed blocks that are fetched along rather than asked around.
const GAP_MAX_BYTES: u64 = 256 << 10;
/// Ids looked up at once.
const LOOKUP_COUNT_MAX: usize = 1 << 16;
/// Of the memory for decoded blocks, the part that blocks with bases of one step fill as plaintext: what two
/// steps lean on is kept beside.
const STEP_PART: usize = 4;
/// The first step is this part of others, and each is twice the one before: decoding begins early.
const FIRST_STEP_PART: u64 = 8;

/// A chunk of a block, by its place in what was asked for.
#[derive(Debug)]
pub(super) struct Want {
    pub(super) wanted: usize,
    pub(super) chunk_offset: u32,
    pub(super) length_bytes: u32,
}

#[derive(Debug)]
pub(super) struct WantedBlock {
    pub(super) location: BlockLocation,
    pub(super) wants: Vec<Want>,
    /// Others lean on it: it is kept as plaintext.
    pub(super) is_base: bool,
}

/// Neighbours in a pack, fetched by one request.
#[derive(Debug)]
pub(super) struct PackRange {
    pub(super) pack: PackId,
    pub(super) offset: u64,
    pub(super) length_bytes: u64,
    pub(super) blocks: std::ops::Range<usize>,
}

/// What is fetched together.
#[derive(Debug)]
pub(super) struct Step {
    /// Blocks without bases, and how they are asked for.
    pub(super) blocks: Vec<WantedBlock>,
    pub(super) ranges: Vec<PackRange>,
    /// Blocks with bases, which can be decoded when those are there.
    pub(super) based: Vec<WantedBlock>,
}

/// Blocks that are still to be fetched.
#[derive(Debug)]
pub(super) struct Steps {
    /// Blocks without bases.
    open: HashMap<BlockKey, WantedBlock>,
    /// Those, and the first chunk that needs each, in this order.
    order: VecDeque<(usize, BlockKey)>,
    /// Which pack is needed first.
    packs: HashMap<PackId, usize>,
    /// Blocks with bases, in the order in which they are needed.
    based: VecDeque<WantedBlock>,
    /// Bytes of one request.
    request_bytes: u64,
    /// Plaintext of the blocks with bases of the next step, and of any.
    step_bytes: u64,
    step_max_bytes: u64,
}

impl Steps {
    /// Finds the blocks that hold `ids`; what is not stored is told to `sink`.
    pub(super) fn of(
        repository: &Repository,
        ids: &[ChunkId],
        sink: &dyn Sink,
    ) -> Result<Self, RestoreError> {
        let memory = repository.memory();
        let mut blocks: Vec<WantedBlock> = Vec::new();
        let mut numbers: HashMap<BlockKey, usize> = HashMap::new();
        let mut packs: HashMap<PackId, usize> = HashMap::new();
        for (round, batch) in ids.chunks(LOOKUP_COUNT_MAX).enumerate() {
            repository.check_stop()?;
            let found = repository.index().locate(batch).map_err(Error::from)?;
            for (place, location) in found.into_iter().enumerate() {
                let wanted = round * LOOKUP_COUNT_MAX + place;
                let Some(location) = location.filter(|location| location.block.content == Content::Data)
                else {
                    sink.missing(wanted, &Error::MissingChunk { id: batch[place] })?;
                    continue;
                };
                let want =
                    Want { wanted, chunk_offset: location.chunk_offset, length_bytes: location.length_bytes };
                packs.entry(location.block.pack).or_insert(wanted);
                let number = *numbers.entry(location.block.key()).or_insert(blocks.len());
                if number == blocks.len() {
                    let location = location.block;
                    blocks.push(WantedBlock { location, wants: Vec::new(), is_base: false });
                }
                blocks[number].wants.push(want);
            }
        }
        let (mut open, mut order, mut based) = (HashMap::new(), VecDeque::new(), VecDeque::new());
        for block in blocks {
            if block.location.bases.is_empty() {
                order.push_back((first_of(&block), block.location.key()));
                open.insert(block.location.key(), block);
            } else {
                based.push_back(block);
            }
        }
        let request_bytes = memory.request_bytes();
        let step_max_bytes = u64::try_from(memory.based_blocks_bytes() / STEP_PART).unwrap_or(u64::MAX);
        let step_bytes = step_max_bytes / FIRST_STEP_PART;
        Ok(Self { open, order, packs, based, request_bytes, step_bytes, step_max_bytes })
    }

    /// Returns what comes next; `None` at the end.
    pub(super) fn next(&mut self, reader: &ChunkReader<'_>) -> Result<Option<Step>, Error> {
        let mut based: Vec<WantedBlock> = Vec::new();
        let mut bytes = 0_u64;
        while let Some(block) = self.based.pop_front_if(|_| bytes < self.step_bytes) {
            bytes += u64::from(block.location.raw_bytes);
            based.push(block);
        }
        self.step_bytes = self.step_max_bytes.min(self.step_bytes * 2);
        let locations: Vec<&BlockLocation> = based.iter().map(|block| &block.location).collect();
        reader.look_ahead(&locations)?;
        let mut blocks = Vec::new();
        for location in reader.anchors(&locations) {
            let wants = self.open.remove(&location.key()).map_or_else(Vec::new, |block| block.wants);
            blocks.push(WantedBlock { location, wants, is_base: true });
        }
        let end = self.based.front().map_or(usize::MAX, first_of);
        while let Some((_, key)) = self.order.pop_front_if(|(first, _)| *first < end) {
            blocks.extend(self.open.remove(&key));
        }
        if blocks.is_empty() && based.is_empty() {
            return Ok(None);
        }
        blocks.sort_by_cached_key(|block| {
            let pack = block.location.pack;
            (self.packs.get(&pack).copied().unwrap_or(usize::MAX), pack, block.location.offset)
        });
        let ranges = ranges_of(&blocks, self.request_bytes);
        Ok(Some(Step { blocks, ranges, based }))
    }
}

fn first_of(block: &WantedBlock) -> usize {
    block.wants.first().map_or(0, |want| want.wanted)
}

fn ranges_of(blocks: &[WantedBlock], request_max_bytes: u64) -> Vec<PackRange> {
    let mut ranges: Vec<PackRange> = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let location = &block.location;
        let (start, length) = (u64::from(location.offset), u64::from(location.stored_bytes));
        let end = start + length;
        if let Some(last) = ranges.last_mut()
            && last.pack == location.pack
            && start.saturating_sub(last.offset + last.length_bytes) <= GAP_MAX_BYTES
            && end.saturating_sub(last.offset) <= request_max_bytes
        {
            last.length_bytes = last.length_bytes.max(end - last.offset);
            last.blocks.end = at + 1;
            continue;
        }
        ranges.push(PackRange {
            pack: location.pack,
            offset: start,
            length_bytes: length,
            blocks: at..at + 1,
        });
    }
    ranges
}
