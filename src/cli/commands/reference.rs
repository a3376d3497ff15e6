//! `snap reference`.

use std::io::Write;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;

/// Prints the reference of the command line as Markdown.
pub fn run(context: &Context) -> Result<Outcome, CliError> {
    let text = crate::cli::reference();
    context.out.stream().write_all(text.as_bytes()).map_err(CliError::output)?;
    Ok(Outcome::Done)
}
