//! `snap backup`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::values::{CommandText, MetaEntry, TagList, snapshot_ref, time};
use crate::base::Time;
use crate::base::parse::parse_size;
use crate::query::select::SnapshotRef;
use crate::source::{Class, CommandSpec};

/// What kind of data the sources are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClassName {
    /// Anything
    General,
    /// Database dumps and other text-like streams
    Dump,
    /// Tensors: safetensors, GGUF, npy and the like
    Tensors,
    /// Compressed or encrypted already
    Opaque,
}

const EXAMPLES: &str = "\
Examples:
  snap backup /etc /srv/models --exclude '*.tmp' --tag nightly
  snap backup --init ~/models                       first run, default local repository
  pg_dump -Fc -Z0 shop | snap backup --stdin --stdin-filename shop.dump
  snap backup --stdin-filename shop.dump --stdin-from-command -- pg_dump -Fc -Z0 shop
  snap backup --job shop --command 'shop.dump=pg_dump -Fc -Z0 shop' \\
              --command 'roles.sql=pg_dumpall --globals-only'

A command that fails makes no snapshot. Exit code 3: the snapshot is there, some sources could not be read.";

/// Back up files, a stream or the output of commands as one snapshot.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct BackupArgs {
    /// Back up this file or folder
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Run this command for --stdin-from-command
    #[arg(value_name = "CMD", last = true)]
    pub command_line: Vec<OsString>,
    /// Streams instead of paths.
    #[command(flatten)]
    pub streams: StreamArgs,
    /// What the snapshot says of itself.
    #[command(flatten)]
    pub about: AboutArgs,
    /// What is left out.
    #[command(flatten)]
    pub excludes: ExcludeArgs,
    /// Read paths and patterns from a file, one per line, or from - (stdin); may be repeated
    #[arg(long, value_name = "FILE")]
    pub files_from: Vec<PathBuf>,
    /// Read paths from a file, each ended by a NUL byte, or from - (stdin); may be repeated
    #[arg(long, value_name = "FILE")]
    pub files_from_raw: Vec<PathBuf>,
    /// Stay on the file system of each PATH
    #[arg(long, short = 'x')]
    pub one_file_system: bool,
    /// Compare with this snapshot (default: the newest of the same host, job and paths)
    #[arg(long, value_name = "SNAP", value_parser = snapshot_ref, conflicts_with = "force")]
    pub parent: Option<SnapshotRef>,
    /// Read every file, also those that look unchanged
    #[arg(long, short = 'f')]
    pub force: bool,
    /// Show what would be backed up, and store nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Make no snapshot when nothing changed
    #[arg(long)]
    pub skip_if_unchanged: bool,
    /// Make the repository first when there is none
    #[arg(long, conflicts_with = "dry_run")]
    pub init: bool,
    /// Treat all sources as this class instead of recognising it
    #[arg(long, value_enum, value_name = "NAME")]
    pub class: Option<ClassName>,
}

/// Streams instead of paths.
#[derive(Debug, Args)]
#[command(next_help_heading = "Streams")]
pub struct StreamArgs {
    /// Back up stdin as one file
    #[arg(long, conflicts_with_all = ["stdin_from_command", "commands", "files_from", "files_from_raw"])]
    pub stdin: bool,
    /// Name the file of --stdin or --stdin-from-command
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    pub stdin_filename: OsString,
    /// Back up the output of the command after --
    #[arg(long, conflicts_with_all = ["commands", "files_from", "files_from_raw"])]
    pub stdin_from_command: bool,
    /// Back up the output of a command as file NAME; may be repeated, all must succeed
    #[arg(long = "command", value_name = "NAME=CMDLINE")]
    pub commands: Vec<CommandText>,
}

/// What the snapshot says of itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "Snapshot")]
pub struct AboutArgs {
    /// Add a tag; may be repeated
    #[arg(long = "tag", value_name = "TAG[,TAG]")]
    pub tags: Vec<TagList>,
    /// Add an entry of free metadata; may be repeated
    #[arg(long = "meta", value_name = "K=V")]
    pub metadata: Vec<MetaEntry>,
    /// Name the host (env SNAP_HOST; default: this host's name)
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Name the job
    #[arg(long, value_name = "JOB")]
    pub job: Option<String>,
    /// Date the snapshot, as 2026-01-31, '2026-01-31 12:00:00' or RFC 3339 (default: now)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub time: Option<Time>,
}

/// What is left out.
#[derive(Debug, Args)]
#[command(next_help_heading = "Exclusion")]
pub struct ExcludeArgs {
    /// Leave out what matches; may be repeated
    #[arg(long = "exclude", short = 'e', value_name = "PATTERN")]
    pub excludes: Vec<OsString>,
    /// Leave out what matches, ignoring case
    #[arg(long = "iexclude", value_name = "PATTERN")]
    pub excludes_ignoring_case: Vec<OsString>,
    /// Read patterns from a file, one per line
    #[arg(long = "exclude-file", value_name = "FILE")]
    pub exclude_files: Vec<PathBuf>,
    /// Read patterns from a file, ignoring case
    #[arg(long = "iexclude-file", value_name = "FILE")]
    pub exclude_files_ignoring_case: Vec<PathBuf>,
    /// Leave out folders that hold a file of this name
    #[arg(long, value_name = "NAME")]
    pub exclude_if_present: Vec<OsString>,
    /// Leave out folders with a valid CACHEDIR.TAG
    #[arg(long)]
    pub exclude_caches: bool,
    /// Leave out files larger than this
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub exclude_larger_than: Option<u64>,
}

impl From<ClassName> for Class {
    fn from(name: ClassName) -> Self {
        match name {
            ClassName::General => Self::General,
            ClassName::Dump => Self::Dump,
            ClassName::Tensors => Self::Tensors,
            ClassName::Opaque => Self::Opaque,
        }
    }
}

/// A command whose output becomes one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCommand {
    /// Name of the file in the snapshot: a relative path.
    pub name: String,
    /// Program and arguments.
    pub command: CommandSpec,
}

/// Where the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inputs {
    /// Files and folders; lists of paths are still to be read.
    Paths {
        /// Paths given.
        paths: Vec<PathBuf>,
    },
    /// The outputs of commands, each a file of the snapshot.
    Commands(Vec<NamedCommand>),
    /// Stdin, under this name.
    Stdin {
        /// Name of the file in the snapshot.
        name: OsString,
    },
    /// The output of one command, under this name.
    Command {
        /// Name of the file in the snapshot.
        name: OsString,
        /// Program and arguments.
        command: CommandSpec,
    },
}

impl AboutArgs {
    /// Returns all tags, sorted, each once.
    pub fn tags(&self) -> Vec<String> {
        let tags: BTreeSet<&String> = self.tags.iter().flat_map(|list| &list.0).collect();
        tags.into_iter().cloned().collect()
    }
}

impl BackupArgs {
    /// Returns where the bytes come from, or what is wrong with the options that say so.
    pub fn inputs(&self) -> Result<Inputs, String> {
        let streams = &self.streams;
        let name = streams.stdin_filename.clone();
        if streams.stdin || streams.stdin_from_command {
            if !self.paths.is_empty() {
                return Err(match streams.stdin {
                    true => "--stdin cannot be used with PATH".to_owned(),
                    false => "write the command after --: --stdin-from-command -- CMD ARG…".to_owned(),
                });
            }
            if name.is_empty() {
                return Err("--stdin-filename must not be empty".to_owned());
            }
        }
        if streams.stdin_from_command {
            if self.command_line.is_empty() {
                return Err("--stdin-from-command needs a command: -- CMD ARG…".to_owned());
            }
            return Ok(Inputs::Command { name, command: CommandSpec { argv: self.command_line.clone() } });
        }
        if streams.stdin {
            if !self.command_line.is_empty() {
                return Err("--stdin cannot be used with PATH".to_owned());
            }
            return Ok(Inputs::Stdin { name });
        }
        self.paths_or_commands()
    }

    fn paths_or_commands(&self) -> Result<Inputs, String> {
        let after_dashes = self.command_line.iter().map(PathBuf::from);
        let paths: Vec<PathBuf> = self.paths.iter().cloned().chain(after_dashes).collect();
        let no_lists = self.files_from.is_empty() && self.files_from_raw.is_empty();
        let mut names = BTreeSet::new();
        let mut commands = Vec::new();
        for text in &self.streams.commands {
            let (name, line) = text.named()?;
            if !names.insert(name) {
                return Err(format!("--command names '{name}' twice"));
            }
            let command = CommandSpec::parse(line).map_err(|error| format!("--command {name}: {error}"))?;
            commands.push(NamedCommand { name: name.to_owned(), command });
        }
        match (paths.is_empty() && no_lists, commands.is_empty()) {
            (true, true) => {
                Err("nothing to back up: give PATH…, --files-from, --stdin or --command".to_owned())
            }
            (false, false) => {
                Err("--command cannot be used with PATH or --files-from: make two snapshots".to_owned())
            }
            (false, true) => Ok(Inputs::Paths { paths }),
            (true, false) => Ok(Inputs::Commands(commands)),
        }
    }
}
