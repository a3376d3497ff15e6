//! A chunk list of any bytes: refused, or canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::format::list::ListChunk;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = ListChunk::decode(data) {
        assert_eq!(value.encode().unwrap(), data);
    }
});
