//! Sizes: of the repository, of what a set of snapshots needs of it, and of what each day added.

mod counter;
mod paths;
mod series;

use counter::{ChunkSum, Counter, METADATA};
pub use paths::{PATH_COUNT_MAX, PathStats};
pub use series::SeriesRow;

use super::QueryError;
use crate::backend::ObjectKind;
use crate::base::SnapshotId;
use crate::format::pack::Content;
use crate::format::snapshot::Snapshot;
use crate::repository::{ChunkReader, Error, Repository};
use crate::source::Class;

/// Number of classes.
const CLASS_COUNT: usize = Class::ALL.len();

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

/// Some chunks of blocks of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartStats {
    /// How many.
    pub chunks: u64,
    /// Their plaintext.
    pub raw_bytes: u64,
    /// Their own share of the stored blocks that hold them, by length.
    pub stored_bytes: u64,
}

impl PartStats {
    /// Returns the sums of both.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            chunks: self.chunks + other.chunks,
            raw_bytes: self.raw_bytes + other.raw_bytes,
            stored_bytes: self.stored_bytes + other.stored_bytes,
        }
    }
}

/// Distinct chunks that a set of snapshots needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChunkStats {
    /// How many.
    pub chunks: u64,
    /// Their plaintext.
    pub raw_bytes: u64,
    /// Their share of the stored blocks that hold them, by length, and that of the bases which these blocks
    /// need: a block that is needed whole counts whole. What is stored around blocks (pack heads,
    /// directories, index) is not in it.
    pub stored_bytes: u64,
    /// Those in blocks without bases: what transforms and coders made of them.
    pub plain: PartStats,
    /// Those in blocks with bases: what was left of them beside what their bases say.
    pub based: PartStats,
}

impl ChunkStats {
    /// Returns the sums of both.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            chunks: self.chunks + other.chunks,
            raw_bytes: self.raw_bytes + other.raw_bytes,
            stored_bytes: self.stored_bytes + other.stored_bytes,
            plain: self.plain.plus(&other.plain),
            based: self.based.plus(&other.based),
        }
    }
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
        self.classes.iter().fold(ChunkStats::default(), |sum, class| sum.plus(&class.unique))
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
        stats.metadata = counter.sums.get(METADATA).map(ChunkSum::stats).unwrap_or_default();
        Ok(stats)
    }
}

#[cfg(test)]
mod tests;
