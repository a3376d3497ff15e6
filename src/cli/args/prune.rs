//! `snap forget` and `snap prune`.

use clap::Args;

use super::amounts::{Period, UnusedLimit, parse_count, parse_size};
use super::filter::{FilterArgs, GroupBy, TagList};
use super::values::SnapshotName;

const FORGET_EXAMPLES: &str = "\
Examples:
  snap forget 3f9a12c0 77b0e1d4
  snap forget latest --dry-run

The space comes back with `snap prune`.";

/// Drop snapshots by id.
#[derive(Debug, Args)]
#[command(after_long_help = FORGET_EXAMPLES)]
pub struct ForgetArgs {
    /// Drop this snapshot: an id prefix, latest or latest~N
    #[arg(value_name = "SNAP", required = true)]
    pub snapshots: Vec<SnapshotName>,
    /// Show what would be dropped, and drop nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// Which snapshots to keep; a snapshot that any rule keeps stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Retention")]
pub struct KeepArgs {
    /// Keep the newest N
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub keep_last: Option<u32>,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub keep_hourly: Option<u32>,
    /// Keep the newest of each of the last N days that have one
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub keep_daily: Option<u32>,
    /// Keep the newest of each of the last N weeks that have one
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub keep_weekly: Option<u32>,
    /// Keep the newest of each of the last N months that have one
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub keep_monthly: Option<u32>,
    /// Keep the newest of each of the last N years that have one
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub keep_yearly: Option<u32>,
    /// Keep all of this time before the newest
    #[arg(long, value_name = "DURATION")]
    pub keep_within: Option<Period>,
    /// Keep one per hour of this time before the newest
    #[arg(long, value_name = "DURATION")]
    pub keep_within_hourly: Option<Period>,
    /// Keep one per day of this time before the newest
    #[arg(long, value_name = "DURATION")]
    pub keep_within_daily: Option<Period>,
    /// Keep one per week of this time before the newest
    #[arg(long, value_name = "DURATION")]
    pub keep_within_weekly: Option<Period>,
    /// Keep one per month of this time before the newest
    #[arg(long, value_name = "DURATION")]
    pub keep_within_monthly: Option<Period>,
    /// Keep one per year of this time before the newest
    #[arg(long, value_name = "DURATION")]
    pub keep_within_yearly: Option<Period>,
    /// Keep all with this tag, or with all of a list; may be repeated
    #[arg(long = "keep-tag", value_name = "TAG[,TAG]")]
    pub keep_tags: Vec<TagList>,
    /// Keep this snapshot; may be repeated
    #[arg(long = "keep-id", value_name = "SNAP")]
    pub keep_ids: Vec<SnapshotName>,
}

impl KeepArgs {
    /// Tells whether any rule was given; without one nothing is dropped.
    pub fn is_given(&self) -> bool {
        *self != Self::default()
    }
}

const PRUNE_EXAMPLES: &str = "\
Examples:
  snap prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run
  snap prune --keep-within 30d --keep-tag release --host db1
  snap prune                                   reclaim only, drop nothing
  snap prune --grace 0 --max-unused 0          when no other host writes

Durations: 1y, 6m (months), 2w, 30d, 12h, 90min, 10s, or several: 1y6m.";

/// Apply retention, then reclaim space; without keep options only reclaim.
#[derive(Debug, Args)]
#[command(after_long_help = PRUNE_EXAMPLES)]
pub struct PruneArgs {
    /// Which snapshots to keep.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Apply the rules to each group by host, job, paths, tags; '' for one group
    #[arg(long, value_name = "KEYS", default_value = "host,job,paths")]
    pub group_by: GroupBy,
    /// Wait this long before deleting what is no longer in use (default: the repository's own)
    #[arg(long, value_name = "DURATION")]
    pub grace: Option<Period>,
    /// Leave this much unused data in packs: a share, a size or unlimited
    #[arg(long, value_name = "LIMIT", default_value = "5%")]
    pub max_unused: UnusedLimit,
    /// Rewrite at most this much in this run (default: no limit)
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub max_repack: Option<u64>,
    /// Show what would be done and why, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterArgs,
}
