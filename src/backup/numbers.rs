//! New chunks of arrays and of unknown bytes, stored beside what stood there in the earlier version.
//!
//! Values that were changed where they stand are mixed with their former values. Rows that were removed or
//! inserted move all that follows, and a chunk that one of them falls into is new although nearly all of its
//! bytes are old: such a run leans on the stretch of the earlier version that it replaces, as text does.
//! Between two chunks that both versions have, that stretch is known. Where there is none for long, as when
//! every chunk lost a row, a few places of the run are looked for in the earlier version, near where it is
//! expected to go on.
//!
//! Unknown bytes are treated as one tensor, but for this: what was written anew there need not be numbers, so
//! they lean unless a sample says that mixing is better.

use bytes::Bytes;

use super::common::{NEEDLE_BYTES, last_in_common};
use super::pieces::Piece;
use super::segments::Place;
use super::tensors::{Former, WHOLE};
use crate::base::ChunkId;
use crate::base::limits::{BASE_COUNT_MAX, BASE_MAX_BYTES, BLOCK_BASED_RAW_MAX_BYTES};
use crate::codec::{self, Coding, Hint};
use crate::repository::{BaseChunk, ChunkWriter, Error};

/// A run is stored when it is this long, also without knowing where it ends.
const RUN_MAX_BYTES: usize = BLOCK_BASED_RAW_MAX_BYTES as usize;
/// A shorter stretch is stored with others in one block: a block of its own would cost what a base saves.
const ALONE_MIN_BYTES: usize = 16 << 10;
/// A run up to this long that leans on older bytes shares its block with others.
const SHARED_MAX_BYTES: usize = 32 << 10;
/// Bytes of the earlier version before the expected place that are looked at, and behind it beyond the
/// length of the run.
const BEFORE_BYTES: u64 = 64 << 10;
const SLACK_BYTES: u64 = 192 << 10;
/// Bytes of the earlier version that are looked at.
const LOOKED_AT_MAX_BYTES: u64 = 3 << 20;
/// Looks without a find after which it is looked seldom, and how seldom then.
const MISSES_MAX: u32 = 4;
const SELDOM: u32 = 16;

/// How the current tensor stands to its former values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Unsure,
    /// Values stand where they stood.
    Aligned,
    /// They moved within the tensor.
    Moved,
}

/// A new chunk.
struct Fresh {
    id: ChunkId,
    data: Bytes,
    hint: Hint,
    place: Option<Place>,
}

impl Fresh {
    /// Returns the place behind it.
    fn end(&self) -> Option<Place> {
        let Place { tensor, offset } = self.place?;
        Some(Place { tensor, offset: offset + to_u64(self.data.len()) })
    }
}

/// The new chunks of one file or stream that has an earlier version, on their way to the writer.
pub(super) struct Numbers<'a, 'r> {
    former: Former<'a, 'r>,
    run: Vec<Fresh>,
    run_bytes: usize,
    tensor: Option<usize>,
    standing: Standing,
    /// Where the run is expected to go on in the earlier version; it may be `unsure_bytes` further on.
    place: u64,
    unsure_bytes: u64,
    misses: u32,
}

impl<'a, 'r> Numbers<'a, 'r> {
    /// Begins a file.
    pub(super) fn new(former: Former<'a, 'r>) -> Self {
        Self {
            former,
            run: Vec::new(),
            run_bytes: 0,
            tensor: None,
            standing: Standing::Unsure,
            place: 0,
            unsure_bytes: 0,
            misses: 0,
        }
    }

    /// Takes a chunk that begins at byte `offset`, and that the earlier version has at byte `at`.
    pub(super) fn known(
        &mut self,
        piece: &Piece,
        offset: u64,
        mut at: u64,
        writer: &mut ChunkWriter,
    ) -> Result<(), Error> {
        let place = piece.place.or(self.former.place_in_whole(offset));
        let values = place.and_then(|place| self.former.values(place));
        if let Some((values, _)) = values.filter(|(values, _)| *values != at) {
            // What repeats, as zeros do, stands at several places: the own one counts.
            let own = self.former.chunks(values, values + 1)?;
            if own.iter().any(|(start, chunk)| *start == values && chunk.id == piece.id) {
                at = values;
            }
        }
        self.end_run(Some(at), writer)?;
        (self.place, self.unsure_bytes) = (at + to_u64(piece.data.len()), 0);
        self.tensor = place.map(|place| place.tensor);
        self.standing = match values {
            Some((values, _)) if values == at && self.tensor == Some(WHOLE) => match self.standing {
                Standing::Aligned => Standing::Aligned,
                _ => Standing::Unsure,
            },
            Some((values, _)) if values == at => Standing::Aligned,
            Some(_) => Standing::Moved,
            None => Standing::Unsure,
        };
        Ok(())
    }

    /// Takes `bytes` that are stored already, but not as a chunk of the earlier version that is near.
    pub(super) fn elsewhere(&mut self, bytes: u64) {
        if self.run.is_empty() && self.standing == Standing::Aligned {
            self.place = self.place.saturating_add(bytes);
        } else if self.run.is_empty() {
            // Where values moved, about as many bytes of the earlier version stand for them.
            self.place = self.place.saturating_add(bytes - bytes / 16);
            self.unsure_bytes = self.unsure_bytes.saturating_add(bytes / 8);
        } else {
            self.unsure_bytes = self.unsure_bytes.saturating_add(bytes);
        }
    }

    /// Takes a chunk that begins at byte `offset` and is not stored yet.
    pub(super) fn absent(
        &mut self,
        piece: &Piece,
        offset: u64,
        writer: &mut ChunkWriter,
    ) -> Result<(), Error> {
        let place = piece.place.or(self.former.place_in_whole(offset));
        let tensor = place.map(|place| place.tensor);
        if tensor != self.tensor {
            if self.standing == Standing::Aligned {
                self.end_run(None, writer)?;
            }
            (self.tensor, self.standing) = (tensor, Standing::Unsure);
        }
        if self.run_bytes + piece.data.len() > RUN_MAX_BYTES {
            self.end_run(None, writer)?;
        }
        let begins = place.filter(|place| self.run.is_empty() && place.offset == 0);
        if let Some((values, _)) = begins.and_then(|place| self.former.values(place)) {
            (self.place, self.unsure_bytes) = (values, 0);
        }
        self.run_bytes += piece.data.len();
        // A copy: chunks of one run may lie far apart, and each would keep the whole buffer it was read into.
        let data = Bytes::copy_from_slice(&piece.data);
        self.run.push(Fresh { id: piece.id, data, hint: piece.hint, place });
        Ok(())
    }

    /// Stores what is left.
    pub(super) fn finish(&mut self, writer: &mut ChunkWriter) -> Result<(), Error> {
        let end = self.former.size_bytes();
        let reach = to_u64(self.run_bytes).saturating_add(self.unsure_bytes).saturating_add(SLACK_BYTES);
        let is_near = end.saturating_sub(self.place) <= reach;
        let is_sign = is_near && self.standing != Standing::Aligned;
        self.end_run(Some(end).filter(|_| is_sign), writer)
    }

    /// Stores the run that ends before byte `right` of the earlier version, or at an unknown place.
    fn end_run(&mut self, right: Option<u64>, writer: &mut ChunkWriter) -> Result<(), Error> {
        let run = std::mem::take(&mut self.run);
        let run_bytes = to_u64(std::mem::take(&mut self.run_bytes));
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let is_whole = first.place.is_some_and(|place| place.tensor == WHOLE);
        if let Some(right) = right {
            let begins = first.place.is_none_or(|place| self.is_at(place, self.place));
            let may_mix = begins && (!is_whole || self.standing == Standing::Aligned);
            if may_mix && self.ends_at(&run, right) {
                return self.mix(&run, writer);
            }
            let within = right.saturating_sub(run_bytes + SLACK_BYTES);
            let is_guess = self.unsure_bytes > 0 && !(within..right).contains(&self.place);
            let left = if is_guess { within } else { self.place };
            return self.lean(&run, left, right, writer);
        }
        if self.standing != Standing::Aligned {
            let look = self.next_look();
            let found = if look { self.look(&run)? } else { None };
            let mixed = if is_whole && look { self.mixed_coding(&run)? } else { None };
            let is_sparse = matches!(mixed, Some(Coding::Sparse { .. }));
            match found {
                Some((_, end)) if last.end().is_some_and(|place| self.is_at(place, end)) && !is_whole => {}
                Some(_) if is_sparse => {}
                Some((start, end)) => {
                    self.standing = if is_whole { Standing::Unsure } else { Standing::Moved };
                    return self.lean(&run, start, end, writer);
                }
                None if mixed.is_some() => self.misses = 0,
                None if is_whole || self.standing == Standing::Moved || !self.ends_within(&run) => {
                    self.unsure_bytes = self.unsure_bytes.saturating_add(run_bytes);
                    return alone(&run, writer);
                }
                None => {}
            }
        }
        if let Some(end) = self.former_end(last) {
            (self.place, self.unsure_bytes, self.standing) = (end, 0, Standing::Aligned);
        }
        self.mix(&run, writer)
    }

    /// Tells whether the last chunk in a tensor has former values.
    fn ends_within(&self, run: &[Fresh]) -> bool {
        last_in_tensor(run).is_some_and(|last| self.former_end(last).is_some())
    }

    /// Tells whether the last chunk in a tensor ends at byte `right` of the earlier version, or where its
    /// tensor ended: small tensors behind it may be others now.
    fn ends_at(&self, run: &[Fresh], right: u64) -> bool {
        last_in_tensor(run).and_then(Fresh::end).is_some_and(|end| self.is_at(end, right))
    }

    /// Returns where the former values of a chunk end.
    fn former_end(&self, chunk: &Fresh) -> Option<u64> {
        let (values, left) = self.former.values(chunk.place?)?;
        Some(values + left.min(to_u64(chunk.data.len())))
    }

    /// Tells whether `place` of a tensor is where the former one had byte `at`, or the end of both.
    fn is_at(&self, place: Place, at: u64) -> bool {
        match self.former.values(place) {
            Some((values, _)) => values == at,
            None => self.former.is_end(place),
        }
    }

    /// Tells whether it is time to look for a run: seldom, where that was in vain.
    fn next_look(&mut self) -> bool {
        self.misses += 1;
        self.misses <= MISSES_MAX || self.misses.is_multiple_of(SELDOM)
    }

    /// Returns how the run would be coded if it were mixed with what stood in its place; `None` where that
    /// does not pay.
    fn mixed_coding(&self, run: &[Fresh]) -> Result<Option<Coding>, Error> {
        let values = run.first().and_then(|first| self.former.values(first.place?));
        let Some((start, left)) = values else { return Ok(None) };
        let new = bytes_of(run);
        let old = self.former.read(start, start + left.min(to_u64(new.len())))?;
        Ok(codec::choose_xor(&new, &old, 0, Hint::Unknown))
    }

    /// Looks for the run in the earlier version; returns which stretch of that it replaces.
    fn look(&mut self, run: &[Fresh]) -> Result<Option<(u64, u64)>, Error> {
        let new = bytes_of(run);
        let start = self.place.saturating_sub(BEFORE_BYTES);
        let ahead = self.unsure_bytes.saturating_add(to_u64(new.len()) + SLACK_BYTES);
        let reach = self.place.saturating_add(ahead);
        let end = reach.min(start + LOOKED_AT_MAX_BYTES).min(self.former.size_bytes());
        let old = self.former.read(start, end)?;
        let Some((new_at, old_at)) = last_in_common(&new, &old) else { return Ok(None) };
        self.misses = 0;
        let found = start + to_u64(old_at);
        let from = self.place.min(found);
        let rest = to_u64(new.len() - new_at);
        (self.place, self.unsure_bytes) = (found + to_u64(NEEDLE_BYTES), rest);
        Ok(Some((from, (found + rest).min(self.former.size_bytes()))))
    }

    /// Stores a run as text that is looked up in bytes `start` to `end` of the earlier version.
    fn lean(&self, run: &[Fresh], start: u64, end: u64, writer: &mut ChunkWriter) -> Result<(), Error> {
        let mut bases = within_bounds(self.former.chunks(start, end)?);
        if bases.is_empty() {
            return alone(run, writer);
        }
        let hint = run.first().map_or(Hint::Unknown, |first| first.hint);
        let hint = if run.iter().all(|chunk| chunk.hint == hint) { hint } else { Hint::Unknown };
        let chunks = chunks_of(run);
        if length_of(run) <= SHARED_MAX_BYTES {
            self.former.look_up_depths(&mut bases)?;
            return writer.add_run(&chunks, hint, &bases);
        }
        writer.add_beside(&chunks, hint, &bases)
    }

    /// Stores the parts of a run that lie in one tensor each mixed with their former values.
    fn mix(&self, run: &[Fresh], writer: &mut ChunkWriter) -> Result<(), Error> {
        let follows = |one: &Fresh, next: &Fresh| one.place.is_some() && one.end() == next.place;
        for part in run.chunk_by(follows) {
            let part_bytes = length_of(part);
            let first = part.first().filter(|_| part_bytes >= ALONE_MIN_BYTES);
            let values = first.and_then(|first| Some((first.hint, self.former.values(first.place?)?)));
            let Some((hint, (start, left))) = values else {
                alone(part, writer)?;
                continue;
            };
            let bases = self.former.chunks(start, start + left.min(to_u64(part_bytes)))?;
            let Some((offset, _)) = bases.first() else {
                alone(part, writer)?;
                continue;
            };
            let skip = usize::try_from(start - offset);
            let skip = skip.map_err(|_| Error::Internal { what: "place in a base" })?;
            let bases: Vec<BaseChunk> = bases.into_iter().map(|(_, base)| base).collect();
            writer.add_mixed(&chunks_of(part), hint, &bases, skip)?;
        }
        Ok(())
    }
}

/// Returns the last chunk that is in a tensor: what stands between large ones is in none.
fn last_in_tensor(run: &[Fresh]) -> Option<&Fresh> {
    run.iter().rfind(|chunk| chunk.place.is_some())
}

fn bytes_of(run: &[Fresh]) -> Vec<u8> {
    run.iter().flat_map(|chunk| &chunk.data[..]).copied().collect()
}

fn chunks_of(run: &[Fresh]) -> Vec<(ChunkId, Bytes)> {
    run.iter().map(|chunk| (chunk.id, chunk.data.clone())).collect()
}

fn length_of(run: &[Fresh]) -> usize {
    run.iter().map(|chunk| chunk.data.len()).sum()
}

/// Stores chunks without bases.
fn alone(run: &[Fresh], writer: &mut ChunkWriter) -> Result<(), Error> {
    for chunk in run {
        writer.add_absent(chunk.id, &chunk.data, chunk.hint)?;
    }
    Ok(())
}

/// Leaves out chunks from the middle until one block may have them all as bases.
fn within_bounds(chunks: Vec<(u64, BaseChunk)>) -> Vec<BaseChunk> {
    let mut bases: Vec<BaseChunk> = chunks.into_iter().map(|(_, base)| base).collect();
    let mut left: u64 = bases.iter().map(|base| u64::from(base.length_bytes)).sum();
    let count_max = usize::try_from(BASE_COUNT_MAX).unwrap_or(usize::MAX);
    if left <= BASE_MAX_BYTES && bases.len() <= count_max {
        return bases;
    }
    let tail = bases.split_off(bases.len() / 2);
    let mut tail: std::collections::VecDeque<BaseChunk> = tail.into();
    while left > BASE_MAX_BYTES || bases.len() + tail.len() > count_max {
        let dropped = if bases.len() > tail.len() { bases.pop() } else { tail.pop_front() };
        let Some(dropped) = dropped else { break };
        left -= u64::from(dropped.length_bytes);
    }
    bases.extend(tail);
    bases
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
