//! Tensors beside their former values: new chunks of a tensor that an earlier file has too, mixed with what
//! stood there.

use std::collections::HashMap;

use bytes::Bytes;

use super::segments::Place;
use super::steps::Older;
use crate::base::ChunkId;
use crate::base::limits::BLOCK_BASED_RAW_MAX_BYTES;
use crate::codec::Hint;
use crate::container::{self, Layout, TensorIndex};
use crate::format::node::ChunkRef;
use crate::repository::{BaseChunk, ChunkReader, ChunkWriter, Error, StoredFile};

/// A shorter stretch is stored with others in one block: a block of its own would cost what mixing saves.
const MIXED_MIN_BYTES: usize = 16 << 10;
/// Longest stretch that becomes one block.
const MIXED_MAX_BYTES: usize = BLOCK_BASED_RAW_MAX_BYTES as usize;

/// The tensors of an earlier file that a new file has too.
struct Former<'a, 'r> {
    stored: StoredFile<'a, 'r>,
    /// Where each tensor, by its number in the new file, begins in the earlier one.
    offsets: HashMap<usize, u64>,
}

/// The new chunks of tensors of one file, on their way to the writer.
pub(super) struct Tensors<'a, 'r> {
    former: Option<Former<'a, 'r>>,
    stretch: Vec<(ChunkId, Bytes)>,
    stretch_bytes: usize,
    start: Place,
    hint: Hint,
}

impl<'a, 'r> Tensors<'a, 'r> {
    /// Begins a file; `older` are earlier files, the likeliest first. The first counts that has tensors in
    /// common with it; one that cannot be read is as good as none.
    pub(super) fn new(reader: &'a ChunkReader<'r>, layout: Option<&Layout>, older: &[Older]) -> Self {
        let former =
            layout.and_then(|layout| older.iter().find_map(|older| former_of(reader, layout, older)));
        let start = Place { tensor: 0, offset: 0 };
        Self { former, stretch: Vec::new(), stretch_bytes: 0, start, hint: Hint::Unknown }
    }

    /// Tells whether the chunk at `place` has former values.
    pub(super) fn has_former(&self, place: Place) -> bool {
        self.former.as_ref().is_some_and(|former| former.offsets.contains_key(&place.tensor))
    }

    /// Takes a chunk that is not stored yet and has former values.
    pub(super) fn absent(
        &mut self,
        id: ChunkId,
        data: &Bytes,
        place: Place,
        hint: Hint,
        writer: &mut ChunkWriter,
    ) -> Result<(), Error> {
        let length = u64::try_from(self.stretch_bytes).unwrap_or(u64::MAX);
        let follows = place.tensor == self.start.tensor && place.offset == self.start.offset + length;
        if !follows || self.stretch_bytes + data.len() > MIXED_MAX_BYTES {
            self.end_stretch(writer)?;
        }
        if self.stretch.is_empty() {
            (self.start, self.hint) = (place, hint);
        }
        self.stretch_bytes += data.len();
        self.stretch.push((id, data.clone()));
        Ok(())
    }

    /// Stores what is left.
    pub(super) fn end_stretch(&mut self, writer: &mut ChunkWriter) -> Result<(), Error> {
        let stretch = std::mem::take(&mut self.stretch);
        let stretch_bytes = std::mem::take(&mut self.stretch_bytes);
        let offset = self.former.as_ref().and_then(|former| former.offsets.get(&self.start.tensor));
        if let (Some(former), Some(offset)) = (&self.former, offset)
            && stretch_bytes >= MIXED_MIN_BYTES
        {
            let start = offset + self.start.offset;
            let end = start + u64::try_from(stretch_bytes).unwrap_or(u64::MAX);
            if let Some((bases, skip)) = bases_of(&former.stored, start, end)? {
                return writer.add_mixed(&stretch, self.hint, &bases, skip);
            }
        }
        for (id, data) in &stretch {
            writer.add_absent(*id, data, self.hint)?;
        }
        Ok(())
    }
}

fn former_of<'a, 'r>(reader: &'a ChunkReader<'r>, layout: &Layout, older: &Older) -> Option<Former<'a, 'r>> {
    let stored = StoredFile::new(reader, &older.content, older.size_bytes).ok()?;
    let before = container::layout(&stored)?;
    let index = TensorIndex::new(&before);
    let offsets: HashMap<usize, u64> = layout
        .tensors
        .iter()
        .enumerate()
        .filter_map(|(number, tensor)| Some((number, index.find(tensor)?.offset)))
        .collect();
    (!offsets.is_empty()).then_some(Former { stored, offsets })
}

/// Returns the chunks that hold bytes `start` to `end` of an earlier file, and where in them `start` is.
fn bases_of(
    stored: &StoredFile<'_, '_>,
    start: u64,
    end: u64,
) -> Result<Option<(Vec<BaseChunk>, usize)>, Error> {
    let chunks = match stored.chunks_in(start, end) {
        Ok(chunks) => chunks,
        // What is damaged cannot help, and need not harm.
        Err(error) if error.is_damage() => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some((first, _)) = chunks.first() else { return Ok(None) };
    let skip = usize::try_from(start - first).map_err(|_| Error::Internal { what: "place in a base" })?;
    let base = |chunk: &ChunkRef| BaseChunk { id: chunk.id, length_bytes: chunk.length_bytes, depth: 0 };
    let bases = chunks.iter().map(|(_, chunk)| base(chunk));
    Ok(Some((bases.collect(), skip)))
}
