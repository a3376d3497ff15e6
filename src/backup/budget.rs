//! A bound on the bytes that are read and not yet stored.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Shares a number of bytes among buffers; whoever wants more than is left waits.
#[derive(Debug)]
pub(super) struct Budget {
    free: Mutex<usize>,
    returned: Condvar,
    total: usize,
}

impl Budget {
    /// Returns a budget of `total` bytes.
    pub(super) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(total), returned: Condvar::new(), total })
    }

    /// Waits for `bytes`, at most the whole budget, and takes them until the hold is dropped.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Hold {
        let bytes = bytes.min(self.total);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= bytes;
        Hold { budget: self.clone(), bytes }
    }
}

/// Bytes taken from a [`Budget`].
#[derive(Debug)]
pub(super) struct Hold {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Hold {
    fn drop(&mut self) {
        *self.budget.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.returned.notify_all();
    }
}

/// A buffer that gives its bytes back when the last slice of it is dropped.
pub(super) struct HeldBuffer {
    data: Vec<u8>,
    _hold: Hold,
}

impl HeldBuffer {
    /// Returns `data` as shared bytes that keep `hold`.
    pub(super) fn share(data: Vec<u8>, hold: Hold) -> bytes::Bytes {
        bytes::Bytes::from_owner(Self { data, _hold: hold })
    }
}

impl AsRef<[u8]> for HeldBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_with_the_last_slice() {
        let budget = Budget::new(100);
        let shared = HeldBuffer::share(vec![1; 60], budget.take(60));
        let slice = shared.slice(10..20);
        drop(shared);
        assert_eq!(*budget.free.lock().unwrap(), 40);
        drop(slice);
        assert_eq!(*budget.free.lock().unwrap(), 100);
        assert_eq!(budget.take(1000).bytes, 100);
    }
}
