//! `snap unlock`.

use serde_json::json;

use super::open;
use super::witness::Purpose;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::report::one_line;

/// Removes leases that their owners left behind.
pub fn run(context: &Context) -> Result<Outcome, CliError> {
    let (repository, _) = open::repository_unsynced(context, Purpose::Read)?;
    let holder = repository.break_lease()?;
    context.out.note(&match &holder {
        Some(holder) => format!("freed the lease of {}", one_line(holder)),
        None => "no lease was held".to_owned(),
    })?;
    context.out.json("summary", json!({ "holder": holder }))?;
    Ok(Outcome::Done)
}
