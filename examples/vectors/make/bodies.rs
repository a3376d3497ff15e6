//! Chapters 3.7, 8 and 10 to 12: bodies of config, index, snapshots, plans and leases.

use serde_json::{Value, json};
use snap::base::id::hex;
use snap::base::{ChunkId, PackId, SnapshotId, Time};
use snap::format::config::{ChunkerSet, Config, DEFAULT_CHUNKER_SETS, Feature, LeaseMode};
use snap::format::index::{self, IndexPack};
use snap::format::lease::Lease;
use snap::format::pack::Content;
use snap::format::plan::{Plan, PlanPack};
use snap::format::snapshot::{Snapshot, Source, SourceKind, Totals};

use super::data::xof;
use super::packs::directory;
use super::{Cases, REPOSITORY, TIME, cut, describe, flipped, longer, with};

/// Returns 32 bytes that follow from a word.
pub(crate) fn id(word: &str) -> [u8; 32] {
    let mut id = [0; 32];
    id.copy_from_slice(&xof(word, 32));
    id
}

/// Returns where `part` first stands in `bytes`.
pub(crate) fn places(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).expect("the bytes hold the part")
}

fn bodies(cases: &mut Cases, list: &[(&str, &str, &str, Vec<u8>)]) {
    for (name, comment, code, body) in list {
        cases.bad(name, comment, code, json!({ "body": hex(body) }));
    }
}

fn accepted(body: &[u8], value: Value) -> Value {
    json!({ "body": hex(body), "value": value })
}

/// Returns the config of the vectors, whose chunker sets are other than those of a repository made today.
pub(crate) fn default_config() -> Config {
    let mut chunker_sets = DEFAULT_CHUNKER_SETS.to_vec();
    let dump = &mut chunker_sets[1];
    (dump.min_bytes, dump.average_bytes, dump.max_bytes) = (4_096, 16_384, 65_536);
    Config {
        repository: REPOSITORY,
        created: TIME,
        lease_mode: LeaseMode::Conditional,
        pack_target_bytes: 64 << 20,
        chunker_sets,
        incompat: vec![],
        ro_compat: vec![],
        compat: vec![],
    }
}

/// The set `config`.
pub(crate) fn config() -> Cases {
    let mut cases = Cases::default();
    let plain = default_config();
    let feature = |name: &str| Feature {
        name: name.into(),
        message: format!("what {name} does"),
        minimum_version: "9.1".into(),
    };
    let mut rich = plain.clone();
    rich.lease_mode = LeaseMode::Listing;
    rich.pack_target_bytes = 4 << 20;
    rich.ro_compat = vec![feature("a"), feature("b")];
    rich.compat = vec![feature("hint")];
    let mut sets = plain.clone();
    sets.chunker_sets = vec![plain.chunker_sets[0], plain.chunker_sets[2]];
    sets.chunker_sets.push(ChunkerSet { class: 9, normalization: 3, ..plain.chunker_sets[1] });
    let mut one = plain.clone();
    one.chunker_sets.truncate(1);
    let named = [
        ("defaults", &plain),
        ("features that allow reading", &rich),
        ("sets of other classes", &sets),
        ("one set", &one),
    ];
    for (name, config) in named {
        let body = config.encode().expect("a good config");
        cases.good(name, accepted(&body, describe::config(config)));
    }
    let mut future = plain.clone();
    future.incompat = vec![feature("future")];
    let future = future.encode().expect("a good config");
    let good = plain.encode().expect("a good config");
    let rich = rich.encode().expect("a good config");
    let (mode, target, sets) = (28, 29, 35);
    let word = |value: u32| value.to_le_bytes();
    let b = places(&rich, b"\x01\x00b");
    // The sets from the second on, as the only ones.
    let others = [&good[..sets - 2], &[3, 0], &good[sets + 15..]].concat();
    let none = [&good[..sets - 2], &[0, 0], &good[sets + 60..]].concat();
    let narrow = [&[2], word(64).as_slice(), &word(128), &word(256)].concat();
    bodies(
        &mut cases,
        &[
            ("repository", "another repository's id", "repository", flipped(&good, 0)),
            ("unknown feature", "an incompat feature", "feature", future),
            ("lease mode", "mode 3", "number", with(&good, mode, &[3])),
            ("small packs", "one byte below 4 MiB", "value", with(&good, target, &word((4 << 20) - 1))),
            ("large packs", "one byte above 100 MiB", "value", with(&good, target, &word((100 << 20) + 1))),
            ("algorithm", "algorithm 2", "number", with(&good, sets + 1, &[2])),
            ("normalization above 3", "level 4", "value", with(&good, sets + 2, &[4])),
            ("normalization below the masks", "2^7 less 2", "value", with(&good, sets + 2, &narrow)),
            ("no set of class 0", "1, 2, 3", "value", others),
            ("no sets", "n is 0", "count", none),
            ("set count", "257 sets", "limit", with(&good, sets - 2, &257_u16.to_le_bytes())),
            ("set count above the bytes", "256 sets", "short", with(&good, sets - 2, &256_u16.to_le_bytes())),
            ("normalization", "no mask for 2^26", "value", with(&good, sets + 2, &[10])),
            ("min", "no power of two", "value", with(&good, sets + 3, &word(16_385))),
            ("min of 32", "below 64", "value", with(&good, sets + 3, &word(32))),
            ("avg", "equal to min", "value", with(&good, sets + 7, &word(16_384))),
            ("max", "2 MiB", "value", with(&good, sets + 11, &word(2 << 20))),
            ("class twice", "0, 0, 2, 3", "order", with(&good, sets + 15, &[0])),
            ("feature order", "a twice", "order", with(&rich, b + 2, b"a")),
            ("feature count", "65 features, none follow", "limit", with(&good, good.len() - 6, &[65])),
            ("cut", "one byte less", "short", cut(&good, 1)),
            ("trailing", "one byte more", "trailing", longer(&good)),
        ],
    );
    cases
}

/// The set `index`.
pub(crate) fn index() -> Cases {
    let mut cases = Cases::default();
    let made = directory();
    let body = made.encode().expect("a good directory");
    let directory_bytes = 40 + 5 + u32::try_from(body.len()).expect("a short body");
    let size_bytes = u32::try_from(made.blocks_end()).expect("a short pack") + directory_bytes + 12;
    let small = IndexPack {
        id: PackId([1; 32]),
        size_bytes: 134_217_728,
        directory_bytes: 99,
        content: Content::Tree,
        directory: None,
    };
    let large = IndexPack {
        id: PackId([2; 32]),
        size_bytes,
        directory_bytes,
        content: Content::Data,
        directory: Some(made),
    };
    let packs = [small, large];
    let good = index::encode(&packs).expect("a good index");
    cases.good("two packs", accepted(&good, describe::index(&packs)));
    let one = index::encode(&packs[..1]).expect("a good index");
    cases.good("one pack", accepted(&one, describe::index(&packs[..1])));
    let word = |value: u32| value.to_le_bytes();
    let second = 4 + 42;
    bodies(
        &mut cases,
        &[
            ("no packs", "n is 0", "count", vec![0; 4]),
            ("count above the bytes", "n is 65536", "short", with(&one, 0, &word(65_536))),
            ("count above the limit", "n is 65537", "limit", with(&one, 0, &word(65_537))),
            ("order", "the second id below the first", "order", with(&good, second, &[0])),
            ("twice", "the same id twice", "order", with(&good, second, &[1; 32])),
            ("size", "above PACK_SIZE_MAX_BYTES", "limit", with(&one, 36, &word(134_217_729))),
            ("least directory", "44 bytes", "value", with(&one, 40, &word(44))),
            (
                "directory above the pack",
                "27 bytes for all else",
                "mismatch",
                with(&one, 40, &word(134_217_728 - 27)),
            ),
            ("content", "content 2", "number", with(&one, 44, &[2])),
            ("copy", "2 in place of 0 or 1", "number", with(&one, 45, &[2])),
            (
                "directory does not fit",
                "the pack is a byte longer",
                "mismatch",
                with(&good, second + 32, &word(size_bytes + 1)),
            ),
            (
                "directory length",
                "longer than what follows",
                "short",
                with(&good, second + 42, &word(1 << 20)),
            ),
            (
                "directory above the limit",
                "64 MiB and a byte",
                "limit",
                with(&good, second + 42, &word((64 << 20) + 1)),
            ),
            ("cut", "one byte less", "short", cut(&one, 1)),
            ("trailing", "one byte more", "trailing", longer(&one)),
        ],
    );
    cases
}

/// Returns a snapshot with everything in it.
pub(crate) fn rich_snapshot() -> Snapshot {
    let path = |name: &[u8]| Source {
        kind: SourceKind::Path,
        name: name.to_vec(),
        class: 255,
        command: vec![],
        exit_status: 0,
        size_bytes: 123,
        digest: None,
    };
    let stream = |kind, name: &[u8], command: &[&[u8]]| Source {
        kind,
        name: name.to_vec(),
        class: 1,
        command: command.iter().map(|word| word.to_vec()).collect(),
        exit_status: -1,
        size_bytes: u64::MAX,
        digest: Some(id("digest")),
    };
    Snapshot {
        repository: REPOSITORY,
        time: TIME,
        began: Time { seconds: i64::MIN, nanoseconds: 0 },
        ended: Time { seconds: i64::MAX, nanoseconds: 999_999_999 },
        host: "h\u{f6}st".into(),
        user: "ann".into(),
        job: "nightly".into(),
        program: "snap 0.1.0".into(),
        tags: vec!["a".into(), "b".into(), "\u{e9}".into()],
        metadata: vec![("key".into(), "value".into()), ("key2".into(), String::new())],
        paths: vec![b"/etc".to_vec(), b"/srv/\xff".to_vec()],
        sources: vec![
            path(b"/srv/\xff"),
            path(b"/etc"),
            stream(SourceKind::Stdin, b"in", &[]),
            stream(SourceKind::Command, b"a/b.sql", &[b"pg_dump", b"", b"\xff"]),
        ],
        root: ChunkId(id("root")),
        parent: Some(SnapshotId(id("parent"))),
        original: Some(SnapshotId(id("original"))),
        totals: Totals {
            files: 1,
            directories: 2,
            others: 3,
            unchanged_files: 4,
            unread_sources: 5,
            read_bytes: 6,
            new_chunk_bytes: 7,
            stored_bytes: 8,
            content_bytes: u64::MAX,
        },
        features: vec![],
        seen: id("seen"),
    }
}

/// The set `snapshots`.
pub(crate) fn snapshots() -> Cases {
    let mut cases = Cases::default();
    let rich = rich_snapshot();
    let mut plain = rich.clone();
    (plain.tags, plain.metadata, plain.paths, plain.sources) = (vec![], vec![], vec![], vec![]);
    (plain.parent, plain.original, plain.job) = (None, None, String::new());
    for (name, snapshot) in [("rich", &rich), ("plain", &plain)] {
        let body = snapshot.encode().expect("a good snapshot");
        cases.good(name, accepted(&body, describe::snapshot(snapshot)));
    }
    let good = rich.encode().expect("a good snapshot");
    let mut future = rich.clone();
    future.features = vec!["transform-2".into()];
    let future = future.encode().expect("a good snapshot");
    let tag = places(&good, b"\x03\x00\x01\x00a");
    let stdin = places(&good, b"\x02\x00in");
    let digest = places(&good, &id("digest"));
    let option = digest - 1;
    let without_digest = [&good[..option], &[0], &good[option + 33..]].concat();
    bodies(
        &mut cases,
        &[
            ("repository", "another repository's id", "repository", flipped(&good, 0)),
            ("unknown feature", "transform-2", "feature", future),
            ("nanoseconds", "a whole second", "value", with(&good, 24, &1_000_000_000_u32.to_le_bytes())),
            ("host", "not UTF-8", "text", with(&good, places(&good, "h\u{f6}".as_bytes()) + 1, &[0xff])),
            ("tag order", "b, b", "order", with(&good, tag + 4, b"b")),
            ("tag count", "257 tags", "limit", with(&good, tag, &257_u16.to_le_bytes())),
            ("metadata order", "key3, key2", "order", {
                let key = places(&good, b"\x04\x00key2");
                let first = places(&good, b"\x03\x00key");
                let swapped = [&good[first..first + 12], &good[key..key + 8]];
                let pair = [swapped[1], swapped[0]].concat();
                with(&good, first, &pair)
            }),
            ("path order", "the same path twice", "order", {
                let path = places(&good, b"\x02\x00\x04\x00/etc");
                with(&good, path + 4, b"/srw")
            }),
            ("metadata count", "257 entries", "limit", {
                let count = places(&good, b"\x02\x00\x03\x00key");
                with(&good, count, &257_u16.to_le_bytes())
            }),
            ("path count", "4097 paths", "limit", {
                let count = places(&good, b"\x02\x00\x04\x00/etc");
                with(&good, count, &4_097_u16.to_le_bytes())
            }),
            ("word count", "a command of 4097 words", "limit", {
                let count = places(&good, b"\x03\x00\x07\x00pg_dump");
                with(&good, count, &4_097_u16.to_le_bytes())
            }),
            ("source class", "class 4", "number", with(&good, stdin + 4, &[4])),
            ("source class 254", "class 254", "number", with(&good, stdin + 4, &[254])),
            ("source kind", "kind 3", "number", with(&good, stdin - 1, &[3])),
            ("stream without digest", "a stdin source", "value", without_digest),
            ("path with digest", "a path source", "value", with(&good, stdin - 1, &[0])),
            ("digest option", "2 in place of 1", "number", with(&good, option, &[2])),
            ("source count", "4097 sources", "limit", {
                let count = places(&good, b"\x04\x00\x00\x06\x00/srv/\xff");
                with(&good, count, &4_097_u16.to_le_bytes())
            }),
            ("feature count", "65 features", "limit", with(&good, good.len() - 34, &65_u16.to_le_bytes())),
            ("cut", "one byte less", "short", cut(&good, 1)),
            ("trailing", "one byte more", "trailing", longer(&good)),
        ],
    );
    cases
}

/// The set `plans`.
pub(crate) fn plans() -> Cases {
    let mut cases = Cases::default();
    let pack = |byte, size_bytes| PlanPack { id: PackId([byte; 32]), size_bytes };
    let plan =
        Plan { created: TIME, grace_seconds: 86_400, host: "h".into(), packs: vec![pack(1, 9), pack(2, 8)] };
    let good = plan.encode().expect("a good plan");
    cases.good("two packs", accepted(&good, describe::plan(&plan)));
    let count = 12 + 8 + 3;
    bodies(
        &mut cases,
        &[
            ("no packs", "n is 0", "count", with(&good[..count + 4], count, &[0])),
            ("order", "descending", "order", with(&good, count + 4, &[3])),
            ("twice", "the same pack", "order", with(&good, count + 4, &[2; 32])),
            ("count", "three, two follow", "short", with(&good, count, &[3])),
            (
                "count above the limit",
                "1048577 packs",
                "limit",
                with(&good, count, &1_048_577_u32.to_le_bytes()),
            ),
            ("host", "NUL", "text", with(&good, count - 1, &[0])),
            ("nanoseconds", "a whole second", "value", with(&good, 8, &1_000_000_000_u32.to_le_bytes())),
            ("cut", "one byte less", "short", cut(&good, 1)),
            ("trailing", "one byte more", "trailing", longer(&good)),
        ],
    );
    cases
}

/// The set `leases`.
pub(crate) fn leases() -> Cases {
    let mut cases = Cases::default();
    let held = Lease {
        owner: [7; 16],
        host: "h".into(),
        pid: 4_294_967_295,
        command: "prune".into(),
        started: TIME,
        ttl_seconds: 300,
        sequence: u64::MAX,
    };
    let free = Lease { ttl_seconds: 0, sequence: 2, ..held.clone() };
    for (name, lease) in [("held", &held), ("free", &free)] {
        let body = lease.encode().expect("a good lease");
        cases.good(name, accepted(&body, describe::lease(lease)));
    }
    let good = held.encode().expect("a good lease");
    bodies(
        &mut cases,
        &[
            ("host", "not UTF-8", "text", with(&good, 18, &[0xff])),
            ("command", "longer than what follows", "short", with(&good, 24, &[255])),
            ("cut", "one byte less", "short", cut(&good, 1)),
            ("trailing", "one byte more", "trailing", longer(&good)),
            ("nothing", "no bytes", "short", vec![]),
        ],
    );
    cases
}
