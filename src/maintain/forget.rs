//! Dropping snapshots by id. What only they needed stays stored until prune reclaims it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::backend::ObjectKey;
use crate::base::SnapshotId;
use crate::repository::{Error, LeaseGuard, Repository};

/// Drops the snapshots `ids` and returns those that went (with `dry_run`: would go), sorted, each once.
///
/// Nothing is dropped when one of them is not there: the list may be meant for another repository. A
/// damaged snapshot can be dropped too.
///
/// Need not be alone, and goes on beside a prune. Where nobody has the lease it takes it, so that other
/// hosts can tell snapshots that were dropped from those that vanished ([`crate::repository::witness`]).
pub fn forget(
    repository: &Arc<Repository>,
    ids: &[SnapshotId],
    dry_run: bool,
) -> Result<Vec<SnapshotId>, Error> {
    let present: BTreeSet<SnapshotId> = repository.snapshot_ids()?.into_iter().collect();
    let wanted: BTreeSet<SnapshotId> = ids.iter().copied().collect();
    if let Some(unknown) = wanted.difference(&present).next() {
        let object = ObjectKey::snapshot(unknown).to_string();
        return Err(Error::Damaged { object, reason: "not in this repository; nothing was dropped".into() });
    }
    if !dry_run {
        repository.require_writable()?;
        let mut lease: Option<LeaseGuard> = None;
        for id in &wanted {
            repository.check_stop()?;
            match lease.as_mut().map(LeaseGuard::renew) {
                Some(Ok(())) => {}
                Some(Err(Error::LeaseLost { .. })) => lease = None,
                Some(Err(error)) => return Err(error),
                // Whoever has it leaves the trace; after that it may be free.
                None => lease = LeaseGuard::acquire_if_free(repository, "forget")?,
            }
            repository.delete_snapshot(id)?;
        }
        drop(lease);
        repository.keep_reserve();
    }
    Ok(wanted.into_iter().collect())
}
