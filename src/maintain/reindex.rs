//! Index objects written anew without packs that go, for whoever holds the lease.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::ErrorKind;
use crate::base::limits::INDEX_PACK_COUNT_MAX;
use crate::base::{IndexId, PackId};
use crate::format::index::IndexPack;
use crate::index::PackRecord;
use crate::repository::{Error, Repository, record_of_known};

/// About how large the body of a merged index object becomes: held in memory, far below its limit.
const MERGED_BODY_BYTES: usize = 8 << 20;

/// Index objects that were written, with the packs that each names, for the local index.
pub(super) type Written = Vec<(IndexId, Vec<PackRecord>)>;

/// What a merged index object is to hold.
#[derive(Debug, Default)]
struct Batch {
    packs: BTreeMap<PackId, IndexPack>,
    body_bytes: usize,
}

/// Writes index objects that stand for `sources` without the packs of `doomed`, each pack named once; `write`
/// stores one of them and returns its id. Nothing is deleted.
///
/// `None` when one of `sources` is gone: the index changed meanwhile.
pub(super) fn rewrite<E: From<Error>>(
    repository: &Repository,
    sources: &[IndexId],
    doomed: &BTreeSet<PackId>,
    mut write: impl FnMut(&[IndexPack]) -> Result<IndexId, E>,
) -> Result<Option<Written>, E> {
    let mut named = BTreeSet::new();
    let mut batch = Batch::default();
    let mut written = Written::new();
    for id in sources {
        repository.check_stop()?;
        let packs = match repository.load_index_object(id) {
            Ok(packs) => packs,
            Err(Error::Backend(error)) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        for pack in packs {
            if doomed.contains(&pack.id) || !named.insert(pack.id) {
                continue;
            }
            batch.body_bytes += body_bytes(&pack);
            batch.packs.insert(pack.id, pack);
            if batch.is_full() {
                written.push(std::mem::take(&mut batch).write(&mut write)?);
            }
        }
    }
    if !batch.packs.is_empty() {
        written.push(batch.write(&mut write)?);
    }
    Ok(Some(written))
}

impl Batch {
    fn is_full(&self) -> bool {
        let count = u64::try_from(self.packs.len()).unwrap_or(u64::MAX);
        self.body_bytes >= MERGED_BODY_BYTES || count >= INDEX_PACK_COUNT_MAX
    }

    fn write<E>(
        self,
        write: &mut impl FnMut(&[IndexPack]) -> Result<IndexId, E>,
    ) -> Result<(IndexId, Vec<PackRecord>), E> {
        let packs: Vec<IndexPack> = self.packs.into_values().collect();
        let id = write(&packs)?;
        let records = packs.into_iter().map(record_of_known);
        Ok((id, records.collect()))
    }
}

/// Estimates the part of an index object's body that speaks of `pack`.
fn body_bytes(pack: &IndexPack) -> usize {
    let Some(directory) = &pack.directory else { return 42 };
    let blocks = directory.blocks.iter();
    42 + blocks.map(|block| 11 + block.bases.len() * 8 + block.chunks.len() * 36).sum::<usize>()
}
