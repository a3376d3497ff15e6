//! What of the snapshots cannot be restored, and why.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{ChunkId, PackId, SnapshotId};

/// Losses named for one snapshot.
const NAMED_PER_SNAPSHOT_MAX: u64 = 100;
/// Losses named in all.
const NAMED_MAX: usize = 10_000;
/// Causes named for one loss.
const CAUSES_MAX: usize = 16;

/// Why something cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Every copy of a chunk is in a damaged or missing pack; this is one of them.
    Pack(PackId),
    /// A chunk is in no pack that the index names.
    MissingChunk(ChunkId),
    /// Stored as it was meant, but against the rules of the format.
    Broken(String),
}

/// The causes of one loss.
pub type Causes = BTreeSet<Cause>;

/// Causes held for one loss before further missing chunks are left out; packs always count.
const CAUSES_HELD_MAX: usize = 1_000;

/// Adds causes within the bound of one loss.
pub(super) fn add_causes(causes: &mut Causes, more: impl IntoIterator<Item = Cause>) {
    for cause in more {
        if causes.len() < CAUSES_HELD_MAX || matches!(cause, Cause::Pack(_)) {
            causes.insert(cause);
        }
    }
}

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    /// The content of one file.
    File,
    /// The list of a directory's entries, or a part of it: an unknown number of files below it.
    Directory,
}

/// One path of one snapshot that cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The path in it, raw bytes from `/` on.
    pub path: Vec<u8>,
    /// What is lost.
    pub kind: LossKind,
    /// Why, sorted; the first sixteen causes.
    pub causes: Vec<Cause>,
}

/// All losses of a walk: counted exactly, named within bounds.
#[derive(Debug, Clone, Default)]
pub struct Losses {
    /// The first hundred of each snapshot, ten thousand in all.
    pub named: Vec<Loss>,
    /// How many paths each snapshot loses.
    pub snapshots: BTreeMap<SnapshotId, u64>,
    /// How many paths, over all snapshots, are lost for each damaged pack. A path may count for several.
    pub packs: BTreeMap<PackId, u64>,
    /// How many paths are lost for chunks that are in no pack.
    pub missing: u64,
}

impl Losses {
    /// Returns how many paths are lost over all snapshots.
    pub fn count(&self) -> u64 {
        self.snapshots.values().sum()
    }

    /// Returns the named losses that `pack` caused.
    pub fn of_pack(&self, pack: &PackId) -> impl Iterator<Item = &Loss> {
        let cause = Cause::Pack(*pack);
        self.named.iter().filter(move |loss| loss.causes.contains(&cause))
    }

    pub(super) fn record(&mut self, snapshot: SnapshotId, path: &[u8], kind: LossKind, causes: &Causes) {
        let of_snapshot = self.snapshots.entry(snapshot).or_default();
        *of_snapshot += 1;
        for cause in causes {
            if let Cause::Pack(pack) = cause {
                *self.packs.entry(*pack).or_default() += 1;
            }
        }
        self.missing += u64::from(causes.iter().any(|cause| matches!(cause, Cause::MissingChunk(_))));
        if *of_snapshot <= NAMED_PER_SNAPSHOT_MAX && self.named.len() < NAMED_MAX {
            let path = if path.is_empty() { b"/".to_vec() } else { path.to_vec() };
            let causes = causes.iter().take(CAUSES_MAX).cloned().collect();
            self.named.push(Loss { snapshot, path, kind, causes });
        }
    }
}
