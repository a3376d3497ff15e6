//! Sizes: of the repository, and of what a set of snapshots needs of it.

use std::collections::HashMap;

use super::QueryError;
use super::content::LOOKUP_COUNT_MAX;
use super::ordinals::OrdinalSet;
use super::walk::{Step, TreeWalk};
use crate::backend::ObjectKind;
use crate::base::limits::BASE_DEPTH_MAX;
use crate::base::{ChunkId, SnapshotId};
use crate::format::node::{FileContent, Node, NodeKind};
use crate::format::pack::Content;
use crate::format::snapshot::Snapshot;
use crate::index::ChunkLocation;
use crate::repository::{ChunkReader, Error, ListReader, Repository};
use crate::source::Class;

/// Number of classes.
const CLASS_COUNT: usize = Class::ALL.len();
/// Directories whose counts are kept, so that what snapshots share is walked once.
const TALLY_COUNT_MAX: usize = 1 << 16;
/// Binary digits after the point of shares of a block.
const SHARE_BITS: u32 = 32;

/// Sizes of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepositoryStats {
    /// Snapshots.
    pub snapshots: u64,
    /// Packs that an index object names.
    pub packs: u64,
    /// Stored size of those packs.
    pub stored_bytes: u64,
    /// Of these, packs of trees and chunk lists.
    pub tree_stored_bytes: u64,
    /// Chunks in the packs; a chunk stored twice counts twice.
    pub chunks: u64,
    /// Plaintext of those chunks.
    pub raw_bytes: u64,
    /// Index objects.
    pub index_objects: u64,
    /// Stored size of the index objects.
    pub index_bytes: u64,
    /// Packs pending deletion.
    pub pending_packs: u64,
    /// Stored size of those packs.
    pub pending_bytes: u64,
}

impl RepositoryStats {
    /// Counts what the store and the local index of `repository` have.
    pub fn of(repository: &Repository) -> Result<Self, Error> {
        let mut stats = Self { snapshots: count(repository.snapshot_ids()?.len()), ..Self::default() };
        for object in repository.backend().list(ObjectKind::Index)? {
            stats.index_objects += 1;
            stats.index_bytes += object.size_bytes;
        }
        for pack in repository.index().packs()? {
            let stored_bytes = u64::from(pack.size_bytes);
            stats.packs += 1;
            stats.stored_bytes += stored_bytes;
            stats.chunks += pack.chunk_count;
            stats.raw_bytes += pack.raw_bytes;
            if pack.content == Content::Tree {
                stats.tree_stored_bytes += stored_bytes;
            }
            if pack.pending {
                stats.pending_packs += 1;
                stats.pending_bytes += stored_bytes;
            }
        }
        Ok(stats)
    }

    /// Returns how many bytes of plaintext one stored byte holds; `None` when nothing is stored.
    pub fn ratio(&self) -> Option<f64> {
        ratio(self.raw_bytes, self.stored_bytes)
    }
}

/// Returns `bytes / stored_bytes` for people; `None` when nothing is stored.
pub fn ratio(bytes: u64, stored_bytes: u64) -> Option<f64> {
    (stored_bytes > 0).then(|| bytes as f64 / stored_bytes as f64)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Distinct chunks that a set of snapshots needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChunkStats {
    /// How many.
    pub chunks: u64,
    /// Their plaintext.
    pub raw_bytes: u64,
    /// Their share of the stored blocks that hold them, by length: a block that is needed whole counts
    /// whole. What is stored around blocks (pack heads, directories, index) is not in it.
    pub stored_bytes: u64,
}

/// What a set of snapshots has of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassStats {
    /// Files of this class, in every snapshot of the set.
    pub files: u64,
    /// Content of these files: what restoring every snapshot writes.
    pub content_bytes: u64,
    /// Their distinct chunks. One that several classes share counts in the class that it was met in first.
    pub unique: ChunkStats,
}

/// What a set of snapshots holds, and what it needs of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetStats {
    /// Snapshots in the set.
    pub snapshots: u64,
    /// Regular files, in every snapshot of the set; each name of a hard-link group counts.
    pub files: u64,
    /// Directories, in every snapshot of the set, without the root.
    pub directories: u64,
    /// Everything else, in every snapshot of the set.
    pub others: u64,
    /// Content of all files: what restoring every snapshot writes.
    pub content_bytes: u64,
    /// By class, in the order of [`Class::ALL`].
    pub classes: [ClassStats; CLASS_COUNT],
    /// Distinct chunks of trees and chunk lists.
    pub metadata: ChunkStats,
}

impl SetStats {
    /// Returns the sums over distinct chunks of content.
    pub fn unique(&self) -> ChunkStats {
        self.classes.iter().fold(ChunkStats::default(), |sum, class| ChunkStats {
            chunks: sum.chunks + class.unique.chunks,
            raw_bytes: sum.raw_bytes + class.unique.raw_bytes,
            stored_bytes: sum.stored_bytes + class.unique.stored_bytes,
        })
    }

    /// Returns what the set takes in the repository, metadata included.
    pub fn stored_bytes(&self) -> u64 {
        self.unique().stored_bytes + self.metadata.stored_bytes
    }

    /// Walks `snapshots` and counts. What several share is walked once, as far as memory for that is at hand.
    ///
    /// # Errors
    /// Also damage: sums over what is left would mislead.
    pub fn of(reader: &ChunkReader<'_>, snapshots: &[(SnapshotId, &Snapshot)]) -> Result<Self, QueryError> {
        let mut counter = Counter::new(reader)?;
        let mut stats = Self::default();
        for (_, snapshot) in snapshots {
            let tally = counter.count_tree(snapshot.root)?;
            stats.snapshots += 1;
            stats.directories += tally.directories;
            stats.others += tally.others;
            for (class, (files, bytes)) in stats.classes.iter_mut().zip(tally.files) {
                class.files += files;
                class.content_bytes += bytes;
                stats.files += files;
                stats.content_bytes += bytes;
            }
        }
        counter.look_up()?;
        for (class, sum) in stats.classes.iter_mut().zip(&counter.sums) {
            class.unique = sum.stats();
        }
        stats.metadata = counter.sums[METADATA].stats();
        Ok(stats)
    }
}

/// Place of metadata after the classes.
const METADATA: usize = CLASS_COUNT;

/// Entries below a directory.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Files and their content, by class.
    files: [(u64, u64); CLASS_COUNT],
    directories: u64,
    others: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        for ((files, bytes), more) in self.files.iter_mut().zip(&other.files) {
            *files += more.0;
            *bytes += more.1;
        }
        self.directories += other.directories;
        self.others += other.others;
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct ChunkSum {
    chunks: u64,
    raw_bytes: u64,
    stored_shares: u128,
}

impl ChunkSum {
    fn stats(&self) -> ChunkStats {
        let rounded = (self.stored_shares + (1 << (SHARE_BITS - 1))) >> SHARE_BITS;
        ChunkStats {
            chunks: self.chunks,
            raw_bytes: self.raw_bytes,
            stored_bytes: u64::try_from(rounded).unwrap_or(u64::MAX),
        }
    }
}

/// Returns a chunk's share of its stored block.
fn share(location: &ChunkLocation) -> u128 {
    let part = u128::from(location.block.stored_bytes) * u128::from(location.length_bytes);
    (part << SHARE_BITS) / u128::from(location.block.raw_bytes.max(1))
}

/// Counts trees and the chunks that they need, each chunk once. Takes three bits for each chunk that the
/// index knows.
#[derive(Debug)]
struct Counter<'a, 'r> {
    reader: &'a ChunkReader<'r>,
    /// Chunks met.
    met: OrdinalSet,
    /// Chunks whose share is counted: those met, and bases.
    stored: OrdinalSet,
    /// Blocks whose bases are counted, by their first chunk.
    based: OrdinalSet,
    sums: [ChunkSum; CLASS_COUNT + 1],
    waiting: Vec<(ChunkId, usize)>,
    tallies: HashMap<ChunkId, Tally>,
}

impl<'a, 'r> Counter<'a, 'r> {
    fn new(reader: &'a ChunkReader<'r>) -> Result<Self, QueryError> {
        let end = reader.repository().index().ordinal_end()?;
        Ok(Self {
            reader,
            met: OrdinalSet::new(end),
            stored: OrdinalSet::new(end),
            based: OrdinalSet::new(end),
            sums: Default::default(),
            waiting: Vec::new(),
            tallies: HashMap::new(),
        })
    }

    fn count_tree(&mut self, root: ChunkId) -> Result<Tally, QueryError> {
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
                    for id in tree_chunks {
                        self.add(id, METADATA)?;
                    }
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

    fn count_file(&mut self, node: &Node, tally: &mut Tally) -> Result<(), Error> {
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
        let mut list = ListReader::new(self.reader, content, *size_bytes)?;
        while let Some(chunk) = list.next_chunk()? {
            self.add(chunk.id, place)?;
        }
        for id in list.list_chunks() {
            self.add(*id, METADATA)?;
        }
        Ok(())
    }

    fn add(&mut self, id: ChunkId, place: usize) -> Result<(), Error> {
        self.waiting.push((id, place));
        if self.waiting.len() < LOOKUP_COUNT_MAX { Ok(()) } else { self.look_up() }
    }

    fn look_up(&mut self) -> Result<(), Error> {
        self.reader.repository().check_stop()?;
        let waiting = std::mem::take(&mut self.waiting);
        let ids: Vec<ChunkId> = waiting.iter().map(|(id, _)| *id).collect();
        for ((id, place), location) in waiting.into_iter().zip(self.reader.repository().index().locate(&ids)?)
        {
            let location = location.ok_or(Error::MissingChunk { id })?;
            if !self.met.insert(location.ordinal) {
                continue;
            }
            let sum = &mut self.sums[place];
            sum.chunks += 1;
            sum.raw_bytes += u64::from(location.length_bytes);
            if self.stored.insert(location.ordinal) {
                sum.stored_shares += share(&location);
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
                for name in &location.block.bases {
                    let ids = index.resolve_base(*name)?;
                    for base in index.locate(&ids)?.into_iter().flatten() {
                        if self.stored.insert(base.ordinal) {
                            self.sums[place].stored_shares += share(&base);
                        }
                        below.push(base);
                    }
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

#[cfg(test)]
mod tests;
