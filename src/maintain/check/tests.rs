use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::{CheckOptions, CheckReport, ReadData, Severity, check};
use crate::backend::faulty::{FaultEffect, FaultPlan, FaultyBackend};
use crate::backend::memory::{MemoryBackend, MemoryState};
use crate::backend::record::Verb;
use crate::backend::{Backend, ObjectKey, ObjectKind};
use crate::base::parse::Subset;
use crate::base::{PackId, SnapshotId};
use crate::format::node::{FileContent, NodeKind};
use crate::format::pack::Content;
use crate::maintain::testing::*;
use crate::repository::Repository;

const ALL: CheckOptions = CheckOptions { read_data: ReadData::All };
const STRUCTURE: CheckOptions = CheckOptions { read_data: ReadData::None };

struct Sample {
    backend: MemoryBackend,
    repository: Arc<Repository>,
    files: Files,
    snapshots: Vec<SnapshotId>,
    clean: MemoryState,
}

/// Two snapshots that share files, one file long enough for a list.
fn sample() -> Sample {
    let backend = MemoryBackend::new();
    let repository = new_repository(&backend, 1);
    let mut files = Files::new();
    files.insert("a".into(), noise(1, 5_500));
    files.insert("d/b".into(), noise(2, 300_000));
    files.insert("d/c".into(), noise(3, 900));
    files.insert("e/empty".into(), Vec::new());
    let first = store_files(&repository, &files, 1);
    files.insert("f".into(), noise(4, 3_000));
    let second = store_files(&repository, &files, 2);
    let clean = backend.state();
    Sample { backend, repository, files, snapshots: vec![first, second], clean }
}

fn errors_of<'a>(report: &'a CheckReport, object: &str) -> Vec<&'a super::Finding> {
    let is_error =
        |finding: &&super::Finding| finding.severity == Severity::Error && finding.object == object;
    report.findings.iter().filter(is_error).collect()
}

fn paths_of(report: &CheckReport, pack: &PackId) -> BTreeSet<(SnapshotId, String)> {
    let path = |path: &[u8]| String::from_utf8(path.to_vec()).unwrap();
    report.losses_of_pack(pack).map(|loss| (loss.snapshot, path(&loss.path))).collect()
}

fn flip(data: &Bytes, at: usize) -> Bytes {
    let mut bytes = data.to_vec();
    bytes[at] ^= 4;
    Bytes::from(bytes)
}

#[test]
fn an_undamaged_repository_has_no_errors_and_every_byte_is_counted() {
    let sample = sample();
    for options in [STRUCTURE, ALL] {
        let report = check(&sample.repository, &options).unwrap();
        assert_eq!((report.errors, report.warnings, report.notes), (0, 0, 0), "{:?}", report.findings);
        assert_eq!(report.walked.snapshots, 2);
        assert_eq!(report.losses.count(), 0);
    }
    let report = check(&sample.repository, &ALL).unwrap();
    let packs = sample.backend.list(ObjectKind::Pack).unwrap();
    assert_eq!(report.packs_read, packs.len() as u64);
    assert_eq!(report.read_bytes, packs.iter().map(|info| info.size_bytes).sum::<u64>());
    assert_eq!(report.chunks_read, sample.repository.index().totals().unwrap().chunks);
}

#[test]
fn every_damage_of_every_object_is_an_error_that_names_it() {
    let sample = sample();
    let objects = sample.backend.objects();
    let mut cases = 0;
    for (key, data) in &objects {
        let other = objects.iter().find(|(other, _)| other.kind() == key.kind() && other != key);
        let middle = data.len() / 2;
        let damages: Vec<(&str, Option<Bytes>)> = vec![
            ("deleted", None),
            ("cut", Some(data.slice(..data.len() - 1))),
            ("flipped", Some(flip(data, middle))),
            ("empty", Some(Bytes::new())),
            ("swapped", other.map(|(_, data)| data.clone())),
        ];
        for (damage, bytes) in damages {
            // Leases are not part of what is kept; the config and key file of this repository have no fellow.
            if key.kind() == ObjectKind::Lock || (damage == "swapped" && other.is_none()) {
                continue;
            }
            sample.backend.set_state(sample.clean.clone());
            match bytes {
                Some(bytes) => sample.backend.overwrite(key, bytes),
                None => sample.backend.delete(key).unwrap(),
            }
            let report = check(&sample.repository, &ALL).unwrap();
            let names = match (damage, key.kind()) {
                // Nothing says that a snapshot was there.
                ("deleted", ObjectKind::Snapshot) => continue,
                // What it named is missing, and the packs it named are found lying about.
                ("deleted", ObjectKind::Index) => {
                    assert!(report.is_damaged(), "{key} {damage}");
                    assert!(report.unreferenced_packs > 0);
                    cases += 1;
                    sample.backend.set_state(sample.clean.clone());
                    check(&sample.repository, &STRUCTURE).unwrap();
                    continue;
                }
                ("deleted", ObjectKind::Config) => "config/".to_owned(),
                ("deleted", ObjectKind::Key) => "keys/".to_owned(),
                _ => key.to_string(),
            };
            assert!(!errors_of(&report, &names).is_empty(), "{key} {damage}: {:?}", report.findings);
            cases += 1;
        }
    }
    assert!(cases > 40, "{cases}");
    sample.backend.set_state(sample.clean.clone());
    assert!(!check(&sample.repository, &ALL).unwrap().is_damaged());
}

#[test]
fn a_lost_data_pack_costs_exactly_the_files_that_need_it() {
    let sample = sample();
    for pack in sample.repository.index().packs().unwrap() {
        if pack.content != Content::Data {
            continue;
        }
        let held: BTreeSet<_> = sample
            .repository
            .index()
            .pack_blocks(&pack.id)
            .unwrap()
            .iter()
            .flat_map(|b| b.ids.clone())
            .collect();
        let needs = |data: &[u8]| {
            data.chunks(CHUNK_BYTES).any(|piece| held.contains(&sample.repository.keys().data_id(piece)))
        };
        let mut expected = BTreeSet::new();
        for (path, _) in sample.files.iter().filter(|(_, data)| needs(data)) {
            for (at, snapshot) in sample.snapshots.iter().enumerate() {
                if path != "f" || at == 1 {
                    expected.insert((*snapshot, format!("/{path}")));
                }
            }
        }
        assert!(!expected.is_empty());
        let key = ObjectKey::pack(&pack.id);
        let stored = sample.backend.get(&key, u64::MAX).unwrap();
        for damaged in [None, Some(flip(&stored, 30))] {
            sample.backend.set_state(sample.clean.clone());
            match damaged {
                None => sample.backend.delete(&key).unwrap(),
                Some(bytes) => sample.backend.overwrite(&key, bytes),
            }
            let report = check(&sample.repository, &ALL).unwrap();
            assert_eq!(paths_of(&report, &pack.id), expected);
            assert_eq!(errors_of(&report, key.path())[0].files, expected.len() as u64);
            for (snapshot, path) in &expected {
                assert!(read_file(&sample.repository, snapshot, path).unwrap_err().is_damage());
            }
            for path in sample.files.keys() {
                let named = (sample.snapshots[1], format!("/{path}"));
                if !expected.contains(&named) {
                    let data = read_file(&sample.repository, &sample.snapshots[1], path).unwrap();
                    assert_eq!(&data, &sample.files[path]);
                }
            }
        }
    }
}

#[test]
fn a_damaged_chunk_with_another_copy_costs_nothing() {
    let sample = sample();
    let pack = sample.repository.index().packs().unwrap();
    let pack = pack.iter().find(|pack| pack.content == Content::Data).unwrap();
    let mut writer = crate::repository::ChunkWriter::new(sample.repository.clone(), false).unwrap();
    let reader = crate::repository::ChunkReader::new(&sample.repository);
    for id in sample.repository.index().pack_blocks(&pack.id).unwrap().iter().flat_map(|block| &block.ids) {
        writer.add_again(Content::Data, *id, &reader.read(Content::Data, id).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    let key = ObjectKey::pack(&pack.id);
    sample.backend.delete(&key).unwrap();
    let report = check(&sample.repository, &ALL).unwrap();
    assert_eq!(errors_of(&report, key.path())[0].files, 0);
    assert_eq!((report.errors, report.losses.count()), (1, 0));
}

#[test]
fn a_pack_that_stands_under_two_names_is_found_by_a_host_that_knows_neither() {
    let backend = MemoryBackend::new();
    let repository = new_repository(&backend, 1);
    for seed in [1, 2] {
        store_files(&repository, &Files::from([("a".into(), noise(seed, 900))]), seed as i64);
    }
    let packs = repository.index().packs().unwrap();
    let packs: Vec<_> = packs.iter().filter(|pack| pack.content == Content::Data).collect();
    let [first, second] = packs.as_slice() else { panic!("{packs:?}") };
    assert_eq!((first.size_bytes, first.directory_bytes), (second.size_bytes, second.directory_bytes));
    let bytes = backend.get(&ObjectKey::pack(&first.id), u64::MAX).unwrap();
    backend.overwrite(&ObjectKey::pack(&second.id), bytes);
    let fresh = reopen(Arc::new(backend), 2);
    fresh.sync_index().unwrap();
    let report = check(&fresh, &ALL).unwrap();
    assert!(errors_of(&report, ObjectKey::pack(&first.id).path()).is_empty(), "{:?}", report.findings);
    let [finding] = errors_of(&report, ObjectKey::pack(&second.id).path())[..] else { panic!() };
    assert!(finding.what.contains("do not match the name"), "{}", finding.what);
}

#[test]
fn the_parts_of_a_subset_are_together_every_pack_and_each_once() {
    let sample = sample();
    let packs: BTreeSet<_> =
        sample.backend.list(ObjectKind::Pack).unwrap().into_iter().map(|i| i.key).collect();
    for of in [1, 2, 3, 7] {
        let mut found = Vec::new();
        for index in 1..=of {
            let part = CheckOptions { read_data: ReadData::Subset(Subset::Part { index, of }) };
            sample.backend.set_state(sample.clean.clone());
            for key in &packs {
                let stored = sample.backend.get(key, u64::MAX).unwrap();
                // The last byte belongs to the end magic: only reading the pack whole shows it.
                sample.backend.overwrite(key, flip(&stored, stored.len() - 1));
            }
            let report = check(&sample.repository, &part).unwrap();
            found.extend(
                report.findings.into_iter().filter(|f| f.object.starts_with("packs/")).map(|f| f.object),
            );
        }
        found.sort();
        let expected: Vec<String> = packs.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "of {of}");
    }
}

#[test]
fn a_size_reads_what_was_not_read_longest_until_all_was_read() {
    let sample = sample();
    let count = sample.backend.list(ObjectKind::Pack).unwrap().len();
    let one = CheckOptions { read_data: ReadData::Subset(Subset::Bytes(1)) };
    for read in 1..=count {
        assert_eq!(check(&sample.repository, &one).unwrap().packs_read, 1);
        let verified = sample.repository.index().verified().unwrap();
        assert_eq!(verified.len(), read);
        assert!(verified.iter().all(|(_, _, ok)| *ok));
    }
}

#[test]
fn reading_all_goes_on_where_it_was_interrupted_and_begins_anew_once_it_has_ended() {
    let sample = sample();
    let packs = sample.backend.list(ObjectKind::Pack).unwrap();
    let count = packs.len() as u64;
    let read_whole = |report: &CheckReport| (report.packs_read, report.packs_read_before);
    let index = sample.repository.index();
    // A subset is none of its business.
    let part = CheckOptions { read_data: ReadData::Subset(Subset::Part { index: 1, of: 2 }) };
    check(&sample.repository, &part).unwrap();
    assert_eq!(read_whole(&check(&sample.repository, &ALL).unwrap()), (count, 0));
    let now = sample.repository.clock().now();
    // What an interrupted run leaves: when it began, and what it has read.
    let size_bytes: u64 = packs.iter().map(|info| info.size_bytes).sum();
    let first = PackId(packs[0].key.id_bytes().unwrap());
    let second = PackId(packs[1].key.id_bytes().unwrap());
    let before = crate::base::Time::from_seconds(now.seconds - 11);
    for info in &packs {
        let id = PackId(info.key.id_bytes().unwrap());
        index.record_verified(&id, before, true).unwrap();
    }
    index.set_reading_since(Some(now.seconds - 10)).unwrap();
    index.record_verified(&first, now, true).unwrap();
    index.record_verified(&second, now, false).unwrap();
    let report = check(&sample.repository, &ALL).unwrap();
    assert_eq!(read_whole(&report), (count - 1, 1));
    assert_eq!(report.read_bytes + report.read_before_bytes, size_bytes);
    assert_eq!(read_whole(&check(&sample.repository, &ALL).unwrap()), (count, 0));
    // Too long ago to rely on, or a clock that was set back.
    for since in [now.seconds - 8 * 24 * 60 * 60, now.seconds + 1_000_000] {
        index.set_reading_since(Some(since)).unwrap();
        assert_eq!(read_whole(&check(&sample.repository, &ALL).unwrap()), (count, 0));
    }
}

#[test]
fn a_reading_of_all_beside_another_is_not_taken_for_its_end_or_its_going_on() {
    let sample = sample();
    let count = sample.backend.list(ObjectKind::Pack).unwrap().len() as u64;
    let index = sample.repository.index();
    let now = sample.repository.clock().now();
    // One run is under way, and has read a pack.
    let reading = index.begin_reading().unwrap().expect("nobody else reads");
    assert!(index.begin_reading().unwrap().is_none());
    index.set_reading_since(Some(now.seconds)).unwrap();
    let first = PackId(sample.backend.list(ObjectKind::Pack).unwrap()[0].key.id_bytes().unwrap());
    index.record_verified(&first, now, true).unwrap();
    let report = check(&sample.repository, &ALL).unwrap();
    assert_eq!((report.packs_read, report.packs_read_before), (count, 0));
    assert_eq!(index.reading_since().unwrap(), Some(now.seconds), "the first run is not at its end");
    // Once that died, the next one goes on.
    drop(reading);
    let report = check(&sample.repository, &ALL).unwrap();
    assert!(report.packs_read_before > 0);
    assert_eq!(index.reading_since().unwrap(), None);
}

#[test]
fn an_interrupted_reading_of_all_leaves_out_what_it_read_and_no_damage() {
    let sample = sample();
    let packs = sample.backend.list(ObjectKind::Pack).unwrap();
    let key = ObjectKey::pack(&PackId(packs[0].key.id_bytes().unwrap()));
    let stored = sample.backend.get(&key, u64::MAX).unwrap();
    // Within a block: its directory is whole, so that those who open the repository anew know the pack.
    sample.backend.overwrite(&key, flip(&stored, 40));
    let mut interrupted = 0;
    for call in 0..40 {
        let plan = FaultPlan::one(1, call, &[Verb::Get], FaultEffect::FailBefore);
        let faulty: Arc<dyn Backend> = Arc::new(FaultyBackend::new(Arc::new(sample.backend.clone()), plan));
        let secret = crate::repository::OpenSecret::KeyFile(secret());
        let opened = Repository::open_without_sync(environment(faulty, 9), &secret);
        let Ok(repository) = opened else { continue };
        let first = check(&repository, &ALL);
        if first.is_ok() || repository.index().reading_since().unwrap().is_none() {
            continue;
        }
        interrupted += 1;
        let good = repository.index().verified().unwrap().iter().filter(|(_, _, ok)| *ok).count() as u64;
        let report = check(&repository, &ALL).unwrap();
        assert_eq!(report.packs_read_before, good, "call {call}");
        assert_eq!(report.packs_read + good, packs.len() as u64, "call {call}");
        assert!(!errors_of(&report, &key.to_string()).is_empty(), "call {call}");
        assert_eq!(repository.index().reading_since().unwrap(), None);
    }
    assert!(interrupted > 0);
}

#[test]
fn a_store_that_does_not_answer_is_an_error_and_not_a_finding() {
    let sample = sample();
    let mut failures = 0;
    for call in (0..90).step_by(4) {
        let verbs = [Verb::Get, Verb::GetRange, Verb::List];
        let plan = FaultPlan::one(1, call, &verbs, FaultEffect::FailForever);
        let faulty: Arc<dyn Backend> = Arc::new(FaultyBackend::new(Arc::new(sample.backend.clone()), plan));
        let secret = crate::repository::OpenSecret::KeyFile(secret());
        let opened = Repository::open_without_sync(environment(faulty, 9), &secret);
        let Ok(repository) = opened else { continue };
        match check(&repository, &ALL) {
            Err(error) => {
                assert!(!error.is_damage(), "{error}");
                failures += 1;
            }
            Ok(report) => assert!(!report.is_damaged(), "call {call}: {:?}", report.findings),
        }
    }
    assert!(failures > 5);
}

#[test]
fn a_short_listing_of_packs_is_no_damage() {
    let sample = sample();
    let mut warned = 0;
    for call in 0..12 {
        let plan = FaultPlan::one(call, call, &[Verb::List], FaultEffect::IncompleteList);
        let faulty: Arc<dyn Backend> = Arc::new(FaultyBackend::new(Arc::new(sample.backend.clone()), plan));
        let secret = crate::repository::OpenSecret::KeyFile(secret());
        let opened = Repository::open_without_sync(environment(faulty, 3), &secret);
        let Ok(repository) = opened else { continue };
        let Ok(report) = check(&repository, &STRUCTURE) else { continue };
        let listed = report.findings.iter().filter(|f| f.what.contains("did not list")).count();
        warned += listed;
        if listed > 0 {
            assert!(!report.is_damaged(), "{:?}", report.findings);
        }
    }
    assert!(warned > 0);
}

#[test]
fn sizes_lists_and_links_that_do_not_agree_are_named() {
    let backend = MemoryBackend::new();
    let repository = new_repository(&backend, 1);
    let good = store_file(&repository, "good", &noise(1, 2_500));
    let long = store_file(&repository, "long", &noise(2, 40_000));
    let NodeKind::File { content: FileContent::Inline(mut chunks), .. } = good.kind.clone() else {
        unreachable!("a short file has no list")
    };
    chunks[0].length_bytes += 1;
    let lied = NodeKind::File { size_bytes: 2_501, class: 0, content: FileContent::Inline(chunks) };
    let NodeKind::File { size_bytes, content: FileContent::List { root, level, chunk_count }, .. } =
        long.kind
    else {
        unreachable!("a long file has a list")
    };
    let list = |size_bytes, chunk_count| NodeKind::File {
        size_bytes,
        class: 0,
        content: FileContent::List { root, level, chunk_count },
    };
    let link = |name: &str, kind: &NodeKind| {
        let mut node = node(name, kind.clone());
        node.link_device = Some(5);
        node
    };
    let nodes = [
        node("count", list(size_bytes, chunk_count + 1)),
        good.clone(),
        node("length", lied),
        link("link-1", &good.kind),
        link("link-2", &good.kind),
        link("link-3", &list(size_bytes, chunk_count)),
        node("size", list(size_bytes + 1, chunk_count)),
    ];
    store_root(&repository, store_directory(&repository, &nodes), 1);
    let report = check(&repository, &STRUCTURE).unwrap();
    let lost: Vec<_> =
        report.losses.named.iter().map(|loss| String::from_utf8(loss.path.clone()).unwrap()).collect();
    assert_eq!(lost, ["/count", "/length", "/link-3", "/size"]);
}
