//! Earlier files that a new one is a version of although its path is new: dumps named by their day,
//! checkpoints in folders of their own.

use super::steps::Older;
use crate::container::Layout;
use crate::format::node::{Node, NodeKind};
use crate::format::wire::{Reader, Writer};
use crate::repository::{Error, Repository};

/// Only files from this size on are remembered.
const KIN_FROM_BYTES: u64 = 64 << 10;
/// What the keys of files without tensors are derived for.
const PATH_CONTEXT: &str = "snap 2026 kin of a path";

/// What kin have in common.
pub(super) type KinKey = [u8; 16];

/// Returns the key of a file: its tensors' names and shapes, or else its path with all numbers alike. `None`
/// for a file too small to be remembered.
pub(super) fn key_of(path: &[u8], layout: Option<&Layout>, size_bytes: u64) -> Option<KinKey> {
    if size_bytes < KIN_FROM_BYTES {
        return None;
    }
    if let Some(architecture) = layout.and_then(Layout::architecture) {
        return Some(architecture);
    }
    let mut hasher = blake3::Hasher::new_derive_key(PATH_CONTEXT);
    for part in path.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        let is_number = part.first().is_some_and(u8::is_ascii_digit);
        hasher.update(if is_number { b"0" } else { part });
    }
    let mut key = KinKey::default();
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    Some(key)
}

/// Returns the file that was stored last under `key`; its chunks may be gone since.
pub(super) fn look(repository: &Repository, key: &KinKey) -> Result<Option<Older>, Error> {
    let Some(node) = repository.index().kin(key)? else { return Ok(None) };
    Ok(match Node::decode(&mut Reader::new(&node, "kin")).map(|node| node.kind) {
        Ok(NodeKind::File { size_bytes, content, class }) => Some(Older { content, size_bytes, class }),
        // The database is a cache: what it cannot give is not there.
        _ => None,
    })
}

/// Remembers a file that was stored.
pub(super) fn remember(repository: &Repository, key: &KinKey, node: &Node) -> Result<(), Error> {
    match &node.kind {
        NodeKind::File { size_bytes, .. } if *size_bytes >= KIN_FROM_BYTES => {
            let mut out = Writer::new();
            node.encode(&mut out)?;
            Ok(repository.index().remember_kin(key, &out.finish())?)
        }
        // It became shorter while it was read.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_differ_in_numbers_alone_are_kin() {
        let key = |path: &str| key_of(path.as_bytes(), None, KIN_FROM_BYTES);
        assert_eq!(key("/dumps/app-2026-11-23.sql"), key("/dumps/app-2026-11-24.sql"));
        assert_eq!(key("/runs/step-900/model.pt"), key("/runs/step-1000/model.pt"));
        assert_ne!(key("/dumps/app-1.sql"), key("/dumps/web-1.sql"));
        assert_ne!(key("/dumps/app.sql"), key("/dumps/app1.sql"));
    }
}
