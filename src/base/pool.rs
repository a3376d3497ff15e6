//! Large buffers that are used again: fresh pages cost more than what is written to them.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// A buffer serves for no less than this part of its room.
const WASTE_MAX: usize = 2;

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

impl BufferPool {
    /// Returns a pool that keeps at most `kept_max_bytes` of unused buffers.
    pub fn new(kept_max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::default(), kept_max_bytes })
    }

    /// Returns an empty buffer with room for at least `capacity_bytes`, and for not many times as much.
    pub fn take(self: &Arc<Self>, capacity_bytes: usize) -> PooledBuffer {
        let mut data = self.kept(capacity_bytes).unwrap_or_else(|| Vec::with_capacity(capacity_bytes));
        data.clear();
        PooledBuffer { data, pool: Some(self.clone()) }
    }

    /// Returns a buffer of this length whose content is unspecified: to be written over.
    pub fn take_filled(self: &Arc<Self>, length_bytes: usize) -> PooledBuffer {
        // Fresh memory comes with zeros and is not written twice.
        let data = match self.kept(length_bytes) {
            Some(mut kept) => {
                kept.resize(length_bytes, 0);
                kept
            }
            None => vec![0; length_bytes],
        };
        PooledBuffer { data, pool: Some(self.clone()) }
    }

    /// Returns the buffer that came back last among those that fit.
    fn kept(&self, capacity_bytes: usize) -> Option<Vec<u8>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let most_bytes = capacity_bytes.saturating_mul(WASTE_MAX);
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
        let mut first = pool.take(100);
        first.extend_from_slice(b"abc");
        let place = first.as_ptr();
        let shared = first.share();
        let slice = shared.slice(1..2);
        drop(shared);
        assert_ne!(pool.take(10).as_ptr(), place);
        assert_eq!(&slice[..], b"b");
        drop(slice);
        let again = pool.take(60);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        drop((pool.take(100), again));
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
        for length in [55, 40, 60] {
            let filled = pool.take_filled(length);
            assert_eq!((filled.as_ptr(), filled.len()), (place, length));
        }
        let empty = pool.take(60);
        assert_eq!((empty.as_ptr(), empty.len()), (place, 0));
    }

    #[test]
    fn a_buffer_serves_what_nearly_fills_it_and_the_oldest_is_let_go() {
        let pool = BufferPool::new(2_000);
        let taken = [1_000, 100, 400].map(|bytes| pool.take(bytes));
        let [large, small, middle] = taken.each_ref().map(|buffer| buffer.as_ptr());
        drop(taken);
        // Nothing that is more than twice as large.
        let held = (pool.take(90), pool.take(90));
        assert_eq!((held.0.as_ptr(), held.1.capacity()), (small, 90));
        assert_eq!((pool.take(200).as_ptr(), pool.take(500).as_ptr()), (middle, large));
        drop(held);
        drop([pool.take(900), pool.take(800)]);
        let free = pool.free.lock().unwrap();
        assert!(free.bytes <= 2_000 && !free.buffers.iter().any(|buffer| buffer.as_ptr() == middle));
        assert_eq!(free.bytes, free.buffers.iter().map(Vec::capacity).sum::<usize>());
    }
}
