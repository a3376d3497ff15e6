//! The coder *rans*: what is encoded comes back, with and without contexts, and bytes that claim to be coded are refused
//! or decode to the length asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::codec::{Base, BaseUse, Coding, PartCoder, decode, encode};
use snap::container::QuantKind;

/// Returns a block of one part that is coded as these bytes say.
fn hostile(raw_bytes: usize, coded: &[u8]) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).expect("a short input").to_le_bytes();
    let head = [&[0, 1, 0, 0, 0, 0, 0, 0][..], &number(raw_bytes), &[3], &number(coded.len())].concat();
    [&head, coded].concat()
}

fuzz_target!(|data: &[u8]| {
    let Some((length, coded)) = data.split_first_chunk::<2>() else { return };
    let raw_bytes = usize::from(u16::from_le_bytes(*length)) + 1;
    if let Ok(raw) = decode(&hostile(raw_bytes, coded), raw_bytes, &[]) {
        assert_eq!(raw.len(), raw_bytes);
    }
    // A base of one zero keeps a coding that is not shorter.
    let base = Base { use_: BaseUse::Xor, bytes: &[0], skip: 0 };
    let records = Coding::Records { kind: QuantKind::Q8_0, apart: true, lead: 0, coder: PartCoder::Rans };
    for raw in [data, &data.repeat(16), &data.iter().map(|byte| byte & 0x93).collect::<Vec<u8>>()] {
        for coding in [Coding::Whole(PartCoder::Rans), records] {
            if let Ok(coded) = encode(raw, coding, base) {
                assert_eq!(decode(&coded, raw.len(), base.bytes).as_deref(), Ok(raw));
            }
        }
    }
});
