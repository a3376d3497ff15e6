//! Options that every command takes, before or after its name.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use super::values::{CommandText, memory_limit, thread_count};
use crate::base::Memory;
use crate::base::parse::parse_wait;

/// When progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ProgressWhen {
    /// Bars on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// Also where it would be left out
    Always,
    /// Never
    Never,
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Use this repository: /path, s3:http://host:9000/bucket/prefix or s3://bucket/prefix (env
    /// SNAP_REPOSITORY)
    #[arg(long, short = 'r', global = true, value_name = "REPO")]
    pub repo: Option<String>,
    /// Read the password from a file (env SNAP_PASSWORD_FILE)
    #[arg(long, short = 'p', global = true, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Run a command, without a shell, that prints the password (env SNAP_PASSWORD_COMMAND)
    #[arg(long, global = true, value_name = "COMMAND")]
    pub password_command: Option<CommandText>,
    /// Open the repository with a raw key file or a master sheet (env SNAP_KEY_FILE)
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Print JSON lines on stdout, the last one of type summary or exit_error
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only warnings and errors
    #[arg(long, short = 'q', global = true)]
    pub quiet: bool,
    /// Print more; twice for details
    #[arg(long, short = 'v', global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say when to show progress
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub progress: ProgressWhen,
    /// Use this many threads for computing (default: one per core)
    #[arg(long, global = true, value_name = "N", value_parser = thread_count)]
    pub threads: Option<u32>,
    /// Take at most about this much memory, 128MiB to 8GiB (default: 512MiB; env SNAP_MEMORY)
    #[arg(long, global = true, value_name = "SIZE", value_parser = memory_limit)]
    pub memory: Option<Memory>,
    /// Keep the local index below this directory (env SNAP_CACHE_DIR)
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Keep the local index only for this run
    #[arg(long, global = true)]
    pub no_cache: bool,
    /// Wait this long for a lease that another host holds (default: do not wait)
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_wait)]
    pub lock_wait: Option<Duration>,
    /// Go on with a repository that was rolled back, emptied or replaced since this host last saw it, and
    /// take it as it is from now on
    #[arg(long, global = true)]
    pub accept_rollback: bool,
    /// Trust the certificates in this PEM file as well
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,
}

impl Globals {
    /// Returns what contradicts itself. The parser alone would miss a pair with one option before the command
    /// and one after it.
    pub fn conflict(&self) -> Option<String> {
        let ways = self.key_ways();
        if let [first, second, ..] = ways[..] {
            return Some(format!("{first} cannot be used with {second}"));
        }
        if self.quiet && self.verbose > 0 {
            return Some("--quiet cannot be used with --verbose".to_owned());
        }
        if self.no_cache && self.cache_dir.is_some() {
            return Some("--no-cache cannot be used with --cache-dir".to_owned());
        }
        None
    }

    /// Returns the names of the options given that say how the repository is opened.
    pub fn key_ways(&self) -> Vec<&'static str> {
        let ways = [
            (self.key_file.is_some(), "--key-file"),
            (self.password_file.is_some(), "--password-file"),
            (self.password_command.is_some(), "--password-command"),
        ];
        ways.into_iter().filter(|(given, _)| *given).map(|(_, name)| name).collect()
    }
}
