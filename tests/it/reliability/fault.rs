//! Any one call may fail, once or for ever, or answer wrongly: what is stored stays whole, and no command
//! says that it succeeded when it did not.

use std::collections::BTreeSet;
use std::sync::Arc;

use snap::backend::faulty::{Fault, FaultEffect, FaultPlan, FaultyBackend};
use snap::backend::record::{RecordBackend, Verb};
use snap::backend::{Backend, ObjectKind};

use snap::repository::OpenSecret;

use super::commands::{
    Case, add_key_case, backup_case, change_key_case, copy_case, forget_case, prune_case, remove_key_case,
    repair_index_case, takeover_case,
};
use super::world::{World, secret};

/// How often `work` calls each verb of a store.
pub(super) fn calls_of(store: Arc<dyn Backend>, work: impl FnOnce(Arc<dyn Backend>)) -> Vec<(Verb, u64)> {
    let record = Arc::new(RecordBackend::new(store));
    work(record.clone());
    Verb::ALL.into_iter().map(|verb| (verb, record.count(verb))).filter(|(_, count)| *count > 0).collect()
}

/// One fault at a time: each effect at each of these calls that it concerns.
pub(super) fn faults_of(calls: &[(Verb, u64)]) -> Vec<Fault> {
    // The crash sweep does the others.
    let effects = FaultEffect::ALL.into_iter();
    let effects = effects.filter(|effect| !matches!(effect, FaultEffect::Stop | FaultEffect::StopAfter));
    let of = |effect: FaultEffect| {
        let concerned = calls.iter().filter(move |(verb, _)| effect.concerns(*verb));
        concerned.flat_map(move |(verb, count)| {
            (0..*count).map(move |call| Fault { call, verbs: vec![*verb], effect })
        })
    };
    effects.flat_map(of).collect()
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
    assert!((case.always)(&repository), "{context}: what must always be so is not");
}

fn sweep(case: &Case, injected_min: u64) {
    let seed = case.world.seed;
    let world = case.world.at(case.world.store.state());
    let calls = calls_of(Arc::new(world.store.clone()), |backend| {
        (case.run)(&world, &world.open_through(backend, None).unwrap()).unwrap();
    });
    let (mut injected, mut succeeded) = (0, 0);
    for fault in faults_of(&calls) {
        let context = format!("seed {seed}: {} with {fault:?}", case.name);
        let (is_reached, is_fine) = inject(case, fault, &context);
        injected += u64::from(is_reached);
        succeeded += u64::from(is_reached && is_fine);
    }
    println!("seed {seed}: {}: {injected} faults, {succeeded} of them survived", case.name);
    assert!(injected >= injected_min, "{injected} faults");
}

/// Runs the command with one fault; returns whether that was met, and whether the command succeeded.
fn inject(case: &Case, fault: Fault, context: &str) -> (bool, bool) {
    let effect = fault.effect;
    let world = case.world.at(case.world.store.state());
    let plan = FaultPlan { seed: world.seed, faults: vec![fault] };
    let faulty = FaultyBackend::new(Arc::new(world.store.clone()), plan).passing_time(world.hand());
    let faulty = Arc::new(faulty);
    let opened = world.open_through(faulty.clone(), None).map_err(|error| error.to_string());
    let outcome = opened.and_then(|repository| (case.run)(&world, &repository));
    if effect == FaultEffect::LostPut {
        require_named_or_whole(case, &world, context);
        return (faulty.reached(), outcome.is_ok());
    }
    let repository = world.open(None);
    case.require_whole(&world, &repository, context);
    let opened = repository.reveal_master(&OpenSecret::KeyFile(secret(9)));
    assert!(opened.is_ok(), "{context}: the key is gone");
    // A listing may say that there is nothing to do.
    let is_told = !matches!(effect, FaultEffect::IncompleteList | FaultEffect::OldData);
    if outcome.is_ok() && is_told {
        require_done(case, &world, context);
    }
    if effect == FaultEffect::NearlyFull && ["prune", "takeover"].contains(&case.name) {
        // Whatever could not be moved, what nothing needs goes.
        assert_eq!(outcome, Ok(()), "{context}");
        assert_eq!(world.count(ObjectKind::Plan), 0, "{context}: something waits without a grace");
    }
    let ends = [FaultEffect::Full, FaultEffect::NearlyFull, FaultEffect::ReadOnly, FaultEffect::TimeOut];
    if ends.contains(&effect) {
        // There is space again, or the right to write, and the lease of the one that failed has run out.
        world.wait(1_000);
        assert_eq!((case.run)(&world, &world.open(None)), Ok(()), "{context}, again");
        case.require_whole(&world, &world.open(None), context);
        require_done(case, &world, context);
    }
    (faulty.reached(), outcome.is_ok())
}

/// Fails unless all is as it is after a command that succeeded.
fn require_done(case: &Case, world: &World, context: &str) {
    let repository = world.open(None);
    let ids = repository.snapshot_ids().unwrap();
    assert!((case.holds)(&repository), "{context}: it succeeded and did nothing");
    assert!(!ids.iter().any(|id| case.gone.contains(id)), "{context}: a dropped snapshot is there");
    if let Some(pending) = &case.pending {
        world.require_new(&repository, pending, context);
    }
}

#[test]
fn any_call_of_a_backup_may_fail_or_lie() {
    sweep(&backup_case(21), 20);
}

#[test]
fn any_call_of_a_prune_may_fail_or_lie() {
    sweep(&prune_case(22, 0), 20);
}

#[test]
fn any_call_of_a_takeover_may_fail_or_lie() {
    sweep(&takeover_case(23), 20);
}

#[test]
fn any_call_of_a_copy_may_fail_or_lie() {
    sweep(&copy_case(24), 20);
}

#[test]
fn any_call_of_a_repair_of_the_index_may_fail_or_lie() {
    sweep(&repair_index_case(25), 20);
}

#[test]
fn any_call_of_a_forget_may_fail_or_lie() {
    sweep(&forget_case(26), 20);
}

#[test]
fn any_call_of_adding_a_key_may_fail_or_lie() {
    sweep(&add_key_case(27), 20);
}

#[test]
fn any_call_of_changing_a_key_may_fail_or_lie() {
    sweep(&change_key_case(29), 20);
}

#[test]
fn any_call_of_removing_a_key_may_fail_or_lie() {
    sweep(&remove_key_case(28), 20);
}
