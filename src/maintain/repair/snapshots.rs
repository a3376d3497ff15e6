//! Repair of snapshots: another one is made of what is left of each that lost something.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::rewrite::{Dropped, Rewriter};
use crate::backend::ObjectKind;
use crate::base::limits::TAG_COUNT_MAX;
use crate::base::{PackId, Phase, SnapshotId};
use crate::format::snapshot::Snapshot;
use crate::maintain::mark::{MarkOptions, mark};
use crate::repository::{ChunkWriter, Error, LeaseGuard, Repository};

/// Metadata of a repaired snapshot that names the one it was made from.
const REPAIRED_FROM: &str = "repaired-from";

/// How to repair snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairSnapshotsOptions {
    /// These; all when none is named.
    pub snapshots: Vec<SnapshotId>,
    /// Drop each snapshot that was repaired, once what is left of it is stored.
    pub forget: bool,
    /// Say what would be done and change nothing.
    pub dry_run: bool,
    /// How long to wait for another maintainer to finish.
    pub lock_wait: Duration,
}

/// A snapshot that lost something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairedSnapshot {
    /// The snapshot.
    pub id: SnapshotId,
    /// The one made of what is left; `None` when there is nothing left, and in a dry run.
    pub repaired: Option<SnapshotId>,
    /// It was repaired before: `repaired` was there already.
    pub was_repaired: bool,
    /// The snapshot itself was dropped.
    pub is_forgotten: bool,
    /// Nothing can be read of it.
    pub is_lost: bool,
    /// What is missing in the repaired one.
    pub dropped: Dropped,
}

/// What a repair of snapshots did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairSnapshotsReport {
    /// Snapshots that were looked at.
    pub checked: u64,
    /// Those that lost something, oldest first.
    pub repaired: Vec<RepairedSnapshot>,
    /// Snapshot objects that cannot be read, in words. They are left alone.
    pub unreadable: Vec<String>,
    /// Packs that the local index knows to be damaged: what they hold still counts as there.
    pub damaged_packs: u64,
}

/// Makes a snapshot without what is lost of every snapshot that lost something.
///
/// A file goes whole or not at all; a folder keeps the entries that can still be read. All else, with time,
/// host, tags and metadata, stays as it was; `repaired-from` in the metadata names the original, which
/// stays unless [`RepairSnapshotsOptions::forget`] is set. Nothing but what the index does not name counts as
/// lost, so index and packs are to be repaired first.
///
/// # Errors
/// [`Error::Damaged`] when chunks are missing while packs are there that no index object names, or index
/// objects cannot be read: a repair of the index may find them.
pub fn repair_snapshots(
    repository: &Arc<Repository>,
    options: &RepairSnapshotsOptions,
) -> Result<RepairSnapshotsReport, Error> {
    repository.require_writable()?;
    let mut lease = match options.dry_run {
        true => None,
        false => Some(LeaseGuard::acquire(repository, "repair snapshots", options.lock_wait)?),
    };
    repository.sync_index()?;
    let (all, bad) = repository.load_snapshots()?;
    let chosen: Vec<(SnapshotId, Snapshot)> = all
        .iter()
        .filter(|(id, _)| options.snapshots.is_empty() || options.snapshots.contains(id))
        .cloned()
        .collect();
    let marked = mark(repository, &chosen, &MarkOptions::default())?;
    let mut report = RepairSnapshotsReport {
        checked: u64::try_from(chosen.len()).unwrap_or(u64::MAX),
        unreadable: bad.iter().map(ToString::to_string).collect(),
        damaged_packs: damaged_packs(repository)?,
        ..RepairSnapshotsReport::default()
    };
    let lossy = chosen.iter().filter(|(id, _)| marked.losses.snapshots.contains_key(id));
    let lossy: Vec<&(SnapshotId, Snapshot)> = lossy.collect();
    if lossy.is_empty() {
        return Ok(report);
    }
    require_whole_index(repository)?;
    repository.progress().begin(Phase::Backup, u64::try_from(lossy.len()).ok(), None);
    for (id, snapshot) in lossy {
        repository.check_stop()?;
        if let Some(lease) = &mut lease {
            lease.renew()?;
        }
        let mut repaired = one(repository, &all, *id, snapshot, options.dry_run)?;
        if let (true, Some(_), Some(lease)) = (options.forget, repaired.repaired, &mut lease) {
            lease.renew_now()?;
            repository.delete_snapshot(id)?;
            repaired.is_forgotten = true;
        }
        report.repaired.push(repaired);
        repository.progress().advance(1, 0);
    }
    repository.progress().end();
    Ok(report)
}

/// Fails when what counts as missing may be in a pack that the index does not name.
fn require_whole_index(repository: &Repository) -> Result<(), Error> {
    let damaged = |reason: String| Err(Error::Damaged { object: "index/".to_owned(), reason });
    if let Some(first) = repository.index_damage().first() {
        return damaged(format!("{first}; run `snap repair index` first"));
    }
    let known: BTreeSet<PackId> = repository.index().packs()?.into_iter().map(|pack| pack.id).collect();
    let listed = repository.backend().list(ObjectKind::Pack)?;
    let unnamed = listed.iter().filter_map(|info| info.key.id_bytes().map(PackId));
    match unnamed.filter(|id| !known.contains(id)).count() {
        0 => Ok(()),
        count => damaged(format!(
            "{count} packs are in no index object and may hold what is missing; run `snap repair index` first"
        )),
    }
}

/// Returns how many packs of the index were not good when they were last read.
fn damaged_packs(repository: &Repository) -> Result<u64, Error> {
    let known: BTreeSet<PackId> = repository.index().packs()?.into_iter().map(|pack| pack.id).collect();
    let verified = repository.index().verified()?;
    let bad = verified.iter().filter(|(id, _, is_good)| !is_good && known.contains(id));
    Ok(u64::try_from(bad.count()).unwrap_or(u64::MAX))
}

/// Stores what is left of one snapshot.
fn one(
    repository: &Arc<Repository>,
    all: &[(SnapshotId, Snapshot)],
    id: SnapshotId,
    snapshot: &Snapshot,
    dry_run: bool,
) -> Result<RepairedSnapshot, Error> {
    let writer = ChunkWriter::new(repository.clone(), dry_run)?;
    let mut rewriter = Rewriter::new(repository, writer)?;
    let root = rewriter.tree(&snapshot.root)?;
    let (dropped, stats) = rewriter.finish()?;
    let mut repaired = RepairedSnapshot {
        id,
        repaired: None,
        was_repaired: false,
        is_forgotten: false,
        is_lost: root.is_none(),
        dropped,
    };
    let Some(root) = root else { return Ok(repaired) };
    let name = id.to_string();
    let is_it = |found: &Snapshot| {
        found.root == root && found.metadata.iter().any(|(key, value)| key == REPAIRED_FROM && *value == name)
    };
    if let Some((there, _)) = all.iter().find(|(_, found)| is_it(found)) {
        repaired.repaired = Some(*there);
        repaired.was_repaired = true;
        return Ok(repaired);
    }
    if dry_run {
        return Ok(repaired);
    }
    let mut new = Snapshot { root, ..snapshot.clone() };
    new.metadata.retain(|(key, _)| key != REPAIRED_FROM);
    if u64::try_from(new.metadata.len()).unwrap_or(u64::MAX) < TAG_COUNT_MAX {
        new.metadata.push((REPAIRED_FROM.to_owned(), name));
        new.metadata.sort();
    }
    let totals = &mut new.totals;
    totals.files = totals.files.saturating_sub(repaired.dropped.files);
    totals.content_bytes = totals.content_bytes.saturating_sub(repaired.dropped.file_bytes);
    totals.unread_sources = totals.unread_sources.saturating_add(repaired.dropped.count());
    totals.stored_bytes = totals.stored_bytes.saturating_add(stats.stored_bytes);
    repaired.repaired = Some(repository.store_snapshot(&new)?);
    Ok(repaired)
}
