//! What this host last saw of a repository, so that it notices one that was rolled back, emptied or replaced.
//!
//! No store tells that by itself: an older state is as well sealed as the newest. So each host keeps a small
//! file for each location, outside of the cache: the repository's id and config, how far its lease has come,
//! the newest snapshots, and some that were dropped. A look compares the store with it.
//!
//! A snapshot that is gone was dropped by somebody, or it vanished. Whoever drops one writes the lease before
//! (`format-spec/12-leases.md`), and every write of the lease counts one further. So:
//!
//! - the lease as it was, free, and a snapshot gone: nobody dropped it;
//! - the lease behind what it was: an older state;
//! - a snapshot that was dropped is there again: an older state.
//!
//! A lease that has moved on explains any snapshot that is gone. While it is held, and where leases work by
//! listing, nothing can be said about those that are gone.

mod compare;
mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use file::WitnessError;

use super::{ConfigIdentity, Error, LeaseTrace, Repository};
use crate::backend::ObjectKind;
use crate::base::id::hex;
use crate::base::{Entropy, RepositoryId, SnapshotId};

/// Limit: snapshots kept that were there, the newest.
const PRESENT_COUNT_MAX: usize = 512;
/// Limit: snapshots kept that were dropped, the newest.
const DROPPED_COUNT_MAX: usize = 128;

/// Snapshots, and when they were stored, in seconds of the store's clock.
type Stored = BTreeMap<SnapshotId, i64>;

/// What a look at a repository showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which repository.
    pub repository: RepositoryId,
    config: ConfigIdentity,
    lease: LeaseTrace,
    present: Stored,
    dropped: Stored,
}

/// How a repository differs from what this host last saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contradiction {
    /// There is none any more.
    Gone {
        /// The one that was there.
        known: RepositoryId,
    },
    /// It is another one.
    Replaced {
        /// The one that was there.
        known: RepositoryId,
        /// The one that is there, if the key at hand opens it.
        found: Option<RepositoryId>,
    },
    /// Its config is older.
    ConfigOlder,
    /// Its lease is older, as in a state from before the last forget, prune or repair.
    LeaseOlder,
    /// Snapshots are gone, and nobody dropped any.
    SnapshotsGone {
        /// How many.
        count: usize,
        /// One of them.
        example: SnapshotId,
    },
    /// Snapshots that were dropped are there again.
    SnapshotsBack {
        /// How many.
        count: usize,
        /// One of them.
        example: SnapshotId,
    },
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone { known } => write!(f, "repository {} is gone", known.short()),
            Self::Replaced { known, found: Some(found) } => {
                write!(f, "it was repository {} and is {} now", known.short(), found.short())
            }
            Self::Replaced { known, found: None } => {
                write!(f, "it was repository {} and is another one now", known.short())
            }
            Self::ConfigOlder => write!(f, "its config is an older one"),
            Self::LeaseOlder => write!(f, "it is in a state before its last forget, prune or repair"),
            Self::SnapshotsGone { count: 1, example } => {
                write!(f, "snapshot {} is gone, and nobody dropped it", example.short())
            }
            Self::SnapshotsGone { count, example } => {
                write!(f, "{count} snapshots are gone that nobody dropped, such as {}", example.short())
            }
            Self::SnapshotsBack { count: 1, example } => {
                write!(f, "snapshot {} was dropped and is back", example.short())
            }
            Self::SnapshotsBack { count, example } => {
                write!(f, "{count} snapshots were dropped and are back, such as {}", example.short())
            }
        }
    }
}

/// The outcome of a look.
#[derive(Debug)]
pub struct Look {
    /// What is there.
    pub seen: Seen,
    /// How that differs from what was known.
    pub contradiction: Option<Contradiction>,
}

/// The file of one location.
#[derive(Debug, Clone)]
pub struct Witness {
    folder: PathBuf,
    path: PathBuf,
    location: String,
}

impl Witness {
    /// Returns the witness of `location`, a place without secrets, whose file is in `folder`.
    pub fn new(folder: &Path, location: &str) -> Self {
        let digest = blake3::hash(location.as_bytes());
        let name = hex(digest.as_bytes().split_at(16).0);
        Self { folder: folder.to_owned(), path: folder.join(name), location: location.to_owned() }
    }

    /// Returns what is known of the location; `None` when this host was never there.
    pub fn known(&self) -> Result<Option<Seen>, WitnessError> {
        file::read(&self.path)
    }

    /// Looks at `repository` and compares it with what was `known` before this call.
    ///
    /// Asks for the lease and the snapshots, and once more for both where nothing is known, the lease has
    /// moved on or something does not fit: one answer of a store proves nothing. A snapshot that either
    /// listing shows is not gone; one that both show is there.
    pub fn look(&self, repository: &Repository, known: Option<&Seen>) -> Result<Look, Error> {
        // The lease first: what is dropped after this moves it further than what is remembered.
        let mut seen = Seen {
            repository: repository.config.repository,
            config: repository.identity,
            lease: repository.lease_trace()?,
            present: listed(repository)?,
            dropped: Stored::new(),
        };
        if let Some(known) = known.filter(|known| compare::fits(known, &seen)) {
            seen.dropped.clone_from(&known.dropped);
            return Ok(Look { seen, contradiction: None });
        }
        let again = listed(repository)?;
        let mut shown = seen.present.clone();
        shown.extend(&again);
        seen.present.retain(|id, _| again.contains_key(id));
        let Some(known) = known else { return Ok(Look { seen, contradiction: None }) };
        // The lease last: what was dropped before this moved it before.
        let mut lease = repository.lease_trace()?;
        if lease.writes < known.lease.writes.max(seen.lease.writes) {
            // A lease that was read wrong looks like none.
            lease = repository.lease_trace()?;
        }
        let contradiction = compare::contradiction(known, &seen, &shown, lease);
        seen.dropped = compare::dropped(known, &shown);
        Ok(Look { seen, contradiction })
    }

    /// Keeps what was `seen` without a contradiction, beside what other processes kept meanwhile.
    pub fn keep(&self, seen: Seen, entropy: &dyn Entropy) -> Result<(), WitnessError> {
        // What cannot be read is made anew.
        let there = self.known().ok().flatten();
        self.write(there.as_ref(), compare::merged(there.as_ref(), seen), entropy)
    }

    /// Keeps what was `seen` in place of everything that was known.
    pub fn accept(&self, mut seen: Seen, entropy: &dyn Entropy) -> Result<(), WitnessError> {
        seen.dropped.clear();
        self.write(None, seen, entropy)
    }

    /// Adds a snapshot that this host stored at `stored_seconds`.
    pub fn add(
        &self,
        snapshot: SnapshotId,
        stored_seconds: i64,
        entropy: &dyn Entropy,
    ) -> Result<(), WitnessError> {
        let Some(there) = self.known()? else { return Ok(()) };
        let mut seen = there.clone();
        seen.present.insert(snapshot, stored_seconds);
        self.write(Some(&there), seen, entropy)
    }

    fn write(&self, there: Option<&Seen>, mut seen: Seen, entropy: &dyn Entropy) -> Result<(), WitnessError> {
        compare::keep_newest(&mut seen.present, PRESENT_COUNT_MAX);
        compare::keep_newest(&mut seen.dropped, DROPPED_COUNT_MAX);
        match there == Some(&seen) {
            true => Ok(()),
            false => file::write(&self.folder, &self.path, &self.location, &seen, entropy),
        }
    }
}

fn listed(repository: &Repository) -> Result<Stored, Error> {
    let infos = repository.backend.list(ObjectKind::Snapshot)?;
    let named = |id: Option<[u8; 32]>, seconds| id.map(|id| (SnapshotId(id), seconds));
    Ok(infos.iter().filter_map(|info| named(info.key.id_bytes(), info.modified.seconds)).collect())
}

impl Seen {
    /// Tells whether `config`, as it is stored now, cannot be one of this repository.
    pub fn is_other(&self, config: &ConfigIdentity) -> bool {
        config.number == self.config.number && config.digest != self.config.digest
    }
}
