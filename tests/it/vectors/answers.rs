//! What the decoders answer to a case, compared with what the case says.

use serde_json::{Value, json};
use snap::base::id::{hex, unhex};
use snap::base::limits;
use snap::base::{BufferPool, PackId};
use snap::codec::{self, CodecError};
use snap::crypto::password::unwrap as unwrap_key;
use snap::crypto::xaes::XaesKey;
use snap::crypto::{KeyFileError, MasterKey, OpenError, Secret, gear_table};
use snap::format::config::Config;
use snap::format::keyfile::KeyFile;
use snap::format::lease::Lease;
use snap::format::list::ListChunk;
use snap::format::pack::Directory;
use snap::format::plan::Plan;
use snap::format::sealed::{associated_data, unwrap};
use snap::format::sheet::{self, SheetError, SheetKind};
use snap::format::snapshot::Snapshot;
use snap::format::tree::TreeChunk;
use snap::format::wire::Writer;
use snap::format::{FormatError, Kind, frame, index};
use snap::pack::{PackError, open_block, parse_pack};
use zeroize::Zeroizing;

use super::make::{self, REPOSITORY, chunks, data::xof, describe, ring};

/// The codes of refusal (`format-spec/vectors/README.md`).
pub(super) const CODES: [&str; 26] = [
    "base",
    "coder",
    "count",
    "duplicate",
    "feature",
    "hash",
    "kdf",
    "limit",
    "magic",
    "mismatch",
    "missing",
    "name",
    "number",
    "open",
    "order",
    "recipient",
    "repository",
    "reserved",
    "sheet",
    "short",
    "text",
    "trailing",
    "value",
    "version",
    "wrong-key",
    "zstd",
];

/// Why bytes were refused, as coarsely as the decoders tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) &'static str);

impl From<FormatError> for Refused {
    fn from(error: FormatError) -> Self {
        Self(match error {
            FormatError::Magic { .. } => "magic",
            FormatError::Version { .. } => "version",
            FormatError::Feature { .. } => "feature",
            _ => "format",
        })
    }
}

impl From<CodecError> for Refused {
    fn from(_: CodecError) -> Self {
        Self("format")
    }
}

impl From<OpenError> for Refused {
    fn from(_: OpenError) -> Self {
        Self("open")
    }
}

impl From<SheetError> for Refused {
    fn from(_: SheetError) -> Self {
        Self("sheet")
    }
}

impl From<KeyFileError> for Refused {
    fn from(error: KeyFileError) -> Self {
        match error {
            KeyFileError::WrongSecret => Self("wrong-key"),
            KeyFileError::Damaged(None) => Self("open"),
            KeyFileError::Damaged(Some(error)) => error.into(),
            KeyFileError::Derivation { .. } => Self("format"),
        }
    }
}

impl From<PackError> for Refused {
    fn from(error: PackError) -> Self {
        match error {
            PackError::NameMismatch => Self("hash"),
            PackError::Open { .. } => Self("open"),
            PackError::Format(error) => error.into(),
            _ => Self("format"),
        }
    }
}

/// Tells whether a refusal is of the code that a vector names.
fn is_of_code(refused: &Refused, code: &str) -> bool {
    match code {
        "open" | "hash" | "wrong-key" | "sheet" | "version" | "feature" | "repository" => refused.0 == code,
        // Tags of tree chunks and the end of a pack have no error of their own.
        "magic" => matches!(refused.0, "magic" | "format"),
        _ => refused.0 == "format",
    }
}

/// Runs a case; tells the difference.
pub(super) fn check(set: &str, case: &Value) -> Result<(), String> {
    let expect = case["expect"].as_str().ok_or("no expectation")?;
    match answer(set, case) {
        Ok(answer) if expect == "ok" => {
            for (field, value) in answer.as_object().into_iter().flatten() {
                if case[field] != *value {
                    return Err(format!("{field} is {value:.300}, not {:.300}", case[field]));
                }
            }
            Ok(())
        }
        Ok(_) => Err(format!("accepted, not refused with {expect}")),
        Err(refused) if expect != "ok" && is_of_code(&refused, expect) => Ok(()),
        Err(refused) => Err(format!("refused with {}, not {expect}", refused.0)),
    }
}

fn answer(set: &str, case: &Value) -> Result<Value, Refused> {
    match set {
        "keys" => keys(case),
        "xaes" => Ok(xaes(case)),
        "sealed" => sealed(case),
        "chunks" => cut_points(case),
        "lists" => lists(case),
        "blocks" | "transforms" | "rans" => {
            let raw =
                codec::decode(&bytes(&case["coded"]), number(&case["raw_length"]), &bytes(&case["base"]))?;
            if case["raw_blake3"].is_string() {
                return Ok(json!({ "raw_blake3": blake3::hash(&raw).to_hex().as_str() }));
            }
            assert_eq!(hex(&raw), hex(&bytes(&case["raw"])), "{}", case["name"]);
            Ok(json!({}))
        }
        "packs" | "chains" => packs(case),
        "trees" => trees(case),
        _ => bodies(set, case),
    }
}

/// The bytes of a field: hexadecimal text or a generator.
fn bytes(field: &Value) -> Vec<u8> {
    match field {
        Value::String(text) => unhex(text).unwrap(),
        _ if field["xof"].is_string() => xof(text(&field["xof"]), number(&field["length"])),
        _ => {
            let unit = unhex(text(&field["repeat"])).unwrap();
            unit.into_iter().cycle().take(number(&field["length"])).collect()
        }
    }
}

fn text(field: &Value) -> &str {
    field.as_str().unwrap()
}

fn number(field: &Value) -> usize {
    usize::try_from(field.as_u64().unwrap()).unwrap()
}

fn array<const N: usize>(field: &Value) -> [u8; N] {
    bytes(field).try_into().unwrap()
}

fn keys(case: &Value) -> Result<Value, Refused> {
    match text(&case["op"]) {
        "subkeys" => {
            let table = gear_table(&MasterKey::from_bytes(array(&case["master_key"])));
            let shown: Vec<String> =
                [0, 1, 254, 255].iter().map(|at| format!("{:016x}", table[*at])).collect();
            Ok(json!({ "gear": shown }))
        }
        "chunk-id" => {
            let (ring, plain) = (ring(0), bytes(&case["plain"]));
            let id = if case["content"] == 0 { ring.data_id(&plain) } else { ring.tree_id(&plain) };
            Ok(json!({ "id": hex(&id.0) }))
        }
        "key-file" => {
            let stored = bytes(&case["file"]);
            let secret = match text(&case["form"]) {
                "raw" => Secret::Raw(Zeroizing::new(array(&case["secret"]))),
                _ => Secret::Password(Zeroizing::new(bytes(&case["secret"]))),
            };
            require_name(&stored, &case["id"])?;
            let file = KeyFile::decode(&stored)?;
            let (repository, master, label) = unwrap_key(&file, &secret)?;
            assert_eq!(hex(&file.encode()), hex(&stored));
            Ok(json!({
                "repository_id": hex(&repository.0),
                "master_key": hex(master.expose()),
                "label": label,
            }))
        }
        _ => {
            let (kind, secret) = sheet::decode(text(&case["text"]))?;
            if case["canonical"] == true {
                assert_eq!(sheet::encode(kind, &secret).as_str(), text(&case["text"]));
            }
            let kind = if kind == SheetKind::Raw { "raw" } else { "master" };
            Ok(json!({ "kind": kind, "secret": hex(&secret) }))
        }
    }
}

fn require_name(stored: &[u8], id: &Value) -> Result<(), Refused> {
    let same = id.is_null() || blake3::hash(stored).to_hex().as_str() == text(id);
    if same { Ok(()) } else { Err(Refused("hash")) }
}

fn xaes(case: &Value) -> Value {
    let key = XaesKey::new(&array(&case["key"]));
    let steps = key.derive(&array(&case["nonce"]));
    let sealed = [bytes(&case["nonce"]), bytes(&case["ciphertext"])].concat();
    let plain = key.open(&bytes(&case["aad"]), &sealed).unwrap();
    json!({
        "plain": hex(&plain),
        "steps": {
            "L": hex(&steps.l),
            "K1": hex(&steps.k1),
            "M1": hex(&steps.m1),
            "M2": hex(&steps.m2),
            "Kx": hex(&steps.kx),
            "Nx": hex(&steps.nx),
        },
    })
}

fn sealed(case: &Value) -> Result<Value, Refused> {
    let (kind, limit) = match text(&case["kind"]) {
        "config" => (Kind::Config, limits::CONFIG_PLAIN_MAX_BYTES),
        "lease" => (Kind::Lease, limits::LEASE_MAX_BYTES),
        _ => (Kind::Index, limits::INDEX_PLAIN_MAX_BYTES),
    };
    if case["op"] == "frame" {
        return Ok(json!({ "plain": hex(&frame::decode(&bytes(&case["frame"]), limit, "vector")?) }));
    }
    let object = bytes(&case["object"]);
    let inside = unwrap(kind, &object)?;
    require_name(&object, &case["id"])?;
    let framed = ring(0).open(&associated_data(kind, &REPOSITORY), inside)?;
    Ok(json!({ "plain": hex(&frame::decode(&framed, limit, "vector")?) }))
}

fn cut_points(case: &Value) -> Result<Value, Refused> {
    let parameters: Vec<u32> =
        case["parameters"].as_array().unwrap().iter().map(|n| u32::try_from(number(n)).unwrap()).collect();
    let ring = ring(0);
    let chunker = chunks::chunker(&ring, parameters.try_into().unwrap()).ok_or(Refused("format"))?;
    if case["op"] == "cut" {
        return Ok(chunks::cut_fields(&ring, &chunker, &bytes(&case["input"])));
    }
    let [count, step, modulus] = ["count", "step", "modulus"].map(|field| number(&case[field]));
    Ok(json!({ "digest": chunks::accumulate(&chunker, text(&case["seed"]), count, step, modulus) }))
}

fn lists(case: &Value) -> Result<Value, Refused> {
    if case["op"] == "ends" {
        return Ok(json!({ "ends": chunks::list_ends(text(&case["seed"]), number(&case["count"])) }));
    }
    let stored = bytes(&case["chunk"]);
    let chunk = ListChunk::decode(&stored)?;
    if case["root"] == true {
        chunk.require_root()?;
    }
    assert_eq!(chunk.encode()?, stored, "canonical");
    Ok(json!({ "level": chunk.level, "entries": describe::list(&chunk) }))
}

fn packs(case: &Value) -> Result<Value, Refused> {
    if case["op"] == "directory" {
        let body = bytes(&case["body"]);
        let directory = Directory::decode(&body)?;
        assert_eq!(directory.encode()?, body, "canonical");
        return Ok(json!({ "blocks": describe::directory(&directory) }));
    }
    let (ring, stored) = (ring(0), bytes(&case["stored"]));
    let pack = parse_pack(&ring, &PackId(array(&case["id"])), &stored)?;
    let (mut raw, mut at) = (Vec::new(), 16);
    for block in &pack.directory.blocks {
        let end = at + usize::try_from(block.stored_bytes).unwrap();
        let raw_bytes = usize::try_from(block.raw_bytes()).unwrap();
        raw.push(hex(&open_block(&BufferPool::new(0), &ring, &stored[at..end], raw_bytes, &[])?));
        at = end;
    }
    let blocks = describe::directory(&pack.directory);
    Ok(json!({ "content": pack.content.number(), "blocks": blocks, "raw": raw }))
}

fn trees(case: &Value) -> Result<Value, Refused> {
    if case["op"] == "ends" {
        let words: Vec<&str> = text(&case["nodes"]).split_whitespace().collect();
        let nodes: Vec<(String, usize)> =
            words.chunks(2).map(|node| (node[0].to_owned(), node[1].parse().unwrap())).collect();
        return Ok(json!({ "ends": make::trees::leaf_ends(&nodes) }));
    }
    let stored = bytes(&case["chunk"]);
    let chunk = TreeChunk::decode(&stored)?;
    if case["root"] == true {
        chunk.require_root()?;
    }
    if let TreeChunk::Leaf(nodes) = &chunk {
        let mut out = Writer::new();
        for node in nodes {
            node.encode(&mut out)?;
        }
        assert_eq!(out.finish(), stored[6..], "canonical");
    }
    let (level, entries) = describe::tree(&chunk);
    Ok(json!({ "level": level, "entries": entries }))
}

fn bodies(set: &str, case: &Value) -> Result<Value, Refused> {
    let body = bytes(&case["body"]);
    let (value, again) = match set {
        "config" => {
            let config = Config::decode(&body)?;
            require(config.repository == REPOSITORY, "repository")?;
            require(config.incompat.is_empty(), "feature")?;
            (describe::config(&config), config.encode()?)
        }
        "index" => {
            let packs = index::decode(&body)?;
            (describe::index(&packs), index::encode(&packs)?)
        }
        "snapshots" => {
            let snapshot = Snapshot::decode(&body)?;
            require(snapshot.repository == REPOSITORY, "repository")?;
            require(snapshot.features.is_empty(), "feature")?;
            (describe::snapshot(&snapshot), snapshot.encode()?)
        }
        "plans" => {
            let plan = Plan::decode(&body)?;
            (describe::plan(&plan), plan.encode()?)
        }
        "leases" => {
            let lease = Lease::decode(&body)?;
            (describe::lease(&lease), lease.encode()?)
        }
        _ => return Err(Refused("no such set")),
    };
    assert_eq!(again, body, "canonical");
    Ok(json!({ "value": value }))
}

/// What the repository room compares after decoding.
pub(super) fn require(holds: bool, code: &'static str) -> Result<(), Refused> {
    if holds { Ok(()) } else { Err(Refused(code)) }
}
