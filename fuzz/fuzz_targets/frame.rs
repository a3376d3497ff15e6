//! A frame of any bytes: refused, or at most as long as allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::format::frame;

fuzz_target!(|data: &[u8]| {
    if let Ok(plain) = frame::decode(data, 1 << 20, "fuzz") {
        assert!(plain.len() <= 1 << 20);
    }
});
