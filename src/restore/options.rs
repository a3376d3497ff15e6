//! What a restore is asked for, and what it tells.

use std::path::PathBuf;

use crate::source::{Filter, IncludeSet};

/// Failed items kept by name; further ones are counted.
const FAILED_KEPT_MAX: usize = 10_000;
/// Actions of a dry run kept by name; further ones are counted.
const PLANNED_KEPT_MAX: usize = 100_000;

/// What to do with an entry that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// Make it what the snapshot says, fetching only the chunks that differ.
    #[default]
    Always,
    /// As `Always`, but a file of the same size and time is taken to be the same, unread.
    IfChanged,
    /// Replace it when the snapshot's time is newer.
    IfNewer,
    /// Leave it.
    Never,
}

/// How many references and bytes one round of fetching covers; what bounds memory. Two are at hand:
/// one is fetched while the next is gathered.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// References to chunks.
    pub references: usize,
    /// Content.
    pub content_bytes: u64,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { references: 1 << 17, content_bytes: 4 << 30 }
    }
}

/// How to restore.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The directory to restore into; made when missing. May be a symlink, below it none is followed.
    pub target: PathBuf,
    /// What to do with what is there.
    pub overwrite: Overwrite,
    /// Delete what is in restored directories but not in the snapshot. Needs a path in the snapshot.
    pub delete: bool,
    /// Read every restored file again and compare.
    pub verify: bool,
    /// Change nothing, tell what would be done.
    pub dry_run: bool,
    /// Leave holes for zeros, at least 4 KiB of them.
    pub sparse: bool,
    /// Restore only what this selects, by its path in the snapshot.
    pub include: Option<IncludeSet>,
    /// Leave this out, by its path in the snapshot.
    pub exclude: Option<Filter>,
    /// As root: give entries their owner and group, by name if this host has it, else by number.
    pub ownership: bool,
    /// Return only when everything is on the disk.
    pub sync: bool,
    /// Bounds of one round.
    pub batch: BatchLimits,
}

impl RestoreOptions {
    /// Returns the defaults of a restore into `target`.
    pub fn new(target: impl Into<PathBuf>) -> Self {
        Self {
            target: target.into(),
            overwrite: Overwrite::Always,
            delete: false,
            verify: false,
            dry_run: false,
            sparse: false,
            include: None,
            exclude: None,
            ownership: true,
            sync: true,
            batch: BatchLimits::default(),
        }
    }
}

/// Something that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedItem {
    /// Its path below the target, raw bytes.
    pub path: Vec<u8>,
    /// Why, in one line.
    pub reason: String,
}

/// What a dry run would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Make or replace the entry.
    Restore,
    /// Leave what is there.
    Skip,
    /// Delete what is there.
    Delete,
}

/// One step of a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The path below the target, raw bytes.
    pub path: Vec<u8>,
    /// What would be done.
    pub action: Action,
}

/// What a restore did, or with `dry_run` would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreStats {
    /// Regular files restored, further names of one file counted each.
    pub files: u64,
    /// Directories made or found.
    pub directories: u64,
    /// Symlinks, pipes and devices restored.
    pub others: u64,
    /// Content that was fetched and written.
    pub restored_bytes: u64,
    /// Content that the target had already.
    pub reused_bytes: u64,
    /// Entries left as they were, as `overwrite` says.
    pub skipped_files: u64,
    /// Sockets, and devices that only root can make.
    pub skipped_special: u64,
    /// Entries deleted.
    pub deleted: u64,
    /// Files read again and found right.
    pub verified_files: u64,
    /// Owners, modes, times and attributes that could not be set.
    pub metadata_warnings: u64,
    /// What could not be restored: the first 10,000.
    pub failed: Vec<FailedItem>,
    /// How many could not be restored.
    pub failed_count: u64,
    /// Stored bytes are damaged or missing.
    pub damaged: bool,
    /// Steps of a dry run: the first 100,000.
    pub planned: Vec<Planned>,
    /// How many steps a dry run has.
    pub planned_count: u64,
}

impl RestoreStats {
    pub(super) fn fail(&mut self, path: &[u8], reason: String) {
        self.failed_count += 1;
        if self.failed.len() < FAILED_KEPT_MAX {
            self.failed.push(FailedItem { path: path.to_vec(), reason });
        }
    }

    pub(super) fn plan(&mut self, path: &[u8], action: Action) {
        self.planned_count += 1;
        if self.planned.len() < PLANNED_KEPT_MAX {
            self.planned.push(Planned { path: path.to_vec(), action });
        }
    }
}

/// What a dump wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpStats {
    /// Regular files.
    pub files: u64,
    /// All entries.
    pub entries: u64,
    /// Content of files.
    pub content_bytes: u64,
    /// Entries and attributes that the archive cannot hold.
    pub left_out: u64,
}
