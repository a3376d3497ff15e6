//! Repair of the index: made again from the packs themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{ErrorKind, ObjectInfo, ObjectKey, ObjectKind};
use crate::base::limits::{INDEX_PACK_COUNT_MAX, PACK_SIZE_MAX_BYTES};
use crate::base::{IndexId, PackId, Phase, PlanId};
use crate::format::index::IndexPack;
use crate::format::pack::{Content, Directory, HEAD_SIZE_BYTES, decode_head, require_layout};
use crate::index::PackRecord;
use crate::maintain::check::directory_of;
use crate::pack::{PackError, read_directory, require_name};
use crate::repository::{Error, LeaseGuard, Repository, describe, index_entry, parallel};

/// Packs whose directories are read at once.
const BATCH_PACKS: usize = 64;
/// Chunks in the directories that wait for one index object; a directory of a single pack may be more.
const INDEX_CHUNKS_MAX: usize = 400_000;

/// How to repair the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepairIndexOptions {
    /// Say what would be done and change nothing.
    pub dry_run: bool,
    /// How long to wait for another maintainer to finish.
    pub lock_wait: Duration,
}

/// What a repair of the index did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairIndexReport {
    /// Packs that the new index objects name.
    pub packs: u64,
    /// Packs among them that no readable index object named before.
    pub added: u64,
    /// Packs whose directory cannot be read, and why. They are kept in the store.
    pub unreadable: Vec<(PackId, String)>,
    /// Packs among those that stay in the index through a copy of their directory.
    pub salvaged: u64,
    /// Packs that an index object named and that are gone: a later backup stores their chunks again.
    pub missing: Vec<PackId>,
    /// Index objects that could not be read, and why.
    pub damaged_indexes: Vec<(IndexId, String)>,
    /// Prune plans that could not be read, and why: they are deleted, since nothing but waste goes with them.
    pub damaged_plans: Vec<(PlanId, String)>,
    /// Index objects written.
    pub written: u64,
    /// Index objects deleted: the old ones, damaged or not.
    pub deleted: u64,
}

/// What the old index objects say.
#[derive(Debug, Default)]
struct OldIndex {
    ids: Vec<IndexId>,
    named: BTreeMap<PackId, OldEntry>,
}

#[derive(Debug)]
struct OldEntry {
    /// What an index object says: size, length of the directory, content.
    told: (u32, u32, Content),
    /// Another one says something else.
    is_disputed: bool,
    /// Objects that hold a copy of the directory.
    copied_in: Option<IndexId>,
}

/// Reads the directory of every pack and writes the index anew.
///
/// New index objects are stored before any old one is deleted, and the local index forgets the old ones
/// first, so that an interruption at any point leaves a whole index. Packs are never deleted; plans that
/// cannot be read are.
pub fn repair_index(
    repository: &Arc<Repository>,
    options: &RepairIndexOptions,
) -> Result<RepairIndexReport, Error> {
    repository.require_writable()?;
    let mut lease = match options.dry_run {
        true => None,
        false => Some(LeaseGuard::acquire(repository, "repair index", options.lock_wait)?),
    };
    let mut report = RepairIndexReport::default();
    // Index before packs: a pack is stored before an index object names it.
    let old = read_old(repository, &mut report)?;
    read_plans(repository, &mut report)?;
    let packs = list_packs(repository, &old, &mut report)?;
    let mut rebuild = Rebuild {
        repository,
        old: &old,
        dry_run: options.dry_run,
        waiting: Vec::new(),
        waiting_chunks: 0,
        written: Vec::new(),
        report,
    };
    repository.progress().begin(Phase::Index, u64::try_from(packs.len()).ok(), None);
    for batch in packs.chunks(BATCH_PACKS) {
        repository.check_stop()?;
        if let Some(lease) = &mut lease {
            lease.renew()?;
        }
        rebuild.take(batch)?;
        repository.progress().advance(u64::try_from(batch.len()).unwrap_or(u64::MAX), 0);
    }
    rebuild.flush()?;
    repository.progress().end();
    let (mut report, written) = (rebuild.report, rebuild.written);
    if let Some(lease) = &mut lease {
        replace(repository, &old, &written, lease, &mut report)?;
    }
    Ok(report)
}

fn read_old(repository: &Repository, report: &mut RepairIndexReport) -> Result<OldIndex, Error> {
    let mut old = OldIndex::default();
    for info in repository.backend().list(ObjectKind::Index)? {
        repository.check_stop()?;
        let Some(id) = info.key.id_bytes().map(IndexId) else { continue };
        match repository.load_index_object(&id) {
            Ok(packs) => {
                for pack in packs {
                    let copied_in = pack.directory.is_some().then_some(id);
                    let told = (pack.size_bytes, pack.directory_bytes, pack.content);
                    let new = OldEntry { told, is_disputed: false, copied_in: None };
                    let entry = old.named.entry(pack.id).or_insert(new);
                    entry.is_disputed |= entry.told != told;
                    entry.copied_in = entry.copied_in.or(copied_in);
                }
            }
            // Written by a program that knows more: deleting it could lose what this one does not see.
            Err(error @ Error::Newer { .. }) => return Err(error),
            Err(Error::Backend(error)) if error.kind == ErrorKind::NotFound => continue,
            Err(error) if error.is_damage() => report.damaged_indexes.push((id, describe(&error))),
            Err(error) => return Err(error),
        }
        old.ids.push(id);
    }
    Ok(old)
}

/// Names the plans that cannot be read. A plan only allows to delete: the next prune makes another.
fn read_plans(repository: &Repository, report: &mut RepairIndexReport) -> Result<(), Error> {
    for info in repository.backend().list(ObjectKind::Plan)? {
        repository.check_stop()?;
        let Some(id) = info.key.id_bytes().map(PlanId) else { continue };
        match repository.audit_object(&info.key) {
            Err(Error::Backend(error)) if error.kind == ErrorKind::NotFound => {}
            Err(error) if error.is_damage() => report.damaged_plans.push((id, describe(&error))),
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Returns all packs that are there; absence from the listing is no proof for one that the index names.
fn list_packs(
    repository: &Repository,
    old: &OldIndex,
    report: &mut RepairIndexReport,
) -> Result<Vec<ObjectInfo>, Error> {
    let mut packs = repository.backend().list(ObjectKind::Pack)?;
    let listed: BTreeSet<PackId> = packs.iter().filter_map(|info| info.key.id_bytes()).map(PackId).collect();
    for id in old.named.keys().filter(|id| !listed.contains(id)) {
        repository.check_stop()?;
        match repository.backend().stat(&ObjectKey::pack(id)) {
            Ok(info) => packs.push(info),
            Err(error) if error.kind == ErrorKind::NotFound => report.missing.push(*id),
            Err(error) => return Err(error.into()),
        }
    }
    packs.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(packs)
}

/// The new index in the making.
#[derive(Debug)]
struct Rebuild<'a> {
    repository: &'a Repository,
    old: &'a OldIndex,
    dry_run: bool,
    waiting: Vec<IndexPack>,
    /// Chunks in the directories that are copied.
    waiting_chunks: usize,
    written: Vec<IndexId>,
    report: RepairIndexReport,
}

impl Rebuild<'_> {
    /// Takes in some packs, in the order of their ids.
    fn take(&mut self, batch: &[ObjectInfo]) -> Result<(), Error> {
        let outcomes = parallel(batch, |info| read_record(self.repository, info));
        for (info, outcome) in batch.iter().zip(outcomes) {
            let Some(id) = info.key.id_bytes().map(PackId) else { continue };
            let outcome = match outcome {
                Ok(record) if !self.is_as_told(&record)? => {
                    require_whole(self.repository, &info.key, &id).map(|()| record)
                }
                outcome => outcome,
            };
            match outcome {
                Ok(record) => {
                    self.add(index_entry(record))?;
                }
                Err(error) => match Error::of_pack(info.key.path(), error) {
                    error if error.is_damage() || matches!(error, Error::Newer { .. }) => {
                        self.report.unreadable.push((id, describe(&error)));
                        if let Some(entry) = self.salvage(&id)? {
                            self.report.salvaged += 1;
                            self.add(entry)?;
                        }
                    }
                    error => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Tells whether neither an index object nor the local index says something else of a pack than the pack
    /// itself. Something else may stand under its name, whole and of the right form.
    fn is_as_told(&self, record: &PackRecord) -> Result<bool, Error> {
        let told = (record.size_bytes, record.directory_bytes, record.content);
        let old = self.old.named.get(&record.id);
        if old.is_some_and(|old| old.is_disputed || old.told != told) {
            return Ok(false);
        }
        let blocks = self.repository.index().pack_blocks(&record.id)?;
        Ok(blocks.is_empty() || directory_of(&blocks) == record.directory)
    }

    /// Returns what is known of a pack whose own directory cannot be read: its blocks may still be whole.
    ///
    /// First from an old index object, then from the local index; either is copied into the new index object.
    fn salvage(&self, id: &PackId) -> Result<Option<IndexPack>, Error> {
        let copied_in = self.old.named.get(id).and_then(|entry| entry.copied_in);
        let mut entry = None;
        if let Some(index) = copied_in {
            let packs = self.repository.load_index_object(&index)?;
            entry = packs.into_iter().find(|pack| pack.id == *id && pack.directory.is_some());
        }
        match entry {
            Some(entry) => Ok(Some(entry)),
            None => self.local_entry(id),
        }
    }

    fn local_entry(&self, id: &PackId) -> Result<Option<IndexPack>, Error> {
        let blocks = self.repository.index().pack_blocks(id)?;
        let packs = self.repository.index().packs()?;
        let Some(pack) = packs.into_iter().find(|pack| pack.id == *id) else { return Ok(None) };
        let directory: Directory = directory_of(&blocks);
        let size_bytes = u64::from(pack.size_bytes);
        if require_layout(&directory, pack.directory_bytes, size_bytes).is_err() {
            return Ok(None);
        }
        Ok(Some(IndexPack {
            id: *id,
            size_bytes: pack.size_bytes,
            directory_bytes: pack.directory_bytes,
            content: pack.content,
            directory: Some(directory),
        }))
    }

    fn add(&mut self, entry: IndexPack) -> Result<(), Error> {
        let chunks = entry.directory.as_ref().map_or(0, Directory::chunk_count);
        let is_full = length(self.waiting.len()) >= INDEX_PACK_COUNT_MAX
            || self.waiting_chunks + chunks > INDEX_CHUNKS_MAX;
        if is_full {
            self.flush()?;
        }
        let before = self.old.named.get(&entry.id);
        self.report.packs += 1;
        self.report.added += u64::from(before.is_none_or(|old| old.told.0 != entry.size_bytes));
        self.waiting_chunks += chunks;
        self.waiting.push(entry);
        Ok(())
    }

    /// Writes an index object of the packs that wait.
    fn flush(&mut self) -> Result<(), Error> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_chunks = 0;
        if waiting.is_empty() {
            return Ok(());
        }
        self.report.written += 1;
        if !self.dry_run {
            self.written.push(self.repository.store_index_object(&waiting)?.0);
        }
        Ok(())
    }
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Reads head and directory of a pack from the store.
fn read_record(repository: &Repository, info: &ObjectInfo) -> Result<PackRecord, PackError> {
    let id = PackId(info.key.id_bytes().unwrap_or_default());
    let backend = repository.backend().as_ref();
    let head = backend.get_range(&info.key, 0, u64::from(HEAD_SIZE_BYTES))?;
    let content = decode_head(&head)?;
    let (directory, directory_bytes) =
        read_directory(backend, repository.keys(), &id, info.size_bytes, None)?;
    let size_bytes = u32::try_from(info.size_bytes)
        .map_err(|_| crate::format::FormatError::Invalid { what: "size of a pack" })?;
    Ok(PackRecord { id, size_bytes, directory_bytes, content, directory })
}

/// Reads a pack whole and compares it with its name.
fn require_whole(repository: &Repository, key: &ObjectKey, id: &PackId) -> Result<(), PackError> {
    let bytes = repository.backend().get(key, PACK_SIZE_MAX_BYTES)?;
    require_name(id, &bytes)
}

/// Puts the new index objects in place of the old ones.
fn replace(
    repository: &Repository,
    old: &OldIndex,
    written: &[IndexId],
    lease: &mut LeaseGuard,
    report: &mut RepairIndexReport,
) -> Result<(), Error> {
    lease.renew()?;
    // The local index may be what is wrong: it forgets all it knows before the store does.
    repository.make_index_anew(|| {
        for id in old.ids.iter().filter(|id| !written.contains(id)) {
            repository.check_stop()?;
            lease.renew()?;
            repository.delete_index_object(id)?;
            report.deleted += 1;
        }
        for (id, _) in &report.damaged_plans {
            lease.renew()?;
            repository.delete_plan(id)?;
        }
        Ok(())
    })
}
