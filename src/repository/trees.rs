//! Directories (`format-spec/09-trees.md`): written node by node, read leaf by leaf.

use std::collections::VecDeque;

use super::{ChunkReader, ChunkWriter, Error};
use crate::base::ChunkId;
use crate::base::limits::TREE_LEVEL_MAX;
use crate::format::node::{Node, NodeKind};
use crate::format::pack::Content;
use crate::format::tree::{LeafWriter, TreeChunk, encode_inner, group_children};

/// Writes one directory.
#[derive(Debug, Default)]
pub struct DirectoryWriter {
    leaf: LeafWriter,
    leaves: Vec<ChunkId>,
}

impl DirectoryWriter {
    /// Returns an empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node; names must come in ascending order.
    pub fn push(&mut self, node: &Node, writer: &mut ChunkWriter) -> Result<(), Error> {
        for chunk in self.leaf.push(node)? {
            self.leaves.push(writer.add_tree(chunk)?);
        }
        Ok(())
    }

    /// Ends the directory and returns its root.
    pub fn finish(mut self, writer: &mut ChunkWriter) -> Result<ChunkId, Error> {
        if let Some(chunk) = self.leaf.finish()? {
            self.leaves.push(writer.add_tree(chunk)?);
        }
        let mut level = 0_u8;
        let mut ids = self.leaves;
        while ids.len() > 1 {
            level += 1;
            let mut parents = Vec::new();
            for group in group_children(&ids) {
                parents.push(writer.add_tree(encode_inner(level, group)?)?);
            }
            ids = parents;
        }
        ids.pop().ok_or(Error::Internal { what: "directory without a leaf" })
    }
}

/// Reads the nodes of one directory in order, one leaf in memory at a time.
#[derive(Debug)]
pub struct TreeCursor<'a, 'r> {
    reader: &'a ChunkReader<'r>,
    stack: Vec<(u8, std::vec::IntoIter<ChunkId>)>,
    nodes: VecDeque<Node>,
    last: Option<Vec<u8>>,
    tree_chunks: Vec<ChunkId>,
}

impl<'a, 'r> TreeCursor<'a, 'r> {
    /// Begins with the directory whose root tree chunk is `root`.
    pub fn new(reader: &'a ChunkReader<'r>, root: &ChunkId) -> Result<Self, Error> {
        let mut cursor =
            Self { reader, stack: Vec::new(), nodes: VecDeque::new(), last: None, tree_chunks: Vec::new() };
        cursor.enter(root, None)?;
        Ok(cursor)
    }

    fn enter(&mut self, id: &ChunkId, expected_level: Option<u8>) -> Result<(), Error> {
        let object = || format!("tree {}", id.short());
        let damaged = |reason: &str| Error::Damaged { object: object(), reason: reason.to_owned() };
        let plain = self.reader.read(Content::Tree, id)?;
        self.tree_chunks.push(*id);
        let chunk = TreeChunk::decode(&plain).map_err(|error| Error::of_format(object(), &error))?;
        let found = match &chunk {
            TreeChunk::Leaf(_) => 0,
            TreeChunk::Inner { level, .. } => *level,
        };
        if expected_level.is_some_and(|expected| expected != found) || u64::from(found) > TREE_LEVEL_MAX {
            return Err(damaged("level differs from what its parent says"));
        }
        if expected_level.is_none() {
            chunk.require_root().map_err(|error| Error::of_format(object(), &error))?;
        }
        match chunk {
            TreeChunk::Inner { level, children } => self.stack.push((level, children.into_iter())),
            TreeChunk::Leaf(nodes) => {
                if let (Some(last), Some(first)) = (&self.last, nodes.first())
                    && *last >= first.name
                {
                    return Err(damaged("names are not in ascending order across its leaves"));
                }
                if nodes.is_empty() && expected_level.is_some() {
                    return Err(damaged("empty leaf"));
                }
                self.last = nodes.last().map(|node| node.name.clone());
                self.nodes = nodes.into();
            }
        }
        Ok(())
    }

    /// Returns the next node, `None` at the end.
    pub fn next_node(&mut self) -> Result<Option<Node>, Error> {
        loop {
            if let Some(node) = self.nodes.pop_front() {
                return Ok(Some(node));
            }
            let Some((level, children)) = self.stack.last_mut() else { return Ok(None) };
            let below = level.saturating_sub(1);
            match children.next() {
                Some(child) => self.enter(&child, Some(below))?,
                None => {
                    self.stack.pop();
                }
            }
        }
    }

    /// Returns the node of `name`, moving forward; `None` when the directory has none. Earlier names are
    /// lost.
    pub fn seek(&mut self, name: &[u8]) -> Result<Option<Node>, Error> {
        loop {
            match self.nodes.front() {
                Some(node) if node.name.as_slice() > name => return Ok(None),
                Some(node) if node.name.as_slice() == name => return Ok(self.nodes.pop_front()),
                Some(_) => {
                    self.nodes.pop_front();
                }
                None => match self.next_node()? {
                    None => return Ok(None),
                    Some(node) => self.nodes.push_front(node),
                },
            }
        }
    }

    /// Returns the tree chunks that were read so far.
    pub fn tree_chunks(&self) -> &[ChunkId] {
        &self.tree_chunks
    }
}

/// Returns all tree chunks of one directory, its own only.
pub fn tree_chunk_ids(reader: &ChunkReader<'_>, root: &ChunkId) -> Result<Vec<ChunkId>, Error> {
    let mut cursor = TreeCursor::new(reader, root)?;
    while cursor.next_node()?.is_some() {}
    Ok(cursor.tree_chunks)
}

/// Returns the node at `path` (components split by `/`, empty ones ignored) below the tree `root`.
///
/// `None` when there is none. The empty path has no node: callers treat it as the root tree itself.
pub fn find_path(reader: &ChunkReader<'_>, root: &ChunkId, path: &[u8]) -> Result<Option<Node>, Error> {
    let mut tree = *root;
    let mut components = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).peekable();
    while let Some(name) = components.next() {
        let Some(node) = TreeCursor::new(reader, &tree)?.seek(name)? else { return Ok(None) };
        if components.peek().is_none() {
            return Ok(Some(node));
        }
        match node.kind {
            NodeKind::Directory { tree: below } => tree = below,
            _ => return Ok(None),
        }
    }
    Ok(None)
}
