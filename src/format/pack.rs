//! Packs: head, directory, trailer (`format-spec/07-packs.md`).

use super::wire::{FormatError, Reader, Writer};
use super::{Kind, VERSION, magic_of};
use crate::base::ChunkId;
use crate::base::limits::{
    BASE_COUNT_MAX, BASE_DEPTH_MAX, BLOCK_BASED_RAW_MAX_BYTES, BLOCK_CHUNK_COUNT_MAX, BLOCK_RAW_MAX_BYTES,
    BLOCK_STORED_MAX_BYTES, CHUNK_SIZE_MAX_BYTES, PACK_BLOCK_COUNT_MAX,
};

/// Length of the head, and so the offset of the first block.
pub const HEAD_SIZE_BYTES: u32 = 16;
/// Length of the trailer: directory length and end magic.
pub const TRAILER_SIZE_BYTES: u32 = 12;
/// Stored length of the least block: a seal around the head and one entry of the part table.
pub const BLOCK_STORED_MIN_BYTES: u32 = 57;
/// Stored length of the least directory: a seal around the head of a frame.
pub const DIRECTORY_STORED_MIN_BYTES: u32 = 45;

/// What a pack's chunks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// Pieces of files and streams.
    Data,
    /// Pieces of trees and chunk lists.
    Tree,
}

impl Content {
    /// Returns the number of this content in a pack's head.
    pub fn number(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Tree => 1,
        }
    }

    /// Returns the content of this number.
    pub fn from_number(number: u8) -> Result<Self, FormatError> {
        match number {
            0 => Ok(Self::Data),
            1 => Ok(Self::Tree),
            _ => Err(FormatError::invalid("content of a pack")),
        }
    }
}

/// The short name of a base chunk: the first bytes of its id (`format-spec/06-blocks.md` 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseName(pub [u8; 8]);

impl BaseName {
    /// Returns the name of the chunk `id`.
    pub fn of(id: &ChunkId) -> Self {
        let mut name = [0; 8];
        name.copy_from_slice(&id.0[..8]);
        Self(name)
    }
}

/// One chunk of a block, by its place in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryChunk {
    /// Its id.
    pub id: ChunkId,
    /// Plaintext length.
    pub length_bytes: u32,
}

/// One block of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryBlock {
    /// Length as stored: nonce, ciphertext, tag.
    pub stored_bytes: u32,
    /// Blocks in the chain of bases below this one.
    pub depth: u8,
    /// Names of the base chunks, in order.
    pub bases: Vec<BaseName>,
    /// Its chunks, in order; at least one.
    pub chunks: Vec<DirectoryChunk>,
}

impl DirectoryBlock {
    /// Returns the length of the block's plaintext.
    pub fn raw_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.length_bytes)).sum()
    }
}

/// What is in a pack; block offsets follow from [`HEAD_SIZE_BYTES`] on without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    /// The blocks in order.
    pub blocks: Vec<DirectoryBlock>,
}

impl Directory {
    /// Returns where the blocks end and the sealed directory begins.
    pub fn blocks_end(&self) -> u64 {
        let stored: u64 = self.blocks.iter().map(|block| u64::from(block.stored_bytes)).sum();
        u64::from(HEAD_SIZE_BYTES) + stored
    }

    /// Returns how many chunks the pack holds.
    pub fn chunk_count(&self) -> usize {
        self.blocks.iter().map(|block| block.chunks.len()).sum()
    }

    /// Encodes the directory body, column by column.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.validate()?;
        let mut out = Writer::new();
        out.count32(self.blocks.len(), PACK_BLOCK_COUNT_MAX, "block count")?;
        for block in &self.blocks {
            out.u32(block.stored_bytes);
        }
        for block in &self.blocks {
            out.count32(block.chunks.len(), BLOCK_CHUNK_COUNT_MAX, "chunk count")?;
        }
        for block in &self.blocks {
            out.count16(block.bases.len(), BASE_COUNT_MAX, "base count")?;
        }
        for block in &self.blocks {
            out.u8(block.depth);
        }
        for base in self.blocks.iter().flat_map(|block| &block.bases) {
            out.raw(&base.0);
        }
        for chunk in self.blocks.iter().flat_map(|block| &block.chunks) {
            out.u32(chunk.length_bytes);
        }
        for chunk in self.blocks.iter().flat_map(|block| &block.chunks) {
            out.raw(&chunk.id.0);
        }
        Ok(out.finish())
    }

    /// Decodes a directory body.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes, "pack directory");
        let count = input.count32(PACK_BLOCK_COUNT_MAX, 11, "block count")?;
        let mut blocks = Vec::with_capacity(count);
        for _ in 0..count {
            let stored_bytes = input.u32("stored length")?;
            blocks.push(DirectoryBlock { stored_bytes, depth: 0, bases: Vec::new(), chunks: Vec::new() });
        }
        let chunk_counts: Vec<usize> = (0..count)
            .map(|_| input.count32(BLOCK_CHUNK_COUNT_MAX, 36, "chunk count"))
            .collect::<Result<_, _>>()?;
        let base_counts: Vec<usize> =
            (0..count).map(|_| input.count16(BASE_COUNT_MAX, 8, "base count")).collect::<Result<_, _>>()?;
        for block in &mut blocks {
            block.depth = input.u8("depth")?;
        }
        let chunks_total: usize = chunk_counts.iter().sum();
        let bases_total: usize = base_counts.iter().sum();
        if chunks_total.saturating_mul(36).saturating_add(bases_total.saturating_mul(8)) != input.remaining()
        {
            return Err(FormatError::invalid("length of a pack directory"));
        }
        for (block, bases) in blocks.iter_mut().zip(&base_counts) {
            block.bases = (0..*bases)
                .map(|_| Ok(BaseName(input.array("base name")?)))
                .collect::<Result<_, FormatError>>()?;
        }
        let mut lengths = Reader::new(input.raw(chunks_total * 4, "chunk lengths")?, "chunk lengths");
        for (block, chunks) in blocks.iter_mut().zip(&chunk_counts) {
            block.chunks = (0..*chunks)
                .map(|_| {
                    let length_bytes = lengths.u32("chunk length")?;
                    Ok(DirectoryChunk { id: ChunkId(input.array("chunk id")?), length_bytes })
                })
                .collect::<Result<_, FormatError>>()?;
        }
        input.finish()?;
        let directory = Self { blocks };
        directory.validate()?;
        Ok(directory)
    }

    fn validate(&self) -> Result<(), FormatError> {
        if self.blocks.is_empty() {
            return Err(FormatError::invalid("pack without blocks"));
        }
        for block in &self.blocks {
            let stored = u64::from(block.stored_bytes);
            if stored > BLOCK_STORED_MAX_BYTES {
                return Err(FormatError::Limit {
                    what: "stored block length",
                    value: stored,
                    limit: BLOCK_STORED_MAX_BYTES,
                });
            }
            let lengths_hold = block
                .chunks
                .iter()
                .all(|chunk| chunk.length_bytes > 0 && u64::from(chunk.length_bytes) <= CHUNK_SIZE_MAX_BYTES);
            if block.chunks.is_empty() || !lengths_hold || block.stored_bytes < BLOCK_STORED_MIN_BYTES {
                return Err(FormatError::invalid("block in a pack directory"));
            }
            let raw = block.raw_bytes();
            let limit = match block.bases.is_empty() {
                true => BLOCK_RAW_MAX_BYTES,
                false => BLOCK_BASED_RAW_MAX_BYTES,
            };
            if raw > limit {
                return Err(FormatError::Limit { what: "raw block length", value: raw, limit });
            }
            let depth_holds = u64::from(block.depth) <= BASE_DEPTH_MAX;
            if !depth_holds || (block.depth == 0) != block.bases.is_empty() {
                return Err(FormatError::invalid("depth of a block"));
            }
        }
        let mut ids: Vec<&ChunkId> =
            self.blocks.iter().flat_map(|block| &block.chunks).map(|chunk| &chunk.id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(FormatError::invalid("chunk twice in a pack"));
        }
        Ok(())
    }
}

/// Returns the head of a pack of `content`.
pub fn encode_head(content: Content) -> Vec<u8> {
    let mut out = Writer::new();
    out.raw(&Kind::Pack.magic()).u16(VERSION).u8(content.number()).u8(0).u32(0);
    out.finish()
}

/// Reads the head of a pack.
pub fn decode_head(bytes: &[u8]) -> Result<Content, FormatError> {
    let mut input = Reader::new(bytes, "pack head");
    if input.array::<8>("pack head")? != Kind::Pack.magic() {
        return Err(FormatError::Magic { expected: "pack" });
    }
    match input.u16("pack version")? {
        VERSION => {}
        found => return Err(FormatError::Version { found }),
    }
    let content = Content::from_number(input.u8("pack content")?)?;
    if input.u8("recipient")? != 0 || input.u32("reserved bytes")? != 0 {
        return Err(FormatError::invalid("recipient or reserved bytes of a pack"));
    }
    input.finish()?;
    Ok(content)
}

/// Returns the trailer behind a sealed directory of `directory_bytes`.
pub fn encode_trailer(directory_bytes: u32) -> Vec<u8> {
    let mut out = Writer::new();
    out.u32(directory_bytes).raw(&magic_of("packend"));
    out.finish()
}

/// Reads a trailer: the stored length of the directory before it, checked against the size of the pack.
pub fn decode_trailer(bytes: &[u8], pack_size_bytes: u64) -> Result<u32, FormatError> {
    let mut input = Reader::new(bytes, "pack trailer");
    let directory_bytes = input.u32("directory length")?;
    if input.array::<8>("end magic")? != magic_of("packend") {
        return Err(FormatError::invalid("end of a pack"));
    }
    input.finish()?;
    let frame = u64::from(HEAD_SIZE_BYTES) + u64::from(TRAILER_SIZE_BYTES);
    match u64::from(directory_bytes).checked_add(frame) {
        Some(needed) if needed <= pack_size_bytes && directory_bytes >= DIRECTORY_STORED_MIN_BYTES => {
            Ok(directory_bytes)
        }
        _ => Err(FormatError::Limit {
            what: "directory length",
            value: u64::from(directory_bytes),
            limit: pack_size_bytes.saturating_sub(frame),
        }),
    }
}

/// Checks that a decoded directory and the size of its pack agree.
pub fn require_layout(
    directory: &Directory,
    directory_bytes: u32,
    pack_size_bytes: u64,
) -> Result<(), FormatError> {
    let expected = directory.blocks_end() + u64::from(directory_bytes) + u64::from(TRAILER_SIZE_BYTES);
    if expected == pack_size_bytes {
        return Ok(());
    }
    Err(FormatError::Invalid { what: "size of a pack beside its directory" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Directory {
        let chunk = |n: u8| DirectoryChunk { id: ChunkId([n; 32]), length_bytes: 100 + u32::from(n) };
        Directory {
            blocks: vec![
                DirectoryBlock {
                    stored_bytes: 90,
                    depth: 0,
                    bases: vec![],
                    chunks: vec![chunk(1), chunk(2)],
                },
                DirectoryBlock {
                    stored_bytes: 60,
                    depth: 1,
                    bases: vec![BaseName([9; 8])],
                    chunks: vec![chunk(3)],
                },
            ],
        }
    }

    #[test]
    fn a_directory_reads_back_and_every_cut_or_grown_one_is_refused() {
        let bytes = sample().encode().unwrap();
        assert_eq!(Directory::decode(&bytes).unwrap(), sample());
        for end in 0..bytes.len() {
            assert!(Directory::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        let grown = [bytes.as_slice(), &[0]].concat();
        assert!(Directory::decode(&grown).is_err());
    }

    #[test]
    fn a_chunk_named_twice_is_refused() {
        let mut twice = sample();
        twice.blocks[1].chunks[0].id = ChunkId([1; 32]);
        assert!(twice.encode().is_err());
    }

    #[test]
    fn a_block_with_and_without_bases_has_a_limit() {
        for (length_bytes, bases, holds) in
            [(262_145, 1, true), (1_048_576, 1, true), (1_048_577, 1, false), (1_048_577, 0, false)]
        {
            let mut directory = sample();
            let block = &mut directory.blocks[1];
            block.bases = vec![BaseName([9; 8]); bases];
            block.depth = u8::try_from(bases).unwrap();
            block.chunks[0].length_bytes = length_bytes;
            assert_eq!(directory.encode().is_ok(), holds, "{length_bytes} bytes, {bases} bases");
        }
    }

    #[test]
    fn a_block_has_a_depth_if_it_has_bases_and_none_beyond_the_limit() {
        let depth_max = u8::try_from(BASE_DEPTH_MAX).unwrap();
        let cases = [(0, 0, true), (0, 1, false), (1, 0, false), (1, 1, true)];
        for (bases, depth, holds) in
            cases.into_iter().chain([(1, depth_max, true), (1, depth_max + 1, false)])
        {
            let mut directory = sample();
            let block = &mut directory.blocks[1];
            (block.bases, block.depth) = (vec![BaseName([9; 8]); bases], depth);
            assert_eq!(directory.encode().is_ok(), holds, "{bases} bases at depth {depth}");
        }
    }

    #[test]
    fn a_block_without_room_for_seal_and_head_is_refused() {
        let mut directory = sample();
        for (stored_bytes, holds) in [(57, true), (56, false), (0, false)] {
            directory.blocks[0].stored_bytes = stored_bytes;
            assert_eq!(directory.encode().is_ok(), holds, "{stored_bytes}");
        }
    }

    #[test]
    fn a_huge_count_is_refused_before_it_is_believed() {
        let mut bytes = sample().encode().unwrap();
        bytes[..4].copy_from_slice(&60_000_u32.to_le_bytes());
        assert!(Directory::decode(&bytes).is_err());
    }
}
