//! A pack directory of any bytes: refused, or canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::format::pack::Directory;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = Directory::decode(data) {
        assert_eq!(value.encode().unwrap(), data);
    }
});
