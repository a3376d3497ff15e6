//! One file, in order, to a stream.

use std::io::Write;
use std::sync::Arc;

use super::options::DumpStats;
use super::stream::{Piece, stream};
use super::walk::resolve;
use super::{RestoreError, is_file};
use crate::base::Phase;
use crate::format::snapshot::Snapshot;
use crate::format::wire::length;
use crate::repository::{ChunkReader, Repository};

/// Writes the regular file at `path` to `out`. Blocks are fetched and decoded ahead, within a bound.
///
/// # Errors
/// [`RestoreError::Output`] when `out` fails; [`RestoreError::Content`] when a chunk is damaged: all before it was written.
pub fn dump(
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    path: &[u8],
    out: &mut dyn Write,
) -> Result<DumpStats, RestoreError> {
    let reader = ChunkReader::new(repository);
    let scope = resolve(&reader, snapshot, Some(path))?;
    if !is_file(&scope) {
        return Err(RestoreError::NotAFile { path: path.to_vec() });
    }
    repository.progress().begin(Phase::Restore, None, None);
    let outcome = stream(&reader, &scope, |pieces| {
        let mut stats = DumpStats::default();
        while let Some(piece) = pieces.next()? {
            repository.check_stop()?;
            match piece {
                Piece::Entry { node, .. } => {
                    repository.progress().totals(1, node.size_bytes());
                    stats.files += 1;
                    stats.entries += 1;
                }
                Piece::Content(bytes) => {
                    out.write_all(&bytes).map_err(RestoreError::Output)?;
                    stats.content_bytes += length(bytes.len());
                    repository.progress().advance(0, length(bytes.len()));
                }
            }
        }
        out.flush().map_err(RestoreError::Output)?;
        repository.progress().advance(1, 0);
        Ok(stats)
    });
    repository.progress().end();
    outcome
}
