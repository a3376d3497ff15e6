//! The shell of a sealed object, and opening what is in it.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use snap::base::RepositoryId;
use snap::base::clock::SeededEntropy;
use snap::crypto::{KeyRing, MasterKey};
use snap::format::{Kind, sealed};

fuzz_target!(|data: &[u8]| {
    let master = MasterKey::from_bytes([1; 32]);
    let keys = KeyRing::new(RepositoryId([2; 16]), &master, Arc::new(SeededEntropy::new(1)));
    for kind in [Kind::Config, Kind::Index, Kind::Snapshot, Kind::Plan, Kind::Lease] {
        if let Ok(inner) = sealed::unwrap(kind, data) {
            let aad = sealed::associated_data(kind, &keys.repository());
            assert!(keys.open(&aad, inner).is_err(), "nobody forges a seal");
        }
    }
});
