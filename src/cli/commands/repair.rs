//! `snap repair`.

use serde_json::json;

use super::{history, open};
use crate::cli::args::maintain::{RepairCommand, RepairIndexArgs};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::human;
use crate::cli::report::one_line;
use crate::maintain::repair::{RepairIndexOptions, RepairIndexReport, repair_index};

/// Repairs what can be made again from the rest.
pub fn run(context: &Context, command: &RepairCommand) -> Result<Outcome, CliError> {
    match command {
        RepairCommand::Index(args) => index(context, args),
    }
}

fn index(context: &Context, args: &RepairIndexArgs) -> Result<Outcome, CliError> {
    let began = context.clock.now();
    let (repository, _) = open::repository_unsynced(context)?;
    let lock_wait = context.globals.lock_wait.unwrap_or_default();
    let options = RepairIndexOptions { dry_run: args.dry_run, lock_wait };
    let result = repair_index(&repository, &options).map_err(CliError::from);
    let result = result.map(|report| (outcome(&report), fields(args, &report), report));
    let remembered = result.as_ref().map(|(outcome, fields, _)| (*outcome, fields));
    if !args.dry_run {
        history::record(context, &repository, "repair index", began, remembered);
    }
    let (outcome, fields, report) = result?;
    let out = &context.out;
    for (id, why) in &report.damaged_indexes {
        out.line(&format!("index {} is damaged and is replaced: {}", id.short(), one_line(why)))?;
    }
    for (id, why) in &report.unreadable {
        out.line(&format!("pack {id} cannot be read: {}", one_line(why)))?;
    }
    for id in &report.missing {
        out.line(&format!("pack {id} is gone"))?;
    }
    let verb = if args.dry_run { "dry run: the index would name" } else { "the index names" };
    out.note(&format!(
        "{verb} {}, {} of them new to it; {} written, {} deleted",
        human::count(report.packs, "pack"),
        report.added,
        human::count(report.written, "index object"),
        report.deleted,
    ))?;
    if outcome == Outcome::Damaged {
        out.line("some packs are lost or unreadable; see what they held with: snap check")?;
    }
    out.json("summary", fields)?;
    Ok(outcome)
}

fn outcome(report: &RepairIndexReport) -> Outcome {
    match report.unreadable.is_empty() && report.missing.is_empty() {
        true => Outcome::Done,
        false => Outcome::Damaged,
    }
}

fn fields(args: &RepairIndexArgs, report: &RepairIndexReport) -> serde_json::Value {
    json!({
        "dry_run": args.dry_run,
        "packs": report.packs,
        "packs_added": report.added,
        "packs_salvaged": report.salvaged,
        "packs_unreadable": report.unreadable.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>(),
        "packs_missing": report.missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "indexes_damaged": report.damaged_indexes.len(),
        "indexes_written": report.written,
        "indexes_deleted": report.deleted,
    })
}
