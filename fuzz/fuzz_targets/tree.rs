//! A tree chunk: refused, or its names are single components in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snap::format::node::is_valid_name;
use snap::format::tree::TreeChunk;

fuzz_target!(|data: &[u8]| {
    if let Ok(TreeChunk::Leaf(nodes)) = TreeChunk::decode(data) {
        assert!(nodes.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(nodes.iter().all(|node| is_valid_name(&node.name)));
    }
});
