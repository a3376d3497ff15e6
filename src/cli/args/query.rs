//! `snap snapshots`, `ls`, `find`, `diff` and `stats`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::filter::FilterArgs;
use super::values::{selector, snapshot_ref, time};
use crate::base::Time;
use crate::maintain::retention::GroupBy;
use crate::query::diff::PartsChoice;
use crate::query::select::{Selector, SnapshotRef};

const SNAPSHOTS_EXAMPLES: &str = "\
Examples:
  snap snapshots --host db1 --tag nightly
  snap snapshots --group-by host,job --latest 1";

/// List snapshots.
#[derive(Debug, Args)]
#[command(after_long_help = SNAPSHOTS_EXAMPLES)]
pub struct SnapshotsArgs {
    /// List these only: an id prefix, latest or latest~N
    #[arg(value_name = "SNAP", value_parser = snapshot_ref)]
    pub snapshots: Vec<SnapshotRef>,
    /// Group by host, job, paths, tags
    #[arg(long, value_name = "KEYS")]
    pub group_by: Option<GroupBy>,
    /// List only the newest N of each group
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub latest: Option<u32>,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterArgs,
}

const LS_EXAMPLES: &str = "\
Examples:
  snap ls latest
  snap ls -l latest~1:/etc
  snap ls 3f9a12c0:/srv/models --no-recursive";

/// List the files of a snapshot.
#[derive(Debug, Args)]
#[command(after_long_help = LS_EXAMPLES)]
pub struct LsArgs {
    /// List this snapshot, or what is below PATH in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = selector())]
    pub snapshot: Selector,
    /// Show mode, owner, size and time
    #[arg(long, short = 'l')]
    pub long: bool,
    /// List folders in folders; this is the default
    #[arg(long, short = 'R', overrides_with = "no_recursive")]
    pub recursive: bool,
    /// List one folder only
    #[arg(long, overrides_with = "recursive")]
    pub no_recursive: bool,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterArgs,
}

const FIND_EXAMPLES: &str = "\
Examples:
  snap find '*.safetensors'
  snap find -i 'invoice*' --snapshot latest --oldest 2026-01-01";

/// Find files by name in snapshots.
#[derive(Debug, Args)]
#[command(after_long_help = FIND_EXAMPLES)]
pub struct FindArgs {
    /// Find names that match this pattern; with a slash in it, whole paths
    #[arg(value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,
    /// Ignore case
    #[arg(long, short = 'i')]
    pub ignore_case: bool,
    /// Look in this snapshot only; may be repeated
    #[arg(long = "snapshot", short = 's', value_name = "SNAP", value_parser = snapshot_ref)]
    pub snapshots: Vec<SnapshotRef>,
    /// Find only what was modified at this time or before
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub newest: Option<Time>,
    /// Find only what was modified at this time or after
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub oldest: Option<Time>,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterArgs,
}

const DIFF_EXAMPLES: &str = "\
Examples:
  snap diff latest~1 latest
  snap diff --metadata 3f9a12c0 latest:/etc";

/// When the parts of modified files are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PartsWhen {
    /// Where it costs little
    Auto,
    /// In every dump, which is read whole
    Always,
    /// Nowhere
    Never,
}

impl From<PartsWhen> for PartsChoice {
    fn from(when: PartsWhen) -> Self {
        match when {
            PartsWhen::Auto => Self::Auto,
            PartsWhen::Always => Self::Always,
            PartsWhen::Never => Self::Never,
        }
    }
}

/// Show what differs between two snapshots.
#[derive(Debug, Args)]
#[command(after_long_help = DIFF_EXAMPLES)]
pub struct DiffArgs {
    /// Compare from this snapshot
    #[arg(value_name = "A[:PATH]", value_parser = selector())]
    pub from: Selector,
    /// Compare to this snapshot
    #[arg(value_name = "B[:PATH]", value_parser = selector())]
    pub to: Selector,
    /// Show files of which only mode, owner, times or attributes differ, too
    #[arg(long)]
    pub metadata: bool,
    /// Show which tables of dumps and which tensors of models differ; auto: in dumps up to 1 GiB
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub parts: PartsWhen,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterArgs,
}

const STATS_EXAMPLES: &str = "\
Examples:
  snap stats latest
  snap stats --by-path=2 --host db1
  snap stats --series /srv/dumps --job nightly";

/// Show sizes of snapshots and of the repository.
#[derive(Debug, Args)]
#[command(after_long_help = STATS_EXAMPLES)]
pub struct StatsArgs {
    /// Count these snapshots only (default: all)
    #[arg(value_name = "SNAP", value_parser = snapshot_ref)]
    pub snapshots: Vec<SnapshotRef>,
    /// Show what each path takes, by its first DEPTH components (default: 1)
    #[arg(
        long,
        value_name = "DEPTH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub by_path: Option<u32>,
    /// Show what each snapshot of PATH added to those before it, in the order of their times
    #[arg(long, value_name = "PATH", conflicts_with = "by_path")]
    pub series: Option<PathBuf>,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterArgs,
}
