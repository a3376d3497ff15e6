//! A lease of any bytes: refused, or canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::format::lease::Lease;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = Lease::decode(data) {
        assert_eq!(value.encode().unwrap(), data);
    }
});
