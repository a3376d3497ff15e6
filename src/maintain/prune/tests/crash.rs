//! A prune that ends at any change it makes leaves every snapshot whole, and the next one cleans up.

use std::sync::Arc;

use super::laws::require_no_garbage;
use super::world::{Dice, World, options};
use crate::backend::faulty::{Fault, FaultEffect, FaultPlan, FaultyBackend};
use crate::backend::record::{RecordBackend, Verb};
use crate::base::SnapshotId;
use crate::maintain::prune::prune;

const MUTATIONS: [Verb; 3] = [Verb::PutNew, Verb::Delete, Verb::Replace];

/// A store with dead, partly dead, needed and planned packs.
fn busy_world(seed: u64) -> World {
    let (world, dice) = (World::new(seed), Dice::new(seed));
    let mut ids: Vec<SnapshotId> = (0..3).map(|_| world.backup(&dice.files())).collect();
    world.forget(&[ids.remove(0)]);
    prune(&world.open(), options(100)).unwrap();
    ids.extend((0..3).map(|_| world.backup(&dice.files())));
    world.forget(&[ids.remove(1), ids.remove(2)]);
    world.wait(200);
    world
}

fn sweep(grace_seconds: u64) {
    let seed = 20 + grace_seconds;
    println!("seed {seed}");
    let busy = busy_world(seed);
    let start = busy.store.state();
    let recorded = busy.at(start.clone(), seed);
    let store = Arc::new(RecordBackend::new(Arc::new(recorded.store.clone())));
    prune(&recorded.open_through(store.clone()).unwrap(), options(grace_seconds)).unwrap();
    let count = store.mutations().len() as u64;
    assert!(count > 10, "{count} changes");
    for call in 0..count {
        for effect in [FaultEffect::Stop, FaultEffect::FailAfter] {
            let context = format!("seed {seed}: {effect:?} at change {call} of {count}");
            let world = busy.at(start.clone(), seed);
            // Either the process is dead from there on, or it lives and an answer was lost.
            let faults = vec![Fault { call, verbs: MUTATIONS.to_vec(), effect }];
            let plan = FaultPlan { seed, faults };
            let faulty = Arc::new(FaultyBackend::new(Arc::new(world.store.clone()), plan));
            let outcome =
                world.open_through(faulty).map(|repository| prune(&repository, options(grace_seconds)));
            // The lease is freed last, when all is done: nobody waits for that.
            assert!(call + 1 == count || outcome.unwrap().is_err(), "{context}");
            world.wait(1_000);
            let repository = world.open();
            world.require_whole_in(&repository, &context);
            prune(&repository, options(0)).unwrap();
            world.require_whole_in(&repository, &context);
            require_no_garbage(&world, &context);
        }
    }
}

#[test]
fn a_prune_without_grace_may_end_at_any_change() {
    sweep(0);
}

#[test]
fn a_prune_with_grace_may_end_at_any_change() {
    sweep(100);
}
