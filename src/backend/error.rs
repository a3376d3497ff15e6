//! What can go wrong with a store, in kinds that callers decide by and people understand.

use std::error::Error;
use std::fmt;

/// Why a store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such object.
    NotFound,
    /// The place itself (directory) is missing.
    NoLocation,
    /// The bucket does not exist.
    NoBucket,
    /// The bucket or location name is not possible.
    InvalidLocation,
    /// An object of the same name but different size is there.
    Conflict,
    /// The object ends before the range that was asked for, or is larger than allowed.
    Short,
    /// Not allowed.
    PermissionDenied,
    /// The credentials are wrong, missing or expired.
    Credentials,
    /// No space or quota left.
    Full,
    /// No answer: wrong endpoint, no network, server down.
    Unreachable,
    /// Certificate or protocol trouble.
    Tls,
    /// The store cannot do this.
    Unsupported,
    /// Anything else.
    Other,
}

/// One failed call to a store.
#[derive(Debug)]
pub struct BackendError {
    /// Why.
    pub kind: ErrorKind,
    /// What was being done, in words: `cannot read packs/ab/...`.
    pub action: String,
    /// The cause below, if there is one. Never holds a secret.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl BackendError {
    /// Returns an error with no deeper cause.
    pub fn new(kind: ErrorKind, action: impl Into<String>) -> Self {
        Self { kind, action: action.into(), source: None }
    }

    /// Returns an error with its cause.
    pub fn with_source(
        kind: ErrorKind,
        action: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, action: action.into(), source: Some(source.into()) }
    }

    /// Returns an error of the local file system, its kind taken from the code of the operating system.
    pub fn from_io(action: impl Into<String>, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
            Io::StorageFull | Io::QuotaExceeded => ErrorKind::Full,
            Io::UnexpectedEof => ErrorKind::Short,
            _ => ErrorKind::Other,
        };
        Self::with_source(kind, action, error)
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.action)
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
