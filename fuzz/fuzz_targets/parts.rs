//! Parts of dumps: those of any bytes, in pieces of any size, lie in order within the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::container::{PartScanner, Parts};

fn scan(data: &[u8], step: usize) -> Parts {
    let mut scanner = PartScanner::new();
    let mut at = 0;
    for piece in data.chunks(step) {
        scanner.feed(at, piece);
        at += piece.len() as u64;
    }
    scanner.finish()
}

fuzz_target!(|data: &[u8]| {
    let Some((step, data)) = data.split_first() else { return };
    let parts = scan(data, usize::from(*step) + 1);
    assert_eq!(parts, scan(data, data.len().max(1)));
    let mut end = 0;
    for part in &parts.parts {
        assert!(end <= part.start && part.start < part.end);
        end = part.end;
    }
    assert!(end <= data.len() as u64);
});
