//! What this host remembers of its runs.

use serde_json::{Value, json};

use crate::base::Time;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::{ExitKind, Outcome};
use crate::repository::Repository;

/// Remembers how a run of `command` that began at `began` ended; `result` has its summary, an object.
///
/// The memory is a cache: a failure to write it is worth a warning only.
pub fn record(
    context: &Context,
    repository: &Repository,
    command: &str,
    began: Time,
    result: Result<(Outcome, &Value), &CliError>,
) {
    let (kind, summary) = match result {
        Ok((outcome, summary)) => (outcome.exit_kind(), summary.clone()),
        Err(error) => (error.kind(), json!({ "message": error.to_string(), "causes": error.causes() })),
    };
    let ended = context.clock.now();
    let written = repository.index().record_run(command, began, ended, word(kind), &summary.to_string());
    if let Err(error) = written {
        context.progress.warn(&format!("this run is not remembered: {error}"));
    }
}

fn word(kind: ExitKind) -> &'static str {
    match kind {
        ExitKind::Ok => "ok",
        ExitKind::Partial => "partial",
        ExitKind::Damaged => "damaged",
        ExitKind::PolicyMissed => "policy_missed",
        ExitKind::Interrupted => "interrupted",
        _ => "failed",
    }
}
