//! A pack in the making.

use bytes::Bytes;

use super::{PackError, SealedBlock};
use crate::base::{PackId, PooledBuffer};
use crate::crypto::KeyRing;
use crate::format::Kind;
use crate::format::frame;
use crate::format::pack::{self, Content, Directory};
use crate::format::sealed::associated_data;
use crate::format::wire::{FormatError, length};

/// Gathers sealed blocks of one content.
#[derive(Debug)]
pub struct PackWriter {
    content: Content,
    bytes: PooledBuffer,
    /// Of what `bytes` holds: hashed while it is still near the processor.
    hasher: blake3::Hasher,
    directory: Directory,
    chunk_count: usize,
}

/// A whole pack, named by its bytes.
#[derive(Debug, Clone)]
pub struct FinishedPack {
    /// Its id.
    pub id: PackId,
    /// Its stored bytes.
    pub bytes: Bytes,
    /// What it holds.
    pub content: Content,
    /// Its directory.
    pub directory: Directory,
    /// Stored length of the directory.
    pub directory_bytes: u32,
}

/// How many chunks a pack may hold before it is closed, so that its directory stays small.
const CHUNK_COUNT_MAX: usize = 200_000;

impl PackWriter {
    /// Returns an empty pack of `content` that is put together in `buffer`, an empty one.
    pub fn new(content: Content, buffer: PooledBuffer) -> Self {
        let hasher = blake3::Hasher::new();
        let mut pack =
            Self { content, bytes: buffer, hasher, directory: Directory::default(), chunk_count: 0 };
        pack.append(&pack::encode_head(content));
        pack
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.hasher.update(bytes);
    }

    /// Appends a block.
    pub fn push(&mut self, block: SealedBlock) {
        self.append(&block.stored);
        self.chunk_count += block.entry.chunks.len();
        self.directory.blocks.push(block.entry);
    }

    /// Tells whether a block of `stored_bytes` more would take the pack beyond `target_bytes`.
    pub fn is_full(&self, stored_bytes: usize, target_bytes: usize) -> bool {
        !self.is_empty()
            && (self.bytes.len() + stored_bytes > target_bytes || self.chunk_count > CHUNK_COUNT_MAX)
    }

    /// Tells whether no block was added.
    pub fn is_empty(&self) -> bool {
        self.directory.blocks.is_empty()
    }

    /// Seals the directory and names the pack.
    pub fn finish(mut self, keys: &KeyRing) -> Result<FinishedPack, PackError> {
        use crate::base::limits::DIRECTORY_PLAIN_MAX_BYTES;
        let body = self.directory.encode()?;
        let framed = frame::encode(&body, DIRECTORY_PLAIN_MAX_BYTES, "pack directory")?;
        let sealed = keys.seal(&associated_data(Kind::Directory, &keys.repository()), &framed);
        let directory_bytes = u32::try_from(sealed.len()).map_err(|_| FormatError::Limit {
            what: "directory length",
            value: length(sealed.len()),
            limit: u64::from(u32::MAX),
        })?;
        self.append(&sealed);
        self.append(&pack::encode_trailer(directory_bytes));
        Ok(FinishedPack {
            id: PackId(*self.hasher.finalize().as_bytes()),
            bytes: self.bytes.share(),
            content: self.content,
            directory: self.directory,
            directory_bytes,
        })
    }
}
