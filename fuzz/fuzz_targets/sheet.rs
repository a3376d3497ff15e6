//! A secret as text: refused, or it reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::format::sheet;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok((kind, secret)) = sheet::decode(text)
    {
        assert_eq!(sheet::decode(&sheet::encode(kind, &secret)).unwrap().1, secret);
    }
});
