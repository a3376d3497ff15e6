//! Repair: what can be made again from the rest, and nothing else.
//!
//! The index comes from packs, packs from their own whole blocks, snapshots from what is left below them.
//! Nothing that is damaged is lost here: packs are written aside before they leave the store, and snapshots
//! stay until they are dropped.

mod index;
mod packs;
mod rewrite;
mod salvage;
mod snapshots;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use index::{RepairIndexOptions, RepairIndexReport, repair_index};
pub use packs::{RepairPacksError, RepairPacksOptions, RepairPacksReport, RepairedPack, repair_packs};
pub use rewrite::Dropped;
pub use snapshots::{RepairSnapshotsOptions, RepairSnapshotsReport, RepairedSnapshot, repair_snapshots};

use crate::backend::ObjectKind;
use crate::base::PackId;
use crate::repository::{Error, Repository};

/// Fails when what counts as missing may be in a pack that the index does not name; those of `known` hold
/// nothing of it.
fn require_whole_index(repository: &Repository, known: &BTreeSet<PackId>) -> Result<(), Error> {
    let damaged = |reason: String| Err(Error::Damaged { object: "index/".to_owned(), reason });
    if let Some(first) = repository.index_damage().first() {
        return damaged(format!("{first}; run `snap repair index` first"));
    }
    let named: BTreeSet<PackId> = repository.index().packs()?.into_iter().map(|pack| pack.id).collect();
    let listed = repository.backend().list(ObjectKind::Pack)?;
    let unnamed = listed.iter().filter_map(|info| info.key.id_bytes().map(PackId));
    match unnamed.filter(|id| !named.contains(id) && !known.contains(id)).count() {
        0 => Ok(()),
        count => damaged(format!(
            "{count} packs are in no index object and may hold what is missing; run `snap repair index` first"
        )),
    }
}
