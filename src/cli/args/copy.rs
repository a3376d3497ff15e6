//! `snap copy`.

use std::path::PathBuf;

use clap::Args;

use super::filter::FilterArgs;
use super::values::{CommandText, snapshot_ref};
use crate::query::select::SnapshotRef;

const EXAMPLES: &str = "\
Examples:
  snap copy --to s3://offsite/shop --to-password-file /etc/snap/offsite.password
  snap copy --to /mnt/disk --to-key-file disk.key latest";

/// Copy snapshots to another repository.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct CopyArgs {
    /// Copy these only: an id prefix, latest or latest~N (default: all that the filters take)
    #[arg(value_name = "SNAP", value_parser = snapshot_ref)]
    pub snapshots: Vec<SnapshotRef>,
    /// Copy to this repository
    #[arg(long, value_name = "REPO")]
    pub to: String,
    /// Read that repository's password from a file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to_password_command", "to_key_file"])]
    pub to_password_file: Option<PathBuf>,
    /// Run a command, without a shell, that prints that repository's password
    #[arg(long, value_name = "COMMAND", conflicts_with = "to_key_file")]
    pub to_password_command: Option<CommandText>,
    /// Open that repository with a raw key file or a master sheet
    #[arg(long, value_name = "FILE")]
    pub to_key_file: Option<PathBuf>,
    /// Show what would be copied, and copy nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Which snapshots.
    #[command(flatten)]
    pub filter: FilterArgs,
}
