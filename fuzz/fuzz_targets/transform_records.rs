//! The transform *records*: what is encoded comes back, and bytes that claim to be coded are refused or decode to the
//! length asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::codec::{Base, BaseUse, Coding, PartCoder, decode, encode};
use snap::container::QuantKind;

fuzz_target!(|data: &[u8]| {
    let Some(([pick, turn, lead, skip], raw)) = data.split_first_chunk::<4>() else { return };
    let coder = [PartCoder::Raw, PartCoder::Literals, PartCoder::Rans][usize::from(pick >> 5) % 3];
    let lead = *lead;
    // The last is Q8_0 with the greatest quant apart.
    let kind = QuantKind::ALL.get(usize::from(pick & 31) % (QuantKind::ALL.len() + 1));
    let (kind, apart) = kind.map_or((QuantKind::Q8_0, true), |kind| (*kind, false));
    let coding = Coding::Records { kind, apart, lead, coder };
    let bytes = [*turn; 40];
    let base = Base { use_: BaseUse::Xor, bytes: &bytes, skip: usize::from(*skip) };
    for base in [Base::NONE, base] {
        if let Ok(coded) = encode(raw, coding, base) {
            assert_eq!(decode(&coded, raw.len(), base.bytes).as_deref(), Ok(raw));
        }
    }
    let mut hostile = data.to_vec();
    hostile[0] = 2;
    if let Some(length) = hostile.get(8..12).and_then(|length| length.try_into().ok()) {
        let raw_bytes = usize::try_from(u32::from_le_bytes(length)).unwrap_or(0).min(1 << 20);
        if let Ok(plain) = decode(&hostile, raw_bytes, &[]) {
            assert_eq!(plain.len(), raw_bytes);
        }
    }
});
