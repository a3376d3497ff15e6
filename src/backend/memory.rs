//! A store in memory, for tests: clones share it, its whole state can be taken out and put back, its clock is
//! set by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Backend, BackendError, ErrorKind, ObjectInfo, ObjectKey, ObjectKind, PutOutcome};
use super::{Version, Versioned};
use crate::base::Time;

/// A store in memory. Clones are handles on the same objects.
#[derive(Clone, Default)]
pub struct MemoryBackend {
    state: Arc<Mutex<MemoryState>>,
}

/// Everything that a [`MemoryBackend`] holds at one moment; cheap to copy, as bytes are shared.
#[derive(Debug, Clone, Default)]
pub struct MemoryState {
    objects: BTreeMap<ObjectKey, StoredObject>,
    writes: u64,
    now: Time,
}

#[derive(Debug, Clone)]
struct StoredObject {
    data: Bytes,
    modified: Time,
    version: u64,
}

impl MemoryBackend {
    /// Returns an empty store whose clock stands at 1970.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a new store, apart from all others, that starts at `state`.
    pub fn from_state(state: MemoryState) -> Self {
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Returns all that is stored now, to go back to later.
    pub fn state(&self) -> MemoryState {
        self.lock().clone()
    }

    /// Puts `state` in place of all that is stored.
    pub fn set_state(&self, state: MemoryState) {
        *self.lock() = state;
    }

    /// Returns all objects, sorted by key.
    pub fn objects(&self) -> Vec<(ObjectKey, Bytes)> {
        self.lock().objects.iter().map(|(key, object)| (key.clone(), object.data.clone())).collect()
    }

    /// Sets the time that later writes carry.
    pub fn set_now(&self, now: Time) {
        self.lock().now = now;
    }

    /// Puts `data` in place of whatever is at `key`, as damage or an attacker would.
    pub fn overwrite(&self, key: &ObjectKey, data: Bytes) {
        self.lock().write(key, data);
    }

    fn lock(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryState {
    fn write(&mut self, key: &ObjectKey, data: Bytes) -> Version {
        self.writes += 1;
        let object = StoredObject { data, modified: self.now, version: self.writes };
        self.objects.insert(key.clone(), object);
        Version(self.writes.to_string())
    }

    fn find(&self, key: &ObjectKey) -> Result<&StoredObject, BackendError> {
        self.objects
            .get(key)
            .ok_or_else(|| BackendError::new(ErrorKind::NotFound, format!("there is no {key} in memory")))
    }
}

fn info(key: &ObjectKey, object: &StoredObject) -> ObjectInfo {
    ObjectInfo { key: key.clone(), size_bytes: object.data.len() as u64, modified: object.modified }
}

impl Backend for MemoryBackend {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn prepare(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn put_new(&self, key: &ObjectKey, data: Bytes) -> Result<PutOutcome, BackendError> {
        let mut state = self.lock();
        match state.objects.get(key) {
            None => {
                state.write(key, data);
                Ok(PutOutcome::Created)
            }
            Some(there) if there.data.len() == data.len() => Ok(PutOutcome::Existed),
            Some(there) => Err(BackendError::new(
                ErrorKind::Conflict,
                format!("{key} is there with {} bytes instead of {}", there.data.len(), data.len()),
            )),
        }
    }

    fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, BackendError> {
        let state = self.lock();
        let data = &state.find(key)?.data;
        if data.len() as u64 > limit_bytes {
            let action = format!("{key} has {} bytes, more than the {limit_bytes} allowed", data.len());
            return Err(BackendError::new(ErrorKind::Short, action));
        }
        Ok(data.clone())
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length_bytes: u64) -> Result<Bytes, BackendError> {
        let state = self.lock();
        let data = &state.find(key)?.data;
        let end = offset.checked_add(length_bytes).filter(|end| *end <= data.len() as u64);
        match (usize::try_from(offset), end.map(usize::try_from)) {
            (Ok(start), Some(Ok(end))) => Ok(data.slice(start..end)),
            _ => Err(BackendError::new(
                ErrorKind::Short,
                format!("{key} ends before byte {}", offset.saturating_add(length_bytes)),
            )),
        }
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, BackendError> {
        let state = self.lock();
        let of_kind = state.objects.iter().filter(|(key, _)| key.kind() == kind);
        Ok(of_kind.map(|(key, object)| info(key, object)).collect())
    }

    fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, BackendError> {
        Ok(info(key, self.lock().find(key)?))
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), BackendError> {
        self.lock().objects.remove(key);
        Ok(())
    }

    fn get_versioned(&self, key: &ObjectKey) -> Result<Option<Versioned>, BackendError> {
        Ok(self.lock().objects.get(key).map(|object| Versioned {
            data: object.data.clone(),
            version: Version(object.version.to_string()),
            modified: object.modified,
        }))
    }

    fn replace(
        &self,
        key: &ObjectKey,
        data: Bytes,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, BackendError> {
        let mut state = self.lock();
        let current = state.objects.get(key).map(|object| object.version.to_string());
        if current.as_ref() != expected.map(|version| &version.0) {
            return Ok(None);
        }
        Ok(Some(state.write(key, data)))
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryBackend({} objects)", self.lock().objects.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::IndexId;

    #[test]
    fn a_state_put_back_undoes_everything_after_it() {
        let store = MemoryBackend::new();
        let key = ObjectKey::index(&IndexId([1; 32]));
        let before = store.state();
        store.set_now(Time::from_seconds(7));
        store.clone().put_new(&key, Bytes::from_static(b"x")).unwrap();
        assert_eq!(store.stat(&key).unwrap().modified, Time::from_seconds(7));
        let fork = MemoryBackend::from_state(store.state());
        store.set_state(before);
        assert!(store.objects().is_empty());
        assert_eq!(fork.objects().len(), 1);
    }
}
