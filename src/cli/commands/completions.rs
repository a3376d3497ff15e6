//! `snap completions`.

use std::io::Write;

use crate::cli::args::maintain::CompletionsArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;

/// Prints the completion script of a shell.
pub fn run(context: &Context, args: &CompletionsArgs) -> Result<Outcome, CliError> {
    // Rendered in memory first: the generator panics when its writer fails, and a closed pipe is no failure.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::command(), "snap", &mut script);
    context.out.stream().write_all(&script).map_err(CliError::output)?;
    Ok(Outcome::Done)
}
