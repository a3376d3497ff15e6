//! `snap key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const KEY_ADD_EXAMPLES: &str = "\
Examples:
  snap key add --label laptop
  snap key add --new-key-file /etc/snap/db1.key --label db1";

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Add a key: another password or raw key file that opens the repository
    #[command(after_long_help = KEY_ADD_EXAMPLES)]
    Add(NewKeyArgs),
    /// List the keys
    List,
    /// Remove a key
    Remove(KeyRemoveArgs),
    /// Replace the key that opened the repository by a new one
    Change(NewKeyArgs),
    /// Print the master secret as a sheet to keep on paper
    Export(KeyExportArgs),
}

/// How a new key is held; without an option a password is asked for.
#[derive(Debug, Args)]
pub struct NewKeyArgs {
    /// Read the new password from a file
    #[arg(long, value_name = "FILE", conflicts_with = "new_key_file")]
    pub new_password_file: Option<PathBuf>,
    /// Write a new random key to this file, which must not exist
    #[arg(long, value_name = "FILE")]
    pub new_key_file: Option<PathBuf>,
    /// Name the key, for `snap key list`
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
}

/// Remove a key.
#[derive(Debug, Args)]
pub struct KeyRemoveArgs {
    /// Remove this key: its id or a prefix
    #[arg(value_name = "ID")]
    pub id: String,
}

/// Print the master secret.
#[derive(Debug, Args)]
pub struct KeyExportArgs {
    /// Write to a new file, readable by its owner only, instead of stdout
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
}
