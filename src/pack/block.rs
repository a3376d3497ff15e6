//! One block's life: chunks → coded → sealed → checked, and back.

use super::PackError;
use crate::base::ChunkId;
use crate::codec::{self, Base, Coding, Hint, PartCoder};
use crate::crypto::KeyRing;
use crate::format::pack::{Content, DirectoryBlock, DirectoryChunk};
use crate::format::sealed::associated_data;
use crate::format::{FormatError, Kind};

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

/// Codes and seals `raw`, which is `chunks` one after the other, as one block without base; opens the result
/// again and re-hashes every chunk.
///
/// An encoder whose result does not decode to the chunks is replaced by raw storage; when even that does not
/// give the chunks back, the memory of this machine is not to be trusted and the error says so.
pub fn seal_block(
    keys: &KeyRing,
    content: Content,
    raw: &[u8],
    chunks: Vec<DirectoryChunk>,
    sealing: Sealing,
) -> Result<SealedBlock, PackError> {
    let hint = match sealing {
        Sealing::Stored => Hint::Stored,
        Sealing::Text => Hint::Text,
        Sealing::Sampled => Hint::Unknown,
    };
    let coding = codec::choose(raw, hint);
    let entry = DirectoryBlock { stored_bytes: 0, depth: 0, bases: Vec::new(), chunks };
    match try_seal(keys, content, raw, &entry, coding) {
        Ok((stored, stored_bytes)) => {
            Ok(SealedBlock { stored, entry: DirectoryBlock { stored_bytes, ..entry }, fell_back: false })
        }
        Err(_) => {
            let raw_coding = Coding::Whole(PartCoder::Raw);
            let (stored, stored_bytes) = try_seal(keys, content, raw, &entry, raw_coding)?;
            Ok(SealedBlock { stored, entry: DirectoryBlock { stored_bytes, ..entry }, fell_back: true })
        }
    }
}

fn try_seal(
    keys: &KeyRing,
    content: Content,
    raw: &[u8],
    entry: &DirectoryBlock,
    coding: Coding,
) -> Result<(Vec<u8>, u32), PackError> {
    let coded = codec::encode(raw, coding, Base::NONE)?;
    let stored = keys.seal(&associated_data(Kind::Block, &keys.repository()), &coded);
    let stored_bytes = u32::try_from(stored.len()).map_err(|_| FormatError::invalid("length of a block"))?;
    let read_back = open_block(keys, &stored, raw.len(), &[])?;
    verify_chunks(keys, content, entry, &read_back)?;
    Ok((stored, stored_bytes))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::RepositoryId;
    use crate::base::clock::SeededEntropy;
    use crate::crypto::MasterKey;

    /// Seal, head and one entry of the part table.
    const OVERHEAD_BYTES: usize = 24 + 16 + 17;

    #[test]
    fn no_block_grows_by_more_than_its_seal_and_head() {
        let master = MasterKey::from_bytes([7; 32]);
        let keys = KeyRing::new(RepositoryId([1; 16]), &master, Arc::new(SeededEntropy::new(1)));
        let noise = |length| {
            let mut bytes = vec![0; length];
            blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut bytes);
            bytes
        };
        // Floats of random mantissa: planes are tried, and pay little.
        let floats: Vec<u8> = noise(4096).chunks(4).flat_map(|b| [b[0], b[1], b[2] & 0x7f, 0x3f]).collect();
        let text = b"INSERT INTO t VALUES (1);\n".repeat(1000);
        for raw in [vec![7], vec![1, 2, 3], noise(9), noise(65_537), noise(1 << 20), floats, text] {
            for content in [Content::Data, Content::Tree] {
                for sealing in [Sealing::Sampled, Sealing::Text, Sealing::Stored] {
                    let length_bytes = u32::try_from(raw.len()).unwrap();
                    let chunks = vec![DirectoryChunk { id: chunk_id(&keys, content, &raw), length_bytes }];
                    let sealed = seal_block(&keys, content, &raw, chunks, sealing).unwrap();
                    let grown = sealed.stored.len() <= raw.len() + OVERHEAD_BYTES;
                    assert!(grown && !sealed.fell_back, "{} bytes, {sealing:?}", raw.len());
                }
            }
        }
    }
}
