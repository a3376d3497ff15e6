//! Tensors beside their former values: where each tensor of a file stands in an earlier one.

use std::collections::HashMap;

use super::segments::Place;
use super::steps::Older;
use crate::base::ChunkId;
use crate::container::{self, Layout, Tensor, TensorIndex};
use crate::format::node::ChunkRef;
use crate::index::IndexDatabase;
use crate::repository::{BaseChunk, ChunkReader, Error, StoredFile};

/// Stands for all bytes of a file without tensors, where a tensor has its number.
pub(super) const WHOLE: usize = usize::MAX;

/// Where a tensor stands in the earlier file.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    offset: u64,
    length_bytes: u64,
}

/// An earlier file, and the tensors of it that the new file has too.
pub(super) struct Former<'a, 'r> {
    stored: StoredFile<'a, 'r>,
    index: &'r IndexDatabase,
    /// By the number of the tensor in the new file.
    tensors: HashMap<usize, Stretch>,
    size_bytes: u64,
}

impl<'a, 'r> Former<'a, 'r> {
    /// Looks into an earlier file for the tensors of `layout`. One that cannot be read is as good as none.
    pub(super) fn new(reader: &'a ChunkReader<'r>, layout: Option<&Layout>, older: &Older) -> Option<Self> {
        let stored = StoredFile::new(reader, &older.content, older.size_bytes).ok()?;
        let size_bytes = older.size_bytes;
        let tensors = match layout {
            Some(layout) => container::layout(&stored).map(|before| tensors_of(layout, &before)),
            None => Some(HashMap::from([(WHOLE, Stretch { offset: 0, length_bytes: size_bytes })])),
        };
        let index = reader.repository().index();
        Some(Self { stored, index, tensors: tensors.unwrap_or_default(), size_bytes })
    }

    /// Tells whether it has any tensor of the new file.
    pub(super) fn has_tensors(&self) -> bool {
        self.tensors.keys().any(|number| *number != WHOLE)
    }

    /// Returns the place of what begins at byte `offset` of the new file and is in no tensor; only where none
    /// has tensors.
    pub(super) fn place_in_whole(&self, offset: u64) -> Option<Place> {
        self.tensors.contains_key(&WHOLE).then_some(Place { tensor: WHOLE, offset })
    }

    /// Returns the length of the earlier file.
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Returns where the former values of what is at `place` stand, and how many bytes they are up to the end
    /// of their tensor.
    pub(super) fn values(&self, place: Place) -> Option<(u64, u64)> {
        let Stretch { offset, length_bytes } = *self.tensors.get(&place.tensor)?;
        let left = length_bytes.checked_sub(place.offset).filter(|left| *left > 0)?;
        Some((offset + place.offset, left))
    }

    /// Tells whether `place` is where its tensor ended in the earlier file.
    pub(super) fn is_end(&self, place: Place) -> bool {
        self.tensors.get(&place.tensor).is_some_and(|stretch| stretch.length_bytes == place.offset)
    }

    /// Returns the chunks that hold bytes `start` to `end` of the earlier file, each with its offset.
    pub(super) fn chunks(&self, start: u64, end: u64) -> Result<Vec<(u64, BaseChunk)>, Error> {
        let base = |(offset, chunk): (u64, ChunkRef)| {
            (offset, BaseChunk { id: chunk.id, length_bytes: chunk.length_bytes, depth: 0 })
        };
        match self.stored.chunks_in(start, end) {
            Ok(chunks) => Ok(chunks.into_iter().map(base).collect()),
            // What is damaged cannot help, and need not harm.
            Err(error) if error.is_damage() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Fills in how long the chains of bases are.
    pub(super) fn look_up_depths(&self, bases: &mut [BaseChunk]) -> Result<(), Error> {
        let ids: Vec<ChunkId> = bases.iter().map(|base| base.id).collect();
        for (base, location) in bases.iter_mut().zip(self.index.locate(&ids)?) {
            base.depth = location.map_or(0, |at| at.block.depth);
        }
        Ok(())
    }

    /// Returns bytes `start` to `end`; none where they cannot be read.
    pub(super) fn read(&self, start: u64, end: u64) -> Result<Vec<u8>, Error> {
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
        let mut bytes = vec![0; length];
        match self.stored.fill(start, &mut bytes) {
            Ok(read) => bytes.truncate(read),
            Err(error) if error.is_damage() => bytes.clear(),
            Err(error) => return Err(error),
        }
        Ok(bytes)
    }
}

fn tensors_of(layout: &Layout, before: &Layout) -> HashMap<usize, Stretch> {
    let stretch = |former: &Tensor| Stretch { offset: former.offset, length_bytes: former.length_bytes };
    let pairs = TensorIndex::new(before).pairs(layout);
    pairs.into_iter().map(|(number, former)| (number, stretch(former))).collect()
}
