//! Counting trees and the chunks that they need, each chunk once.

use std::collections::HashMap;

use super::super::QueryError;
use super::super::content::LOOKUP_COUNT_MAX;
use super::super::ordinals::OrdinalSet;
use super::super::walk::{Step, TreeWalk};
use super::{CLASS_COUNT, ChunkStats, PartStats};
use crate::base::ChunkId;
use crate::base::limits::BASE_DEPTH_MAX;
use crate::format::node::{FileContent, Node, NodeKind};
use crate::index::ChunkLocation;
use crate::repository::{ChunkReader, Error, ListReader};
use crate::source::Class;

/// Directories whose counts are kept, so that what snapshots share is walked once.
const TALLY_COUNT_MAX: usize = 1 << 16;
/// Binary digits after the point of shares of a block.
const SHARE_BITS: u32 = 32;

/// Place of metadata after the classes.
pub(super) const METADATA: usize = CLASS_COUNT;

/// Entries below a directory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// Files and their content, by class.
    pub(super) files: [(u64, u64); CLASS_COUNT],
    pub(super) directories: u64,
    pub(super) others: u64,
}

impl Tally {
    /// Returns how many files of all classes there are, and their content.
    pub(super) fn file_sums(&self) -> (u64, u64) {
        self.files.iter().fold((0, 0), |(files, bytes), more| (files + more.0, bytes + more.1))
    }

    fn add(&mut self, other: &Tally) {
        for ((files, bytes), more) in self.files.iter_mut().zip(&other.files) {
            *files += more.0;
            *bytes += more.1;
        }
        self.directories += other.directories;
        self.others += other.others;
    }
}

/// Chunks of blocks with or without bases.
#[derive(Debug, Clone, Copy, Default)]
struct PartSum {
    chunks: u64,
    raw_bytes: u64,
    stored_shares: u128,
}

impl PartSum {
    fn stats(&self) -> PartStats {
        PartStats {
            chunks: self.chunks,
            raw_bytes: self.raw_bytes,
            stored_bytes: rounded(self.stored_shares),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ChunkSum {
    plain: PartSum,
    based: PartSum,
    /// Each block's bytes once, whoever needs them first.
    stored_shares: u128,
}

impl ChunkSum {
    pub(super) fn stats(&self) -> ChunkStats {
        ChunkStats {
            chunks: self.plain.chunks + self.based.chunks,
            raw_bytes: self.plain.raw_bytes + self.based.raw_bytes,
            stored_bytes: rounded(self.stored_shares),
            plain: self.plain.stats(),
            based: self.based.stats(),
        }
    }
}

fn rounded(shares: u128) -> u64 {
    u64::try_from((shares + (1 << (SHARE_BITS - 1))) >> SHARE_BITS).unwrap_or(u64::MAX)
}

/// Returns a chunk's share of its stored block.
fn share(location: &ChunkLocation) -> u128 {
    let part = u128::from(location.block.stored_bytes) * u128::from(location.length_bytes);
    (part << SHARE_BITS) / u128::from(location.block.raw_bytes.max(1))
}

/// Counts trees and the chunks that they need, each chunk once. Takes three bits for each chunk that the
/// index knows.
#[derive(Debug)]
pub(super) struct Counter<'a, 'r> {
    reader: &'a ChunkReader<'r>,
    /// Chunks met.
    met: OrdinalSet,
    /// Chunks whose share is counted: those met, and bases.
    stored: OrdinalSet,
    /// Blocks whose bases are counted, by their first chunk.
    based: OrdinalSet,
    /// By class, metadata last; of groups two each, data and metadata.
    pub(super) sums: Vec<ChunkSum>,
    group: Option<usize>,
    waiting: Vec<(ChunkId, usize)>,
    tallies: HashMap<ChunkId, Tally>,
}

impl<'a, 'r> Counter<'a, 'r> {
    pub(super) fn new(reader: &'a ChunkReader<'r>) -> Result<Self, QueryError> {
        let end = reader.repository().index().ordinal_end()?;
        Ok(Self {
            reader,
            met: OrdinalSet::new(end),
            stored: OrdinalSet::new(end),
            based: OrdinalSet::new(end),
            sums: vec![ChunkSum::default(); CLASS_COUNT + 1],
            group: None,
            waiting: Vec::new(),
            tallies: HashMap::new(),
        })
    }

    /// Counts what follows in the group `group` instead of by class.
    pub(super) fn set_group(&mut self, group: usize) {
        let end = group.saturating_add(1).saturating_mul(2);
        if self.sums.len() < end {
            self.sums.resize(end, ChunkSum::default());
        }
        self.group = Some(group);
    }

    /// Returns data and metadata of a group.
    pub(super) fn group_stats(&self, group: usize) -> [ChunkStats; 2] {
        let stats = |place: usize| self.sums.get(place).map(ChunkSum::stats).unwrap_or_default();
        [stats(group * 2), stats(group * 2 + 1)]
    }

    /// Sets all sums to nothing; what was met stays known.
    pub(super) fn clear_sums(&mut self) {
        self.sums.fill(ChunkSum::default());
    }

    fn data_place(&self, class: usize) -> usize {
        self.group.map_or(class, |group| group * 2)
    }

    fn metadata_place(&self) -> usize {
        self.group.map_or(METADATA, |group| group * 2 + 1)
    }

    /// Counts a directory and all below it, but not again what was counted before.
    pub(super) fn count_tree(&mut self, root: ChunkId) -> Result<Tally, QueryError> {
        if let Some(tally) = self.tallies.get(&root) {
            return Ok(*tally);
        }
        let mut walk = TreeWalk::new(self.reader, root, b"");
        let mut open = vec![Tally::default()];
        let mut whole = Tally::default();
        while let Some(step) = walk.next_step()? {
            match step {
                Step::Entry(entry) => {
                    let Some(tally) = open.last_mut() else { break };
                    match entry.node.kind {
                        NodeKind::Directory { tree } => {
                            tally.directories += 1;
                            match self.tallies.get(&tree) {
                                Some(known) => {
                                    tally.add(known);
                                    walk.skip_directory();
                                }
                                None => open.push(Tally::default()),
                            }
                        }
                        NodeKind::File { .. } => {
                            let counted = self.count_file(&entry.node, tally);
                            counted.map_err(|error| QueryError::at(&entry.path, error))?;
                        }
                        _ => tally.others += 1,
                    }
                }
                Step::Leave { tree, tree_chunks } => {
                    self.add_metadata(&tree_chunks)?;
                    let tally = open.pop().unwrap_or_default();
                    if self.tallies.len() >= TALLY_COUNT_MAX {
                        // The directories above come last, and are worth most.
                        self.tallies.clear();
                    }
                    self.tallies.insert(tree, tally);
                    match open.last_mut() {
                        Some(above) => above.add(&tally),
                        None => whole = tally,
                    }
                }
            }
        }
        Ok(whole)
    }

    /// Counts chunks of trees and lists.
    pub(super) fn add_metadata(&mut self, ids: &[ChunkId]) -> Result<(), Error> {
        let place = self.metadata_place();
        ids.iter().try_for_each(|id| self.add(*id, place))
    }

    /// Counts a file.
    pub(super) fn count_file(&mut self, node: &Node, tally: &mut Tally) -> Result<(), Error> {
        let NodeKind::File { size_bytes, class, content } = &node.kind else { return Ok(()) };
        let class = Class::from_number(*class).unwrap_or(Class::General);
        let place = Class::ALL.iter().position(|known| *known == class).unwrap_or(0);
        if let Some((files, bytes)) = tally.files.get_mut(place) {
            *files += 1;
            *bytes += size_bytes;
        }
        if let FileContent::List { root, .. } = content {
            let located = self.reader.repository().index().locate(std::slice::from_ref(root))?;
            if located.iter().flatten().any(|root| self.met.contains(root.ordinal)) {
                return Ok(());
            }
        }
        let data_place = self.data_place(place);
        let mut list = ListReader::new(self.reader, content, *size_bytes)?;
        while let Some(chunk) = list.next_chunk()? {
            self.add(chunk.id, data_place)?;
        }
        self.add_metadata(list.list_chunks())
    }

    fn add(&mut self, id: ChunkId, place: usize) -> Result<(), Error> {
        self.waiting.push((id, place));
        if self.waiting.len() < LOOKUP_COUNT_MAX { Ok(()) } else { self.look_up() }
    }

    /// Looks up what waits. The sums are whole when this returns.
    pub(super) fn look_up(&mut self) -> Result<(), Error> {
        self.reader.repository().check_stop()?;
        let waiting = std::mem::take(&mut self.waiting);
        let ids: Vec<ChunkId> = waiting.iter().map(|(id, _)| *id).collect();
        for ((id, place), location) in waiting.into_iter().zip(self.reader.repository().index().locate(&ids)?)
        {
            let location = location.ok_or(Error::MissingChunk { id })?;
            if !self.met.insert(location.ordinal) {
                continue;
            }
            let Some(sum) = self.sums.get_mut(place) else {
                return Err(Error::Internal { what: "place of a sum" });
            };
            let share = share(&location);
            let part = if location.block.depth > 0 { &mut sum.based } else { &mut sum.plain };
            part.chunks += 1;
            part.raw_bytes += u64::from(location.length_bytes);
            part.stored_shares += share;
            if self.stored.insert(location.ordinal) {
                sum.stored_shares += share;
            }
            self.count_bases(&location, place)?;
        }
        Ok(())
    }

    /// Counts the stored share of the bases that a chunk's block needs, and of theirs.
    fn count_bases(&mut self, location: &ChunkLocation, place: usize) -> Result<(), Error> {
        let index = self.reader.repository().index();
        let mut level = vec![location.clone()];
        for _ in 0..=BASE_DEPTH_MAX {
            let mut below = Vec::new();
            for location in level {
                if location.block.bases.is_empty() || !self.based.insert(location.block.first_ordinal) {
                    continue;
                }
                for (_, base) in index.locate_bases(&location.block.bases)?.into_iter().flatten() {
                    if self.stored.insert(base.ordinal)
                        && let Some(sum) = self.sums.get_mut(place)
                    {
                        sum.stored_shares += share(&base);
                    }
                    below.push(base);
                }
            }
            if below.is_empty() {
                return Ok(());
            }
            level = below;
        }
        Ok(())
    }
}
