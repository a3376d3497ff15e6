//! Why a prune refuses to run or to go on.

use crate::base::SnapshotId;
use crate::repository;

/// A prune that did not finish. Whatever it did so far left every remaining snapshot whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The repository failed, is locked, or lacks what its snapshots need.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// The policy keeps nothing of a group of snapshots.
    #[error("the policy would drop all {count} snapshots of {group}")]
    DropsAll {
        /// What the snapshots have in common, in words.
        group: String,
        /// How many there are.
        count: usize,
    },
    /// Index objects or packs could not be read: what is in use cannot be told.
    #[error("the index is damaged: {first}; run `snap check`, then `snap repair index`")]
    DamagedIndex {
        /// The first thing that could not be read.
        first: String,
        /// How many there are.
        count: usize,
    },
    /// A snapshot could not be read: what it needs cannot be told.
    #[error("snapshot {} cannot be read: drop it with `snap forget`, or repair it", .id.short())]
    UnreadableSnapshot {
        /// The snapshot.
        id: SnapshotId,
        /// Why.
        #[source]
        source: repository::Error,
    },
    /// Snapshots or index objects kept changing while they were looked at.
    #[error("{what} keep changing: run prune again when fewer backups run")]
    Restless {
        /// What changes.
        what: &'static str,
    },
    /// A pack that snapshots need is gone or of the wrong size.
    #[error("pack {pack} is needed and {reason}; run `snap check`")]
    PackLost {
        /// The pack.
        pack: crate::base::PackId,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A chunk that was moved is not found where it was moved to. Nothing was deleted.
    #[error("internal: chunk {} is not in its new pack", .id.short())]
    NotMoved {
        /// The chunk.
        id: crate::base::ChunkId,
    },
}

impl PruneError {
    /// Tells whether the store had no space for what was to be written.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Repository(error) if error.is_full())
    }
}

impl From<crate::index::IndexError> for PruneError {
    fn from(error: crate::index::IndexError) -> Self {
        Self::Repository(error.into())
    }
}

impl From<crate::backend::BackendError> for PruneError {
    fn from(error: crate::backend::BackendError) -> Self {
        Self::Repository(error.into())
    }
}
