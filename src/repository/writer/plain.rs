//! The plaintext of a block in the making.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::{BufferPool, PooledBuffer};

/// A chunk as it goes into a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'c> {
    pub(super) data: &'c [u8],
    /// What it was read into along with its neighbours, where that may be kept until the block is sealed.
    pub(super) buffer: Option<&'c Bytes>,
}

impl<'c> From<&'c [u8]> for Chunk<'c> {
    fn from(data: &'c [u8]) -> Self {
        Self { data, buffer: None }
    }
}

/// Chunks one after the other: a stretch of the buffer that they were read into, as long as they follow each
/// other there, and else a copy.
#[derive(Debug, Default)]
pub(super) struct Plain {
    copy: PooledBuffer,
    stretch: Option<Stretch>,
}

#[derive(Debug)]
struct Stretch {
    buffer: Bytes,
    start: usize,
    end: usize,
}

/// Tells whether both are the same memory.
pub(super) fn is_same(one: &Bytes, other: &Bytes) -> bool {
    one.as_ptr() == other.as_ptr() && one.len() == other.len()
}

impl Stretch {
    /// Returns `data` as a stretch of `buffer`; `None` where it is none.
    fn of(data: &[u8], buffer: &Bytes) -> Option<Self> {
        let start = (data.as_ptr() as usize).checked_sub(buffer.as_ptr() as usize)?;
        let end = start.checked_add(data.len())?;
        (end <= buffer.len()).then(|| Self { buffer: buffer.clone(), start, end })
    }

    fn is_of(&self, buffer: &Bytes) -> bool {
        is_same(&self.buffer, buffer)
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }
}

impl Plain {
    /// Appends a chunk; a copy takes memory of `buffers`, at first `capacity_bytes`.
    pub(super) fn push(&mut self, chunk: Chunk<'_>, buffers: &Arc<BufferPool>, capacity_bytes: usize) {
        let Chunk { data, buffer } = chunk;
        if self.copy.is_empty()
            && let Some(next) = buffer.and_then(|buffer| Stretch::of(data, buffer))
        {
            match &mut self.stretch {
                None => {
                    self.stretch = Some(next);
                    return;
                }
                Some(held) if held.is_of(&next.buffer) && held.end == next.start => {
                    held.end = next.end;
                    return;
                }
                Some(_) => {}
            }
        }
        self.let_go(buffers, capacity_bytes);
        if self.copy.capacity() == 0 {
            self.copy = buffers.take(capacity_bytes);
        }
        self.copy.extend_from_slice(data);
    }

    /// Copies what lies in a buffer other than `kept`.
    pub(super) fn keep_only(
        &mut self,
        kept: Option<&Bytes>,
        buffers: &Arc<BufferPool>,
        capacity_bytes: usize,
    ) {
        if self.stretch.as_ref().is_some_and(|held| !kept.is_some_and(|kept| held.is_of(kept))) {
            self.let_go(buffers, capacity_bytes);
        }
    }

    fn let_go(&mut self, buffers: &Arc<BufferPool>, capacity_bytes: usize) {
        if let Some(stretch) = self.stretch.take() {
            self.copy = buffers.take(capacity_bytes);
            self.copy.extend_from_slice(stretch.bytes());
        }
    }
}

impl std::ops::Deref for Plain {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.stretch.as_ref().map_or(&self.copy[..], Stretch::bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_block_is_its_chunks_wherever_they_lie(
            pieces in
                proptest::collection::vec((0_usize..3, 0_usize..400, 0_usize..60, any::<bool>()), 0..20),
            kept in proptest::collection::vec(0_usize..4, 20),
        ) {
            let noise = |seed: u8| -> Vec<u8> {
                (0..500_u32).map(|at| (at * 7 + u32::from(seed)) as u8).collect()
            };
            let buffers: Vec<Bytes> = (0..3).map(|seed| Bytes::from(noise(seed))).collect();
            let pool = BufferPool::new(1 << 20);
            let (mut plain, mut expected, mut next) = (Plain::default(), Vec::new(), 0);
            for ((number, at, length, follows), kept) in pieces.into_iter().zip(kept) {
                let start = if follows { next } else { at }.min(500);
                next = (start + length).min(500);
                let buffer = &buffers[number];
                let data = &buffer[start..next];
                // A chunk whose buffer is another's lies nowhere in it.
                let said = if at % 5 == 0 { &buffers[(number + 1) % 3] } else { buffer };
                plain.push(Chunk { data, buffer: (at % 7 != 0).then_some(said) }, &pool, 100);
                expected.extend_from_slice(data);
                plain.keep_only(buffers.get(kept), &pool, 100);
                prop_assert_eq!(&plain[..], &expected[..]);
            }
        }
    }

    #[test]
    fn neighbours_of_one_buffer_are_not_copied_and_other_buffers_are_let_go() {
        let (first, second) = (Bytes::from(vec![1; 100]), Bytes::from(vec![2; 100]));
        let pool = BufferPool::new(0);
        let mut plain = Plain::default();
        plain.push(Chunk { data: &first[10..20], buffer: Some(&first) }, &pool, 50);
        plain.push(Chunk { data: &first[20..50], buffer: Some(&first) }, &pool, 50);
        assert_eq!(plain.as_ptr(), first[10..].as_ptr());
        plain.keep_only(Some(&first), &pool, 50);
        assert_eq!(plain.as_ptr(), first[10..].as_ptr());
        assert!(!first.is_unique());
        plain.keep_only(Some(&second), &pool, 50);
        assert!(first.is_unique());
        assert_eq!(plain[..], [1; 40]);
    }
}
