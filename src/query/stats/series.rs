//! Growth: what each snapshot of a path added to those before it.

use super::super::QueryError;
use super::super::walk::{Place, resolve};
use super::ChunkStats;
use super::counter::{Counter, Tally};
use crate::base::{SnapshotId, Time};
use crate::format::snapshot::Snapshot;
use crate::repository::ChunkReader;

/// What one snapshot has of a path, and what of that no earlier one of the series has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRow {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its time.
    pub time: Time,
    /// Files at or below the path.
    pub files: u64,
    /// Content of these files.
    pub content_bytes: u64,
    /// Distinct chunks of content that no earlier snapshot of the series needs.
    pub added: ChunkStats,
    /// Distinct chunks of trees and chunk lists that no earlier snapshot of the series needs.
    pub metadata: ChunkStats,
}

impl SeriesRow {
    /// Returns what the snapshot added to the store, metadata included.
    pub fn stored_bytes(&self) -> u64 {
        self.added.stored_bytes + self.metadata.stored_bytes
    }

    /// Counts `path` in each of `snapshots` that has it, in the order of their times. Takes three bits for
    /// each chunk that the index knows.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] when no snapshot has it; also damage: sums over what is left would mislead.
    pub fn series(
        reader: &ChunkReader<'_>,
        snapshots: &[(SnapshotId, &Snapshot)],
        path: &[u8],
    ) -> Result<Vec<Self>, QueryError> {
        let mut snapshots = snapshots.to_vec();
        snapshots.sort_by_key(|(id, snapshot)| (snapshot.time, *id));
        let mut counter = Counter::new(reader)?;
        counter.set_group(0);
        let mut rows = Vec::new();
        for &(id, snapshot) in &snapshots {
            let place = match resolve(reader, &snapshot.root, Some(path)) {
                Ok(place) => place,
                Err(QueryError::NotFound { .. } | QueryError::NotADirectory { .. }) => continue,
                Err(error) => return Err(error),
            };
            let mut tally = Tally::default();
            match (place.tree(), &place) {
                (Some(tree), _) => tally = counter.count_tree(tree)?,
                (None, Place::Node { node, path }) => {
                    counter.count_file(node, &mut tally).map_err(|error| QueryError::at(path, error))?;
                }
                (None, Place::Root { .. }) => {}
            }
            counter.look_up()?;
            let [added, metadata] = counter.group_stats(0);
            counter.clear_sums();
            let (files, content_bytes) = tally.file_sums();
            rows.push(Self { snapshot: id, time: snapshot.time, files, content_bytes, added, metadata });
        }
        if rows.is_empty() && !snapshots.is_empty() {
            return Err(QueryError::NotFound { path: path.to_vec() });
        }
        Ok(rows)
    }
}
