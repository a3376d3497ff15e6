//! The walk through trees and lists.

use super::links::LinkGroups;
use super::live::LiveSet;
use super::losses::{Cause, Causes, LossKind, Losses, add_causes};
use super::resolve::Resolver;
use super::spans::{Span, Spans};
use super::{MarkOptions, MarkStats, Marked, WALKED_AGAIN_MAX};
use crate::base::escape::escape_name;
use crate::base::limits::{LIST_LEVEL_MAX, TREE_DEPTH_MAX};
use crate::base::{ChunkId, SnapshotId};
use crate::format::list::ListChunk;
use crate::format::node::{ChunkRef, FileContent, Node, NodeKind};
use crate::format::pack::Content;
use crate::format::tree::TreeChunk;
use crate::index::ChunkLocation;
use crate::repository::{ChunkReader, Error, Repository};

/// A tree chunk still to be walked.
#[derive(Debug)]
struct Child {
    id: ChunkId,
    /// The directory's name; `None` for a further tree chunk of the same directory.
    name: Option<Vec<u8>>,
}

/// A tree chunk that is being walked.
#[derive(Debug)]
struct Frame {
    ordinal: u64,
    level: u8,
    /// The root of a directory, as against a part of one.
    is_root: bool,
    /// How much of the path is this directory's.
    path_bytes: usize,
    /// Directories above.
    depth: u64,
    children: std::vec::IntoIter<Child>,
    /// Nothing is lost below it so far, and nothing there needs to be seen again.
    is_clean: bool,
    first: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
    /// What is wrong with the directory itself.
    causes: Causes,
}

/// Goes through snapshots one after another.
#[derive(Debug)]
pub(super) struct Walk<'r> {
    repository: &'r Repository,
    reader: ChunkReader<'r>,
    resolver: Resolver<'r>,
    refuse_losses: bool,
    check_links: bool,
    /// Tree and list chunks that need not be walked again.
    clean: LiveSet,
    /// Directories of this snapshot that were walked and are not clean, and how often one was walked again.
    unclean: LiveSet,
    again_count: u64,
    spans: Spans,
    links: LinkGroups,
    losses: Losses,
    stats: MarkStats,
    snapshot: SnapshotId,
    path: Vec<u8>,
    stack: Vec<Frame>,
}

fn broken(reason: &str) -> Causes {
    Causes::from([Cause::Broken(reason.to_owned())])
}

impl<'r> Walk<'r> {
    pub(super) fn new(repository: &'r Repository, options: &MarkOptions<'r>) -> Result<Self, Error> {
        Ok(Self {
            repository,
            reader: ChunkReader::new(repository),
            resolver: Resolver::new(repository.index(), options.damaged)?,
            refuse_losses: options.refuse_losses,
            check_links: options.check_links,
            clean: LiveSet::default(),
            unclean: LiveSet::default(),
            again_count: 0,
            spans: Spans::default(),
            links: LinkGroups::default(),
            losses: Losses::default(),
            stats: MarkStats::default(),
            snapshot: SnapshotId([0; 32]),
            path: Vec::new(),
            stack: Vec::new(),
        })
    }

    pub(super) fn finish(self) -> Marked {
        Marked {
            live: self.resolver.live,
            needed: self.resolver.needed,
            losses: self.losses,
            stats: self.stats,
        }
    }

    /// Walks one snapshot.
    pub(super) fn snapshot(&mut self, id: &SnapshotId, root: &ChunkId) -> Result<(), Error> {
        self.stats.snapshots += 1;
        self.snapshot = *id;
        self.path.clear();
        self.links.clear();
        (self.unclean, self.again_count) = (LiveSet::default(), 0);
        self.enter(root, true)?;
        while let Some(frame) = self.stack.last_mut() {
            self.repository.check_stop()?;
            self.path.truncate(frame.path_bytes);
            match frame.children.next() {
                None => self.leave()?,
                Some(Child { id, name: None }) => self.enter(&id, false)?,
                Some(Child { id, name: Some(name) }) => {
                    self.path.push(b'/');
                    self.path.extend_from_slice(&name);
                    self.enter(&id, true)?;
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, kind: LossKind, causes: &Causes) -> Result<(), Error> {
        let path = std::mem::take(&mut self.path);
        let outcome = self.record_at(&path, kind, causes);
        self.path = path;
        outcome
    }

    fn record_at(&mut self, path: &[u8], kind: LossKind, causes: &Causes) -> Result<(), Error> {
        if self.refuse_losses {
            let object = format!("{} of snapshot {}", escape_name(path), self.snapshot.short());
            let reason = match causes.first() {
                Some(Cause::Pack(pack)) => format!("pack {pack} cannot be read"),
                Some(Cause::MissingChunk(id)) => format!("chunk {} is missing from the index", id.short()),
                Some(Cause::Broken(reason)) => reason.clone(),
                None => "cannot be read".to_owned(),
            };
            return Err(Error::Damaged { object, reason });
        }
        self.losses.record(self.snapshot, path, kind, causes);
        Ok(())
    }

    /// Notes that a tree chunk cannot be had: a loss of the directory that it belongs to.
    fn lose_tree(&mut self, is_root: bool, causes: Causes) -> Result<(), Error> {
        if is_root {
            self.record(LossKind::Directory, &causes)?;
        }
        if let Some(parent) = self.stack.last_mut() {
            parent.is_clean = false;
            if !is_root {
                parent.causes.extend(causes);
            }
        }
        Ok(())
    }

    /// Returns a chunk's plaintext and place, or why there is none.
    fn read(
        &mut self,
        id: &ChunkId,
        location: &ChunkLocation,
    ) -> Result<Result<bytes::Bytes, Causes>, Error> {
        match self.reader.read(Content::Tree, id) {
            Ok(plain) => Ok(Ok(plain)),
            Err(error) if error.is_damage() => {
                let copies = self.repository.index().locate_all(id)?;
                let mut causes: Causes = copies.iter().map(|copy| Cause::Pack(copy.block.pack)).collect();
                causes.insert(Cause::Pack(location.block.pack));
                Ok(Err(causes))
            }
            Err(error) => Err(error),
        }
    }

    fn find_one(&mut self, id: &ChunkId) -> Result<Result<ChunkLocation, Causes>, Error> {
        let found = self.resolver.find(Content::Tree, std::slice::from_ref(id))?.pop();
        Ok(found.unwrap_or_else(|| Err(Causes::from([Cause::MissingChunk(*id)]))))
    }

    /// Begins with a tree chunk: the root of the directory at the current path, or a further part of the one
    /// on top of the stack.
    fn enter(&mut self, id: &ChunkId, is_root: bool) -> Result<(), Error> {
        let location = match self.find_one(id)? {
            Ok(location) => location,
            Err(causes) => return self.lose_tree(is_root, causes),
        };
        let ordinal = location.ordinal;
        if self.clean.contains(ordinal) {
            if is_root {
                return Ok(());
            }
            if let Some(Span::Tree { level, first, last }) = self.spans.get(ordinal).cloned() {
                return self.join(level, Some(first), Some(last));
            }
        }
        if is_root && self.unclean.contains(ordinal) {
            self.again_count += 1;
            if self.again_count > WALKED_AGAIN_MAX {
                return self
                    .lose_tree(is_root, broken("damaged, as where else the snapshot has this directory"));
            }
        }
        let plain = match self.read(id, &location)? {
            Ok(plain) => plain,
            Err(causes) => return self.lose_tree(is_root, causes),
        };
        self.stats.tree_chunks += 1;
        let chunk = match TreeChunk::decode(&plain) {
            Ok(chunk) => chunk,
            Err(error) => return self.lose_tree(is_root, broken(&error.to_string())),
        };
        self.push(ordinal, chunk, is_root)
    }

    /// Puts a decoded tree chunk on the stack.
    fn push(&mut self, ordinal: u64, chunk: TreeChunk, is_root: bool) -> Result<(), Error> {
        let parent_depth = self.stack.last().map_or(0, |parent| parent.depth + 1);
        let depth = if is_root { parent_depth } else { parent_depth.saturating_sub(1) };
        if depth > TREE_DEPTH_MAX {
            return self.lose_tree(is_root, broken("directories are nested too deep"));
        }
        if is_root {
            self.stats.directories += 1;
            self.repository.progress().current(&self.path);
        }
        let mut frame = Frame {
            ordinal,
            level: 0,
            is_root,
            path_bytes: self.path.len(),
            depth,
            children: Vec::new().into_iter(),
            is_clean: true,
            first: None,
            last: None,
            causes: Causes::new(),
        };
        match chunk {
            TreeChunk::Inner { level, children } => {
                let children: Vec<Child> = children.into_iter().map(|id| Child { id, name: None }).collect();
                (frame.level, frame.children) = (level, children.into_iter());
            }
            TreeChunk::Leaf(nodes) => {
                if nodes.is_empty() && !is_root {
                    return self.lose_tree(is_root, broken("empty leaf of a directory"));
                }
                frame.first = nodes.first().map(|node| node.name.clone());
                frame.last = nodes.last().map(|node| node.name.clone());
                frame.is_clean = self.leaf(&nodes)?;
                let below = nodes.into_iter().filter_map(|node| match node.kind {
                    NodeKind::Directory { tree } => Some(Child { id: tree, name: Some(node.name) }),
                    _ => None,
                });
                frame.children = below.collect::<Vec<_>>().into_iter();
            }
        }
        self.stack.push(frame);
        Ok(())
    }

    /// Ends the tree chunk on top of the stack.
    fn leave(&mut self) -> Result<(), Error> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        if frame.is_clean && frame.causes.is_empty() {
            self.clean.insert(frame.ordinal);
            if let (false, Some(first), Some(last)) = (frame.is_root, &frame.first, &frame.last) {
                let span = Span::Tree { level: frame.level, first: first.clone(), last: last.clone() };
                self.spans.put(frame.ordinal, span);
            }
        } else {
            if frame.is_root {
                self.unclean.insert(frame.ordinal);
            }
            if let Some(parent) = self.stack.last_mut() {
                parent.is_clean = false;
            }
        }
        if frame.is_root {
            return match frame.causes.is_empty() {
                true => Ok(()),
                false => self.record(LossKind::Directory, &frame.causes),
            };
        }
        if let Some(parent) = self.stack.last_mut() {
            parent.causes.extend(frame.causes);
        }
        self.join(frame.level, frame.first, frame.last)
    }

    /// Checks a part of a directory against its parent and the part before it.
    fn join(&mut self, level: u8, first: Option<Vec<u8>>, last: Option<Vec<u8>>) -> Result<(), Error> {
        let Some(parent) = self.stack.last_mut() else { return Ok(()) };
        if level.checked_add(1) != Some(parent.level) {
            parent.causes.extend(broken("level of a tree chunk differs from what its parent says"));
        }
        if let (Some(before), Some(first)) = (&parent.last, &first)
            && before >= first
        {
            parent.causes.extend(broken("names are not in ascending order"));
        }
        if parent.first.is_none() {
            parent.first = first;
        }
        parent.last = last.or(parent.last.take());
        Ok(())
    }

    /// Looks up what the files of a leaf need. Returns whether the leaf need not be seen again.
    fn leaf(&mut self, nodes: &[Node]) -> Result<bool, Error> {
        let mut is_clean = true;
        let inline: Vec<ChunkRef> = nodes.iter().flat_map(inline_chunks).copied().collect();
        let mut verdicts = self.data(&inline)?.into_iter();
        for node in nodes {
            let mut causes = Causes::new();
            for verdict in verdicts.by_ref().take(inline_chunks(node).len()) {
                add_causes(&mut causes, verdict.err().into_iter().flatten());
            }
            if let NodeKind::File { size_bytes, content, .. } = &node.kind {
                self.stats.files += 1;
                if let FileContent::List { root, level, chunk_count } = content {
                    let counted = self.list(root, *level, *size_bytes, &mut causes)?;
                    if counted.is_some_and(|counted| counted != *chunk_count) {
                        causes.extend(broken("number of chunks differs from what the node says"));
                    }
                }
            }
            if self.check_links && node.link_device.is_some() {
                // Its group may have names elsewhere that differ from snapshot to snapshot.
                is_clean = false;
                if !self.links.agrees(node) {
                    causes.extend(broken("differs from another name of its hard-link group"));
                }
            }
            if !causes.is_empty() {
                is_clean = false;
                let path = [self.path.as_slice(), b"/", &node.name].concat();
                self.record_at(&path, LossKind::File, &causes)?;
            }
        }
        Ok(is_clean)
    }

    /// Finds data chunks and compares their lengths.
    fn data(&mut self, chunks: &[ChunkRef]) -> Result<Vec<Result<(), Causes>>, Error> {
        self.stats.data_chunks += u64::try_from(chunks.len()).unwrap_or(u64::MAX);
        let ids: Vec<ChunkId> = chunks.iter().map(|chunk| chunk.id).collect();
        let found = self.resolver.find(Content::Data, &ids)?;
        let judge = |(chunk, found): (&ChunkRef, Result<ChunkLocation, Causes>)| match found {
            Ok(location) if location.length_bytes == chunk.length_bytes => Ok(()),
            Ok(_) => Err(broken("length of a chunk differs from what the file says")),
            Err(causes) => Err(causes),
        };
        Ok(chunks.iter().zip(found).map(judge).collect())
    }

    /// Walks a chunk list; recursion ends with its levels. Returns how many data chunks it has, unless some
    /// are lost.
    fn list(
        &mut self,
        id: &ChunkId,
        level: u8,
        content_bytes: u64,
        causes: &mut Causes,
    ) -> Result<Option<u64>, Error> {
        self.repository.check_stop()?;
        let location = match self.find_one(id)? {
            Ok(location) => location,
            Err(lost) => return lose(causes, lost),
        };
        let expected = (level, content_bytes);
        let differs = || broken("level or length of a chunk list differs from what its parent says");
        if self.clean.contains(location.ordinal)
            && let Some(span) = self.spans.get(location.ordinal)
            && let Span::List { level, content_bytes, chunk_count } = span
        {
            return match (*level, *content_bytes) == expected {
                true => Ok(Some(*chunk_count)),
                false => lose(causes, differs()),
            };
        }
        let plain = match self.read(id, &location)? {
            Ok(plain) => plain,
            Err(lost) => return lose(causes, lost),
        };
        self.stats.list_chunks += 1;
        let chunk = match ListChunk::decode(&plain) {
            Ok(chunk) => chunk,
            Err(error) => return lose(causes, broken(&error.to_string())),
        };
        if (chunk.level, chunk.content_bytes()) != expected || u64::from(level) > LIST_LEVEL_MAX {
            return lose(causes, differs());
        }
        let mut own = Causes::new();
        let mut chunk_count = 0_u64;
        if level == 0 {
            let chunks = chunk.entries.iter().map(|entry| ChunkRef {
                id: entry.id,
                length_bytes: u32::try_from(entry.content_bytes).unwrap_or(u32::MAX),
            });
            let chunks: Vec<ChunkRef> = chunks.collect();
            chunk_count = u64::try_from(chunks.len()).unwrap_or(u64::MAX);
            add_causes(&mut own, self.data(&chunks)?.into_iter().filter_map(Result::err).flatten());
        } else {
            for entry in &chunk.entries {
                let below = self.list(&entry.id, level - 1, entry.content_bytes, &mut own)?;
                chunk_count = chunk_count.saturating_add(below.unwrap_or(0));
            }
        }
        if !own.is_empty() {
            return lose(causes, own);
        }
        self.clean.insert(location.ordinal);
        self.spans.put(location.ordinal, Span::List { level, content_bytes, chunk_count });
        Ok(Some(chunk_count))
    }
}

fn lose(causes: &mut Causes, more: Causes) -> Result<Option<u64>, Error> {
    add_causes(causes, more);
    Ok(None)
}

fn inline_chunks(node: &Node) -> &[ChunkRef] {
    match &node.kind {
        NodeKind::File { content: FileContent::Inline(chunks), .. } => chunks,
        _ => &[],
    }
}
