//! Blocks into packs and back (`format-spec/07-packs.md`): coding, hint, self-check, directory.

mod block;
mod reader;
mod writer;

pub use block::{
    BlockBase, SealedBlock, chunk_id, mixing_skip, open_block, open_block_with, require_seal, seal_block,
    seal_block_with_base, verify_chunks,
};
pub use reader::{ParsedPack, parse_layout, parse_pack, read_directory, require_name};
pub use writer::{FinishedPack, PackWriter};

use crate::backend::BackendError;
use crate::base::ChunkId;
use crate::codec::CodecError;
use crate::crypto::OpenError;
use crate::format::FormatError;

/// A pack or block cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The store failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The pack's structure is broken.
    #[error("pack structure is damaged")]
    Format(#[from] FormatError),
    /// Sealed bytes do not open.
    #[error("{what} does not open")]
    Open {
        /// Block or directory.
        what: &'static str,
        /// The reason.
        #[source]
        source: OpenError,
    },
    /// A block does not decode.
    #[error("block does not decode")]
    Codec(#[from] CodecError),
    /// A chunk's bytes are not those that its id names.
    #[error("chunk {} does not match its id", .id.short())]
    ChunkMismatch {
        /// The chunk.
        id: ChunkId,
    },
    /// The pack's bytes are not those that its name stands for.
    #[error("bytes do not match the name of the pack")]
    NameMismatch,
}

impl PackError {
    /// Tells whether stored bytes are wrong, as against a store that does not answer.
    pub fn is_damage(&self) -> bool {
        use crate::backend::ErrorKind;
        match self {
            Self::Backend(error) => matches!(error.kind, ErrorKind::NotFound | ErrorKind::Short),
            _ => true,
        }
    }
}
