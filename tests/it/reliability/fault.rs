//! Any one call may fail, once or for ever, or answer wrongly: what is stored stays whole, and no command
//! says that it succeeded when it did not.

use std::collections::BTreeSet;
use std::sync::Arc;

use snap::backend::faulty::{Fault, FaultEffect, FaultPlan, FaultyBackend};
use snap::backend::record::{RecordBackend, Verb};

use super::commands::{Case, backup_case, copy_case, prune_case, repair_index_case, takeover_case};
use super::world::World;

/// How often `case` calls each verb, the opening included.
fn calls_of(case: &Case) -> Vec<(Verb, u64)> {
    let world = case.world.at(case.world.store.state());
    let record = Arc::new(RecordBackend::new(Arc::new(world.store.clone())));
    let repository = world.open_through(record.clone(), None).unwrap();
    (case.run)(&world, &repository).unwrap();
    drop(repository);
    Verb::ALL.into_iter().map(|verb| (verb, record.count(verb))).filter(|(_, count)| *count > 0).collect()
}

/// A store may lie about a put, and nobody notices before a check: that costs the new snapshot at most.
fn require_named_or_whole(case: &Case, world: &World, context: &str) {
    let repository = world.open(None);
    let report = world.check(&repository);
    let listed: BTreeSet<_> = repository.snapshot_ids().unwrap().into_iter().collect();
    for (id, files) in world.model.iter().filter(|(id, _)| !case.gone.contains(id)) {
        assert!(listed.contains(id), "{context}: a snapshot is gone");
        match world.restore(&repository, id) {
            Ok(found) => assert!(&found == files, "{context}: an old snapshot restores to something else"),
            Err(error) => assert!(report.is_damaged(), "{context}: nobody was told of {error}"),
        }
    }
    for id in listed.iter().filter(|id| !world.model.contains_key(id)) {
        match world.restore(&repository, id) {
            Ok(found) => assert_eq!(Some(&found), case.pending.as_ref(), "{context}"),
            Err(error) => assert!(report.is_damaged(), "{context}: nobody was told of {error}"),
        }
    }
}

fn sweep(case: &Case) {
    let (seed, start, calls) = (case.world.seed, case.world.store.state(), calls_of(case));
    let (mut injected, mut succeeded) = (0, 0);
    for effect in FaultEffect::ALL {
        // The crash sweep does these.
        if matches!(effect, FaultEffect::Stop | FaultEffect::StopAfter) {
            continue;
        }
        for (verb, count) in calls.iter().filter(|(verb, _)| effect.concerns(*verb)) {
            for call in 0..*count {
                let context = format!("seed {seed}: {} with {effect:?} at {verb:?} {call}", case.name);
                let world = case.world.at(start.clone());
                let plan = FaultPlan { seed, faults: vec![Fault { call, verbs: vec![*verb], effect }] };
                let faulty = Arc::new(FaultyBackend::new(Arc::new(world.store.clone()), plan));
                let opened = world.open_through(faulty.clone(), None).map_err(|error| error.to_string());
                let outcome = opened.and_then(|repository| (case.run)(&world, &repository));
                injected += u64::from(faulty.reached());
                succeeded += u64::from(outcome.is_ok());
                if effect == FaultEffect::LostPut {
                    require_named_or_whole(case, &world, &context);
                    continue;
                }
                let repository = world.open(None);
                case.require_whole(&world, &repository, &context);
                if let (Ok(()), Some(pending)) = (&outcome, &case.pending) {
                    let ids = repository.snapshot_ids().unwrap();
                    let is_new = |id: &&_| !world.model.contains_key(id);
                    let new = ids.iter().find(is_new).unwrap_or_else(|| panic!("{context}: no snapshot"));
                    assert!(&world.restore(&repository, new).unwrap() == pending, "{context}");
                }
            }
        }
    }
    println!("seed {seed}: {}: {injected} faults, {succeeded} of them survived", case.name);
    assert!(injected > 20, "{injected} faults");
}

#[test]
fn any_call_of_a_backup_may_fail_or_lie() {
    sweep(&backup_case(21));
}

#[test]
fn any_call_of_a_prune_may_fail_or_lie() {
    sweep(&prune_case(22, 0));
}

#[test]
fn any_call_of_a_takeover_may_fail_or_lie() {
    sweep(&takeover_case(23));
}

#[test]
fn any_call_of_a_copy_may_fail_or_lie() {
    sweep(&copy_case(24));
}

#[test]
fn any_call_of_a_repair_of_the_index_may_fail_or_lie() {
    sweep(&repair_index_case(25));
}
