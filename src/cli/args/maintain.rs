//! `snap check`, `repair` and `completions`.

use clap::{Args, Subcommand};

use crate::base::parse::Subset;

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
    /// Read and verify every byte
    #[arg(long, conflicts_with = "read_data_subset")]
    pub read_data: bool,
    /// Read and verify a part: n/m, a share (5%) or a size (10GiB)
    #[arg(long, value_name = "PART")]
    pub read_data_subset: Option<Subset>,
}

/// What to repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum RepairCommand {
    /// Make the index again from the packs
    Index(RepairIndexArgs),
}

/// Make the index again from the packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct RepairIndexArgs {
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
