use std::sync::Arc;
use std::time::Duration;

use super::world::{Dice, World, files, options, store_snapshot};
use crate::backend::record::RecordBackend;
use crate::backend::{Backend, ObjectKey, ObjectKind};
use crate::base::parse::Allowance;
use crate::base::{PackId, SnapshotId};
use crate::format::pack::Content;
use crate::maintain::prune::{PruneError, PruneOptions, prune};
use crate::maintain::retention::{Keep, RetentionPolicy};
use crate::repository::{Error, LeaseGuard, Repository};

/// Fails unless exactly what snapshots need is stored: every pack is indexed once, needed whole, and no plan
/// is left.
pub(super) fn require_no_garbage(world: &World, context: &str) {
    let repository = world.open();
    let report = prune(&repository, PruneOptions { dry_run: true, ..options(0) }).unwrap();
    assert_eq!(report.dead.count + report.partly.count + report.pending.count, 0, "{context}: {report:?}");
    assert_eq!((report.orphans.count, report.unused_bytes), (0, 0), "{context}: {report:?}");
    assert_eq!(world.count(ObjectKind::Plan), 0, "{context}");
    assert_eq!(usize::try_from(report.packs.count).unwrap(), world.count(ObjectKind::Pack), "{context}");
    assert!(repository.index().packs_named_twice().unwrap().is_empty(), "{context}");
}

#[test]
fn what_a_kept_snapshot_needs_is_never_lost() {
    for seed in 0..6 {
        println!("seed {seed}");
        let (world, dice) = (World::new(seed), Dice::new(seed));
        for round in 0..6 {
            for _ in 0..1 + dice.below(3) {
                world.backup(&dice.files());
            }
            let ids: Vec<SnapshotId> = world.snapshots.lock().unwrap().keys().copied().collect();
            let gone: Vec<SnapshotId> = ids.into_iter().filter(|_| dice.below(3) == 0).collect();
            world.forget(&gone);
            let grace = u64::from(dice.below(3) * 500);
            let max_unused = [Allowance::Bytes(0), Allowance::Unlimited][dice.below(2) as usize];
            prune(&world.open(), PruneOptions { max_unused, ..options(grace) }).unwrap();
            world.require_whole(&format!("seed {seed} round {round}"));
            world.wait(i64::from(dice.below(900)));
        }
        world.wait(10_000);
        prune(&world.open(), options(0)).unwrap();
        world.require_whole("end");
        require_no_garbage(&world, "end");
    }
}

#[test]
fn after_forgetting_all_but_one_the_store_is_as_small_as_a_fresh_one() {
    let world = World::new(1);
    let dice = Dice::new(1);
    let ids: Vec<SnapshotId> = (0..5).map(|_| world.backup(&dice.files())).collect();
    let kept = world.snapshots.lock().unwrap()[&ids[2]].clone();
    let all = |world: &World| world.stored_bytes(ObjectKind::Pack) + world.stored_bytes(ObjectKind::Index);
    let before = all(&world);
    world.forget(&[&ids[..2], &ids[3..]].concat());
    let report = prune(&world.open(), options(0)).unwrap();
    let fresh = World::new(2);
    fresh.backup(&kept);
    let (now, ideal) = (world.stored_bytes(ObjectKind::Pack), fresh.stored_bytes(ObjectKind::Pack));
    // Blocks of several packs do not merge: each may cost its overhead again.
    assert!(now <= ideal + ideal / 20 + 2_000, "{now} bytes instead of {ideal}");
    assert!(report.deleted.count > 0 && report.freed_bytes() > 0);
    assert_eq!(report.freed_bytes(), before - all(&world));
    world.require_whole("after");
    require_no_garbage(&world, "after");
}

#[test]
fn nothing_is_deleted_before_its_grace_has_passed() {
    let world = World::new(3);
    world.backup(&files(&[("a", &[1, 2, 3])]));
    let gone = world.backup(&files(&[("a", &[4, 5, 6])]));
    world.forget(&[gone]);
    let packs = world.store.list(ObjectKind::Pack).unwrap();
    let report = prune(&world.open(), options(1000)).unwrap();
    let planned_at = world.now();
    assert!(report.dead.count > 0 && report.deleted.count == 0);
    assert_eq!(report.pending_plans[0].until.seconds, planned_at + 1000);
    for _ in 0..3 {
        world.set_time(world.now().max(planned_at + 990));
        prune(&world.open(), options(1000)).unwrap();
        assert_eq!(world.store.list(ObjectKind::Pack).unwrap(), packs);
    }
    assert_eq!(world.count(ObjectKind::Plan), 1, "what waits is not planned again");
    world.set_time(planned_at + 1000);
    let foretold = prune(&world.open(), PruneOptions { dry_run: true, ..options(1000) }).unwrap();
    assert_eq!(world.store.list(ObjectKind::Pack).unwrap(), packs);
    let report = prune(&world.open(), options(1000)).unwrap();
    assert!(report.deleted.count > 0 && report.pending_plans.is_empty());
    assert_eq!((foretold.deleted, foretold.pending_plans.len()), (report.deleted, 0));
    world.require_whole("after");
    require_no_garbage(&world, "after");
}

#[test]
fn without_a_grace_what_an_earlier_plan_holds_back_goes_at_once() {
    let world = World::new(12);
    world.backup(&files(&[("a", &[1, 2, 3])]));
    let gone = world.backup(&files(&[("a", &[4, 5, 6])]));
    world.forget(&[gone]);
    let waiting = prune(&world.open(), options(100_000)).unwrap();
    assert_eq!((waiting.deleted.count, waiting.pending_plans.len()), (0, 1));
    let report = prune(&world.open(), options(0)).unwrap();
    assert_eq!((report.deleted, report.pending_plans.len()), (waiting.dead, 0));
    world.require_whole("after");
    require_no_garbage(&world, "after");
}

#[test]
fn a_planned_pack_that_a_snapshot_needs_again_is_rescued() {
    let world = World::new(4);
    let gone = world.backup(&files(&[("a", &[1, 2, 3])]));
    // A backup that looked its chunks up before they were planned, and ends after.
    let repository = world.open();
    world.forget(&[gone]);
    prune(&world.open(), options(1000)).unwrap();
    let id = store_snapshot(&repository, &files(&[("b", &[1, 2, 3])]));
    world.snapshots.lock().unwrap().insert(id, files(&[("b", &[1, 2, 3])]));
    world.wait(2000);
    let report = prune(&world.open(), options(1000)).unwrap();
    assert!(report.rescued.count > 0, "{report:?}");
    assert!(report.pending_plans.is_empty());
    assert!(world.open().index().packs().unwrap().iter().all(|pack| !pack.pending));
    world.require_whole("after");
}

#[test]
fn a_dry_run_changes_nothing_and_foretells_what_is_done() {
    let world = World::new(5);
    let dice = Dice::new(5);
    for _ in 0..4 {
        world.backup(&dice.files());
    }
    let policy = RetentionPolicy { last: Some(Keep::N(2)), ..RetentionPolicy::default() };
    let store = Arc::new(RecordBackend::new(Arc::new(world.store.clone())));
    let dry = PruneOptions { dry_run: true, policy: policy.clone(), ..options(0) };
    let foretold = prune(&world.open_through(store.clone()).unwrap(), dry).unwrap();
    assert_eq!(store.mutations(), Vec::new());
    let done = prune(&world.open(), PruneOptions { policy, ..options(0) }).unwrap();
    assert_eq!((foretold.dropped, done.dropped), (2, 2));
    assert_eq!((&foretold.groups, foretold.repacked), (&done.groups, done.repacked));
    assert_eq!((foretold.dead, foretold.partly), (done.dead, done.partly));
    assert!(done.dead.count + done.partly.count > 0);
}

#[test]
fn of_two_prunes_at_once_one_is_locked_out() {
    let world = World::new(6);
    let repository = world.open();
    let held = LeaseGuard::acquire(&repository, "prune", Duration::ZERO).unwrap();
    let refused = prune(&world.open(), options(0));
    assert!(matches!(refused, Err(PruneError::Repository(Error::Locked { .. }))), "{refused:?}");
    drop(held);
    prune(&world.open(), options(0)).unwrap();
}

#[test]
fn a_policy_that_keeps_nothing_is_refused_unless_it_is_meant() {
    let world = World::new(7);
    world.backup(&files(&[("a", &[1])]));
    let policy = RetentionPolicy { tags: vec![vec!["none".to_owned()]], ..RetentionPolicy::default() };
    let asked = PruneOptions { policy, ..options(0) };
    let refused = prune(&world.open(), asked.clone());
    assert!(matches!(refused, Err(PruneError::DropsAll { count: 1, .. })), "{refused:?}");
    world.require_whole("refused");
    prune(&world.open(), PruneOptions { allow_empty: true, ..asked }).unwrap();
    assert_eq!((world.count(ObjectKind::Snapshot), world.count(ObjectKind::Pack)), (0, 0));
}

/// Applies `damage`, and returns what prune says to it. Nothing but leases may have changed.
fn refusal(damage: impl Fn(&World, &Repository)) -> PruneError {
    let world = World::new(8);
    let gone = world.backup(&files(&[("a", &[1, 2, 3])]));
    world.backup(&files(&[("a", &[1, 2, 4])]));
    world.forget(&[gone]);
    damage(&world, &world.open());
    let stored = |world: &World| {
        let objects = world.store.objects().into_iter();
        objects.filter(|(key, _)| key.kind() != ObjectKind::Lock).collect::<Vec<_>>()
    };
    let before = stored(&world);
    let error = prune(&world.open(), options(0)).unwrap_err();
    assert_eq!(stored(&world), before, "{error}");
    error
}

#[test]
fn damage_is_refused_before_anything_is_deleted() {
    let first = |world: &World, kind| world.store.list(kind).unwrap()[0].key.clone();
    let error = refusal(|world, _| {
        world.store.overwrite(&first(world, ObjectKind::Snapshot), bytes::Bytes::from_static(b"x"));
    });
    assert!(matches!(error, PruneError::UnreadableSnapshot { .. }), "{error}");
    let error = refusal(|world, _| {
        world.store.overwrite(&first(world, ObjectKind::Index), bytes::Bytes::from_static(b"x"));
    });
    assert!(matches!(error, PruneError::DamagedIndex { .. }), "{error}");
    for content in [Content::Data, Content::Tree] {
        refusal(|world, repository| {
            packs(repository, content).iter().for_each(|key| world.store.delete(key).unwrap());
        });
    }
    let error = refusal(|world, repository| {
        for id in repository.index().index_ids().unwrap() {
            world.store.delete(&ObjectKey::index(&id)).unwrap();
        }
    });
    assert!(matches!(error, PruneError::Repository(_)), "{error}");
}

fn packs(repository: &Repository, content: Content) -> Vec<ObjectKey> {
    let packs = repository.index().packs().unwrap();
    packs.iter().filter(|pack| pack.content == content).map(|pack| ObjectKey::pack(&pack.id)).collect()
}

#[test]
fn a_needed_pack_that_is_lost_after_it_was_indexed_is_named_before_anything_is_deleted() {
    for (expected, is_gone) in [("is gone", true), ("has another size", false)] {
        let world = World::new(13);
        let gone = world.backup(&files(&[("a", &[1, 2, 3])]));
        world.backup(&files(&[("a", &[1, 2, 4])]));
        world.forget(&[gone]);
        let repository = world.open();
        let keys = packs(&repository, Content::Data);
        let lost = keys.last().unwrap();
        let bytes = world.store.get(lost, u64::MAX).unwrap();
        match is_gone {
            true => world.store.delete(lost).unwrap(),
            false => world.store.overwrite(lost, bytes.slice(..bytes.len() - 1)),
        }
        let before = world.store.list(ObjectKind::Pack).unwrap();
        let error = prune(&repository, options(0)).unwrap_err();
        assert!(matches!(error, PruneError::PackLost { reason, .. } if reason == expected), "{error}");
        assert_eq!(world.store.list(ObjectKind::Pack).unwrap(), before);
    }
}

#[test]
fn packs_that_nobody_indexed_go_when_they_are_older_than_the_grace() {
    let world = World::new(9);
    world.backup(&files(&[("a", &[1])]));
    let stray = PackId([7; 32]);
    world.store.put_new(&ObjectKey::pack(&stray), bytes::Bytes::from_static(b"left by a crash")).unwrap();
    let is_there = || world.store.stat(&ObjectKey::pack(&stray)).is_ok();
    let report = prune(&world.open(), options(1000)).unwrap();
    assert_eq!((report.orphans.count, report.pending_plans.len(), is_there()), (1, 0, true));
    world.wait(1001);
    let report = prune(&world.open(), options(1000)).unwrap();
    assert_eq!((report.orphans.count, report.pending_plans.len(), is_there()), (1, 1, true));
    world.wait(1001);
    prune(&world.open(), options(1000)).unwrap();
    assert!(!is_there());
    require_no_garbage(&world, "after");
    world.store.put_new(&ObjectKey::pack(&stray), bytes::Bytes::from_static(b"left by a crash")).unwrap();
    prune(&world.open(), options(0)).unwrap();
    assert!(!is_there());
    world.require_whole("after");
}

#[test]
fn many_small_packs_and_index_objects_become_few_and_stay_so() {
    let world = World::new(10);
    for number in 0..40 {
        world.backup(&files(&[("a", &[number, number + 1])]));
    }
    assert_eq!((world.count(ObjectKind::Pack), world.count(ObjectKind::Index)), (80, 40));
    prune(&world.open(), options(0)).unwrap();
    assert_eq!((world.count(ObjectKind::Pack), world.count(ObjectKind::Index)), (2, 1));
    world.require_whole("merged");
    require_no_garbage(&world, "merged");
    let report = prune(&world.open(), options(0)).unwrap();
    assert_eq!((report.repacked.count, report.indexes_written.count), (0, 0));
}

#[test]
fn waste_stays_as_long_as_it_is_allowed_and_repacking_is_bounded() {
    let world = World::new(11);
    let gone = world.backup(&files(&[("a", &[1, 2, 3, 4, 5, 6])]));
    world.backup(&files(&[("a", &[4, 5, 6])]));
    world.forget(&[gone]);
    let allowed = PruneOptions { max_unused: Allowance::Unlimited, ..options(0) };
    let report = prune(&world.open(), allowed).unwrap();
    assert_eq!((report.repacked.count, report.partly.count), (0, 1));
    assert!(report.unused_bytes > 5_000);
    let bounded = PruneOptions { max_repack: Allowance::Bytes(1), ..options(0) };
    assert_eq!(prune(&world.open(), bounded).unwrap().repacked.count, 0);
    let report = prune(&world.open(), options(0)).unwrap();
    assert_eq!((report.repacked.count, report.unused_bytes), (1, 0));
    world.require_whole("after");
    require_no_garbage(&world, "after");
}
