//! What a prune did, in numbers.

use crate::base::{SnapshotId, Time};
use crate::maintain::retention::GroupKey;

/// A number of packs or other objects, and their stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Tally {
    /// Counts one more of `bytes`.
    pub fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What retention decided about one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotDecision {
    /// The snapshot.
    pub id: SnapshotId,
    /// Its time.
    pub time: Time,
    /// Whether it stays.
    pub keep: bool,
    /// Why it stays; empty when it goes.
    pub reasons: Vec<String>,
}

/// What retention decided about one group, newest snapshot first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDecision {
    /// What the snapshots have in common.
    pub key: GroupKey,
    /// One decision each.
    pub decisions: Vec<SnapshotDecision>,
}

/// Packs that wait for their grace to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingPlan {
    /// From when on, by the store's clock, a prune deletes them.
    pub until: Time,
    /// The packs.
    pub packs: Tally,
}

/// What a prune did; with `dry_run` what it would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PruneReport {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Retention, group by group.
    pub groups: Vec<GroupDecision>,
    /// Snapshots dropped.
    pub dropped: u64,
    /// Snapshots that remain, those outside the filter included.
    pub remaining: u64,
    /// All packs that the index named at the beginning.
    pub packs: Tally,
    /// Of those: packs of which everything is needed.
    pub live: Tally,
    /// Packs of which a part is needed.
    pub partly: Tally,
    /// Packs of which nothing is needed, and that no earlier plan names.
    pub dead: Tally,
    /// Packs that earlier plans named.
    pub pending: Tally,
    /// Packs of finished plans that snapshots need after all, and that stay.
    pub rescued: Tally,
    /// Packs that no index object names.
    pub orphans: Tally,
    /// Blocks that only others leaned on, and that nothing leans on any more.
    pub let_go: Tally,
    /// Blocks that were sealed anew for it, and by about how many bytes they grew.
    pub sealed_anew: Tally,
    /// Packs whose live blocks were moved.
    pub repacked: Tally,
    /// New packs that took them.
    pub written: Tally,
    /// Packs really deleted.
    pub deleted: Tally,
    /// Index objects replaced by others.
    pub indexes_deleted: Tally,
    /// Index objects written in their place.
    pub indexes_written: Tally,
    /// Bytes in use when the run ended.
    pub used_bytes: u64,
    /// Bytes in packs that stay and that nothing needs.
    pub unused_bytes: u64,
    /// What is still to be deleted, the soonest first.
    pub pending_plans: Vec<PendingPlan>,
    /// There was no space to move what is needed out of wasteful packs.
    pub is_full: bool,
    /// How often the run began anew because a snapshot came or went.
    pub restarts: u64,
}

impl PruneReport {
    /// Returns by how many bytes the repository is smaller now; 0 when it grew.
    pub fn freed_bytes(&self) -> u64 {
        let gone = self.deleted.bytes + self.indexes_deleted.bytes;
        gone.saturating_sub(self.written.bytes + self.indexes_written.bytes)
    }
}
