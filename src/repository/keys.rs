//! The key files of a repository: unlock, add, list, remove.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Error, LeaseGuard, Repository};
use crate::backend::{Backend, ErrorKind, ObjectKey, ObjectKind};
use crate::base::limits::{KEY_FILE_COUNT_MAX, KEY_FILE_MAX_BYTES};
use crate::base::{Entropy, KeyFileId, RepositoryId, Time};
use crate::crypto::password::{self, KeyFileError};
use crate::crypto::{MasterKey, Secret};
use crate::format::keyfile::{Kdf, KeyFile};
use crate::format::wire::length;

/// A key file of a repository.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    /// Its id.
    pub id: KeyFileId,
    /// How its secret becomes a key; `None` when the file cannot be read.
    pub kdf: Option<Kdf>,
    /// When it was stored, by the store's clock.
    pub stored: Time,
    /// Its label; known for the file that the secret at hand opens.
    pub label: Option<String>,
}

/// Stores a key file that wraps `master` under `secret`, and reads it back: the next step may be to remove
/// the only other one. Returns its id.
pub(super) fn store_key_file(
    backend: &dyn Backend,
    repository: RepositoryId,
    master: &MasterKey,
    secret: &Secret,
    label: &str,
    created: Time,
    entropy: &dyn Entropy,
) -> Result<KeyFileId, Error> {
    let file = password::wrap(repository, master, secret, label, created, entropy)
        .map_err(|error| Error::Key { reason: format!("cannot make a key file: {error}") })?;
    let bytes = Bytes::from(file.encode());
    let id = KeyFileId(*blake3::hash(&bytes).as_bytes());
    let key = ObjectKey::key_file(&id);
    backend.put_new(&key, bytes.clone())?;
    if backend.get(&key, KEY_FILE_MAX_BYTES)? != bytes {
        let reason = "reads back as something else than what was stored".to_owned();
        return Err(Error::Damaged { object: key.to_string(), reason });
    }
    Ok(id)
}

enum Attempt {
    Opened(RepositoryId, MasterKey, String),
    Wrong,
    Damaged(Error),
}

fn attempt(backend: &dyn Backend, key: &ObjectKey, secret: &Secret) -> Result<Attempt, Error> {
    let stored = match backend.get(key, KEY_FILE_MAX_BYTES) {
        Ok(stored) => stored,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(Attempt::Wrong),
        Err(error) => return Err(error.into()),
    };
    let damaged = |reason: String| Ok(Attempt::Damaged(Error::Damaged { object: key.to_string(), reason }));
    if key.id_bytes().as_ref() != Some(blake3::hash(&stored).as_bytes()) {
        return damaged("bytes do not match the name".to_owned());
    }
    let file = match KeyFile::decode(&stored) {
        Ok(file) => file,
        Err(error) => return Ok(Attempt::Damaged(Error::of_format(key.path(), &error))),
    };
    match password::unwrap(&file, secret) {
        Ok((repository, master, label)) => Ok(Attempt::Opened(repository, master, label)),
        Err(KeyFileError::WrongSecret) => Ok(Attempt::Wrong),
        Err(error) => damaged(error.to_string()),
    }
}

/// Returns the repository id and master key that one of the key files gives for `secret`.
///
/// A damaged key file is reported only when no other one opens.
///
/// An `init` that was broken off, or came second, leaves a key file of a repository that never was, maybe for
/// the same secret: only one that `is_right` counts, unless there is no other.
pub(super) fn unlock(
    backend: &dyn Backend,
    secret: &Secret,
    is_right: &dyn Fn(RepositoryId, &MasterKey) -> bool,
) -> Result<(RepositoryId, MasterKey), Error> {
    let (_, repository, master, _) = find_key(backend, secret, is_right)?;
    Ok((repository, master))
}

fn find_key(
    backend: &dyn Backend,
    secret: &Secret,
    is_right: &dyn Fn(RepositoryId, &MasterKey) -> bool,
) -> Result<(KeyFileId, RepositoryId, MasterKey, String), Error> {
    let infos = backend.list(ObjectKind::Key)?;
    let limit = usize::try_from(KEY_FILE_COUNT_MAX).unwrap_or(usize::MAX);
    let (mut damage, mut strange) = (None, None);
    let tried = infos.len().min(limit);
    for info in infos.iter().take(limit) {
        match attempt(backend, &info.key, secret)? {
            Attempt::Opened(repository, master, label) => {
                let id = KeyFileId(info.key.id_bytes().unwrap_or_default());
                if is_right(repository, &master) {
                    return Ok((id, repository, master, label));
                }
                strange = strange.or(Some((id, repository, master, label)));
            }
            Attempt::Wrong => {}
            Attempt::Damaged(error) => damage = damage.or(Some(error)),
        }
    }
    if let Some(strange) = strange {
        return Ok(strange);
    }
    if infos.is_empty() {
        let reason = "has no key files; a printed sheet of the master key still opens it".to_owned();
        return Err(Error::Damaged { object: "keys/".to_owned(), reason });
    }
    Err(damage.unwrap_or(Error::WrongKey { tried }))
}

impl Repository {
    fn find_own_key(&self, secret: &Secret) -> Result<(KeyFileId, RepositoryId, MasterKey, String), Error> {
        find_key(self.backend.as_ref(), secret, &|repository, _| repository == self.keys.repository())
    }

    /// Returns the key files; the one that `secret` opens carries its label.
    pub fn list_keys(&self, secret: Option<&Secret>) -> Result<Vec<KeyInfo>, Error> {
        let opened = match secret {
            Some(secret) => Some(self.find_own_key(secret)?),
            None => None,
        };
        let mut keys = Vec::new();
        for info in self.backend.list(ObjectKind::Key)? {
            let Some(id) = info.key.id_bytes().map(KeyFileId) else { continue };
            let stored = self.backend.get(&info.key, KEY_FILE_MAX_BYTES).ok();
            let kdf = stored.and_then(|stored| KeyFile::decode(&stored).ok()).map(|file| file.kdf);
            let label = opened.as_ref().filter(|(at, ..)| *at == id).map(|(.., label)| label.clone());
            keys.push(KeyInfo { id, kdf, stored: info.modified, label });
        }
        Ok(keys)
    }

    /// Returns the master key again, for adding key files and printing sheets.
    pub fn reveal_master(&self, secret: &super::OpenSecret) -> Result<MasterKey, Error> {
        match secret {
            super::OpenSecret::Master(_, master) => Ok(master.clone()),
            super::OpenSecret::KeyFile(secret) => Ok(self.find_own_key(secret)?.2),
        }
    }

    /// Adds a key file for `secret`.
    pub fn add_key(&self, master: &MasterKey, secret: &Secret, label: &str) -> Result<KeyFileId, Error> {
        self.require_writable()?;
        if length(self.backend.list(ObjectKind::Key)?.len()) >= KEY_FILE_COUNT_MAX {
            let reason = format!("a repository has at most {KEY_FILE_COUNT_MAX} key files: remove one first");
            return Err(Error::Key { reason });
        }
        let (repository, now) = (self.keys.repository(), self.clock.now());
        let entropy = self.entropy.as_ref();
        store_key_file(self.backend.as_ref(), repository, master, secret, label, now, entropy)
    }

    /// Returns the key file that `secret` opens.
    pub fn key_of(&self, secret: &Secret) -> Result<KeyFileId, Error> {
        Ok(self.find_own_key(secret)?.0)
    }

    /// Removes a key file; refuses the last one.
    ///
    /// Whoever had its secret and a copy of the file can still derive the master key.
    pub fn remove_key(self: &Arc<Self>, id: &KeyFileId, wait: Duration) -> Result<(), Error> {
        self.require_writable()?;
        // Two removals side by side could take the last two.
        let _lease = LeaseGuard::acquire(self, "remove key", wait)?;
        let infos = self.backend.list(ObjectKind::Key)?;
        let key = ObjectKey::key_file(id);
        if !infos.iter().any(|info| info.key == key) {
            return Err(Error::Key { reason: format!("there is no key file {}", id.short()) });
        }
        if infos.len() == 1 {
            let reason = "this is the last key file: add another one before removing it".to_owned();
            return Err(Error::Key { reason });
        }
        Ok(self.backend.delete(&key)?)
    }
}
