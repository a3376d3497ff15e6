//! Which snapshots.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::Args;

use super::values::TagList;
use crate::query::select::SnapshotFilter;

/// Which snapshots are meant; filters of one kind but paths are alternatives, all kinds given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Snapshot filters")]
pub struct FilterArgs {
    /// Take only snapshots of this host; may be repeated
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Take only snapshots of this job; may be repeated
    #[arg(long = "job", value_name = "JOB")]
    pub jobs: Vec<String>,
    /// Take only snapshots with this tag, or with all of a list; may be repeated
    #[arg(long = "tag", value_name = "TAG[,TAG]")]
    pub tags: Vec<TagList>,
    /// Take only snapshots of this path; of all of them when repeated
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<OsString>,
}

impl FilterArgs {
    /// Returns the filter.
    pub fn filter(&self) -> SnapshotFilter {
        SnapshotFilter {
            hosts: self.hosts.clone(),
            jobs: self.jobs.clone(),
            tags: self.tags.iter().map(|list| list.0.clone()).collect(),
            paths: self.paths.iter().map(|path| path.clone().into_vec()).collect(),
        }
    }
}
