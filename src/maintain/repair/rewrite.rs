//! A tree written again without what cannot be restored.

use std::sync::Arc;

use crate::base::ChunkId;
use crate::format::node::{ChunkRef, FileContent, Node, NodeKind};
use crate::format::pack::Content;
use crate::maintain::copy::{cache::Cache, require_depth};
use crate::maintain::mark::resolve::Resolver;
use crate::maintain::mark::{LossKind, WALKED_AGAIN_MAX};
use crate::repository::{
    ChunkReader, ChunkWriter, DirectoryWriter, Error, ListReader, Repository, TreeCursor, WriterStats,
};

/// Whole trees remembered.
const TREES_MAX: usize = 100_000;
/// Chunks of a file looked up together.
const LOOKUP_CHUNKS: usize = 8192;
/// Paths named.
const NAMED_MAX: usize = 10_000;

/// What a tree lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dropped {
    /// The first ten thousand paths, raw bytes from `/` on; of folders a part of the entries is lost.
    pub named: Vec<(Vec<u8>, LossKind)>,
    /// Files that are lost.
    pub files: u64,
    /// Their sizes, summed.
    pub file_bytes: u64,
    /// Folders of which entries are lost, an unknown number.
    pub directories: u64,
}

/// A directory under way.
struct Frame<'a, 'r> {
    tree: ChunkId,
    cursor: Option<TreeCursor<'a, 'r>>,
    writer: DirectoryWriter,
    /// The directory below that is under way.
    waiting: Option<Node>,
    path_bytes: usize,
    is_whole: bool,
}

/// Writes trees again.
pub(super) struct Rewriter<'r> {
    repository: &'r Arc<Repository>,
    reader: ChunkReader<'r>,
    resolver: Resolver<'r>,
    writer: ChunkWriter,
    whole: Cache,
    /// What was made of trees that are not whole, and how often one was written again.
    partial: Cache,
    again_count: u64,
    dropped: Dropped,
}

impl<'r> Rewriter<'r> {
    pub(super) fn new(repository: &'r Arc<Repository>, writer: ChunkWriter) -> Result<Self, Error> {
        Ok(Self {
            repository,
            reader: ChunkReader::new(repository),
            resolver: Resolver::new(repository.index(), None)?,
            writer,
            whole: Cache::new(TREES_MAX),
            partial: Cache::new(TREES_MAX),
            again_count: 0,
            dropped: Dropped::default(),
        })
    }

    /// Ends the writing; returns what was lost and what was stored.
    pub(super) fn finish(self) -> Result<(Dropped, WriterStats), Error> {
        Ok((self.dropped, self.writer.finish()?))
    }

    /// Writes what is left of the tree `root`, depth first, and returns its new root; `None` when nothing of
    /// it can be read.
    pub(super) fn tree(&mut self, root: &ChunkId) -> Result<Option<ChunkId>, Error> {
        let Self { repository, reader, resolver, writer, whole, partial, again_count, dropped } = self;
        let reader = &*reader;
        let mut path: Vec<u8> = Vec::new();
        let mut frames = vec![Frame::open(reader, *root, path.len())?];
        if frames.iter().any(|frame| frame.cursor.is_none()) {
            dropped.directory(&path);
            return Ok(None);
        }
        let mut done: Option<(ChunkId, bool)> = None;
        while let Some(frame) = frames.last_mut() {
            repository.check_stop()?;
            if let (Some(mut node), Some((tree, is_whole))) = (frame.waiting.take(), done.take()) {
                node.kind = NodeKind::Directory { tree };
                frame.is_whole &= is_whole;
                frame.writer.push(&node, writer)?;
            }
            path.truncate(frame.path_bytes);
            let node = match frame.next_node()? {
                Some(Ok(node)) => node,
                Some(Err(())) => {
                    dropped.directory(&path);
                    continue;
                }
                None => {
                    let Some(frame) = frames.pop() else { break };
                    let (tree, is_whole) = (frame.tree, frame.is_whole);
                    let new = frame.writer.finish(writer)?;
                    (if is_whole { &mut *whole } else { &mut *partial }).put(tree, new);
                    done = Some((new, is_whole));
                    continue;
                }
            };
            match &node.kind {
                NodeKind::Directory { tree } if whole.get(tree).is_some() => {
                    frame.writer.push(&node, writer)?;
                }
                &NodeKind::Directory { tree } => {
                    path.push(b'/');
                    path.extend_from_slice(&node.name);
                    let left = partial.get(&tree);
                    *again_count += u64::from(left.is_some());
                    if let Some(tree) = left.filter(|_| *again_count > WALKED_AGAIN_MAX) {
                        dropped.directory(&path);
                        frame.is_whole = false;
                        frame.writer.push(&Node { kind: NodeKind::Directory { tree }, ..node }, writer)?;
                        continue;
                    }
                    frame.waiting = Some(node);
                    require_depth(frames.len())?;
                    let below = Frame::open(reader, tree, path.len())?;
                    if below.cursor.is_none() {
                        dropped.directory(&path);
                    }
                    frames.push(below);
                }
                NodeKind::File { size_bytes, content, .. } => {
                    if is_whole(reader, resolver, content, *size_bytes)? {
                        frame.writer.push(&node, writer)?;
                    } else {
                        frame.is_whole = false;
                        let path = [&path, &b"/"[..], &node.name].concat();
                        dropped.file(path, *size_bytes);
                    }
                }
                _ => frame.writer.push(&node, writer)?,
            }
        }
        Ok(done.map(|(root, _)| root))
    }
}

impl<'a, 'r> Frame<'a, 'r> {
    /// Begins with a directory; without a cursor when its root cannot be read.
    fn open(reader: &'a ChunkReader<'r>, tree: ChunkId, path_bytes: usize) -> Result<Self, Error> {
        let cursor = match TreeCursor::new(reader, &tree) {
            Ok(cursor) => Some(cursor),
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        let is_whole = cursor.is_some();
        Ok(Self { tree, cursor, writer: DirectoryWriter::new(), waiting: None, path_bytes, is_whole })
    }

    /// Returns the next node that can be read, or that a part of the directory cannot.
    fn next_node(&mut self) -> Result<Option<Result<Node, ()>>, Error> {
        let Some(cursor) = &mut self.cursor else { return Ok(None) };
        match cursor.next_node() {
            Ok(node) => Ok(node.map(Ok)),
            // The cursor has left the part behind and goes on after it.
            Err(error) if error.is_damage() => {
                self.is_whole = false;
                Ok(Some(Err(())))
            }
            Err(error) => Err(error),
        }
    }
}

impl Dropped {
    /// Returns how many paths are missing.
    pub fn count(&self) -> u64 {
        self.files + self.directories
    }

    fn name(&mut self, path: Vec<u8>, kind: LossKind) {
        if self.named.len() < NAMED_MAX {
            self.named.push((path, kind));
        }
    }

    fn file(&mut self, path: Vec<u8>, size_bytes: u64) {
        self.files += 1;
        self.file_bytes = self.file_bytes.saturating_add(size_bytes);
        self.name(path, LossKind::File);
    }

    fn directory(&mut self, path: &[u8]) {
        let path = if path.is_empty() { b"/".to_vec() } else { path.to_vec() };
        // Several parts of one folder are one loss.
        if self.named.last() != Some(&(path.clone(), LossKind::Directory)) {
            self.directories += 1;
            self.name(path, LossKind::Directory);
        }
    }
}

/// Tells whether every chunk of a file is named by the index, with all that it is decoded from.
fn is_whole(
    reader: &ChunkReader<'_>,
    resolver: &mut Resolver<'_>,
    content: &FileContent,
    size_bytes: u64,
) -> Result<bool, Error> {
    let mut list = match ListReader::new(reader, content, size_bytes) {
        Ok(list) => list,
        Err(error) if error.is_damage() => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut waiting: Vec<ChunkRef> = Vec::new();
    loop {
        let next = match list.next_chunk() {
            Ok(next) => next,
            Err(error) if error.is_damage() => return Ok(false),
            Err(error) => return Err(error),
        };
        let is_end = next.is_none();
        waiting.extend(next);
        if waiting.len() < LOOKUP_CHUNKS && !is_end {
            continue;
        }
        let ids: Vec<ChunkId> = waiting.iter().map(|chunk| chunk.id).collect();
        for (found, chunk) in resolver.find(Content::Data, &ids)?.into_iter().zip(&waiting) {
            if found.is_ok_and(|location| location.length_bytes == chunk.length_bytes) {
                continue;
            }
            return Ok(false);
        }
        if is_end {
            return Ok(true);
        }
        waiting.clear();
    }
}
