//! A coded block with and without base: refused, or exactly as long as its directory says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::codec::decode;

fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<12>() else { return };
    let named = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
    let raw_bytes = named.min(1 << 20);
    let base = rest.get(..64).unwrap_or_default();
    for base in [&[][..], base] {
        if let Ok(raw) = decode(data, raw_bytes, base) {
            assert_eq!(raw.len(), raw_bytes);
        }
    }
});
