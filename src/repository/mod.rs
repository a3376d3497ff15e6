//! An opened repository: keys, typed objects, the local index, chunk reading and writing, leases.

mod audit;
mod bases;
mod chunks;
mod error;
mod keys;
mod lease;
mod lists;
mod objects;
mod open;
mod rebase;
mod reserve;
mod standing;
mod stored_file;
mod sync;
#[cfg(test)]
pub(crate) mod testing;
mod trees;
mod uploader;
pub mod witness;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use audit::index_entry;
pub use bases::BaseChunk;
pub use chunks::{ChunkCache, ChunkReader};
pub use error::{Error, describe};
pub use keys::KeyInfo;
pub use lease::{LeaseGuard, LeaseTrace};
pub use lists::{ListReader, ListWriter};
pub use objects::{LoadedSnapshots, seen_digest};
pub use open::{ConfigIdentity, Environment, IndexPlace, InitOptions, OpenSecret};
pub use rebase::{NewBase, bases_that_stay};
pub use standing::Standing;
pub use stored_file::StoredFile;
pub(crate) use sync::parallel;
pub use trees::{DirectoryWriter, TreeCursor, find_path, tree_chunk_ids};
pub use uploader::record_of_known;
pub(crate) use writer::BASED_BLOCK_BYTES;
pub use writer::{ChunkWriter, WriterStats, sealed_bytes};

use crate::backend::Backend;
use crate::base::{Clock, Entropy, Memory, Progress};
use crate::crypto::KeyRing;
use crate::format::config::Config;
use crate::index::IndexDatabase;

/// A repository whose keys are known and whose local index is at hand.
#[derive(Debug)]
pub struct Repository {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) keys: KeyRing,
    pub(crate) config: Config,
    pub(crate) identity: ConfigIdentity,
    pub(crate) index: IndexDatabase,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) host: String,
    pub(crate) memory: Memory,
    /// Index objects and packs that could not be read at the last sync.
    pub(crate) index_damage: Mutex<Vec<Error>>,
}

impl Repository {
    /// Returns the store.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Returns the keys.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Returns the config in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns which config object is in force.
    pub fn identity(&self) -> ConfigIdentity {
        self.identity
    }

    /// Returns the local index.
    pub fn index(&self) -> &IndexDatabase {
        &self.index
    }

    /// Returns the clock of this run.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Returns the randomness of this run.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    /// Returns where this run reports to.
    pub fn progress(&self) -> &Arc<dyn Progress> {
        &self.progress
    }

    /// Returns the name of this host, as leases and snapshots carry it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns how much memory this run may take.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Returns what of the index could not be read at the last sync, in words. Prune refuses to run on that.
    pub fn index_damage(&self) -> Vec<String> {
        let damage = self.index_damage.lock().unwrap_or_else(PoisonError::into_inner);
        damage.iter().map(ToString::to_string).collect()
    }

    pub(crate) fn set_index_damage(&self, damage: Vec<Error>) {
        *self.index_damage.lock().unwrap_or_else(PoisonError::into_inner) = damage;
    }

    /// Fails with [`Error::Interrupted`] once the run was asked to stop.
    pub fn check_stop(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Returns the flag that asks the run to stop.
    pub fn stop_flag(&self) -> &Arc<AtomicBool> {
        &self.stop
    }
}
