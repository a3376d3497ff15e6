//! Writing index objects anew: without packs that go, each pack named once, few small objects.

use std::collections::{BTreeMap, BTreeSet};

use super::Run;
use super::error::PruneError;
use super::survey::until_stable;
use crate::backend::{ErrorKind, ObjectKind};
use crate::base::limits::INDEX_PACK_COUNT_MAX;
use crate::base::{IndexId, PackId};
use crate::format::index::IndexPack;
use crate::format::pack::Directory;
use crate::index::PackRecord;
use crate::repository::{Error, parallel};

/// Index objects below this stored size are small.
const SMALL_BYTES: u64 = 1 << 20;
/// More small index objects than this are merged.
const SMALL_COUNT_MAX: usize = 32;
/// About how large the body of a merged index object becomes: held in memory, far below its limit.
const MERGED_BODY_BYTES: usize = 8 << 20;
/// Index objects deleted between two looks at the lease.
const DELETE_BATCH: usize = 64;

/// Index objects that others stand for by now.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// With their stored sizes.
    old: Vec<(IndexId, u64)>,
}

/// What a merged index object is to hold.
#[derive(Debug, Default)]
struct Batch {
    packs: BTreeMap<PackId, IndexPack>,
    body_bytes: usize,
}

impl Run {
    /// Writes index objects that stand for all that name a pack of `doomed`, a pack that another one names
    /// too, or, when there are many, only little. The local index follows; the old ones are still stored.
    ///
    /// `None` when the index objects changed since the local index was brought up to date.
    pub(super) fn rewrite_index(
        &mut self,
        doomed: &BTreeSet<PackId>,
    ) -> Result<Option<Replaced>, PruneError> {
        let repository = self.repository.clone();
        let sizes = self.list_index()?;
        let known = repository.index().index_ids()?;
        if !known.iter().eq(sizes.keys()) {
            return Ok(None);
        }
        let sources = self.index_sources(doomed, &sizes)?;
        let mut written = BTreeSet::new();
        let mut batch = Batch::default();
        let mut added: Vec<(IndexId, Vec<PackRecord>)> = Vec::new();
        for id in &sources {
            repository.check_stop()?;
            let packs = match repository.load_index_object(id) {
                Ok(packs) => packs,
                Err(Error::Backend(error)) if error.kind == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            for pack in packs {
                if doomed.contains(&pack.id) || !written.insert(pack.id) {
                    continue;
                }
                batch.body_bytes += body_bytes(&pack);
                batch.packs.insert(pack.id, pack);
                if batch.is_full() {
                    added.push(self.write_index(std::mem::take(&mut batch))?);
                }
            }
        }
        if !batch.packs.is_empty() {
            added.push(self.write_index(batch)?);
        }
        // The local index lets go of the old objects before the first of them is deleted.
        repository.index().apply(added, &sources)?;
        let old = sources.into_iter().map(|id| (id, sizes.get(&id).copied().unwrap_or(0))).collect();
        Ok(Some(Replaced { old }))
    }

    /// Returns the stored sizes of all index objects, from two listings that agree.
    fn list_index(&self) -> Result<BTreeMap<IndexId, u64>, PruneError> {
        let list = || -> Result<BTreeMap<IndexId, u64>, PruneError> {
            self.repository.check_stop()?;
            let infos = self.repository.backend().list(ObjectKind::Index)?;
            let entry =
                |info: &crate::backend::ObjectInfo| Some((IndexId(info.key.id_bytes()?), info.size_bytes));
            Ok(infos.iter().filter_map(entry).collect())
        };
        until_stable(list, "index objects")
    }

    fn index_sources(
        &self,
        doomed: &BTreeSet<PackId>,
        sizes: &BTreeMap<IndexId, u64>,
    ) -> Result<Vec<IndexId>, PruneError> {
        let index = self.repository.index();
        let mut sources = index.indexes_naming(doomed)?;
        sources.extend(index.indexes_naming(&index.packs_named_twice()?)?);
        let small: Vec<IndexId> =
            sizes.iter().filter(|(_, size)| **size < SMALL_BYTES).map(|(id, _)| *id).collect();
        if small.len() > SMALL_COUNT_MAX {
            sources.extend(small);
        }
        Ok(sources.into_iter().collect())
    }

    fn write_index(&mut self, batch: Batch) -> Result<(IndexId, Vec<PackRecord>), PruneError> {
        self.renew()?;
        let packs: Vec<IndexPack> = batch.packs.into_values().collect();
        let (id, stored_bytes) = self.repository.store_index_object(&packs)?;
        self.report.indexes_written.add(stored_bytes);
        let records = packs.into_iter().map(|pack| PackRecord {
            id: pack.id,
            size_bytes: pack.size_bytes,
            directory_bytes: pack.directory_bytes,
            content: pack.content,
            directory: Directory::default(),
        });
        Ok((id, records.collect()))
    }

    /// Deletes the index objects that others stand for.
    pub(super) fn delete_replaced(&mut self, replaced: &Replaced) -> Result<(), PruneError> {
        for batch in replaced.old.chunks(DELETE_BATCH) {
            self.renew()?;
            let outcomes = parallel(batch, |(id, _)| self.repository.delete_index_object(id));
            for (outcome, (_, size_bytes)) in outcomes.into_iter().zip(batch) {
                outcome?;
                self.report.indexes_deleted.add(*size_bytes);
            }
        }
        Ok(())
    }
}

impl Batch {
    fn is_full(&self) -> bool {
        let count = u64::try_from(self.packs.len()).unwrap_or(u64::MAX);
        self.body_bytes >= MERGED_BODY_BYTES || count >= INDEX_PACK_COUNT_MAX
    }
}

/// Estimates the part of an index object's body that speaks of `pack`.
fn body_bytes(pack: &IndexPack) -> usize {
    let Some(directory) = &pack.directory else { return 42 };
    let blocks = directory.blocks.iter();
    42 + blocks.map(|block| 11 + block.bases.len() * 8 + block.chunks.len() * 36).sum::<usize>()
}
