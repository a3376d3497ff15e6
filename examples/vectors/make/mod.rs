//! Makes every vector from fixed keys and seeded nonces. `format-spec/vectors/README.md` explains the fields.
//!
//! Coded blocks are put together here by the words of the chapter, not by the codec room that the vectors
//! check.

pub(crate) mod blocks;
pub(crate) mod bodies;
pub(crate) mod chunks;
pub(crate) mod data;
pub(crate) mod describe;
pub(crate) mod packs;
pub(crate) mod rans;
pub(crate) mod repository;
pub(crate) mod sealing;
pub(crate) mod transforms;
pub(crate) mod trees;

use std::sync::Arc;

use serde_json::{Map, Value, json};
use snap::base::clock::SeededEntropy;
use snap::base::id::hex;
use snap::base::{RepositoryId, Time};
use snap::crypto::{KeyRing, MasterKey};
use snap::format::Kind;
use snap::format::sealed::{associated_data, wrap};

/// Where the vectors are, below the root of the package.
pub(crate) const FOLDER: &str = "format-spec/vectors";

/// The master key of all vectors.
pub(crate) const MASTER: [u8; 32] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
    29, 30, 31,
];

/// The repository id of all vectors.
pub(crate) const REPOSITORY: RepositoryId = RepositoryId([
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
]);

/// The time in all vectors.
pub(crate) const TIME: Time = Time { seconds: 1_767_225_600, nanoseconds: 123_456_789 };

/// Names of the sets, in the order in which they are checked.
pub(crate) const SETS: [&str; 16] = [
    "keys",
    "xaes",
    "sealed",
    "chunks",
    "lists",
    "blocks",
    "packs",
    "trees",
    "config",
    "index",
    "snapshots",
    "plans",
    "leases",
    "transforms",
    "chains",
    "rans",
];

/// Cases of older sets that refuse what became allowed: set, name, and the case of a later set that
/// allows it.
pub(crate) const SUPERSEDED: [(&str, &str, &str); 4] = [
    ("blocks", "long based block", "based block of 262145"),
    ("blocks", "long base", "base of 1048577"),
    ("packs", "directory: long raw with bases", "based block of 262145"),
    ("packs", "directory: depth 9", "directory: depth 32"),
];

/// Returns the keys of all vectors, with nonces from `seed`.
pub(crate) fn ring(seed: u64) -> KeyRing {
    KeyRing::new(REPOSITORY, &MasterKey::from_bytes(MASTER), Arc::new(SeededEntropy::new(seed)))
}

/// Returns `frame` as a stored object of `kind`.
pub(crate) fn seal_frame(ring: &KeyRing, kind: Kind, frame: &[u8]) -> Vec<u8> {
    wrap(kind, &ring.seal(&associated_data(kind, &ring.repository()), frame))
}

/// The cases of one set.
#[derive(Debug, Default)]
pub(crate) struct Cases(Vec<Value>);

impl Cases {
    /// Adds a case; `expect` is `ok` or the code of the refusal.
    pub(crate) fn add(&mut self, name: &str, comment: &str, expect: &str, fields: Value) {
        let mut case = Map::new();
        case.insert("name".into(), json!(name));
        case.insert("comment".into(), json!(comment));
        case.insert("expect".into(), json!(expect));
        if let Value::Object(fields) = fields {
            case.extend(fields);
        }
        self.0.push(Value::Object(case));
    }

    /// Adds a case that is accepted.
    pub(crate) fn good(&mut self, name: &str, fields: Value) {
        self.add(name, "", "ok", fields);
    }

    /// Adds a case that is refused with `code`.
    pub(crate) fn bad(&mut self, name: &str, comment: &str, code: &str, fields: Value) {
        self.add(name, comment, code, fields);
    }

    /// Returns the cases.
    pub(crate) fn values(&self) -> &[Value] {
        &self.0
    }
}

/// Returns the cases of a set.
pub(crate) fn set(name: &str) -> Cases {
    match name {
        "keys" => sealing::keys(),
        "xaes" => sealing::xaes(),
        "sealed" => sealing::sealed(),
        "chunks" => chunks::chunks(),
        "lists" => chunks::lists(),
        "blocks" => blocks::blocks(),
        "packs" => packs::packs(),
        "trees" => trees::trees(),
        "config" => bodies::config(),
        "index" => bodies::index(),
        "snapshots" => bodies::snapshots(),
        "plans" => bodies::plans(),
        "leases" => bodies::leases(),
        "transforms" => transforms::transforms(),
        "chains" => packs::chains(),
        "rans" => rans::rans(),
        _ => Cases::default(),
    }
}

/// Returns every file of the folder but the README: its name below the folder and its bytes.
pub(crate) fn all() -> Vec<(String, Vec<u8>)> {
    let manifest = json!({
        "master_key": hex(&MASTER),
        "repository_id": hex(&REPOSITORY.0),
        "sets": SETS,
        "repositories": ["v1-min"],
    });
    let mut files = vec![("manifest.json".to_owned(), text(&manifest))];
    for name in SETS {
        let set = json!({ "set": name, "cases": set(name).values() });
        files.push((format!("{name}.json"), text(&set)));
    }
    let superseded: Vec<Value> =
        SUPERSEDED.iter().map(|(set, name, now)| json!({ "set": set, "name": name, "now": now })).collect();
    files.push(("superseded.json".to_owned(), text(&json!({ "cases": superseded }))));
    files.extend(repository::files());
    files
}

/// Returns JSON as it is stored: indented, ended by a line feed.
pub(crate) fn text(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// Returns `bytes` with `new` in place of what stands at `offset`.
pub(crate) fn with(bytes: &[u8], offset: usize, new: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[offset..offset + new.len()].copy_from_slice(new);
    changed
}

/// Returns `bytes` with one bit changed at `offset`.
pub(crate) fn flipped(bytes: &[u8], offset: usize) -> Vec<u8> {
    with(bytes, offset, &[bytes[offset] ^ 1])
}

/// Returns `bytes` without the last `count`.
pub(crate) fn cut(bytes: &[u8], count: usize) -> Vec<u8> {
    bytes[..bytes.len() - count].to_vec()
}

/// Returns `bytes` and one more.
pub(crate) fn longer(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0]].concat()
}
