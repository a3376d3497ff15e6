//! What every room may use: ids, limits, memory, clock and randomness, buffers, progress, escaping of names.

pub mod clock;
pub(crate) mod durable;
pub mod escape;
pub mod id;
pub mod limits;
pub mod memory;
pub mod parse;
pub(crate) mod pipe;
pub mod pool;
pub mod progress;

pub use clock::{Clock, Entropy, SystemClock, SystemEntropy, Time};
pub use id::{ChunkId, IndexId, KeyFileId, PackId, PlanId, RepositoryId, SnapshotId};
pub use memory::Memory;
pub use pool::{BufferPool, PooledBuffer};
pub use progress::{NoProgress, Phase, Progress};
