//! The index and the packs it names, without reading blocks.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{CheckReport, Severity};
use crate::backend::{ErrorKind, ObjectKey, ObjectKind};
use crate::base::{IndexId, PackId};
use crate::index::PackInfo;
use crate::maintain::mark::LiveSet;
use crate::pack::read_directory;
use crate::repository::{Error, Repository};

/// What the readable index objects say of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    size_bytes: u32,
    directory_bytes: u32,
    /// An index object has a copy of its directory.
    is_copied: bool,
}

/// Packs as the check goes on.
#[derive(Debug)]
pub(super) struct KnownPacks {
    /// Packs of the local index that are there in their size.
    pub(super) readable: Vec<PackInfo>,
    /// Packs of the local index that are missing or cut.
    pub(super) unreadable: Vec<PackId>,
    /// Copies of chunks, by ordinal, that cannot be read.
    pub(super) damaged: LiveSet,
    /// Packs whose directory has a copy in an index object.
    pub(super) copied: BTreeSet<PackId>,
    /// Packs that no index object names, with their sizes.
    pub(super) unreferenced: Vec<(PackId, u64)>,
    /// Something was missing.
    pub(super) misses: bool,
}

/// Reads all index objects. Returns the packs that they name.
pub(super) fn read_indexes(
    repository: &Repository,
    report: &mut CheckReport,
) -> Result<BTreeMap<PackId, Named>, Error> {
    let mut named: BTreeMap<PackId, Named> = BTreeMap::new();
    for info in repository.backend().list(ObjectKind::Index)? {
        repository.check_stop()?;
        let Some(id) = info.key.id_bytes().map(IndexId) else { continue };
        let packs = match repository.load_index_object(&id) {
            Ok(packs) => packs,
            // Replaced by a maintainer since it was listed.
            Err(Error::Backend(error)) if error.kind == ErrorKind::NotFound => continue,
            Err(error) if error.is_damage() || matches!(error, Error::Newer { .. }) => {
                report.damage(&info.key, &error);
                continue;
            }
            Err(error) => return Err(error),
        };
        report.indexes += 1;
        for pack in packs {
            let (size_bytes, directory_bytes) = (pack.size_bytes, pack.directory_bytes);
            let is_copied = pack.directory.is_some();
            let there = named.entry(pack.id).or_insert(Named { size_bytes, directory_bytes, is_copied });
            if (there.size_bytes, there.directory_bytes) != (size_bytes, directory_bytes) {
                report.error(ObjectKey::pack(&pack.id).path(), "index objects disagree about its size");
            }
            there.is_copied |= is_copied;
        }
    }
    Ok(named)
}

/// Compares the packs that the index names with those that are there.
pub(super) fn check_packs(
    repository: &Repository,
    named: &BTreeMap<PackId, Named>,
    report: &mut CheckReport,
) -> Result<KnownPacks, Error> {
    let mut listed: BTreeMap<PackId, u64> = BTreeMap::new();
    for info in repository.backend().list(ObjectKind::Pack)? {
        if let Some(id) = info.key.id_bytes().map(PackId) {
            listed.insert(id, info.size_bytes);
        }
    }
    let local = repository.index().packs()?;
    let mut known = KnownPacks {
        readable: Vec::with_capacity(local.len()),
        unreadable: Vec::new(),
        damaged: LiveSet::default(),
        copied: named.iter().filter(|(_, pack)| pack.is_copied).map(|(id, _)| *id).collect(),
        unreferenced: Vec::new(),
        misses: false,
    };
    let local_ids: BTreeSet<PackId> = local.iter().map(|pack| pack.id).collect();
    for pack in local {
        repository.check_stop()?;
        report.packs += 1;
        report.pack_bytes += u64::from(pack.size_bytes);
        report.pending_packs += u64::from(pack.pending);
        let found_bytes = match listed.get(&pack.id) {
            Some(size_bytes) => Some(*size_bytes),
            None => stat_unlisted(repository, &pack.id, report)?,
        };
        judge(repository, pack, found_bytes, &mut known, report)?;
    }
    for (id, pack) in named.iter().filter(|(id, _)| !local_ids.contains(*id)) {
        repository.check_stop()?;
        report.packs += 1;
        report.pack_bytes += u64::from(pack.size_bytes);
        check_unknown(repository, id, pack, &mut known, report)?;
    }
    if report.pending_packs > 0 {
        let what = format!("{} packs are pending deletion", report.pending_packs);
        report.add(Severity::Note, "plans/", what);
    }
    listed.retain(|id, _| !local_ids.contains(id) && !named.contains_key(id));
    known.unreferenced = listed.into_iter().collect();
    Ok(known)
}

/// Looks for a pack that a listing lacks: absence from one proves nothing.
fn stat_unlisted(
    repository: &Repository,
    id: &PackId,
    report: &mut CheckReport,
) -> Result<Option<u64>, Error> {
    let key = ObjectKey::pack(id);
    match repository.backend().stat(&key) {
        Ok(info) => {
            report.add(Severity::Warning, key.path(), "is there, but the store did not list it");
            Ok(Some(info.size_bytes))
        }
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Files a pack of the local index under readable or not, and notes which of its chunks are lost.
fn judge(
    repository: &Repository,
    pack: PackInfo,
    found_bytes: Option<u64>,
    known: &mut KnownPacks,
    report: &mut CheckReport,
) -> Result<(), Error> {
    let key = ObjectKey::pack(&pack.id);
    let expected_bytes = u64::from(pack.size_bytes);
    match found_bytes {
        Some(found) if found == expected_bytes => {
            known.readable.push(pack);
            return Ok(());
        }
        None => {
            report.error(key.path(), "is missing");
            known.misses = true;
            known.damaged.insert_range(pack.first_ordinal, pack.chunk_count);
        }
        Some(found) => {
            report.error(key.path(), format!("has {found} bytes instead of {expected_bytes}"));
            if found < expected_bytes && known.copied.contains(&pack.id) {
                for block in repository.index().pack_blocks(&pack.id)? {
                    let end = u64::from(block.location.offset) + u64::from(block.location.stored_bytes);
                    if end > found {
                        let (first, count) = block.ordinals();
                        known.damaged.insert_range(first, count);
                    }
                }
            } else if found < expected_bytes {
                // The directory at the end is gone: hosts that do not know it find no chunk of this pack.
                known.damaged.insert_range(pack.first_ordinal, pack.chunk_count);
            }
        }
    }
    known.unreadable.push(pack.id);
    Ok(())
}

/// Says why a pack is not in the local index: its directory cannot be read.
fn check_unknown(
    repository: &Repository,
    id: &PackId,
    pack: &Named,
    known: &mut KnownPacks,
    report: &mut CheckReport,
) -> Result<(), Error> {
    let key = ObjectKey::pack(id);
    let told = Some(pack.directory_bytes);
    let size_bytes = u64::from(pack.size_bytes);
    match read_directory(repository.backend().as_ref(), repository.keys(), id, size_bytes, told) {
        Ok(_) => {
            // It became readable, or its index object came, after the local index was brought up to date.
            known.misses = true;
            report.add(Severity::Note, key.path(), "is not in the local index");
        }
        Err(error) => match Error::of_pack(key.path(), error) {
            error if error.is_damage() || matches!(error, Error::Newer { .. }) => {
                known.misses = true;
                report.damage(&key, &error);
            }
            error => return Err(error),
        },
    }
    Ok(())
}

/// Reports packs that no index object names: left by a crash, or what is left of an index object that is
/// gone.
pub(super) fn report_unreferenced(known: &KnownPacks, chunks_are_missing: bool, report: &mut CheckReport) {
    for (id, size_bytes) in &known.unreferenced {
        report.unreferenced_packs += 1;
        report.unreferenced_bytes += size_bytes;
        let key = ObjectKey::pack(id);
        if chunks_are_missing {
            let what = "is in no index object, and chunks are missing: `snap repair index` may find them";
            report.error(key.path(), what);
        } else {
            report.add(Severity::Note, key.path(), "is in no index object: left by a run that ended early");
        }
    }
}
