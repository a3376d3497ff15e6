//! Laws of prune in a store that has space for only so many bytes, and none kept for maintenance.

use std::sync::Arc;

use super::laws::require_no_garbage;
use super::world::{World, files, options};
use crate::backend::faulty::{FaultPlan, FaultyBackend};
use crate::maintain::prune::{PruneError, prune};

/// A store with packs that go, one that is needed in part, and many index objects that name one of each.
fn world() -> World {
    let world = World::new(70);
    let mut gone: Vec<_> = [100, 200].map(|from| world.backup(&files(&[("a", &numbers(from, 30))]))).into();
    let mut needed = numbers(100, 10);
    for from in (0..100).step_by(10) {
        gone.push(world.backup(&files(&[("b", &numbers(from, 2))])));
        needed.extend(numbers(from, 2));
    }
    world.backup(&files(&[("c", &needed)]));
    world.forget(&gone);
    world
}

fn numbers(from: u32, count: u32) -> Vec<u32> {
    (from..from + count).collect()
}

#[test]
fn a_store_with_next_to_no_space_loses_what_nothing_needs_and_uses_the_space_that_this_gives() {
    let (mut refused, mut one_by_one) = (Vec::new(), Vec::new());
    for room in (0..2_000).step_by(50) {
        let (world, context) = (world(), format!("{room} bytes"));
        let store =
            FaultyBackend::new(Arc::new(world.store.clone()), FaultPlan { seed: 0, faults: Vec::new() });
        let store = store.with_room(room).unwrap();
        match prune(&world.open_through(Arc::new(store)).unwrap(), options(0)) {
            Ok(report) => {
                assert_eq!((report.is_full, report.restarts), (false, 0), "{context}: {report:?}");
                require_no_garbage(&world, &context);
                if report.indexes_written.count >= 10 {
                    one_by_one.push(room);
                }
            }
            Err(PruneError::Repository(error)) if error.is_full() => refused.push(room),
            Err(error) => panic!("{context}: {error}"),
        }
        world.require_whole(&context);
        prune(&world.open(), options(0)).unwrap();
        world.require_whole(&format!("{context}, then enough"));
        require_no_garbage(&world, &format!("{context}, then enough"));
    }
    println!("refused with {refused:?}, index objects one by one with {one_by_one:?}");
    // Less than a plan takes is too little; what is more is enough.
    assert!(refused.iter().all(|room| *room < 1_000) && !one_by_one.is_empty());
}
