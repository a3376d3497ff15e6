//! Exit codes: what scripts decide by. They are API and never change their meaning.

use std::process::ExitCode;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitKind {
    /// All done.
    Ok,
    /// Failed.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// Finished, but some sources could not be read.
    Partial,
    /// There is no repository.
    NoRepository,
    /// Another host holds a lease.
    Locked,
    /// The key or password does not open the repository.
    WrongKey,
    /// Damage was found.
    Damaged,
    /// A policy is not met.
    PolicyMissed,
    /// Stopped by a signal.
    Interrupted,
}

impl ExitKind {
    /// Every kind, by code.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Partial,
        Self::NoRepository,
        Self::Locked,
        Self::WrongKey,
        Self::Damaged,
        Self::PolicyMissed,
        Self::Interrupted,
    ];

    /// Returns the code of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::NoRepository => 10,
            Self::Locked => 11,
            Self::WrongKey => 12,
            Self::Damaged => 13,
            Self::PolicyMissed => 14,
            Self::Interrupted => 130,
        }
    }

    /// Returns what the code means, for the reference.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "the command line is wrong",
            Self::Partial => "finished, some sources could not be read",
            Self::NoRepository => "there is no repository",
            Self::Locked => "another host holds a lease",
            Self::WrongKey => "the key or password is wrong",
            Self::Damaged => "damage was found",
            Self::PolicyMissed => "a policy is not met",
            Self::Interrupted => "stopped by a signal",
        }
    }
}

impl From<ExitKind> for ExitCode {
    fn from(kind: ExitKind) -> Self {
        Self::from(kind.code())
    }
}

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// All done.
    #[default]
    Done,
    /// Done, but some sources could not be read; each was named.
    Partial,
    /// Done, and damage was found; each was named.
    Damaged,
    /// Done as far as it went: some results could not be written; each was named.
    Failed,
    /// Done, and a policy is not met.
    PolicyMissed,
}

impl Outcome {
    /// Returns how the run ended.
    pub fn exit_kind(self) -> ExitKind {
        match self {
            Self::Done => ExitKind::Ok,
            Self::Partial => ExitKind::Partial,
            Self::Damaged => ExitKind::Damaged,
            Self::Failed => ExitKind::Failed,
            Self::PolicyMissed => ExitKind::PolicyMissed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_that_scripts_know() {
        let codes: Vec<u8> = ExitKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 10, 11, 12, 13, 14, 130]);
    }
}
