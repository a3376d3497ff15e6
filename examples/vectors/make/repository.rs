//! A whole tiny repository, `repos/v1-min/`: its objects, what is in it, and how damage to it is answered.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use snap::base::clock::SeededEntropy;
use snap::base::id::hex;
use snap::base::{ChunkId, PackId};
use snap::crypto::KeyRing;
use snap::format::index::{self, IndexPack};
use snap::format::keyfile::Kdf;
use snap::format::list::{ListChunk, ListEntry, ends_after};
use snap::format::node::{ChunkRef, FileContent, Node, NodeKind};
use snap::format::pack::{BaseName, Content, DirectoryChunk};
use snap::format::sheet::{self, SheetKind};
use snap::format::snapshot::{Snapshot, Source, SourceKind, Totals};
use snap::format::{Kind, frame};

use super::blocks::{Shape, code};
use super::bodies::{default_config, rich_snapshot};
use super::data::xof;
use super::packs::{Packed, pack};
use super::sealing::wrap_key;
use super::trees::{file, leaf, node};
use super::{MASTER, REPOSITORY, describe, ring, seal_frame, text};

const PASSWORD: &[u8] = b"vectors";

/// Everything that is being put together.
struct Work {
    ring: KeyRing,
    data: Vec<Packed>,
    trees: Vec<Packed>,
    contents: BTreeMap<Vec<u8>, Vec<u8>>,
    objects: BTreeMap<String, Vec<u8>>,
}

fn short(length: usize) -> u32 {
    u32::try_from(length).expect("a short length")
}

fn blake3_hex(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

impl Work {
    /// Adds one block of data chunks; bases are chunks that were added before.
    fn block(&mut self, shape: Shape, chunks: &[&[u8]], bases: &[&[u8]]) -> Vec<ChunkRef> {
        let coded = code(shape, &chunks.concat(), &bases.concat());
        let ids: Vec<ChunkRef> = chunks
            .iter()
            .map(|chunk| ChunkRef { id: self.ring.data_id(chunk), length_bytes: short(chunk.len()) })
            .collect();
        let depth_of = |base: &&[u8]| {
            let id = self.ring.data_id(base);
            let block = self.data.iter().find(|block| block.chunks.iter().any(|chunk| chunk.id == id));
            block.expect("a base that is stored").depth + 1
        };
        let chunks = ids
            .iter()
            .map(|chunk| DirectoryChunk { id: chunk.id, length_bytes: chunk.length_bytes })
            .collect();
        let depth = bases.iter().map(depth_of).max().unwrap_or(0);
        let bases = bases.iter().map(|base| BaseName::of(&self.ring.data_id(base))).collect();
        self.data.push(Packed { coded, depth, bases, chunks });
        ids
    }

    /// Adds one tree or list chunk in a block of its own.
    fn tree(&mut self, plain: &[u8]) -> ChunkId {
        let id = self.ring.tree_id(plain);
        let chunks = vec![DirectoryChunk { id, length_bytes: short(plain.len()) }];
        let coded = code(Shape::identity(1, 0), plain, b"");
        self.trees.push(Packed { coded, depth: 0, bases: vec![], chunks });
        id
    }

    /// Adds the hash tree of a long sequence; returns its root and height.
    fn list(&mut self, chunks: &[ChunkRef]) -> (ChunkId, u8) {
        let entry = |chunk: &ChunkRef| ListEntry { id: chunk.id, content_bytes: chunk.length_bytes.into() };
        let mut entries: Vec<ListEntry> = chunks.iter().map(entry).collect();
        let mut level = 0;
        loop {
            let (mut parents, mut open) = (Vec::new(), Vec::new());
            let last = entries.len();
            for (at, entry) in entries.into_iter().enumerate() {
                open.push(entry);
                if ends_after(&entry.id, open.len()) || at + 1 == last {
                    let chunk = ListChunk { level, entries: std::mem::take(&mut open) };
                    let id = self.tree(&chunk.encode().expect("a good list"));
                    parents.push(ListEntry { id, content_bytes: chunk.content_bytes() });
                }
            }
            match parents.as_slice() {
                [root] => return (root.id, level),
                _ => (entries, level) = (parents, level + 1),
            }
        }
    }

    /// Stores an object under its hash.
    fn put(&mut self, folder: &str, stored: Vec<u8>) -> String {
        let id = blake3_hex(&stored);
        self.objects.insert(format!("{folder}/{id}"), stored);
        id
    }

    /// Stores a pack; returns its entry of an index.
    fn put_pack(&mut self, content: Content, copy: bool) -> IndexPack {
        let blocks = if content == Content::Data { &self.data } else { &self.trees };
        let (stored, directory, directory_bytes) = pack(&self.ring, content, blocks);
        let size_bytes = short(stored.len());
        let id = PackId(*blake3::hash(&stored).as_bytes());
        self.put(&format!("packs/{}", &hex(&id.0)[..2]), stored);
        IndexPack { id, size_bytes, directory_bytes, content, directory: copy.then_some(directory) }
    }

    /// Seals a body and stores it under its hash.
    fn put_sealed(&mut self, folder: &str, kind: Kind, body: &[u8]) -> String {
        let made = frame::encode(body, 1 << 20, "body").expect("a short body");
        let stored = seal_frame(&self.ring, kind, &made);
        self.put(folder, stored)
    }
}

/// The files of the root and of `/dir`; contents go to `work.contents`.
fn nodes(work: &mut Work) -> (Vec<Node>, Vec<Node>) {
    let first: Vec<u8> = b"INSERT INTO t VALUES (1, 'alpha');\n".repeat(20);
    let second: Vec<u8> = b"INSERT INTO t VALUES (2, 'beta');\n".repeat(15);
    let later = [&first[..400], b"UPDATE t SET v = 'gamma';\n", &second[200..]].concat();
    let weights = xof("weights", 1_001);
    let tuned: Vec<u8> =
        weights.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at % 5 == 0)).chain([1, 2, 3]).collect();
    let pieces: Vec<Vec<u8>> = (0..40).map(|at| xof(&format!("piece {at}"), 30 + at)).collect();
    let stream = b"-- dump\n".repeat(4);

    let a = work.block(Shape::identity(1, 0), &[&first, &second], &[]);
    let b = work.block(Shape::identity(1, 1), &[&later], &[&first, &second]);
    let w = work.block(Shape::planes(2, 1, 0, 1, 0), &[&weights], &[]);
    let t = work.block(Shape::planes(2, 1, 1, 1, 2), &[&tuned], &[&weights]);
    let parts: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let p = work.block(Shape::identity(0, 0), &parts, &[]);
    let s = work.block(Shape::identity(2, 0), &[&[0; 5_000]], &[]);
    let d = work.block(Shape::identity(0, 0), &[&stream], &[]);

    let order: Vec<usize> = (0..5_000).map(|at| at * at % 40).collect();
    let long: Vec<ChunkRef> = order.iter().map(|at| p[*at]).collect();
    let (root, level) = work.list(&long);
    let big: Vec<u8> = order.iter().flat_map(|at| pieces[*at].iter().copied()).collect();
    let content = FileContent::List { root, level, chunk_count: 5_000 };
    let size_bytes = u64::from(short(big.len()));
    let big_node = node(b"big", NodeKind::File { size_bytes, class: 1, content });

    let mut linked = file(b"a.sql", a);
    linked.link_device = Some(2049);
    linked.xattrs = vec![(b"user.note".to_vec(), b"kept".to_vec())];
    let mut other_name = linked.clone();
    other_name.name = b"also a.sql".to_vec();
    let mut sparse = file(b"sparse", s);
    sparse.sparse = true;

    let all = [first, second].concat();
    let contents: [(&str, &[u8]); 10] = [
        ("/a.sql", &all),
        ("/big", &big),
        ("/dir/also a.sql", &all),
        ("/dir/b.sql", &later),
        ("/empty", b""),
        ("/sparse", &[0; 5_000]),
        ("/stream.sql", &stream),
        ("/tuned.bin", &tuned),
        ("/weights.bin", &weights),
        ("/dir/\u{e9}", b""),
    ];
    work.contents = contents.iter().map(|(path, plain)| (path.as_bytes().to_vec(), plain.to_vec())).collect();
    let inside = vec![other_name, file(b"b.sql", b), file("\u{e9}".as_bytes(), vec![])];
    let top = vec![
        linked,
        big_node,
        file(b"empty", vec![]),
        node(b"fifo", NodeKind::Fifo),
        node(b"link", NodeKind::Symlink { target: b"dir/b.sql".to_vec() }),
        sparse,
        file(b"stream.sql", d),
        file(b"tuned.bin", t),
        file(b"weights.bin", w),
    ];
    (top, inside)
}

fn line(work: &Work, folder: &str, entry: &Node) -> Value {
    let path = [folder.as_bytes(), b"/", &entry.name].concat();
    let told = describe::node(entry);
    let mut line = json!({
        "path": hex(&path),
        "type": told["type"],
        "mode": entry.mode,
        "mtime": describe::time(entry.mtime),
        "xattrs": told["xattrs"],
        "link": entry.link_device.map(|device| json!([device, entry.inode])),
    });
    match &entry.kind {
        NodeKind::File { size_bytes, .. } => {
            line["size"] = json!(size_bytes);
            line["blake3"] = json!(blake3_hex(&work.contents[&path]));
        }
        NodeKind::Symlink { target } => line["target"] = json!(hex(target)),
        _ => {}
    }
    line
}

fn snapshot(root: ChunkId, stream: &[u8]) -> Snapshot {
    let source = |kind, name: &[u8], digest| Source {
        kind,
        name: name.to_vec(),
        class: 255,
        command: vec![],
        exit_status: 0,
        size_bytes: 0,
        digest,
    };
    Snapshot {
        paths: vec![b"/".to_vec()],
        sources: vec![
            source(SourceKind::Path, b"/", None),
            source(SourceKind::Stdin, b"stream.sql", Some(*blake3::hash(stream).as_bytes())),
        ],
        root,
        parent: None,
        original: None,
        totals: Totals { files: 10, directories: 1, others: 2, ..Totals::default() },
        seen: *blake3::hash(b"").as_bytes(),
        ..rich_snapshot()
    }
}

/// Returns the files of `repos/v1-min/`.
pub(crate) fn files() -> Vec<(String, Vec<u8>)> {
    let mut work = Work {
        ring: ring(6),
        data: vec![],
        trees: vec![],
        contents: BTreeMap::new(),
        objects: BTreeMap::new(),
    };
    let (mut top, inside) = nodes(&mut work);
    let folder = work.tree(&leaf(&inside));
    let mut folder = node(b"dir", NodeKind::Directory { tree: folder });
    folder.mode = 0o755;
    top.insert(2, folder);
    let root = work.tree(&leaf(&top));

    let data = work.put_pack(Content::Data, true);
    let trees = work.put_pack(Content::Tree, false);
    let mut packs = [data, trees];
    packs.sort_by_key(|pack| pack.id);
    let body = index::encode(&packs).expect("a good index");
    work.put_sealed("index", Kind::Index, &body);
    let body = snapshot(root, &work.contents[b"/stream.sql".as_slice()]).encode().expect("a good snapshot");
    let snapshot_id = work.put_sealed("snapshots", Kind::Snapshot, &body);
    let body = default_config().encode().expect("a good config");
    let made = frame::encode(&body, 1 << 16, "config").expect("a short config");
    let stored = seal_frame(&work.ring, Kind::Config, &made);
    work.objects.insert("config/00000001".into(), stored);
    let entropy = SeededEntropy::new(7);
    let raw = xof("raw secret", 32);
    let raw_key = work.put("keys", wrap_key(Kdf::Raw, &raw, "server", &entropy));
    work.put(
        "keys",
        wrap_key(Kdf::Argon2id { memory_kib: 8_192, passes: 1, lanes: 2 }, PASSWORD, "ann", &entropy),
    );

    let mut lines = Vec::new();
    for entry in &top {
        lines.push(line(&work, "", entry));
        if entry.is_directory() {
            lines.extend(inside.iter().map(|entry| line(&work, "/dir", entry)));
        }
    }
    let master = [REPOSITORY.0.as_slice(), &MASTER].concat();
    let expected = json!({
        "secrets": [
            { "text": sheet::encode(SheetKind::Raw, &raw).as_str() },
            { "text": sheet::encode(SheetKind::Master, &master).as_str() },
            { "password": hex(PASSWORD) },
        ],
        "snapshots": { snapshot_id: lines },
        "damage": damage(&work, &packs, &format!("keys/{raw_key}")),
    });
    let below = |(name, stored): (String, Vec<u8>)| (format!("repos/v1-min/repository/{name}"), stored);
    let mut files: Vec<(String, Vec<u8>)> = work.objects.into_iter().map(below).collect();
    files.push(("repos/v1-min/expected.json".into(), text(&expected)));
    files
}

/// Damaged twins: one change to one object each, and the code of the first refusal.
fn damage(work: &Work, packs: &[IndexPack], raw_key: &str) -> Vec<Value> {
    let mut list = Vec::new();
    let mut add = |comment: &str, object: &str, expect: &str, change: Value| {
        let mut case = json!({ "object": object, "expect": expect, "comment": comment });
        for (field, value) in change.as_object().into_iter().flatten() {
            case[field] = value.clone();
        }
        list.push(case);
    };
    let xor = |offset: usize| json!({ "op": "xor", "offset": offset, "xor": 1 });
    let cut = |length: usize| json!({ "op": "cut", "length": length });
    let removed = json!({ "op": "remove" });
    let named = |folder: &str| {
        let found = work.objects.keys().find(|name| name.starts_with(folder));
        found.expect("an object of every kind").as_str()
    };
    let size = |name: &str| work.objects[name].len();
    let config = named("config/");
    add("config: magic", config, "magic", xor(0));
    add("config: nonce", config, "open", xor(12));
    add("config: tag", config, "open", xor(size(config) - 1));
    add("config: cut", config, "open", cut(size(config) - 1));
    add("config: removed", config, "missing", removed.clone());
    add("key file: salt", raw_key, "hash", xor(24));
    add("key file: tag", raw_key, "hash", xor(size(raw_key) - 1));
    add("key file: removed", raw_key, "wrong-key", removed.clone());
    for folder in ["index/", "snapshots/"] {
        let name = named(folder);
        add(&format!("{folder} magic"), name, "magic", xor(7));
        add(&format!("{folder} ciphertext"), name, "hash", xor(50));
        add(&format!("{folder} cut"), name, "hash", cut(size(name) - 1));
    }
    add("index: removed", named("index/"), "missing", removed.clone());
    for pack in packs {
        let id = hex(&pack.id.0);
        let name = format!("packs/{}/{id}", &id[..2]);
        let data = pack.content == Content::Data;
        let word = if data { "data pack" } else { "tree pack" };
        // The index has a copy of the data pack's directory; the tree pack is read when the index is.
        let directory = if data { "hash" } else { "open" };
        add(&format!("{word}: magic"), &name, "magic", xor(0));
        add(&format!("{word}: first block"), &name, "hash", xor(16));
        add(&format!("{word}: directory"), &name, directory, xor(size(&name) - 20));
        add(&format!("{word}: removed"), &name, "missing", removed.clone());
        if !data {
            add("tree pack: cut", &name, "mismatch", cut(size(&name) - 1));
        }
    }
    list
}
