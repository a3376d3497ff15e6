//! A key file of any bytes: refused, or canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::format::keyfile::KeyFile;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = KeyFile::decode(data) {
        assert_eq!(value.encode(), data);
    }
});
