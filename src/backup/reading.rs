//! Reading ahead: one thread fills large buffers while the one before is cut.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::budget::{Budget, Hold};
use crate::source::SourceError;

/// Bytes read at once from large files and streams.
pub(super) const READ_BYTES: usize = 4 << 20;
/// Filled buffers that wait to be cut.
const FILLED_MAX: usize = 1;
/// Buffers kept for the next read.
const KEPT_MAX: usize = 16;

/// Where the bytes of one file or stream come from: fills the buffer unless the end comes first.
pub(super) trait Fill {
    /// Reads into `buffer` and returns how many bytes; fewer than its length only at the end.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError>;
}

/// Buffers of one size whose content does not matter, for all files of a run.
#[derive(Debug)]
pub(super) struct ReadBuffers {
    free: Mutex<Vec<Vec<u8>>>,
    budget: Arc<Budget>,
    front_bytes: usize,
}

impl ReadBuffers {
    /// Returns buffers with room for `front_bytes` before what is read, which must not be less than the
    /// largest chunk.
    pub(super) fn new(budget: Arc<Budget>, front_bytes: u64) -> Arc<Self> {
        let front_bytes = usize::try_from(front_bytes).unwrap_or(usize::MAX);
        Arc::new(Self { free: Mutex::default(), budget, front_bytes })
    }

    /// Waits for the budget.
    fn take(self: &Arc<Self>) -> ReadBuffer {
        let hold = self.budget.take(READ_BYTES);
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let data = kept.unwrap_or_else(|| vec![0; self.front_bytes + READ_BYTES]);
        ReadBuffer {
            data,
            start: self.front_bytes,
            end: self.front_bytes,
            buffers: self.clone(),
            _hold: hold,
        }
    }
}

/// A buffer that was read into; the content lies in its middle.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
    buffers: Arc<ReadBuffers>,
    _hold: Hold,
}

impl ReadBuffer {
    /// Puts bytes before the content; there is room for a chunk.
    pub(super) fn prepend(&mut self, before: &[u8]) {
        if before.len() > self.start {
            self.data.splice(..self.start, before.iter().copied());
            self.end = self.end - self.start + before.len();
            self.start = 0;
            return;
        }
        let start = self.start - before.len();
        self.data[start..self.start].copy_from_slice(before);
        self.start = start;
    }
}

impl AsRef<[u8]> for ReadBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        let mut free = self.buffers.free.lock().unwrap_or_else(PoisonError::into_inner);
        let length = self.buffers.front_bytes + READ_BYTES;
        if free.len() < KEPT_MAX && self.data.len() == length {
            free.push(std::mem::take(&mut self.data));
        }
    }
}

/// A buffer that was filled, or why it was not.
pub(super) struct Filled {
    pub(super) buffer: ReadBuffer,
    /// Nothing comes after it.
    pub(super) at_end: bool,
}

/// What a reading thread has filled, in order.
pub(super) type FilledLater = Receiver<Result<Filled, SourceError>>;

/// Returns the two ends of a line on which filled buffers go.
pub(super) fn line() -> (SyncSender<Result<Filled, SourceError>>, FilledLater) {
    sync_channel(FILLED_MAX)
}

/// Reads `source` to its end; every buffer passes `seen` in order. Ends early when nobody takes them any
/// more.
pub(super) fn read_ahead(
    buffers: &Arc<ReadBuffers>,
    source: &mut dyn Fill,
    seen: &mut dyn FnMut(&[u8]),
    filled: &SyncSender<Result<Filled, SourceError>>,
) {
    loop {
        let mut buffer = buffers.take();
        let outcome = source.fill(&mut buffer.data[buffers.front_bytes..]);
        let is_last = match outcome {
            Ok(read) => {
                buffer.end = buffer.start + read;
                seen(buffer.as_ref());
                let at_end = read < READ_BYTES;
                filled.send(Ok(Filled { buffer, at_end })).is_err() || at_end
            }
            Err(error) => {
                // Nobody waits any more when the run has ended early.
                let _ = filled.send(Err(error));
                true
            }
        };
        if is_last {
            return;
        }
    }
}
