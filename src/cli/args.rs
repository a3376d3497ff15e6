//! What may be typed: global options, commands, and the rules between options that the parser cannot hold.
//!
//! Names are API. Doc comments here are the help texts: imperative, one line, no full stop. No option takes a
//! secret as its value, and no value comes from the environment here: `cli::context` adds that, so that flags
//! win.

pub mod backup;
pub mod copy;
pub mod filter;
pub mod global;
pub mod init;
pub mod key;
pub mod maintain;
pub mod prune;
pub mod query;
pub mod restore;
#[cfg(test)]
mod tests;
pub mod values;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

pub use global::Globals;

const LONG_ABOUT: &str = "\
Back up folders, database dumps and model checkpoints: deduplicated, compressed, encrypted, \
to a directory or an S3 bucket.";

const EXAMPLES: &str = "\
Examples:
  snap backup --init ~/models             first backup, into the default local repository
  snap snapshots                          what is there
  snap restore latest --target /tmp/back  get it back
  pg_dump -Fc -Z0 shop | snap backup --stdin --stdin-filename shop.dump

Exit codes:
  0 ok, 1 failed, 2 usage, 3 finished but some sources unread, 10 no repository, 11 locked,
  12 wrong key, 13 damage found, 14 policy missed, 130 interrupted";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "snap", version, about = "Deduplicating, encrypted backup", long_about = LONG_ABOUT)]
#[command(after_long_help = EXAMPLES, max_term_width = 100)]
pub struct Arguments {
    /// Options that every command takes.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a repository
    Init(init::InitArgs),
    /// Back up files, a stream or the output of commands as one snapshot
    Backup(Box<backup::BackupArgs>),
    /// List snapshots
    Snapshots(query::SnapshotsArgs),
    /// List the files of a snapshot
    Ls(query::LsArgs),
    /// Find files by name in snapshots
    Find(query::FindArgs),
    /// Show what differs between two snapshots
    Diff(query::DiffArgs),
    /// Show sizes of snapshots and of the repository
    Stats(query::StatsArgs),
    /// Restore files into a directory
    Restore(Box<restore::RestoreArgs>),
    /// Write one file, or a folder as an archive, to stdout
    Dump(restore::DumpArgs),
    /// Drop snapshots by id
    Forget(prune::ForgetArgs),
    /// Apply retention, then reclaim space
    Prune(Box<prune::PruneArgs>),
    /// Check that every snapshot can be restored
    Check(maintain::CheckArgs),
    /// Repair what can be made again from the rest
    #[command(subcommand)]
    Repair(maintain::RepairCommand),
    /// Copy snapshots to another repository
    Copy(copy::CopyArgs),
    /// Manage the keys of a repository
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Remove leases that their owners left behind
    Unlock,
    /// Print a completion script for a shell
    Completions(maintain::CompletionsArgs),
    /// Print the version
    Version,
    /// Print the reference of the command line as Markdown
    #[command(hide = true)]
    Reference,
}

impl Command {
    /// Returns the name as typed.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Backup(_) => "backup",
            Self::Snapshots(_) => "snapshots",
            Self::Ls(_) => "ls",
            Self::Find(_) => "find",
            Self::Diff(_) => "diff",
            Self::Stats(_) => "stats",
            Self::Restore(_) => "restore",
            Self::Dump(_) => "dump",
            Self::Forget(_) => "forget",
            Self::Prune(_) => "prune",
            Self::Check(_) => "check",
            Self::Repair(_) => "repair",
            Self::Copy(_) => "copy",
            Self::Key(_) => "key",
            Self::Unlock => "unlock",
            Self::Completions(_) => "completions",
            Self::Version => "version",
            Self::Reference => "reference",
        }
    }
}

impl Arguments {
    /// Parses `words` (the program's name first) and applies the rules between options that stand before and
    /// after the command. The error is clap's: it knows its exit code, and whether it is a call for help.
    pub fn read<W>(words: impl IntoIterator<Item = W>) -> Result<Self, clap::Error>
    where
        W: Into<OsString> + Clone,
    {
        let arguments = Self::try_parse_from(words)?;
        match arguments.conflict() {
            None => Ok(arguments),
            Some(message) => Err(Self::command().error(ErrorKind::ArgumentConflict, message)),
        }
    }

    fn conflict(&self) -> Option<String> {
        if let Some(message) = self.globals.conflict() {
            return Some(message);
        }
        match &self.command {
            Command::Init(init) => init.conflict(&self.globals),
            Command::Backup(backup) => backup.inputs().err(),
            Command::Dump(dump) if self.globals.json && dump.output.is_none() => {
                Some("--json needs --output FILE here: stdout carries the file".to_owned())
            }
            Command::Key(key::KeyCommand::Export(export)) if self.globals.json && export.output.is_none() => {
                Some("--json needs --output FILE here: a secret is no result for logs".to_owned())
            }
            _ => None,
        }
    }
}
