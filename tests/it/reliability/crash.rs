//! A command may end at any change it makes, before or after that change, and nothing has to be repaired.

use std::sync::Arc;

use snap::backend::faulty::{FaultEffect, FaultPlan, FaultyBackend};

use super::commands::{
    Case, MUTATIONS, add_key_case, backup_case, copy_case, forget_case, prune_case, remove_key_case,
    repair_index_case, takeover_case,
};
use super::world::secret;
use snap::repository::OpenSecret;

/// Bound: changes that one command of these makes at most.
const CHANGES_MAX: u64 = 200;

/// Breaks the command off at every change; `changes_min` says that there is something to break.
fn sweep(case: &Case, changes_min: u64) {
    let (seed, start) = (case.world.seed, case.world.store.state());
    let mut points = 0;
    for call in 0..CHANGES_MAX {
        let mut is_reached = false;
        for effect in [FaultEffect::Stop, FaultEffect::StopAfter, FaultEffect::FailAfter] {
            let context = format!("seed {seed}: {} with {effect:?} at change {call}", case.name);
            let world = case.world.at(start.clone());
            let index = tempfile::tempdir().unwrap();
            let plan = FaultPlan::one(seed, call, &MUTATIONS, effect);
            let faulty = Arc::new(FaultyBackend::new(Arc::new(world.store.clone()), plan));
            let repository = world.open_through(faulty.clone(), Some(index.path())).unwrap();
            let outcome = (case.run)(&world, &repository);
            drop(repository);
            is_reached |= faulty.reached();
            if !faulty.reached() {
                assert_eq!(outcome, Ok(()), "{context}");
                continue;
            }
            points += 1;
            let is_same = world.open(Some(index.path()));
            case.require_whole(&world, &is_same, &context);
            case.require_whole(&world, &world.open(None), &context);
            // The lease of the dead has run out.
            world.wait(1_000);
            assert_eq!((case.run)(&world, &is_same), Ok(()), "{context}, again");
            case.require_whole(&world, &is_same, &context);
            world.require_no_garbage(&context);
            case.require_whole(&world, &world.open(Some(index.path())), &context);
            let opened = world.open(None).reveal_master(&OpenSecret::KeyFile(secret(9)));
            assert!(opened.is_ok(), "{context}: the key is gone");
        }
        if !is_reached {
            println!("seed {seed}: {}: {call} changes, {points} points", case.name);
            assert!(call >= changes_min, "{}: {call} changes", case.name);
            return;
        }
    }
    panic!("{}: more than {CHANGES_MAX} changes", case.name);
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
fn a_repair_of_the_index_may_end_at_any_change() {
    sweep(&repair_index_case(9), 3);
}
