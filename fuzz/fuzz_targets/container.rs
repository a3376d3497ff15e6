//! Where tensors lie: nothing, or a layout that keeps its promises; and names that find themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::container::{ReadAt, TensorIndex, canonical_name, layout};

/// The front of a stream.
struct Head<'a>(&'a [u8]);

impl ReadAt for Head<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn size_bytes(&self) -> Option<u64> {
        None
    }
}

fuzz_target!(|data: &[u8]| {
    if let Some(head) = layout(&Head(data)) {
        assert!(head.is_sound(None));
    }
    let Some(whole) = layout(&data) else { return };
    assert!(whole.is_sound(Some(data.len() as u64)));
    assert_eq!(whole.architecture().is_some(), whole.tensors.iter().any(|tensor| !tensor.name.is_empty()));
    let index = TensorIndex::new(&whole);
    for tensor in whole.tensors.iter().take(100) {
        assert_eq!(whole.at(tensor.offset), Some(tensor));
        assert_eq!(canonical_name(canonical_name(&tensor.name)), canonical_name(&tensor.name));
        assert_eq!(index.find(tensor), whole.find(tensor));
        assert_eq!(index.find(tensor).is_some(), !tensor.name.is_empty());
    }
});
