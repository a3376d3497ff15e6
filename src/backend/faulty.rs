//! A wrapper that fails on purpose, by a plan, so that tests can break a store at every place.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

use super::record::Verb;
use super::{Backend, BackendError, ErrorKind, ObjectInfo, ObjectKey, ObjectKind};
use super::{PutOutcome, Version, Versioned};
use crate::base::Entropy;
use crate::base::clock::SeededEntropy;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultEffect {
    /// The call fails and does nothing.
    FailBefore,
    /// The call does its work, then its answer is lost.
    FailAfter,
    /// This and all later calls that the fault looks at fail and do nothing.
    FailForever,
    /// A read ends early: the last byte is missing. Nothing happens to other verbs.
    ShortRead,
    /// A read has one bit flipped; which, is drawn from the seed. Nothing happens to other verbs.
    FlippedRead,
    /// A listing lacks one object; which, is drawn from the seed. Nothing happens to other verbs.
    IncompleteList,
    /// A listing names one object twice; which, is drawn from the seed. Nothing happens to other verbs.
    DoubledList,
    /// A put does its work and says that the object was there before, as after a retry whose first answer was
    /// lost. Nothing happens to other verbs.
    FalseExisted,
    /// A put is acknowledged and nothing is stored, as when a disk loses what it never wrote. Nothing happens
    /// to other verbs.
    LostPut,
    /// The process is dead: this and all later calls of every verb fail and do nothing.
    Stop,
    /// The call does its work, then the process is dead.
    StopAfter,
}

impl FaultEffect {
    /// All effects.
    pub const ALL: [Self; 11] = [
        Self::FailBefore,
        Self::FailAfter,
        Self::FailForever,
        Self::ShortRead,
        Self::FlippedRead,
        Self::IncompleteList,
        Self::DoubledList,
        Self::FalseExisted,
        Self::LostPut,
        Self::Stop,
        Self::StopAfter,
    ];

    /// Returns whether the effect changes anything about a call of `verb`.
    pub fn concerns(self, verb: Verb) -> bool {
        match self {
            Self::ShortRead | Self::FlippedRead => {
                matches!(verb, Verb::Get | Verb::GetRange | Verb::GetVersioned)
            }
            Self::IncompleteList | Self::DoubledList => verb == Verb::List,
            Self::FalseExisted | Self::LostPut => verb == Verb::PutNew,
            Self::StopAfter | Self::FailAfter => verb.is_mutation(),
            Self::FailBefore | Self::FailForever | Self::Stop => true,
        }
    }
}

/// One thing that goes wrong at one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// At which of the calls that this fault looks at, counted from zero.
    pub call: u64,
    /// Which calls it looks at; empty for all.
    pub verbs: Vec<Verb>,
    /// What happens there.
    pub effect: FaultEffect,
}

/// All that goes wrong, and the seed for what is left to chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultPlan {
    /// Draws flipped bits and missing objects; to be printed by the test that uses it.
    pub seed: u64,
    /// The faults; each counts calls for itself.
    pub faults: Vec<Fault>,
}

impl FaultPlan {
    /// Returns a plan of one fault.
    pub fn one(seed: u64, call: u64, verbs: &[Verb], effect: FaultEffect) -> Self {
        Self { seed, faults: vec![Fault { call, verbs: verbs.to_vec(), effect }] }
    }

    /// Returns a plan that lets `calls` calls pass and then behaves as if the process had died.
    pub fn stop_after(calls: u64) -> Self {
        Self::one(0, calls, &[], FaultEffect::Stop)
    }

    /// Returns a plan of one fault drawn from `seed`, at one of the first `calls` calls.
    pub fn from_seed(seed: u64, calls: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        let effect = FaultEffect::ALL[draw(&entropy, FaultEffect::ALL.len() as u64) as usize];
        Self::one(seed, draw(&entropy, calls), &[], effect)
    }
}

/// Returns a number below `bound` (zero for a bound of zero).
fn draw(entropy: &dyn Entropy, bound: u64) -> u64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
}

/// A store that fails by a plan.
pub struct FaultyBackend {
    inner: Arc<dyn Backend>,
    plan: FaultPlan,
    seen: Vec<AtomicU64>,
    calls: AtomicU64,
    reached: AtomicBool,
    stopped: AtomicBool,
    entropy: SeededEntropy,
}

impl FaultyBackend {
    /// Returns a wrapper around `inner` that follows `plan`.
    pub fn new(inner: Arc<dyn Backend>, plan: FaultPlan) -> Self {
        let seen = plan.faults.iter().map(|_| AtomicU64::new(0)).collect();
        let entropy = SeededEntropy::new(plan.seed);
        let (reached, stopped) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { inner, plan, seen, calls: AtomicU64::new(0), reached, stopped, entropy }
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
        if effects.iter().any(|e| matches!(e, FaultEffect::FailBefore | FaultEffect::FailForever)) {
            return Err(planned(verb, "the call failed"));
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
        let is_lost = effects.contains(&FaultEffect::LostPut);
        let call = || if is_lost { Ok(PutOutcome::Created) } else { self.inner.put_new(key, data) };
        let spoil = |_: &Self, effect, outcome| match effect {
            FaultEffect::FalseExisted => PutOutcome::Existed,
            _ => outcome,
        };
        self.run_under(Verb::PutNew, effects, call, spoil)
    }

    fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, BackendError> {
        self.run(Verb::Get, || self.inner.get(key, limit_bytes), Self::spoil_bytes)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length_bytes: u64) -> Result<Bytes, BackendError> {
        self.run(Verb::GetRange, || self.inner.get_range(key, offset, length_bytes), Self::spoil_bytes)
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, BackendError> {
        self.run(Verb::List, || self.inner.list(kind), Self::spoil_list)
    }

    fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, BackendError> {
        self.run(Verb::Stat, || self.inner.stat(key), keep)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), BackendError> {
        self.run(Verb::Delete, || self.inner.delete(key), keep)
    }

    fn get_versioned(&self, key: &ObjectKey) -> Result<Option<Versioned>, BackendError> {
        let spoil = |this: &Self, effect, answer: Option<Versioned>| {
            answer.map(|read| Versioned { data: this.spoil_bytes(effect, read.data), ..read })
        };
        self.run(Verb::GetVersioned, || self.inner.get_versioned(key), spoil)
    }

    fn replace(
        &self,
        key: &ObjectKey,
        data: Bytes,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, BackendError> {
        self.run(Verb::Replace, || self.inner.replace(key, data, expected), keep)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::MemoryBackend;
    use crate::base::IndexId;

    fn key(n: u8) -> ObjectKey {
        ObjectKey::index(&IndexId([n; 32]))
    }

    fn faulty(plan: FaultPlan) -> (MemoryBackend, FaultyBackend) {
        let memory = MemoryBackend::new();
        (memory.clone(), FaultyBackend::new(Arc::new(memory), plan))
    }

    #[test]
    fn a_failure_before_leaves_nothing_and_one_after_leaves_the_object() {
        for (effect, objects) in [(FaultEffect::FailBefore, 0), (FaultEffect::FailAfter, 1)] {
            let (memory, store) = faulty(FaultPlan::one(1, 0, &[Verb::PutNew], effect));
            store.list(ObjectKind::Index).unwrap();
            store.put_new(&key(1), Bytes::from_static(b"x")).unwrap_err();
            assert_eq!(memory.objects().len(), objects, "{effect:?}");
            store.put_new(&key(2), Bytes::from_static(b"x")).unwrap();
            assert_eq!(store.calls(), 3);
        }
    }

    #[test]
    fn a_stopped_store_never_answers_again_and_a_dead_verb_neither() {
        let (memory, store) = faulty(FaultPlan::stop_after(1));
        store.put_new(&key(1), Bytes::from_static(b"x")).unwrap();
        store.put_new(&key(2), Bytes::from_static(b"x")).unwrap_err();
        store.get(&key(1), 9).unwrap_err();
        assert!(store.stopped() && memory.objects().len() == 1);

        let (_, store) = faulty(FaultPlan::one(1, 1, &[Verb::Stat], FaultEffect::FailForever));
        store.put_new(&key(1), Bytes::from_static(b"x")).unwrap();
        store.stat(&key(1)).unwrap();
        for _ in 0..3 {
            store.stat(&key(1)).unwrap_err();
        }
        store.get(&key(1), 9).unwrap();
    }

    #[test]
    fn reads_and_listings_are_spoiled_once_and_the_same_way_for_the_same_seed() {
        let data = Bytes::from_static(b"some bytes to spoil");
        let read = |effect| {
            let (_, store) = faulty(FaultPlan::one(5, 0, &[Verb::Get, Verb::List], effect));
            for n in 1..=3 {
                store.put_new(&key(n), data.clone()).unwrap();
            }
            store
        };
        let short = read(FaultEffect::ShortRead);
        assert_eq!(short.get(&key(1), 99).unwrap(), data.slice(..data.len() - 1));
        assert_eq!(short.get(&key(1), 99).unwrap(), data);
        let flipped = read(FaultEffect::FlippedRead).get(&key(1), 99).unwrap();
        let bits: u32 = flipped.iter().zip(&data).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!(bits, 1);
        assert_eq!(flipped, read(FaultEffect::FlippedRead).get(&key(1), 99).unwrap());
        let store = read(FaultEffect::IncompleteList);
        assert_eq!(store.list(ObjectKind::Index).unwrap().len(), 2);
        assert_eq!(store.list(ObjectKind::Index).unwrap().len(), 3);
        assert_eq!(read(FaultEffect::DoubledList).list(ObjectKind::Index).unwrap().len(), 4);
    }

    #[test]
    fn a_put_may_be_lost_or_misnamed_or_the_last_thing_that_happens() {
        let put = |effect| {
            let (memory, store) = faulty(FaultPlan::one(1, 0, &[Verb::PutNew], effect));
            let outcome = store.put_new(&key(1), Bytes::from_static(b"x"));
            (outcome.ok(), memory.objects().len(), store.stopped(), store.reached())
        };
        assert_eq!(put(FaultEffect::LostPut), (Some(PutOutcome::Created), 0, false, true));
        assert_eq!(put(FaultEffect::FalseExisted), (Some(PutOutcome::Existed), 1, false, true));
        assert_eq!(put(FaultEffect::StopAfter), (None, 1, true, true));
    }

    #[test]
    fn plans_from_seeds_cover_every_effect() {
        let drawn: Vec<_> = (0..200).map(|seed| FaultPlan::from_seed(seed, 10)).collect();
        for effect in FaultEffect::ALL {
            assert!(drawn.iter().any(|plan| plan.faults[0].effect == effect), "{effect:?}");
        }
        assert_eq!(FaultPlan::from_seed(9, 10), drawn[9]);
        assert!(drawn.iter().all(|plan| plan.faults[0].call < 10));
    }
}
