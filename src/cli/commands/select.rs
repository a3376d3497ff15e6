//! The snapshots of the repository, for commands that let people choose among them.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::query::snapshots::Snapshots;
use crate::repository::Repository;

/// Returns all snapshots that can be read; the others are warned of.
pub fn load(context: &Context, repository: &Repository) -> Result<Snapshots, CliError> {
    let snapshots = Snapshots::load(repository)?;
    for error in &snapshots.errors {
        context.progress.warn(&format!("{error}; it is left out"));
    }
    Ok(snapshots)
}
