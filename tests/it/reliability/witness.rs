//! A host notices a store that was put back, emptied or exchanged, and takes nothing else for that.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use snap::backend::faulty::{FaultEffect, FaultPlan};
use snap::backend::memory::MemoryState;
use snap::backend::record::Verb;
use snap::backend::{Backend, ObjectKey, ObjectKind};
use snap::base::{SnapshotId, SystemEntropy};
use snap::maintain::forget::forget;
use snap::maintain::prune::{PruneOptions, prune};
use snap::maintain::repair::{RepairIndexOptions, repair_index};
use snap::maintain::retention::{Keep, RetentionPolicy};
use snap::repository::witness::{Contradiction, Witness};
use snap::repository::{Error, Repository};

use super::world::{Dice, World, prune_options, secret};

/// What a host remembers in `state`.
pub(super) fn witness(state: &Path) -> Witness {
    Witness::new(state, "memory")
}

/// Looks at `repository` as a host does that remembers in `state`, and remembers what does not contradict it.
pub(super) fn remember(state: &Path, repository: &Repository) -> Result<Option<Contradiction>, Error> {
    let witness = witness(state);
    let look = witness.look(repository, witness.known().unwrap().as_ref())?;
    if look.contradiction.is_none() {
        witness.keep(look.seen, &SystemEntropy).unwrap();
    }
    Ok(look.contradiction)
}

/// What a store holds that a host can see without reading packs.
fn shown(world: &World) -> (BTreeSet<SnapshotId>, Vec<u8>) {
    let infos = world.store.list(ObjectKind::Snapshot).unwrap();
    let lease = world.store.get_versioned(&ObjectKey::lock("maintenance").unwrap()).unwrap();
    let ids = infos.iter().map(|info| SnapshotId(info.key.id_bytes().unwrap())).collect();
    (ids, lease.map(|lease| lease.data.to_vec()).unwrap_or_default())
}

/// Does something that a host does.
fn work(world: &mut World, dice: &Dice) {
    world.wait(60);
    let ids: Vec<SnapshotId> = world.model.keys().copied().collect();
    match dice.below(8) {
        0..=3 => drop(world.backup(&dice.files())),
        4 if !ids.is_empty() => world.forget(&ids[dice.below(ids.len() as u64) as usize..][..1]),
        5 => {
            let policy = RetentionPolicy { last: Some(Keep::N(2)), ..RetentionPolicy::default() };
            let options = PruneOptions { policy, ..prune_options(100) };
            prune(&world.open(None), options).unwrap();
            let left = shown(world).0;
            world.model.retain(|id, _| left.contains(id));
        }
        6 => {
            let options = RepairIndexOptions { dry_run: false, lock_wait: Duration::ZERO };
            repair_index(&world.open(None), &options).unwrap();
        }
        _ => {
            let repository = world.open(None);
            let id = repository.add_key(&world.key().1, &secret(3), "second").unwrap();
            repository.remove_key(&id, Duration::ZERO).unwrap();
        }
    }
}

#[test]
fn every_earlier_state_in_which_a_snapshot_or_a_lease_is_another_is_noticed() {
    let (mut states, mut noticed) = (0, 0);
    for seed in 51..55 {
        println!("seed {seed}");
        let (mut world, dice) = (World::new(seed), Dice::new(seed));
        let state = tempfile::tempdir().unwrap();
        let mut earlier: Vec<MemoryState> = Vec::new();
        for step in 0..14 {
            // Others work too, and this host does not look each time.
            earlier.push(world.store.state());
            work(&mut world, &dice);
            if dice.below(2) == 0 {
                let found = remember(state.path(), &world.open(None)).unwrap();
                assert_eq!(found, None, "seed {seed}, step {step}");
            }
        }
        assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None, "seed {seed}");
        earlier.push(world.store.state());
        for (number, old) in earlier.into_iter().enumerate() {
            let back = world.at(old);
            let is_noticed = remember(state.path(), &back.open(None)).unwrap().is_some();
            assert_eq!(is_noticed, shown(&back) != shown(&world), "seed {seed}, state {number}");
            (states, noticed) = (states + 1, noticed + u64::from(is_noticed));
        }
        // None of that made it forget.
        assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None, "seed {seed}");
    }
    println!("{states} states, {noticed} noticed");
    assert!(noticed > states / 2);
}

/// A world of three snapshots, and the state of a host that saw them.
fn seen() -> (World, Vec<SnapshotId>, tempfile::TempDir) {
    let (mut world, dice) = (World::new(61), Dice::new(61));
    let ids = (0..3).map(|_| world.backup(&dice.files())).collect();
    let state = tempfile::tempdir().unwrap();
    assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None);
    (world, ids, state)
}

#[test]
fn a_snapshot_that_only_the_store_deleted_is_noticed_until_that_is_accepted() {
    let (world, ids, state) = seen();
    world.store.delete(&ObjectKey::snapshot(&ids[1])).unwrap();
    let expected = Some(Contradiction::SnapshotsGone { count: 1, example: ids[1] });
    for _ in 0..2 {
        assert_eq!(remember(state.path(), &world.open(None)).unwrap(), expected);
    }
    let witness = witness(state.path());
    let look = witness.look(&world.open(None), None).unwrap();
    witness.accept(look.seen, &SystemEntropy).unwrap();
    assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None);
}

#[test]
fn a_snapshot_that_was_dropped_and_is_put_back_is_noticed() {
    let (mut world, ids, state) = seen();
    let key = ObjectKey::snapshot(&ids[0]);
    let stored = world.store.get(&key, 1 << 20).unwrap();
    world.forget(&ids[..1]);
    assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None);
    world.store.put_new(&key, stored).unwrap();
    let expected = Some(Contradiction::SnapshotsBack { count: 1, example: ids[0] });
    assert_eq!(remember(state.path(), &world.open(None)).unwrap(), expected);
}

#[test]
fn an_own_snapshot_counts_as_seen_before_the_next_look() {
    let (mut world, _, state) = seen();
    let id = world.backup(&Dice::new(62).files());
    witness(state.path()).add(id, world.now(), &SystemEntropy).unwrap();
    world.store.delete(&ObjectKey::snapshot(&id)).unwrap();
    let expected = Some(Contradiction::SnapshotsGone { count: 1, example: id });
    assert_eq!(remember(state.path(), &world.open(None)).unwrap(), expected);
}

#[test]
fn another_repository_in_its_place_is_noticed() {
    let (world, _, state) = seen();
    let other = world.beside(63);
    let found = remember(state.path(), &other.open(None)).unwrap();
    let (known, found_there) = (world.key().0, Some(other.key().0));
    assert_eq!(found, Some(Contradiction::Replaced { known, found: found_there }));
}

#[test]
fn a_lease_that_vanished_or_cannot_be_read_is_noticed_and_one_that_was_freed_by_force_is_not() {
    let (mut world, ids, state) = seen();
    world.forget(&ids[..1]);
    assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None);
    world.open(None).break_lease().unwrap();
    assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None);
    let key = ObjectKey::lock("maintenance").unwrap();
    world.store.delete(&key).unwrap();
    assert_eq!(remember(state.path(), &world.open(None)).unwrap(), Some(Contradiction::LeaseOlder));
    world.store.replace(&key, b"garbage".to_vec().into(), None).unwrap();
    assert_eq!(remember(state.path(), &world.open(None)).unwrap(), Some(Contradiction::LeaseOlder));
}

#[test]
fn a_forget_that_was_broken_off_or_ran_beside_a_prune_raises_no_alarm() {
    for call in 0..8 {
        let (world, ids, state) = seen();
        let plan = FaultPlan::one(1, call, &super::commands::MUTATIONS, FaultEffect::StopAfter);
        let faulty = world.faulty(plan);
        let repository = world.open_through(faulty, None).unwrap();
        let _ = forget(&repository, &ids[..2], false);
        assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None, "change {call}");
    }
    let (mut world, ids, state) = seen();
    let guard = snap::repository::LeaseGuard::acquire(&world.open(None), "prune", Duration::ZERO).unwrap();
    assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None);
    world.forget(&ids[..1]);
    assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None);
    drop(guard);
    assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None);
}

#[test]
fn one_wrong_answer_after_a_forget_elsewhere_raises_no_alarm() {
    let (mut world, ids, state) = seen();
    world.forget(&ids[..1]);
    let witness = witness(state.path());
    let known = witness.known().unwrap();
    let mut looks = 0;
    for effect in [FaultEffect::FlippedRead, FaultEffect::ShortRead, FaultEffect::IncompleteList] {
        for call in 0..24 {
            let plan = FaultPlan::one(call, call, &[], effect);
            let faulty = world.faulty(plan);
            let Ok(repository) = world.open_through(faulty.clone(), None) else { continue };
            let opened = faulty.reached();
            let Ok(look) = witness.look(&repository, known.as_ref()) else { continue };
            assert_eq!(look.contradiction, None, "{effect:?} at call {call}");
            looks += u64::from(!opened && faulty.reached());
        }
    }
    println!("{looks} looks with a wrong answer");
    assert!(looks > 3, "{looks}");
}

#[test]
fn an_old_listing_after_an_own_forget_raises_no_alarm_then_or_later() {
    let mut looks = 0;
    for call in 0..40 {
        let (world, ids, state) = seen();
        let plan = FaultPlan::one(call, call, &[Verb::List], FaultEffect::OldData);
        let faulty = world.faulty(plan);
        let repository = world.open_through(faulty.clone(), None).unwrap();
        assert_eq!(remember(state.path(), &repository).unwrap(), None, "list {call}");
        forget(&repository, &ids[..1], false).unwrap();
        let before = faulty.reached();
        for _ in 0..3 {
            assert_eq!(remember(state.path(), &repository).unwrap(), None, "list {call}");
        }
        looks += u64::from(!before && faulty.reached());
        assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None, "after list {call}");
    }
    assert!(looks > 2, "{looks}");
}

#[test]
fn an_old_first_listing_is_not_taken_for_what_is_there() {
    let (mut world, _, _) = seen();
    let mut looks = 0;
    for call in 0..8 {
        let state = tempfile::tempdir().unwrap();
        let id = world.backup(&Dice::new(call).files());
        let plan = FaultPlan::one(call, call, &[Verb::List], FaultEffect::OldData);
        let faulty = world.faulty(plan);
        let repository = world.open_through(faulty.clone(), None).unwrap();
        repository.snapshot_ids().unwrap();
        world.forget(&[id]);
        let before = faulty.reached();
        assert_eq!(remember(state.path(), &repository).unwrap(), None, "list {call}");
        looks += u64::from(!before && faulty.reached());
        assert_eq!(remember(state.path(), &world.open(None)).unwrap(), None, "after list {call}");
    }
    assert!(looks > 0, "{looks}");
}

#[test]
fn one_wrong_listing_raises_no_alarm_and_is_not_taken_for_a_forget() {
    let (world, ids, state) = seen();
    let mut looks = 0;
    for call in 0..12 {
        let plan = FaultPlan::one(call, call, &[Verb::List], FaultEffect::IncompleteList);
        let faulty = world.faulty(plan);
        // A listing of no config is no repository.
        let Ok(repository) = world.open_through(faulty, None) else { continue };
        assert_eq!(remember(state.path(), &repository).unwrap(), None, "list {call}");
        looks += 1;
    }
    assert!(looks > 8, "{looks}");
    world.store.delete(&ObjectKey::snapshot(&ids[2])).unwrap();
    assert!(remember(state.path(), &world.open(None)).unwrap().is_some());
}
