//! One block's life: chunks → coded → sealed → checked, and back.

use bytes::Bytes;

use super::PackError;
use crate::base::ChunkId;
use crate::codec::{self, BaseUse, Coding, PartCoder};
use crate::crypto::KeyRing;
use crate::format::pack::{BaseName, Content, DirectoryBlock, DirectoryChunk};
use crate::format::sealed::associated_data;
use crate::format::{FormatError, Kind};

/// A chunk with its plaintext.
#[derive(Debug, Clone)]
pub struct PlainChunk {
    /// Its id.
    pub id: ChunkId,
    /// Its plaintext, not empty.
    pub data: Bytes,
}

/// What is known about the bytes of a block before it is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// Nothing: a sample decides, planes included.
    Sampled,
    /// Text or records: a sample decides, without planes.
    Text,
    /// Already compressed: stored.
    Stored,
}

/// A block as it goes into a pack.
#[derive(Debug, Clone)]
pub struct SealedBlock {
    /// `nonce ‖ ciphertext ‖ tag`.
    pub stored: Vec<u8>,
    /// Its entry in the directory.
    pub entry: DirectoryBlock,
    /// The encoder failed its check and the block was stored raw.
    pub fell_back: bool,
}

fn chunk_id(keys: &KeyRing, content: Content, plain: &[u8]) -> ChunkId {
    match content {
        Content::Data => keys.data_id(plain),
        Content::Tree => keys.tree_id(plain),
    }
}

/// Codes and seals `chunks` as one block without base, opens the result again and re-hashes every chunk.
///
/// An encoder whose result does not decode to the chunks is replaced by raw storage; when even that does not
/// give the chunks back, the memory of this machine is not to be trusted and the error says so.
pub fn seal_block(
    keys: &KeyRing,
    content: Content,
    chunks: &[PlainChunk],
    sealing: Sealing,
) -> Result<SealedBlock, PackError> {
    let mut raw = Vec::with_capacity(chunks.iter().map(|chunk| chunk.data.len()).sum());
    for chunk in chunks {
        raw.extend_from_slice(&chunk.data);
    }
    let coding = match sealing {
        Sealing::Stored => Coding::Whole(PartCoder::Raw),
        Sealing::Text => codec::choose(&raw, false),
        Sealing::Sampled => codec::choose(&raw, true),
    };
    match try_seal(keys, content, chunks, &raw, coding) {
        Ok(block) => Ok(block),
        Err(_) => {
            let block = try_seal(keys, content, chunks, &raw, Coding::Whole(PartCoder::Raw))?;
            Ok(SealedBlock { fell_back: true, ..block })
        }
    }
}

fn try_seal(
    keys: &KeyRing,
    content: Content,
    chunks: &[PlainChunk],
    raw: &[u8],
    coding: Coding,
) -> Result<SealedBlock, PackError> {
    let coded = codec::encode(raw, coding, BaseUse::None, &[])?;
    let stored = keys.seal(&associated_data(Kind::Block, &keys.repository()), &coded);
    let narrow = |length: usize| {
        u32::try_from(length).map_err(|_| PackError::from(FormatError::invalid("length of a block")))
    };
    let entry = DirectoryBlock {
        stored_bytes: narrow(stored.len())?,
        depth: 0,
        bases: Vec::<BaseName>::new(),
        chunks: chunks
            .iter()
            .map(|chunk| Ok(DirectoryChunk { id: chunk.id, length_bytes: narrow(chunk.data.len())? }))
            .collect::<Result<_, PackError>>()?,
    };
    let read_back = open_block(keys, &stored, raw.len(), &[])?;
    verify_chunks(keys, content, &entry, &read_back)?;
    Ok(SealedBlock { stored, entry, fell_back: false })
}

/// Opens and decodes a stored block of `raw_bytes` bytes; `base` is empty without bases.
pub fn open_block(
    keys: &KeyRing,
    stored: &[u8],
    raw_bytes: usize,
    base: &[u8],
) -> Result<Vec<u8>, PackError> {
    let coded = keys
        .open(&associated_data(Kind::Block, &keys.repository()), stored)
        .map_err(|source| PackError::Open { what: "block", source })?;
    Ok(codec::decode(&coded, raw_bytes, base)?)
}

/// Re-hashes every chunk of a block's plaintext against its directory entry.
pub fn verify_chunks(
    keys: &KeyRing,
    content: Content,
    entry: &DirectoryBlock,
    raw: &[u8],
) -> Result<(), PackError> {
    let mut rest = raw;
    for chunk in &entry.chunks {
        let mismatch = || PackError::ChunkMismatch { id: chunk.id };
        let length = usize::try_from(chunk.length_bytes).map_err(|_| mismatch())?;
        let (plain, after) = rest.split_at_checked(length).ok_or_else(mismatch)?;
        if chunk_id(keys, content, plain) != chunk.id {
            return Err(mismatch());
        }
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(FormatError::invalid("length of a block").into()) }
}
