//! Reading secrets from files, commands and the terminal, into buffers that are wiped.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::{KEY_TEXT_MAX_BYTES, PASSWORD_MAX_BYTES};
use crate::base::escape::escape_name;
use crate::cli::error::CliError;
use crate::cli::exit::ExitKind;
use crate::source::CommandSpec;

/// Asks a person.
pub trait Prompt {
    /// Tells whether there is a person to ask.
    fn is_possible(&self) -> bool;
    /// Shows `question` and returns the answer, which is not echoed.
    fn ask(&self, question: &str) -> io::Result<Zeroizing<String>>;
}

/// Asks on the terminal of this process, when stdin is one.
#[derive(Debug, Clone, Copy, Default)]
pub struct TerminalPrompt;

impl Prompt for TerminalPrompt {
    fn is_possible(&self) -> bool {
        io::stdin().is_terminal()
    }

    fn ask(&self, question: &str) -> io::Result<Zeroizing<String>> {
        let terminal = File::options().read(true).write(true).open("/dev/tty")?;
        // Before the question is there: who answers at once is not shown either.
        let _unseen = Unseen::begin(&terminal)?;
        (&terminal).write_all(question.as_bytes())?;
        rpassword::read_password().map(Zeroizing::new)
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Unseen<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Unseen<'t> {
    fn begin(terminal: &'t File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        tcsetattr(terminal, OptionalActions::Now, &unseen)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Returns a person's answer.
pub(super) fn ask(prompt: &dyn Prompt, question: &str) -> Result<Zeroizing<Vec<u8>>, CliError> {
    if !prompt.is_possible() {
        return Err(CliError::failed("no password given, and no terminal to ask on")
            .with_hint("give --password-file, --password-command or --key-file, or set SNAP_PASSWORD"));
    }
    let answer = prompt.ask(question).map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => CliError::interrupted(),
        _ => CliError::failed("cannot read the password from the terminal").with_source(error),
    })?;
    Ok(Zeroizing::new(answer.as_bytes().to_vec()))
}

/// Returns the password in a file, without the end of its line; `warn` is told when others can read the file.
pub(super) fn password_file(
    path: &Path,
    warn: Option<&dyn Fn(&str)>,
) -> Result<Zeroizing<Vec<u8>>, CliError> {
    // Two bytes more than the limit: the end of the line.
    read_file("password file", path, PASSWORD_MAX_BYTES + 2, warn).map(without_line_end)
}

/// Returns the text of a key file.
pub(super) fn key_text(path: &Path, warn: &dyn Fn(&str)) -> Result<Zeroizing<Vec<u8>>, CliError> {
    read_file("key file", path, KEY_TEXT_MAX_BYTES, Some(warn))
}

fn read_file(
    what: &str,
    path: &Path,
    limit_bytes: usize,
    warn: Option<&dyn Fn(&str)>,
) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let name = escape_name(path.as_os_str().as_encoded_bytes());
    let failed = |error: io::Error| CliError::failed(format!("cannot read {what} {name}")).with_source(error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    if let Some(warn) = warn.filter(|_| metadata.is_file() && mode & 0o077 != 0) {
        warn(&format!("{what} {name} is open to others (mode {mode:03o}); make it private with: chmod 600"));
    }
    let bytes = read_bounded(file, limit_bytes).map_err(failed)?;
    bytes.ok_or_else(|| CliError::failed(format!("{what} {name} is larger than {limit_bytes} bytes")))
}

/// Returns the password that a command prints, without the end of its line. The command gets neither a shell
/// nor `SNAP_PASSWORD`. It may ask on the terminal; a stdin that is none is left alone, since it may be the
/// data.
pub(super) fn password_command(line: &str) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let command = CommandSpec::parse(line)
        .map_err(|error| CliError::usage("cannot split the password command").with_source(error))?;
    // The label names the program only: an argument may be a secret.
    let name = command.label();
    let failed = |error: io::Error| {
        CliError::failed(format!("cannot run the password command {name}")).with_source(error)
    };
    let stdin = match io::stdin().is_terminal() {
        true => Stdio::inherit(),
        false => Stdio::null(),
    };
    let mut child = Command::new(&command.argv[0])
        .args(&command.argv[1..])
        .env_remove("SNAP_PASSWORD")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let password = match child.stdout.take() {
        Some(stdout) => read_bounded(stdout, PASSWORD_MAX_BYTES + 2),
        None => Ok(None),
    };
    let Some(password) = password.map_err(failed)? else {
        // Its end is not awaited in good faith: whoever prints without bound may never end.
        let _ = child.kill();
        let _ = child.wait();
        let limit = PASSWORD_MAX_BYTES;
        return Err(CliError::failed(format!("the password command {name} prints more than {limit} bytes")));
    };
    let status = child.wait().map_err(failed)?;
    match status.success() {
        true => Ok(without_line_end(password)),
        false => {
            Err(CliError::new(ExitKind::Failed, format!("the password command {name} failed: {status}")))
        }
    }
}

/// Reads to the end; `None` when there are more than `limit_bytes`. The buffer never moves, so that no copy
/// of a secret is left in freed memory.
fn read_bounded(mut from: impl Read, limit_bytes: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut buffer = Zeroizing::new(vec![0_u8; limit_bytes + 1]);
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok((filled <= limit_bytes).then_some(buffer))
}

fn without_line_end(mut password: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if password.last() == Some(&b'\n') {
        password.pop();
        if password.last() == Some(&b'\r') {
            password.pop();
        }
    }
    password
}
