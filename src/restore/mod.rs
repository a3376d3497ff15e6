//! Snapshot → files, tar or stdout.
//!
//! ```text
//! walk 1   directories, and files in rounds:   references → what the target has → packs → write → finish
//! walk 2   further names, special files, symlinks; on leaving a directory: deletions, its metadata;
//!          left out where the first found directories and files alone
//! walk 3   (verify) read again, compare
//! ```
//! Every chunk is compared with its id before it is written. Damage costs the files that need the damaged
//! chunks, each of which is named, and nothing else. Below the target no symlink is ever followed. Memory is
//! bounded by [`BatchLimits`] and the bytes in flight, not by the snapshot, except for one bit an entry and
//! the names of up to a million hard-link groups.

mod accounts;
mod archive;
mod batch;
mod delete;
mod dump;
mod error;
mod fetch;
mod files;
mod files_pass;
mod links_pass;
mod metadata;
mod options;
mod place;
mod plan;
mod round;
mod run;
mod steps;
mod stream;
mod verify;
mod walk;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

pub use archive::dump_tar;
pub use dump::dump;
pub use error::RestoreError;
pub use options::{
    Action, BatchLimits, DumpStats, FailedItem, Overwrite, Planned, RestoreOptions, RestoreStats,
};

use crate::base::Phase;
use crate::format::snapshot::Snapshot;
use crate::repository::{ChunkReader, Repository};
use files_pass::FilesPass;
use links_pass::LinksPass;
use place::Target;
use plan::PlanPass;
use run::Run;
use verify::VerifyPass;
use walk::{Scope, Selection, Start, resolve, walk};

/// Restores a snapshot, or what is at `path` in it, into the target directory.
///
/// What is below a directory at `path` goes right into the target; anything else at `path` becomes an entry
/// of the target. Without `path` the whole paths are made below the target.
///
/// # Errors
/// When the repository or the target cannot go on. What concerns single entries is in the result: look at
/// [`RestoreStats::failed_count`] and [`RestoreStats::damaged`]. A run that stops early leaves files that the
/// next run goes on with.
pub fn restore(
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    path: Option<&[u8]>,
    options: &RestoreOptions,
) -> Result<RestoreStats, RestoreError> {
    let reader = ChunkReader::new(repository);
    let scope = resolve(&reader, snapshot, path)?;
    if options.delete && scope.prefix.is_empty() {
        let reason = "deleting needs a path in the snapshot, so that it is clear what the target stands for";
        return Err(RestoreError::Options { reason });
    }
    repository.progress().begin(Phase::Restore, None, None);
    let stats = if options.dry_run {
        plan_restore(&reader, snapshot, &scope, options)
    } else {
        run_restore(&reader, snapshot, &scope, options)
    };
    repository.progress().end();
    stats
}

fn run_restore(
    reader: &ChunkReader<'_>,
    snapshot: &Snapshot,
    scope: &Scope,
    options: &RestoreOptions,
) -> Result<RestoreStats, RestoreError> {
    let missing = || RestoreError::target(&options.target, "open", std::io::ErrorKind::NotFound);
    let target = Target::open(&options.target, true)?.ok_or_else(missing)?;
    let run = Run::new(reader, &target, &snapshot.paths, options);
    let selection = Selection::of(options);
    let carried = std::thread::scope(|threads| {
        let mut files = FilesPass::new(&run, threads);
        walk(reader, scope, selection, &mut files)?;
        files.finish()
    })?;
    LinksPass::new(&run, carried, selection, &scope.prefix).finish(scope)?;
    if options.sync {
        rustix::fs::syncfs(target.root())
            .map_err(|error| RestoreError::target(&options.target, "write", error))?;
    }
    if options.verify {
        let mut verify = VerifyPass::new(&run);
        walk(reader, scope, selection, &mut verify)?;
        verify.finish()?;
    }
    Ok(run.take_stats())
}

fn plan_restore(
    reader: &ChunkReader<'_>,
    snapshot: &Snapshot,
    scope: &Scope,
    options: &RestoreOptions,
) -> Result<RestoreStats, RestoreError> {
    let found = Target::open(&options.target, false)?;
    let has_target = found.is_some();
    // Without a target nothing of this directory is looked at.
    let missing = || RestoreError::target(&options.target, "open", std::io::ErrorKind::NotFound);
    let target = match found {
        Some(target) => target,
        None => Target::open(Path::new("/"), false)?.ok_or_else(missing)?,
    };
    let run = Run::new(reader, &target, &snapshot.paths, options);
    let selection = Selection::of(options);
    let prefix = &scope.prefix;
    walk(reader, scope, selection, &mut PlanPass { run: &run, has_target, selection, prefix })?;
    Ok(run.take_stats())
}

/// Tells whether a scope is one regular file.
fn is_file(scope: &Scope) -> bool {
    use crate::format::node::NodeKind;
    matches!(&scope.start, Start::Single(node) if matches!(node.kind, NodeKind::File { .. }))
}
