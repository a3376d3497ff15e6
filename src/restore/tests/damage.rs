use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::backend::faulty::{FaultEffect, FaultPlan, FaultyBackend};
use crate::backend::record::Verb;
use crate::backend::{Backend, ObjectKey, ObjectKind};
use crate::base::PackId;
use crate::format::pack::Content;
use crate::repository::testing::noise;
use crate::repository::{ChunkReader, Repository, find_path};
use crate::restore::delete::delete_extra;
use crate::restore::place::Target;
use crate::restore::run::Run;
use crate::restore::walk::Selection;
use crate::restore::{RestoreError, dump, dump_tar};

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
    assert!(matches!(&error, RestoreError::Content { path, .. } if path == b"/4") && is_damage(&error));
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

/// A tree whose lists and directories are in several packs each, which are returned.
fn scattered(seed: u64) -> (TestRepository, Entry, Snapshot, Vec<ObjectKey>) {
    let mut store = TestRepository::new(seed);
    store.chunk_bytes = 16;
    let file = |chunks: usize| Entry::file(noise(1, chunks * store.chunk_bytes));
    let many = |count: usize| {
        let name = |n: usize| (format!("{n:05}"), Entry::file("x").with(|node| node.user = "u".repeat(50)));
        Entry::directory((0..count).map(name))
    };
    let below = Entry::directory([("x", Entry::file("x"))]);
    // What begins as something else does shares its first leaves.
    store.store(&Entry::directory([("list", file(3000))]));
    store.store(&Entry::directory([("many", many(1000))]));
    store.store(&Entry::directory([("sub", below.clone())]));
    store.store(&Entry::directory([("list", file(6000))]));
    store.store(&Entry::directory([("many", many(2000))]));
    let tree = Entry::directory([("list", file(6000)), ("many", many(2000)), ("sub", below)]);
    let (_, snapshot) = store.store(&tree);
    let packs = store.repository.index().packs().unwrap();
    let trees = packs.iter().filter(|pack| pack.content == Content::Tree);
    let keys: Vec<ObjectKey> = trees.map(|pack| ObjectKey::pack(&pack.id)).collect();
    assert_eq!(keys.len(), 6);
    (store, tree, snapshot, keys)
}

fn is_damage(error: &RestoreError) -> bool {
    match error {
        RestoreError::Repository(error) | RestoreError::Content { source: error, .. } => error.is_damage(),
        _ => false,
    }
}

#[test]
fn each_lost_pack_of_trees_costs_what_is_named_and_nothing_else_however_it_is_read() {
    let (store, tree, snapshot, packs) = scattered(35);
    let expected = show_tree(&tree);
    let state = store.memory.state();
    let mut costs = BTreeSet::new();
    for key in &packs {
        store.memory.set_state(state.clone());
        store.memory.delete(key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let stats = restored(&store, &snapshot, folder.path(), |_| {});
        let failed: BTreeSet<Vec<u8>> = stats.failed.iter().map(|item| item.path.clone()).collect();
        assert!(stats.damaged && failed.len() as u64 == stats.failed_count && !failed.is_empty(), "{key}");
        let shown = show_folder(folder.path());
        assert!(shown.iter().all(|(name, what)| expected.get(name) == Some(what)), "{key}");
        let is_below = |name: &[u8], above: &[u8]| {
            name.strip_prefix(above)
                .is_some_and(|rest| rest.is_empty() || above.is_empty() || rest[0] == b'/')
        };
        let is_named = |name: &[u8]| failed.iter().any(|above| is_below(name, above));
        assert!(expected.keys().all(|name| shown.contains_key(name) || is_named(name)), "{key}: {failed:?}");
        assert!(shown.len() < expected.len(), "{key}");

        // A dry run looks at directories, not at lists.
        let planned = restored(&store, &snapshot, folder.path(), |options| options.dry_run = true);
        let mut foretold: BTreeSet<Vec<u8>> = planned.failed.into_iter().map(|item| item.path).collect();
        assert_eq!(planned.damaged, !foretold.is_empty(), "{key}");
        foretold.extend(failed.get(&b"list"[..]).cloned());
        assert_eq!(foretold, failed, "{key}");
        let error = dump_tar(&store.repository, &snapshot, None, &mut std::io::sink()).unwrap_err();
        assert!(matches!(error, RestoreError::Content { .. }) && is_damage(&error), "{key}: {error}");
        let mut out = Vec::new();
        match dump(&store.repository, &snapshot, b"list", &mut out) {
            Ok(_) => assert!(out == tree.children[&b"list"[..]].content && !is_named(b"list"), "{key}"),
            Err(error) => assert!(is_damage(&error) && is_named(b"list"), "{key}: {error}"),
        }
        costs.insert(failed);
    }
    let whole = |name: &str| BTreeSet::from([name.as_bytes().to_vec()]);
    assert_eq!(costs, ["", "list", "many", "sub"].map(whole).into());
}

#[test]
fn nothing_is_deleted_from_a_directory_whose_list_of_names_cannot_be_read() {
    let (store, _, snapshot, packs) = scattered(36);
    let folder = tempfile::tempdir().unwrap();
    restored(&store, &snapshot, folder.path(), |_| {});
    for name in ["many", "sub"] {
        std::fs::write(folder.path().join(name).join("zzz extra"), "x").unwrap();
    }
    let reader = ChunkReader::new(&store.repository);
    let options = RestoreOptions::new(folder.path());
    let target = Target::open(folder.path(), false).unwrap().unwrap();
    let node = |name: &str| find_path(&reader, &snapshot.root, name.as_bytes()).unwrap().unwrap();
    let nodes = ["many", "sub"].map(|name| (name, node(name)));
    let delete = |repository: &Arc<Repository>, name: &str, node| {
        let reader = ChunkReader::new(repository);
        let run = Run::new(&reader, &target, &snapshot.paths, &options);
        delete_extra(&run, Selection::default(), b"", name.as_bytes(), node).map(|()| run.take_stats())
    };
    let is_there = |name: &str| folder.path().join(name).join("zzz extra").exists();
    let state = store.memory.state();
    let mut kept = 0;
    for key in &packs {
        store.memory.set_state(state.clone());
        store.memory.delete(key).unwrap();
        for (name, node) in &nodes {
            let stats = delete(&store.repository, name, node).unwrap();
            assert_eq!((stats.deleted == 0, stats.failed_count), (is_there(name), 0), "{name} without {key}");
            kept += u64::from(is_there(name));
            std::fs::write(folder.path().join(name).join("zzz extra"), "x").unwrap();
        }
    }
    assert!((2..=packs.len() as u64).contains(&kept), "{kept}");
    store.memory.set_state(state);
    let mut ended = 0;
    for call in 0.. {
        let plan = FaultPlan::one(0, call, &[Verb::Get, Verb::GetRange], FaultEffect::FailForever);
        let faulty = Arc::new(FaultyBackend::new(Arc::new(store.memory.clone()), plan));
        let Ok(repository) = store.open(|environment| environment.backend = faulty.clone()) else { continue };
        let outcome = delete(&repository, "many", &nodes[0].1);
        assert_eq!((outcome.is_err(), is_there("many")), (faulty.reached(), faulty.reached()), "{outcome:?}");
        if !faulty.reached() {
            break;
        }
        ended += 1;
    }
    assert!(ended > 0);
}
