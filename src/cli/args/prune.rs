//! `snap forget` and `snap prune`.

use std::time::Duration;

use clap::Args;

use super::filter::FilterArgs;
use super::values::{TagList, snapshot_ref};
use crate::base::SnapshotId;
use crate::base::parse::{Allowance, CalendarSpan, parse_wait};
use crate::maintain::retention::{GroupBy, Keep, RetentionPolicy};
use crate::query::select::SnapshotRef;

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
    #[arg(value_name = "SNAP", required = true, value_parser = snapshot_ref)]
    pub snapshots: Vec<SnapshotRef>,
    /// Show what would be dropped, and drop nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// Which snapshots to keep; a snapshot that any rule keeps stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Retention")]
pub struct KeepArgs {
    /// Keep the newest N
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub keep_last: Option<Keep>,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub keep_hourly: Option<Keep>,
    /// Keep the newest of each of the last N days that have one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub keep_daily: Option<Keep>,
    /// Keep the newest of each of the last N weeks that have one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub keep_weekly: Option<Keep>,
    /// Keep the newest of each of the last N months that have one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub keep_monthly: Option<Keep>,
    /// Keep the newest of each of the last N years that have one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub keep_yearly: Option<Keep>,
    /// Keep all of this time before the newest
    #[arg(long, value_name = "SPAN")]
    pub keep_within: Option<CalendarSpan>,
    /// Keep one per hour of this time before the newest
    #[arg(long, value_name = "SPAN")]
    pub keep_within_hourly: Option<CalendarSpan>,
    /// Keep one per day of this time before the newest
    #[arg(long, value_name = "SPAN")]
    pub keep_within_daily: Option<CalendarSpan>,
    /// Keep one per week of this time before the newest
    #[arg(long, value_name = "SPAN")]
    pub keep_within_weekly: Option<CalendarSpan>,
    /// Keep one per month of this time before the newest
    #[arg(long, value_name = "SPAN")]
    pub keep_within_monthly: Option<CalendarSpan>,
    /// Keep one per year of this time before the newest
    #[arg(long, value_name = "SPAN")]
    pub keep_within_yearly: Option<CalendarSpan>,
    /// Keep all with this tag, or with all of a list; may be repeated
    #[arg(long = "keep-tag", value_name = "TAG[,TAG]")]
    pub keep_tags: Vec<TagList>,
    /// Keep this snapshot; may be repeated
    #[arg(long = "keep-id", value_name = "SNAP", value_parser = snapshot_ref)]
    pub keep_ids: Vec<SnapshotRef>,
}

impl KeepArgs {
    /// Returns the policy; `ids` are the snapshots that `--keep-id` names.
    pub fn policy(&self, ids: Vec<SnapshotId>) -> RetentionPolicy {
        RetentionPolicy {
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            yearly: self.keep_yearly,
            within: self.keep_within,
            within_hourly: self.keep_within_hourly,
            within_daily: self.keep_within_daily,
            within_weekly: self.keep_within_weekly,
            within_monthly: self.keep_within_monthly,
            within_yearly: self.keep_within_yearly,
            tags: self.keep_tags.iter().map(|list| list.0.clone()).collect(),
            ids,
        }
    }
}

const PRUNE_EXAMPLES: &str = "\
Examples:
  snap prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run
  snap prune --keep-within 30d --keep-tag release --host db1
  snap prune                                   reclaim only, drop nothing
  snap prune --grace 0 --max-unused 0          when no other host writes

Spans of --keep-within: 1y, 6m (months), 2w, 30d, 12h, or several: 1y6m. A count may be unlimited.";

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
    /// Wait this long before deleting what is no longer in use, so that backups under way are safe
    #[arg(long, value_name = "DURATION", value_parser = parse_wait, default_value = "48h")]
    pub grace: Duration,
    /// Leave this much unused data in packs: a share, a size or unlimited
    #[arg(long, value_name = "LIMIT", default_value = "5%")]
    pub max_unused: Allowance,
    /// Rewrite at most this much in this run: a size, a share or unlimited
    #[arg(long, value_name = "LIMIT", default_value = "unlimited")]
    pub max_repack: Allowance,
    /// Permit that the rules drop every snapshot of a group
    #[arg(long)]
    pub allow_empty: bool,
    /// Show what would be done and why, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterArgs,
}
