//! Where the secret of a repository comes from. No message here ever holds one.
//!
//! Order: the flags `--key-file`, `--password-file`, `--password-command`; then the variables
//! `SNAP_KEY_FILE`, `SNAP_PASSWORD_FILE`, `SNAP_PASSWORD_COMMAND`, `SNAP_PASSWORD`; then
//! `$CREDENTIALS_DIRECTORY/snap-password`; then the key file of the default repository; then a question on
//! the terminal.

mod read;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::args::Globals;
use super::environment::Environment;
use super::error::CliError;

pub use read::{Prompt, TerminalPrompt};

/// Limit: a password.
pub const PASSWORD_MAX_BYTES: usize = 4096;
/// Limit: the text of a key file.
pub const KEY_TEXT_MAX_BYTES: usize = 65_536;
/// How often a new password is asked for when the two answers differ.
const PROMPT_ATTEMPTS: u32 = 3;

/// What opens a repository. Wiped from memory when dropped.
pub enum Secret {
    /// A password, not empty.
    Password(Zeroizing<Vec<u8>>),
    /// The text of a raw key file or master sheet (`format-spec/03-keys-sealing.md` 3.6).
    KeyFile(Zeroizing<Vec<u8>>),
}

/// Shows the kind, never the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Secret::Password(…)",
            Self::KeyFile(_) => "Secret::KeyFile(…)",
        })
    }
}

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The text of this key file.
    KeyFile(PathBuf),
    /// A password in this file.
    PasswordFile(PathBuf),
    /// A password that this command prints.
    PasswordCommand(String),
    /// The password itself, from the environment.
    Given(Zeroizing<Vec<u8>>),
    /// A password in a file that the service manager guards.
    Credential(PathBuf),
    /// A question on the terminal.
    Prompt,
}

/// Shows where, never what.
impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile(path) => f.debug_tuple("KeyFile").field(path).finish(),
            Self::PasswordFile(path) => f.debug_tuple("PasswordFile").field(path).finish(),
            Self::PasswordCommand(_) => f.write_str("PasswordCommand(…)"),
            Self::Given(_) => f.write_str("Given(…)"),
            Self::Credential(path) => f.debug_tuple("Credential").field(path).finish(),
            Self::Prompt => f.write_str("Prompt"),
        }
    }
}

/// Returns where the secret comes from; `default_key` is the key file of the default repository when that is
/// meant and the file is there. An unreadable source is an error later, never a reason to try the next.
pub fn choose(globals: &Globals, environment: &Environment, default_key: Option<PathBuf>) -> SecretSource {
    let flags = of_three(
        globals.key_file.clone(),
        globals.password_file.clone(),
        globals.password_command.clone().map(|text| OsString::from(text.0)),
    );
    let variable = |name| environment.get(name);
    let variables = || {
        let command = variable("SNAP_PASSWORD_COMMAND").map(OsString::from);
        of_three(
            variable("SNAP_KEY_FILE").map(PathBuf::from),
            variable("SNAP_PASSWORD_FILE").map(PathBuf::from),
            command,
        )
    };
    let given = || {
        use std::os::unix::ffi::OsStrExt;
        variable("SNAP_PASSWORD").map(|text| SecretSource::Given(Zeroizing::new(text.as_bytes().to_vec())))
    };
    let credential = || {
        let path = PathBuf::from(variable("CREDENTIALS_DIRECTORY")?).join("snap-password");
        path.exists().then_some(SecretSource::Credential(path))
    };
    flags
        .or_else(variables)
        .or_else(given)
        .or_else(credential)
        .or_else(|| default_key.map(SecretSource::KeyFile))
        .unwrap_or(SecretSource::Prompt)
}

/// Returns where the secret of a second repository comes from, given by flags alone.
pub fn choose_by_flags(
    key_file: Option<PathBuf>,
    password_file: Option<PathBuf>,
    password_command: Option<String>,
) -> SecretSource {
    of_three(key_file, password_file, password_command.map(OsString::from)).unwrap_or(SecretSource::Prompt)
}

fn of_three(
    key_file: Option<PathBuf>,
    password_file: Option<PathBuf>,
    password_command: Option<OsString>,
) -> Option<SecretSource> {
    key_file
        .map(SecretSource::KeyFile)
        .or(password_file.map(SecretSource::PasswordFile))
        .or(password_command.map(|line| SecretSource::PasswordCommand(line.to_string_lossy().into_owned())))
}

impl SecretSource {
    /// Returns the secret; `warn` gets what a person should know, like a file that others can read.
    pub fn read(&self, prompt: &dyn Prompt, warn: &dyn Fn(&str)) -> Result<Secret, CliError> {
        let password = match self {
            Self::KeyFile(path) => return read::key_text(path, warn).map(Secret::KeyFile),
            Self::PasswordFile(path) => read::password_file(path, Some(warn))?,
            Self::Credential(path) => read::password_file(path, None)?,
            Self::PasswordCommand(line) => read::password_command(line)?,
            Self::Given(password) => password.clone(),
            Self::Prompt => read::ask(prompt, "password of the repository: ")?,
        };
        checked(password)
    }

    /// Returns the secret for a new key: a question is asked twice, and the answers must agree.
    pub fn read_new(&self, prompt: &dyn Prompt, warn: &dyn Fn(&str)) -> Result<Secret, CliError> {
        if *self != Self::Prompt {
            return self.read(prompt, warn);
        }
        for _ in 0..PROMPT_ATTEMPTS {
            let first = read::ask(prompt, "new password: ")?;
            let second = read::ask(prompt, "new password again: ")?;
            if first == second {
                return checked(first);
            }
            warn("the two passwords differ");
        }
        Err(CliError::failed("no new password: the two answers differed every time"))
    }
}

fn checked(password: Zeroizing<Vec<u8>>) -> Result<Secret, CliError> {
    if password.is_empty() {
        return Err(CliError::usage("the password is empty"));
    }
    if password.len() > PASSWORD_MAX_BYTES {
        return Err(CliError::usage(format!("the password is longer than {PASSWORD_MAX_BYTES} bytes")));
    }
    Ok(Secret::Password(password))
}

#[cfg(test)]
mod tests;
