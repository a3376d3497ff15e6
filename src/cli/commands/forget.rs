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
use crate::query::select::{SelectError, SnapshotFilter, SnapshotRef, SnapshotSummary};
use crate::query::snapshots::Snapshots;
use crate::repository::Repository;

/// Drops snapshots by id.
pub fn run(context: &Context, args: &ForgetArgs) -> Result<Outcome, CliError> {
    let (repository, _) = open::repository_unsynced(context, Purpose::write_unless(args.dry_run))?;
    let snapshots = select::load(context, &repository)?;
    let (readable, damaged) = choose(&repository, &snapshots, &args.snapshots)?;
    let chosen = match readable.is_empty() {
        true => Vec::new(),
        false => snapshots.choose(&readable, &SnapshotFilter::default())?,
    };
    let chosen: Vec<SnapshotSummary> =
        chosen.into_iter().map(|(id, snapshot)| SnapshotSummary::new(id, snapshot)).collect();
    let ids: Vec<SnapshotId> = chosen.iter().map(|snapshot| snapshot.id).chain(damaged.clone()).collect();
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
    for id in &damaged {
        let verb = if args.dry_run { "would drop" } else { "dropped" };
        context.out.line(&format!("{verb} {}, which cannot be read", id.short()))?;
        context.out.json("dropped", json!({ "id": id.to_string(), "damaged": true }))?;
    }
    let count = human::count(ids.len() as u64, "snapshot");
    context.out.note(&match args.dry_run {
        true => format!("dry run: {count} would be dropped"),
        false => format!("{count} dropped; the space comes back with: snap prune"),
    })?;
    context.out.json("summary", json!({ "dropped": ids.len(), "dry_run": args.dry_run }))?;
    Ok(Outcome::Done)
}

/// Tells the names of snapshots that can be read from those of damaged ones, whose ids are returned. All
/// names are resolved before the first one goes, so that `latest latest~1` means what it says.
fn choose(
    repository: &Repository,
    snapshots: &Snapshots,
    references: &[SnapshotRef],
) -> Result<(Vec<SnapshotRef>, Vec<SnapshotId>), CliError> {
    let (mut readable, mut damaged) = (Vec::new(), Vec::new());
    for reference in references {
        let unknown = match snapshots.find(reference, &SnapshotFilter::default()) {
            Ok(_) => {
                readable.push(reference.clone());
                continue;
            }
            Err(error) => error,
        };
        match (reference, &unknown) {
            (SnapshotRef::Prefix(prefix), SelectError::Unknown { .. }) => {
                match damaged_one(repository, prefix)? {
                    Some(id) if damaged.contains(&id) => {}
                    Some(id) => damaged.push(id),
                    None => return Err(unknown.into()),
                }
            }
            _ => return Err(unknown.into()),
        }
    }
    Ok((readable, damaged))
}

/// Returns the only snapshot whose id begins so, if it is damaged; one that only a later version can read is
/// an error.
fn damaged_one(repository: &Repository, prefix: &str) -> Result<Option<SnapshotId>, CliError> {
    let ids = repository.snapshot_ids()?;
    let mut fitting = ids.into_iter().filter(|id| id.to_string().starts_with(prefix));
    let (Some(id), None) = (fitting.next(), fitting.next()) else { return Ok(None) };
    match repository.load_snapshot(&id) {
        Err(error) if error.is_damage() => Ok(Some(id)),
        Err(error) => Err(error.into()),
        // It can be read after all, and has gone from the list and come back.
        Ok(_) => Ok(None),
    }
}
