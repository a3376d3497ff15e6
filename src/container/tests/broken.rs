//! Files that are cut off, damaged, or noise with a known front.

use proptest::prelude::*;

use super::fixtures::files;
use super::*;

#[test]
fn every_cut_of_a_file_has_a_sound_layout_or_none() {
    for (_, bytes) in files() {
        for length in 0..bytes.len() {
            sound_layout(&bytes[..length]);
            let head = layout(&Head(&bytes[..length]));
            assert!(head.is_none_or(|head| head.is_sound(None)));
        }
    }
}

#[test]
fn every_flipped_bit_of_a_header_leaves_a_sound_layout_or_none() {
    for (_, mut bytes) in files() {
        let whole = sound_layout(&bytes);
        let is_header = |at: usize| whole.as_ref().is_none_or(|whole| whole.at(at as u64).is_none());
        for at in (0..bytes.len()).filter(|at| is_header(*at)) {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                sound_layout(&bytes);
                bytes[at] ^= 1 << bit;
            }
        }
    }
}

/// Fronts that lead deep into each reader.
const FRONTS: [&[u8]; 12] = [
    b"GGUF\x03\0\0\0",
    b"GGUF\x02\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0",
    b"\x93NUMPY\x01\0",
    b"\x93NUMPY\x02\0",
    b"PK\x03\x04",
    b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0a\0\0\0a/data.pkl\x80\x02",
    b"PK\x05\x06",
    b"IxFI",
    b"IwFl",
    b"IHNf",
    b"IxPT",
    b"\x40\0\0\0\0\0\0\0{\"",
];

proptest! {
    #[test]
    fn noise_behind_every_front_has_a_sound_layout_or_none(
        front in 0..FRONTS.len(),
        noise in proptest::collection::vec(prop_oneof![3 => 0_u8..4, 1 => any::<u8>()], 0..600),
    ) {
        let bytes = [FRONTS[front], &noise].concat();
        sound_layout(&bytes);
        prop_assert!(layout(&Head(&bytes)).is_none_or(|head| head.is_sound(None)));
    }

    #[test]
    fn replaced_bytes_leave_a_sound_layout_or_none(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let files = files();
        let mut bytes = files[which.index(files.len())].1.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        sound_layout(&bytes);
    }
}
