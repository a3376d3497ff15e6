//! Hard-link groups of one snapshot: every name must carry the same content (`format-spec/09-trees.md` 9.2).

use std::collections::HashMap;

use crate::format::node::{FileContent, Node, NodeKind};

/// Groups remembered for one snapshot; names of further groups are not compared.
const GROUP_COUNT_MAX: usize = 1 << 20;

/// The groups seen so far.
#[derive(Debug, Default)]
pub(super) struct LinkGroups {
    contents: HashMap<(u64, u64), [u8; 16]>,
}

impl LinkGroups {
    /// Forgets all groups, for the next snapshot.
    pub(super) fn clear(&mut self) {
        self.contents.clear();
    }

    /// Tells whether `node` agrees with the other names of its group; nodes of no group always do.
    pub(super) fn agrees(&mut self, node: &Node) -> bool {
        let Some(device) = node.link_device else { return true };
        let group = (device, node.inode);
        let content = digest(&node.kind);
        match self.contents.get(&group) {
            Some(first) => *first == content,
            None => {
                if self.contents.len() < GROUP_COUNT_MAX {
                    self.contents.insert(group, content);
                }
                true
            }
        }
    }
}

fn digest(kind: &NodeKind) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind.number()]);
    match kind {
        NodeKind::File { size_bytes, content, .. } => {
            hasher.update(&size_bytes.to_le_bytes());
            match content {
                FileContent::Inline(chunks) => {
                    for chunk in chunks {
                        hasher.update(&chunk.id.0).update(&chunk.length_bytes.to_le_bytes());
                    }
                }
                FileContent::List { root, .. } => {
                    hasher.update(b"list").update(&root.0);
                }
            }
        }
        NodeKind::Symlink { target } => {
            hasher.update(target);
        }
        NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
            hasher.update(&major.to_le_bytes()).update(&minor.to_le_bytes());
        }
        NodeKind::Directory { .. } | NodeKind::Fifo | NodeKind::Socket => {}
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}
