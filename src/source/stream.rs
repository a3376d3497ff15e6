//! Bytes that come once and in order: standard input and the output of commands.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::command::Group;
use super::error::SourceError;
use crate::base::pipe;

/// How often a read of standard input that waits looks whether it is to stop.
const STOP_POLL_NANOSECONDS: i64 = 100_000_000;

/// Bytes that come once and in order.
///
/// Read until a read gives 0, then call [`Stream::finish`]: only its `Ok` says that the bytes are all there
/// are. Dropping an unfinished stream ends what produces it.
pub trait Stream: Send {
    /// Reads at least one byte into `buffer` and returns how many; 0 at the end. Blocks until there is one.
    ///
    /// # Errors
    /// When the system reports one; an interrupted read is tried again.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError>;

    /// Says whether the bytes that were read are whole. Waits for a command to exit, without limit; a
    /// [`Stopper`] ends the wait.
    ///
    /// # Errors
    /// When a command failed or was stopped, and when the stream was not read to its end.
    fn finish(self: Box<Self>) -> Result<StreamEnd, StreamError>;

    /// Returns what ends the stream from another thread, `None` when nothing can.
    fn stopper(&self) -> Option<Stopper> {
        None
    }
}

/// How a stream ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEnd {
    /// Exit status of the command, 0; 0 for standard input too.
    pub exit_status: i32,
}

/// A stream did not start or did not end well: its bytes must not become a snapshot.
///
/// A command is shown by its first word and the number of the others, which may hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The command cannot be started.
    #[error("cannot start {command}")]
    Start {
        /// Its first word, escaped, and how many arguments it has.
        command: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The command has no words.
    #[error("cannot start a command without a name")]
    NoCommand,
    /// The command ended otherwise than with exit status 0.
    #[error("{command} failed: {status}")]
    Failed {
        /// Its first word, escaped, and how many arguments it has.
        command: String,
        /// `exit status N` or `killed by signal N`.
        status: String,
        /// The end of what it wrote to its standard error, lines escaped each, at most 8 KiB before that.
        stderr_tail: String,
    },
    /// A [`Stopper`] ended the command.
    #[error("{command} was stopped")]
    Stopped {
        /// Its first word, escaped, and how many arguments it has.
        command: String,
    },
    /// Somebody called finish before a read gave 0.
    #[error("{stream} was not read to its end")]
    Unread {
        /// The command as in the others, or `standard input`.
        stream: String,
    },
    /// The system does not tell how the command ended.
    #[error("cannot wait for {command}")]
    Wait {
        /// Its first word, escaped, and how many arguments it has.
        command: String,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Ends a command from another thread, as when the user interrupts a run.
#[derive(Debug, Clone)]
pub struct Stopper {
    pub(super) group: Group,
}

impl Stopper {
    /// Asks the command and its children to end (SIGTERM); a second call kills them (SIGKILL). The stream
    /// then comes to its end and its finish gives [`StreamError::Stopped`]. Does nothing once the command was
    /// waited for.
    pub fn stop(&self) {
        self.group.stop();
    }
}

/// Reads once more when a signal interrupted the read.
pub(super) fn read_once(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

struct Stdin {
    stop: Arc<AtomicBool>,
    is_at_end: bool,
}

/// Returns standard input as a stream. Whoever calls it must be the only reader of it. Once `stop` is set a
/// read that waits for bytes fails as interrupted.
pub fn stdin_stream(stop: Arc<AtomicBool>) -> Box<dyn Stream> {
    pipe::widen(io::stdin());
    Box::new(Stdin { stop, is_at_end: false })
}

impl Stdin {
    /// Waits until there is something to read, or the end.
    fn wait(&self) -> Result<(), Errno> {
        let pause = Timespec { tv_sec: 0, tv_nsec: STOP_POLL_NANOSECONDS };
        let stdin = io::stdin();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Errno::INTR);
            }
            let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut waiting, Some(&pause)) {
                Ok(0) | Err(Errno::INTR) => {}
                // A stdin that cannot be waited for says in the read what is wrong with it.
                _ => return Ok(()),
            }
        }
    }
}

impl Stream for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let failed = |error| SourceError::new(Path::new("standard input"), "read", error);
        loop {
            self.wait().map_err(failed)?;
            // Past the standard handle, which reads into a small buffer of its own.
            match rustix::io::read(io::stdin(), &mut *buffer) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed(error)),
                Ok(read) => {
                    self.is_at_end |= read == 0 && !buffer.is_empty();
                    return Ok(read);
                }
            }
        }
    }

    fn finish(self: Box<Self>) -> Result<StreamEnd, StreamError> {
        match self.is_at_end {
            true => Ok(StreamEnd { exit_status: 0 }),
            false => Err(StreamError::Unread { stream: "standard input".into() }),
        }
    }
}
