//! Large buffers that are used again: fresh pages cost more than what is written to them.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Keeps buffers that nobody uses for whoever comes next, up to a number of bytes.
#[derive(Debug)]
pub struct BufferPool {
    free: Mutex<Free>,
    kept_max_bytes: usize,
}

#[derive(Debug, Default)]
struct Free {
    buffers: Vec<Vec<u8>>,
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

    /// Returns an empty buffer with room for at least `capacity_bytes`.
    pub fn take(self: &Arc<Self>, capacity_bytes: usize) -> PooledBuffer {
        let mut data = self.kept(capacity_bytes).unwrap_or_default();
        data.reserve(capacity_bytes);
        PooledBuffer { data, pool: Some(self.clone()) }
    }

    /// Returns the buffer that came back last among those that are large enough, or else the last one.
    fn kept(&self, capacity_bytes: usize) -> Option<Vec<u8>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = free.buffers.iter().rposition(|buffer| buffer.capacity() >= capacity_bytes);
        let at = fits.or(free.buffers.len().checked_sub(1))?;
        let buffer = free.buffers.swap_remove(at);
        free.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn give_back(&self, mut data: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.bytes + data.capacity() <= self.kept_max_bytes {
            data.clear();
            free.bytes += data.capacity();
            free.buffers.push(data);
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
}
