//! One directory of a walk, which can let go of its memory and take up again where it stood.

use crate::base::ChunkId;
use crate::format::node::Node;
use crate::repository::{ChunkReader, Error, TreeCursor};

/// Directories on the way down that keep a decoded leaf (up to a few MiB each); those further up read theirs
/// again on the way back.
pub(super) const OPEN_DIRECTORY_COUNT_MAX: usize = 32;

/// The nodes of one directory in order.
#[derive(Debug)]
pub(super) struct DirectoryCursor<'a, 'r> {
    reader: &'a ChunkReader<'r>,
    tree: ChunkId,
    cursor: Option<TreeCursor<'a, 'r>>,
    last: Option<Vec<u8>>,
}

impl<'a, 'r> DirectoryCursor<'a, 'r> {
    /// Opens the directory whose root tree chunk is `tree`.
    pub(super) fn open(reader: &'a ChunkReader<'r>, tree: ChunkId) -> Result<Self, Error> {
        let cursor = TreeCursor::new(reader, &tree)?;
        Ok(Self { reader, tree, cursor: Some(cursor), last: None })
    }

    /// Returns the next node, `None` at the end. After damage it goes on with what can be read.
    pub(super) fn next_node(&mut self) -> Result<Option<Node>, Error> {
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            closed => {
                let mut cursor = TreeCursor::new(self.reader, &self.tree)?;
                if let Some(last) = &self.last {
                    cursor.seek(last)?;
                }
                closed.insert(cursor)
            }
        };
        let node = cursor.next_node()?;
        if let Some(node) = &node {
            self.last.get_or_insert_default().clone_from(&node.name);
        }
        Ok(node)
    }

    /// Lets go of the decoded leaf.
    pub(super) fn close(&mut self) {
        self.cursor = None;
    }

    /// Returns the root tree chunk.
    pub(super) fn tree(&self) -> ChunkId {
        self.tree
    }

    /// Returns the tree chunks read: all of the directory once [`Self::next_node`] told its end.
    pub(super) fn tree_chunks(&self) -> &[ChunkId] {
        self.cursor.as_ref().map_or(&[], |cursor| cursor.tree_chunks())
    }
}
