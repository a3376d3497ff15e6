//! Dropping snapshots by id. What only they needed stays stored until prune reclaims it.

use std::collections::BTreeSet;

use crate::backend::ObjectKey;
use crate::base::SnapshotId;
use crate::repository::{Error, Repository};

/// Drops the snapshots `ids` and returns those that went (with `dry_run`: would go), sorted, each once.
///
/// Nothing is dropped when one of them is not there: the list may be meant for another repository. A
/// damaged snapshot can be dropped too. Takes no lease.
pub fn forget(repository: &Repository, ids: &[SnapshotId], dry_run: bool) -> Result<Vec<SnapshotId>, Error> {
    let present: BTreeSet<SnapshotId> = repository.snapshot_ids()?.into_iter().collect();
    let wanted: BTreeSet<SnapshotId> = ids.iter().copied().collect();
    if let Some(unknown) = wanted.difference(&present).next() {
        let object = ObjectKey::snapshot(unknown).to_string();
        return Err(Error::Damaged { object, reason: "not in this repository; nothing was dropped".into() });
    }
    if !dry_run {
        repository.require_writable()?;
        for id in &wanted {
            repository.check_stop()?;
            repository.delete_snapshot(id)?;
        }
    }
    Ok(wanted.into_iter().collect())
}
