//! A command may end at any change it makes, before or after that change, and nothing has to be repaired.

use std::path::Path;
use std::sync::Arc;

use snap::backend::Backend;
use snap::backend::faulty::{FaultEffect, FaultPlan, FaultyBackend};
use snap::backend::record::Verb;
use snap::repository::{OpenSecret, Repository};

use super::commands::{
    Case, MUTATIONS, add_key_case, backup_case, change_key_case, copy_case, forget_case, prune_case,
    remove_key_case, repair_index_case, takeover_case,
};
use super::world::{Outcome, World, secret};

/// Bound: changes that one command of these makes at most.
const CHANGES_MAX: u64 = 200;

/// Returns a store of `world` that is as it should be.
pub(super) fn plain(world: &World) -> Arc<dyn Backend> {
    Arc::new(world.store.clone())
}

/// Returns a store of `world` that has space for one pack more, and for what is small.
fn nearly_full(world: &World) -> Arc<dyn Backend> {
    let plan = FaultPlan::one(world.seed, 1, &[Verb::PutNew], FaultEffect::NearlyFull);
    world.faulty(plan)
}

/// Runs `run` anew, on what `store` gives of a world, and breaks it off at every change it makes, until it
/// makes no more. `broken` gets the world that is left and the folder of the local index, `ended` the world
/// of a run that was not broken off.
/// Returns how many changes there are, at most `changes_max`.
pub(super) fn at_every_change(
    name: &str,
    world: &World,
    changes_max: u64,
    store: &dyn Fn(&World) -> Arc<dyn Backend>,
    run: &dyn Fn(&World, &Arc<Repository>) -> Outcome,
    broken: &dyn Fn(&World, &Path, &str),
    ended: &dyn Fn(&World, &str),
) -> u64 {
    let (seed, start) = (world.seed, world.store.state());
    let mut points = 0;
    for call in 0..changes_max {
        let mut is_reached = false;
        for effect in [FaultEffect::Stop, FaultEffect::StopAfter, FaultEffect::FailAfter] {
            let context = format!("seed {seed}: {name} with {effect:?} at change {call}");
            let world = world.at(start.clone());
            let index = tempfile::tempdir().unwrap();
            let plan = FaultPlan::one(seed, call, &MUTATIONS, effect);
            let faulty = Arc::new(FaultyBackend::new(store(&world), plan));
            let repository = world.open_through(faulty.clone(), Some(index.path())).unwrap();
            let outcome = run(&world, &repository);
            drop(repository);
            if faulty.reached() {
                (is_reached, points) = (true, points + 1);
                broken(&world, index.path(), &context);
            } else {
                assert_eq!(outcome, Ok(()), "{context}");
                ended(&world, &context);
            }
        }
        if !is_reached {
            println!("seed {seed}: {name}: {call} changes, {points} points");
            return call;
        }
    }
    panic!("{name}: more than {changes_max} changes");
}

/// Breaks the command off at every change; `changes_min` says that there is something to break.
fn sweep(case: &Case, changes_min: u64) {
    sweep_on(&plain, case, changes_min);
}

fn sweep_on(store: &dyn Fn(&World) -> Arc<dyn Backend>, case: &Case, changes_min: u64) {
    let broken = |world: &World, index: &Path, context: &str| {
        let is_same = world.open(Some(index));
        case.require_whole(world, &is_same, context);
        case.require_whole(world, &world.open(None), context);
        // The lease of the dead has run out.
        world.wait(1_000);
        assert_eq!((case.run)(world, &is_same), Ok(()), "{context}, again");
        case.require_whole(world, &is_same, context);
        world.require_no_garbage(context);
        case.require_whole(world, &world.open(Some(index)), context);
        let opened = world.open(None).reveal_master(&OpenSecret::KeyFile(secret(9)));
        assert!(opened.is_ok(), "{context}: the key is gone");
        assert!((case.holds)(&is_same), "{context}: it succeeded and did nothing");
    };
    let (name, run) = (case.name, &case.run);
    let changes = at_every_change(name, &case.world, CHANGES_MAX, store, run, &broken, &|_, _| {});
    assert!(changes >= changes_min, "{}: {changes} changes", case.name);
}

#[test]
fn a_backup_may_end_at_any_change() {
    sweep(&backup_case(1), 4);
}

#[test]
fn a_forget_may_end_at_any_change() {
    sweep(&forget_case(2), 2);
}

#[test]
fn a_prune_of_based_blocks_may_end_at_any_change() {
    sweep(&prune_case(3, 0), 10);
}

#[test]
fn a_prune_of_based_blocks_with_grace_may_end_at_any_change() {
    sweep(&prune_case(4, 100), 6);
}

#[test]
fn a_prune_that_takes_over_from_a_dead_one_may_end_at_any_change() {
    sweep(&takeover_case(5), 6);
}

#[test]
fn a_prune_without_space_for_packs_may_end_at_any_change() {
    sweep_on(&nearly_full, &prune_case(10, 0), 10);
}

#[test]
fn a_copy_may_end_at_any_change() {
    sweep(&copy_case(6), 4);
}

#[test]
fn adding_a_key_may_end_at_any_change() {
    sweep(&add_key_case(7), 1);
}

#[test]
fn removing_a_key_may_end_at_any_change() {
    sweep(&remove_key_case(8), 3);
}

#[test]
fn changing_a_key_may_end_at_any_change() {
    sweep(&change_key_case(10), 4);
}

#[test]
fn a_repair_of_the_index_may_end_at_any_change() {
    sweep(&repair_index_case(9), 3);
}
