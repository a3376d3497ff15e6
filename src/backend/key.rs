//! Names of stored objects (`format-spec/02-layout.md`): built from ids, never from free text.

use std::fmt;

use crate::base::id::unhex;
use crate::base::{IndexId, KeyFileId, PackId, PlanId, SnapshotId};

/// The folders of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// `config/`
    Config,
    /// `keys/`
    Key,
    /// `packs/`
    Pack,
    /// `index/`
    Index,
    /// `snapshots/`
    Snapshot,
    /// `plans/`
    Plan,
    /// `locks/`
    Lock,
}

impl ObjectKind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Config, Self::Key, Self::Pack, Self::Index, Self::Snapshot, Self::Plan, Self::Lock];

    /// Returns the folder, without slash.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "keys",
            Self::Pack => "packs",
            Self::Index => "index",
            Self::Snapshot => "snapshots",
            Self::Plan => "plans",
            Self::Lock => "locks",
        }
    }
}

/// The name of one object, valid by construction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    kind: ObjectKind,
    path: String,
}

impl ObjectKey {
    /// Returns `config/<number>`.
    pub fn config(number: u32) -> Self {
        Self { kind: ObjectKind::Config, path: format!("config/{number:08}") }
    }

    /// Returns `keys/<id>`.
    pub fn key_file(id: &KeyFileId) -> Self {
        Self { kind: ObjectKind::Key, path: format!("keys/{id}") }
    }

    /// Returns `packs/<aa>/<id>`.
    pub fn pack(id: &PackId) -> Self {
        let text = id.to_string();
        Self { kind: ObjectKind::Pack, path: format!("packs/{}/{text}", &text[..2]) }
    }

    /// Returns `index/<id>`.
    pub fn index(id: &IndexId) -> Self {
        Self { kind: ObjectKind::Index, path: format!("index/{id}") }
    }

    /// Returns `snapshots/<id>`.
    pub fn snapshot(id: &SnapshotId) -> Self {
        Self { kind: ObjectKind::Snapshot, path: format!("snapshots/{id}") }
    }

    /// Returns `plans/<id>`.
    pub fn plan(id: &PlanId) -> Self {
        Self { kind: ObjectKind::Plan, path: format!("plans/{id}") }
    }

    /// Returns `locks/<name>`, or `None` for a name with anything but lower-case letters, digits and `-`.
    pub fn lock(name: &str) -> Option<Self> {
        let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        (!name.is_empty() && name.len() <= 64 && name.bytes().all(good))
            .then(|| Self { kind: ObjectKind::Lock, path: format!("locks/{name}") })
    }

    /// Returns the key that `path` (relative to the repository, `/` between parts) is the name of, if it is
    /// one.
    pub fn parse(path: &str) -> Option<Self> {
        let (folder, rest) = path.split_once('/')?;
        let kind = ObjectKind::ALL.into_iter().find(|kind| kind.folder() == folder)?;
        let is_id = |text: &str| text.len() == 64 && unhex(text).is_some();
        let valid = match kind {
            ObjectKind::Config => rest.len() == 8 && rest.bytes().all(|c| c.is_ascii_digit()),
            ObjectKind::Pack => rest.split_once('/').is_some_and(|(head, id)| is_id(id) && head == &id[..2]),
            ObjectKind::Lock => return Self::lock(rest),
            _ => is_id(rest),
        };
        valid.then(|| Self { kind, path: path.to_owned() })
    }

    /// Returns the folder that this object is in.
    pub fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// Returns the path relative to the repository.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the last part of the path: an id in hexadecimal, a config number or a lock name.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Returns the 32 bytes that name a content-named object; `None` for config and locks.
    pub fn id_bytes(&self) -> Option<[u8; 32]> {
        unhex(self.name())?.try_into().ok()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectKey({})", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_layout_parse() {
        let pack = ObjectKey::pack(&PackId([7; 32]));
        assert_eq!(ObjectKey::parse(pack.path()), Some(pack.clone()));
        assert_eq!(pack.id_bytes(), Some([7; 32]));
        for foreign in ["packs/00/ab", "readme", "index/.tmp-1", "config/1", "locks/A", "packs/../x"] {
            assert_eq!(ObjectKey::parse(foreign), None, "{foreign}");
        }
        let misplaced = pack.path().replacen("packs/07/", "packs/08/", 1);
        assert_eq!(ObjectKey::parse(&misplaced), None);
    }
}
