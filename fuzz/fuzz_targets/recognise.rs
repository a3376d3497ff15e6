//! What bytes are, by their look: any answer, no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::source::{CompressedDump, recognise, recognise_kind};

fuzz_target!(|data: &[u8]| {
    let (name, head) = data.split_at(data.len().min(12));
    let kind = recognise_kind(name, head, &head[head.len() / 2..]);
    assert_eq!(recognise(name, head, &head[head.len() / 2..]), kind.class());
    let _ = recognise(name, data, b"");
    if let Some(dump) = CompressedDump::recognise(name, head) {
        let _ = dump.advice(name, Some(data.len() as u64));
    }
});
