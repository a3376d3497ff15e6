//! A wrapper that writes down every call, so that tests can state how much a command asks of a store, and
//! that lets something else happen before one.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Backend, BackendError, ObjectInfo, ObjectKey, ObjectKind, PutOutcome, Version, Versioned};

/// Limit: calls that are kept; later ones are only counted.
const CALLS_KEPT_MAX: usize = 1 << 20;

/// What a caller can ask of a store that touches objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// [`Backend::prepare`]
    Prepare,
    /// [`Backend::put_new`]
    PutNew,
    /// [`Backend::get`]
    Get,
    /// [`Backend::get_range`]
    GetRange,
    /// [`Backend::list`]
    List,
    /// [`Backend::stat`]
    Stat,
    /// [`Backend::delete`]
    Delete,
    /// [`Backend::get_versioned`]
    GetVersioned,
    /// [`Backend::replace`]
    Replace,
    /// [`Backend::clean_temporaries`]
    CleanTemporaries,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 10] = [
        Self::Prepare,
        Self::PutNew,
        Self::Get,
        Self::GetRange,
        Self::List,
        Self::Stat,
        Self::Delete,
        Self::GetVersioned,
        Self::Replace,
        Self::CleanTemporaries,
    ];

    /// Returns whether objects can change by it.
    pub fn is_mutation(self) -> bool {
        matches!(self, Self::PutNew | Self::Delete | Self::Replace)
    }

    fn slot(self) -> usize {
        Self::ALL.iter().position(|verb| *verb == self).unwrap_or_default()
    }
}

/// One call as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What was asked.
    pub verb: Verb,
    /// For which object; `None` for [`Verb::List`], [`Verb::Prepare`] and [`Verb::CleanTemporaries`].
    pub key: Option<ObjectKey>,
    /// First byte of a range read, else zero.
    pub offset: u64,
    /// Bytes sent, or bytes asked for by a range read, else zero.
    pub length_bytes: u64,
}

#[derive(Default)]
struct Log {
    counts: [u64; Verb::ALL.len()],
    calls: Vec<Call>,
}

/// Does something before a call.
type Before = Box<dyn Fn(&Call) + Send + Sync>;

/// A store that remembers what was asked of it, failed calls too.
pub struct RecordBackend {
    inner: Arc<dyn Backend>,
    log: Mutex<Log>,
    before: Before,
}

impl RecordBackend {
    /// Returns a wrapper around `inner` with an empty memory.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, log: Mutex::default(), before: Box::new(|_| {}) }
    }

    /// Has `before` called with each call before that is made. It may take long, and ask the store below.
    pub fn calling(self, before: impl Fn(&Call) + Send + Sync + 'static) -> Self {
        Self { before: Box::new(before), ..self }
    }

    /// Returns how often `verb` was called.
    pub fn count(&self, verb: Verb) -> u64 {
        self.lock().counts[verb.slot()]
    }

    /// Returns all calls in the order in which they began.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// Returns the calls that could change objects, in the order in which they began.
    pub fn mutations(&self) -> Vec<Call> {
        self.lock().calls.iter().filter(|call| call.verb.is_mutation()).cloned().collect()
    }

    /// Forgets all calls so far.
    pub fn clear(&self) {
        *self.lock() = Log::default();
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, verb: Verb, key: Option<&ObjectKey>, offset: u64, length_bytes: u64) {
        let call = Call { verb, key: key.cloned(), offset, length_bytes };
        (self.before)(&call);
        let mut log = self.lock();
        log.counts[verb.slot()] += 1;
        if log.calls.len() < CALLS_KEPT_MAX {
            log.calls.push(call);
        }
    }
}

impl Backend for RecordBackend {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn prepare(&self) -> Result<(), BackendError> {
        self.note(Verb::Prepare, None, 0, 0);
        self.inner.prepare()
    }

    fn put_new(&self, key: &ObjectKey, data: Bytes) -> Result<PutOutcome, BackendError> {
        self.note(Verb::PutNew, Some(key), 0, data.len() as u64);
        self.inner.put_new(key, data)
    }

    fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, BackendError> {
        self.note(Verb::Get, Some(key), 0, 0);
        self.inner.get(key, limit_bytes)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length_bytes: u64) -> Result<Bytes, BackendError> {
        self.note(Verb::GetRange, Some(key), offset, length_bytes);
        self.inner.get_range(key, offset, length_bytes)
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, BackendError> {
        self.note(Verb::List, None, 0, 0);
        self.inner.list(kind)
    }

    fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, BackendError> {
        self.note(Verb::Stat, Some(key), 0, 0);
        self.inner.stat(key)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), BackendError> {
        self.note(Verb::Delete, Some(key), 0, 0);
        self.inner.delete(key)
    }

    fn get_versioned(&self, key: &ObjectKey) -> Result<Option<Versioned>, BackendError> {
        self.note(Verb::GetVersioned, Some(key), 0, 0);
        self.inner.get_versioned(key)
    }

    fn replace(
        &self,
        key: &ObjectKey,
        data: Bytes,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, BackendError> {
        self.note(Verb::Replace, Some(key), 0, data.len() as u64);
        self.inner.replace(key, data, expected)
    }

    fn keep_reserve(&self) -> Result<bool, BackendError> {
        self.inner.keep_reserve()
    }

    fn spend_reserve(&self) -> Result<bool, BackendError> {
        self.inner.spend_reserve()
    }

    fn clean_temporaries(&self, older_than_seconds: u64) -> Result<u64, BackendError> {
        self.note(Verb::CleanTemporaries, None, 0, 0);
        self.inner.clean_temporaries(older_than_seconds)
    }
}

impl fmt::Debug for RecordBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordBackend").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::MemoryBackend;
    use crate::base::IndexId;

    #[test]
    fn every_call_is_counted_and_mutations_keep_their_order() {
        let store = RecordBackend::new(Arc::new(MemoryBackend::new()));
        let key = ObjectKey::index(&IndexId([1; 32]));
        store.put_new(&key, Bytes::from_static(b"abc")).unwrap();
        store.get_range(&key, 1, 2).unwrap();
        store.list(ObjectKind::Index).unwrap();
        store.delete(&key).unwrap();
        store.stat(&key).unwrap_err();
        for verb in [Verb::PutNew, Verb::GetRange, Verb::List, Verb::Delete, Verb::Stat] {
            assert_eq!(store.count(verb), 1, "{verb:?}");
        }
        let mutations: Vec<_> = store.mutations().iter().map(|call| (call.verb, call.length_bytes)).collect();
        assert_eq!(mutations, [(Verb::PutNew, 3), (Verb::Delete, 0)]);
        assert_eq!(store.calls()[1].offset, 1);
        store.clear();
        assert!(store.calls().is_empty() && store.count(Verb::PutNew) == 0);
    }
}
