//! New chunks of text gathered into runs, each stored against what stood there in the previous version, or
//! against chunks that look like it.

use bytes::Bytes;

use super::likeness::Likeness;
use super::numbers::Numbers;
use super::pieces::Piece;
use super::previous::Previous;
use crate::base::ChunkId;
use crate::codec::Hint;
use crate::format::pack::BaseName;
use crate::repository::{BaseChunk, ChunkWriter, Error, ListWriter};

/// A run is stored when it is this long, also without knowing where it ends.
const RUN_MAX_BYTES: usize = 48 << 10;
/// A run up to this long between two known chunks leans on what stood between them without a further look.
const SHORT_RUN_BYTES: u64 = 32 << 10;
/// What a run leans on at most.
const BASE_MAX_BYTES: u64 = 256 << 10;
/// Text that a run leans on beyond its own length.
const SLACK_BYTES: u64 = 24 << 10;
/// Chunks away from the expected place that are believed to be it without further signs.
const NEAR_COUNT: u64 = 64;

/// The new chunks of one file or stream, on their way to the writer.
pub(super) struct Runs<'a, 'r> {
    previous: Option<Previous<'a, 'r>>,
    /// What takes the chunks that are no text, where there is a previous version.
    numbers: Option<Numbers<'a, 'r>>,
    run: Vec<(ChunkId, Bytes)>,
    run_bytes: usize,
}

impl<'a, 'r> Runs<'a, 'r> {
    /// Begins a file; `previous` and `numbers` are of the same earlier one.
    pub(super) fn new(previous: Option<Previous<'a, 'r>>, numbers: Option<Numbers<'a, 'r>>) -> Self {
        Self { previous, numbers, run: Vec::new(), run_bytes: 0 }
    }

    /// Takes a chunk that is stored already.
    pub(super) fn known(
        &mut self,
        piece: &Piece,
        list: &mut ListWriter,
        writer: &mut ChunkWriter,
        likeness: &mut Likeness,
    ) -> Result<(), Error> {
        let Some(previous) = &mut self.previous else { return Ok(()) };
        if let Some(number) = previous.find(&piece.id)? {
            let offset = previous.offset(number);
            self.end_run(Some(number), writer, likeness)?;
            if let (Some(numbers), Some(offset)) = (&mut self.numbers, offset) {
                numbers.known(piece, list.content_bytes(), offset, writer)?;
            }
            if let Some(previous) = &mut self.previous {
                previous.reached(number);
            }
        } else if let Some(numbers) = &mut self.numbers {
            numbers.elsewhere(u64::try_from(piece.data.len()).unwrap_or(u64::MAX));
        }
        self.stand_beside(list);
        Ok(())
    }

    /// Takes a chunk that is not stored yet.
    pub(super) fn absent(
        &mut self,
        piece: &Piece,
        list: &mut ListWriter,
        writer: &mut ChunkWriter,
        likeness: &mut Likeness,
    ) -> Result<(), Error> {
        match (piece.hint, &mut self.numbers) {
            (Hint::Text, _) => {}
            (Hint::Unknown | Hint::Elements(_), Some(numbers)) => {
                numbers.absent(piece, list.content_bytes(), writer)?;
                self.stand_beside(list);
                return Ok(());
            }
            _ => {
                let Piece { id, data, buffer, hint, .. } = piece;
                match buffer {
                    Some(buffer) => writer.add_absent_of(buffer, *id, data, *hint)?,
                    None => writer.add_absent(*id, data, *hint)?,
                };
                return Ok(());
            }
        }
        if self.run_bytes + piece.data.len() > RUN_MAX_BYTES {
            self.end_run(None, writer, likeness)?;
        }
        self.run_bytes += piece.data.len();
        // A copy: chunks of one run may lie far apart, and each would keep the whole buffer it was read into.
        self.run.push((piece.id, Bytes::copy_from_slice(&piece.data)));
        self.stand_beside(list);
        Ok(())
    }

    /// Stores what is left.
    pub(super) fn finish(&mut self, writer: &mut ChunkWriter, likeness: &mut Likeness) -> Result<(), Error> {
        if let Some(numbers) = &mut self.numbers {
            numbers.finish(writer)?;
        }
        self.end_run(None, writer, likeness)
    }

    fn stand_beside(&self, list: &mut ListWriter) {
        if let Some(leaf) = self.previous.as_ref().and_then(Previous::leaf) {
            list.stands_beside(leaf);
        }
    }

    /// Stores the run that ends before the previous version's chunk `right`, or at an unknown place.
    fn end_run(
        &mut self,
        right: Option<u64>,
        writer: &mut ChunkWriter,
        likeness: &mut Likeness,
    ) -> Result<(), Error> {
        if self.run.is_empty() {
            return Ok(());
        }
        let run = std::mem::take(&mut self.run);
        let run_bytes = u64::try_from(std::mem::take(&mut self.run_bytes)).unwrap_or(u64::MAX);
        let between = match &mut self.previous {
            Some(previous) if run_bytes <= SHORT_RUN_BYTES => between(previous, right, run_bytes)?,
            _ => None,
        };
        let bases = match between {
            Some(bases) => bases,
            None => self.alike(&run, right, likeness)?,
        };
        writer.add_run(&run, Hint::Text, &bases)
    }

    /// Returns, in the order of the run, chunks that look like its chunks or are expected in their place.
    fn alike(
        &mut self,
        run: &[(ChunkId, Bytes)],
        right: Option<u64>,
        likeness: &mut Likeness,
    ) -> Result<Vec<BaseChunk>, Error> {
        let names = likeness.of_run(run)?;
        let mut bases = Bases::default();
        for (at, (_, data)) in run.iter().enumerate() {
            let likeliest = names.get(at).map_or(&[][..], |names| names.get(..1).unwrap_or(names));
            let Some(previous) = &mut self.previous else {
                bases.add(&likeness.resolve(likeliest)?);
                continue;
            };
            match followed(previous, &names, at) {
                Some(number) => {
                    // Boundaries differ, so the neighbours hold some of it too.
                    bases.add(&previous.between(
                        number.saturating_sub(1),
                        Some(number + 2),
                        BASE_MAX_BYTES,
                    )?);
                    previous.reached(number);
                }
                None if likeliest.is_empty() => {
                    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    bases.add(&previous.between(previous.place(), None, length + SLACK_BYTES)?);
                }
                None => bases.add(&likeness.resolve(likeliest)?),
            }
        }
        if let (Some(previous), Some(right)) = (&mut self.previous, right) {
            bases.add(&previous.between(right.saturating_sub(1), Some(right), BASE_MAX_BYTES)?);
        }
        Ok(bases.chunks)
    }
}

/// Returns the number in the previous version that the run goes on at with its chunk `at`: one that looks
/// like it and is near, or a place further away that the next chunk confirms, as when parts changed places.
fn followed(previous: &Previous<'_, '_>, names: &[Vec<BaseName>], at: usize) -> Option<u64> {
    let place = previous.place();
    let numbers =
        |at: usize| names.get(at).into_iter().flatten().filter_map(|name| previous.number_of(*name));
    let nearest = numbers(at).min_by_key(|number| number.abs_diff(place))?;
    if nearest.abs_diff(place) <= NEAR_COUNT {
        return Some(nearest);
    }
    numbers(at).find(|number| numbers(at + 1).any(|next| next.abs_diff(number + 1) <= 1))
}

/// Base chunks within the bound, each once.
#[derive(Default)]
struct Bases {
    chunks: Vec<BaseChunk>,
    held_bytes: u64,
}

impl Bases {
    fn add(&mut self, chunks: &[BaseChunk]) {
        for chunk in chunks {
            let length = u64::from(chunk.length_bytes);
            if self.held_bytes + length > BASE_MAX_BYTES {
                return;
            }
            if !self.chunks.iter().any(|held| held.id == chunk.id) {
                self.held_bytes += length;
                self.chunks.push(*chunk);
            }
        }
    }
}

/// Returns what stood between the place reached and chunk `right`, if that can be what the run replaces.
fn between(
    previous: &mut Previous<'_, '_>,
    right: Option<u64>,
    run_bytes: u64,
) -> Result<Option<Vec<BaseChunk>>, Error> {
    let left = previous.place();
    let Some(right) = right.filter(|right| *right > left) else { return Ok(None) };
    let most = BASE_MAX_BYTES.min(2 * run_bytes + SLACK_BYTES);
    let whole = previous.between(left, Some(right), most)?;
    let is_whole = u64::try_from(whole.len()).is_ok_and(|count| count == right - left);
    Ok(is_whole.then_some(whole))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::repository::testing::{TestRepository, noise};

    /// A buffer whose users can be counted.
    struct Counted {
        data: Vec<u8>,
        _user: Arc<()>,
    }

    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.data
        }
    }

    #[test]
    fn a_run_keeps_none_of_the_buffers_that_its_chunks_were_read_into() {
        let store = TestRepository::new(3);
        let mut writer = ChunkWriter::new(store.repository.clone(), true).unwrap();
        let mut likeness = Likeness::new(&store.repository).unwrap();
        let (mut list, mut runs) = (ListWriter::new(), Runs::new(None, None));
        let users = Arc::new(());
        for seed in 0..4 {
            let buffer = Bytes::from_owner(Counted { data: noise(seed, 100_000), _user: users.clone() });
            let data = buffer.slice(50_000..52_100);
            let id = store.repository.keys().data_id(&data);
            let piece = Piece { id, data, buffer: None, hint: Hint::Text, place: None };
            runs.absent(&piece, &mut list, &mut writer, &mut likeness).unwrap();
        }
        assert_eq!((runs.run.len(), Arc::strong_count(&users)), (4, 1));
        runs.finish(&mut writer, &mut likeness).unwrap();
        assert_eq!(writer.finish().unwrap().new_data_bytes, 4 * 2100);
    }
}
