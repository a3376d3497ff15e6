//! Copying snapshots to another repository.
//!
//! Ids are keyed by repository, so every chunk is read, named anew, and stored unless the target has it;
//! trees and lists are written anew around the new ids. Cut points stay, so copies share as their originals
//! do; so do bases, where the target has them, and the copies are about as dense. What was copied in this run
//! is remembered in caches of fixed size, by tree and by chunk.

pub(in crate::maintain) mod cache;
mod content;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{ChunkId, IndexId, Phase, SnapshotId, Time};
use crate::format::node::{FileContent, NodeKind};
use crate::format::snapshot::Snapshot;
use crate::query::select::{SnapshotFilter, SnapshotSummary};
use crate::repository::{
    ChunkReader, ChunkWriter, DirectoryWriter, Error, Repository, Standing, TreeCursor, WriterStats,
    find_path, seen_digest,
};
use cache::Cache;
use content::{Contents, OlderList};

/// Trees remembered.
const TREES_MAX: usize = 100_000;

/// Which snapshots to copy: those named, or all that pass the filter when none is named.
#[derive(Debug, Clone, Default)]
pub struct CopySelection {
    /// These.
    pub ids: Vec<SnapshotId>,
    /// Those that pass.
    pub filter: SnapshotFilter,
}

/// A snapshot that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedSnapshot {
    /// Its id in the source.
    pub source: SnapshotId,
    /// Its id in the target; `None` in a dry run.
    pub target: Option<SnapshotId>,
    /// Its time.
    pub time: Time,
}

/// What a copy did; with `dry_run` what it would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyReport {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Snapshots copied, oldest first.
    pub copied: Vec<CopiedSnapshot>,
    /// Snapshots that the target had already.
    pub skipped: u64,
    /// What was stored in the target, index objects included.
    pub stored: WriterStats,
}

/// Copies snapshots of `source` that `target` does not have, oldest first.
///
/// Content, metadata and all that snapshots say is equal in the copy; its `original` names the first of its
/// line, its `parent` the copy of the parent where the target has one. A dry run reads snapshots only. An
/// interrupted copy goes on with the snapshots that are missing.
///
/// # Errors
/// A chunk that is missing or damaged in the source: its snapshot is not copied, earlier ones are.
pub fn copy(
    source: &Arc<Repository>,
    target: &Arc<Repository>,
    selection: &CopySelection,
    dry_run: bool,
) -> Result<CopyReport, Error> {
    let mut report = CopyReport { dry_run, ..CopyReport::default() };
    let (mut present, mut newest) = lines(target)?;
    let chosen = choose(source, selection)?;
    let total = u64::try_from(chosen.len()).unwrap_or(u64::MAX);
    source.progress().begin(Phase::Copy, Some(total), None);
    let mut copier = Copier {
        reader: ChunkReader::new(source),
        trees: Cache::new(TREES_MAX),
        contents: Contents::default(),
        target_index: BTreeSet::new(),
    };
    for (id, snapshot) in chosen {
        source.check_stop()?;
        let line = snapshot.original.unwrap_or(id);
        if present.contains_key(&line) {
            report.skipped += 1;
            source.progress().advance(1, 0);
            continue;
        }
        let time = snapshot.time;
        let mut copied = None;
        if !dry_run {
            let parent = snapshot.parent.and_then(|parent| present.get(&parent).copied());
            let series = series_of(&snapshot);
            let older = parent.or(newest.get(&series).map(|(_, id)| *id));
            let (new, stats) = copier.snapshot(target, line, snapshot, Before { parent, older })?;
            report.stored = sum(report.stored, stats);
            newest.insert(series, (time, new));
            copied = Some(new);
        }
        present.insert(line, copied.unwrap_or(line));
        present.insert(id, copied.unwrap_or(line));
        report.copied.push(CopiedSnapshot { source: id, target: copied, time });
        source.progress().advance(1, 0);
    }
    source.progress().end();
    if !dry_run {
        target.keep_reserve();
    }
    Ok(report)
}

/// What the snapshots of one series have in common: host, job and paths.
type Series = (String, String, Vec<Vec<u8>>);

fn series_of(snapshot: &Snapshot) -> Series {
    (snapshot.host.clone(), snapshot.job.clone(), snapshot.paths.clone())
}

/// Snapshots by the first id of their line, and the newest of each series.
type Lines = (BTreeMap<SnapshotId, SnapshotId>, BTreeMap<Series, (Time, SnapshotId)>);

/// Returns what snapshots `target` has.
fn lines(target: &Repository) -> Result<Lines, Error> {
    let (snapshots, bad) = target.load_snapshots()?;
    for error in bad {
        target.progress().warn(&format!("a snapshot of the target cannot be read: {error}"));
    }
    let (mut lines, mut newest) = (BTreeMap::new(), BTreeMap::new());
    for (id, snapshot) in snapshots {
        let last = newest.entry(series_of(&snapshot)).or_insert((snapshot.time, id));
        *last = (*last).max((snapshot.time, id));
        lines.insert(snapshot.original.unwrap_or(id), id);
        lines.insert(id, id);
    }
    Ok((lines, newest))
}

/// Returns what is to be copied, oldest first.
fn choose(source: &Repository, selection: &CopySelection) -> Result<Vec<(SnapshotId, Snapshot)>, Error> {
    let mut chosen = Vec::new();
    if selection.ids.is_empty() {
        let (snapshots, bad) = source.load_snapshots()?;
        if let Some(error) = bad.into_iter().next() {
            return Err(error);
        }
        let passes = |(id, snapshot): &(SnapshotId, Snapshot)| {
            selection.filter.matches(&SnapshotSummary::new(*id, snapshot))
        };
        chosen.extend(snapshots.into_iter().filter(passes));
    }
    for id in &selection.ids {
        chosen.push((*id, source.load_snapshot(id)?));
    }
    chosen.sort_by_key(|(id, snapshot)| (snapshot.time, *id));
    chosen.dedup_by_key(|(id, _)| *id);
    Ok(chosen)
}

fn sum(a: WriterStats, b: WriterStats) -> WriterStats {
    WriterStats {
        new_chunks: a.new_chunks + b.new_chunks,
        new_data_bytes: a.new_data_bytes + b.new_data_bytes,
        new_tree_bytes: a.new_tree_bytes + b.new_tree_bytes,
        stored_bytes: a.stored_bytes + b.stored_bytes,
        packs: a.packs + b.packs,
        fallbacks: a.fallbacks + b.fallbacks,
    }
}

/// Reads the source, and remembers what its ids became.
#[derive(Debug)]
struct Copier<'s> {
    reader: ChunkReader<'s>,
    trees: Cache,
    contents: Contents,
    /// Index objects of the target when the last snapshot began.
    target_index: BTreeSet<IndexId>,
}

/// Snapshots of the target that a copy comes after.
#[derive(Debug, Clone, Copy)]
struct Before {
    /// The copy of its parent.
    parent: Option<SnapshotId>,
    /// One that is likely to be much like it.
    older: Option<SnapshotId>,
}

/// A tree of the target that is likely to be much like what is copied.
#[derive(Debug, Clone, Copy)]
struct OlderTree<'a, 't> {
    reader: &'a ChunkReader<'t>,
    root: Option<ChunkId>,
}

impl<'a, 't> OlderTree<'a, 't> {
    /// Returns the list that a file has there, if it is long enough for one and the new one is.
    fn list(&self, path: &[u8], new: &FileContent) -> Result<OlderList<'a, 't>, Error> {
        let (Some(root), FileContent::List { .. }) = (self.root, new) else {
            return Ok(OlderList::default());
        };
        let kind = match find_path(self.reader, &root, path) {
            Ok(node) => node.map(|node| node.kind),
            // What is damaged cannot help, and need not harm.
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        Ok(match kind {
            Some(NodeKind::File { size_bytes, content: content @ FileContent::List { .. }, .. }) => {
                OlderList::new(self.reader, &content, size_bytes)
            }
            _ => OlderList::default(),
        })
    }
}

/// A directory under way.
#[derive(Debug)]
struct Frame<'a, 's> {
    tree: ChunkId,
    /// Its path, with a slash behind.
    path: Vec<u8>,
    cursor: TreeCursor<'a, 's>,
    writer: DirectoryWriter,
    /// The node that stands for the directory below, once that is done.
    waiting: Option<crate::format::node::Node>,
}

impl<'s> Copier<'s> {
    fn snapshot(
        &mut self,
        target: &Arc<Repository>,
        line: SnapshotId,
        snapshot: Snapshot,
        before: Before,
    ) -> Result<(SnapshotId, WriterStats), Error> {
        target.sync_index()?;
        let standing = Standing::look(target)?;
        let seen = seen_digest(&target.snapshot_ids()?);
        self.forget_lost(target)?;
        let mut writer = ChunkWriter::new(target.clone(), false)?;
        let older = ChunkReader::new(target);
        let older_root = match before.older.map(|id| target.load_snapshot(&id)) {
            Some(Ok(snapshot)) => Some(snapshot.root),
            Some(Err(error)) if !error.is_damage() => return Err(error),
            _ => None,
        };
        let older = OlderTree { reader: &older, root: older_root };
        let root = self.tree(snapshot.root, older, &mut writer)?;
        let stats = writer.finish()?;
        standing.require(target)?;
        let repository = target.keys().repository();
        let parent = before.parent;
        let copy = Snapshot { repository, root, parent, original: Some(line), seen, ..snapshot };
        Ok((target.store_snapshot(&copy)?, stats))
    }

    /// Copies the tree `root` and all below, depth first, and returns its new root.
    fn tree(
        &mut self,
        root: ChunkId,
        older: OlderTree<'_, '_>,
        writer: &mut ChunkWriter,
    ) -> Result<ChunkId, Error> {
        if let Some(known) = self.trees.get(&root) {
            return Ok(known);
        }
        let Self { reader, trees, contents, .. } = self;
        let open = |tree: ChunkId, path: Vec<u8>| -> Result<Frame<'_, 's>, Error> {
            let cursor = TreeCursor::new(reader, &tree)?;
            Ok(Frame { tree, path, cursor, writer: DirectoryWriter::new(), waiting: None })
        };
        let mut frames = vec![open(root, Vec::new())?];
        let mut done: Option<ChunkId> = None;
        while let Some(frame) = frames.last_mut() {
            if let (Some(mut node), Some(tree)) = (frame.waiting.take(), done.take()) {
                node.kind = NodeKind::Directory { tree };
                frame.writer.push(&node, writer)?;
            }
            reader.repository().check_stop()?;
            let Some(mut node) = frame.cursor.next_node()? else {
                if let Some(frame) = frames.pop() {
                    let new = frame.writer.finish(writer)?;
                    trees.put(frame.tree, new);
                    done = Some(new);
                }
                continue;
            };
            match node.kind {
                NodeKind::Directory { tree } => match trees.get(&tree) {
                    Some(tree) => {
                        node.kind = NodeKind::Directory { tree };
                        frame.writer.push(&node, writer)?;
                    }
                    None => {
                        let path = [&frame.path, &node.name[..], b"/"].concat();
                        frame.waiting = Some(node);
                        require_depth(frames.len())?;
                        frames.push(open(tree, path)?);
                    }
                },
                NodeKind::File { size_bytes, class, content } => {
                    let older = older.list(&[&frame.path, &node.name[..]].concat(), &content)?;
                    let content = contents.copy(reader, class, (&content, size_bytes), older, writer)?;
                    node.kind = NodeKind::File { size_bytes, class, content };
                    frame.writer.push(&node, writer)?;
                }
                _ => frame.writer.push(&node, writer)?,
            }
        }
        done.ok_or(Error::Internal { what: "a tree without a root" })
    }

    /// Forgets everything when a prune has been at the target since: what is remembered may be gone.
    fn forget_lost(&mut self, target: &Repository) -> Result<(), Error> {
        let named = target.index().index_ids()?;
        let has_pending = target.index().packs()?.iter().any(|pack| pack.pending);
        if has_pending || !self.target_index.is_subset(&named) {
            self.trees.clear();
            self.contents.clear();
        }
        self.target_index = named;
        Ok(())
    }
}

/// Fails where a directory with `above` above it, the root among them, is deeper than the format permits.
pub(in crate::maintain) fn require_depth(above: usize) -> Result<(), Error> {
    if u64::try_from(above).unwrap_or(u64::MAX) <= crate::base::limits::TREE_DEPTH_MAX {
        return Ok(());
    }
    Err(Error::Damaged {
        object: "a tree".to_owned(),
        reason: "directories are nested too deeply".to_owned(),
    })
}
