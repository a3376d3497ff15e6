//! What there is and what of it is needed, at one moment.

use std::collections::{BTreeMap, BTreeSet};

use super::error::PruneError;
use crate::backend::{ErrorKind, ObjectInfo, ObjectKey, ObjectKind};
use crate::base::{PackId, SnapshotId, Time};
use crate::format::snapshot::Snapshot;
use crate::index::PackInfo;
use crate::maintain::mark::{LiveSet, MarkOptions, mark};
use crate::repository::{Error, Repository};

/// How often a listing is repeated until two in a row agree.
const LISTINGS_MAX: usize = 8;

/// A pack as a listing of the store shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListedPack {
    pub(super) size_bytes: u64,
    pub(super) modified: Time,
}

/// One moment of a repository. Packs that came later are in none of its parts and not to be judged by it.
#[derive(Debug)]
pub(super) struct Survey {
    /// The snapshots that were marked, sorted.
    pub(super) snapshots: Vec<SnapshotId>,
    /// Packs in the store, listed before the index was read.
    pub(super) listed: BTreeMap<PackId, ListedPack>,
    /// Packs that the index named, taken before the snapshots were marked.
    pub(super) packs: Vec<PackInfo>,
    /// What the snapshots need.
    pub(super) live: LiveSet,
    /// Those of it that they need for themselves, not only because others lean on it.
    pub(super) needed: LiveSet,
}

/// Lists snapshots until two listings in a row agree: absence from one is no proof.
pub(super) fn list_snapshots(
    repository: &Repository,
    without: &BTreeSet<SnapshotId>,
) -> Result<Vec<SnapshotId>, PruneError> {
    let list = || -> Result<Vec<SnapshotId>, PruneError> {
        repository.check_stop()?;
        let ids = repository.snapshot_ids()?;
        Ok(ids.into_iter().filter(|id| !without.contains(id)).collect())
    };
    until_stable(list, "snapshots")
}

/// Returns what two listings in a row agree on: absence from one proves nothing.
pub(super) fn until_stable<T: PartialEq>(
    list: impl Fn() -> Result<T, PruneError>,
    what: &'static str,
) -> Result<T, PruneError> {
    let mut last = list()?;
    for _ in 0..LISTINGS_MAX {
        let next = list()?;
        if next == last {
            return Ok(next);
        }
        last = next;
    }
    Err(PruneError::Restless { what })
}

/// Loads snapshots; one that cannot be read ends the run, since nobody can tell what it needs.
///
/// `None` when one of them is gone by now.
pub(super) fn load_snapshots(
    repository: &Repository,
    ids: &[SnapshotId],
) -> Result<Option<Vec<(SnapshotId, Snapshot)>>, PruneError> {
    let mut snapshots = Vec::with_capacity(ids.len());
    for id in ids {
        repository.check_stop()?;
        match repository.load_snapshot(id) {
            Ok(snapshot) => snapshots.push((*id, snapshot)),
            Err(Error::Backend(error)) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(source) if source.is_damage() || matches!(source, Error::Newer { .. }) => {
                return Err(PruneError::UnreadableSnapshot { id: *id, source });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(snapshots))
}

/// Lists snapshots and loads them, until nothing changes meanwhile.
pub(super) fn read_snapshots(
    repository: &Repository,
    without: &BTreeSet<SnapshotId>,
) -> Result<Vec<(SnapshotId, Snapshot)>, PruneError> {
    for _ in 0..LISTINGS_MAX {
        let ids = list_snapshots(repository, without)?;
        if let Some(snapshots) = load_snapshots(repository, &ids)? {
            return Ok(snapshots);
        }
    }
    Err(PruneError::Restless { what: "snapshots" })
}

/// Fails when something of the index could not be read at the last sync.
pub(super) fn require_index(repository: &Repository) -> Result<(), PruneError> {
    let damage = repository.index_damage();
    match damage.first() {
        Some(first) => Err(PruneError::DamagedIndex { first: first.clone(), count: damage.len() }),
        None => Ok(()),
    }
}

impl Survey {
    /// Reads everything anew. Snapshots in `without` count as gone.
    ///
    /// Fails on a damaged index, an unreadable snapshot, a needed chunk that is in no pack, and a needed pack
    /// that is not in the store.
    pub(super) fn take(repository: &Repository, without: &BTreeSet<SnapshotId>) -> Result<Self, PruneError> {
        Self::take_outside(repository, without, &BTreeSet::new())
    }

    /// The same, where what is outside the packs `left` counts as needed rather than a copy in one of them,
    /// as if a plan named these.
    pub(super) fn take_outside(
        repository: &Repository,
        without: &BTreeSet<SnapshotId>,
        left: &BTreeSet<PackId>,
    ) -> Result<Self, PruneError> {
        // In this order: what the index does not name although it was listed before, nobody has indexed yet.
        let listed = list_packs(repository)?;
        let snapshots = read_snapshots(repository, without)?;
        repository.sync_index()?;
        require_index(repository)?;
        if !left.is_empty() {
            let planned = repository.load_plans()?.into_iter().flat_map(|(_, _, plan)| plan.packs);
            let pending = planned.map(|pack| pack.id).chain(left.iter().copied()).collect();
            repository.index().set_pending(&pending)?;
        }
        let packs = repository.index().packs()?;
        let options = MarkOptions { refuse_losses: true, ..MarkOptions::default() };
        let marked = mark(repository, &snapshots, &options)?;
        let survey = Self {
            snapshots: snapshots.into_iter().map(|(id, _)| id).collect(),
            listed,
            packs,
            live: marked.live,
            needed: marked.needed,
        };
        survey.require_packs(repository)?;
        Ok(survey)
    }

    /// Returns whether snapshots need something of `pack`.
    pub(super) fn is_needed(&self, pack: &PackInfo) -> bool {
        self.live_count(pack) > 0
    }

    /// Returns how many chunks of `pack` snapshots need.
    pub(super) fn live_count(&self, pack: &PackInfo) -> u64 {
        self.live.count_in(pack.first_ordinal, pack.chunk_count)
    }

    /// Fails when a needed pack is missing from the store or has another size than the index says.
    fn require_packs(&self, repository: &Repository) -> Result<(), PruneError> {
        for pack in self.packs.iter().filter(|pack| self.is_needed(pack)) {
            let size_bytes = match self.listed.get(&pack.id) {
                Some(listed) => listed.size_bytes,
                // One listing proves nothing: it may have been stored since, or left out.
                None => match repository.backend().stat(&ObjectKey::pack(&pack.id)) {
                    Ok(info) => info.size_bytes,
                    Err(error) if error.kind == ErrorKind::NotFound => {
                        return Err(PruneError::PackLost { pack: pack.id, reason: "is gone" });
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            if size_bytes != u64::from(pack.size_bytes) {
                return Err(PruneError::PackLost { pack: pack.id, reason: "has another size" });
            }
        }
        Ok(())
    }
}

fn list_packs(repository: &Repository) -> Result<BTreeMap<PackId, ListedPack>, PruneError> {
    let entry = |info: ObjectInfo| {
        let id = PackId(info.key.id_bytes()?);
        Some((id, ListedPack { size_bytes: info.size_bytes, modified: info.modified }))
    };
    Ok(repository.backend().list(ObjectKind::Pack)?.into_iter().filter_map(entry).collect())
}

/// Returns whether at least `grace_seconds` have passed from `since` to `now`, to the nanosecond.
pub(super) fn has_passed(now: Time, since: Time, grace_seconds: u64) -> bool {
    let Some(end) = i64::try_from(grace_seconds).ok().and_then(|grace| since.seconds.checked_add(grace))
    else {
        return false;
    };
    now >= Time { seconds: end, nanoseconds: since.nanoseconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_has_passed_only_when_all_of_it_has() {
        let at = |seconds, nanoseconds| Time { seconds, nanoseconds };
        assert!(!has_passed(at(110, 4), at(100, 5), 10));
        assert!(has_passed(at(110, 5), at(100, 5), 10));
        assert!(!has_passed(at(i64::MAX, 0), at(100, 0), u64::MAX));
        assert!(has_passed(at(100, 0), at(100, 0), 0));
    }
}
