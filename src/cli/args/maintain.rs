//! `snap check`, `repair` and `completions`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::snapshot_ref;
use crate::base::PackId;
use crate::base::parse::Subset;
use crate::query::select::SnapshotRef;

const CHECK_EXAMPLES: &str = "\
Examples:
  snap check                              every snapshot's structure
  snap check --read-data                  every byte
  snap check --read-data-subset 1/7       a seventh, another one each day
  snap check --read-data-subset 10GiB     what was read longest ago";

/// Check that every snapshot can be restored.
#[derive(Debug, Args)]
#[command(after_long_help = CHECK_EXAMPLES)]
pub struct CheckArgs {
    /// Read and verify every byte, going on where an interrupted run stopped
    #[arg(long, conflicts_with = "read_data_subset")]
    pub read_data: bool,
    /// Read and verify a part: n/m, a share (5%) or a size (10GiB)
    #[arg(long, value_name = "PART")]
    pub read_data_subset: Option<Subset>,
}

/// What to repair, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum RepairCommand {
    /// Make the index again from the packs
    Index(RepairIndexArgs),
    /// Store what is whole in damaged packs again
    Packs(RepairPacksArgs),
    /// Make snapshots of what is left of damaged ones
    Snapshots(RepairSnapshotsArgs),
}

/// Make the index again from the packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct RepairIndexArgs {
    /// Show what would be done, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

const PACKS_EXAMPLES: &str = "\
Examples:
  snap check --read-data && echo whole    finds damaged packs and remembers them
  snap repair packs --dry-run
  snap repair packs --aside /root/damaged
  snap backup …                           stores again what its source still has";

/// Store what is whole in damaged packs again.
///
/// Their whole blocks go to new packs, and the damaged ones out of the repository into a folder of this host,
/// so that the next backup stores what they lost.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_long_help = PACKS_EXAMPLES)]
pub struct RepairPacksArgs {
    /// Look at this pack, by its whole id; without any: all gone or cut ones, and what a check found damaged
    #[arg(value_name = "PACK")]
    pub packs: Vec<PackId>,
    /// Write damaged packs to this folder before they leave the repository
    #[arg(long, value_name = "DIR", default_value = "damaged-packs", value_hint = clap::ValueHint::DirPath)]
    pub aside: PathBuf,
    /// Show what would be done, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

const SNAPSHOTS_EXAMPLES: &str = "\
Examples:
  snap repair snapshots --dry-run         what is lost of which snapshot
  snap repair snapshots                   beside the damaged ones
  snap repair snapshots --forget          in their place";

/// Make snapshots of what is left of damaged ones.
///
/// A file goes whole or not at all. Repair index and packs, and run a backup, before: what these bring back
/// is not lost.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_long_help = SNAPSHOTS_EXAMPLES)]
pub struct RepairSnapshotsArgs {
    /// Repair this snapshot: an id prefix, latest or latest~N; without any: all
    #[arg(value_name = "SNAP", value_parser = snapshot_ref)]
    pub snapshots: Vec<SnapshotRef>,
    /// Drop each damaged snapshot once what is left of it is stored
    #[arg(long)]
    pub forget: bool,
    /// Show what would be done, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// Print a completion script for a shell.
#[derive(Debug, Clone, Copy, Args)]
#[command(after_long_help = "Examples:\n  snap completions bash > /etc/bash_completion.d/snap")]
pub struct CompletionsArgs {
    /// Print it for this shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}
