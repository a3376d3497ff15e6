//! An init may end at any change it makes, and the next one makes a repository that its secret opens.

use std::sync::Arc;

use snap::backend::Backend;
use snap::backend::faulty::{FaultEffect, FaultPlan, FaultyBackend};
use snap::backend::memory::MemoryBackend;
use snap::repository::{Error, InitOptions, OpenSecret, Repository};

use super::commands::MUTATIONS;
use super::fault::{calls_of, faults_of};
use super::world::{HandClock, environment, secret};

fn init(backend: Arc<dyn Backend>, seed: u64) -> Result<Repository, Error> {
    let options = InitOptions { secret: secret(1), label: String::new() };
    Repository::init(environment(backend, Arc::new(HandClock::default()), seed, None), &options)
}

fn open(store: &MemoryBackend, seed: u64) -> Result<Repository, Error> {
    let clock = Arc::new(HandClock::default());
    let environment = environment(Arc::new(store.clone()), clock, seed, None);
    Repository::open(environment, &OpenSecret::KeyFile(secret(1)))
}

#[test]
fn any_call_of_an_init_may_fail_or_lie() {
    let (mut injected, mut survived) = (0, 0);
    for seed in 0..4 {
        let calls = calls_of(Arc::new(MemoryBackend::new()), |backend| drop(init(backend, seed).unwrap()));
        for fault in faults_of(&calls) {
            let context = format!("seed {seed}: {fault:?}");
            let (store, effect) = (MemoryBackend::new(), fault.effect);
            let plan = FaultPlan { seed, faults: vec![fault] };
            let faulty = Arc::new(FaultyBackend::new(Arc::new(store.clone()), plan));
            let outcome = init(faulty.clone(), 2 * seed);
            (injected, survived) = (injected + 1, survived + u64::from(outcome.is_ok()));
            assert!(faulty.reached(), "{context}");
            let is_told = effect != FaultEffect::LostPut;
            match (open(&store, 99), outcome) {
                (Ok(_), _) => {}
                (Err(error), Ok(_)) => assert!(!is_told, "{context}: it succeeded, and {error}"),
                // What is there then is nothing, or too little for a repository: the same command makes one.
                (Err(_), Err(_)) => {
                    init(Arc::new(store.clone()), 2 * seed + 1)
                        .unwrap_or_else(|error| panic!("{context}, again: {error}"));
                    drop(open(&store, 100).unwrap_or_else(|error| panic!("{context}, again: {error}")));
                }
            }
        }
    }
    println!("init: {injected} faults, {survived} of them survived");
    assert!(injected > 100 && survived > 0 && survived < injected);
}

#[test]
fn an_init_may_end_at_any_change() {
    let mut points = 0;
    // Names of key files are drawn: which of two comes first differs by seed.
    for seed in 0..8 {
        for call in 0..100 {
            let mut is_reached = false;
            for effect in [FaultEffect::Stop, FaultEffect::StopAfter, FaultEffect::FailAfter] {
                let context = format!("seed {seed}: {effect:?} at change {call}");
                let store = MemoryBackend::new();
                let plan = FaultPlan::one(seed, call, &MUTATIONS, effect);
                let faulty = Arc::new(FaultyBackend::new(Arc::new(store.clone()), plan));
                let outcome = init(faulty.clone(), 2 * seed);
                if !faulty.reached() {
                    outcome.expect(&context);
                    continue;
                }
                (is_reached, points) = (true, points + 1);
                match open(&store, 99) {
                    // What is there is a whole repository, or none, which the same command makes.
                    Ok(_) => assert!(matches!(
                        init(Arc::new(store.clone()), 2 * seed + 1),
                        Err(Error::Exists { .. })
                    )),
                    Err(Error::NoRepository { .. }) => {
                        drop(init(Arc::new(store.clone()), 2 * seed + 1).expect(&context))
                    }
                    Err(error) => panic!("{context}: {error}"),
                }
                let repository =
                    open(&store, 100).unwrap_or_else(|error| panic!("{context}, again: {error}"));
                let master = repository.reveal_master(&OpenSecret::KeyFile(secret(1))).expect(&context);
                let id = repository.keys().repository();
                let secret = OpenSecret::Master(id, master);
                let environment =
                    environment(Arc::new(store.clone()), Arc::new(HandClock::default()), 7, None);
                Repository::open(environment, &secret).unwrap_or_else(|error| panic!("{context}: {error}"));
            }
            if !is_reached {
                assert!(call >= 3, "{call} changes");
                break;
            }
        }
    }
    println!("{points} points");
}
