//! The tree of a snapshot, walked in order, with what is selected of it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{RestoreError, RestoreOptions};
use crate::base::ChunkId;
use crate::base::limits::TREE_DEPTH_MAX;
use crate::format::node::{Node, NodeKind, is_valid_name};
use crate::format::snapshot::Snapshot;
use crate::repository::{ChunkReader, Error, TreeCursor, find_path};
use crate::source::{Filter, IncludeSet};

/// What of a snapshot is meant, and which path its entries hang from.
#[derive(Debug)]
pub(super) struct Scope {
    /// Absolute path in the snapshot of what the relative paths start from; empty for `/`.
    pub(super) prefix: Vec<u8>,
    /// Where to start.
    pub(super) start: Start,
}

/// Where a walk starts.
#[derive(Debug)]
pub(super) enum Start {
    /// With what is in a directory; its node unless it is the root.
    Directory(ChunkId, Option<Box<Node>>),
    /// With one entry.
    Single(Box<Node>),
}

/// Finds `path` in the snapshot.
pub(super) fn resolve(
    reader: &ChunkReader<'_>,
    snapshot: &Snapshot,
    path: Option<&[u8]>,
) -> Result<Scope, RestoreError> {
    let parts: Vec<&[u8]> =
        path.unwrap_or_default().split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Ok(Scope { prefix: Vec::new(), start: Start::Directory(snapshot.root, None) });
    }
    let clean = parts.join(&b'/');
    let found = find_path(reader, &snapshot.root, &clean)?;
    let Some(node) = found else { return Err(RestoreError::NotInSnapshot { path: clean }) };
    let depth = if node.is_directory() { parts.len() } else { parts.len() - 1 };
    let mut prefix = Vec::new();
    for part in &parts[..depth] {
        prefix.push(b'/');
        prefix.extend_from_slice(part);
    }
    let start = match node.kind {
        NodeKind::Directory { tree } => Start::Directory(tree, Some(Box::new(node))),
        _ => Start::Single(Box::new(node)),
    };
    Ok(Scope { prefix, start })
}

/// Which entries are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Selection<'o> {
    pub(super) include: Option<&'o IncludeSet>,
    pub(super) exclude: Option<&'o Filter>,
}

impl<'o> Selection<'o> {
    /// Returns what the options select.
    pub(super) fn of(options: &'o RestoreOptions) -> Self {
        Self { include: options.include.as_ref(), exclude: options.exclude.as_ref() }
    }

    /// Tells whether the entry at this absolute path is wanted, and whether something below it may be.
    pub(super) fn wants(&self, path: &[u8], is_directory: bool) -> (bool, bool) {
        let path = Path::new(OsStr::from_bytes(path));
        if self.exclude.is_some_and(|filter| filter.excludes(path, is_directory)) {
            return (false, false);
        }
        match self.include {
            None => (true, true),
            Some(set) => (set.selects(path, is_directory), is_directory && set.may_contain(path)),
        }
    }
}

/// Is told of everything that is wanted, in order; paths are relative, without slash at either end.
pub(super) trait Visitor {
    /// A directory that is wanted, or in which something is. `false`: what is below is passed over.
    fn directory(&mut self, path: &[u8], node: &Node) -> Result<bool, RestoreError>;
    /// Anything else that is wanted.
    fn entry(&mut self, path: &[u8], node: Node) -> Result<(), RestoreError>;
    /// A directory is done; the root of the walk has the empty path and a node unless it stands for `/`.
    fn leave(&mut self, path: &[u8], node: Option<&Node>, is_whole: bool) -> Result<(), RestoreError>;
    /// What is in a directory cannot be read, or not all of it.
    fn damaged(&mut self, path: &[u8], error: &Error) -> Result<(), RestoreError>;
}

/// Returns what the extended attributes of a node take.
pub(super) fn attribute_bytes(node: &Node) -> usize {
    node.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum()
}

struct Frame<'a, 'r> {
    cursor: TreeCursor<'a, 'r>,
    node: Option<Box<Node>>,
    path_length: usize,
    is_announced: bool,
    is_blocked: bool,
}

struct Walk<'a, 'r> {
    reader: &'a ChunkReader<'r>,
    selection: Selection<'a>,
    prefix: &'a [u8],
    frames: Vec<Frame<'a, 'r>>,
    path: Vec<u8>,
}

/// Walks what is selected of `scope`.
pub(super) fn walk(
    reader: &ChunkReader<'_>,
    scope: &Scope,
    selection: Selection<'_>,
    visitor: &mut dyn Visitor,
) -> Result<(), RestoreError> {
    let prefix = &scope.prefix;
    let mut walk = Walk { reader, selection, prefix, frames: Vec::new(), path: Vec::new() };
    match &scope.start {
        Start::Single(node) => walk.visit((**node).clone(), visitor),
        Start::Directory(tree, node) => {
            match TreeCursor::new(reader, tree) {
                Ok(cursor) => walk.frames.push(Frame {
                    cursor,
                    node: node.clone(),
                    path_length: 0,
                    is_announced: true,
                    is_blocked: false,
                }),
                Err(error) if error.is_damage() => visitor.damaged(b"", &error)?,
                Err(error) => return Err(error.into()),
            }
            walk.run(visitor)
        }
    }
}

impl Walk<'_, '_> {
    fn run(&mut self, visitor: &mut dyn Visitor) -> Result<(), RestoreError> {
        while let Some(frame) = self.frames.last_mut() {
            self.reader.repository().check_stop()?;
            let next = if frame.is_blocked { Ok(None) } else { frame.cursor.next_node() };
            self.path.truncate(frame.path_length);
            match next {
                Ok(Some(node)) => self.visit(node, visitor)?,
                Ok(None) => self.leave(true, visitor)?,
                Err(error) if error.is_damage() => {
                    self.announce(visitor)?;
                    self.path.truncate(self.frames.last().map_or(0, |frame| frame.path_length));
                    visitor.damaged(&self.path, &error)?;
                    self.leave(false, visitor)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn leave(&mut self, is_whole: bool, visitor: &mut dyn Visitor) -> Result<(), RestoreError> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        if frame.is_announced && !frame.is_blocked {
            visitor.leave(&self.path[..frame.path_length], frame.node.as_deref(), is_whole)?;
        }
        Ok(())
    }

    fn visit(&mut self, node: Node, visitor: &mut dyn Visitor) -> Result<(), RestoreError> {
        if !is_valid_name(&node.name) {
            let reason = "name of a node leaves its directory".to_owned();
            return visitor.damaged(&self.path, &Error::Damaged { object: "tree".to_owned(), reason });
        }
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(&node.name);
        let absolute = [self.prefix, b"/", &self.path].concat();
        let (is_wanted, may_contain) = self.selection.wants(&absolute, node.is_directory());
        if let NodeKind::Directory { tree } = node.kind {
            if !is_wanted && !may_contain {
                return Ok(());
            }
            return self.enter(&tree, node, is_wanted, visitor);
        }
        if is_wanted && self.announce(visitor)? {
            let path = self.path.clone();
            visitor.entry(&path, node)?;
        }
        Ok(())
    }

    fn enter(
        &mut self,
        tree: &ChunkId,
        node: Node,
        is_wanted: bool,
        visitor: &mut dyn Visitor,
    ) -> Result<(), RestoreError> {
        let depth = u64::try_from(self.frames.len()).unwrap_or(u64::MAX);
        if depth > TREE_DEPTH_MAX {
            let reason = "directories are nested too deep".to_owned();
            let error = Error::Damaged { object: format!("tree {}", tree.short()), reason };
            return visitor.damaged(&self.path, &error);
        }
        let cursor = match TreeCursor::new(self.reader, tree) {
            Ok(cursor) => cursor,
            Err(error) if error.is_damage() => {
                let path = self.path.clone();
                if self.announce(visitor)? && visitor.directory(&path, &node)? {
                    visitor.damaged(&path, &error)?;
                    visitor.leave(&path, Some(&node), false)?;
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.frames.push(Frame {
            cursor,
            node: Some(Box::new(node)),
            path_length: self.path.len(),
            is_announced: false,
            is_blocked: false,
        });
        if is_wanted {
            self.announce(visitor)?;
        }
        Ok(())
    }

    /// Tells the visitor of the directories down to here that it does not know yet. `false`: one is blocked.
    fn announce(&mut self, visitor: &mut dyn Visitor) -> Result<bool, RestoreError> {
        let mut is_blocked = false;
        for frame in &mut self.frames {
            if !frame.is_announced && !is_blocked {
                frame.is_announced = true;
                if let Some(node) = &frame.node {
                    frame.is_blocked = !visitor.directory(&self.path[..frame.path_length], node)?;
                }
            }
            is_blocked |= frame.is_blocked;
            frame.is_blocked = is_blocked;
        }
        Ok(!is_blocked)
    }
}
