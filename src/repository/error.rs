//! What can go wrong with a repository, in kinds that decide exit codes and words.

use super::witness::Contradiction;
use crate::backend::{BackendError, ErrorKind};
use crate::base::ChunkId;
use crate::format::FormatError;
use crate::index::IndexError;
use crate::pack::PackError;

/// A repository cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing is there.
    #[error("no repository at {location}")]
    NoRepository {
        /// Where it was looked for.
        location: String,
    },
    /// Something is there already.
    #[error("there is a repository at {location} already")]
    Exists {
        /// Where.
        location: String,
    },
    /// The store does not show what this host last saw there.
    #[error("the repository at {location} is not what this host last saw there: {contradiction}")]
    Contradicted {
        /// Where.
        location: String,
        /// What is different.
        contradiction: Contradiction,
    },
    /// No key file opens with the secret given.
    #[error("wrong password or key: none of {tried} key files opens")]
    WrongKey {
        /// How many key files were tried.
        tried: usize,
    },
    /// A key cannot be added, removed or made.
    #[error("{reason}")]
    Key {
        /// What and why.
        reason: String,
    },
    /// Stored bytes are wrong or gone.
    #[error("{object} is damaged: {reason}")]
    Damaged {
        /// The object, by its name in the store.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A chunk that something needs is in no pack.
    #[error("chunk {} is missing from the index", .id.short())]
    MissingChunk {
        /// The chunk.
        id: ChunkId,
    },
    /// Written by a later program.
    #[error("{object} was written by a later version of snap: {reason}")]
    Newer {
        /// The object.
        object: String,
        /// What is not known.
        reason: String,
    },
    /// Somebody else does exclusive work.
    #[error("the repository is locked by {holder}")]
    Locked {
        /// Host, process and command of the holder, and since when.
        holder: String,
    },
    /// The lease was lost while it was needed.
    #[error("the lease was lost to {holder}")]
    LeaseLost {
        /// Who has it now.
        holder: String,
    },
    /// A plan took away what this run relied on.
    #[error("a prune took away packs that this backup relied on")]
    Overtaken,
    /// The run was stopped from outside.
    #[error("interrupted")]
    Interrupted,
    /// The store failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The local index database failed.
    #[error("the local index cannot be used")]
    Index(#[from] IndexError),
    /// Something cannot be encoded within the limits of the format.
    #[error("cannot be stored")]
    Format(#[from] FormatError),
    /// A pack could not be made.
    #[error("a pack cannot be made")]
    Pack(#[source] PackError),
    /// A thread of the pipeline ended without a word.
    #[error("internal: {what}")]
    Internal {
        /// Which part.
        what: &'static str,
    },
}

impl Error {
    /// Returns the error of an object whose bytes break the format: damaged, or newer.
    pub fn of_format(object: impl Into<String>, error: &FormatError) -> Self {
        let (object, reason) = (object.into(), error.to_string());
        match error {
            FormatError::Version { .. } | FormatError::Feature { .. } => Self::Newer { object, reason },
            _ => Self::Damaged { object, reason },
        }
    }

    /// Returns the error of a pack that cannot be read: the store's own, or damage that names the pack.
    pub fn of_pack(object: impl Into<String>, error: PackError) -> Self {
        match error {
            PackError::Backend(error) if !matches!(error.kind, ErrorKind::NotFound | ErrorKind::Short) => {
                Self::Backend(error)
            }
            PackError::Format(error) => Self::of_format(object, &error),
            error => Self::Damaged { object: object.into(), reason: describe(&error) },
        }
    }

    /// Tells whether the store had no space for what was to be written.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Backend(error) if error.kind == ErrorKind::Full)
    }

    /// Tells whether stored bytes are wrong or gone, so that other files may still be whole.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::MissingChunk { .. } => true,
            Self::Backend(error) => matches!(error.kind, ErrorKind::NotFound | ErrorKind::Short),
            _ => false,
        }
    }
}

/// Returns an error and its causes in one line.
pub fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
