//! Tree chunks: a directory's nodes as a hash tree (`format-spec/09-trees.md`).

use super::list::ends_after;
use super::node::Node;
use super::wire::{FormatError, Reader, Writer, length};
use crate::base::ChunkId;
use crate::base::limits::{LIST_ENTRY_COUNT_MAX, TREE_LEVEL_MAX, TREE_NODE_COUNT_MAX};

const TAG: u8 = 0x54;
const LEAF_MIN_BYTES: usize = 16 << 10;
const LEAF_MAX_BYTES: usize = 256 << 10;
/// Tag, level and count.
const HEAD_BYTES: usize = 6;
/// Encoded size of the smallest node: a pipe or socket with a name of one byte and no names of its owners.
const NODE_MIN_BYTES: usize = 56;

/// A decoded tree chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeChunk {
    /// Nodes, strictly ascending by name.
    Leaf(Vec<Node>),
    /// Tree chunks of the level below.
    Inner {
        /// 1 and up.
        level: u8,
        /// The children in order.
        children: Vec<ChunkId>,
    },
}

impl TreeChunk {
    /// Refuses an inner chunk of one child at the top of a directory: the child would be the root.
    pub fn require_root(&self) -> Result<(), FormatError> {
        match self {
            Self::Inner { children, .. } if children.len() < 2 => {
                Err(FormatError::invalid("root tree chunk with one child"))
            }
            _ => Ok(()),
        }
    }

    /// Decodes a chunk.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes, "tree chunk");
        if input.u8("tag")? != TAG {
            return Err(FormatError::invalid("tag of a tree chunk"));
        }
        let level = input.u8("level")?;
        if u64::from(level) > TREE_LEVEL_MAX {
            return Err(FormatError::invalid("level of a tree chunk"));
        }
        if level > 0 {
            let count = input.count32(LIST_ENTRY_COUNT_MAX, 32, "tree children")?;
            if count == 0 {
                return Err(FormatError::invalid("inner tree chunk without children"));
            }
            let children =
                (0..count).map(|_| Ok(ChunkId(input.array("child")?))).collect::<Result<_, FormatError>>()?;
            input.finish()?;
            return Ok(Self::Inner { level, children });
        }
        let count = input.count32(TREE_NODE_COUNT_MAX, NODE_MIN_BYTES, "nodes")?;
        let mut nodes: Vec<Node> = Vec::with_capacity(count);
        for _ in 0..count {
            let node = Node::decode(&mut input)?;
            if nodes.last().is_some_and(|last| last.name >= node.name) {
                return Err(FormatError::invalid("order of names in a tree"));
            }
            nodes.push(node);
        }
        input.finish()?;
        Ok(Self::Leaf(nodes))
    }
}

/// Returns an inner chunk.
pub fn encode_inner(level: u8, children: &[ChunkId]) -> Result<Vec<u8>, FormatError> {
    if level == 0 || u64::from(level) > TREE_LEVEL_MAX || children.is_empty() {
        return Err(FormatError::invalid("inner tree chunk"));
    }
    let mut out = Writer::new();
    out.u8(TAG).u8(level).count32(children.len(), LIST_ENTRY_COUNT_MAX, "tree children")?;
    for child in children {
        out.raw(&child.0);
    }
    Ok(out.finish())
}

/// Gathers the nodes of one directory into tree chunks; names must come in ascending order.
#[derive(Debug, Default)]
pub struct LeafWriter {
    body: Vec<u8>,
    count: usize,
    last: Option<Vec<u8>>,
}

impl LeafWriter {
    /// Returns an empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node; returns the leaf chunks that are complete, at most two: the one that has no room for the
    /// node, and the one that ends after it.
    pub fn push(&mut self, node: &Node) -> Result<Vec<Vec<u8>>, FormatError> {
        if self.last.as_ref().is_some_and(|last| *last >= node.name) {
            return Err(FormatError::invalid("order of names in a tree"));
        }
        let mut out = Writer::new();
        node.encode(&mut out)?;
        let encoded = out.finish();
        let overflows = self.count > 0 && HEAD_BYTES + self.body.len() + encoded.len() > LEAF_MAX_BYTES;
        let mut full = Vec::new();
        if overflows {
            full.push(self.take()?);
        }
        self.body.extend_from_slice(&encoded);
        self.count += 1;
        self.last = Some(node.name.clone());
        if self.ends_here(&node.name) {
            full.push(self.take()?);
        }
        Ok(full)
    }

    /// Returns the last leaf: always one for an empty directory, none when the last node ended a leaf.
    pub fn finish(mut self) -> Result<Option<Vec<u8>>, FormatError> {
        if self.count == 0 && self.last.is_some() {
            return Ok(None);
        }
        Ok(Some(self.take()?))
    }

    fn ends_here(&self, name: &[u8]) -> bool {
        let marked = blake3::hash(name).as_bytes()[0].is_multiple_of(32);
        (marked && HEAD_BYTES + self.body.len() >= LEAF_MIN_BYTES)
            || length(self.count) >= TREE_NODE_COUNT_MAX
    }

    fn take(&mut self) -> Result<Vec<u8>, FormatError> {
        let mut out = Writer::new();
        out.u8(TAG).u8(0).count32(self.count, TREE_NODE_COUNT_MAX, "nodes")?.raw(&self.body);
        self.body.clear();
        self.count = 0;
        Ok(out.finish())
    }
}

/// Splits the ids of one level into the groups that become the chunks of the level above.
pub fn group_children(ids: &[ChunkId]) -> Vec<&[ChunkId]> {
    let mut groups = Vec::new();
    let mut start = 0;
    for (at, id) in ids.iter().enumerate() {
        if ends_after(id, at + 1 - start) || at + 1 == ids.len() {
            groups.push(&ids[start..=at]);
            start = at + 1;
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;
    use crate::format::node::{ChunkRef, FileContent, NodeKind};

    fn node(name: &[u8]) -> Node {
        Node {
            name: name.to_vec(),
            kind: NodeKind::File {
                size_bytes: 5,
                class: 0,
                content: FileContent::Inline(vec![ChunkRef { id: ChunkId([1; 32]), length_bytes: 5 }]),
            },
            changed: false,
            sparse: false,
            mode: 0o644,
            uid: 1,
            gid: 2,
            user: "u".into(),
            group: String::new(),
            mtime: Time { seconds: -5, nanoseconds: 3 },
            ctime: Time::default(),
            inode: 9,
            link_device: Some(4),
            xattrs: vec![(b"user.a".to_vec(), vec![0, 1])],
        }
    }

    fn leaves(nodes: &[Node]) -> Vec<Vec<u8>> {
        let mut writer = LeafWriter::new();
        let mut chunks = Vec::new();
        for node in nodes {
            chunks.extend(writer.push(node).unwrap());
        }
        chunks.extend(writer.finish().unwrap());
        chunks
    }

    #[test]
    fn what_only_a_file_may_have_no_other_node_has_and_no_mode_goes_beyond_its_bits() {
        let directory =
            Node { kind: NodeKind::Directory { tree: ChunkId([1; 32]) }, link_device: None, ..node(b"d") };
        let pipe = Node { kind: NodeKind::Fifo, ..node(b"p") };
        let cases = [
            (node(b"f"), true),
            (Node { mode: 0o7777, ..node(b"f") }, true),
            (Node { mode: 0o10_000, ..node(b"f") }, false),
            (Node { changed: true, sparse: true, ..node(b"f") }, true),
            (directory.clone(), true),
            (Node { link_device: Some(4), ..directory.clone() }, false),
            (Node { changed: true, ..directory.clone() }, false),
            (Node { sparse: true, ..directory }, false),
            (pipe.clone(), true),
            (Node { changed: true, ..pipe.clone() }, false),
            (Node { sparse: true, ..pipe }, false),
        ];
        for (node, holds) in cases {
            assert_eq!(LeafWriter::new().push(&node).is_ok(), holds, "{node:?}");
        }
    }

    #[test]
    fn the_leaves_of_a_directory_hold_its_nodes_in_order() {
        let nodes: Vec<Node> = (0..5000).map(|n| node(format!("file{n:05}").as_bytes())).collect();
        let chunks = leaves(&nodes);
        assert!(chunks.len() > 4, "{}", chunks.len());
        let mut read = Vec::new();
        for chunk in &chunks {
            assert!(chunk.len() <= LEAF_MAX_BYTES);
            let TreeChunk::Leaf(part) = TreeChunk::decode(chunk).unwrap() else { panic!("leaf expected") };
            read.extend(part);
        }
        assert_eq!(read, nodes);
    }

    #[test]
    fn an_inserted_name_leaves_the_other_leaves_as_they_were() {
        let nodes: Vec<Node> = (0..5000).map(|n| node(format!("file{n:05}").as_bytes())).collect();
        let mut more = nodes.clone();
        more.insert(2500, node(b"file02499x"));
        let (before, after) = (leaves(&nodes), leaves(&more));
        let shared = after.iter().filter(|leaf| before.contains(leaf)).count();
        assert!(shared + 2 >= after.len(), "{shared} of {} leaves shared", after.len());
    }

    #[test]
    fn a_node_that_overflows_a_leaf_may_end_the_next_one_too() {
        let sized = |name: &str, bytes: usize| {
            let mut node = node(name.as_bytes());
            node.xattrs = vec![(b"user.a".to_vec(), vec![0; bytes])];
            node
        };
        let marked = |name: &String| blake3::hash(name.as_bytes()).as_bytes()[0].is_multiple_of(32);
        let names: Vec<String> = (0..1000).map(|n| format!("file{n:05}")).collect();
        let last = names.iter().skip(5).find(|name| marked(name)).unwrap();
        let mut before = names.iter().take_while(|name| *name < last).filter(|name| !marked(name));
        let mut writer = LeafWriter::new();
        for _ in 0..4 {
            assert!(writer.push(&sized(before.next().unwrap(), 60_000)).unwrap().is_empty());
        }
        let chunks = writer.push(&sized(last, 60_000)).unwrap();
        let counts = chunks.iter().map(|chunk| match TreeChunk::decode(chunk).unwrap() {
            TreeChunk::Leaf(nodes) => nodes.len(),
            TreeChunk::Inner { .. } => 0,
        });
        assert_eq!(counts.collect::<Vec<_>>(), [4, 1]);
        assert_eq!(writer.finish().unwrap(), None);
    }

    #[test]
    fn a_root_has_two_children_or_is_a_leaf() {
        let inner =
            |count| TreeChunk::decode(&encode_inner(1, &vec![ChunkId([1; 32]); count]).unwrap()).unwrap();
        assert!(inner(1).require_root().is_err());
        assert!(inner(2).require_root().is_ok());
        assert!(TreeChunk::Leaf(vec![]).require_root().is_ok());
    }

    #[test]
    fn an_empty_directory_has_one_empty_leaf() {
        let chunks = leaves(&[]);
        assert_eq!(chunks.len(), 1);
        assert_eq!(TreeChunk::decode(&chunks[0]).unwrap(), TreeChunk::Leaf(vec![]));
    }

    #[test]
    fn a_directory_of_the_smallest_nodes_reads_back() {
        let smallest = |name: &[u8]| Node {
            name: name.to_vec(),
            kind: NodeKind::Socket,
            user: String::new(),
            link_device: None,
            xattrs: Vec::new(),
            ..node(name)
        };
        let nodes: Vec<Node> = (b'a'..=b'z').map(|name| smallest(&[name])).collect();
        let chunk = leaves(&nodes).remove(0);
        assert_eq!(chunk.len(), HEAD_BYTES + nodes.len() * NODE_MIN_BYTES);
        assert_eq!(TreeChunk::decode(&chunk).unwrap(), TreeChunk::Leaf(nodes));
    }

    #[test]
    fn names_that_leave_their_directory_are_refused() {
        for name in [&b".."[..], b".", b"", b"a/b", b"a\0b"] {
            assert!(LeafWriter::new().push(&node(name)).is_err(), "{name:?}");
        }
        let mut chunk = leaves(&[node(b"ab")]).remove(0);
        chunk[8..10].copy_from_slice(b"..");
        assert!(TreeChunk::decode(&chunk).is_err());
    }

    #[test]
    fn disorder_and_doubles_are_refused_when_written() {
        let mut writer = LeafWriter::new();
        writer.push(&node(b"b")).unwrap();
        assert!(writer.push(&node(b"b")).is_err());
        assert!(writer.push(&node(b"a")).is_err());
    }
}
