//! Commands whose output is stored.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::error::SourceError;
use super::split::{SplitError, split};
use super::stream::{Stopper, Stream, StreamEnd, StreamError, read_once};
use crate::base::escape::escape_name;
use crate::base::pipe;

/// How much of the end of a command's standard error is kept.
const STDERR_TAIL_MAX_BYTES: usize = 8 << 10;
/// How long a command that is no longer wanted has between SIGTERM and SIGKILL.
const TERMINATE_WAIT: Duration = Duration::from_secs(5);
/// How long to wait for the rest of standard error after the command ended: a child that it left behind may
/// hold it open for ever.
const STDERR_WAIT: Duration = Duration::from_secs(2);
/// Pause between two looks at a process that should end.
const POLL_PAUSE: Duration = Duration::from_millis(10);

/// Receives what a command writes to its standard error, as it comes, raw. Called from a thread of its own.
pub type StderrSink = Box<dyn Fn(&[u8]) + Send>;

/// A command and its arguments. Debug output shows no arguments: they may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandSpec {
    /// The program, looked up in `PATH` when it has no slash, and its arguments.
    pub argv: Vec<OsString>,
}

impl CommandSpec {
    /// Cuts a command line into words as a shell does with quotes and backslashes. No shell runs it:
    /// variables, pipes and redirections are refused unless quoted.
    ///
    /// # Errors
    /// When a quote does not end, something needs a shell, or there are no words.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, SplitError> {
        Ok(Self { argv: split(text.as_ref())? })
    }

    /// Returns the program, escaped, and how many arguments it has.
    pub fn label(&self) -> String {
        let program = self.argv.first().map(|word| escape_name(word.as_bytes())).unwrap_or_default();
        match self.argv.len().saturating_sub(1) {
            0 => program,
            1 => format!("{program} (1 argument)"),
            count => format!("{program} ({count} arguments)"),
        }
    }
}

impl fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandSpec({})", self.label())
    }
}

/// The process group of a command, for as long as its number is certainly still its own: the command was not
/// waited for.
#[derive(Debug, Clone)]
pub(super) struct Group(Arc<Mutex<GroupState>>);

#[derive(Debug)]
struct GroupState {
    pid: Option<Pid>,
    stop_count: u32,
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, GroupState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends `signal` to every process of the group. One that has just ended is no error.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.lock().pid {
            let _ = kill_process_group(pid, signal);
        }
    }

    pub(super) fn stop(&self) {
        let count = {
            let mut state = self.lock();
            state.stop_count = state.stop_count.saturating_add(u32::from(state.pid.is_some()));
            state.stop_count
        };
        self.signal(if count > 1 { Signal::KILL } else { Signal::TERM });
    }
}

/// What standard error gave so far.
#[derive(Debug, Default)]
struct Tail(Mutex<VecDeque<u8>>);

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(bytes);
        let excess = tail.len().saturating_sub(STDERR_TAIL_MAX_BYTES);
        tail.drain(..excess);
    }

    fn text(&self) -> String {
        let tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = tail.iter().copied().collect();
        let lines = bytes.trim_ascii_end().split(|byte| *byte == b'\n');
        lines.map(|line| escape_name(line.trim_ascii_end())).collect::<Vec<_>>().join("\n")
    }
}

struct CommandStream {
    label: String,
    child: Child,
    group: Group,
    stdout: Option<ChildStdout>,
    stderr: Arc<Tail>,
    drain: Option<JoinHandle<()>>,
    is_reaped: bool,
}

/// Starts a command and returns its standard output as a stream.
///
/// The command reads nothing, runs in a process group of its own and keeps this process's directory and
/// environment without `SNAP_PASSWORD`. Its standard error is drained as it comes and its last 8 KiB are
/// kept. Dropping the stream before it is finished ends the group: SIGTERM, after at most 5 seconds SIGKILL,
/// and waits for the command. What a command that ended well leaves running is left alone.
///
/// # Errors
/// [`StreamError::Start`] when it cannot be started.
pub fn spawn_command(spec: &CommandSpec) -> Result<Box<dyn Stream>, StreamError> {
    spawn_command_with(spec, None)
}

/// Like [`spawn_command`], and hands each piece of the standard error to `on_stderr` too.
///
/// # Errors
/// [`StreamError::Start`] when it cannot be started.
pub fn spawn_command_with(
    spec: &CommandSpec,
    on_stderr: Option<StderrSink>,
) -> Result<Box<dyn Stream>, StreamError> {
    let label = spec.label();
    let (program, arguments) = spec.argv.split_first().ok_or(StreamError::NoCommand)?;
    let start_error = |error| StreamError::Start { command: label.clone(), error };
    let mut child = Command::new(program)
        .args(arguments)
        .env_remove("SNAP_PASSWORD")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(start_error)?;
    let state = GroupState { pid: Some(Pid::from_child(&child)), stop_count: 0 };
    let stdout = child.stdout.take().inspect(|pipe| pipe::widen(pipe));
    let stderr_pipe = child.stderr.take();
    let mut stream = CommandStream {
        label: label.clone(),
        child,
        group: Group(Arc::new(Mutex::new(state))),
        stdout,
        stderr: Arc::default(),
        drain: None,
        is_reaped: false,
    };
    let tail = Arc::clone(&stream.stderr);
    // From here on, an error drops the stream, which ends the command.
    let drain = thread::Builder::new()
        .name("command stderr".into())
        .spawn(move || drain(stderr_pipe, &tail, on_stderr))
        .map_err(start_error)?;
    stream.drain = Some(drain);
    Ok(Box::new(stream))
}

fn drain(pipe: Option<ChildStderr>, tail: &Tail, on_stderr: Option<StderrSink>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4_096];
    // An error ends it like the end: there is nobody else to tell.
    while let Ok(read @ 1..) = read_once(&mut pipe, &mut buffer) {
        tail.push(&buffer[..read]);
        if let Some(sink) = &on_stderr {
            sink(&buffer[..read]);
        }
    }
}

impl CommandStream {
    /// Tells whether the command has ended, and leaves it to be waited for: until then nobody gets its
    /// number.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        !matches!(waitid(WaitId::Pid(Pid::from_child(&self.child)), options), Ok(None))
    }

    fn wait_for_end(&self) -> io::Result<()> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(Pid::from_child(&self.child)), options) {
                Err(rustix::io::Errno::INTR) => {}
                waited => return waited.map(|_| ()).map_err(io::Error::from),
            }
        }
    }

    /// Waits for the command and gives its number back.
    fn reap(&mut self) -> io::Result<(ExitStatus, u32)> {
        let mut state = self.group.lock();
        state.pid = None;
        let stop_count = state.stop_count;
        drop(state);
        self.is_reaped = true;
        Ok((self.child.wait()?, stop_count))
    }

    fn is_drained(&self) -> bool {
        self.drain.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn end(&mut self) -> Result<StreamEnd, StreamError> {
        let command = self.label.clone();
        if self.stdout.is_some() {
            return Err(StreamError::Unread { stream: command });
        }
        let wait_error = |error| StreamError::Wait { command: command.clone(), error };
        self.wait_for_end().map_err(wait_error)?;
        wait_until(STDERR_WAIT, || self.is_drained());
        let (status, stop_count) = self.reap().map_err(wait_error)?;
        if stop_count > 0 {
            return Err(StreamError::Stopped { command });
        }
        if status.success() {
            return Ok(StreamEnd { exit_status: 0 });
        }
        let status = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => status.to_string(),
        };
        Err(StreamError::Failed { command, status, stderr_tail: self.stderr.text() })
    }
}

fn wait_until(limit: Duration, mut is_done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_done() && start.elapsed() < limit {
        thread::sleep(POLL_PAUSE);
    }
}

impl Stream for CommandStream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let Some(stdout) = &mut self.stdout else { return Ok(0) };
        let read = read_once(stdout, buffer)
            .map_err(|error| SourceError::new(Path::new(&self.label), "read the output of", error))?;
        if read == 0 && !buffer.is_empty() {
            self.stdout = None;
        }
        Ok(read)
    }

    fn finish(mut self: Box<Self>) -> Result<StreamEnd, StreamError> {
        self.end()
    }

    fn stopper(&self) -> Option<Stopper> {
        Some(Stopper { group: self.group.clone() })
    }
}

impl Drop for CommandStream {
    fn drop(&mut self) {
        if self.is_reaped {
            return;
        }
        self.stdout = None;
        self.group.signal(Signal::TERM);
        // The drain ends when the last process of the group has closed its standard error.
        wait_until(TERMINATE_WAIT, || self.has_ended() && self.is_drained());
        self.group.signal(Signal::KILL);
        // After SIGKILL this takes no time; an error means that there is nothing to wait for.
        let _ = self.reap();
    }
}

#[cfg(test)]
mod tests;
