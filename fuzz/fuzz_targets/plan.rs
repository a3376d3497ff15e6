//! A prune plan of any bytes: refused, or canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::format::plan::Plan;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = Plan::decode(data) {
        assert_eq!(value.encode().unwrap(), data);
    }
});
