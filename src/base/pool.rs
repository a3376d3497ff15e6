//! Large buffers that are used again: fresh pages cost more than what is written to them.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Sizes of buffers between one power of two and half of it.
const SIZES_PER_DOUBLING: usize = 8;
/// A buffer that is used again is larger than a fresh one by at most this part of what is asked for.
const WASTE_PART: usize = 4;

/// Keeps buffers that nobody uses for whoever comes next, up to a number of bytes.
#[derive(Debug)]
pub struct BufferPool {
    free: Mutex<Free>,
    kept_max_bytes: usize,
}

#[derive(Debug, Default)]
struct Free {
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// An empty buffer at first, which goes back to its pool when it is dropped.
#[derive(Debug)]
pub struct PooledBuffer {
    data: Vec<u8>,
    pool: Option<Arc<BufferPool>>,
}

/// Returns a size of which there are few, so that buffers fit others than those they were made for. What is
/// not written to takes no memory.
fn rounded(bytes: usize) -> usize {
    let step = bytes.checked_next_power_of_two().unwrap_or(bytes) / SIZES_PER_DOUBLING;
    bytes.checked_next_multiple_of(step.max(1)).unwrap_or(bytes)
}

impl BufferPool {
    /// Returns a pool that keeps at most `kept_max_bytes` of unused buffers.
    pub fn new(kept_max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::default(), kept_max_bytes })
    }

    /// Returns an empty buffer with room for at least `capacity_bytes`, and for not many times as much.
    pub fn take(self: &Arc<Self>, capacity_bytes: usize) -> PooledBuffer {
        let fresh = || Vec::with_capacity(rounded(capacity_bytes));
        let mut data = self.kept(capacity_bytes).unwrap_or_else(fresh);
        data.clear();
        PooledBuffer { data, pool: Some(self.clone()) }
    }

    /// Returns a buffer of this length whose content is unspecified: to be written over.
    pub fn take_filled(self: &Arc<Self>, length_bytes: usize) -> PooledBuffer {
        // Fresh memory comes with zeros and is not written twice.
        let mut data = self.kept(length_bytes).unwrap_or_else(|| vec![0; rounded(length_bytes)]);
        data.resize(length_bytes, 0);
        PooledBuffer { data, pool: Some(self.clone()) }
    }

    /// Returns the buffer that came back last among those that fit.
    fn kept(&self, capacity_bytes: usize) -> Option<Vec<u8>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let most_bytes = rounded(capacity_bytes).saturating_add(capacity_bytes / WASTE_PART);
        let at = free
            .buffers
            .iter()
            .rposition(|buffer| (capacity_bytes..=most_bytes).contains(&buffer.capacity()))?;
        let data = free.buffers.remove(at)?;
        free.bytes -= data.capacity();
        Some(data)
    }

    /// Keeps a buffer, rather than those that have waited longest.
    fn give_back(&self, data: Vec<u8>) {
        if data.capacity() == 0 || data.capacity() > self.kept_max_bytes {
            return;
        }
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.bytes += data.capacity();
        free.buffers.push_back(data);
        while free.bytes > self.kept_max_bytes {
            let Some(oldest) = free.buffers.pop_front() else { break };
            free.bytes -= oldest.capacity();
        }
    }
}

impl PooledBuffer {
    /// Returns the buffer as shared bytes; it goes back when the last of them is dropped.
    pub fn share(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl From<Vec<u8>> for PooledBuffer {
    /// Returns the bytes as a buffer of no pool.
    fn from(data: Vec<u8>) -> Self {
        Self { data, pool: None }
    }
}

impl Clone for PooledBuffer {
    /// Returns a copy that belongs to no pool.
    fn clone(&self) -> Self {
        self.data.clone().into()
    }
}

impl Default for PooledBuffer {
    /// Returns an empty buffer of no pool.
    fn default() -> Self {
        Self { data: Vec::new(), pool: None }
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.give_back(std::mem::take(&mut self.data));
        }
    }
}

impl Deref for PooledBuffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.data
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_with_its_last_user_and_few_are_kept() {
        let pool = BufferPool::new(150);
        let mut first = pool.take(60);
        first.extend_from_slice(b"abc");
        let place = first.as_ptr();
        let shared = first.share();
        let slice = shared.slice(1..2);
        drop(shared);
        assert_ne!(pool.take(60).as_ptr(), place);
        assert_eq!(&slice[..], b"b");
        drop(slice);
        let again = pool.take(60);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        drop((pool.take(100), again, pool.take(64)));
        let free = pool.free.lock().unwrap();
        assert!(free.bytes <= 150);
        assert_eq!(free.bytes, free.buffers.iter().map(Vec::capacity).sum::<usize>());
    }

    #[test]
    fn a_buffer_to_be_written_over_has_its_length_and_others_come_empty() {
        let pool = BufferPool::new(100);
        let mut first = pool.take(60);
        first.extend_from_slice(&[7; 50]);
        let place = first.as_ptr();
        drop(first);
        for length in [55, 54, 60] {
            let filled = pool.take_filled(length);
            assert_eq!((filled.as_ptr(), filled.len()), (place, length));
        }
        let empty = pool.take(60);
        assert_eq!((empty.as_ptr(), empty.len()), (place, 0));
    }

    #[test]
    fn a_buffer_serves_what_nearly_fills_it_and_the_oldest_is_let_go() {
        let pool = BufferPool::new(2_000);
        let (large, small) = (pool.take(1_000), pool.take(100));
        let places = (large.as_ptr(), small.as_ptr());
        drop((large, small));
        assert_eq!((pool.take(900).as_ptr(), pool.take(90).as_ptr()), places);
        // Too small, and too large.
        assert_eq!((pool.take(1_100).capacity(), pool.take(500).capacity()), (1_280, 512));
        let free = pool.free.lock().unwrap();
        assert!(free.bytes <= 2_000 && free.bytes > 1_700, "{}", free.bytes);
        assert_eq!(free.bytes, free.buffers.iter().map(Vec::capacity).sum::<usize>());
    }

    #[test]
    fn there_are_few_sizes_and_little_is_wasted() {
        let sizes: std::collections::BTreeSet<usize> = (1..=1 << 20).map(rounded).collect();
        assert!(sizes.len() <= 20 * SIZES_PER_DOUBLING, "{}", sizes.len());
        assert!((1..=1 << 20).all(|bytes| (bytes..=bytes + bytes / 4).contains(&rounded(bytes))));
        assert_eq!(rounded(usize::MAX - 1), usize::MAX - 1);
    }
}
