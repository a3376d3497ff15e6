use std::sync::Arc;

use bytes::Bytes;

use crate::backend::memory::MemoryBackend;
use crate::backend::{Backend, ObjectKey, ObjectKind};
use crate::base::{IndexId, PackId, SnapshotId};
use crate::maintain::check::{CheckOptions, ReadData, check};
use crate::maintain::repair::{RepairIndexOptions, RepairPacksOptions, repair_index, repair_packs};
use crate::maintain::testing::*;
use crate::repository::Repository;

const ALL: CheckOptions = CheckOptions { read_data: ReadData::All };

fn sample(seed: u64) -> (MemoryBackend, Arc<Repository>, Files, SnapshotId) {
    let backend = MemoryBackend::new();
    let repository = new_repository(&backend, seed);
    let mut files = Files::new();
    files.insert("a".into(), noise(1, 5_500));
    files.insert("d/b".into(), noise(2, 60_000));
    let snapshot = store_files(&repository, &files, 1);
    (backend, repository, files, snapshot)
}

fn index_keys(backend: &MemoryBackend) -> Vec<ObjectKey> {
    backend.list(ObjectKind::Index).unwrap().into_iter().map(|info| info.key).collect()
}

fn require_whole(repository: &Repository, files: &Files, snapshot: &SnapshotId) {
    let report = check(repository, &ALL).unwrap();
    assert_eq!((report.errors, report.unreferenced_packs), (0, 0), "{:?}", report.findings);
    for (path, data) in files {
        assert_eq!(&read_file(repository, snapshot, path).unwrap(), data);
    }
}

#[test]
fn an_index_made_again_from_packs_alone_gives_everything_back() {
    let (backend, repository, files, snapshot) = sample(1);
    for key in index_keys(&backend) {
        backend.delete(&key).unwrap();
    }
    assert!(check(&repository, &ALL).unwrap().is_damaged());
    let report = repair_index(&repository, &RepairIndexOptions::default()).unwrap();
    let packs = backend.list(ObjectKind::Pack).unwrap().len() as u64;
    assert_eq!((report.packs, report.added, report.written, report.deleted), (packs, packs, 1, 0));
    require_whole(&repository, &files, &snapshot);
    let fresh = reopen(Arc::new(backend.clone()), 2);
    fresh.sync_index().unwrap();
    require_whole(&fresh, &files, &snapshot);
}

#[test]
fn damaged_index_objects_are_replaced() {
    let (backend, repository, files, snapshot) = sample(1);
    let keys = index_keys(&backend);
    for (at, key) in keys.iter().enumerate() {
        let mut bytes = backend.get(key, u64::MAX).unwrap().to_vec();
        bytes.truncate(bytes.len() - at);
        bytes[40] ^= 1;
        backend.overwrite(key, Bytes::from(bytes));
    }
    let fresh = reopen(Arc::new(backend.clone()), 2);
    assert!(check(&fresh, &ALL).unwrap().is_damaged());
    let before = backend.state();
    let dry = RepairIndexOptions { dry_run: true, ..RepairIndexOptions::default() };
    let planned = repair_index(&fresh, &dry).unwrap();
    assert_eq!(planned.deleted, 0);
    assert_eq!(backend.objects(), MemoryBackend::from_state(before).objects());
    let report = repair_index(&fresh, &RepairIndexOptions::default()).unwrap();
    assert_eq!(report.damaged_indexes.len(), keys.len());
    assert_eq!(report.deleted, keys.len() as u64);
    require_whole(&fresh, &files, &snapshot);
    // The one that knew the old index objects follows.
    require_whole(&repository, &files, &snapshot);
}

#[test]
fn packs_that_are_gone_leave_the_index_and_unreadable_ones_stay_in_the_store() {
    let (backend, repository, _, _) = sample(1);
    let packs = backend.list(ObjectKind::Pack).unwrap();
    let (gone, cut) = (&packs[0].key, &packs[1].key);
    backend.delete(gone).unwrap();
    let stored = backend.get(cut, u64::MAX).unwrap();
    backend.overwrite(cut, stored.slice(..stored.len() - 3));
    let fresh = reopen(Arc::new(backend.clone()), 2);
    let report = repair_index(&fresh, &RepairIndexOptions::default()).unwrap();
    assert_eq!(report.missing.len(), 1);
    assert_eq!(ObjectKey::pack(&report.missing[0]), *gone);
    assert_eq!(report.unreadable.len(), 1);
    assert_eq!((ObjectKey::pack(&report.unreadable[0].0), report.salvaged), (cut.clone(), 0));
    assert!(backend.stat(cut).is_ok());
    assert_eq!(report.packs, packs.len() as u64 - 2);
    // A host that knows its directory puts it back into the index.
    let report = repair_index(&repository, &RepairIndexOptions::default()).unwrap();
    assert_eq!((report.unreadable.len(), report.salvaged), (1, 1));
}

#[test]
fn what_stands_under_the_name_of_another_pack_is_not_taken_for_it() {
    let ids = |backend: &MemoryBackend| -> Vec<PackId> {
        let infos = backend.list(ObjectKind::Pack).unwrap();
        infos.iter().map(|info| PackId(info.key.id_bytes().unwrap())).collect()
    };
    let (backend, ..) = sample(1);
    for at in 0..ids(&backend).len() {
        for is_known in [true, false] {
            let (backend, repository, mut files, snapshot) = sample(1);
            let packs = ids(&backend);
            let (own, other) = (packs[at], packs[(at + 1) % packs.len()]);
            let bytes = backend.get(&ObjectKey::pack(&other), u64::MAX).unwrap();
            backend.overwrite(&ObjectKey::pack(&own), bytes);
            let fresh = reopen(Arc::new(backend.clone()), 2);
            let host = if is_known { &repository } else { &fresh };
            let report = repair_index(host, &RepairIndexOptions::default()).unwrap();
            let [(unreadable, why)] = report.unreadable.as_slice() else { panic!("{:?}", report.unreadable) };
            assert_eq!((*unreadable, report.salvaged), (own, u64::from(is_known)));
            assert!(why.contains("do not match the name"), "{why}");
            // Taken out, it is stored again by the next backup of any host.
            let aside = tempfile::tempdir().unwrap();
            let aside = aside.path().to_path_buf();
            let options = RepairPacksOptions { aside, ..RepairPacksOptions::default() };
            assert_eq!(repair_packs(host, &options).unwrap().repaired[0].id, own);
            repository.sync_index().unwrap();
            let again = store_files(&repository, &files, 2);
            assert!(read_file(&repository, &again, "a").unwrap() == files.remove("a").unwrap());
            assert!(read_file(&repository, &again, "d/b").unwrap() == files.remove("d/b").unwrap());
            assert_ne!(again, snapshot);
        }
    }
}

#[test]
fn a_host_follows_a_store_that_says_something_else_of_a_pack_than_it_did() {
    let (_, repository, files, snapshot) = sample(1);
    let before = repository.index().packs().unwrap();
    let ids: Vec<IndexId> = repository.list_index_ids().unwrap().into_iter().collect();
    let mut packs: Vec<_> = ids.iter().flat_map(|id| repository.load_index_object(id).unwrap()).collect();
    packs.sort_by_key(|pack| pack.id);
    let named = packs.clone();
    packs[0].size_bytes += 1;
    let wrong = repository.store_index_object(&packs).unwrap().0;
    ids.iter().for_each(|id| repository.delete_index_object(id).unwrap());
    repository.index().record_verified(&packs[1].id, repository.clock().now(), false).unwrap();
    repository.sync_index().unwrap();
    assert_eq!(repository.index().index_ids().unwrap().len(), 1);
    assert_ne!(repository.index().packs().unwrap(), before);
    repository.store_index_object(&named).unwrap();
    repository.delete_index_object(&wrong).unwrap();
    repository.sync_index().unwrap();
    let bad: Vec<_> = repository.index().verified().unwrap().into_iter().filter(|(.., good)| !good).collect();
    assert_eq!(bad.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [packs[1].id]);
    require_whole(&repository, &files, &snapshot);
}
