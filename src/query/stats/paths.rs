//! Sizes by path: which folder takes what.

use std::collections::HashMap;

use super::super::QueryError;
use super::super::walk::{Entry, Step, TreeWalk};
use super::ChunkStats;
use super::counter::{Counter, Tally};
use crate::base::SnapshotId;
use crate::format::node::NodeKind;
use crate::format::snapshot::Snapshot;
use crate::repository::ChunkReader;

/// Paths that are counted each by itself; what comes after them counts for the root.
pub const PATH_COUNT_MAX: usize = 4_096;

/// What a set of snapshots has below one path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathStats {
    /// The whole path, raw bytes; `/` for the folders above all others, and for what is beyond
    /// [`PATH_COUNT_MAX`].
    pub path: Vec<u8>,
    /// Files, in every snapshot of the set.
    pub files: u64,
    /// Content of these files: what restoring every snapshot writes.
    pub content_bytes: u64,
    /// Their distinct chunks. One that several paths share counts for the path that it was met in first.
    pub unique: ChunkStats,
    /// Distinct chunks of trees and chunk lists.
    pub metadata: ChunkStats,
}

impl PathStats {
    /// Walks `snapshots` and counts by the first `depth` components (at least one) of each path; sorted by
    /// path. A file that lies less deep counts by itself.
    ///
    /// # Errors
    /// Also damage: sums over what is left would mislead.
    pub fn of(
        reader: &ChunkReader<'_>,
        snapshots: &[(SnapshotId, &Snapshot)],
        depth: u32,
    ) -> Result<Vec<Self>, QueryError> {
        let mut groups = Groups {
            counter: Counter::new(reader)?,
            places: HashMap::new(),
            stats: vec![Self { path: b"/".to_vec(), ..Self::default() }],
            depth: usize::try_from(depth.max(1)).unwrap_or(usize::MAX),
        };
        for (_, snapshot) in snapshots {
            let mut walk = TreeWalk::new(reader, snapshot.root, b"");
            while let Some(step) = walk.next_step()? {
                match step {
                    Step::Entry(entry) => {
                        if groups.count(&entry)? {
                            walk.skip_directory();
                        }
                    }
                    Step::Leave { tree_chunks, .. } => {
                        groups.counter.set_group(0);
                        groups.counter.add_metadata(&tree_chunks)?;
                    }
                }
            }
        }
        groups.counter.look_up()?;
        let mut stats = groups.stats;
        for (group, stats) in stats.iter_mut().enumerate() {
            [stats.unique, stats.metadata] = groups.counter.group_stats(group);
        }
        stats.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(stats)
    }
}

struct Groups<'a, 'r> {
    counter: Counter<'a, 'r>,
    places: HashMap<Vec<u8>, usize>,
    stats: Vec<PathStats>,
    depth: usize,
}

impl Groups<'_, '_> {
    /// Counts an entry with all below it; returns whether it did, which it does not for folders above
    /// `depth`.
    fn count(&mut self, entry: &Entry) -> Result<bool, QueryError> {
        let depth = entry.path.iter().filter(|byte| **byte == b'/').count();
        let tally = match &entry.node.kind {
            NodeKind::Directory { .. } if depth < self.depth => return Ok(false),
            NodeKind::Directory { tree } => {
                self.enter(&entry.path);
                self.counter.count_tree(*tree)?
            }
            NodeKind::File { .. } => {
                self.enter(&entry.path);
                let mut tally = Tally::default();
                let counted = self.counter.count_file(&entry.node, &mut tally);
                counted.map_err(|error| QueryError::at(&entry.path, error))?;
                tally
            }
            _ => return Ok(false),
        };
        let place = self.places.get(&entry.path).copied().unwrap_or(0);
        if let Some(stats) = self.stats.get_mut(place) {
            let (files, bytes) = tally.file_sums();
            stats.files += files;
            stats.content_bytes += bytes;
        }
        Ok(true)
    }

    fn enter(&mut self, path: &[u8]) {
        let place = match self.places.get(path) {
            Some(place) => *place,
            None if self.places.len() >= PATH_COUNT_MAX => 0,
            None => {
                self.stats.push(PathStats { path: path.to_vec(), ..PathStats::default() });
                let place = self.stats.len() - 1;
                self.places.insert(path.to_vec(), place);
                place
            }
        };
        self.counter.set_group(place);
    }
}
