//! The error that a person sees: what failed, why, what to do next, and the exit code.
//!
//! All conversions from errors of other rooms stand here, so that their words and codes are read in one
//! place.

use std::error::Error;
use std::fmt;
use std::io;

use super::exit::ExitKind;
use crate::backend::{BackendError, ErrorKind};
use crate::backup;
use crate::base::parse::ParseError;
use crate::maintain::prune::PruneError;
use crate::maintain::repair::RepairPacksError;
use crate::query::QueryError;
use crate::query::select::SelectError;
use crate::repository;
use crate::repository::witness::Contradiction;
use crate::restore::RestoreError;
use crate::source::{FilterError, SourceError, StreamError};

/// Next step after damage.
const DAMAGE_HINT: &str = "see what it touches with: snap check --read-data";

/// Why a command failed.
#[derive(Debug)]
pub struct CliError {
    kind: ExitKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    hints: Vec<String>,
    details: Vec<String>,
}

impl CliError {
    /// Returns an error; `message` is one line that begins with a small letter and holds no secret.
    pub fn new(kind: ExitKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, hints: Vec::new(), details: Vec::new() }
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

    /// Returns the error of a failed write to stdout. A closed pipe counts as success: whoever read it has
    /// enough.
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

    /// Takes its next steps away, for others that fit better.
    pub fn without_hints(mut self) -> Self {
        self.hints.clear();
        self
    }

    /// Adds lines that belong to the error, such as the last words of a command.
    pub fn with_details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// Returns lines that belong to the error and were shown already when they came.
    pub fn details(&self) -> &[String] {
        &self.details
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
        // The store may have named the variables itself.
        match hint.filter(|_| !converted.message.contains("AWS_")) {
            Some(hint) => converted.with_hint(hint),
            None => converted,
        }
    }
}

impl From<repository::Error> for CliError {
    fn from(error: repository::Error) -> Self {
        use repository::Error;
        let is_damage = error.is_damage();
        let (kind, hint) = match error {
            Error::Backend(error) => {
                let converted = Self::from(error);
                let kind = if is_damage { ExitKind::Damaged } else { converted.kind };
                return Self { kind, ..converted };
            }
            Error::Interrupted => return Self::interrupted(),
            Error::NoRepository { .. } => {
                (ExitKind::NoRepository, Some("check --repo, or make a repository with: snap init"))
            }
            Error::Exists { .. } => (ExitKind::Failed, Some("use it as it is, or name another with --repo")),
            Error::Contradicted { contradiction: Contradiction::Gone { .. }, .. } => (
                ExitKind::Damaged,
                Some("mount it if it is not mounted; to begin anew there: snap init --accept-rollback"),
            ),
            Error::Contradicted { .. } => (
                ExitKind::Damaged,
                Some("find out why before anything is written; if it is meant: --accept-rollback"),
            ),
            Error::WrongKey { .. } => (
                ExitKind::WrongKey,
                Some(
                    "check --password-file, --password-command or --key-file, and which repository is meant",
                ),
            ),
            Error::Damaged { .. } | Error::MissingChunk { .. } => (ExitKind::Damaged, Some(DAMAGE_HINT)),
            Error::Newer { .. } => (ExitKind::Failed, Some("use a newer version of snap")),
            Error::Locked { .. } => {
                (ExitKind::Locked, Some("wait with --lock-wait 30m; if its owner is gone: snap unlock"))
            }
            Error::LeaseLost { .. } => (ExitKind::Locked, Some("run the same command again")),
            Error::Overtaken => (ExitKind::Failed, Some("run the same command again")),
            Error::Index(_) => {
                (ExitKind::Failed, Some("it is only a cache: try --no-cache, or another --cache-dir"))
            }
            _ => (ExitKind::Failed, None),
        };
        let message = match error {
            Error::WrongKey { tried } => {
                format!("wrong password or key: it opens none of the repository's keys ({tried} tried)")
            }
            _ => error.to_string(),
        };
        let mut converted = Self::new(kind, message);
        converted.source = taken_source(error);
        match hint {
            Some(hint) => converted.with_hint(hint),
            None => converted,
        }
    }
}

/// Returns the cause below `error`, whose own message is said already.
fn taken_source(error: repository::Error) -> Option<Box<dyn Error + Send + Sync>> {
    match error {
        repository::Error::Index(error) => Some(Box::new(error)),
        repository::Error::Format(error) => Some(Box::new(error)),
        repository::Error::Pack(error) => Some(Box::new(error)),
        _ => None,
    }
}

impl From<backup::Error> for CliError {
    fn from(error: backup::Error) -> Self {
        use backup::Error;
        match error {
            Error::Repository(error) => error.into(),
            Error::Source(error) => error.into(),
            Error::Stream(error) => error.into(),
            Error::NothingRead { count } => Self::failed(match count {
                1 => "the path could not be read; no snapshot was made".to_owned(),
                count => format!("none of the {count} paths could be read; no snapshot was made"),
            })
            .with_hint("check the paths, and the rights of this user"),
            Error::Usage { .. } => Self::usage(error.to_string()),
        }
    }
}

impl From<SourceError> for CliError {
    fn from(error: SourceError) -> Self {
        let message = error.to_string();
        Self::failed(message).with_source(error.error)
    }
}

impl From<StreamError> for CliError {
    fn from(error: StreamError) -> Self {
        let message = format!("{error}; no snapshot was made");
        match error {
            StreamError::Start { command, error } => {
                let converted = Self::failed(format!("cannot start {command}; no snapshot was made"));
                let hint = (error.kind() == io::ErrorKind::NotFound)
                    .then_some("check the name; no shell runs it, so write sh -c '…' for pipes");
                let converted = converted.with_source(error);
                match hint {
                    Some(hint) => converted.with_hint(hint),
                    None => converted,
                }
            }
            StreamError::Failed { stderr_tail, .. } => {
                let lines = stderr_tail.lines().map(str::to_owned).collect();
                Self::failed(message).with_details(lines)
            }
            StreamError::Wait { error, .. } => Self::failed(message).with_source(error),
            _ => Self::failed(message),
        }
    }
}

impl From<RestoreError> for CliError {
    fn from(error: RestoreError) -> Self {
        let message = error.to_string();
        match error {
            RestoreError::Repository(error) => error.into(),
            RestoreError::Output(error) => Self::output(error),
            RestoreError::Target { source, .. } => {
                let hint = match source.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        "make space, then run it again: it goes on where it stopped"
                    }
                    io::ErrorKind::PermissionDenied => "check the rights of this user on --target",
                    _ => "check --target",
                };
                Self::failed(message).with_source(source).with_hint(hint)
            }
            RestoreError::Content { source, .. } => {
                Self::new(ExitKind::Damaged, message).with_source(source).with_hint(DAMAGE_HINT)
            }
            RestoreError::NotInSnapshot { .. } => {
                Self::failed(message).with_hint("see what is there with: snap ls SNAP")
            }
            RestoreError::NotAFile { .. } => {
                Self::failed(message).with_hint("a folder is written with: snap dump --archive tar")
            }
            RestoreError::Options { .. } => {
                Self::usage(message).with_hint("name it, as in: snap restore latest:/srv/models --delete")
            }
        }
    }
}

impl From<PruneError> for CliError {
    fn from(error: PruneError) -> Self {
        let message = error.to_string();
        match error {
            PruneError::Repository(error) if error.is_full() => Self::from(error).without_hints().with_hint(
                "not even the reserve is left: make a little space by other means, then prune again",
            ),
            PruneError::Repository(error) => error.into(),
            PruneError::DropsAll { .. } => Self::failed(format!("{message}; nothing was dropped"))
                .with_hint("keep some, or permit it with --allow-empty"),
            PruneError::UnreadableSnapshot { source, .. } => {
                Self::new(ExitKind::Damaged, message).with_source(source)
            }
            PruneError::DamagedIndex { .. } | PruneError::PackLost { .. } => {
                Self::new(ExitKind::Damaged, message)
            }
            _ => Self::failed(message),
        }
    }
}

impl From<RepairPacksError> for CliError {
    fn from(error: RepairPacksError) -> Self {
        let message = error.to_string();
        match error {
            RepairPacksError::Repository(error) => error.into(),
            RepairPacksError::Aside { source, .. } => {
                Self::failed(message).with_source(source).with_hint("name another folder with --aside")
            }
        }
    }
}

impl From<FilterError> for CliError {
    fn from(error: FilterError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<QueryError> for CliError {
    fn from(error: QueryError) -> Self {
        let message = error.to_string();
        match error {
            QueryError::Repository(error) => error.into(),
            QueryError::Unreadable { source, .. } => {
                Self::new(ExitKind::Damaged, message).with_source(source).with_hint(DAMAGE_HINT)
            }
            _ => Self::failed(message).with_hint("see what is there with: snap ls SNAP"),
        }
    }
}

impl From<SelectError> for CliError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Pattern { .. } => Self::usage(error.to_string()),
            SelectError::NoneMatch { present: 0, .. } => {
                Self::failed("there is no snapshot in this repository yet")
                    .with_hint("make one with: snap backup PATH")
            }
            _ => Self::failed(error.to_string()),
        }
    }
}

impl From<ParseError> for CliError {
    fn from(error: ParseError) -> Self {
        Self::usage(error.to_string())
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
        Kind::Credentials => (
            ExitKind::Failed,
            Some("check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where there is one, AWS_SESSION_TOKEN"),
        ),
        Kind::Full => (
            ExitKind::Failed,
            Some("make space (snap prune works on a full disk), then run the same command again"),
        ),
        Kind::Unreachable => (ExitKind::Failed, Some("check the endpoint in --repo and the network")),
        Kind::Tls => {
            (ExitKind::Failed, Some("check the certificate; name a private authority with --ca-cert"))
        }
        _ => (ExitKind::Failed, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(error: impl Into<CliError>) -> u8 {
        error.into().kind().code()
    }

    #[test]
    fn errors_of_the_rooms_get_the_codes_that_scripts_know() {
        use repository::Error;
        let text = || "x".to_owned();
        assert_eq!(code(Error::NoRepository { location: text() }), 10);
        assert_eq!(code(Error::Locked { holder: text() }), 11);
        assert_eq!(code(Error::LeaseLost { holder: text() }), 11);
        assert_eq!(code(Error::WrongKey { tried: 1 }), 12);
        assert_eq!(code(Error::Damaged { object: text(), reason: text() }), 13);
        assert_eq!(code(Error::Exists { location: text() }), 1);
        assert_eq!(code(Error::Interrupted), 130);
        assert_eq!(code(Error::Backend(BackendError::new(ErrorKind::NoBucket, "cannot list"))), 10);
        assert_eq!(code(Error::Backend(BackendError::new(ErrorKind::NotFound, "cannot read"))), 13);
        assert_eq!(code(BackendError::new(ErrorKind::Unreachable, "cannot list")), 1);
        assert_eq!(code(BackendError::new(ErrorKind::InvalidLocation, "cannot use 'x'")), 2);
        assert_eq!(code(SelectError::Unknown { text: text() }), 1);
        assert_eq!(code(ParseError::new("x", "a size", "1G")), 2);
    }

    #[test]
    fn a_store_error_keeps_its_cause_and_says_the_next_step() {
        let cause = io::Error::other("connection refused");
        let error =
            CliError::from(BackendError::with_source(ErrorKind::Unreachable, "cannot list packs", cause));
        assert_eq!(error.to_string(), "cannot list packs");
        assert_eq!(error.causes(), ["connection refused"]);
        assert_eq!(error.hints().len(), 1);
    }
}
