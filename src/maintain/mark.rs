//! Finding what snapshots need: the set of live chunk copies, and what cannot be restored.
//!
//! One walk goes through the trees of all snapshots. A tree or list chunk below which nothing is lost is read
//! once, however many snapshots share it; one with losses below it is walked for every snapshot, so that each
//! names its own. Memory is bounded by bitmaps over stored chunks, one path from the root down, and a few
//! caches of fixed size.

mod links;
mod live;
mod losses;
pub(in crate::maintain) mod resolve;
mod spans;
#[cfg(test)]
mod tests;
mod walk;

pub use live::LiveSet;
pub use losses::{Cause, Causes, Loss, LossKind, Losses};

use walk::Walk;

use crate::base::{Phase, SnapshotId};
use crate::format::snapshot::Snapshot;
use crate::repository::{Error, Repository};

/// Limit: how often directories of one snapshot that lost something are walked again because it has them in
/// several places. Beyond it such a place counts as lost whole: folders that hold each other twice are
/// exponentially many.
pub(in crate::maintain) const WALKED_AGAIN_MAX: u64 = 1 << 16;

/// How to mark.
#[derive(Debug, Clone, Copy, Default)]
pub struct MarkOptions<'a> {
    /// Stored copies that are known to be unreadable, by ordinal: a chunk is lost when all its copies are.
    pub damaged: Option<&'a LiveSet>,
    /// Fail at the first loss: for whoever is about to delete.
    pub refuse_losses: bool,
    /// Check that the names of each hard-link group agree. Directories with hard links are then read for
    /// every snapshot.
    pub check_links: bool,
}

/// What a walk saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MarkStats {
    /// Snapshots.
    pub snapshots: u64,
    /// Directories walked; shared ones count once.
    pub directories: u64,
    /// Files in them.
    pub files: u64,
    /// Tree chunks read.
    pub tree_chunks: u64,
    /// List chunks read.
    pub list_chunks: u64,
    /// Data chunks looked up.
    pub data_chunks: u64,
}

/// What snapshots need.
#[derive(Debug)]
pub struct Marked {
    /// Ordinals of the chunk copies that a restore of the snapshots reads, bases included. Of a chunk in
    /// several packs one copy is live, in a pack that is not pending deletion if there is one.
    pub live: LiveSet,
    /// Those of them that a snapshot needs for themselves: the rest is there only because others lean on it.
    pub needed: LiveSet,
    /// What cannot be restored.
    pub losses: Losses,
    /// What was seen.
    pub stats: MarkStats,
}

/// Marks what `snapshots` need.
///
/// The local index must be up to date. Lost chunks are collected, or with [`MarkOptions::refuse_losses`] end
/// the walk with [`Error::Damaged`]; a store that does not answer always does.
pub fn mark(
    repository: &Repository,
    snapshots: &[(SnapshotId, Snapshot)],
    options: &MarkOptions<'_>,
) -> Result<Marked, Error> {
    let total = u64::try_from(snapshots.len()).unwrap_or(u64::MAX);
    repository.progress().begin(Phase::Mark, Some(total), None);
    let mut walk = Walk::new(repository, options)?;
    for (id, snapshot) in snapshots {
        walk.snapshot(id, &snapshot.root)?;
        repository.progress().advance(1, 0);
    }
    repository.progress().end();
    Ok(walk.finish())
}
