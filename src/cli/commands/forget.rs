//! `snap forget`.

use jiff::tz::TimeZone;
use serde_json::json;

use super::snapshots::fields;
use super::witness::Purpose;
use super::{open, select, witness};
use crate::base::SnapshotId;
use crate::base::escape::escape_name;
use crate::base::parse::format_time;
use crate::cli::args::prune::ForgetArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::human;
use crate::maintain::forget::forget;
use crate::query::select::{SnapshotFilter, SnapshotSummary};

/// Drops snapshots by id.
pub fn run(context: &Context, args: &ForgetArgs) -> Result<Outcome, CliError> {
    let (repository, _) = open::repository_unsynced(context, Purpose::write_unless(args.dry_run))?;
    let snapshots = select::load(context, &repository)?;
    // All names are resolved before the first one goes, so that `latest latest~1` means what it says.
    let chosen = snapshots.choose(&args.snapshots, &SnapshotFilter::default())?;
    let chosen: Vec<SnapshotSummary> =
        chosen.into_iter().map(|(id, snapshot)| SnapshotSummary::new(id, snapshot)).collect();
    let ids: Vec<SnapshotId> = chosen.iter().map(|snapshot| snapshot.id).collect();
    forget(&repository, &ids, args.dry_run)?;
    if !args.dry_run {
        witness::remember(context, &repository);
    }
    let zone = TimeZone::system();
    for snapshot in &chosen {
        let verb = if args.dry_run { "would drop" } else { "dropped" };
        let time = format_time(snapshot.time, &zone);
        let host = escape_name(snapshot.host.as_bytes());
        context.out.line(&format!("{verb} {} of {time}, host {host}", snapshot.id.short()))?;
        context.out.json("dropped", fields(snapshot))?;
    }
    let count = human::count(chosen.len() as u64, "snapshot");
    context.out.note(&match args.dry_run {
        true => format!("dry run: {count} would be dropped"),
        false => format!("{count} dropped; the space comes back with: snap prune"),
    })?;
    context.out.json("summary", json!({ "dropped": chosen.len(), "dry_run": args.dry_run }))?;
    Ok(Outcome::Done)
}
