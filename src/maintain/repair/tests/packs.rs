use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::backend::faulty::{Fault, FaultEffect, FaultPlan, FaultyBackend};
use crate::backend::memory::MemoryBackend;
use crate::backend::record::{RecordBackend, Verb};
use crate::backend::{Backend, ObjectKey, ObjectKind};
use crate::base::{PackId, SnapshotId};
use crate::format::pack::Content;
use crate::maintain::check::{CheckOptions, CheckReport, ReadData, check};
use crate::maintain::prune::prune;
use crate::maintain::prune::tests::world::options;
use crate::maintain::repair::{RepairPacksError, RepairPacksOptions, repair_packs};
use crate::maintain::testing::*;
use crate::maintain::tests::series::Series;
use crate::repository::Repository;

const ALL: CheckOptions = CheckOptions { read_data: ReadData::All };
/// More than a block holds.
const LONG_BYTES: usize = 2_500_000;

struct Sample {
    backend: MemoryBackend,
    repository: Arc<Repository>,
    files: Files,
    snapshot: SnapshotId,
    aside: tempfile::TempDir,
}

fn sample(seed: u64) -> Sample {
    let backend = MemoryBackend::new();
    let repository = new_repository(&backend, seed);
    let mut files = Files::new();
    files.insert("long".into(), noise(1, LONG_BYTES));
    files.insert("other".into(), noise(2, 9_000));
    let snapshot = store_files(&repository, &files, 1);
    Sample { backend, repository, files, snapshot, aside: tempfile::tempdir().unwrap() }
}

impl Sample {
    fn options(&self, packs: &[PackId]) -> RepairPacksOptions {
        let aside = self.aside.path().join("damaged");
        RepairPacksOptions { packs: packs.to_vec(), aside, ..RepairPacksOptions::default() }
    }

    /// What was written aside of a pack.
    fn kept(&self, pack: &PackId) -> Option<Vec<u8>> {
        std::fs::read(self.aside.path().join(format!("damaged/{pack}.pack"))).ok()
    }

    /// The pack that holds the long file.
    fn long_pack(&self) -> PackId {
        let packs = self.repository.index().packs().unwrap();
        let data = packs.into_iter().filter(|pack| pack.content == Content::Data);
        data.max_by_key(|pack| pack.size_bytes).unwrap().id
    }

    fn change(&self, pack: &PackId, change: impl FnOnce(&mut Vec<u8>)) {
        let key = ObjectKey::pack(pack);
        let mut bytes = self.backend.get(&key, u64::MAX).unwrap().to_vec();
        change(&mut bytes);
        self.backend.overwrite(&key, Bytes::from(bytes));
    }

    /// A host that knows nothing yet.
    fn fresh(&self) -> Arc<Repository> {
        let fresh = reopen(Arc::new(self.backend.clone()), 99);
        fresh.sync_index().unwrap();
        fresh
    }

    fn reads(&self, repository: &Repository, path: &str) -> bool {
        match read_file(repository, &self.snapshot, path) {
            Ok(data) => {
                assert!(data == self.files[path], "{path} is right");
                true
            }
            Err(error) => {
                assert!(error.is_damage(), "{error}");
                false
            }
        }
    }
}

fn lost_paths(report: &CheckReport) -> BTreeSet<Vec<u8>> {
    report.losses.named.iter().map(|loss| loss.path.clone()).collect()
}

#[test]
fn whole_blocks_of_a_damaged_pack_are_kept_and_a_backup_heals_the_rest() {
    let sample = sample(1);
    let pack = sample.long_pack();
    let at = sample.repository.index().pack_blocks(&pack).unwrap()[1].location.offset;
    sample.change(&pack, |bytes| bytes[at as usize + 100] ^= 1);
    let damaged = sample.backend.get(&ObjectKey::pack(&pack), u64::MAX).unwrap();
    check(&sample.repository, &ALL).unwrap();
    let report = repair_packs(&sample.repository, &sample.options(&[])).unwrap();
    let [repaired] = report.repaired.as_slice() else { panic!("{report:?}") };
    assert_eq!((repaired.id, repaired.elsewhere), (pack, 0));
    assert!(repaired.lost > 0 && repaired.moved > repaired.lost, "{repaired:?}");
    assert_eq!(repaired.moved + repaired.lost, repaired.chunks);
    assert!(sample.backend.stat(&ObjectKey::pack(&pack)).is_err());
    assert!(sample.kept(&pack).unwrap() == damaged, "the pack is kept");
    for repository in [sample.repository.clone(), sample.fresh()] {
        assert!(sample.reads(&repository, "other") && !sample.reads(&repository, "long"));
        let report = check(&repository, &ALL).unwrap();
        assert_eq!(lost_paths(&report), BTreeSet::from([b"/long".to_vec()]));
    }
    store_files(&sample.repository, &sample.files, 2);
    let report = check(&sample.fresh(), &ALL).unwrap();
    assert_eq!(report.errors, 0, "{:?}", report.findings);
    assert!(sample.reads(&sample.fresh(), "long"), "the old snapshot is whole again");
}

#[test]
fn a_pack_without_directory_loses_nothing_to_a_host_that_knows_it() {
    let sample = sample(2);
    let pack = sample.long_pack();
    sample.change(&pack, |bytes| {
        let end = bytes.len();
        bytes[end - 30] ^= 1;
    });
    let named = sample.options(&[pack]);
    let report = repair_packs(&sample.repository, &named).unwrap();
    assert_eq!((report.repaired.len(), report.lost()), (1, 0), "{report:?}");
    let fresh = sample.fresh();
    assert!(sample.reads(&fresh, "long") && sample.reads(&fresh, "other"));
    assert_eq!(check(&fresh, &ALL).unwrap().errors, 0);
    prune(&fresh, options(0)).unwrap();
    assert!(sample.reads(&fresh, "long") && sample.kept(&pack).is_some());
}

#[test]
fn packs_that_are_gone_or_cut_are_found_without_being_named() {
    let sample = sample(3);
    let cut = sample.long_pack();
    sample.change(&cut, |bytes| bytes.truncate(bytes.len() / 2));
    let packs = sample.backend.list(ObjectKind::Pack).unwrap();
    let gone = packs.iter().find(|info| info.key != ObjectKey::pack(&cut)).unwrap().key.clone();
    sample.backend.delete(&gone).unwrap();
    let report = repair_packs(&sample.repository, &sample.options(&[])).unwrap();
    let keys: BTreeSet<ObjectKey> = report.repaired.iter().map(|pack| ObjectKey::pack(&pack.id)).collect();
    assert_eq!(keys, BTreeSet::from([ObjectKey::pack(&cut), gone]));
    let of_cut = report.repaired.iter().find(|pack| pack.id == cut).unwrap();
    assert!(of_cut.moved > 0 && of_cut.lost > 0, "{of_cut:?}");
    store_files(&sample.repository, &sample.files, 2);
    assert_eq!(check(&sample.fresh(), &ALL).unwrap().errors, 0);
}

#[test]
fn whole_packs_and_dry_runs_change_nothing() {
    let sample = sample(4);
    let pack = sample.long_pack();
    let named = sample.options(&[pack, PackId([9; 32])]);
    let before = sample.backend.objects();
    let kept = |before: &[(ObjectKey, Bytes)]| {
        let after = sample.backend.objects();
        let is_lease = |key: &ObjectKey| key.kind() == ObjectKind::Lock;
        let visible = |all: &[(ObjectKey, Bytes)]| -> Vec<(ObjectKey, Bytes)> {
            all.iter().filter(|(key, _)| !is_lease(key)).cloned().collect()
        };
        assert!(visible(&after) == visible(before));
    };
    let report = repair_packs(&sample.repository, &named).unwrap();
    assert_eq!((report.whole, report.unknown), (vec![pack], vec![PackId([9; 32])]));
    kept(&before);
    sample.change(&pack, |bytes| bytes[200] ^= 1);
    let before = sample.backend.objects();
    let dry = RepairPacksOptions { dry_run: true, ..named };
    let planned = repair_packs(&sample.repository, &dry).unwrap();
    assert_eq!(planned.repaired.len(), 1);
    assert!(before == sample.backend.objects());
    let done = repair_packs(&sample.repository, &RepairPacksOptions { dry_run: false, ..dry }).unwrap();
    assert_eq!(planned.repaired, done.repaired);
}

#[test]
fn a_repair_of_packs_may_end_at_any_change() {
    let sample = sample(5);
    let pack = sample.long_pack();
    let at = sample.repository.index().pack_blocks(&pack).unwrap()[0].location.offset;
    sample.change(&pack, |bytes| bytes[at as usize + 100] ^= 1);
    let start = sample.backend.state();
    let named = sample.options(&[pack]);
    let verbs = vec![Verb::PutNew, Verb::Delete, Verb::Replace];
    let store = MemoryBackend::from_state(start.clone());
    let record = Arc::new(RecordBackend::new(Arc::new(store)));
    repair_packs(&reopen(record.clone(), 1), &named).unwrap();
    let count = record.mutations().len() as u64;
    assert!(count >= 4, "{count}");
    for call in 0..count {
        for effect in [FaultEffect::Stop, FaultEffect::FailAfter] {
            let store = MemoryBackend::from_state(start.clone());
            let plan = FaultPlan { seed: 1, faults: vec![Fault { call, verbs: verbs.clone(), effect }] };
            let faulty = Arc::new(FaultyBackend::new(Arc::new(store.clone()), plan));
            let outcome = repair_packs(&reopen(faulty, 1), &named);
            assert!(call + 1 == count || outcome.is_err(), "{effect:?} at {call}");
            // The dead maintainer's lease has run out.
            store.set_now(crate::base::Time::from_seconds(i64::from(u32::MAX)));
            let after = reopen(Arc::new(store.clone()), 2);
            after.sync_index().unwrap();
            assert!(sample.reads(&after, "other"), "{effect:?} at {call}");
            repair_packs(&after, &named).unwrap();
            assert!(sample.reads(&after, "other") && !sample.reads(&after, "long"));
            store_files(&after, &sample.files, 2);
            assert!(sample.reads(&after, "long"), "{effect:?} at {call}");
            // Whatever the dead run left, the next repair of all takes.
            repair_packs(&after, &sample.options(&[])).unwrap();
            assert!(store.stat(&ObjectKey::pack(&pack)).is_err() && sample.kept(&pack).is_some());
            assert_eq!(check(&after, &ALL).unwrap().errors, 0, "{effect:?} at {call}");
        }
    }
}

#[test]
fn blocks_with_bases_move_as_they_are() {
    let mut series = Series::whole(77);
    let based = series.based_blocks();
    let pack = based.iter().find(|block| block.location.content == Content::Data).unwrap().location.pack;
    let key = ObjectKey::pack(&pack);
    let mut bytes = series.store().get(&key, u64::MAX).unwrap().to_vec();
    let end = bytes.len();
    bytes[end - 30] ^= 1;
    series.store().overwrite(&key, Bytes::from(bytes));
    let aside = tempfile::tempdir().unwrap();
    let named = RepairPacksOptions {
        packs: vec![pack],
        aside: aside.path().to_owned(),
        ..RepairPacksOptions::default()
    };
    let report = repair_packs(&series.repository, &named).unwrap();
    assert_eq!((report.repaired.len(), report.lost()), (1, 0), "{report:?}");
    series.reopen();
    assert_eq!(series.based_blocks().len(), based.len());
    assert_eq!(check(&series.repository, &ALL).unwrap().errors, 0);
}

#[test]
fn a_pack_that_cannot_be_written_aside_stays() {
    let sample = sample(6);
    let pack = sample.long_pack();
    sample.change(&pack, |bytes| bytes[200] ^= 1);
    let file = sample.aside.path().join("file");
    std::fs::write(&file, b"no folder").unwrap();
    let options = RepairPacksOptions { aside: file, ..sample.options(&[pack]) };
    assert!(matches!(repair_packs(&sample.repository, &options), Err(RepairPacksError::Aside { .. })));
    assert!(sample.backend.stat(&ObjectKey::pack(&pack)).is_ok());
    assert!(sample.reads(&sample.fresh(), "other"));
}

#[test]
fn a_pack_that_reads_differently_each_time_stays() {
    let sample = sample(7);
    let pack = sample.long_pack();
    // One read of a whole object is flipped: in one of these runs the first of the pack.
    let (mut refused, mut opened) = (0, 0);
    for call in 0..12 {
        let plan = FaultPlan::one(call, call, &[Verb::Get], FaultEffect::FlippedRead);
        let faulty = Arc::new(FaultyBackend::new(Arc::new(sample.backend.clone()), plan));
        let secret = crate::repository::OpenSecret::KeyFile(secret());
        let Ok(repository) = Repository::open(environment(faulty, 3), &secret) else { continue };
        opened += 1;
        match repair_packs(&Arc::new(repository), &sample.options(&[pack])) {
            Ok(report) => assert_eq!(report.repaired, [], "call {call}"),
            Err(error) => refused += u32::from(error.to_string().contains("differently each time")),
        }
        assert!(sample.backend.stat(&ObjectKey::pack(&pack)).is_ok(), "call {call}");
    }
    assert!(refused == 1 && opened > 2, "{refused} of {opened}");
    assert!(sample.reads(&sample.fresh(), "long"));
}
