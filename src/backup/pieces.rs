//! Bytes of one file or stream to chunks with ids: read ahead, cut in order, hashed on all cores.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;

use super::budget::{Budget, HeldBuffer};
use super::segments::{Place, Segments};
use crate::base::ChunkId;
use crate::chunker::{Chunker, Parameters};
use crate::codec::Hint;
use crate::crypto::KeyRing;
use crate::format::config::Config;
use crate::repository::Error;
use crate::source::{Class, SourceError};

/// Bytes read at once from large files and streams.
pub(super) const READ_BYTES: usize = 4 << 20;
/// Chunk bytes that one hashing task takes.
const TASK_BYTES: usize = 1 << 20;
/// Bytes of the head that a class is recognised from.
pub(super) const HEAD_BYTES: usize = 64 << 10;

/// A chunk with its id.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) id: ChunkId,
    pub(super) data: Bytes,
    pub(super) hint: Hint,
    /// Where it lies in a tensor.
    pub(super) place: Option<Place>,
}

/// A chunk that is cut and not yet hashed.
#[derive(Debug, Clone, Copy)]
struct Cut {
    length: usize,
    hint: Hint,
    place: Option<Place>,
}

/// Returns the first chunk of `rest`, which begins at `offset` of the file; `None` when more bytes are
/// needed.
fn next_cut(chunker: &Chunker, segments: &Segments, offset: u64, rest: &[u8], at_end: bool) -> Option<Cut> {
    let segment = segments.at(offset);
    let left = segment.end.and_then(|end| usize::try_from(end - offset).ok());
    let (rest, at_end) = match left {
        Some(left) if left <= rest.len() => (&rest[..left], true),
        _ => (rest, at_end),
    };
    let length = chunker.next_cut(rest, at_end)?;
    let length = if at_end && length == rest.len() { length } else { segment.aligned(length) };
    Some(Cut { length, hint: segment.hint, place: segment.place(offset) })
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
    let mut pieces = Vec::new();
    let mut start = 0;
    while let Some(cut) =
        next_cut(chunker, segments, u64::try_from(start).unwrap_or(u64::MAX), &data[start..], true)
    {
        pieces.push(piece_of(keys, data, start, cut));
        start += cut.length;
    }
    pieces
}

fn piece_of(keys: &KeyRing, data: &Bytes, start: usize, cut: Cut) -> Piece {
    let piece = data.slice(start..start + cut.length);
    Piece { id: keys.data_id(&piece), data: piece, hint: cut.hint, place: cut.place }
}

/// Where the bytes of one file or stream come from: fills the buffer unless the end comes first.
pub(super) trait Fill {
    /// Reads into `buffer` and returns how many bytes; fewer than its length only at the end.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError>;
}

/// Cuts one long stream, handing out hashing tasks in order.
pub(super) struct Cutter<'a> {
    pub(super) chunker: &'a Chunker,
    pub(super) segments: &'a Segments,
    pub(super) keys: &'a Arc<KeyRing>,
    pub(super) budget: &'a Arc<Budget>,
}

impl Cutter<'_> {
    /// Reads `source` to its end; `head` are bytes already taken from it. Every task goes to `send`, which
    /// says whether to go on; every buffer passes `seen` in order.
    ///
    /// Returns the bytes of the stream, head included; fewer than were there when `send` ended it.
    pub(super) fn run(
        &self,
        head: Vec<u8>,
        source: &mut dyn Fill,
        mut seen: impl FnMut(&[u8]),
        mut send: impl FnMut(PiecesLater) -> bool,
    ) -> Result<u64, SourceError> {
        let mut carried = head;
        let mut fresh_from = 0;
        let mut total = 0_u64;
        loop {
            let hold = self.budget.take(carried.len() + READ_BYTES);
            let kept = carried.len();
            let mut buffer = std::mem::take(&mut carried);
            buffer.resize(kept + READ_BYTES, 0);
            let read = source.fill(&mut buffer[kept..])?;
            buffer.truncate(kept + read);
            seen(&buffer[fresh_from..]);
            total += u64::try_from(buffer.len() - fresh_from).unwrap_or(u64::MAX);
            let at_end = read < READ_BYTES;
            let start = total - u64::try_from(buffer.len()).unwrap_or(0);
            let mut cuts = Vec::new();
            let mut cut = 0;
            while let Some(next) = next_cut(
                self.chunker,
                self.segments,
                start + u64::try_from(cut).unwrap_or(0),
                &buffer[cut..],
                at_end,
            ) {
                cuts.push(next);
                cut += next.length;
            }
            if !at_end {
                // Room for what comes, so that the next buffer grows without moving.
                carried = Vec::with_capacity(buffer.len() - cut + READ_BYTES);
                carried.extend_from_slice(&buffer[cut..]);
                fresh_from = carried.len();
            }
            if !self.send_tasks(HeldBuffer::share(buffer, hold), &cuts, &mut send) || at_end {
                return Ok(total);
            }
        }
    }

    fn send_tasks(&self, buffer: Bytes, cuts: &[Cut], send: &mut impl FnMut(PiecesLater) -> bool) -> bool {
        let mut start = 0;
        let mut first = 0;
        let mut held = 0;
        for (at, cut) in cuts.iter().enumerate() {
            held += cut.length;
            if held < TASK_BYTES && at + 1 < cuts.len() {
                continue;
            }
            let part = buffer.slice(start..start + held);
            let later = hash_later(self.keys.clone(), part, cuts[first..=at].to_vec());
            if !send(later) {
                return false;
            }
            start += held;
            (first, held) = (at + 1, 0);
        }
        true
    }
}

fn hash_later(keys: Arc<KeyRing>, data: Bytes, cuts: Vec<Cut>) -> PiecesLater {
    let (to_result, result) = sync_channel(1);
    rayon::spawn(move || {
        let mut start = 0;
        let mut pieces = Vec::with_capacity(cuts.len());
        for cut in cuts {
            pieces.push(piece_of(&keys, &data, start, cut));
            start += cut.length;
        }
        // Nobody waits any more when the run has ended early.
        let _ = to_result.send(pieces);
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RepositoryId;
    use crate::base::clock::SeededEntropy;
    use crate::crypto::MasterKey;

    struct Slow<'a>(&'a [u8]);

    impl Fill for Slow<'_> {
        fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
            let count = buffer.len().min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn cuts_and_ids_of_a_stream_are_those_of_the_whole() {
        let master = MasterKey::from_bytes([1; 32]);
        let keys = KeyRing::new(RepositoryId([2; 16]), &master, Arc::new(SeededEntropy::new(1)));
        let parameters =
            Parameters { min_bytes: 4096, average_bytes: 16_384, max_bytes: 65_536, normalization: 1 };
        let chunker = Chunker::new(parameters, keys.gear()).unwrap();
        let keys = Arc::new(keys);
        let budget = Budget::new(64 << 20);
        let segments = Segments::whole(Hint::Unknown);
        for length in [0, 1, 70_000, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 3 * READ_BYTES + 12_345] {
            let mut data = vec![0; length];
            blake3::Hasher::new().update(b"stream").finalize_xof().fill(&mut data);
            for head in [0, length.min(HEAD_BYTES)] {
                let cutter = Cutter { chunker: &chunker, segments: &segments, keys: &keys, budget: &budget };
                let mut found = Vec::new();
                let mut digest = blake3::Hasher::new();
                let total = cutter
                    .run(
                        data[..head].to_vec(),
                        &mut Slow(&data[head..]),
                        |bytes| {
                            digest.update(bytes);
                        },
                        |later| {
                            found.extend(later.recv().unwrap().into_iter().map(|piece| piece.id));
                            true
                        },
                    )
                    .unwrap();
                let whole = pieces_of_all(&chunker, &segments, &keys, &Bytes::from(data.clone()));
                assert_eq!(total, u64::try_from(length).unwrap());
                assert_eq!(digest.finalize(), blake3::hash(&data));
                assert_eq!(found, whole.into_iter().map(|piece| piece.id).collect::<Vec<_>>());
            }
        }
    }
}
