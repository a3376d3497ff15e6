//! Chapter 9: tree chunks and nodes.

use serde_json::json;
use snap::base::id::hex;
use snap::base::{ChunkId, Time};
use snap::format::node::{ChunkRef, FileContent, Node, NodeKind};
use snap::format::tree::{LeafWriter, TreeChunk, encode_inner};
use snap::format::wire::Writer;

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
        assert!(writer.push(node).expect("a good node").is_empty());
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
    let mut least = node(b"a", NodeKind::Fifo);
    (least.user, least.group) = (String::new(), String::new());
    accept_tree(&mut cases, "the least node", &leaf(&[least]));
    let good = [("every kind", all), ("empty", leaf(&[])), ("inner", inner), ("longest name", longest)];
    for (name, chunk) in good {
        accept_tree(&mut cases, name, &chunk);
    }
    bad_names(&mut cases);
    bad_nodes(&mut cases);
    let one = leaf(&[file(b"a", vec![])]);
    let inner = encode_inner(1, &[ChunkId(id("x"))]).expect("a good chunk");
    let bad: [(&str, &str, &str, Vec<u8>); 11] = [
        ("tag", "a list's tag", "magic", with(&one, 0, &[0x4c])),
        ("level 9", "above TREE_LEVEL_MAX", "limit", with(&inner, 1, &[9])),
        ("no children", "n is 0 at level 1", "count", vec![0x54, 1, 0, 0, 0, 0]),
        ("inner count above the limit", "n is 8193", "limit", vec![0x54, 1, 1, 0x20, 0, 0]),
        ("inner count above the bytes", "n is 8192", "short", vec![0x54, 1, 0, 0x20, 0, 0]),
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
    roots(&mut cases);
    ends(&mut cases);
    cases
}

fn roots(cases: &mut Cases) {
    for (name, count, expect) in [("root of two", 2, "ok"), ("root of one", 1, "count")] {
        let chunk = encode_inner(1, &[ChunkId(id("x")), ChunkId(id("y"))][..count]).expect("a good chunk");
        let mut fields = json!({ "op": "decode", "root": true, "chunk": hex(&chunk) });
        if expect == "ok" {
            let (level, entries) = describe::tree(&TreeChunk::decode(&chunk).expect("a good chunk"));
            (fields["level"], fields["entries"]) = (json!(level), entries);
        }
        cases.add(name, if expect == "ok" { "" } else { "its child would be the root" }, expect, fields);
    }
}

/// Returns a node of `name` that takes `length` bytes, which an attribute makes up.
fn sized(name: &str, length: usize) -> Node {
    let mut sized = file(name.as_bytes(), vec![]);
    sized.xattrs = vec![(b"a".to_vec(), vec![])];
    let mut out = Writer::new();
    sized.encode(&mut out).expect("a good node");
    sized.xattrs[0].1 = vec![0; length.checked_sub(out.written_bytes()).expect("a longer node")];
    sized
}

/// Returns the index after the last node of each leaf of a directory of nodes of given names and lengths.
pub(crate) fn leaf_ends(nodes: &[(String, usize)]) -> Vec<usize> {
    let mut writer = LeafWriter::new();
    let mut chunks = Vec::new();
    for (name, length) in nodes {
        chunks.extend(writer.push(&sized(name, *length)).expect("a good node"));
    }
    chunks.extend(writer.finish().expect("a good leaf"));
    let count = |chunk: &Vec<u8>| match TreeChunk::decode(chunk).expect("a good leaf") {
        TreeChunk::Leaf(nodes) => nodes.len(),
        TreeChunk::Inner { .. } => 0,
    };
    let mut end = 0;
    chunks
        .iter()
        .map(|chunk| {
            end += count(chunk);
            end
        })
        .collect()
}

fn ends(cases: &mut Cases) {
    let marked = |name: &String| blake3::hash(name.as_bytes()).as_bytes()[0].is_multiple_of(32);
    let names: Vec<String> = (0..1_000).map(|at| format!("n{at:04}")).collect();
    let all = |length: fn(usize) -> usize| -> Vec<(String, usize)> {
        names.iter().cloned().enumerate().map(|(at, name)| (name, length(at))).collect()
    };
    let plain: Vec<&String> = names.iter().filter(|name| !marked(name)).collect();
    let last = names.iter().rfind(|name| marked(name)).expect("a marked name");
    let unmarked = |lengths: &[usize]| -> Vec<(String, usize)> {
        plain.iter().zip(lengths).map(|(name, length)| ((*name).clone(), *length)).collect()
    };
    // One more node tells whether the leaf ended with the marked one.
    let and_last = |lengths: &[usize], length| {
        [unmarked(lengths), vec![(last.clone(), length), ("zz".to_owned(), 200)]].concat()
    };
    let list = [
        ("nothing", vec![]),
        ("equal nodes", all(|_| 200)),
        ("nodes of many lengths", all(|at| 150 + at * at % 3_001)),
        ("leaves without a mark", unmarked(&[60_000; 40])),
        ("256 KiB exactly", unmarked(&[65_535, 65_535, 65_535, 65_533, 200])),
        ("a byte above 256 KiB", unmarked(&[65_535, 65_535, 65_535, 65_534, 200])),
        ("a mark at 16 KiB exactly", and_last(&[16_000], 378)),
        ("a mark a byte before 16 KiB", and_last(&[16_000], 377)),
        ("a node that overflows one leaf and ends the next", and_last(&[60_000; 4], 60_000)),
        ("a marked node that fits", and_last(&[60_000; 4], 16_000)),
        ("a node that overflows one leaf and is a byte short of the next", and_last(&[65_000; 4], 16_377)),
    ];
    for (name, nodes) in list {
        let ends = leaf_ends(&nodes);
        let words: Vec<String> = nodes.iter().map(|(name, length)| format!("{name} {length}")).collect();
        let fields = json!({ "op": "ends", "nodes": words.join(" "), "ends": ends });
        cases.good(&format!("ends: {name}"), fields);
    }
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
    // The name takes 3 bytes; then type, flags, mode, uid, gid, texts of 2 + 3 and 2 + 5 bytes, mtime, ctime,
    // inode.
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
    let short_target = leaf(&[node(b"a", NodeKind::Symlink { target: b"tt".to_vec() })]);
    let target = short_target.len() - 4;
    let no_target = [&link_good[..link_good.len() - 3], &[0, 0]].concat();
    let fifo = leaf(&[node(b"a", NodeKind::Fifo)]);
    // One attribute: its count, the length of its name, its name, the length of its value.
    let mut tagged = file(b"a", vec![]);
    tagged.xattrs = vec![(b"u".to_vec(), vec![])];
    let tagged = leaf(&[tagged]);
    let attribute = places(&tagged, b"\x01\x00\x01\x00u");
    let nameless = [&tagged[..attribute + 2], &[0, 0], &tagged[attribute + 5..]].concat();
    let cases_: [(&str, &str, &str, Vec<u8>); 27] = [
        ("type", "type 7", "number", with(&good, kind, &[7])),
        ("flags", "bit 2", "reserved", with(&good, flags, &[4])),
        ("flag of a fifo", "changed", "value", with(&fifo, flags, &[1])),
        ("flag of a directory", "sparse", "value", with(&directory, flags + 2, &[2])),
        ("class", "class 4", "number", with(&good, content + 8, &[4])),
        ("class 255", "a class that only sources have", "number", with(&good, content + 8, &[255])),
        ("attribute without name", "no bytes", "value", nameless),
        ("attribute with NUL", "NUL", "value", with(&tagged, attribute + 4, &[0])),
        ("no link target", "no bytes", "value", no_target),
        ("link target with NUL", "NUL", "value", with(&short_target, target + 3, &[0])),
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
