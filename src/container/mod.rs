//! What lies inside a file: tensors of model containers, and where each begins.
//!
//! A layout steers how a file is cut and coded, never what is stored: a header that lies costs density, not
//! bytes. Everything that is not understood has no layout. Each file here knows one format; what it reads is
//! bounded by named constants, and memory grows with the header alone.

mod element;
mod faiss;
mod gguf;
mod json;
mod layout;
mod names;
mod npy;
mod parts;
mod pickle;
mod read;
mod safetensors;
#[cfg(test)]
mod tests;
mod torch;
mod zip;

pub use element::{Element, QuantKind};
pub use layout::{ContainerKind, Layout, Tensor};
pub use names::{TensorIndex, canonical_name};
pub use parts::{PART_COUNT_MAX, Part, PartScanner, Parts};

/// Most tensors of a file; a file with more has no layout.
pub const TENSORS_MAX: usize = 1 << 20;

/// Most bytes of all names of a file together.
pub const NAMES_BYTES_MAX: usize = 64 << 20;

/// Bytes that can be read at any offset.
pub trait ReadAt {
    /// Fills `buffer` from `offset` on and returns how many bytes there were: fewer than its length only at
    /// the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize>;

    /// Returns the length of the whole; `None` when it is not known, as for the beginning of a stream.
    fn size_bytes(&self) -> Option<u64>;
}

impl ReadAt for &[u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn size_bytes(&self) -> Option<u64> {
        Some(self.len() as u64)
    }
}

/// Bytes at the front that tell one container from another.
const MAGIC_BYTES: usize = 16;

/// Returns where the tensors of `source` lie.
///
/// `None` for what is no container, for one that is not understood or contradicts itself, for one without
/// tensors, and when reading fails. Where the length of the whole is not known, tensors may reach beyond what
/// can be read, and those that only the end of the file would tell are missing.
///
/// The answer satisfies [`Layout::is_sound`].
pub fn layout(source: &dyn ReadAt) -> Option<Layout> {
    let mut front = [0; MAGIC_BYTES];
    let length = source.read_at(0, &mut front).ok()?;
    let front = front.get(..length)?;
    let (kind, tensors) = if front.starts_with(gguf::MAGIC) {
        (ContainerKind::Gguf, gguf::tensors(source)?)
    } else if front.starts_with(npy::MAGIC) {
        (ContainerKind::Npy, npy::tensors(source)?)
    } else if front.starts_with(zip::MAGIC) {
        torch::tensors(source)?
    } else if faiss::is_magic(front) {
        (ContainerKind::Faiss, faiss::tensors(source)?)
    } else if safetensors::is_magic(front) {
        (ContainerKind::Safetensors, safetensors::tensors(source)?)
    } else {
        return None;
    };
    Layout::checked(kind, tensors, source.size_bytes())
}
