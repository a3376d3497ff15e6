//! What lies inside a file: tensors of model containers, and where each begins.
//!
//! A layout steers how a file is cut and coded, never what is stored: a header that lies costs density, not
//! bytes. Everything that is not understood has no layout.

mod element;
mod layout;
mod parts;

pub use element::{Element, QuantKind};
pub use layout::{ContainerKind, Layout, Tensor};
pub use parts::{PART_COUNT_MAX, Part, PartScanner, Parts};

/// Bytes that can be read at any offset.
pub trait ReadAt {
    /// Fills `buffer` from `offset` on and returns how many bytes there were: fewer than its length only at
    /// the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize>;

    /// Returns the length of the whole; `None` when it is not known, as for the beginning of a stream.
    fn size_bytes(&self) -> Option<u64>;
}
