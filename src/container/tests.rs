//! Laws of layouts, on files that the real libraries wrote and on files made here.

mod broken;
mod containers;
mod fixtures;
mod make;
mod names;

use super::{Layout, ReadAt, layout};

/// Bytes of which only the front can be read, as of a stream.
struct Head<'a>(&'a [u8]);

impl ReadAt for Head<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn size_bytes(&self) -> Option<u64> {
        None
    }
}

/// A source that fails at and after an offset.
struct Failing<'a>(&'a [u8], u64);

impl ReadAt for Failing<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        match offset + buffer.len() as u64 > self.1 {
            true => Err(std::io::Error::other("fails on purpose")),
            false => self.0.read_at(offset, buffer),
        }
    }

    fn size_bytes(&self) -> Option<u64> {
        self.0.size_bytes()
    }
}

/// Returns the layout of `bytes`, after asking that it keeps its promises.
fn sound_layout(bytes: &[u8]) -> Option<Layout> {
    let found = layout(&bytes);
    if let Some(found) = &found {
        assert!(found.is_sound(Some(bytes.len() as u64)), "{found:?}");
    }
    found
}
