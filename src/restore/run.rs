//! What all parts of one restore share.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::Stat;

use super::RestoreError;
use super::error::is_fatal;
use super::files::{Ending, FileJob, FileWriter};
use super::metadata::{MetadataSetter, Problem};
use super::options::{Overwrite, RestoreOptions, RestoreStats};
use super::place::{Target, kind_of};
use crate::base::Time;
use crate::base::escape::escape_name;
use crate::format::node::{Node, NodeKind};
use crate::repository::{ChunkReader, Error, Repository, describe};

/// Warnings about metadata that are shown; further ones are counted.
const WARNINGS_SHOWN_MAX: u64 = 100;

/// One restore.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) reader: &'a ChunkReader<'a>,
    pub(super) target: &'a Target,
    pub(super) options: &'a RestoreOptions,
    /// Absolute paths that the snapshot holds whole.
    pub(super) sources: &'a [Vec<u8>],
    pub(super) metadata: MetadataSetter,
    pub(super) files: FileWriter<'a>,
    stats: Mutex<RestoreStats>,
    /// One bit for each entry of the walk: whether this run restored it.
    restored: Mutex<Vec<u64>>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        reader: &'a ChunkReader<'a>,
        target: &'a Target,
        sources: &'a [Vec<u8>],
        options: &'a RestoreOptions,
    ) -> Self {
        Self {
            reader,
            target,
            options,
            sources,
            metadata: MetadataSetter::new(options.ownership),
            files: FileWriter::new(target, options.sparse),
            stats: Mutex::default(),
            restored: Mutex::default(),
        }
    }

    pub(super) fn repository(&self) -> &Repository {
        self.reader.repository()
    }

    pub(super) fn stats(&self) -> MutexGuard<'_, RestoreStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_stats(&self) -> RestoreStats {
        std::mem::take(&mut *self.stats())
    }

    /// Remembers that this run restored the entry.
    pub(super) fn set_restored(&self, ordinal: u64) {
        let mut bits = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        let word = usize::try_from(ordinal / 64).unwrap_or(usize::MAX);
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        bits[word] |= 1 << (ordinal % 64);
    }

    /// Tells whether this run restored the entry.
    pub(super) fn is_restored(&self, ordinal: u64) -> bool {
        let bits = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        let word = usize::try_from(ordinal / 64).unwrap_or(usize::MAX);
        bits.get(word).is_some_and(|bits| bits & (1 << (ordinal % 64)) != 0)
    }

    /// Names an entry that stored damage keeps from being restored.
    pub(super) fn damaged(&self, path: &[u8], error: &Error) {
        let mut stats = self.stats();
        stats.damaged = true;
        stats.fail(path, describe(error));
    }

    /// Gives up a file for stored damage.
    pub(super) fn damage_file(&self, job: &FileJob, error: &Error) {
        self.stats().damaged = true;
        job.fail(describe(error));
    }

    /// Names an entry that the target does not take; ends the run when it takes nothing any more.
    pub(super) fn refused(
        &self,
        path: &[u8],
        action: &'static str,
        error: io::Error,
    ) -> Result<(), RestoreError> {
        if is_fatal(&error) {
            return Err(RestoreError::target(self.target.full_path(path), action, error));
        }
        self.stats().fail(path, format!("cannot {action} it: {error}"));
        Ok(())
    }

    /// Gives up a file that the target does not take.
    pub(super) fn refuse_file(
        &self,
        job: &FileJob,
        action: &'static str,
        error: io::Error,
    ) -> Result<(), RestoreError> {
        if is_fatal(&error) {
            return Err(RestoreError::target(self.target.full_path(&job.path), action, error));
        }
        job.fail(format!("cannot {action} it: {error}"));
        Ok(())
    }

    /// Counts metadata that could not be set.
    pub(super) fn note_problem(&self, path: &[u8], problem: Option<Problem>) {
        let Some(problem) = problem else { return };
        let count = {
            let mut stats = self.stats();
            stats.metadata_warnings += 1;
            stats.metadata_warnings
        };
        if count <= WARNINGS_SHOWN_MAX {
            let text = format!("{}: cannot set its {}: {}", escape_name(path), problem.what, problem.error);
            self.repository().progress().warn(&text);
        }
    }

    /// Ends a file and counts it.
    pub(super) fn finish_file(&self, job: &FileJob) -> Result<(), RestoreError> {
        match self.files.finish(job, &self.metadata) {
            Ok(Ending::Restored(problem)) => {
                self.note_problem(&job.path, problem);
                self.set_restored(job.ordinal);
                self.stats().files += 1;
            }
            Ok(Ending::Failed(reason)) => self.stats().fail(&job.path, reason),
            Err(error) => self.refused(&job.path, "finish", error)?,
        }
        self.repository().progress().advance(1, 0);
        Ok(())
    }
}

/// What to do about one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is there.
    Make,
    /// Put it in the place of what is there.
    Replace,
    /// Leave what is there.
    Skip,
}

/// Decides by what is there, `None` for nothing.
pub(super) fn judge(overwrite: Overwrite, node: &Node, existing: Option<&Stat>) -> Verdict {
    let Some(stat) = existing else { return Verdict::Make };
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    let mtime = Time { seconds: stat.st_mtime as _, nanoseconds };
    let is_left = match overwrite {
        Overwrite::Always => false,
        Overwrite::Never => true,
        Overwrite::IfNewer => node.mtime <= mtime,
        Overwrite::IfChanged => {
            let is_file = matches!(node.kind, NodeKind::File { .. })
                && kind_of(stat) == rustix::fs::FileType::RegularFile;
            is_file && node.mtime == mtime && u64::try_from(stat.st_size) == Ok(node.size_bytes())
        }
    };
    if is_left { Verdict::Skip } else { Verdict::Replace }
}
