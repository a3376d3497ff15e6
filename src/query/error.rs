//! What can go wrong with a question to a repository.

use crate::base::escape::escape_name;
use crate::repository;

/// A question cannot be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The snapshot has nothing of this path.
    #[error("no {} in the snapshot", escape_name(.path))]
    NotFound {
        /// The whole path asked for, raw bytes.
        path: Vec<u8>,
    },
    /// Something is asked for below what is no directory.
    #[error("{} is not a directory", escape_name(.path))]
    NotADirectory {
        /// The part of the path that is no directory, raw bytes.
        path: Vec<u8>,
    },
    /// The tree of a directory, or the chunk list of a file, is damaged. What is beside it may be whole: a
    /// walk goes on there.
    #[error("cannot read {}", escape_name(.path))]
    Unreadable {
        /// Whole path, raw bytes.
        path: Vec<u8>,
        /// What is wrong.
        #[source]
        source: repository::Error,
    },
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
}

impl QueryError {
    /// Returns `error` as it concerns `path`: with the path when only that is lost.
    pub(super) fn at(path: &[u8], error: repository::Error) -> Self {
        if !error.is_damage() {
            return Self::Repository(error);
        }
        let path = if path.is_empty() { b"/" } else { path };
        Self::Unreadable { path: path.to_vec(), source: error }
    }

    /// Tells whether only one path is lost, so that a walk can go on.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Unreadable { .. })
    }
}

impl From<crate::index::IndexError> for QueryError {
    fn from(error: crate::index::IndexError) -> Self {
        Self::Repository(error.into())
    }
}
