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

pub use index::{RepairIndexOptions, RepairIndexReport, repair_index};
pub use packs::{RepairPacksError, RepairPacksOptions, RepairPacksReport, RepairedPack, repair_packs};
pub use rewrite::Dropped;
pub use snapshots::{RepairSnapshotsOptions, RepairSnapshotsReport, RepairedSnapshot, repair_snapshots};
