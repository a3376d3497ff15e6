//! What bytes are, by their look: any answer, no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::source::{compressed_dump_hint, recognise};

fuzz_target!(|data: &[u8]| {
    let (name, head) = data.split_at(data.len().min(12));
    let _ = recognise(name, head, &head[head.len() / 2..]);
    let _ = compressed_dump_hint(name, head);
});
