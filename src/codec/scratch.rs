//! Buffers that a thread keeps between blocks, so that no block pays for fresh pages.

use std::cell::RefCell;

thread_local! {
    static PARTS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static MIXED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `length` bytes of unspecified content for the parts of a block.
pub(super) fn with_parts<T>(length: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    PARTS.with_borrow_mut(|buffer| {
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        work(&mut buffer[..length])
    })
}

/// Calls `work` with the XOR of `data` and `base` where both have bytes, and the rest of `data` as it is.
pub(super) fn with_xor<T>(data: &[u8], base: &[u8], work: impl FnOnce(&[u8]) -> T) -> T {
    MIXED.with_borrow_mut(|buffer| {
        buffer.clear();
        buffer.extend_from_slice(data);
        xor(buffer, base);
        work(buffer)
    })
}

/// Mixes `base` into the beginning of `data`.
pub(super) fn xor(data: &mut [u8], base: &[u8]) {
    for (byte, other) in data.iter_mut().zip(base) {
        *byte ^= other;
    }
}
