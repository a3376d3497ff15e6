//! One host in the middle of a command, at every call it makes, while another does a whole one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use snap::backend::record::RecordBackend;
use snap::maintain::forget::forget;
use snap::maintain::prune::prune;

use super::commands::{Case, backup_case, prune_case};
use super::world::{World, prune_options};

type Action = Box<dyn FnOnce() + Send>;

/// Does something else before one of the calls.
struct Meanwhile {
    at: u64,
    calls: AtomicU64,
    action: Mutex<Option<Action>>,
}

impl Meanwhile {
    fn call(&self) {
        if self.calls.fetch_add(1, Ordering::SeqCst) != self.at {
            return;
        }
        let action = self.action.lock().unwrap().take();
        // In a thread of its own, so that it never waits for work of the command that it interrupts.
        if let Some(action) = action {
            std::thread::spawn(action).join().unwrap();
        }
    }
}

/// Runs `case` once for each of its calls; before that call `other` runs, `wait_seconds` later.
fn sweep(case: &Case, wait_seconds: i64, other: fn(&World)) {
    let (seed, start) = (case.world.seed, case.world.store.state());
    let (mut at, mut succeeded) = (0, 0);
    loop {
        let context = format!("seed {seed}: {} interrupted at call {at}", case.name);
        let world = Arc::new(case.world.at(start.clone()));
        let action: Action = Box::new({
            let world = world.clone();
            move || {
                world.wait(wait_seconds);
                other(&world);
            }
        });
        let (calls, action) = (AtomicU64::new(0), Mutex::new(Some(action)));
        let meanwhile = Arc::new(Meanwhile { at, calls, action });
        let before = {
            let meanwhile = meanwhile.clone();
            move |_: &_| meanwhile.call()
        };
        let backend = Arc::new(RecordBackend::new(Arc::new(world.store.clone())).calling(before));
        let opened = world.open_through(backend, None).map_err(|error| error.to_string());
        let outcome = opened.and_then(|repository| (case.run)(&world, &repository));
        if meanwhile.action.lock().unwrap().take().is_some() {
            assert_eq!(outcome, Ok(()), "{context}");
            break;
        }
        succeeded += u64::from(outcome.is_ok());
        let repository = world.open(None);
        case.require_whole(&world, &repository, &context);
        if outcome.is_ok() && case.pending.is_some() {
            let ids: BTreeSet<_> = repository.snapshot_ids().unwrap().into_iter().collect();
            assert!(ids.iter().any(|id| !world.model.contains_key(id)), "{context}: no snapshot");
        }
        world.wait(100_000);
        world.require_no_garbage(&context);
        case.require_whole(&world, &world.open(None), &context);
        at += 1;
    }
    println!("seed {seed}: {}: {at} calls, {succeeded} succeeded", case.name);
    assert!(at > 10 && succeeded > 0, "{at} calls, {succeeded} succeeded");
}

/// Prunes; another prune may hold the lease.
fn prune_beside(world: &World) {
    if let Err(error) = prune(&world.open(None), prune_options(50)) {
        assert!(error.to_string().contains("locked"), "{error}");
    }
}

#[test]
fn a_prune_at_any_call_of_a_backup_costs_nothing() {
    sweep(&backup_case(31), 1, prune_beside);
}

#[test]
fn a_prune_after_the_grace_at_any_call_of_a_backup_costs_nothing() {
    sweep(&backup_case(32), 400, prune_beside);
}

#[test]
fn a_prune_at_any_call_of_a_prune_costs_nothing() {
    sweep(&prune_case(33, 50), 1, prune_beside);
}

#[test]
fn a_prune_that_takes_over_at_any_call_of_a_slow_prune_costs_nothing() {
    sweep(&prune_case(34, 50), 1_000, prune_beside);
}

/// A person frees the lease of a prune that lives, and prunes (restic #2452).
#[test]
fn a_prune_after_an_unlock_at_any_call_of_a_prune_that_lives_costs_nothing() {
    sweep(&prune_case(35, 50), 1, |world| {
        world.open(None).break_lease().unwrap();
        prune(&world.open(None), prune_options(50)).unwrap();
    });
}

/// A snapshot goes between the listing and the reading of it.
#[test]
fn a_forget_at_any_call_of_a_prune_costs_nothing() {
    let case = prune_case(37, 50);
    let gone = case.world.model.keys().take(1).copied().collect();
    sweep(&Case { gone, ..case }, 1, |world| {
        let id = *world.model.keys().next().unwrap();
        forget(&world.open(None), &[id], false).unwrap();
    });
}

/// Two hosts store the same at once: every chunk is there twice, and a prune leaves one each (rustic #392).
#[test]
fn the_same_backup_by_another_host_at_any_call_of_a_backup_costs_nothing() {
    sweep(&backup_case(36), 1, |world| {
        world.backup_in(&world.open(None), "another").unwrap();
    });
}
