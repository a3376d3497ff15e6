//! What can go wrong with the local index database.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::base::PackId;

/// Why the index database could not answer or take something in. None of these means damage to the
/// repository.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// SQLite failed: the disk is full, another process held the database for too long, …
    #[error("index database failed")]
    Database {
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// SQLite found its file broken. The next open makes the database anew.
    #[error("index database is damaged and will be made anew when next opened")]
    Corrupt {
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// Rows contradict each other. The next open makes the database anew.
    #[error("index database contradicts itself ({what}) and will be made anew when next opened")]
    Inconsistent {
        /// What is wrong.
        what: &'static str,
    },
    /// The folder of the database cannot be used.
    #[error("index database folder {} cannot be used", path.display())]
    Folder {
        /// Which path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Two index objects say different things about one pack.
    #[error("index objects disagree about pack {pack}")]
    Disagree {
        /// Which pack.
        pack: PackId,
    },
    /// A pack came without directory, as a known one, and is not known.
    #[error("pack {pack} came without its directory and is not in the index database")]
    UnknownPack {
        /// Which pack.
        pack: PackId,
    },
    /// A directory breaks a bound of the format.
    #[error("pack {pack} cannot be indexed: {what}")]
    Record {
        /// Which pack.
        pack: PackId,
        /// Which bound.
        what: &'static str,
    },
}

impl IndexError {
    /// Returns whether the database itself is broken: dropping it and building it anew helps.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Inconsistent { .. })
    }

    pub(super) fn folder(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Folder { path, source }
    }
}

impl From<rusqlite::Error> for IndexError {
    fn from(source: rusqlite::Error) -> Self {
        if is_corruption(&source) { Self::Corrupt { source } } else { Self::Database { source } }
    }
}

/// Beside the two codes that say it, a short read, a missing table and a value of another type mean a broken
/// file: statements and schema are fixed.
fn is_corruption(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
                || failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ
        }
        rusqlite::Error::SqlInputError { .. }
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::InvalidColumnName(..)
        | rusqlite::Error::QueryReturnedNoRows => true,
        _ => false,
    }
}
