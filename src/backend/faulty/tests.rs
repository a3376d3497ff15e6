//! What each effect does to a store in memory.

use super::*;
use crate::backend::memory::MemoryBackend;
use crate::base::IndexId;

fn key(n: u8) -> ObjectKey {
    ObjectKey::index(&IndexId([n; 32]))
}

fn faulty(plan: FaultPlan) -> (MemoryBackend, FaultyBackend) {
    let memory = MemoryBackend::new();
    (memory.clone(), FaultyBackend::new(Arc::new(memory), plan))
}

#[test]
fn a_failure_before_leaves_nothing_and_one_after_leaves_the_object() {
    for (effect, objects) in [(FaultEffect::FailBefore, 0), (FaultEffect::FailAfter, 1)] {
        let (memory, store) = faulty(FaultPlan::one(1, 0, &[Verb::PutNew], effect));
        store.list(ObjectKind::Index).unwrap();
        store.put_new(&key(1), Bytes::from_static(b"x")).unwrap_err();
        assert_eq!(memory.objects().len(), objects, "{effect:?}");
        store.put_new(&key(2), Bytes::from_static(b"x")).unwrap();
        assert_eq!(store.calls(), 3);
    }
}

#[test]
fn a_stopped_store_never_answers_again_and_a_dead_verb_neither() {
    let (memory, store) = faulty(FaultPlan::stop_after(1));
    store.put_new(&key(1), Bytes::from_static(b"x")).unwrap();
    store.put_new(&key(2), Bytes::from_static(b"x")).unwrap_err();
    store.get(&key(1), 9).unwrap_err();
    assert!(store.stopped() && memory.objects().len() == 1);

    let (_, store) = faulty(FaultPlan::one(1, 1, &[Verb::Stat], FaultEffect::FailForever));
    store.put_new(&key(1), Bytes::from_static(b"x")).unwrap();
    store.stat(&key(1)).unwrap();
    for _ in 0..3 {
        store.stat(&key(1)).unwrap_err();
    }
    store.get(&key(1), 9).unwrap();
}

#[test]
fn reads_and_listings_are_spoiled_once_and_the_same_way_for_the_same_seed() {
    let data = Bytes::from_static(b"some bytes to spoil");
    let read = |effect| {
        let (_, store) = faulty(FaultPlan::one(5, 0, &[Verb::Get, Verb::List], effect));
        for n in 1..=3 {
            store.put_new(&key(n), data.clone()).unwrap();
        }
        store
    };
    let short = read(FaultEffect::ShortRead);
    assert_eq!(short.get(&key(1), 99).unwrap(), data.slice(..data.len() - 1));
    assert_eq!(short.get(&key(1), 99).unwrap(), data);
    let flipped = read(FaultEffect::FlippedRead).get(&key(1), 99).unwrap();
    let bits: u32 = flipped.iter().zip(&data).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!(bits, 1);
    assert_eq!(flipped, read(FaultEffect::FlippedRead).get(&key(1), 99).unwrap());
    let store = read(FaultEffect::IncompleteList);
    assert_eq!(store.list(ObjectKind::Index).unwrap().len(), 2);
    assert_eq!(store.list(ObjectKind::Index).unwrap().len(), 3);
    assert_eq!(read(FaultEffect::DoubledList).list(ObjectKind::Index).unwrap().len(), 4);
}

#[test]
fn a_put_may_be_lost_or_misnamed_or_the_last_thing_that_happens() {
    let put = |effect| {
        let (memory, store) = faulty(FaultPlan::one(1, 0, &[Verb::PutNew], effect));
        let outcome = store.put_new(&key(1), Bytes::from_static(b"x"));
        (outcome.ok(), memory.objects().len(), store.stopped(), store.reached())
    };
    assert_eq!(put(FaultEffect::LostPut), (Some(PutOutcome::Created), 0, false, true));
    assert_eq!(put(FaultEffect::FalseExisted), (Some(PutOutcome::Existed), 1, false, true));
    assert_eq!(put(FaultEffect::StopAfter), (None, 1, true, true));
}

#[test]
fn plans_from_seeds_cover_every_effect() {
    let drawn: Vec<_> = (0..200).map(|seed| FaultPlan::from_seed(seed, 10)).collect();
    for effect in FaultEffect::ALL {
        assert!(drawn.iter().any(|plan| plan.faults[0].effect == effect), "{effect:?}");
    }
    assert_eq!(FaultPlan::from_seed(9, 10), drawn[9]);
    assert!(drawn.iter().all(|plan| plan.faults[0].call < 10));
}

#[test]
fn a_slow_call_does_its_work_and_time_passes() {
    for (effect, answers) in [(FaultEffect::TimeOut, false), (FaultEffect::Throttle, true)] {
        let memory = MemoryBackend::new();
        let passed = Arc::new(AtomicU64::new(0));
        let clock = passed.clone();
        let store =
            FaultyBackend::new(Arc::new(memory.clone()), FaultPlan::one(1, 0, &[Verb::PutNew], effect))
                .passing_time(move |seconds| {
                    clock.fetch_add(seconds, Ordering::SeqCst);
                });
        assert_eq!(store.put_new(&key(1), Bytes::from_static(b"x")).is_ok(), answers, "{effect:?}");
        assert_eq!((memory.objects().len(), passed.load(Ordering::SeqCst)), (1, LONG_SECONDS), "{effect:?}");
    }
}

#[test]
fn a_full_store_deletes_and_one_that_may_not_be_changed_only_reads() {
    for (effect, kind, deletes) in [
        (FaultEffect::Full, ErrorKind::Full, true),
        (FaultEffect::ReadOnly, ErrorKind::PermissionDenied, false),
    ] {
        let (_, store) = faulty(FaultPlan::one(1, 1, &[Verb::PutNew], effect));
        let lock = ObjectKey::lock("x").unwrap();
        store.put_new(&key(1), Bytes::from_static(b"x")).unwrap();
        for _ in 0..2 {
            assert_eq!(store.put_new(&key(2), Bytes::from_static(b"x")).unwrap_err().kind, kind);
            assert_eq!(store.replace(&lock, Bytes::from_static(b"x"), None).unwrap_err().kind, kind);
        }
        store.get(&key(1), 9).unwrap();
        assert_eq!(store.delete(&key(1)).is_ok(), deletes, "{effect:?}");
    }
}

#[test]
fn old_data_is_what_was_there_at_the_first_question() {
    let at = |verb, call| {
        let (_, store) = faulty(FaultPlan::one(1, call, &[verb], FaultEffect::OldData));
        assert!(store.list(ObjectKind::Index).unwrap().is_empty());
        assert!(store.get_versioned(&ObjectKey::lock("x").unwrap()).unwrap().is_none());
        store.put_new(&key(1), Bytes::from_static(b"x")).unwrap();
        store.replace(&ObjectKey::lock("x").unwrap(), Bytes::from_static(b"x"), None).unwrap();
        store
    };
    let store = at(Verb::List, 1);
    assert!(store.list(ObjectKind::Index).unwrap().is_empty());
    assert_eq!(store.list(ObjectKind::Index).unwrap().len(), 1);
    let store = at(Verb::Get, 0);
    assert_eq!(store.get(&key(1), 9).unwrap_err().kind, ErrorKind::NotFound);
    store.get(&key(1), 9).unwrap();
    let store = at(Verb::GetVersioned, 1);
    let lock = ObjectKey::lock("x").unwrap();
    assert!(store.get_versioned(&lock).unwrap().is_none());
    assert!(store.get_versioned(&lock).unwrap().is_some());
}
