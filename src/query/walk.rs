//! A snapshot's tree as a sequence of entries, sorted and depth-first.

use super::QueryError;
use super::directory::{DirectoryCursor, OPEN_DIRECTORY_COUNT_MAX};
use crate::base::ChunkId;
use crate::base::limits::TREE_DEPTH_MAX;
use crate::format::node::{Node, NodeKind};
use crate::repository::{ChunkReader, Error, TreeCursor};

/// What a path of a snapshot names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The root, which has no node of its own.
    Root {
        /// Its tree.
        tree: ChunkId,
    },
    /// A node.
    Node {
        /// Whole path: each component with a slash before it.
        path: Vec<u8>,
        /// The node.
        node: Box<Node>,
    },
}

impl Place {
    /// Returns the whole path, empty for the root.
    pub fn path(&self) -> &[u8] {
        match self {
            Self::Root { .. } => b"",
            Self::Node { path, .. } => path,
        }
    }

    /// Returns the tree, when this is the root or a directory.
    pub fn tree(&self) -> Option<ChunkId> {
        match self {
            Self::Root { tree } => Some(*tree),
            Self::Node { node, .. } => tree_of(node),
        }
    }
}

/// Returns the tree of a directory's node.
pub(super) fn tree_of(node: &Node) -> Option<ChunkId> {
    match node.kind {
        NodeKind::Directory { tree } => Some(tree),
        _ => None,
    }
}

/// Returns what `path` names in the snapshot with the root tree `root`. No path, and `/`, name the root;
/// slashes at the start, at the end and in a row do not matter.
///
/// # Errors
/// [`QueryError::NotFound`] and [`QueryError::NotADirectory`], beside those of the repository.
pub fn resolve(reader: &ChunkReader<'_>, root: &ChunkId, path: Option<&[u8]>) -> Result<Place, QueryError> {
    let mut place = Place::Root { tree: *root };
    let wanted = path.unwrap_or_default();
    for name in wanted.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        reader.repository().check_stop()?;
        let Some(tree) = place.tree() else {
            return Err(QueryError::NotADirectory { path: place.path().to_vec() });
        };
        let found = TreeCursor::new(reader, &tree).and_then(|mut cursor| cursor.seek(name));
        match found.map_err(|error| QueryError::at(place.path(), error))? {
            Some(node) => place = Place::Node { path: joined(place.path(), name), node: node.into() },
            None => return Err(QueryError::NotFound { path: wanted.to_vec() }),
        }
    }
    Ok(place)
}

fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    [path, b"/", name].concat()
}

/// One entry of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whole path, raw bytes: each component with a slash before it.
    pub path: Vec<u8>,
    /// The node.
    pub node: Node,
}

/// One step of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An entry. The steps of what is below a directory follow it, unless it is skipped.
    Entry(Entry),
    /// A directory ends, the one that the walk began with last.
    Leave {
        /// Its root tree chunk.
        tree: ChunkId,
        /// All its own tree chunks.
        tree_chunks: Vec<ChunkId>,
    },
}

/// Walks a tree depth-first, the entries of each directory ascending by the bytes of their names.
///
/// As an iterator it gives the entries; [`Self::next_step`] also tells where directories end. A directory is
/// read when the walk goes on after its entry, so [`Self::skip_directory`] saves reading it. Damage
/// ([`QueryError::is_damage`]) costs what it names, and the walk goes on behind it; any other error ends the
/// walk.
#[derive(Debug)]
pub struct TreeWalk<'a, 'r> {
    reader: &'a ChunkReader<'r>,
    frames: Vec<Frame<'a, 'r>>,
    path: Vec<u8>,
    pending: Option<ChunkId>,
    is_over: bool,
}

#[derive(Debug)]
struct Frame<'a, 'r> {
    directory: DirectoryCursor<'a, 'r>,
    path_bytes: usize,
}

impl<'a, 'r> TreeWalk<'a, 'r> {
    /// Begins with what is below the directory `tree`; `path` is its own, with which all others begin (empty
    /// for the root).
    pub fn new(reader: &'a ChunkReader<'r>, tree: ChunkId, path: &[u8]) -> Self {
        Self { reader, frames: Vec::new(), path: path.to_vec(), pending: Some(tree), is_over: false }
    }

    /// Leaves out what is below the directory whose entry came last. Without effect after any other step.
    pub fn skip_directory(&mut self) {
        self.pending = None;
    }

    /// Returns the next step, `None` at the end.
    pub fn next_step(&mut self) -> Result<Option<Step>, QueryError> {
        if self.is_over {
            return Ok(None);
        }
        let step = self.step();
        self.is_over = match &step {
            Ok(step) => step.is_none(),
            Err(error) => !error.is_damage(),
        };
        step
    }

    fn step(&mut self) -> Result<Option<Step>, QueryError> {
        self.reader.repository().check_stop()?;
        if let Some(tree) = self.pending.take() {
            self.enter(tree)?;
        }
        let Some(frame) = self.frames.last_mut() else { return Ok(None) };
        self.path.truncate(frame.path_bytes);
        let next = frame.directory.next_node();
        let Some(node) = next.map_err(|error| QueryError::at(&self.path, error))? else {
            let tree = frame.directory.tree();
            let tree_chunks = frame.directory.tree_chunks().to_vec();
            self.frames.pop();
            return Ok(Some(Step::Leave { tree, tree_chunks }));
        };
        self.path.push(b'/');
        self.path.extend_from_slice(&node.name);
        self.pending = tree_of(&node);
        Ok(Some(Step::Entry(Entry { path: self.path.clone(), node })))
    }

    fn enter(&mut self, tree: ChunkId) -> Result<(), QueryError> {
        require_depth(self.frames.len(), &self.path)?;
        let directory = DirectoryCursor::open(self.reader, tree);
        let directory = directory.map_err(|error| QueryError::at(&self.path, error))?;
        self.frames.push(Frame { directory, path_bytes: self.path.len() });
        if let Some(far) = self.frames.len().checked_sub(OPEN_DIRECTORY_COUNT_MAX + 1) {
            self.frames[far].directory.close();
        }
        Ok(())
    }
}

/// Refuses to enter a directory with `above` directories above it when those are too many.
pub(super) fn require_depth(above: usize, path: &[u8]) -> Result<(), QueryError> {
    if u64::try_from(above).unwrap_or(u64::MAX) <= TREE_DEPTH_MAX {
        return Ok(());
    }
    let reason = format!("more than {TREE_DEPTH_MAX} directories are below each other");
    Err(QueryError::at(path, Error::Damaged { object: "tree".to_owned(), reason }))
}

impl Iterator for TreeWalk<'_, '_> {
    type Item = Result<Entry, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_step() {
                Ok(Some(Step::Entry(entry))) => return Some(Ok(entry)),
                Ok(Some(Step::Leave { .. })) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
