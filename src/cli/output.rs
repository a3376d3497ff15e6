//! Stdout, shared by everything that prints results: whole lines, never mixed.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::error::CliError;
use super::json;

/// Bytes held back before they are written.
const BUFFER_SIZE_BYTES: usize = 64 * 1024;

/// Where results go, and in which form. Clones share the stream.
#[derive(Clone)]
pub struct Output {
    stream: Arc<Mutex<Box<dyn Write + Send>>>,
    json: bool,
    quiet: bool,
}

impl Output {
    /// Returns stdout.
    pub fn stdout(json: bool, quiet: bool) -> Self {
        Self::new(Box::new(BufWriter::with_capacity(BUFFER_SIZE_BYTES, io::stdout())), json, quiet)
    }

    /// Returns an output to any stream.
    pub fn new(stream: Box<dyn Write + Send>, json: bool, quiet: bool) -> Self {
        Self { stream: Arc::new(Mutex::new(stream)), json, quiet }
    }

    /// Tells whether results are JSON lines.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a result for people: `text` and an end of line; nothing with `--json`.
    pub fn line(&self, text: &str) -> Result<(), CliError> {
        match self.json {
            true => Ok(()),
            false => self.write(&[text, "\n"]),
        }
    }

    /// Prints a result for people that `--quiet` leaves out, like a closing summary.
    pub fn note(&self, text: &str) -> Result<(), CliError> {
        match self.quiet {
            true => Ok(()),
            false => self.line(text),
        }
    }

    /// Prints lines for people, ended already, like a table's; nothing with `--json`.
    pub fn lines(&self, text: &str) -> Result<(), CliError> {
        match self.json {
            true => Ok(()),
            false => self.write(&[text]),
        }
    }

    /// Prints one JSON line of type `kind`; nothing without `--json`. The last one of a run is a `summary`.
    pub fn json(&self, kind: &str, fields: Value) -> Result<(), CliError> {
        match self.json {
            true => self.write(&[&json::line(kind, fields), "\n"]),
            false => Ok(()),
        }
    }

    /// Returns the stream itself, for bytes that are the result. Nobody else prints while it is held.
    pub fn stream(&self) -> MutexGuard<'_, Box<dyn Write + Send>> {
        // A thread that panicked between two writes left whole writes behind: the stream is still good.
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is held back.
    pub fn flush(&self) -> Result<(), CliError> {
        self.stream().flush().map_err(CliError::output)
    }

    fn write(&self, parts: &[&str]) -> Result<(), CliError> {
        let mut stream = self.stream();
        for part in parts {
            stream.write_all(part.as_bytes()).map_err(CliError::output)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("json", &self.json).field("quiet", &self.quiet).finish_non_exhaustive()
    }
}

/// Bytes in memory that a test reads after an [`Output`] or a progress view wrote them.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Vec<u8>>>);

#[cfg(test)]
impl Recorder {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn printed(json: bool, quiet: bool) -> String {
        let recorder = Recorder::default();
        let output = Output::new(Box::new(recorder.clone()), json, quiet);
        output.line("result").unwrap();
        output.note("note").unwrap();
        output.lines("a\nb\n").unwrap();
        output.json("summary", json!({"files": 1})).unwrap();
        recorder.text()
    }

    #[test]
    fn json_and_text_never_share_stdout_and_quiet_leaves_results() {
        assert_eq!(printed(false, false), "result\nnote\na\nb\n");
        assert_eq!(printed(false, true), "result\na\nb\n");
        assert_eq!(printed(true, false), "{\"files\":1,\"type\":\"summary\"}\n");
        assert_eq!(printed(true, true), "{\"files\":1,\"type\":\"summary\"}\n");
    }
}
