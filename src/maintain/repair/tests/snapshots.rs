use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::backend::memory::MemoryBackend;
use crate::backend::{Backend, ObjectKey, ObjectKind};
use crate::base::{ChunkId, SnapshotId};
use crate::format::node::{FileContent, NodeKind};
use crate::maintain::check::{CheckOptions, ReadData, check};
use crate::maintain::mark::LossKind;
use crate::maintain::repair::{
    RepairIndexOptions, RepairPacksOptions, RepairSnapshotsOptions, repair_index, repair_packs,
    repair_snapshots,
};
use crate::maintain::testing::*;
use crate::query::walk::{Step, TreeWalk};
use crate::repository::{ChunkReader, Repository, find_path};

const ALL: CheckOptions = CheckOptions { read_data: ReadData::All };

struct Sample {
    backend: MemoryBackend,
    repository: Arc<Repository>,
    files: Files,
    snapshot: SnapshotId,
}

/// Every file in packs of its own, one with a chunk list.
fn sample(seed: u64) -> Sample {
    let backend = MemoryBackend::new();
    let repository = new_repository(&backend, seed);
    let mut files = Files::new();
    files.insert("a".into(), noise(1, 5_500));
    files.insert("d/b".into(), noise(2, 90_000));
    files.insert("d/c".into(), noise(3, 700));
    files.insert("e/empty".into(), Vec::new());
    let snapshot = store_files(&repository, &files, 1);
    Sample { backend, repository, files, snapshot }
}

impl Sample {
    /// Takes the pack of a file's first chunk out of the store and out of the index.
    fn lose(&self, path: &str) {
        let reader = ChunkReader::new(&self.repository);
        let root = self.repository.load_snapshot(&self.snapshot).unwrap().root;
        let node = find_path(&reader, &root, path.as_bytes()).unwrap().unwrap();
        let id = match node.kind {
            NodeKind::File { content: FileContent::Inline(chunks), .. } => chunks[0].id,
            NodeKind::File { content: FileContent::List { root, .. }, .. } => root,
            NodeKind::Directory { tree } => tree,
            _ => unreachable!("no such node"),
        };
        self.lose_chunk(&id);
    }

    fn lose_chunk(&self, id: &ChunkId) {
        let pack = self.repository.index().locate_all(id).unwrap()[0].block.pack;
        self.backend.delete(&ObjectKey::pack(&pack)).unwrap();
        // Nothing is left of it to be written aside.
        repair_packs(&self.repository, &RepairPacksOptions::default()).unwrap();
    }

    fn repair(&self, forget: bool) -> crate::maintain::repair::RepairSnapshotsReport {
        let options = RepairSnapshotsOptions { forget, ..RepairSnapshotsOptions::default() };
        repair_snapshots(&self.repository, &options).unwrap()
    }

    /// The files of a snapshot, all of which can be read.
    fn content(&self, snapshot: &SnapshotId) -> BTreeMap<String, Vec<u8>> {
        paths(&self.repository, snapshot)
            .into_iter()
            .map(|path| (path.clone(), read_file(&self.repository, snapshot, &path).unwrap()))
            .collect()
    }
}

fn paths(repository: &Repository, snapshot: &SnapshotId) -> BTreeSet<String> {
    let reader = ChunkReader::new(repository);
    let root = repository.load_snapshot(snapshot).unwrap().root;
    let mut walk = TreeWalk::new(&reader, root, b"");
    let mut found = BTreeSet::new();
    while let Some(step) = walk.next_step().unwrap() {
        if let Step::Entry(entry) = step
            && let NodeKind::File { .. } = entry.node.kind
        {
            found.insert(String::from_utf8(entry.path[1..].to_vec()).unwrap());
        }
    }
    found
}

#[test]
fn a_repaired_snapshot_has_exactly_what_is_left() {
    let sample = sample(1);
    sample.lose("d/b");
    let report = sample.repair(false);
    let [repaired] = report.repaired.as_slice() else { panic!("{report:?}") };
    assert_eq!((repaired.id, repaired.is_forgotten, repaired.was_repaired), (sample.snapshot, false, false));
    assert_eq!(repaired.dropped.named, [(b"/d/b".to_vec(), LossKind::File)]);
    let new = repaired.repaired.unwrap();
    let mut expected = sample.files.clone();
    expected.remove("d/b");
    assert!(sample.content(&new) == expected);
    let (old, new) = (
        sample.repository.load_snapshot(&sample.snapshot).unwrap(),
        sample.repository.load_snapshot(&new).unwrap(),
    );
    assert_eq!((old.time, &old.host, &old.tags), (new.time, &new.host, &new.tags));
    assert!(new.metadata.contains(&("repaired-from".to_owned(), sample.snapshot.to_string())));
    // Only the original is still reported.
    let report = check(&sample.repository, &ALL).unwrap();
    assert_eq!(report.losses.snapshots.keys().collect::<Vec<_>>(), [&sample.snapshot]);
}

#[test]
fn repairing_again_makes_nothing_new_and_forgetting_leaves_a_clean_repository() {
    let sample = sample(2);
    sample.lose("a");
    let first = sample.repair(false).repaired.remove(0).repaired;
    let again = sample.repair(false).repaired.remove(0);
    assert_eq!((again.repaired, again.was_repaired), (first, true));
    assert_eq!(sample.repository.snapshot_ids().unwrap().len(), 2);
    let last = sample.repair(true).repaired.remove(0);
    assert!(last.is_forgotten);
    assert_eq!(sample.repository.snapshot_ids().unwrap(), Vec::from_iter(first));
    assert_eq!(check(&sample.repository, &ALL).unwrap().errors, 0);
    assert_eq!(sample.repair(true).repaired, []);
}

#[test]
fn a_lost_folder_stays_without_its_entries_and_a_lost_root_leaves_nothing() {
    let sample = sample(3);
    sample.lose("d");
    let report = sample.repair(true);
    // Trees share packs, so that more than the one folder may be gone; what is there can be read.
    let repaired = &report.repaired[0];
    match repaired.repaired {
        Some(new) => {
            let left = sample.content(&new);
            assert!(left.iter().all(|(path, data)| sample.files[path] == *data));
            assert!(!left.contains_key("d/b") && repaired.dropped.directories > 0, "{repaired:?}");
            assert!(repaired.is_forgotten);
        }
        None => {
            assert!(repaired.is_lost && !repaired.is_forgotten, "{repaired:?}");
            assert_eq!(sample.repository.snapshot_ids().unwrap(), [sample.snapshot]);
        }
    }
    let root = sample.repository.load_snapshot(&sample.repository.snapshot_ids().unwrap()[0]).unwrap().root;
    if sample.repository.index().contains(&[root]).unwrap()[0] {
        sample.lose_chunk(&root);
    }
    let report = sample.repair(true);
    assert!(report.repaired.iter().all(|one| one.is_lost && !one.is_forgotten), "{report:?}");
}

#[test]
fn nothing_is_repaired_while_an_index_repair_may_find_it() {
    let sample = sample(4);
    let keys: Vec<ObjectKey> =
        sample.backend.list(ObjectKind::Index).unwrap().into_iter().map(|info| info.key).collect();
    sample.backend.delete(&keys[0]).unwrap();
    let fresh = reopen(Arc::new(sample.backend.clone()), 9);
    let options = RepairSnapshotsOptions { forget: true, ..RepairSnapshotsOptions::default() };
    let error = repair_snapshots(&fresh, &options).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("repair index"), "{error}");
    assert_eq!(fresh.snapshot_ids().unwrap(), [sample.snapshot]);
    repair_index(&fresh, &RepairIndexOptions::default()).unwrap();
    let report = repair_snapshots(&fresh, &options).unwrap();
    assert_eq!((report.checked, report.repaired.len()), (1, 0));
}

#[test]
fn a_dry_run_names_the_same_and_changes_nothing() {
    let sample = sample(5);
    sample.lose("d/b");
    let before = sample.backend.objects();
    let options = RepairSnapshotsOptions { dry_run: true, forget: true, ..RepairSnapshotsOptions::default() };
    let planned = repair_snapshots(&sample.repository, &options).unwrap();
    assert!(before == sample.backend.objects());
    let done = sample.repair(true);
    assert_eq!(planned.repaired[0].dropped, done.repaired[0].dropped);
    assert_eq!((planned.repaired[0].repaired, planned.repaired[0].is_forgotten), (None, false));
}
