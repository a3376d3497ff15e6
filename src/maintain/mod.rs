//! Keeping a repository healthy: what may go, what must stay.

pub mod check;
pub mod copy;
pub mod forget;
pub mod mark;
pub mod prune;
pub mod repair;
pub mod retention;
#[cfg(test)]
mod testing;

use crate::base::SnapshotId;
use crate::format::snapshot::Snapshot;
use crate::query::select::SnapshotSummary;

/// Returns what filters and retention look at of a snapshot.
pub(crate) fn summarize(id: SnapshotId, snapshot: &Snapshot) -> SnapshotSummary {
    SnapshotSummary {
        id,
        time: snapshot.time,
        host: snapshot.host.clone(),
        user: snapshot.user.clone(),
        job: snapshot.job.clone(),
        tags: snapshot.tags.clone(),
        paths: snapshot.paths.clone(),
        file_count: snapshot.totals.files,
        content_size_bytes: snapshot.totals.content_bytes,
        stored_size_bytes: snapshot.totals.stored_bytes,
        parent: snapshot.parent,
    }
}
