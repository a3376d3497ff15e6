//! Reading packs: the directory alone, or everything.

use super::PackError;
use crate::backend::{Backend, ObjectKey};
use crate::base::PackId;
use crate::base::limits::DIRECTORY_PLAIN_MAX_BYTES;
use crate::crypto::KeyRing;
use crate::format::pack::{
    self, Content, Directory, HEAD_SIZE_BYTES, TRAILER_SIZE_BYTES, decode_head, decode_trailer,
};
use crate::format::sealed::associated_data;
use crate::format::wire::{FormatError, length};
use crate::format::{Kind, frame};

/// A pack's structure, taken from its own bytes.
#[derive(Debug, Clone)]
pub struct ParsedPack {
    /// What it holds.
    pub content: Content,
    /// Its directory.
    pub directory: Directory,
    /// Stored length of the directory.
    pub directory_bytes: u32,
}

/// Bytes read from the end of a pack at first, which hold most directories whole.
const TAIL_GUESS_BYTES: u64 = 64 << 10;

fn open_directory(keys: &KeyRing, sealed: &[u8]) -> Result<Directory, PackError> {
    let framed = keys
        .open(&associated_data(Kind::Directory, &keys.repository()), sealed)
        .map_err(|source| PackError::Open { what: "pack directory", source })?;
    let body = frame::decode(&framed, DIRECTORY_PLAIN_MAX_BYTES, "pack directory")?;
    Ok(Directory::decode(&body)?)
}

fn take_tail(bytes: &[u8], count: u32) -> Result<(&[u8], &[u8]), PackError> {
    let truncated = FormatError::Truncated { what: "pack" };
    let at = usize::try_from(count).ok().and_then(|count| bytes.len().checked_sub(count));
    Ok(bytes.split_at(at.ok_or(truncated)?))
}

/// Fails unless a pack's name is that of its bytes.
pub fn require_name(id: &PackId, bytes: &[u8]) -> Result<(), PackError> {
    let is_right = blake3::hash(bytes).as_bytes() == id.as_bytes();
    if is_right { Ok(()) } else { Err(PackError::NameMismatch) }
}

/// Parses a whole pack and checks its name.
pub fn parse_pack(keys: &KeyRing, id: &PackId, bytes: &[u8]) -> Result<ParsedPack, PackError> {
    require_name(id, bytes)?;
    parse_layout(keys, bytes)
}

/// Parses a whole pack whatever its name is. Where every block opens and holds its chunks besides, no bit
/// differs from what was written: head and trailer have one form, blocks and directory are authenticated, and
/// there is nothing between them.
pub fn parse_layout(keys: &KeyRing, bytes: &[u8]) -> Result<ParsedPack, PackError> {
    let head = usize::try_from(HEAD_SIZE_BYTES).unwrap_or(usize::MAX);
    let head = bytes.get(..head).ok_or(FormatError::Truncated { what: "pack head" })?;
    let content = decode_head(head)?;
    let (before, trailer) = take_tail(bytes, TRAILER_SIZE_BYTES)?;
    let directory_bytes = decode_trailer(trailer, length(bytes.len()))?;
    let (_, sealed) = take_tail(before, directory_bytes)?;
    let directory = open_directory(keys, sealed)?;
    pack::require_layout(&directory, directory_bytes, length(bytes.len()))?;
    Ok(ParsedPack { content, directory, directory_bytes })
}

/// Reads the directory of a pack of `size_bytes` from the store, in one or two requests.
///
/// `directory_bytes`, when an index object told it, saves the guess.
pub fn read_directory(
    backend: &dyn Backend,
    keys: &KeyRing,
    id: &PackId,
    size_bytes: u64,
    directory_bytes: Option<u32>,
) -> Result<(Directory, u32), PackError> {
    let key = ObjectKey::pack(id);
    let known = directory_bytes.map(|count| u64::from(count) + u64::from(TRAILER_SIZE_BYTES));
    let tail_bytes = known.unwrap_or(TAIL_GUESS_BYTES).min(size_bytes);
    let mut tail = backend.get_range(&key, size_bytes - tail_bytes, tail_bytes)?;
    let (_, trailer) = take_tail(&tail, TRAILER_SIZE_BYTES)?;
    let directory_bytes = decode_trailer(trailer, size_bytes)?;
    let needed = u64::from(directory_bytes) + u64::from(TRAILER_SIZE_BYTES);
    if needed > length(tail.len()) {
        tail = backend.get_range(&key, size_bytes - needed, needed)?;
    }
    let (before, _) = take_tail(&tail, TRAILER_SIZE_BYTES)?;
    let (_, sealed) = take_tail(before, directory_bytes)?;
    let directory = open_directory(keys, sealed)?;
    pack::require_layout(&directory, directory_bytes, size_bytes)?;
    Ok((directory, directory_bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::SeededEntropy;
    use crate::base::{BufferPool, PooledBuffer, RepositoryId};
    use crate::codec::Hint;
    use crate::crypto::MasterKey;
    use crate::format::pack::DirectoryChunk;
    use crate::pack::{PackWriter, open_block, seal_block, verify_chunks};

    fn keys() -> KeyRing {
        let master = MasterKey::from_bytes([1; 32]);
        KeyRing::new(RepositoryId([2; 16]), &master, Arc::new(SeededEntropy::new(1)))
    }

    #[test]
    fn a_pack_describes_itself_and_gives_its_chunks_back() {
        let keys = keys();
        let mut writer = PackWriter::new(Content::Data, PooledBuffer::default());
        for block in 0..3_u8 {
            let raw: Vec<u8> = (0..4_u8).flat_map(|n| vec![block * 10 + n; 5000]).collect();
            let chunks = raw.chunks(5000);
            let chunks = chunks.map(|data| DirectoryChunk { id: keys.data_id(data), length_bytes: 5000 });
            let chunks = chunks.collect();
            writer.push(
                seal_block(&BufferPool::new(0), &keys, Content::Data, &raw, chunks, Hint::Unknown).unwrap(),
            );
        }
        let pack = writer.finish(&keys).unwrap();
        let parsed = parse_pack(&keys, &pack.id, &pack.bytes).unwrap();
        assert_eq!((parsed.content, &parsed.directory), (Content::Data, &pack.directory));
        let mut offset = usize::try_from(HEAD_SIZE_BYTES).unwrap();
        for entry in &parsed.directory.blocks {
            let end = offset + usize::try_from(entry.stored_bytes).unwrap();
            let raw = open_block(&BufferPool::new(0), &keys, &pack.bytes[offset..end], 20_000, &[]).unwrap();
            verify_chunks(&keys, Content::Data, entry, &raw).unwrap();
            assert!(verify_chunks(&keys, Content::Tree, entry, &raw).is_err());
            offset = end;
        }
        for at in [0, 9, 20, pack.bytes.len() - 20, pack.bytes.len() - 1] {
            let mut damaged = pack.bytes.to_vec();
            damaged[at] ^= 1;
            assert!(matches!(parse_pack(&keys, &pack.id, &damaged), Err(PackError::NameMismatch)));
            let renamed = PackId(*blake3::hash(&damaged).as_bytes());
            let outcome = parse_pack(&keys, &renamed, &damaged);
            assert!(outcome.is_err() || at == 20, "byte {at} is not covered");
        }
    }
}
