//! An index object of any bytes: refused, or canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::format::index;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = index::decode(data) {
        assert_eq!(index::encode(&value).unwrap(), data);
    }
});
