//! Where objects go: a few verbs over opaque bytes, behind which stand a directory, S3, memory, and wrappers.
//!
//! This room knows nothing of keys, formats or chunks. All verbs may be called from many threads at once.

pub mod error;
pub mod faulty;
pub mod key;
pub mod local;
pub mod location;
pub mod memory;
pub mod record;
pub mod s3;

use std::fmt::Debug;

use bytes::Bytes;

pub use error::{BackendError, ErrorKind};
pub use key::{ObjectKey, ObjectKind};
pub use location::{Location, OpenOptions, open};

use crate::base::Time;

/// What a create-only write found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is new and durable.
    Created,
    /// An object of this name and this size was there already.
    Existed,
}

/// One object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name.
    pub key: ObjectKey,
    /// Stored size.
    pub size_bytes: u64,
    /// When it was written, by the store's clock.
    pub modified: Time,
}

/// An opaque version of a replaceable object (an ETag); only equality means anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub String);

/// A replaceable object as it was read.
#[derive(Debug, Clone)]
pub struct Versioned {
    /// Its bytes.
    pub data: Bytes,
    /// The version to name in [`Backend::replace`].
    pub version: Version,
    /// When it was written, by the store's clock.
    pub modified: Time,
}

/// Whether the store keeps the promises that leases rest on, as a probe found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionalWrites {
    /// Create-only and replace-if-unchanged work.
    Honoured,
    /// The store refuses or ignores at least one of them.
    Missing,
}

/// A store of objects. Write-once objects go through [`Backend::put_new`]; only leases use the last three
/// verbs.
pub trait Backend: Send + Sync + Debug {
    /// Returns the location for people, without secrets.
    fn location(&self) -> String;

    /// Makes the place where objects go, if the store needs that (a directory); never a bucket.
    fn prepare(&self) -> Result<(), BackendError>;

    /// Stores a new object durably, never replacing one.
    ///
    /// When one of that name exists, its size is compared: equal gives [`PutOutcome::Existed`], unequal an
    /// [`ErrorKind::Conflict`]. Transient failures are retried inside.
    fn put_new(&self, key: &ObjectKey, data: Bytes) -> Result<PutOutcome, BackendError>;

    /// Returns a whole object, refusing one larger than `limit_bytes` before reading it.
    fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, BackendError>;

    /// Returns exactly `length_bytes` bytes from `offset`; an object that ends before is
    /// [`ErrorKind::Short`].
    fn get_range(&self, key: &ObjectKey, offset: u64, length_bytes: u64) -> Result<Bytes, BackendError>;

    /// Returns all objects of one kind, sorted by key. Foreign names are left out.
    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, BackendError>;

    /// Returns size and time of one object.
    fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, BackendError>;

    /// Deletes an object; one that is not there is no error.
    fn delete(&self, key: &ObjectKey) -> Result<(), BackendError>;

    /// Returns a replaceable object with its version, or `None`.
    fn get_versioned(&self, key: &ObjectKey) -> Result<Option<Versioned>, BackendError>;

    /// Writes a replaceable object if none is there (`expected` is `None`) or if it is still at `expected`.
    ///
    /// Returns `None` when the condition did not hold. A lost answer may surface as either: callers read
    /// back.
    fn replace(
        &self,
        key: &ObjectKey,
        data: Bytes,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, BackendError>;

    /// Removes what crashed writers of this store left half-written, if older than `older_than_seconds`, and
    /// returns how many there were. Stores whose writes leave nothing behind have nothing to do.
    fn clean_temporaries(&self, older_than_seconds: u64) -> Result<u64, BackendError> {
        let _ = older_than_seconds;
        Ok(0)
    }

    /// Takes aside a little space that maintenance may use up where a store is full, as far as there is any;
    /// returns whether there was enough. Stores whose space is not their own to keep have nothing to do.
    fn keep_reserve(&self) -> Result<bool, BackendError> {
        Ok(true)
    }

    /// Gives free what [`Backend::keep_reserve`] took aside, and returns whether there was any.
    fn spend_reserve(&self) -> Result<bool, BackendError> {
        Ok(false)
    }

    /// Tries on a probe object whether [`Backend::replace`] keeps its conditions, and removes the object.
    fn probe_conditional_writes(&self, probe: &ObjectKey) -> Result<ConditionalWrites, BackendError> {
        let first = Bytes::from_static(b"first");
        let second = Bytes::from_static(b"second");
        let outcome = (|| {
            let Some(version) = self.replace(probe, first.clone(), None)? else {
                return Ok(ConditionalWrites::Missing);
            };
            if self.replace(probe, second.clone(), None)?.is_some() {
                return Ok(ConditionalWrites::Missing);
            }
            let Some(newer) = self.replace(probe, second.clone(), Some(&version))? else {
                return Ok(ConditionalWrites::Missing);
            };
            if newer == version || self.replace(probe, first, Some(&version))?.is_some() {
                return Ok(ConditionalWrites::Missing);
            }
            match self.get_versioned(probe)? {
                Some(now) if now.data == second => Ok(ConditionalWrites::Honoured),
                _ => Ok(ConditionalWrites::Missing),
            }
        })();
        self.delete(probe)?;
        match outcome {
            Err(BackendError { kind: ErrorKind::Unsupported, .. }) => Ok(ConditionalWrites::Missing),
            other => other,
        }
    }
}
