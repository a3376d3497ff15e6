//! The variables of the environment, read once and handed down, so that tests need not change the process.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// Names of the variables that snap itself reads; stores read their own (`AWS_*`).
pub const VARIABLES: [(&str, &str); 9] = [
    ("SNAP_REPOSITORY", "Repository, like --repo"),
    ("SNAP_KEY_FILE", "Raw key file or master sheet, like --key-file"),
    ("SNAP_PASSWORD_FILE", "File with the password, like --password-file"),
    ("SNAP_PASSWORD_COMMAND", "Command that prints the password, like --password-command"),
    ("SNAP_PASSWORD", "The password itself; a file is safer"),
    ("SNAP_CACHE_DIR", "Directory of the local index, like --cache-dir"),
    ("SNAP_STATE_DIR", "Directory where this host remembers what it saw of repositories"),
    ("SNAP_HOST", "Host name of new snapshots, like backup --host"),
    ("CREDENTIALS_DIRECTORY", "Directory of systemd credentials; snap-password in it is read"),
];

/// Variables and their values; one that is set but empty counts as not set.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Returns the variables of this process.
    pub fn from_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// Returns an environment of these variables only.
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect())
    }

    /// Returns the value of `name`, unless it is missing or empty.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Returns the value of `name` as text, unless it is missing, empty or not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }
}

/// Shows how many variables there are, never a value: one may be a password.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}
