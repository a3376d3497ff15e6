//! What ends a restore: the repository, the target, the output and the request are kept apart.

use std::io;
use std::path::PathBuf;

use crate::base::escape::escape_name;
use crate::repository;

/// A restore or dump cannot go on. What concerns one file only is in
/// [`RestoreStats::failed`](super::RestoreStats::failed) instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The repository cannot be read, or the run was stopped.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// The file system of the target fails: it is full, read-only or broken.
    #[error("cannot {action} {}", escape_name(.path.as_os_str().as_encoded_bytes()))]
    Target {
        /// The path below the target, or the target itself.
        path: PathBuf,
        /// What was being done: `write`, `make`.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The output of a dump fails.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// A file that is dumped is damaged; what was written so far is right but not all of it.
    #[error("{} cannot be read", escape_name(.path))]
    Content {
        /// The path in the snapshot.
        path: Vec<u8>,
        /// The damage.
        #[source]
        source: repository::Error,
    },
    /// The snapshot has no such path.
    #[error("{} is not in the snapshot", escape_name(.path))]
    NotInSnapshot {
        /// The path that was asked for.
        path: Vec<u8>,
    },
    /// Only a regular file can be dumped as it is.
    #[error("{} is not a regular file", escape_name(.path))]
    NotAFile {
        /// The path that was asked for.
        path: Vec<u8>,
    },
    /// The options do not go together.
    #[error("{reason}")]
    Options {
        /// Why not.
        reason: &'static str,
    },
}

impl RestoreError {
    /// Returns the error of the target for `error`.
    pub(super) fn target(
        path: impl Into<PathBuf>,
        action: &'static str,
        error: impl Into<io::Error>,
    ) -> Self {
        Self::Target { path: path.into(), action, source: error.into() }
    }
}

/// Tells whether an error of the target concerns the whole file system, so that going on makes no sense.
pub(super) fn is_fatal(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let full = matches!(error.kind(), Kind::StorageFull | Kind::QuotaExceeded | Kind::ReadOnlyFilesystem);
    full || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn only_what_concerns_the_whole_file_system_ends_a_restore() {
        let is_fatal = |error: &Errno| is_fatal(&(*error).into());
        assert!([Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::IO].iter().all(is_fatal));
        assert!(![Errno::ACCESS, Errno::NOENT, Errno::EXIST, Errno::NAMETOOLONG].iter().any(is_fatal));
    }
}
