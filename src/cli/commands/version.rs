//! `snap version`.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;

/// Prints the version of this program.
pub fn run(context: &Context) -> Result<Outcome, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    context.out.line(&format!("snap {version}"))?;
    context.out.json("summary", json!({ "program": "snap", "version": version }))?;
    Ok(Outcome::Done)
}
