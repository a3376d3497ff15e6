//! One host in the middle of a command, at every call it makes, while another does a whole one.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use snap::backend::memory::MemoryBackend;
use snap::backend::{
    Backend, BackendError, ObjectInfo, ObjectKey, ObjectKind, PutOutcome, Version, Versioned,
};
use snap::maintain::prune::prune;

use super::commands::{Case, backup_case, prune_case};
use super::world::{World, prune_options};

type Action = Box<dyn FnOnce() + Send>;

/// Does something else before one of the calls.
struct MeanwhileBackend {
    inner: MemoryBackend,
    at: u64,
    calls: AtomicU64,
    action: Mutex<Option<Action>>,
}

impl MeanwhileBackend {
    fn turn(&self) {
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

impl fmt::Debug for MeanwhileBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeanwhileBackend").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Backend for MeanwhileBackend {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn prepare(&self) -> Result<(), BackendError> {
        self.inner.prepare()
    }

    fn put_new(&self, key: &ObjectKey, data: Bytes) -> Result<PutOutcome, BackendError> {
        self.turn();
        self.inner.put_new(key, data)
    }

    fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, BackendError> {
        self.turn();
        self.inner.get(key, limit_bytes)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length_bytes: u64) -> Result<Bytes, BackendError> {
        self.turn();
        self.inner.get_range(key, offset, length_bytes)
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, BackendError> {
        self.turn();
        self.inner.list(kind)
    }

    fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, BackendError> {
        self.turn();
        self.inner.stat(key)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), BackendError> {
        self.turn();
        self.inner.delete(key)
    }

    fn get_versioned(&self, key: &ObjectKey) -> Result<Option<Versioned>, BackendError> {
        self.turn();
        self.inner.get_versioned(key)
    }

    fn replace(
        &self,
        key: &ObjectKey,
        data: Bytes,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, BackendError> {
        self.turn();
        self.inner.replace(key, data, expected)
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
        let backend = Arc::new(MeanwhileBackend { inner: world.store.clone(), at, calls, action });
        let opened = world.open_through(backend.clone(), None).map_err(|error| error.to_string());
        let outcome = opened.and_then(|repository| (case.run)(&world, &repository));
        if backend.action.lock().unwrap().take().is_some() {
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
