//! One block's life: chunks → coded → sealed → checked, and back.

use std::cell::RefCell;
use std::sync::Arc;

use super::PackError;
use crate::base::limits::BLOCK_RAW_MAX_BYTES;
use crate::base::{BufferPool, ChunkId, PooledBuffer};
use crate::codec::{self, Base, BaseUse, CodecError, Coding, Hint, PREFIX_LEVEL, PartCoder};
use crate::crypto::KeyRing;
use crate::crypto::xaes::FRONT_BYTES;
use crate::format::pack::{BaseName, Content, DirectoryBlock, DirectoryChunk};
use crate::format::sealed::associated_data;
use crate::format::{FormatError, Kind};

/// A block that a base brings below this part of its plaintext is not coded alone as well to compare: text
/// without a base rarely gets below a fifth.
const GAIN_BEYOND_DOUBT: usize = 6;
/// Mixing that brings a block below this part of it is worth a chain of any length.
const SPARSE_PART: usize = 10;
/// Where mixing saves a tenth, each link of a chain costs a whole decoding: chains stay short.
const DENSE_CHAIN_MAX: u8 = 3;

/// A block as it goes into a pack.
#[derive(Debug, Clone)]
pub struct SealedBlock {
    /// `nonce ‖ ciphertext ‖ tag`.
    pub stored: PooledBuffer,
    /// Its entry in the directory.
    pub entry: DirectoryBlock,
    /// The encoder failed its check and the block was stored raw.
    pub fell_back: bool,
}

/// Returns the id of a chunk of the given content.
pub fn chunk_id(keys: &KeyRing, content: Content, plain: &[u8]) -> ChunkId {
    match content {
        Content::Data => keys.data_id(plain),
        Content::Tree => keys.tree_id(plain),
    }
}

/// What a block is coded against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockBase {
    /// Names of the base chunks, in order.
    pub names: Vec<BaseName>,
    /// Their plaintext, one after the other.
    pub bytes: Vec<u8>,
    /// Depth of the block that is coded against them: one more than the greatest of theirs.
    pub depth: u8,
    /// The byte of the base that belongs to the first byte of the block, for arrays of numbers that are mixed
    /// with their former values; `None` for text, which is looked up in the base.
    pub skip: Option<usize>,
}

/// Codes and seals `raw`, which is `chunks` one after the other, as one block without base; opens the result
/// again and re-hashes every chunk.
///
/// An encoder whose result does not decode to the chunks is replaced by raw storage; when even that does not
/// give the chunks back, the memory of this machine is not to be trusted and the error says so. The block is
/// put together in a buffer of `rooms`.
pub fn seal_block(
    rooms: &Arc<BufferPool>,
    keys: &KeyRing,
    content: Content,
    raw: &[u8],
    chunks: Vec<DirectoryChunk>,
    hint: Hint,
) -> Result<SealedBlock, PackError> {
    let plain = plain_block(chunks);
    match encode(rooms, raw, codec::choose(raw, hint), Base::NONE) {
        Ok(coded) => seal_or_fall_back(rooms, keys, content, raw, plain, coded, &[]),
        Err(_) => seal_raw(rooms, keys, content, raw, plain),
    }
}

/// The same with a base, where the base makes the block smaller than coding it alone; else without.
pub fn seal_block_with_base(
    rooms: &Arc<BufferPool>,
    keys: &KeyRing,
    content: Content,
    raw: &[u8],
    chunks: Vec<DirectoryChunk>,
    hint: Hint,
    base: &BlockBase,
) -> Result<SealedBlock, PackError> {
    let Some(coded) = code_with_base(rooms, raw, hint, base) else {
        return seal_block(rooms, keys, content, raw, chunks, hint);
    };
    let entry = DirectoryBlock { stored_bytes: 0, depth: base.depth, bases: base.names.clone(), chunks };
    seal_or_fall_back(rooms, keys, content, raw, entry, coded, &base.bytes)
}

/// Returns the coded block behind room for the nonce of its seal.
fn encode(
    rooms: &Arc<BufferPool>,
    raw: &[u8],
    coding: Coding,
    base: Base,
) -> Result<PooledBuffer, CodecError> {
    let mut room = rooms.take(raw.len());
    *room = codec::encode_behind(std::mem::take(&mut *room), FRONT_BYTES, raw, coding, base)?;
    Ok(room)
}

/// Returns the block coded with its base, behind room for its nonce; `None` where that does not pay.
fn code_with_base(rooms: &Arc<BufferPool>, raw: &[u8], hint: Hint, base: &BlockBase) -> Option<PooledBuffer> {
    let based_bytes = |coded: &[u8]| coded.len() - FRONT_BYTES + base.names.len() * size_of::<BaseName>();
    if let Some(skip) = base.skip {
        let coding = codec::choose_xor(raw, &base.bytes, skip, hint)?;
        let mixed = Base { use_: BaseUse::Xor, bytes: &base.bytes, skip };
        let coded = encode(rooms, raw, coding, mixed).ok()?;
        let is_sparse = (coded.len() - FRONT_BYTES).saturating_mul(SPARSE_PART) <= raw.len();
        let is_worth_its_chain = is_sparse || base.depth <= DENSE_CHAIN_MAX;
        return (is_worth_its_chain && based_bytes(&coded) < raw.len()).then_some(coded);
    }
    let coding = Coding::Whole(PartCoder::Zstd { level: PREFIX_LEVEL });
    let prefix = Base { use_: BaseUse::Prefix, bytes: &base.bytes, skip: 0 };
    let coded = encode(rooms, raw, coding, prefix).ok()?;
    if (coded.len() - FRONT_BYTES).saturating_mul(GAIN_BEYOND_DOUBT) > raw.len() {
        let alone = codec::encode(raw, codec::choose(raw, hint), Base::NONE);
        if alone.is_ok_and(|alone| alone.len() <= based_bytes(&coded)) {
            return None;
        }
    }
    Some(coded)
}

fn plain_block(chunks: Vec<DirectoryChunk>) -> DirectoryBlock {
    DirectoryBlock { stored_bytes: 0, depth: 0, bases: Vec::new(), chunks }
}

fn seal_or_fall_back(
    rooms: &Arc<BufferPool>,
    keys: &KeyRing,
    content: Content,
    raw: &[u8],
    entry: DirectoryBlock,
    coded: PooledBuffer,
    base: &[u8],
) -> Result<SealedBlock, PackError> {
    match try_seal(keys, content, raw, &entry, coded, base) {
        Ok((stored, stored_bytes)) => {
            Ok(SealedBlock { stored, entry: DirectoryBlock { stored_bytes, ..entry }, fell_back: false })
        }
        Err(_) => seal_raw(rooms, keys, content, raw, plain_block(entry.chunks)),
    }
}

fn seal_raw(
    rooms: &Arc<BufferPool>,
    keys: &KeyRing,
    content: Content,
    raw: &[u8],
    entry: DirectoryBlock,
) -> Result<SealedBlock, PackError> {
    let coded = encode(rooms, raw, Coding::Whole(PartCoder::Raw), Base::NONE)?;
    let (stored, stored_bytes) = try_seal(keys, content, raw, &entry, coded, &[])?;
    Ok(SealedBlock { stored, entry: DirectoryBlock { stored_bytes, ..entry }, fell_back: true })
}

fn try_seal(
    keys: &KeyRing,
    content: Content,
    raw: &[u8],
    entry: &DirectoryBlock,
    mut stored: PooledBuffer,
    base: &[u8],
) -> Result<(PooledBuffer, u32), PackError> {
    let coded = std::mem::take(&mut *stored);
    *stored = keys.seal_behind(&associated_data(Kind::Block, &keys.repository()), coded);
    let stored_bytes = u32::try_from(stored.len()).map_err(|_| FormatError::invalid("length of a block"))?;
    open_block_with(keys, &stored, raw.len(), base, |read_back| {
        verify_chunks(keys, content, entry, read_back)
    })??;
    Ok((stored, stored_bytes))
}

thread_local! {
    /// A block as coded, and as plaintext: fresh pages for every block cost more than decoding some of them.
    static ROOM: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Opens and decodes a stored block of `raw_bytes` bytes into memory of `rooms`; `base` is empty without
/// bases.
pub fn open_block(
    rooms: &Arc<BufferPool>,
    keys: &KeyRing,
    stored: &[u8],
    raw_bytes: usize,
    base: &[u8],
) -> Result<PooledBuffer, PackError> {
    require_length(raw_bytes)?;
    let mut raw = rooms.take_filled(raw_bytes);
    with_room(|coded, _| {
        codec::decode_into(open_coded(keys, stored, coded)?, base, &mut raw).map_err(PackError::from)
    })?;
    Ok(raw)
}

/// The same for `work` to look at, in memory that this thread keeps.
pub fn open_block_with<T>(
    keys: &KeyRing,
    stored: &[u8],
    raw_bytes: usize,
    base: &[u8],
    work: impl FnOnce(&[u8]) -> T,
) -> Result<T, PackError> {
    require_length(raw_bytes)?;
    with_room(|coded, raw| {
        let coded = open_coded(keys, stored, coded)?;
        if raw.len() < raw_bytes {
            raw.resize(raw_bytes, 0);
        }
        let raw = &mut raw[..raw_bytes];
        codec::decode_into(coded, base, raw)?;
        Ok(work(raw))
    })
}

/// Before memory is taken for what the caller believes.
fn require_length(raw_bytes: usize) -> Result<(), PackError> {
    let is_possible = u64::try_from(raw_bytes).is_ok_and(|length| length <= BLOCK_RAW_MAX_BYTES);
    if is_possible { Ok(()) } else { Err(FormatError::invalid("length of a block").into()) }
}

/// Lends the memory of this thread. While it is lent whoever asks again, a task that this thread takes up
/// while it waits, gets memory of its own.
fn with_room<T>(work: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>) -> T) -> T {
    let (mut coded, mut raw) = ROOM.take();
    let outcome = work(&mut coded, &mut raw);
    ROOM.set((coded, raw));
    outcome
}

fn open_coded<'b>(keys: &KeyRing, stored: &[u8], room: &'b mut Vec<u8>) -> Result<&'b [u8], PackError> {
    let opened = keys.open_into(&associated_data(Kind::Block, &keys.repository()), stored, room);
    opened.map_err(|source| PackError::Open { what: "block", source })
}

/// Fails unless a stored block is what was sealed, bit for bit; it is not decoded.
pub fn require_seal(keys: &KeyRing, stored: &[u8]) -> Result<(), PackError> {
    with_room(|coded, _| open_coded(keys, stored, coded).map(drop))
}

/// Returns the byte of the base that belongs to the first byte of a stored block of numbers that were mixed
/// with their former values; `None` for other blocks.
pub fn mixing_skip(keys: &KeyRing, stored: &[u8]) -> Result<Option<usize>, PackError> {
    with_room(|coded, _| Ok(codec::mixing_skip(open_coded(keys, stored, coded)?)))
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
                for hint in [Hint::Unknown, Hint::Text, Hint::Stored] {
                    let length_bytes = u32::try_from(raw.len()).unwrap();
                    let chunks = vec![DirectoryChunk { id: chunk_id(&keys, content, &raw), length_bytes }];
                    let sealed = seal_block(&BufferPool::new(0), &keys, content, &raw, chunks, hint).unwrap();
                    let grown = sealed.stored.len() <= raw.len() + OVERHEAD_BYTES;
                    assert!(grown && !sealed.fell_back, "{} bytes, {hint:?}", raw.len());
                }
            }
        }
    }

    #[test]
    fn a_block_that_does_not_decode_to_its_chunks_is_stored_raw_and_says_so() {
        let master = MasterKey::from_bytes([7; 32]);
        let keys = KeyRing::new(RepositoryId([1; 16]), &master, Arc::new(SeededEntropy::new(1)));
        let rooms = BufferPool::new(1 << 20);
        let raw = b"INSERT INTO t VALUES (1);\n".repeat(1000);
        let chunk = || DirectoryChunk {
            id: chunk_id(&keys, Content::Data, &raw),
            length_bytes: u32::try_from(raw.len()).unwrap(),
        };
        let zstd = Coding::Whole(PartCoder::Zstd { level: 3 });
        let mut other = raw.clone();
        other[500] ^= 1;
        let good = encode(&rooms, &raw, zstd, Base::NONE).unwrap();
        let mut broken = encode(&rooms, &raw, zstd, Base::NONE).unwrap();
        broken.truncate(good.len() - 3);
        let cases =
            [(good, false), (encode(&rooms, &other, zstd, Base::NONE).unwrap(), true), (broken, true)];
        for (coded, fails) in cases {
            let plain = plain_block(vec![chunk()]);
            let sealed = seal_or_fall_back(&rooms, &keys, Content::Data, &raw, plain, coded, &[]).unwrap();
            assert_eq!((sealed.fell_back, sealed.stored.len() > raw.len()), (fails, fails));
            assert_eq!(*open_block(&rooms, &keys, &sealed.stored, raw.len(), &[]).unwrap(), raw);
        }
        // Chunks that the bytes at hand are not cannot be saved by any coding.
        let mut wrong = chunk();
        wrong.id.0[0] ^= 1;
        let coded = encode(&rooms, &raw, zstd, Base::NONE).unwrap();
        let plain = plain_block(vec![wrong]);
        assert!(seal_or_fall_back(&rooms, &keys, Content::Data, &raw, plain, coded, &[]).is_err());
    }
}
