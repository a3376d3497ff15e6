//! Bringing the local index up to date: a cache of the index objects, never the only truth.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Error, Repository};
use crate::backend::{ObjectKey, ObjectKind};
use crate::base::{IndexId, PackId, Phase, PlanId};
use crate::format::index::IndexPack;
use crate::index::{IndexError, PackRecord};
use crate::pack::read_directory;

/// Requests in flight while directories are fetched.
const REQUESTS_MAX: usize = 16;
/// Directories held at once while they are fetched.
const BATCH_PACKS: usize = 64;

impl Repository {
    /// Follows the index objects and plans of the store.
    ///
    /// What cannot be read is reported as a warning and left out: it costs only what needs it, and `check`
    /// names it. Where the store says something else of a pack than it did before, the local index is made
    /// anew.
    pub fn sync_index(&self) -> Result<(), Error> {
        match self.follow_index() {
            Err(Error::Index(IndexError::Disagree { .. })) => self.make_index_anew(|| Ok(())),
            outcome => outcome,
        }
    }

    /// Has the local index forget all index objects, does `work`, and follows the store again. What a check
    /// found of packs that are still named stays known: writers and repairs go by it.
    pub(crate) fn make_index_anew(&self, work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let known: Vec<IndexId> = self.index.index_ids()?.into_iter().collect();
        let verified = self.index.verified()?;
        self.index.begin_update().finish(&known)?;
        work()?;
        self.follow_index()?;
        let named: BTreeSet<PackId> = self.index.packs()?.into_iter().map(|pack| pack.id).collect();
        for (id, time, is_good) in verified.iter().filter(|(id, ..)| named.contains(id)) {
            self.index.record_verified(id, *time, *is_good)?;
        }
        Ok(())
    }

    fn follow_index(&self) -> Result<(), Error> {
        let listed = self.list_index_ids()?;
        let known = self.index.index_ids()?;
        let added: Vec<IndexId> = listed.difference(&known).copied().collect();
        let mut removed: BTreeSet<IndexId> = known.difference(&listed).copied().collect();
        if !added.is_empty() {
            self.progress.begin(Phase::Index, Some(u64::try_from(added.len()).unwrap_or(u64::MAX)), None);
        }
        let mut update = self.index.begin_update();
        let mut damage = Vec::new();
        for id in &added {
            self.check_stop()?;
            self.progress.current(ObjectKey::index(id).path().as_bytes());
            match self.load_index_object(id) {
                Ok(packs) => {
                    let (records, bad) = self.with_directories(packs)?;
                    let recorded = if bad.is_empty() { *id } else { partial_id(id) };
                    removed.remove(&recorded);
                    damage.extend(bad);
                    update.add(recorded, records)?;
                }
                Err(error) if error.is_damage() => damage.push(error),
                Err(error) => return Err(error),
            }
            self.progress.advance(1, 0);
        }
        let removed: Vec<IndexId> = removed.into_iter().collect();
        update.finish(&removed)?;
        if !added.is_empty() {
            self.progress.end();
        }
        for error in &damage {
            self.progress.warn(&format!("{error}; run `snap check`"));
        }
        self.set_index_damage(damage);
        match self.sync_plans() {
            // Readers need no plan, and those who write ask for them again.
            Err(error) if error.is_damage() => {
                self.progress.warn(&format!("{error}; `snap repair index` removes it"));
                Ok(())
            }
            outcome => outcome.map(drop),
        }
    }

    /// Returns the index objects that the store lists.
    pub fn list_index_ids(&self) -> Result<BTreeSet<IndexId>, Error> {
        let infos = self.backend.list(ObjectKind::Index)?;
        Ok(infos.iter().filter_map(|info| info.key.id_bytes()).map(IndexId).collect())
    }

    /// Takes in which packs are pending deletion. Returns the plans that say so.
    pub fn sync_plans(&self) -> Result<BTreeSet<PlanId>, Error> {
        let mut ids = BTreeSet::new();
        let mut pending = BTreeSet::new();
        for (id, _, plan) in self.load_plans()? {
            ids.insert(id);
            pending.extend(plan.packs.iter().map(|pack| pack.id));
        }
        self.index.set_pending(&pending)?;
        Ok(ids)
    }

    /// Returns the records of `packs`, with the directories of those that the local index does not know.
    fn with_directories(&self, packs: Vec<IndexPack>) -> Result<(Vec<PackRecord>, Vec<Error>), Error> {
        let ids: Vec<PackId> = packs.iter().map(|pack| pack.id).collect();
        let known = self.index.known_packs(&ids)?;
        let mut records = Vec::with_capacity(packs.len());
        let mut bad = Vec::new();
        for batch in packs.chunks(BATCH_PACKS) {
            self.check_stop()?;
            for (pack, outcome) in batch.iter().zip(parallel(batch, |pack| self.record_of(pack, &known))) {
                match outcome {
                    Ok(record) => records.push(record),
                    Err(error) => match Error::of_pack(ObjectKey::pack(&pack.id).path(), error) {
                        error if error.is_damage() => bad.push(error),
                        error => return Err(error),
                    },
                }
            }
        }
        Ok((records, bad))
    }

    fn record_of(
        &self,
        pack: &IndexPack,
        known: &BTreeSet<PackId>,
    ) -> Result<PackRecord, crate::pack::PackError> {
        let directory = match &pack.directory {
            _ if known.contains(&pack.id) => crate::format::pack::Directory::default(),
            Some(directory) => directory.clone(),
            None => {
                let size_bytes = u64::from(pack.size_bytes);
                let told = Some(pack.directory_bytes);
                read_directory(self.backend.as_ref(), &self.keys, &pack.id, size_bytes, told)?.0
            }
        };
        Ok(PackRecord {
            id: pack.id,
            size_bytes: pack.size_bytes,
            directory_bytes: pack.directory_bytes,
            content: pack.content,
            directory,
        })
    }
}

/// Returns the name under which an index object with unreadable packs is recorded.
///
/// It is no object's name, so the next sync tries the real one again.
fn partial_id(id: &IndexId) -> IndexId {
    IndexId(*blake3::Hasher::new().update(b"partial").update(&id.0).finalize().as_bytes())
}

/// Runs `work` on every item, up to [`REQUESTS_MAX`] at once, and returns the outcomes in order.
///
/// For requests to the store, which wait rather than compute.
pub(crate) fn parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if items.len() <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..items.len().min(REQUESTS_MAX) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = work(item);
                    if let Ok(mut results) = results.lock() {
                        results.push((at, result));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
