//! Typed objects: sealed bytes in the store to decoded bodies and back.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Error, Repository};
use crate::backend::{ErrorKind, ObjectInfo, ObjectKey, ObjectKind};
use crate::base::limits::{
    INDEX_PLAIN_MAX_BYTES, LEASE_MAX_BYTES, PLAN_PLAIN_MAX_BYTES, SNAPSHOT_PLAIN_MAX_BYTES,
};
use crate::base::{IndexId, PlanId, SnapshotId};
use crate::crypto::KeyRing;
use crate::format::index::IndexPack;
use crate::format::plan::Plan;
use crate::format::sealed::{self, associated_data};
use crate::format::snapshot::Snapshot;
use crate::format::{Kind, frame};

/// The snapshots that can be read, oldest first, and the errors of those that cannot.
pub type LoadedSnapshots = (Vec<(SnapshotId, Snapshot)>, Vec<Error>);

/// What sealing and framing add to a plain body at most.
pub(crate) const SHELL_BYTES: u64 = 64;

/// Returns the stored bytes of a sealed object.
pub(crate) fn seal_object(keys: &KeyRing, kind: Kind, body: &[u8], limit: u64) -> Result<Bytes, Error> {
    let framed = frame::encode(body, limit, kind.word())?;
    let sealed = keys.seal(&associated_data(kind, &keys.repository()), &framed);
    Ok(Bytes::from(sealed::wrap(kind, &sealed)))
}

/// Returns the body of a stored object; `object` names it in errors.
pub(crate) fn open_object(
    keys: &KeyRing,
    kind: Kind,
    object: &str,
    stored: &[u8],
    limit: u64,
) -> Result<Vec<u8>, Error> {
    let of_format = |error| Error::of_format(object, &error);
    let sealed = sealed::unwrap(kind, stored).map_err(of_format)?;
    let framed = keys
        .open(&associated_data(kind, &keys.repository()), sealed)
        .map_err(|error| Error::Damaged { object: object.to_owned(), reason: error.to_string() })?;
    frame::decode(&framed, limit, kind.word()).map_err(of_format)
}

impl Repository {
    fn fetch(&self, key: &ObjectKey, limit: u64) -> Result<Bytes, Error> {
        let stored = self.backend.get(key, limit + SHELL_BYTES).map_err(|error| match error.kind {
            ErrorKind::Short => Error::Damaged { object: key.to_string(), reason: error.action },
            _ => Error::Backend(error),
        })?;
        if key.id_bytes().is_some_and(|id| blake3::hash(&stored).as_bytes() != &id) {
            return Err(Error::Damaged {
                object: key.to_string(),
                reason: "bytes do not match the name".to_owned(),
            });
        }
        Ok(stored)
    }

    fn load(&self, kind: Kind, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, Error> {
        let stored = self.fetch(key, limit)?;
        open_object(&self.keys, kind, key.path(), &stored, limit)
    }

    fn store(&self, kind: Kind, body: &[u8], limit: u64) -> Result<([u8; 32], Bytes), Error> {
        let stored = seal_object(&self.keys, kind, body, limit)?;
        Ok((*blake3::hash(&stored).as_bytes(), stored))
    }

    /// Returns the ids of all snapshots, sorted, each once.
    pub fn snapshot_ids(&self) -> Result<Vec<SnapshotId>, Error> {
        let infos = self.backend.list(ObjectKind::Snapshot)?;
        // Whoever counts snapshots must not count one twice that a listing names twice.
        let ids: BTreeSet<SnapshotId> =
            infos.iter().filter_map(|info| info.key.id_bytes()).map(SnapshotId).collect();
        Ok(ids.into_iter().collect())
    }

    /// Returns one snapshot.
    pub fn load_snapshot(&self, id: &SnapshotId) -> Result<Snapshot, Error> {
        let key = ObjectKey::snapshot(id);
        let cached = self.index.cached_object("snapshot", &id.0)?;
        let stored = match cached.filter(|stored| blake3::hash(stored).as_bytes() == &id.0) {
            Some(stored) => Bytes::from(stored),
            None => {
                let stored = self.fetch(&key, SNAPSHOT_PLAIN_MAX_BYTES)?;
                self.index.cache_object("snapshot", &id.0, &stored)?;
                stored
            }
        };
        let limit = SNAPSHOT_PLAIN_MAX_BYTES;
        let body = open_object(&self.keys, Kind::Snapshot, key.path(), &stored, limit)?;
        let snapshot = Snapshot::decode(&body).map_err(|error| Error::of_format(key.path(), &error))?;
        if snapshot.repository != self.keys.repository() {
            return Err(Error::Damaged {
                object: key.to_string(),
                reason: "belongs to another repository".to_owned(),
            });
        }
        if let Some(feature) = snapshot.features.first() {
            return Err(Error::Newer { object: key.to_string(), reason: format!("needs {feature}") });
        }
        Ok(snapshot)
    }

    /// Returns all snapshots that can be read, oldest first, and the errors of those that cannot.
    pub fn load_snapshots(&self) -> Result<LoadedSnapshots, Error> {
        let mut good = Vec::new();
        let mut bad = Vec::new();
        for id in self.snapshot_ids()? {
            match self.load_snapshot(&id) {
                Ok(snapshot) => good.push((id, snapshot)),
                // Dropped by somebody since it was listed.
                Err(Error::Backend(error)) if error.kind == ErrorKind::NotFound => {}
                Err(error) if error.is_damage() || matches!(error, Error::Newer { .. }) => bad.push(error),
                Err(error) => return Err(error),
            }
        }
        good.sort_by_key(|(id, snapshot)| (snapshot.time, *id));
        Ok((good, bad))
    }

    /// Writes a snapshot: the commit point of everything that it names.
    pub fn store_snapshot(&self, snapshot: &Snapshot) -> Result<SnapshotId, Error> {
        let (id, stored) = self.store(Kind::Snapshot, &snapshot.encode()?, SNAPSHOT_PLAIN_MAX_BYTES)?;
        let id = SnapshotId(id);
        self.backend.put_new(&ObjectKey::snapshot(&id), stored)?;
        Ok(id)
    }

    /// Drops a snapshot.
    pub fn delete_snapshot(&self, id: &SnapshotId) -> Result<(), Error> {
        Ok(self.backend.delete(&ObjectKey::snapshot(id))?)
    }

    /// Returns what an index object says.
    pub fn load_index_object(&self, id: &IndexId) -> Result<Vec<IndexPack>, Error> {
        let key = ObjectKey::index(id);
        let body = self.load(Kind::Index, &key, INDEX_PLAIN_MAX_BYTES)?;
        crate::format::index::decode(&body).map_err(|error| Error::of_format(key.path(), &error))
    }

    /// Writes an index object of `packs`, sorted by id. Returns its id and stored size.
    pub fn store_index_object(&self, packs: &[IndexPack]) -> Result<(IndexId, u64), Error> {
        let body = crate::format::index::encode(packs)?;
        let (id, stored) = self.store(Kind::Index, &body, INDEX_PLAIN_MAX_BYTES)?;
        let (id, size_bytes) = (IndexId(id), crate::format::wire::length(stored.len()));
        self.backend.put_new(&ObjectKey::index(&id), stored)?;
        Ok((id, size_bytes))
    }

    /// Deletes an index object.
    pub fn delete_index_object(&self, id: &IndexId) -> Result<(), Error> {
        Ok(self.backend.delete(&ObjectKey::index(id))?)
    }

    /// Returns all prune plans with their listing entries (whose times are the store's).
    pub fn load_plans(&self) -> Result<Vec<(PlanId, ObjectInfo, Plan)>, Error> {
        let mut plans = Vec::new();
        for info in self.backend.list(ObjectKind::Plan)? {
            let Some(id) = info.key.id_bytes().map(PlanId) else { continue };
            match self.load(Kind::Plan, &info.key, PLAN_PLAIN_MAX_BYTES) {
                Ok(body) => {
                    let plan =
                        Plan::decode(&body).map_err(|error| Error::of_format(info.key.path(), &error))?;
                    plans.push((id, info, plan));
                }
                // Finished by a maintainer since it was listed.
                Err(Error::Backend(error)) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(plans)
    }

    /// Writes a prune plan.
    pub fn store_plan(&self, plan: &Plan) -> Result<PlanId, Error> {
        let (id, stored) = self.store(Kind::Plan, &plan.encode()?, PLAN_PLAIN_MAX_BYTES)?;
        let id = PlanId(id);
        self.backend.put_new(&ObjectKey::plan(&id), stored)?;
        Ok(id)
    }

    /// Deletes a prune plan.
    pub fn delete_plan(&self, id: &PlanId) -> Result<(), Error> {
        Ok(self.backend.delete(&ObjectKey::plan(id))?)
    }

    /// Returns the stored bytes of a lease body.
    pub(crate) fn seal_lease(&self, body: &[u8]) -> Result<Bytes, Error> {
        seal_object(&self.keys, Kind::Lease, body, LEASE_MAX_BYTES)
    }

    /// Returns the body of a stored lease.
    pub(crate) fn open_lease(&self, key: &ObjectKey, stored: &[u8]) -> Result<Vec<u8>, Error> {
        open_object(&self.keys, Kind::Lease, key.path(), stored, LEASE_MAX_BYTES)
    }
}

/// Returns BLAKE3 of the sorted, concatenated ids: what a snapshot records as seen.
pub fn seen_digest(ids: &[SnapshotId]) -> [u8; 32] {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for id in &sorted {
        hasher.update(&id.0);
    }
    *hasher.finalize().as_bytes()
}
