//! `snap init`.

use std::path::PathBuf;

use clap::Args;

use super::Globals;

const EXAMPLES: &str = "\
Examples:
  snap init --repo /srv/backup
  snap init --repo s3:http://127.0.0.1:9000/backup/shop --password-file /etc/snap/password
  snap init --repo s3://bucket/models --raw-key /etc/snap/models.key";

/// Make a repository.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct InitArgs {
    /// Write a new random key to this file, which must not exist, instead of using a password
    #[arg(long, value_name = "FILE")]
    pub raw_key: Option<PathBuf>,
    /// Name the key, for `snap key list`
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
}

impl InitArgs {
    /// Returns what contradicts the global options.
    pub fn conflict(&self, globals: &Globals) -> Option<String> {
        let way = globals.key_ways().first().copied()?;
        self.raw_key.as_ref().map(|_| format!("--raw-key cannot be used with {way}"))
    }
}
