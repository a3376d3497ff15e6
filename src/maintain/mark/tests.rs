use std::collections::BTreeSet;

use super::{MarkOptions, mark};
use crate::backend::Backend;
use crate::backend::ObjectKind;
use crate::backend::memory::MemoryBackend;
use crate::format::node::NodeKind;
use crate::maintain::testing::*;
use crate::repository::Repository;

fn all_ordinals(repository: &Repository) -> BTreeSet<u64> {
    let packs = repository.index().packs().unwrap();
    packs.iter().flat_map(|pack| pack.first_ordinal..pack.first_ordinal + pack.chunk_count).collect()
}

#[test]
fn what_all_snapshots_need_is_everything_and_without_one_its_own_chunks_are_free() {
    let backend = MemoryBackend::new();
    let repository = new_repository(&backend, 1);
    let mut files = Files::new();
    files.insert("a".into(), noise(1, 30_000));
    files.insert("d/b".into(), noise(2, 2_000));
    store_files(&repository, &files, 1);
    let after_first = repository.index().ordinal_end().unwrap();
    files.insert("c".into(), noise(3, 4_000));
    store_files(&repository, &files, 2);
    let (snapshots, _) = repository.load_snapshots().unwrap();
    let marked = mark(&repository, &snapshots, &MarkOptions::default()).unwrap();
    assert!(all_ordinals(&repository).into_iter().all(|ordinal| marked.live.contains(ordinal)));
    assert_eq!(marked.live.len(), all_ordinals(&repository).len() as u64);
    // Two roots, one directory that both share.
    assert_eq!((marked.stats.snapshots, marked.stats.directories), (2, 3));
    let first = mark(&repository, &snapshots[..1], &MarkOptions::default()).unwrap();
    assert!(all_ordinals(&repository).into_iter().all(|n| first.live.contains(n) == (n < after_first)));
}

#[test]
fn chunks_of_a_directory_of_many_leaves_are_read_once_however_many_snapshots_share_them() {
    let backend = MemoryBackend::new();
    let repository = new_repository(&backend, 1);
    let names: Vec<String> = (0..6_000).map(|n| format!("file-{n:06}")).collect();
    let mut nodes: Vec<_> = names.iter().map(|name| node(name, NodeKind::Fifo)).collect();
    for seconds in 0..5_u32 {
        nodes[usize::try_from(seconds).unwrap() * 1_000].mode = seconds;
        store_root(&repository, store_directory(&repository, &nodes), i64::from(seconds));
    }
    let (snapshots, _) = repository.load_snapshots().unwrap();
    let marked = mark(&repository, &snapshots, &MarkOptions::default()).unwrap();
    assert_eq!(marked.losses.count(), 0);
    assert!(marked.stats.tree_chunks > 10);
    assert_eq!(marked.stats.tree_chunks, repository.index().totals().unwrap().chunks);
}

#[test]
fn whoever_is_about_to_delete_is_refused_at_the_first_loss() {
    let backend = MemoryBackend::new();
    let repository = new_repository(&backend, 1);
    let mut files = Files::new();
    files.insert("a".into(), noise(1, 3_000));
    store_files(&repository, &files, 1);
    let (snapshots, _) = repository.load_snapshots().unwrap();
    for info in backend.list(ObjectKind::Index).unwrap() {
        backend.delete(&info.key).unwrap();
    }
    repository.sync_index().unwrap();
    let refuse = MarkOptions { refuse_losses: true, ..MarkOptions::default() };
    assert!(mark(&repository, &snapshots, &refuse).unwrap_err().is_damage());
    let marked = mark(&repository, &snapshots, &MarkOptions::default()).unwrap();
    assert_eq!((marked.losses.count(), marked.losses.missing), (1, 1));
    assert_eq!(marked.losses.named[0].path, b"/");
}
