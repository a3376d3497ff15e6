//! The error that a person sees: what failed, why, what to do next, and the exit code.
//!
//! All conversions from errors of other rooms stand here, so that their words and codes are read in one place.

use std::error::Error;
use std::fmt;
use std::io;

use super::exit::ExitKind;
use crate::backend::{BackendError, ErrorKind};

/// Why a command failed.
#[derive(Debug)]
pub struct CliError {
    kind: ExitKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    hints: Vec<String>,
}

impl CliError {
    /// Returns an error; `message` is one line that begins with a small letter and holds no secret.
    pub fn new(kind: ExitKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, hints: Vec::new() }
    }

    /// Returns an error of kind [`ExitKind::Failed`].
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ExitKind::Failed, message)
    }

    /// Returns an error of kind [`ExitKind::Usage`].
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitKind::Usage, message)
    }

    /// Returns the error of a run that a signal stopped.
    pub fn interrupted() -> Self {
        Self::new(ExitKind::Interrupted, "interrupted")
    }

    /// Returns the error of a command that this build does not have.
    pub fn not_in_this_build(command: &str) -> Self {
        Self::failed(format!("{command} is not in this build"))
    }

    /// Returns the error of a failed write to stdout. A closed pipe counts as success: whoever read it has enough.
    pub fn output(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => ExitKind::Ok,
            _ => ExitKind::Failed,
        };
        Self::new(kind, "cannot write output").with_source(error)
    }

    /// Adds the cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a next step; `hint` is one line.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns how the run ends.
    pub fn kind(&self) -> ExitKind {
        self.kind
    }

    /// Returns the next steps.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Returns the messages of all causes, outermost first, without those that their effect repeats.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut said = self.message.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            let message = cause.to_string();
            if !said.ends_with(&message) {
                causes.push(message.clone());
            }
            said = message;
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CliError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl From<BackendError> for CliError {
    fn from(error: BackendError) -> Self {
        let (kind, hint) = backend_kind(error.kind);
        let message = error.action.clone();
        let mut converted = Self::new(kind, message);
        converted.source = error.source;
        match hint {
            Some(hint) => converted.with_hint(hint),
            None => converted,
        }
    }
}

fn backend_kind(kind: ErrorKind) -> (ExitKind, Option<&'static str>) {
    use ErrorKind as Kind;
    match kind {
        Kind::NoLocation => {
            (ExitKind::NoRepository, Some("check --repo, or make a repository with: snap init"))
        }
        Kind::NoBucket => {
            (ExitKind::NoRepository, Some("check --repo; a bucket is made with the store's own tools"))
        }
        Kind::InvalidLocation => (ExitKind::Usage, Some("check --repo")),
        Kind::NotFound | Kind::Short | Kind::Conflict => {
            (ExitKind::Failed, Some("look for damage with: snap check"))
        }
        Kind::PermissionDenied => {
            (ExitKind::Failed, Some("check the rights of this user or of its access key"))
        }
        Kind::Credentials => (ExitKind::Failed, Some("check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")),
        Kind::Full => (ExitKind::Failed, Some("make space, then run the same command again")),
        Kind::Unreachable => (ExitKind::Failed, Some("check the endpoint in --repo and the network")),
        Kind::Tls => {
            (ExitKind::Failed, Some("check the certificate; name a private authority with --ca-cert"))
        }
        _ => (ExitKind::Failed, None),
    }
}
