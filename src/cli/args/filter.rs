//! Which snapshots: filters and grouping.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::values::ValueError;

/// Several tags that a snapshot must all have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagList(pub Vec<String>);

impl FromStr for TagList {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let tags: Vec<String> = text.split(',').map(|tag| tag.trim().to_owned()).collect();
        if tags.iter().any(String::is_empty) {
            return Err(ValueError::new("a tag is empty; write TAG or TAG,TAG"));
        }
        Ok(Self(tags))
    }
}

/// Which snapshots are meant; filters of one kind are alternatives, all kinds given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Snapshot filters")]
pub struct FilterArgs {
    /// Take only snapshots of this host
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Take only snapshots of this job
    #[arg(long = "job", value_name = "JOB")]
    pub jobs: Vec<String>,
    /// Take only snapshots with this tag, or with all of a list
    #[arg(long = "tag", value_name = "TAG[,TAG]")]
    pub tags: Vec<TagList>,
    /// Take only snapshots of this path
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// What snapshots of one group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupBy {
    /// The host.
    pub host: bool,
    /// The job.
    pub job: bool,
    /// The set of paths.
    pub paths: bool,
    /// The set of tags.
    pub tags: bool,
}

impl FromStr for GroupBy {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut group = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word.trim() {
                "host" => group.host = true,
                "job" => group.job = true,
                "paths" | "path" => group.paths = true,
                "tags" | "tag" => group.tags = true,
                _ => return Err(ValueError::new("groups are host, job, paths, tags, or '' for none")),
            }
        }
        Ok(group)
    }
}
