//! A wrapper that fails on purpose, by a plan, so that tests can break a store at every place.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::record::Verb;
use super::{Backend, BackendError, ErrorKind, ObjectInfo, ObjectKey, ObjectKind};
use super::{PutOutcome, Version, Versioned};
use crate::base::clock::SeededEntropy;

pub use plan::{Fault, FaultEffect, FaultPlan};
use plan::{draw, stores};

/// How long a call takes that is throttled or times out: longer than any lease holds.
const LONG_SECONDS: u64 = 600;

/// Lets seconds pass, on all clocks of a test.
type PassTime = Box<dyn Fn(u64) + Send + Sync>;

/// What the store answered when it was first asked, for [`FaultEffect::OldData`].
#[derive(Debug, Default)]
struct Old {
    listings: BTreeMap<ObjectKind, Vec<ObjectInfo>>,
    leases: BTreeMap<ObjectKey, Option<Versioned>>,
    put_since: BTreeSet<ObjectKey>,
}

/// A store that fails by a plan.
pub struct FaultyBackend {
    inner: Arc<dyn Backend>,
    plan: FaultPlan,
    seen: Vec<AtomicU64>,
    calls: AtomicU64,
    reached: AtomicBool,
    stopped: AtomicBool,
    full: AtomicBool,
    nearly_full: AtomicBool,
    read_only: AtomicBool,
    entropy: SeededEntropy,
    pass_time: PassTime,
    /// What all objects but leases may take.
    space_bytes: Option<u64>,
    old: Mutex<Old>,
}

impl FaultyBackend {
    /// Returns a wrapper around `inner` that follows `plan`.
    pub fn new(inner: Arc<dyn Backend>, plan: FaultPlan) -> Self {
        let seen = plan.faults.iter().map(|_| AtomicU64::new(0)).collect();
        let entropy = SeededEntropy::new(plan.seed);
        Self {
            inner,
            plan,
            seen,
            calls: AtomicU64::default(),
            reached: AtomicBool::default(),
            stopped: AtomicBool::default(),
            full: AtomicBool::default(),
            nearly_full: AtomicBool::default(),
            read_only: AtomicBool::default(),
            entropy,
            pass_time: Box::new(|_| {}),
            space_bytes: None,
            old: Mutex::default(),
        }
    }

    /// Has `pass_time` called with seconds that a slow call takes.
    pub fn passing_time(self, pass_time: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { pass_time: Box::new(pass_time), ..self }
    }

    /// Gives it space for `room_bytes` more than what is there; leases do not count.
    ///
    /// # Errors
    /// When what is there cannot be listed.
    pub fn with_room(self, room_bytes: u64) -> Result<Self, BackendError> {
        let space_bytes = Some(self.used_bytes()? + room_bytes);
        Ok(Self { space_bytes, ..self })
    }

    fn used_bytes(&self) -> Result<u64, BackendError> {
        let kinds = ObjectKind::ALL.into_iter().filter(|kind| *kind != ObjectKind::Lock);
        kinds.map(|kind| Ok(self.inner.list(kind)?.iter().map(|info| info.size_bytes).sum::<u64>())).sum()
    }

    fn has_room(&self, size_bytes: usize) -> Result<bool, BackendError> {
        match self.space_bytes {
            Some(space_bytes) => Ok(self.used_bytes()? + size_bytes as u64 <= space_bytes),
            None => Ok(true),
        }
    }

    /// Returns how many calls were made, to know how many places there are to break.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Returns whether any fault of the plan was reached.
    pub fn reached(&self) -> bool {
        self.reached.load(Ordering::SeqCst)
    }

    /// Returns whether the plan's [`FaultEffect::Stop`] or [`FaultEffect::StopAfter`] was reached.
    pub fn stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Counts a call and returns what happens to it.
    fn effects(&self, verb: Verb) -> Vec<FaultEffect> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut effects = Vec::new();
        for (fault, seen) in self.plan.faults.iter().zip(&self.seen) {
            if !fault.verbs.is_empty() && !fault.verbs.contains(&verb) {
                continue;
            }
            let number = seen.fetch_add(1, Ordering::SeqCst);
            let forever = fault.effect == FaultEffect::FailForever && number > fault.call;
            if number == fault.call || forever {
                effects.push(fault.effect);
            }
        }
        if !effects.is_empty() {
            self.reached.store(true, Ordering::SeqCst);
        }
        effects
    }

    /// Fails where there is no space any more, or no right to change anything.
    fn require_allowed(&self, verb: Verb, effects: &[FaultEffect]) -> Result<(), BackendError> {
        for (effect, flag) in [(FaultEffect::Full, &self.full), (FaultEffect::ReadOnly, &self.read_only)] {
            if effects.contains(&effect) {
                flag.store(true, Ordering::SeqCst);
            }
        }
        let refused = |kind| Err(BackendError::new(kind, format!("refused as planned ({verb:?})")));
        if self.full.load(Ordering::SeqCst) && stores(verb) {
            return refused(ErrorKind::Full);
        }
        if self.read_only.load(Ordering::SeqCst) && verb.is_mutation() {
            return refused(ErrorKind::PermissionDenied);
        }
        Ok(())
    }

    fn old(&self) -> MutexGuard<'_, Old> {
        self.old.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a read of an object under the plan; old data has none that was put since.
    fn run_read<T>(
        &self,
        verb: Verb,
        key: &ObjectKey,
        call: impl FnOnce() -> Result<T, BackendError>,
        spoil: impl Fn(&Self, FaultEffect, T) -> T,
    ) -> Result<T, BackendError> {
        let effects = self.effects(verb);
        if effects.contains(&FaultEffect::OldData) && self.old().put_since.contains(key) {
            return Err(BackendError::new(
                ErrorKind::NotFound,
                format!("{key} is not there yet, as planned"),
            ));
        }
        self.run_under(verb, effects, call, spoil)
    }

    /// Runs one call under `effects`; `spoil` damages what it gave back.
    fn run_under<T>(
        &self,
        verb: Verb,
        effects: Vec<FaultEffect>,
        call: impl FnOnce() -> Result<T, BackendError>,
        spoil: impl Fn(&Self, FaultEffect, T) -> T,
    ) -> Result<T, BackendError> {
        if effects.contains(&FaultEffect::Stop) {
            self.stopped.store(true, Ordering::SeqCst);
        }
        if self.stopped() {
            return Err(planned(verb, "the store is stopped"));
        }
        self.require_allowed(verb, &effects)?;
        if effects.iter().any(|e| matches!(e, FaultEffect::FailBefore | FaultEffect::FailForever)) {
            return Err(planned(verb, "the call failed"));
        }
        if effects.contains(&FaultEffect::Throttle) {
            (self.pass_time)(LONG_SECONDS);
        }
        if effects.contains(&FaultEffect::StopAfter) {
            self.stopped.store(true, Ordering::SeqCst);
            call()?;
            return Err(planned(verb, "the store is stopped"));
        }
        let mut answer = call()?;
        if effects.contains(&FaultEffect::FailAfter) {
            return Err(planned(verb, "the answer was lost"));
        }
        if effects.contains(&FaultEffect::TimeOut) {
            (self.pass_time)(LONG_SECONDS);
            return Err(planned(verb, "the call timed out"));
        }
        for effect in effects {
            answer = spoil(self, effect, answer);
        }
        Ok(answer)
    }

    /// Runs one call under the plan.
    fn run<T>(
        &self,
        verb: Verb,
        call: impl FnOnce() -> Result<T, BackendError>,
        spoil: impl Fn(&Self, FaultEffect, T) -> T,
    ) -> Result<T, BackendError> {
        self.run_under(verb, self.effects(verb), call, spoil)
    }

    fn spoil_bytes(&self, effect: FaultEffect, data: Bytes) -> Bytes {
        if data.is_empty() {
            return data;
        }
        match effect {
            FaultEffect::ShortRead => data.slice(..data.len() - 1),
            FaultEffect::FlippedRead => {
                let bit = draw(&self.entropy, data.len() as u64 * 8);
                let mut flipped = data.to_vec();
                flipped[(bit / 8) as usize] ^= 1 << (bit % 8);
                flipped.into()
            }
            _ => data,
        }
    }

    fn spoil_list(&self, effect: FaultEffect, mut objects: Vec<ObjectInfo>) -> Vec<ObjectInfo> {
        if effect == FaultEffect::IncompleteList && !objects.is_empty() {
            objects.remove(draw(&self.entropy, objects.len() as u64) as usize);
        }
        if effect == FaultEffect::DoubledList && !objects.is_empty() {
            let at = draw(&self.entropy, objects.len() as u64) as usize;
            objects.insert(at, objects[at].clone());
        }
        objects
    }
}

fn planned(verb: Verb, what: &str) -> BackendError {
    BackendError::new(ErrorKind::Unreachable, format!("{what} as planned ({verb:?})"))
}

/// Damages nothing.
fn keep<T>(_: &FaultyBackend, _: FaultEffect, answer: T) -> T {
    answer
}

impl Backend for FaultyBackend {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn prepare(&self) -> Result<(), BackendError> {
        self.run(Verb::Prepare, || self.inner.prepare(), keep)
    }

    fn put_new(&self, key: &ObjectKey, data: Bytes) -> Result<PutOutcome, BackendError> {
        let effects = self.effects(Verb::PutNew);
        if effects.contains(&FaultEffect::NearlyFull) {
            self.nearly_full.store(true, Ordering::SeqCst);
        }
        let is_nearly_full = self.nearly_full.load(Ordering::SeqCst) && key.kind() == ObjectKind::Pack;
        if is_nearly_full || !self.has_room(data.len())? {
            return Err(BackendError::new(ErrorKind::Full, format!("no space for {key}, as planned")));
        }
        let is_lost = effects.contains(&FaultEffect::LostPut);
        let call = || if is_lost { Ok(PutOutcome::Created) } else { self.inner.put_new(key, data) };
        let spoil = |_: &Self, effect, outcome| match effect {
            FaultEffect::FalseExisted => PutOutcome::Existed,
            _ => outcome,
        };
        let outcome = self.run_under(Verb::PutNew, effects, call, spoil)?;
        self.old().put_since.insert(key.clone());
        Ok(outcome)
    }

    fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, BackendError> {
        self.run_read(Verb::Get, key, || self.inner.get(key, limit_bytes), Self::spoil_bytes)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length_bytes: u64) -> Result<Bytes, BackendError> {
        let call = || self.inner.get_range(key, offset, length_bytes);
        self.run_read(Verb::GetRange, key, call, Self::spoil_bytes)
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, BackendError> {
        let objects = self.run(
            Verb::List,
            || self.inner.list(kind),
            |this: &Self, effect, objects| match effect {
                FaultEffect::OldData => this.old().listings.get(&kind).cloned().unwrap_or(objects),
                _ => this.spoil_list(effect, objects),
            },
        )?;
        self.old().listings.entry(kind).or_insert_with(|| objects.clone());
        Ok(objects)
    }

    fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, BackendError> {
        self.run_read(Verb::Stat, key, || self.inner.stat(key), keep)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), BackendError> {
        self.run(Verb::Delete, || self.inner.delete(key), keep)
    }

    fn get_versioned(&self, key: &ObjectKey) -> Result<Option<Versioned>, BackendError> {
        let spoil = |this: &Self, effect, answer: Option<Versioned>| {
            if effect == FaultEffect::OldData {
                return this.old().leases.get(key).cloned().unwrap_or(answer);
            }
            answer.map(|read| Versioned { data: this.spoil_bytes(effect, read.data), ..read })
        };
        let answer = self.run(Verb::GetVersioned, || self.inner.get_versioned(key), spoil)?;
        self.old().leases.entry(key.clone()).or_insert_with(|| answer.clone());
        Ok(answer)
    }

    fn replace(
        &self,
        key: &ObjectKey,
        data: Bytes,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, BackendError> {
        self.run(Verb::Replace, || self.inner.replace(key, data, expected), keep)
    }

    fn keep_reserve(&self) -> Result<bool, BackendError> {
        self.inner.keep_reserve()
    }

    fn spend_reserve(&self) -> Result<bool, BackendError> {
        self.inner.spend_reserve()
    }

    fn clean_temporaries(&self, older_than_seconds: u64) -> Result<u64, BackendError> {
        self.run(Verb::CleanTemporaries, || self.inner.clean_temporaries(older_than_seconds), keep)
    }
}

impl fmt::Debug for FaultyBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyBackend").field("inner", &self.inner).field("plan", &self.plan).finish()
    }
}
