//! New chunks gathered into runs, each stored against what stood there in the previous version.

use bytes::Bytes;

use super::previous::Previous;
use crate::base::ChunkId;
use crate::codec::Hint;
use crate::repository::{BaseChunk, ChunkWriter, Error, ListWriter};

/// A run is stored when it is this long, also without knowing where it ends.
const RUN_MAX_BYTES: usize = 128 << 10;
/// What a run leans on at most.
const BASE_MAX_BYTES: u64 = 256 << 10;
/// Text that a run leans on beyond its own length.
const SLACK_BYTES: u64 = 24 << 10;
/// Chunks before the expected place that a run without known end leans on too: what was added since may be
/// more than what went.
const BACK_COUNT: u64 = 3;

/// The new chunks of one file or stream, on their way to the writer.
pub(super) struct Runs<'a, 'r> {
    previous: Option<Previous<'a, 'r>>,
    run: Vec<(ChunkId, Bytes)>,
    run_bytes: usize,
    hint: Hint,
}

impl<'a, 'r> Runs<'a, 'r> {
    /// Begins a file; without a previous version every chunk is stored alone.
    pub(super) fn new(hint: Hint, previous: Option<Previous<'a, 'r>>) -> Self {
        Self {
            previous: previous.filter(|_| hint != Hint::Stored),
            run: Vec::new(),
            run_bytes: 0,
            hint,
        }
    }

    /// Takes a chunk that is stored already.
    pub(super) fn known(
        &mut self,
        id: &ChunkId,
        list: &mut ListWriter,
        writer: &mut ChunkWriter,
    ) -> Result<(), Error> {
        let Some(previous) = &mut self.previous else { return Ok(()) };
        if let Some(number) = previous.find(id)? {
            self.end_run(Some(number), writer)?;
            if let Some(previous) = &mut self.previous {
                previous.reached(number);
            }
        }
        self.stand_beside(list);
        Ok(())
    }

    /// Takes a chunk that is not stored yet.
    pub(super) fn absent(
        &mut self,
        id: ChunkId,
        data: &Bytes,
        list: &mut ListWriter,
        writer: &mut ChunkWriter,
    ) -> Result<(), Error> {
        if self.previous.is_none() {
            return writer.add_absent(id, data, self.hint).map(|_| ());
        }
        if self.run_bytes + data.len() > RUN_MAX_BYTES {
            self.end_run(None, writer)?;
        }
        self.run_bytes += data.len();
        self.run.push((id, data.clone()));
        self.stand_beside(list);
        Ok(())
    }

    /// Stores what is left.
    pub(super) fn finish(&mut self, writer: &mut ChunkWriter) -> Result<(), Error> {
        self.end_run(None, writer)
    }

    fn stand_beside(&self, list: &mut ListWriter) {
        if let Some(leaf) = self.previous.as_ref().and_then(Previous::leaf) {
            list.stands_beside(leaf);
        }
    }

    /// Stores the run that ends before the previous version's chunk `right`, or at an unknown place.
    fn end_run(&mut self, right: Option<u64>, writer: &mut ChunkWriter) -> Result<(), Error> {
        if self.run.is_empty() {
            return Ok(());
        }
        let run = std::mem::take(&mut self.run);
        let run_bytes = u64::try_from(std::mem::take(&mut self.run_bytes)).unwrap_or(u64::MAX);
        let bases = match &mut self.previous {
            Some(previous) => bases_of(previous, right, run_bytes)?,
            None => Vec::new(),
        };
        writer.add_run(&run, self.hint, &bases)
    }
}

fn bases_of(
    previous: &mut Previous<'_, '_>,
    right: Option<u64>,
    run_bytes: u64,
) -> Result<Vec<BaseChunk>, Error> {
    let left = previous.place();
    let most = BASE_MAX_BYTES.min(2 * run_bytes + SLACK_BYTES);
    match right {
        Some(right) if right >= left => {
            let whole = previous.between(left, Some(right), most)?;
            if u64::try_from(whole.len()).is_ok_and(|count| count == right - left) {
                return Ok(whole);
            }
            // More went than came: what stood at both ends.
            let mut bases = previous.between(left, Some(right), most / 2)?;
            let taken = left + u64::try_from(bases.len()).unwrap_or(0);
            bases.extend(before(previous, right, taken, most / 2)?);
            Ok(bases)
        }
        Some(right) => {
            // The parts of the file changed places: what followed on the left, and what preceded the right.
            let mut bases = previous.between(left, None, most / 2)?;
            bases.extend(before(previous, right, 0, most / 2)?);
            Ok(bases)
        }
        None => {
            let from = left.saturating_sub(BACK_COUNT);
            let bases = previous.between(from, None, (run_bytes + SLACK_BYTES).min(BASE_MAX_BYTES))?;
            let mut passed_bytes = 0;
            let mut number = from;
            for base in &bases {
                if passed_bytes >= run_bytes && number >= left {
                    break;
                }
                passed_bytes += if number >= left { u64::from(base.length_bytes) } else { 0 };
                number += 1;
            }
            if number > left {
                previous.reached(number - 1);
            }
            Ok(bases)
        }
    }
}

/// Returns up to `most` bytes of chunks that end before number `right`, none before number `from`.
fn before(
    previous: &mut Previous<'_, '_>,
    right: u64,
    from: u64,
    most: u64,
) -> Result<Vec<BaseChunk>, Error> {
    /// Enough for a base of the smallest chunks.
    const COUNT_MAX: u64 = 64;
    let mut chunks = previous.between(right.saturating_sub(COUNT_MAX).max(from), Some(right), u64::MAX)?;
    let mut held_bytes = 0;
    let kept = chunks.iter().rev().take_while(|chunk| {
        held_bytes += u64::from(chunk.length_bytes);
        held_bytes <= most
    });
    let dropped = chunks.len() - kept.count();
    Ok(chunks.split_off(dropped))
}
