//! A file's tensors in the order of their bytes.

use super::Element;

/// A kind of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContainerKind {
    /// safetensors.
    Safetensors,
    /// GGUF.
    Gguf,
    /// A zip file of stored members that PyTorch wrote; also several in a row, as distributed checkpoints are.
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
    /// Its dimensions; empty where they are not known.
    pub shape: Vec<u64>,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many bytes it has; at least one.
    pub length_bytes: u64,
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
