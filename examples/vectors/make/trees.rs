//! Chapter 9: tree chunks and nodes.

use serde_json::json;
use snap::base::id::hex;
use snap::base::{ChunkId, Time};
use snap::format::node::{ChunkRef, FileContent, Node, NodeKind};
use snap::format::tree::{LeafWriter, TreeChunk, encode_inner};

use super::bodies::{id, places};
use super::{Cases, TIME, cut, describe, longer, with};

/// Returns a file node with little in it.
pub(crate) fn file(name: &[u8], chunks: Vec<ChunkRef>) -> Node {
    let size_bytes = chunks.iter().map(|chunk| u64::from(chunk.length_bytes)).sum();
    node(name, NodeKind::File { size_bytes, class: 0, content: FileContent::Inline(chunks) })
}

/// Returns a node with little in it.
pub(crate) fn node(name: &[u8], kind: NodeKind) -> Node {
    Node {
        name: name.to_vec(),
        kind,
        changed: false,
        sparse: false,
        mode: 0o644,
        uid: 1000,
        gid: 100,
        user: "ann".into(),
        group: "users".into(),
        mtime: TIME,
        ctime: Time { seconds: -1, nanoseconds: 0 },
        inode: 42,
        link_device: None,
        xattrs: vec![],
    }
}

/// Returns the only leaf of a directory.
pub(crate) fn leaf(nodes: &[Node]) -> Vec<u8> {
    let mut writer = LeafWriter::new();
    for node in nodes {
        assert_eq!(writer.push(node).expect("a good node"), None);
    }
    writer.finish().expect("a short leaf").expect("one leaf")
}

fn every_kind() -> Vec<Node> {
    let chunk = |word: &str, length_bytes| ChunkRef { id: ChunkId(id(word)), length_bytes };
    let mut nodes = vec![
        node(b"\x01\xff not text", NodeKind::Fifo),
        file(b"empty", vec![]),
        file(b"file", vec![chunk("1", 5), chunk("2", 1 << 20)]),
        node(
            b"list",
            NodeKind::File {
                size_bytes: 1 << 40,
                class: 2,
                content: FileContent::List { root: ChunkId(id("list")), level: 3, chunk_count: 1 << 22 },
            },
        ),
        node(b"sub", NodeKind::Directory { tree: ChunkId(id("sub")) }),
        node(b"symlink", NodeKind::Symlink { target: b"../\xfe".to_vec() }),
        node(b"tty", NodeKind::CharDevice { major: 4, minor: 64 }),
        node(b"vda", NodeKind::BlockDevice { major: 254, minor: 0 }),
        node(b"x.sock", NodeKind::Socket),
    ];
    nodes[2].link_device = Some(2049);
    nodes[2].xattrs = vec![(b"user.a".to_vec(), vec![]), (b"user.b".to_vec(), vec![0, 255])];
    nodes[3].changed = true;
    nodes[3].sparse = true;
    nodes[4].mode = 0o7777;
    nodes
}

/// The set `trees`.
pub(crate) fn trees() -> Cases {
    let mut cases = Cases::default();
    let fields = |chunk: &[u8]| json!({ "op": "decode", "chunk": hex(chunk) });
    let inner = encode_inner(8, &[ChunkId(id("x")), ChunkId(id("x"))]).expect("a good chunk");
    let all = leaf(&every_kind());
    let longest = leaf(&[file(&[b'n'; 4096], vec![])]);
    let good = [("every kind", all), ("empty", leaf(&[])), ("inner", inner), ("longest name", longest)];
    for (name, chunk) in good {
        accept_tree(&mut cases, name, &chunk);
    }
    bad_names(&mut cases);
    bad_nodes(&mut cases);
    let one = leaf(&[file(b"a", vec![])]);
    let inner = encode_inner(1, &[ChunkId(id("x"))]).expect("a good chunk");
    let bad: [(&str, &str, &str, Vec<u8>); 9] = [
        ("tag", "a list's tag", "magic", with(&one, 0, &[0x4c])),
        ("level 9", "above TREE_LEVEL_MAX", "limit", with(&inner, 1, &[9])),
        ("no children", "n is 0 at level 1", "count", vec![0x54, 1, 0, 0, 0, 0]),
        ("count above the nodes", "n is 2, one node", "short", with(&one, 2, &[2])),
        ("count below the nodes", "n is 0, one node", "trailing", with(&one, 2, &[0])),
        ("count above the bytes", "n is 65536", "short", with(&one, 2, &[0, 0, 1, 0])),
        ("count above the limit", "n is 65537", "limit", with(&one, 2, &[1, 0, 1, 0])),
        ("cut", "one byte less", "short", cut(&one, 1)),
        ("trailing", "one byte more", "trailing", longer(&one)),
    ];
    for (name, comment, code, chunk) in bad {
        cases.bad(name, comment, code, fields(&chunk));
    }
    cases
}

fn accept_tree(cases: &mut Cases, name: &str, chunk: &[u8]) {
    let (level, entries) = describe::tree(&TreeChunk::decode(chunk).expect("a good chunk"));
    let fields = json!({ "op": "decode", "chunk": hex(chunk), "level": level, "entries": entries });
    cases.good(name, fields);
}

fn bad_names(cases: &mut Cases) {
    // Every name is written in place of a good one of the same length.
    let renamed = |name: &[u8]| with(&leaf(&[file(&vec![b'q'; name.len()], vec![])]), 8, name);
    let one = |name: &[u8]| leaf(&[file(name, vec![])])[6..].to_vec();
    let several = |names: &[&[u8]]| {
        let nodes: Vec<u8> = names.iter().flat_map(|name| one(name)).collect();
        [&[0x54, 0, u8::try_from(names.len()).expect("few names"), 0, 0, 0], nodes.as_slice()].concat()
    };
    let node = one(b"q");
    let empty = [&[0x54, 0, 1, 0, 0, 0, 0, 0], &node[3..]].concat();
    let long = [&[0x54, 0, 1, 0, 0, 0, 1, 16], vec![b'n'; 4097].as_slice(), &node[3..]].concat();
    let list: [(&str, &str, &str, Vec<u8>); 12] = [
        ("name: empty", "no bytes", "name", empty),
        ("name: .", "the directory itself", "name", renamed(b".")),
        ("name: ..", "the directory above", "name", renamed(b"..")),
        ("name: /", "a separator", "name", renamed(b"/")),
        ("name: ../x", "a way out", "name", renamed(b"../x")),
        ("name: a/b", "a separator inside", "name", renamed(b"a/b")),
        ("name: NUL", "a NUL inside", "name", renamed(b"a\0b")),
        ("name: 4097 bytes", "above NAME_MAX_BYTES", "name", long),
        ("names: twice", "the same name twice", "order", several(&[b"a", b"a"])),
        ("names: descending", "b before a", "order", several(&[b"b", b"a"])),
        ("names: shorter after longer", "aa before a", "order", several(&[b"aa", b"a"])),
        ("names: signed", "bytes are compared unsigned", "order", several(&[b"\xff", b"a"])),
    ];
    for (name, comment, code, chunk) in list {
        cases.bad(name, comment, code, json!({ "op": "decode", "chunk": hex(&chunk) }));
    }
    accept_tree(cases, "names: unsigned", &several(&[b"a", b"aa", b"b", b"\xff"]));
    accept_tree(cases, "names of dots", &several(&[b"...", b"..a", b".a", b"\\"]));
}

fn bad_nodes(cases: &mut Cases) {
    let mut plain = file(b"a", vec![ChunkRef { id: ChunkId(id("1")), length_bytes: 7 }]);
    plain.xattrs = vec![(b"user.a".to_vec(), vec![1]), (b"user.b".to_vec(), vec![2])];
    let good = leaf(&[plain]);
    // The name takes 3 bytes; then type, flags, mode, uid, gid, texts of 2 + 3 and 2 + 5 bytes, mtime, ctime, inode.
    let (kind, flags, mode, user, mtime) = (9, 10, 11, 25, 35);
    let link = mtime + 12 + 12 + 8;
    let content = good.len() - (8 + 1 + 1 + 1 + 32 + 4);
    let link_good = leaf(&[node(b"a", NodeKind::Symlink { target: b"t".to_vec() })]);
    let mut long = link_good[..link_good.len() - 3].to_vec();
    long.extend_from_slice(&4_097_u16.to_le_bytes());
    long.extend_from_slice(&[b't'; 4097]);
    let xattr = places(&good, b"user.b");
    let mut huge = good[..xattr + 6].to_vec();
    huge.extend_from_slice(&65_537_u32.to_le_bytes());
    let list = leaf(&every_kind()[3..4]);
    let directory = leaf(&every_kind()[4..5]);
    let folder_link = directory.len() - 35;
    let linked =
        [&directory[..folder_link], &[1], &7_u64.to_le_bytes(), &directory[folder_link + 1..]].concat();
    let cases_: [(&str, &str, &str, Vec<u8>); 19] = [
        ("type", "type 7", "number", with(&good, kind, &[7])),
        ("flags", "bit 2", "reserved", with(&good, flags, &[4])),
        ("mode", "a file type in the mode", "value", with(&good, mode, &0o100_644_u32.to_le_bytes())),
        ("user", "not UTF-8", "text", with(&good, user, &[0xff])),
        ("user with NUL", "NUL", "text", with(&good, user, &[0])),
        ("nanoseconds", "a whole second", "value", with(&good, mtime + 8, &1_000_000_000_u32.to_le_bytes())),
        ("option", "2 in place of 0 or 1", "number", with(&good, link, &[2])),
        ("linked directory", "a hard-link group", "value", linked),
        ("attribute order", "c before b", "order", with(&good, places(&good, b"user.a") + 5, b"c")),
        ("attribute twice", "the same name twice", "order", with(&good, places(&good, b"user.a") + 5, b"b")),
        ("attribute length", "above XATTR_TOTAL_MAX_BYTES", "limit", huge),
        ("size", "8 for 7 bytes of chunks", "mismatch", with(&good, content, &[8])),
        ("form", "form 2", "number", with(&good, content + 9, &[2])),
        ("inline count", "17 chunks", "limit", with(&good, content + 10, &[17])),
        ("inline length", "an empty chunk", "value", with(&good, content + 43, &[0])),
        ("short list", "16 chunks belong into the node", "value", {
            with(&list, list.len() - 8, &16_u64.to_le_bytes())
        }),
        ("list level", "level 9", "limit", with(&list, list.len() - 9, &[9])),
        ("link target", "4097 bytes", "limit", long),
        ("node cut", "the last byte of the last node", "short", cut(&good, 1)),
    ];
    for (name, comment, code, chunk) in cases_ {
        cases.bad(&format!("node: {name}"), comment, code, json!({ "op": "decode", "chunk": hex(&chunk) }));
    }
}
