//! Writing index objects anew: without packs that go, each pack named once, few small objects.

use std::collections::{BTreeMap, BTreeSet};

use super::Run;
use super::error::PruneError;
use super::survey::until_stable;
use crate::backend::ObjectKind;
use crate::base::{IndexId, PackId};
use crate::format::index::IndexPack;
use crate::maintain::reindex::rewrite;
use crate::repository::parallel;

/// Index objects below this stored size are small.
const SMALL_BYTES: u64 = 1 << 20;
/// More small index objects than this are merged.
const SMALL_COUNT_MAX: usize = 32;
/// Index objects deleted between two looks at the lease.
const DELETE_BATCH: usize = 64;

/// Index objects that others stand for by now.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// With their stored sizes.
    old: Vec<(IndexId, u64)>,
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
        let mut written = Vec::new();
        let added = rewrite(&repository, &sources, doomed, |packs| {
            let id = self.write_index(packs)?;
            written.push(id);
            Ok(id)
        });
        let added = match added {
            Ok(Some(added)) => added,
            Ok(None) => return Ok(None),
            Err(error) => {
                // What they say stands in the old ones too, and they take space that is not there.
                if PruneError::is_full(&error) {
                    written.iter().try_for_each(|id| repository.delete_index_object(id))?;
                }
                return Err(error);
            }
        };
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

    /// Does what [`Run::rewrite_index`] does, and deletes the old ones, with space for only one index object:
    /// each is deleted before the next one is written.
    ///
    /// `false` when the index objects changed meanwhile.
    pub(super) fn replace_index_one_by_one(&mut self, doomed: &BTreeSet<PackId>) -> Result<bool, PruneError> {
        let repository = self.repository.clone();
        let sizes = self.list_index()?;
        for id in repository.index().indexes_naming(doomed)? {
            repository.check_stop()?;
            let Some(added) = rewrite(&repository, &[id], doomed, |packs| self.write_index(packs))? else {
                return Ok(false);
            };
            repository.index().apply(added, &[id])?;
            self.delete_replaced(&Replaced { old: vec![(id, sizes.get(&id).copied().unwrap_or(0))] })?;
        }
        Ok(true)
    }

    fn write_index(&mut self, packs: &[IndexPack]) -> Result<IndexId, PruneError> {
        self.renew()?;
        let repository = &self.repository;
        let (id, stored_bytes) = repository.with_reserve(|| repository.store_index_object(packs))?;
        self.report.indexes_written.add(stored_bytes);
        Ok(id)
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
