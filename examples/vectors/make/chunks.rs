//! Chapters 4 and 5: cut points and chunk lists.
//!
//! The cut points are those of the chunker room; the second reader finds them by the chapter's own words.

use serde_json::{Value, json};
use snap::base::ChunkId;
use snap::base::id::hex;
use snap::chunker::{Chunker, Parameters};
use snap::crypto::KeyRing;
use snap::format::list::{ListChunk, ListEntry, ends_after};

use super::data::{Data, xof};
use super::{Cases, cut, describe, longer, ring, with};

const MIB: usize = 1 << 20;

/// Returns a chunker with the gear table of the vectors; the numbers are a case's `parameters`.
pub(crate) fn chunker(ring: &KeyRing, parameters: [u32; 4]) -> Option<Chunker> {
    let [normalization, min_bytes, average_bytes, max_bytes] = parameters;
    let normalization = u8::try_from(normalization).ok()?;
    Chunker::new(Parameters { min_bytes, average_bytes, max_bytes, normalization }, ring.gear()).ok()
}

/// Returns the fields that follow from cutting `stream`.
pub(crate) fn cut_fields(ring: &KeyRing, chunker: &Chunker, stream: &[u8]) -> Value {
    let lengths = chunker.cut_all(stream);
    let mut rest = stream;
    let mut ids = Vec::new();
    for length in &lengths {
        let (chunk, after) = rest.split_at(*length);
        ids.push(ring.data_id(chunk));
        rest = after;
    }
    let all: Vec<u8> = ids.iter().flat_map(|id| id.0).collect();
    json!({
        "lengths": lengths,
        "first_id": ids.iter().take(1).map(|id| hex(&id.0)).collect::<Vec<_>>(),
        "ids_blake3": blake3::hash(&all).to_hex().to_string(),
    })
}

/// Returns the digest over the cut lengths of many inputs.
pub(crate) fn accumulate(chunker: &Chunker, seed: &str, count: usize, step: usize, modulus: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    for at in 0..count {
        for length in chunker.cut_all(&xof(&format!("{seed} {at}"), at * step % modulus)) {
            hasher.update(&u32::try_from(length).expect("a chunk's length").to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// The set `chunks`.
pub(crate) fn chunks() -> Cases {
    let ring = ring(4);
    let mut cases = Cases::default();
    let classes = [
        ("general", [1, 16_384, 65_536, 262_144]),
        ("dump", [1, 4_096, 16_384, 65_536]),
        ("tensors", [1, 32_768, 131_072, 524_288]),
        ("opaque", [1, 65_536, 262_144, 1_048_576]),
    ];
    for (class, parameters) in classes {
        let made = chunker(&ring, parameters).expect("the default parameters");
        let [_, min, average, max] = parameters.map(|size| size as usize);
        let lengths =
            [0, 1, min - 1, min, min + 1, average - 1, average + 1, max - 1, max, max + 1, 99_991, 3 * MIB];
        let random = lengths.map(|length| Data::Xof(format!("chunks {class}"), length));
        let regular = [Data::Repeat(vec![0], 2 * max + 1), Data::Repeat(xof("period", 7), 2 * max + 3)];
        for input in random.into_iter().chain(regular) {
            let mut fields = cut_fields(&ring, &made, &input.bytes());
            fields["op"] = json!("cut");
            fields["parameters"] = json!(parameters);
            fields["input"] = input.json();
            let kind = match &input {
                Data::Xof(..) => "random",
                Data::Repeat(unit, _) if unit.len() == 1 => "zeros",
                _ => "periodic",
            };
            cases.good(&format!("{class}, {kind}, {} bytes", input.bytes().len()), fields);
        }
    }
    let accumulated = [
        ("500 small inputs", [1, 64, 256, 1024], 500, 7919, 20_011),
        ("normalization 0", [0, 64, 256, 1024], 100, 7919, 20_011),
        ("normalization 3", [3, 64, 512, 1024], 100, 7919, 20_011),
        ("50 dumps", [1, 4_096, 16_384, 65_536], 50, 77_377, 150_001),
    ];
    for (name, parameters, count, step, modulus) in accumulated {
        let made = chunker(&ring, parameters).expect("parameters in bounds");
        let fields = json!({
            "op": "accumulated",
            "parameters": parameters,
            "seed": name,
            "count": count,
            "step": step,
            "modulus": modulus,
            "digest": accumulate(&made, name, count, step, modulus),
        });
        cases.good(name, fields);
    }
    let bad = [
        ("normalization 4", "above 3", [4, 4_096, 16_384, 65_536]),
        ("average below the masks", "2^7 less 2", [2, 64, 128, 256]),
        ("min of 32", "below 64", [0, 32, 64, 128]),
        ("min is avg", "not ascending", [1, 256, 256, 1_024]),
        ("avg is max", "not ascending", [1, 256, 1_024, 1_024]),
        ("no power of two", "avg of 255", [1, 64, 255, 1_024]),
        ("max of 2 MiB", "above CHUNK_SIZE_MAX_BYTES", [1, 65_536, 262_144, 2_097_152]),
    ];
    for (name, comment, parameters) in bad {
        let fields = json!({ "op": "cut", "parameters": parameters, "input": "" });
        cases.bad(name, comment, "value", fields);
    }
    cases
}

/// Returns the index after the last entry of each list chunk, for `count` ids of `seed`.
pub(crate) fn list_ends(seed: &str, count: usize) -> Vec<usize> {
    let (mut ends, mut start) = (Vec::new(), 0);
    for (at, bytes) in xof(seed, 32 * count).chunks_exact(32).enumerate() {
        let mut id = [0; 32];
        id.copy_from_slice(bytes);
        if ends_after(&ChunkId(id), at + 1 - start) || at + 1 == count {
            ends.push(at + 1);
            start = at + 1;
        }
    }
    ends
}

/// The set `lists`.
pub(crate) fn lists() -> Cases {
    let mut cases = Cases::default();
    for (seed, count) in [("a", 1), ("b", 128), ("c", 129), ("d", 5_000), ("e", 20_000)] {
        let seed = format!("list {seed}");
        let ends = list_ends(&seed, count);
        let fields = json!({ "op": "ends", "seed": seed, "count": count, "ends": ends });
        cases.good(&format!("ends of {count} entries"), fields);
    }
    let entry = |seed: &str, content_bytes| {
        let mut id = [0; 32];
        id.copy_from_slice(&xof(seed, 32));
        ListEntry { id: ChunkId(id), content_bytes }
    };
    let entries = vec![entry("1", 1), entry("2", 1 << 20), entry("1", 1)];
    let leaf = ListChunk { level: 0, entries };
    let wide = ListChunk { level: 8, entries: vec![entry("3", 1 << 40), entry("4", 5)] };
    let one = ListChunk { level: 1, entries: vec![entry("5", 9)] };
    for (name, chunk) in [("leaf", &leaf), ("inner of level 8", &wide), ("one entry", &one)] {
        let body = chunk.encode().expect("a good chunk");
        let fields = json!({
            "op": "decode",
            "chunk": hex(&body),
            "level": chunk.level,
            "entries": describe::list(chunk),
        });
        cases.good(name, fields);
    }
    let roots =
        [("root, a leaf of one", 0, 1, "ok"), ("root of two", 1, 2, "ok"), ("root of one", 1, 1, "count")];
    for (name, level, count, expect) in roots {
        let entries = [entry("6", 7), entry("7", 8)][..count].to_vec();
        let chunk = ListChunk { level, entries };
        let body = chunk.encode().expect("a good chunk");
        let mut fields = json!({ "op": "decode", "root": true, "chunk": hex(&body) });
        if expect == "ok" {
            fields["level"] = json!(level);
            fields["entries"] = describe::list(&chunk);
        }
        cases.add(name, if expect == "ok" { "" } else { "its child would be the root" }, expect, fields);
    }
    let good = leaf.encode().expect("a good chunk");
    let inner = wide.encode().expect("a good chunk");
    let lengths = 6 + 3 * 32;
    let above = (1_048_577_u32).to_le_bytes();
    let bad: [(&str, &str, &str, Vec<u8>); 11] = [
        ("tag", "a tree's tag", "magic", with(&good, 0, &[0x54])),
        ("level 9", "above LIST_LEVEL_MAX", "limit", with(&inner, 1, &[9])),
        ("no entries", "n is 0", "count", vec![0x4c, 0, 0, 0, 0, 0]),
        ("count above the bytes", "n is 8192 without entries", "short", vec![0x4c, 0, 0, 0x20, 0, 0]),
        ("count above the limit", "n is 8193", "limit", vec![0x4c, 0, 1, 0x20, 0, 0]),
        ("greatest count", "n is 2^32 - 1", "limit", vec![0x4c, 0, 255, 255, 255, 255]),
        ("empty chunk", "a length of 0", "value", with(&good, lengths, &[0])),
        ("large chunk", "above CHUNK_SIZE_MAX_BYTES", "value", with(&good, lengths, &above)),
        ("empty child", "content of 0 bytes", "value", with(&inner, 6 + 2 * 32 + 8, &[0])),
        ("cut", "one byte less", "short", cut(&good, 1)),
        ("trailing", "one byte more", "trailing", longer(&good)),
    ];
    for (name, comment, code, chunk) in bad {
        cases.bad(name, comment, code, json!({ "op": "decode", "chunk": hex(&chunk) }));
    }
    cases
}
