//! Repair of packs: their whole blocks move to new packs, and the damaged ones move out of the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::salvage::Salvage;
use crate::backend::{ObjectKey, ObjectKind};
use crate::base::escape::escape_name;
use crate::base::{IndexId, PackId, Phase};
use crate::index::PackInfo;
use crate::maintain::reindex::rewrite;
use crate::repository::{Error, LeaseGuard, Repository, WriterStats};

/// How to repair packs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairPacksOptions {
    /// These; when none is named, all that are gone or cut, or that a check on this host found damaged.
    pub packs: Vec<PackId>,
    /// Folder that damaged packs are written to before they leave the store, each under its id.
    pub aside: PathBuf,
    /// Say what would be done and change nothing.
    pub dry_run: bool,
    /// How long to wait for another maintainer to finish.
    pub lock_wait: Duration,
}

/// A damaged pack cannot be taken out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairPacksError {
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] Error),
    /// A damaged pack could not be written aside, so it stays in the store.
    #[error("cannot keep a damaged pack as {}", escape_name(path.as_os_str().as_encoded_bytes()))]
    Aside {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A damaged pack, and what became of its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairedPack {
    /// The pack.
    pub id: PackId,
    /// What is wrong with it.
    pub why: String,
    /// Chunks that its directory names.
    pub chunks: u64,
    /// Chunks among them that were whole and are in a new pack now.
    pub moved: u64,
    /// Chunks that were not, of which another pack has a whole copy.
    pub elsewhere: u64,
    /// Chunks of which there is no whole copy.
    pub lost: u64,
}

/// What a repair of packs did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairPacksReport {
    /// Packs that were damaged, sorted. What is left of them is in the folder aside.
    pub repaired: Vec<RepairedPack>,
    /// Packs that were looked at and are whole: nothing was done about them.
    pub whole: Vec<PackId>,
    /// Named packs that neither an index object names nor the store has.
    pub unknown: Vec<PackId>,
    /// What was stored again.
    pub stored: WriterStats,
    /// Index objects written in place of those that named a damaged pack.
    pub indexes_written: u64,
    /// Index objects deleted.
    pub indexes_deleted: u64,
}

impl RepairPacksReport {
    /// Returns how many chunks are lost.
    pub fn lost(&self) -> u64 {
        self.repaired.iter().map(|pack| pack.lost).sum()
    }
}

/// Stores what is whole in damaged packs again, and takes these packs out of the repository, so that the next
/// backup stores what they lost and its source still has.
///
/// What is moved is stored and named by the index, and the damaged packs are written aside, before anything
/// is deleted: an interruption at any point leaves everything that could be read before, and the next run
/// goes on.
pub fn repair_packs(
    repository: &Arc<Repository>,
    options: &RepairPacksOptions,
) -> Result<RepairPacksReport, RepairPacksError> {
    repository.require_writable()?;
    let mut lease = match options.dry_run {
        true => None,
        false => Some(LeaseGuard::acquire(repository, "repair packs", options.lock_wait)?),
    };
    repository.sync_index()?;
    let mut report = RepairPacksReport::default();
    let Candidates { known, unnamed, listed } = candidates(repository, &options.packs, &mut report)?;
    let total_bytes = known.iter().map(|pack| u64::from(pack.size_bytes)).sum();
    let total = u64::try_from(known.len()).ok();
    repository.progress().begin(Phase::Repack, total, Some(total_bytes));
    let aside = (!options.dry_run).then_some(options.aside.as_path());
    let mut salvage = Salvage::new(repository, aside)?;
    let named: BTreeSet<PackId> =
        repository.index().packs().map_err(Error::from)?.into_iter().map(|pack| pack.id).collect();
    let nameless: BTreeSet<PackId> = listed.difference(&named).copied().collect();
    for pack in &known {
        repository.check_stop()?;
        if let Some(lease) = &mut lease {
            lease.renew()?;
        }
        match salvage.one(pack)? {
            Some(repaired) => report.repaired.push(repaired),
            None => report.whole.push(pack.id),
        }
        repository.progress().advance(1, u64::from(pack.size_bytes));
    }
    for id in &unnamed {
        repository.check_stop()?;
        match salvage.unnamed(id)? {
            Some(repaired) => report.repaired.push(repaired),
            None => report.whole.push(*id),
        }
    }
    report.repaired.sort_unstable_by_key(|pack| pack.id);
    salvage.judge_lost(&mut report.repaired)?;
    report.stored = salvage.finish()?;
    repository.progress().end();
    if let Some(lease) = &mut lease {
        let now = repository.clock().now();
        for pack in known.iter().filter(|pack| report.whole.contains(&pack.id)) {
            repository.index().record_verified(&pack.id, now, true).map_err(Error::from)?;
        }
        unname(repository, lease, &nameless, &mut report)?;
        for pack in &report.repaired {
            lease.renew()?;
            repository.backend().delete(&ObjectKey::pack(&pack.id)).map_err(Error::from)?;
        }
    }
    Ok(report)
}

/// What is looked at, each sorted by id.
#[derive(Debug)]
struct Candidates {
    /// Packs that the index names.
    known: Vec<PackInfo>,
    /// Packs that are in the store, and in no index object.
    unnamed: Vec<PackId>,
    /// All packs that are in the store.
    listed: BTreeSet<PackId>,
}

fn candidates(
    repository: &Repository,
    named: &[PackId],
    report: &mut RepairPacksReport,
) -> Result<Candidates, Error> {
    let known: BTreeMap<PackId, PackInfo> =
        repository.index().packs()?.into_iter().map(|pack| (pack.id, pack)).collect();
    let mut sizes: BTreeMap<PackId, u64> = BTreeMap::new();
    for info in repository.backend().list(ObjectKind::Pack)? {
        if let Some(id) = info.key.id_bytes().map(PackId) {
            sizes.insert(id, info.size_bytes);
        }
    }
    let mut wanted: BTreeSet<PackId> = named.iter().copied().collect();
    if named.is_empty() {
        let found_bad = repository.index().verified()?.into_iter().filter(|(_, _, is_good)| !is_good);
        wanted.extend(found_bad.map(|(id, ..)| id).filter(|id| known.contains_key(id)));
        // One that a listing lacks is looked for by its name before it counts as gone.
        let differs = |pack: &&PackInfo| sizes.get(&pack.id) != Some(&u64::from(pack.size_bytes));
        wanted.extend(known.values().filter(differs).map(|pack| pack.id));
        // An earlier run may have ended between the index and the packs.
        wanted.extend(sizes.keys().filter(|id| !known.contains_key(id)));
    }
    let (known_ids, others): (Vec<PackId>, Vec<PackId>) =
        wanted.into_iter().partition(|id| known.contains_key(id));
    let (unnamed, unknown) = others.into_iter().partition(|id| sizes.contains_key(id));
    report.unknown = unknown;
    let known = known_ids.iter().filter_map(|id| known.get(id).cloned()).collect();
    Ok(Candidates { known, unnamed, listed: sizes.into_keys().collect() })
}

/// Writes the index objects that named a damaged pack anew without it, and deletes the old ones.
///
/// Fails when one names a pack that was taken for `nameless`: a listing left it out then, and what was
/// looked for may not have been found.
fn unname(
    repository: &Repository,
    lease: &mut LeaseGuard,
    nameless: &BTreeSet<PackId>,
    report: &mut RepairPacksReport,
) -> Result<(), Error> {
    let damaged: BTreeSet<PackId> = report.repaired.iter().map(|pack| pack.id).collect();
    if damaged.is_empty() {
        return Ok(());
    }
    repository.sync_index()?;
    if !repository.index().indexes_naming(nameless)?.is_empty() {
        let reason = "a listing left index objects out; run the repair again".to_owned();
        return Err(Error::Damaged { object: "index/".to_owned(), reason });
    }
    let sources: Vec<IndexId> = repository.index().indexes_naming(&damaged)?.into_iter().collect();
    let written = rewrite(repository, &sources, &damaged, |packs| {
        lease.renew()?;
        report.indexes_written += 1;
        Ok::<_, Error>(repository.store_index_object(packs)?.0)
    })?;
    let gone = Error::Internal { what: "an index object went away under the lease" };
    let written = written.ok_or(gone)?;
    // The local index lets go of the old objects before the first of them is deleted.
    let kept: BTreeSet<IndexId> = written.iter().map(|(id, _)| *id).collect();
    repository.index().apply(written, &sources)?;
    for id in sources.iter().filter(|id| !kept.contains(id)) {
        repository.check_stop()?;
        lease.renew()?;
        repository.delete_index_object(id)?;
        report.indexes_deleted += 1;
    }
    Ok(())
}
