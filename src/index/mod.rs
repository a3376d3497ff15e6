//! The local index database: which chunk is where, and what this host remembers of a repository.
//!
//! It is a cache (SQLite, WAL) beside the repository, never the only truth: bound to the repository's id and
//! to the set of index objects it was built from, dropped and made anew whenever it does not fit. Nothing is
//! loaded when it is opened; memory is bounded by the page cache and by the batches that a caller hands in.
//!
//! How chunks are found: every stored copy of a chunk has an *ordinal*, dense and never reused; the chunks of
//! a block, and the blocks of a pack, have consecutive ones. `chunks_0..2` map the first 48 bits of an id to
//! ordinals, `blocks` is keyed by the first ordinal of a block and holds the whole ids, so every hit is
//! compared in full. The random part of the database is therefore 16 bytes a chunk. It has three levels,
//! since a row put into a large tree dirties a whole page: rows enter a small level and move on in sorted
//! bulk. Tables of bits tell of most chunks that are not held that the two larger levels do not have them
//! (`sieve`).
//!
//! Beside that it remembers what helps to choose bases: features of chunks, and kin of files. Both may name
//! what is gone, and a database that is made anew lacks them.

mod chunks;
mod contains;
mod database;
mod error;
mod filter;
mod folder;
mod intents;
mod lookup;
mod memory;
mod naming;
mod packs;
mod record;
mod runs;
mod schema;
mod sieve;
mod similar;
mod sound;
mod update;
mod writer;

#[cfg(test)]
mod tests;

pub use database::{IndexDatabase, IndexSettings};
pub use error::IndexError;
pub use intents::INTENT_LOAD_MAX_BYTES;
pub use lookup::NamedChunks;
pub use memory::{CACHED_OBJECT_MAX_BYTES, FileMemory, FileState, RUN_COUNT_MAX, ReadingGuard, RunRecord};
pub use record::{BlockInfo, BlockKey, BlockLocation, ChunkLocation, IndexTotals, PackInfo, PackRecord};
pub use similar::{KIN_COUNT_MAX, KIN_NODE_MAX_BYTES, SIMILAR_COUNT_MAX};
pub use update::Update;
