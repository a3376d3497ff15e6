//! A store in memory that does something before each call.

use std::fmt;

use bytes::Bytes;
use snap::backend::memory::MemoryBackend;
use snap::backend::{
    Backend, BackendError, ObjectInfo, ObjectKey, ObjectKind, PutOutcome, Version, Versioned,
};

/// Calls `before` and then the store.
pub(super) struct HookBackend<F> {
    pub(super) inner: MemoryBackend,
    pub(super) before: F,
}

impl<F> fmt::Debug for HookBackend<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookBackend").finish_non_exhaustive()
    }
}

impl<F: Fn() + Send + Sync> Backend for HookBackend<F> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn prepare(&self) -> Result<(), BackendError> {
        self.inner.prepare()
    }

    fn put_new(&self, key: &ObjectKey, data: Bytes) -> Result<PutOutcome, BackendError> {
        (self.before)();
        self.inner.put_new(key, data)
    }

    fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, BackendError> {
        (self.before)();
        self.inner.get(key, limit_bytes)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length_bytes: u64) -> Result<Bytes, BackendError> {
        (self.before)();
        self.inner.get_range(key, offset, length_bytes)
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, BackendError> {
        (self.before)();
        self.inner.list(kind)
    }

    fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, BackendError> {
        (self.before)();
        self.inner.stat(key)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), BackendError> {
        (self.before)();
        self.inner.delete(key)
    }

    fn get_versioned(&self, key: &ObjectKey) -> Result<Option<Versioned>, BackendError> {
        (self.before)();
        self.inner.get_versioned(key)
    }

    fn replace(
        &self,
        key: &ObjectKey,
        data: Bytes,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, BackendError> {
        (self.before)();
        self.inner.replace(key, data, expected)
    }
}
