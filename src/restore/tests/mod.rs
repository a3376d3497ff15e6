//! Laws of restore, on repositories in memory.

mod damage;
mod identity;
mod resume;
mod safety;
mod streams;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::{RestoreOptions, RestoreStats, restore};
use crate::format::node::NodeKind;
use crate::format::snapshot::Snapshot;
use crate::repository::testing::{Entry, TestRepository};

/// What a path is, in words that compare: kind, mode, time, content or target, attributes.
type Shown = BTreeMap<Vec<u8>, String>;

fn show(text: &str, mode: u32, mtime: (i64, i64), content: &[u8]) -> String {
    let content = if content.len() > 64 { blake3::hash(content).to_string() } else { format!("{content:?}") };
    format!("{text} {mode:o} {}.{} {content}", mtime.0, mtime.1)
}

/// Describes what is in `folder`.
fn show_folder(folder: &Path) -> Shown {
    fn visit(root: &Path, folder: &Path, shown: &mut Shown) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let kind = metadata.file_type();
            let (word, content) = match () {
                () if kind.is_dir() => ("directory", Vec::new()),
                () if kind.is_symlink() => {
                    ("symlink", std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec())
                }
                () if kind.is_fifo() => ("fifo", Vec::new()),
                () if kind.is_char_device() => ("device", metadata.rdev().to_string().into_bytes()),
                () => ("file", std::fs::read(&path).unwrap()),
            };
            let mtime = (metadata.mtime(), metadata.mtime_nsec());
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            shown.insert(name, show(word, metadata.mode() & 0o7777, mtime, &content));
            if kind.is_dir() {
                visit(root, &path, shown);
            }
        }
    }
    let mut shown = Shown::new();
    visit(folder, folder, &mut shown);
    shown
}

/// Describes what a tree should be when it is restored.
fn show_tree(root: &Entry) -> Shown {
    fn visit(path: &[u8], directory: &Entry, shown: &mut Shown) {
        for (name, entry) in &directory.children {
            let path = if path.is_empty() { name.clone() } else { [path, b"/", name].concat() };
            let (word, content) = match &entry.node.kind {
                NodeKind::Directory { .. } => ("directory", Vec::new()),
                NodeKind::Symlink { target } => ("symlink", target.clone()),
                NodeKind::Fifo => ("fifo", Vec::new()),
                NodeKind::CharDevice { major, minor } => {
                    ("device", rustix::fs::makedev(*major, *minor).to_string().into_bytes())
                }
                NodeKind::Socket => continue,
                _ => ("file", entry.content.clone()),
            };
            let mtime = (entry.node.mtime.seconds, i64::from(entry.node.mtime.nanoseconds));
            shown.insert(path.clone(), show(word, entry.node.mode, mtime, &content));
            visit(&path, entry, shown);
        }
    }
    let mut shown = Shown::new();
    visit(b"", root, &mut shown);
    shown
}

/// Restores into `folder` with options changed by `change`.
fn restored(
    store: &TestRepository,
    snapshot: &Snapshot,
    folder: &Path,
    change: impl FnOnce(&mut RestoreOptions),
) -> RestoreStats {
    let mut options = RestoreOptions { sync: false, ..RestoreOptions::new(folder) };
    change(&mut options);
    restore(&store.repository, snapshot, None, &options).unwrap()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
