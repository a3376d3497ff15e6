//! Head and trailer of a pack, and a whole pack.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use snap::base::clock::SeededEntropy;
use snap::base::{PackId, RepositoryId};
use snap::crypto::{KeyRing, MasterKey};
use snap::format::pack::{decode_head, decode_trailer};
use snap::pack::parse_pack;

fuzz_target!(|data: &[u8]| {
    let _ = decode_head(data);
    let _ = decode_trailer(data, data.len() as u64);
    let master = MasterKey::from_bytes([1; 32]);
    let keys = KeyRing::new(RepositoryId([2; 16]), &master, Arc::new(SeededEntropy::new(1)));
    let id = PackId(*blake3_of(data).as_bytes());
    assert!(parse_pack(&keys, &id, data).is_err(), "nobody forges a directory");
});

fn blake3_of(data: &[u8]) -> blake3::Hash {
    blake3::hash(data)
}
