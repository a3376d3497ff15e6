//! Reading stored objects for their own sake: from the store, past every cache.

use super::objects::{SHELL_BYTES, open_object};
use super::{Error, Repository};
use crate::backend::{ErrorKind, ObjectKey, ObjectKind};
use crate::base::limits::{
    CONFIG_PLAIN_MAX_BYTES, KEY_FILE_MAX_BYTES, LEASE_MAX_BYTES, PLAN_PLAIN_MAX_BYTES,
    SNAPSHOT_PLAIN_MAX_BYTES,
};
use crate::format::config::Config;
use crate::format::index::IndexPack;
use crate::format::keyfile::KeyFile;
use crate::format::lease::Lease;
use crate::format::plan::Plan;
use crate::format::snapshot::Snapshot;
use crate::format::{FormatError, Kind};
use crate::index::PackRecord;

impl Repository {
    /// Reads a config, key file, snapshot, plan or lease from the store and decodes it.
    ///
    /// Fails with [`Error::Damaged`] or [`Error::Newer`] when its bytes are wrong, with the store's error
    /// when it is gone or cannot be read. Packs and index objects are read elsewhere and always pass.
    pub fn audit_object(&self, key: &ObjectKey) -> Result<(), Error> {
        let (kind, limit) = match key.kind() {
            ObjectKind::Config => (Kind::Config, CONFIG_PLAIN_MAX_BYTES),
            ObjectKind::Key => (Kind::Key, KEY_FILE_MAX_BYTES),
            ObjectKind::Snapshot => (Kind::Snapshot, SNAPSHOT_PLAIN_MAX_BYTES),
            ObjectKind::Plan => (Kind::Plan, PLAN_PLAIN_MAX_BYTES),
            ObjectKind::Lock => (Kind::Lease, LEASE_MAX_BYTES),
            ObjectKind::Pack | ObjectKind::Index => return Ok(()),
        };
        let damaged = |reason: String| Error::Damaged { object: key.to_string(), reason };
        let stored = self.backend.get(key, limit + SHELL_BYTES).map_err(|error| match error.kind {
            ErrorKind::Short => damaged(error.action),
            _ => Error::Backend(error),
        })?;
        if key.id_bytes().is_some_and(|id| blake3::hash(&stored).as_bytes() != &id) {
            return Err(damaged("bytes do not match the name".to_owned()));
        }
        let of_format = |error: FormatError| Error::of_format(key.path(), &error);
        if kind == Kind::Key {
            return KeyFile::decode(&stored).map(|_| ()).map_err(of_format);
        }
        let body = open_object(&self.keys, kind, key.path(), &stored, limit)?;
        let owner = match kind {
            Kind::Config => Some(Config::decode(&body).map_err(of_format)?.repository),
            Kind::Snapshot => Some(Snapshot::decode(&body).map_err(of_format)?.repository),
            Kind::Plan => Plan::decode(&body).map(|_| None).map_err(of_format)?,
            _ => Lease::decode(&body).map(|_| None).map_err(of_format)?,
        };
        if owner.is_some_and(|owner| owner != self.keys.repository()) {
            return Err(damaged("belongs to another repository".to_owned()));
        }
        Ok(())
    }
}

/// Returns what an index object says of a pack: with its directory where that weighs little.
pub fn index_entry(record: PackRecord) -> IndexPack {
    super::uploader::index_entry(record)
}
