//! `snap restore` and `snap dump`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::filter::FilterArgs;
use super::values::{selector, snapshot_ref};
use crate::query::select::{Selector, SnapshotRef};

/// What to do with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Overwrite {
    /// Write it whatever it holds
    #[default]
    Always,
    /// Write it when size or time differ
    IfChanged,
    /// Write it when the snapshot's is newer
    IfNewer,
    /// Leave it
    Never,
}

const RESTORE_EXAMPLES: &str = "\
Examples:
  snap restore latest --target /tmp/back
  snap restore latest:/etc --target /etc --overwrite if-changed
  snap restore 3f9a12c0 --target /srv --include '*.safetensors' --dry-run";

/// Restore files into a directory.
#[derive(Debug, Args)]
#[command(after_long_help = RESTORE_EXAMPLES)]
pub struct RestoreArgs {
    /// Restore this snapshot with whole paths, or what is below PATH in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = selector())]
    pub snapshot: Selector,
    /// Write below this directory; it is made when missing
    #[arg(long, short = 't', value_name = "DIR")]
    pub target: PathBuf,
    /// Restore only what matches; may be repeated
    #[arg(long = "include", short = 'i', value_name = "PATTERN")]
    pub includes: Vec<OsString>,
    /// Leave out what matches; may be repeated
    #[arg(long = "exclude", short = 'e', value_name = "PATTERN")]
    pub excludes: Vec<OsString>,
    /// Restore only what matches, ignoring case
    #[arg(long = "iinclude", value_name = "PATTERN")]
    pub includes_ignoring_case: Vec<OsString>,
    /// Leave out what matches, ignoring case
    #[arg(long = "iexclude", value_name = "PATTERN")]
    pub excludes_ignoring_case: Vec<OsString>,
    /// Say what to do with files that are there already
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub overwrite: Overwrite,
    /// Delete files in the target that the snapshot does not have
    #[arg(long)]
    pub delete: bool,
    /// Read back what was written and compare
    #[arg(long, conflicts_with = "dry_run")]
    pub verify: bool,
    /// Show what would be done, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Leave holes where files have long runs of zeros
    #[arg(long)]
    pub sparse: bool,
    /// Leave owners and groups as the running user's
    #[arg(long)]
    pub no_owner: bool,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Form of a folder on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArchiveForm {
    /// POSIX tar with pax headers
    Tar,
}

const DUMP_EXAMPLES: &str = "\
Examples:
  snap dump latest shop.dump | pg_restore -d shop
  snap dump latest --archive tar /srv/models | tar -x -C /tmp/models
  snap dump latest~3 /etc/fstab -o fstab.old";

/// Write one file, or a folder as an archive, to stdout.
#[derive(Debug, Args)]
#[command(after_long_help = DUMP_EXAMPLES)]
pub struct DumpArgs {
    /// Take it from this snapshot
    #[arg(value_name = "SNAP", value_parser = snapshot_ref)]
    pub snapshot: SnapshotRef,
    /// Write this file, or this folder with --archive
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Write a folder in this form
    #[arg(long, short = 'a', value_enum, value_name = "FORM")]
    pub archive: Option<ArchiveForm>,
    /// Write to a new file instead of stdout
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterArgs,
}
