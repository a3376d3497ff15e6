use bytes::Bytes;

use super::*;
use crate::backend::{Backend, ObjectKey, ObjectKind};
use crate::base::PackId;
use crate::format::pack::Content;
use crate::repository::testing::noise;
use crate::restore::{RestoreError, dump};

/// Returns where the block of the chunk with this plaintext is.
fn block_of(store: &TestRepository, plain: &[u8]) -> (PackId, usize) {
    let id = store.repository.keys().data_id(plain);
    let found = store.repository.index().locate(&[id]).unwrap().pop().flatten().unwrap();
    assert_eq!(found.block.content, Content::Data);
    (found.block.pack, found.block.offset as usize)
}

fn flip(store: &TestRepository, pack: PackId, at: usize) {
    let key = ObjectKey::pack(&pack);
    let mut bytes = store.memory.get(&key, u64::MAX).unwrap().to_vec();
    bytes[at] ^= 1;
    store.memory.overwrite(&key, Bytes::from(bytes));
}

fn tree() -> Entry {
    let file = |seed| Entry::file(noise(seed, 3 << 20));
    let shared = noise(2, 1 << 20);
    Entry::directory([
        ("1", file(1)),
        ("2", Entry::file([shared.clone(), noise(5, 100)].concat())),
        ("3", file(3)),
        ("4", Entry::file(shared)),
    ])
}

#[test]
fn damage_costs_the_files_that_need_the_block_and_no_other() {
    let mut store = TestRepository::new(30);
    store.chunk_bytes = 1 << 20;
    let tree = tree();
    let (_, snapshot) = store.store(&tree);
    let shared = &tree.children[&b"4"[..]].content;
    let (pack, offset) = block_of(&store, shared);
    flip(&store, pack, offset + 100);
    let folder = tempfile::tempdir().unwrap();
    let stats = restored(&store, &snapshot, folder.path(), |_| {});
    assert!(stats.damaged);
    let failed: Vec<&[u8]> = stats.failed.iter().map(|item| item.path.as_slice()).collect();
    assert_eq!(
        {
            let mut failed = failed;
            failed.sort();
            failed
        },
        [b"2", b"4"]
    );
    assert!(stats.failed[0].reason.contains("packs/"), "{}", stats.failed[0].reason);
    let mut expected = show_tree(&tree);
    expected.retain(|name, _| name == b"1" || name == b"3");
    assert_eq!(show_folder(folder.path()), expected);
    let mut out = Vec::new();
    let error = dump(&store.repository, &snapshot, b"/4", &mut out).unwrap_err();
    assert!(matches!(error, RestoreError::Content { path, .. } if path == b"/4"));
    dump(&store.repository, &snapshot, b"1", &mut out).unwrap();
    assert_eq!(out, tree.children[&b"1"[..]].content);
}

#[test]
fn a_damaged_file_takes_nothing_away_that_it_did_not_write_to() {
    let mut store = TestRepository::new(31);
    store.chunk_bytes = 1 << 20;
    let tree = tree();
    let (_, snapshot) = store.store(&tree);
    let (pack, offset) = block_of(&store, &tree.children[&b"4"[..]].content);
    flip(&store, pack, offset + 100);
    let folder = tempfile::tempdir().unwrap();
    let other = vec![1; 1 << 20];
    std::fs::write(folder.path().join("4"), &other).unwrap();
    std::fs::write(folder.path().join("2"), "of another size").unwrap();
    let stats = restored(&store, &snapshot, folder.path(), |_| {});
    assert_eq!(stats.failed_count, 2);
    assert_eq!(std::fs::read(folder.path().join("4")).unwrap(), other);
    assert_eq!(std::fs::read(folder.path().join("2")).unwrap(), b"of another size");
    assert_eq!(show_folder(folder.path()).len(), 4);
}

#[test]
fn another_copy_of_a_damaged_chunk_is_found() {
    let mut store = TestRepository::new(32);
    store.chunk_bytes = 1 << 20;
    let tree = tree();
    let (_, snapshot) = store.store(&tree);
    let shared = tree.children[&b"4"[..]].content.clone();
    let id = store.repository.keys().data_id(&shared);
    let mut writer = crate::repository::ChunkWriter::new(store.repository.clone(), false).unwrap();
    writer.add_again(Content::Data, id, &shared).unwrap();
    writer.finish().unwrap();
    let (pack, offset) = block_of(&store, &shared);
    flip(&store, pack, offset + 100);
    let folder = tempfile::tempdir().unwrap();
    let stats = restored(&store, &snapshot, folder.path(), |_| {});
    assert_eq!((stats.failed_count, stats.damaged), (0, false));
    assert_eq!(show_folder(folder.path()), show_tree(&tree));
}

#[test]
fn a_lost_pack_names_every_file_that_was_in_it() {
    let store = TestRepository::new(33);
    let (_, kept) = store.store(&Entry::directory([("kept", Entry::file(noise(8, 50_000)))]));
    let kept_packs: Vec<ObjectKey> = store.memory.objects().into_iter().map(|(key, _)| key).collect();
    let (_, snapshot) = store.store(&Entry::directory([
        ("empty", Entry::file("")),
        ("kept", Entry::file(noise(8, 50_000))),
        ("lost", Entry::file(noise(9, 50_000))),
    ]));
    let lost = block_of(&store, &noise(9, 50_000)[..4096]).0;
    assert!(!kept_packs.contains(&ObjectKey::pack(&lost)));
    store.memory.delete(&ObjectKey::pack(&lost)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stats = restored(&store, &snapshot, folder.path(), |_| {});
    assert_eq!(stats.failed.iter().map(|item| item.path.as_slice()).collect::<Vec<_>>(), [b"lost"]);
    assert_eq!((stats.files, stats.damaged), (2, true));
    let whole = restored(&store, &kept, &folder.path().join("kept only"), |_| {});
    assert_eq!(whole.failed_count, 0);
}

#[test]
fn a_damaged_directory_is_named_and_the_others_are_restored() {
    let store = TestRepository::new(34);
    let (_, first) = store.store(&Entry::directory([("a", Entry::directory([("x", Entry::file("x"))]))]));
    let before: Vec<ObjectKey> = store.memory.objects().into_iter().map(|(key, _)| key).collect();
    let bad = Entry::directory([("y", Entry::file("x"))]);
    let (_, _) = store.store(&Entry::directory([("b", bad.clone())]));
    let tree_packs: Vec<ObjectKey> = store
        .memory
        .objects()
        .into_iter()
        .map(|(key, _)| key)
        .filter(|key| key.kind() == ObjectKind::Pack && !before.contains(key))
        .collect();
    let both = Entry::directory([("a", Entry::directory([("x", Entry::file("x"))])), ("b", bad)]);
    let (_, snapshot) = store.store(&both);
    for key in tree_packs {
        store.memory.delete(&key).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let stats = restored(&store, &snapshot, folder.path(), |_| {});
    assert_eq!((stats.files, stats.failed_count, stats.damaged), (1, 1, true));
    assert_eq!(stats.failed[0].path, b"b");
    assert_eq!(std::fs::read(folder.path().join("a/x")).unwrap(), b"x");
    assert_eq!(restored(&store, &first, &folder.path().join("first"), |_| {}).failed_count, 0);
}
