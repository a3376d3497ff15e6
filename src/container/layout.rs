//! A file's tensors in the order of their bytes.

use super::{Element, NAMES_BYTES_MAX, TENSORS_MAX};

/// A kind of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContainerKind {
    /// safetensors.
    Safetensors,
    /// GGUF.
    Gguf,
    /// A zip file of stored members that PyTorch wrote; also several in a row, as distributed checkpoints
    /// are.
    TorchZip,
    /// One numpy array.
    Npy,
    /// A zip file of stored numpy arrays.
    Npz,
    /// A FAISS index.
    Faiss,
}

/// A stretch of equal elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name, as the container has it; empty where the container has none.
    pub name: Vec<u8>,
    /// What its elements are.
    pub element: Element,
    /// Its dimensions, the one whose neighbours lie next to each other last; empty where they are not known,
    /// and for a single value.
    pub shape: Vec<u64>,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many bytes it has; at least one.
    pub length_bytes: u64,
}

impl Tensor {
    /// Returns the offset after its last byte; `None` when that is no number of 64 bits.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.length_bytes)
    }

    /// Returns whether its length is a whole number of elements, and what its shape says.
    fn fits(&self) -> bool {
        let is_whole = self.length_bytes.is_multiple_of(u64::from(self.element.width_bytes()));
        let is_told = self.shape.is_empty()
            || self.element == Element::Bytes
            || self.element.length_bytes(&self.shape) == Some(self.length_bytes);
        self.length_bytes > 0 && is_whole && is_told
    }
}

/// The tensors of one file.
///
/// Invariants: tensors are sorted by offset, do not overlap, and lie within the file as far as its size is
/// known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What the file is.
    pub kind: ContainerKind,
    /// Its tensors.
    pub tensors: Vec<Tensor>,
}

impl Layout {
    /// Sorts `tensors`, leaves out those without bytes, and returns the layout if it is sound.
    pub(super) fn checked(
        kind: ContainerKind,
        mut tensors: Vec<Tensor>,
        size_bytes: Option<u64>,
    ) -> Option<Self> {
        tensors.retain(|tensor| tensor.length_bytes > 0);
        tensors.sort_by_key(|tensor| tensor.offset);
        let layout = Self { kind, tensors };
        layout.is_sound(size_bytes).then_some(layout)
    }

    /// Returns whether the layout keeps its promises for a file of `size_bytes`: there are tensors, but no
    /// more than [`TENSORS_MAX`]; each has bytes, as many as its element and its shape say; they are sorted,
    /// do not overlap, and end within the file.
    pub fn is_sound(&self, size_bytes: Option<u64>) -> bool {
        let names_bytes: usize = self.tensors.iter().map(|tensor| tensor.name.len()).sum();
        let is_bounded = (1..=TENSORS_MAX).contains(&self.tensors.len()) && names_bytes <= NAMES_BYTES_MAX;
        let mut position = 0;
        is_bounded
            && self.tensors.iter().all(|tensor| {
                let begin = std::mem::replace(&mut position, tensor.end().unwrap_or(u64::MAX));
                tensor.fits()
                    && tensor.offset >= begin
                    && tensor.end().is_some_and(|end| size_bytes.is_none_or(|size| end <= size))
            })
    }

    /// Returns the tensor that holds the byte at `offset`.
    pub fn at(&self, offset: u64) -> Option<&Tensor> {
        let after = self.tensors.partition_point(|tensor| tensor.offset <= offset);
        let tensor = self.tensors.get(after.checked_sub(1)?)?;
        tensor.end().is_some_and(|end| offset < end).then_some(tensor)
    }
}
