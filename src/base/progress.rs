//! How work reports itself: the library tells, the command line shows.

use std::fmt::Debug;

/// What a run does at the moment; each phase restarts the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Bringing the local index up to date.
    Index,
    /// Reading sources and storing them.
    Backup,
    /// Writing files.
    Restore,
    /// Reading every byte, or the structure.
    Check,
    /// Finding what is in use.
    Mark,
    /// Moving live chunks into new packs.
    Repack,
    /// Deleting objects.
    Delete,
    /// Copying to another repository.
    Copy,
}

impl Phase {
    /// Returns the word for people and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Check => "check",
            Self::Mark => "mark",
            Self::Repack => "repack",
            Self::Delete => "delete",
            Self::Copy => "copy",
        }
    }
}

/// Receives what a run does. Calls come from several threads and must return quickly.
pub trait Progress: Send + Sync + Debug {
    /// A phase begins; totals are `None` until known.
    fn begin(&self, phase: Phase, total_files: Option<u64>, total_bytes: Option<u64>);
    /// Totals of the current phase became known or grew.
    fn totals(&self, files: u64, bytes: u64);
    /// `files` and `bytes` more are done.
    fn advance(&self, files: u64, bytes: u64);
    /// `bytes` more went to the repository.
    fn stored(&self, bytes: u64);
    /// This is being worked on now (a path or an object name, raw bytes).
    fn current(&self, item: &[u8]);
    /// Something a person should know that does not stop the run.
    fn warn(&self, message: &str);
    /// One source could not be read, or changed meanwhile: path and reason. The run goes on.
    fn source_error(&self, path: &[u8], reason: &str);
    /// The current phase is over.
    fn end(&self);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&self, _: Phase, _: Option<u64>, _: Option<u64>) {}
    fn totals(&self, _: u64, _: u64) {}
    fn advance(&self, _: u64, _: u64) {}
    fn stored(&self, _: u64) {}
    fn current(&self, _: &[u8]) {}
    fn warn(&self, _: &str) {}
    fn source_error(&self, _: &[u8], _: &str) {}
    fn end(&self) {}
}
