//! One file per command: options in, work of the other rooms, results out.

pub mod completions;
pub mod reference;
pub mod version;

use super::args::Command;
use super::context::Context;
use super::error::CliError;
use super::exit::Outcome;

/// Runs one command.
pub fn run(context: &Context, command: &Command) -> Result<Outcome, CliError> {
    let outcome = match command {
        Command::Completions(args) => completions::run(context, args),
        Command::Version => version::run(context),
        Command::Reference => reference::run(context),
        other => Err(CliError::not_in_this_build(other.name())),
    }?;
    context.out.flush()?;
    Ok(outcome)
}
