//! Bytes of one file or stream to chunks with ids: read ahead, cut and hashed on all cores, in order.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;

use super::cuts::{Cut, Rules, Window};
use super::predicted::Predicted;
use super::reading::{self, Fill, Filled, FilledLater, ReadBuffers, read_ahead};
use super::segments::{Place, Segments};
use crate::base::ChunkId;
use crate::chunker::{Chunker, Parameters};
use crate::codec::Hint;
use crate::crypto::KeyRing;
use crate::format::config::Config;
use crate::repository::Error;
use crate::source::{Class, SourceError};

/// Chunk bytes that one hashing task takes.
const TASK_BYTES: usize = 1 << 20;
/// Bytes of the head that a class is recognised from.
pub(super) const HEAD_BYTES: usize = 64 << 10;

/// A chunk with its id.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) id: ChunkId,
    pub(super) data: Bytes,
    /// What it was read into with its neighbours, where that is not much more than what the budget lends.
    pub(super) buffer: Option<Bytes>,
    pub(super) hint: Hint,
    /// Where it lies in a tensor.
    pub(super) place: Option<Place>,
}

/// Pieces that are being hashed.
pub(super) type PiecesLater = Receiver<Vec<Piece>>;

/// The chunkers of all classes.
#[derive(Debug)]
pub(super) struct Chunkers {
    by_class: [Chunker; 4],
}

impl Chunkers {
    /// Makes the chunkers that the config names.
    pub(super) fn new(config: &Config, keys: &KeyRing) -> Result<Self, Error> {
        let make = |class: Class| {
            let set = config.chunker_set(class.number()).ok_or(Error::Internal { what: "chunker set" })?;
            let parameters = Parameters {
                min_bytes: set.min_bytes,
                average_bytes: set.average_bytes,
                max_bytes: set.max_bytes,
                normalization: set.normalization,
            };
            Chunker::new(parameters, keys.gear()).map_err(|_| Error::Internal { what: "chunker parameters" })
        };
        Ok(Self {
            by_class: [
                make(Class::General)?,
                make(Class::Dump)?,
                make(Class::Tensors)?,
                make(Class::Opaque)?,
            ],
        })
    }

    /// Returns the chunker of a class.
    pub(super) fn of(&self, class: Class) -> &Chunker {
        &self.by_class[usize::from(class.number()).min(3)]
    }
}

/// Returns how blocks of a class are sealed.
pub(super) fn hint_of(class: Class) -> Hint {
    match class {
        Class::Dump => Hint::Text,
        Class::Opaque => Hint::Stored,
        Class::General | Class::Tensors => Hint::Unknown,
    }
}

/// Cuts and hashes a whole small file at once.
pub(super) fn pieces_of_all(
    chunker: &Chunker,
    segments: &Segments,
    keys: &KeyRing,
    data: &Bytes,
) -> Vec<Piece> {
    let window = Window { bytes: data, start: 0, at_end: true };
    let cuts = Rules { chunker, segments }.all(window, 0, 1);
    hash_all(keys, data, None, &cuts)
}

/// Cuts one long file or stream, handing out hashing tasks in order.
pub(super) struct Cutter<'a> {
    pub(super) rules: Rules<'a>,
    pub(super) keys: &'a Arc<KeyRing>,
    pub(super) buffers: &'a Arc<ReadBuffers>,
}

/// Chunks that go to the storing side together.
#[derive(Debug, Default)]
struct Task {
    start: usize,
    length: usize,
    cuts: Vec<Cut>,
    /// Ids of all of them, where hashing told the cuts.
    ids: Vec<ChunkId>,
}

impl Cutter<'_> {
    /// Reads `source` to its end, where `predicted` are the chunks of its previous version. Every task goes
    /// to `send`, which says whether to go on; every buffer passes `seen` in order.
    ///
    /// Returns the bytes of the stream; fewer than were there when `send` ended it.
    pub(super) fn run(
        &self,
        source: &mut (dyn Fill + Send),
        mut predicted: Predicted<'_, '_>,
        mut seen: impl FnMut(&[u8]) + Send,
        mut send: impl FnMut(PiecesLater) -> bool,
    ) -> Result<u64, SourceError> {
        let (filled, line) = reading::line();
        std::thread::scope(|scope| {
            let buffers = self.buffers;
            scope.spawn(move || {
                read_ahead(buffers, source, &mut seen, &filled);
            });
            self.cut_line(line, &mut predicted, &mut send)
        })
    }

    fn cut_line(
        &self,
        line: FilledLater,
        predicted: &mut Predicted<'_, '_>,
        send: &mut impl FnMut(PiecesLater) -> bool,
    ) -> Result<u64, SourceError> {
        let mut carried = Bytes::new();
        let mut start = 0_u64;
        for filled in line {
            let Filled { mut buffer, at_end } = filled?;
            // The rest of a window is shorter than a chunk, for which each buffer has room.
            buffer.prepend(&carried);
            let data = Bytes::from_owner(buffer);
            let window = Window { bytes: &data, start, at_end };
            let tasks = self.tasks(window, predicted);
            let cut_bytes = tasks.last().map_or(0, |task| task.start + task.length);
            carried = data.slice(cut_bytes..);
            start += u64::try_from(cut_bytes).unwrap_or(u64::MAX);
            for task in tasks {
                if !send(self.later(&data, task)) {
                    return Ok(start);
                }
            }
        }
        Ok(start)
    }

    /// Cuts a window as far as its cuts are known.
    fn tasks(&self, window: Window<'_>, predicted: &mut Predicted<'_, '_>) -> Vec<Task> {
        let standing = predicted.standing(&self.rules, window, self.keys);
        let mut standing = standing.into_iter().peekable();
        let mut tasks = Tasks::default();
        let mut at = 0;
        loop {
            while standing.next_if(|chunk| chunk.at < at).is_some() {}
            match standing.next_if(|chunk| chunk.at == at) {
                Some(chunk) => {
                    let segment = self.rules.segments.at(window.start + to_u64(at));
                    let place = segment.place(window.start + to_u64(at));
                    tasks.push(at, Cut { length: chunk.length, hint: segment.hint, place }, Some(chunk.id));
                    at += chunk.length;
                }
                None if standing.peek().is_some() => {
                    let Some(cut) = self.rules.next(window, at) else { break };
                    tasks.push(at, cut, None);
                    at += cut.length;
                }
                None => {
                    for cut in self.rules.all(window, at, threads()) {
                        tasks.push(at, cut, None);
                        at += cut.length;
                    }
                    break;
                }
            }
        }
        tasks.done
    }

    /// Hands a task out; one whose ids are known is done at once.
    fn later(&self, data: &Bytes, task: Task) -> PiecesLater {
        let (to_result, result) = sync_channel(1);
        let part = data.slice(task.start..task.start + task.length);
        let (keys, buffer) = (self.keys.clone(), data.clone());
        // Nobody waits any more when the run has ended early.
        if task.ids.is_empty() {
            rayon::spawn(move || drop(to_result.send(hash_all(&keys, &part, Some(&buffer), &task.cuts))));
        } else {
            let mut start = 0;
            let pieces = task.cuts.iter().zip(&task.ids).map(|(cut, id)| {
                let data = part.slice(start..start + cut.length);
                start += cut.length;
                Piece { id: *id, data, buffer: Some(buffer.clone()), hint: cut.hint, place: cut.place }
            });
            drop(to_result.send(pieces.collect()));
        }
        result
    }
}

/// Tasks in the making.
#[derive(Debug, Default)]
struct Tasks {
    done: Vec<Task>,
}

impl Tasks {
    /// Adds the chunk that begins at `at`; `id` where it is known.
    fn push(&mut self, at: usize, cut: Cut, id: Option<ChunkId>) {
        let goes_on = |task: &&mut Task| task.length < TASK_BYTES && task.ids.is_empty() == id.is_none();
        if self.done.last_mut().filter(goes_on).is_none() {
            self.done.push(Task { start: at, ..Task::default() });
        }
        if let Some(task) = self.done.last_mut() {
            task.length += cut.length;
            task.cuts.push(cut);
            task.ids.extend(id);
        }
    }
}

fn to_u64(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

/// Threads that cut one window: with two, the hashing of the window before leaves none idle.
fn threads() -> usize {
    match rayon::current_num_threads() {
        0..=2 => 1,
        threads => threads,
    }
}

fn hash_all(keys: &KeyRing, data: &Bytes, buffer: Option<&Bytes>, cuts: &[Cut]) -> Vec<Piece> {
    let mut start = 0;
    let mut pieces = Vec::with_capacity(cuts.len());
    for cut in cuts {
        let piece = data.slice(start..start + cut.length);
        let id = keys.data_id(&piece);
        let buffer = buffer.cloned();
        pieces.push(Piece { id, data: piece, buffer, hint: cut.hint, place: cut.place });
        start += cut.length;
    }
    pieces
}

#[cfg(test)]
mod tests;
