//! Chapter 7: packs and their directories.

use serde_json::json;
use snap::base::ChunkId;
use snap::base::id::hex;
use snap::crypto::KeyRing;
use snap::format::pack::{
    BaseName, Content, Directory, DirectoryBlock, DirectoryChunk, encode_head, encode_trailer,
};
use snap::format::sealed::associated_data;
use snap::format::{Kind, frame};

use super::blocks::{Shape, code};
use super::bodies::id;
use super::{Cases, cut, describe, flipped, longer, ring, with};

/// One block to be packed.
#[derive(Debug)]
pub(crate) struct Packed {
    /// The coded block.
    pub(crate) coded: Vec<u8>,
    /// Length of its chain of bases.
    pub(crate) depth: u8,
    /// Names of its bases.
    pub(crate) bases: Vec<BaseName>,
    /// Its chunks.
    pub(crate) chunks: Vec<DirectoryChunk>,
}

/// Returns a whole pack, its directory, and the stored length of the directory.
pub(crate) fn pack(ring: &KeyRing, content: Content, blocks: &[Packed]) -> (Vec<u8>, Directory, u32) {
    let mut stored = encode_head(content);
    let mut directory = Directory::default();
    for block in blocks {
        let sealed = ring.seal(&associated_data(Kind::Block, &ring.repository()), &block.coded);
        stored.extend_from_slice(&sealed);
        directory.blocks.push(DirectoryBlock {
            stored_bytes: u32::try_from(sealed.len()).expect("a short block"),
            depth: block.depth,
            bases: block.bases.clone(),
            chunks: block.chunks.clone(),
        });
    }
    let length = close(ring, &mut stored, &directory.encode().expect("a good directory"));
    (stored, directory, length)
}

/// Appends a directory and the trailer.
fn close(ring: &KeyRing, stored: &mut Vec<u8>, body: &[u8]) -> u32 {
    let made = frame::encode(body, 1 << 20, "directory").expect("a short directory");
    let sealed = ring.seal(&associated_data(Kind::Directory, &ring.repository()), &made);
    let length = u32::try_from(sealed.len()).expect("a short directory");
    stored.extend_from_slice(&sealed);
    stored.extend_from_slice(&encode_trailer(length));
    length
}

/// Returns a directory with everything in it.
pub(crate) fn directory() -> Directory {
    let chunk = |word: &str, length_bytes| DirectoryChunk { id: ChunkId(id(word)), length_bytes };
    let block = |stored_bytes, depth, bases: &[&str], chunks: Vec<DirectoryChunk>| DirectoryBlock {
        stored_bytes,
        depth,
        bases: bases.iter().map(|word| BaseName::of(&ChunkId(id(word)))).collect(),
        chunks,
    };
    let blocks = vec![
        block(100, 0, &[], vec![chunk("a", 10), chunk("b", 20)]),
        block(1_049_600, 8, &["a", "z"], vec![chunk("c", 1 << 18)]),
        block(57, 0, &[], vec![chunk("d", 1 << 20)]),
    ];
    Directory { blocks }
}

/// The set `packs`.
pub(crate) fn packs() -> Cases {
    let mut cases = Cases::default();
    let made = directory();
    let good = made.encode().expect("a good directory");
    let fields = |body: &[u8]| json!({ "op": "directory", "body": hex(body) });
    let mut accepted = fields(&good);
    accepted["blocks"] = describe::directory(&made);
    cases.good("directory", accepted);
    // Columns of three blocks: 4 + 12 stored + 12 chunk counts + 6 base counts + 3 depths + 16 + 16 lengths.
    let (stored, counts, bases, depths, lengths, ids) = (4, 16, 28, 34, 53, 69);
    let word = |value: u32| value.to_le_bytes();
    let one = made.blocks[2].clone();
    let alone = Directory { blocks: vec![one] }.encode().expect("a good directory");
    let bad: [(&str, &str, &str, Vec<u8>); 19] = [
        ("no blocks", "n is 0", "count", vec![0; 4]),
        ("count above the bytes", "n is 65536", "short", with(&alone, 0, &word(65_536))),
        ("count above the limit", "n is 65537", "limit", with(&alone, 0, &word(65_537))),
        ("greatest count", "n is 2^32 - 1", "limit", with(&alone, 0, &word(u32::MAX))),
        ("long block", "one byte above the limit", "limit", with(&good, stored, &word(1_049_601))),
        ("short block", "no room for a seal", "value", with(&good, stored, &word(39))),
        ("block of 56 bytes", "no room for a part", "value", with(&good, stored, &word(56))),
        ("block without chunks", "a count of 0", "count", with(&alone, 8, &word(0))),
        ("chunk count above the limit", "65537 chunks", "limit", with(&good, counts, &word(65_537))),
        (
            "base count above the limit",
            "1025 bases",
            "limit",
            with(&good, bases + 2, &1_025_u16.to_le_bytes()),
        ),
        ("depth 9", "above BASE_DEPTH_MAX", "limit", with(&good, depths + 1, &[9])),
        ("depth without bases", "depth 1, no bases", "base", with(&good, depths, &[1])),
        ("bases without depth", "depth 0, two bases", "base", with(&good, depths + 1, &[0])),
        ("empty chunk", "a length of 0", "value", with(&good, lengths, &word(0))),
        ("large chunk", "above CHUNK_SIZE_MAX_BYTES", "value", with(&good, lengths, &word(1_048_577))),
        ("long raw", "chunks of more than 1 MiB in a block", "limit", with(&good, lengths, &word(1 << 20))),
        (
            "long raw with bases",
            "one byte above 256 KiB",
            "limit",
            with(&good, lengths + 8, &word((1 << 18) + 1)),
        ),
        ("chunk twice", "the second id is the first", "duplicate", with(&good, ids + 32, &id("a"))),
        ("trailing", "one byte more", "trailing", longer(&good)),
    ];
    for (name, comment, code, body) in bad {
        cases.bad(&format!("directory: {name}"), comment, code, fields(&body));
    }
    cases.bad("directory: cut", "one byte less", "short", fields(&cut(&good, 1)));
    whole_packs(&mut cases);
    cases
}

/// The set `chains`: how deep chains of bases may be.
pub(crate) fn chains() -> Cases {
    let mut cases = Cases::default();
    let mut made = directory();
    made.blocks[1].depth = 32;
    let good = made.encode().expect("a good directory");
    let fields = |body: &[u8]| json!({ "op": "directory", "body": hex(body) });
    let mut accepted = fields(&good);
    accepted["blocks"] = describe::directory(&made);
    cases.good("directory: depth 32", accepted);
    // Three blocks: depths follow 4 + 12 + 12 + 6 bytes.
    let deeper = with(&good, 35, &[33]);
    cases.bad("directory: depth 33", "above BASE_DEPTH_MAX", "limit", fields(&deeper));
    cases
}

fn whole_packs(cases: &mut Cases) {
    let ring = ring(5);
    let texts = [b"first chunk".as_slice(), b"second chunk", b"third chunk of another block"];
    let chunk = |text: &[u8]| DirectoryChunk {
        id: ring.data_id(text),
        length_bytes: u32::try_from(text.len()).expect("a short text"),
    };
    let both = texts[..2].concat();
    let blocks = [
        Packed {
            coded: code(Shape::identity(0, 0), &both, b""),
            depth: 0,
            bases: vec![],
            chunks: vec![chunk(texts[0]), chunk(texts[1])],
        },
        Packed {
            coded: code(Shape::planes(4, 9, 1, 0, 0), texts[2], b""),
            depth: 0,
            bases: vec![],
            chunks: vec![chunk(texts[2])],
        },
    ];
    let (good, made, length) = pack(&ring, Content::Data, &blocks);
    let fields = |stored: &[u8]| {
        let id = blake3::hash(stored).to_hex().to_string();
        json!({ "op": "pack", "stored": hex(stored), "id": id })
    };
    let mut accepted = fields(&good);
    accepted["content"] = json!(0);
    accepted["blocks"] = describe::directory(&made);
    accepted["raw"] = json!([hex(&both), hex(texts[2])]);
    cases.good("pack", accepted);
    let end = good.len();
    let blocks_end = usize::try_from(made.blocks_end()).expect("a short pack");
    let directory_start = end - 12 - usize::try_from(length).expect("a short directory");
    assert_eq!(blocks_end, directory_start);
    let mut gap = [&good[..blocks_end], &[0]].concat();
    close(&ring, &mut gap, &made.encode().expect("a good directory"));
    let mut none = encode_head(Content::Data);
    close(&ring, &mut none, &[0; 4]);
    let word = |value: u32| value.to_le_bytes();
    let bad: [(&str, &str, &str, Vec<u8>); 14] = [
        ("magic", "the first byte differs", "magic", flipped(&good, 0)),
        ("version", "version 2", "version", with(&good, 8, &[2])),
        ("content", "content 2", "number", with(&good, 10, &[2])),
        ("recipient", "recipient 1", "recipient", with(&good, 11, &[1])),
        ("reserved", "a reserved byte", "reserved", with(&good, 15, &[1])),
        ("end", "the last byte differs", "magic", flipped(&good, end - 1)),
        ("directory beyond the pack", "2^32 - 1 bytes", "short", with(&good, end - 12, &word(u32::MAX))),
        ("least directory", "44 bytes", "value", with(&good, end - 12, &word(44))),
        ("directory longer", "one byte more", "open", with(&good, end - 12, &word(length + 1))),
        ("directory shorter", "one byte less", "open", with(&good, end - 12, &word(length - 1))),
        ("directory damaged", "a byte of it differs", "open", flipped(&good, directory_start + 30)),
        ("gap", "a byte between blocks and directory", "mismatch", gap),
        ("cut", "the last byte is missing", "magic", cut(&good, 1)),
        ("trailing", "one byte more", "magic", longer(&good)),
    ];
    for (name, comment, code, stored) in bad {
        cases.bad(&format!("pack: {name}"), comment, code, fields(&stored));
    }
    let mut renamed = fields(&good);
    renamed["id"] = json!(hex(&id("other")));
    cases.bad("pack: name", "the hash is not the name", "hash", renamed);
}
