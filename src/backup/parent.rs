//! The parent snapshot beside the walk: which files are as they were.

use super::steps::Older;
use crate::base::ChunkId;
use crate::format::node::{FileContent, Node, NodeKind};
use crate::repository::{ChunkReader, Error, ListReader, TreeCursor};
use crate::source::{Attributes, Metadata};

/// Follows the walk through the parent's trees. Names come in the same order in both, so each tree is read
/// once.
pub(super) struct ParentWalk<'a, 'r> {
    reader: &'a ChunkReader<'r>,
    stack: Vec<Option<TreeCursor<'a, 'r>>>,
}

impl<'a, 'r> ParentWalk<'a, 'r> {
    /// Begins at the root of the parent, if there is one.
    pub(super) fn new(reader: &'a ChunkReader<'r>, root: Option<ChunkId>) -> Self {
        // A parent that cannot be read is as good as none: everything is read anew.
        let top = root.and_then(|root| TreeCursor::new(reader, &root).ok());
        Self { reader, stack: vec![top] }
    }

    fn seek(&mut self, name: &[u8]) -> Option<Node> {
        let top = self.stack.last_mut()?;
        match top.as_mut()?.seek(name) {
            Ok(node) => node,
            Err(_) => {
                *top = None;
                None
            }
        }
    }

    /// Goes into the directory `name`.
    pub(super) fn enter(&mut self, name: &[u8]) {
        let below = match self.seek(name).map(|node| node.kind) {
            Some(NodeKind::Directory { tree }) => TreeCursor::new(self.reader, &tree).ok(),
            _ => None,
        };
        self.stack.push(below);
    }

    /// Goes back up.
    pub(super) fn leave(&mut self) {
        if self.stack.len() > 1 {
            self.stack.pop();
        }
    }

    /// Returns what the parent has in the place of a file, and its attributes if it is unchanged since, by
    /// size, mtime, ctime and inode.
    pub(super) fn look(&mut self, name: &[u8], metadata: &Metadata) -> Option<(Older, Option<Attributes>)> {
        let node = self.seek(name)?;
        let same = !node.changed
            && node.mtime == metadata.mtime
            && node.ctime == metadata.ctime
            && node.inode == metadata.inode;
        match node.kind {
            NodeKind::File { size_bytes, class, content } => {
                let is_unchanged = same && size_bytes == metadata.size_bytes;
                Some((Older { content, size_bytes, class }, is_unchanged.then_some(node.xattrs)))
            }
            _ => None,
        }
    }
}

/// Tells whether all chunks of a long list are stored where a writer may rely on them.
pub(super) fn list_is_stored(
    reader: &ChunkReader<'_>,
    content: &FileContent,
    size_bytes: u64,
) -> Result<bool, Error> {
    const BATCH: usize = 1024;
    let index = reader.repository().index();
    let all_stored = |ids: &[ChunkId]| -> Result<bool, Error> { Ok(!index.contains(ids)?.contains(&false)) };
    let outcome = (|| {
        let mut list = ListReader::new(reader, content, size_bytes)?;
        let mut ids = Vec::with_capacity(BATCH);
        while let Some(chunk) = list.next_chunk()? {
            ids.push(chunk.id);
            if ids.len() == BATCH {
                if !all_stored(&ids)? {
                    return Ok(false);
                }
                ids.clear();
            }
        }
        Ok(all_stored(&ids)? && all_stored(list.list_chunks())?)
    })();
    match outcome {
        Err(error) if Error::is_damage(&error) => Ok(false),
        other => other,
    }
}
