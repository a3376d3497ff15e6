//! `snap copy`.

use std::io::{self, IsTerminal};

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::witness::Purpose;
use super::{history, open, select, witness};
use crate::base::parse::{format_size, format_time};
use crate::cli::args::copy::CopyArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::secrets::{SecretSource, choose_by_flags};
use crate::cli::{human, json};
use crate::maintain::copy::{CopyReport, CopySelection, copy};

/// Copies snapshots to another repository.
pub fn run(context: &Context, args: &CopyArgs) -> Result<Outcome, CliError> {
    let began = context.clock.now();
    let source = open::first_repository(context, Purpose::Read)?;
    let secret = choose_by_flags(
        args.to_key_file.clone(),
        args.to_password_file.clone(),
        args.to_password_command.clone().map(|text| text.0),
    );
    if secret == SecretSource::Prompt && !io::stdin().is_terminal() {
        return Err(CliError::failed("no key given for --to, and no terminal to ask on")
            .with_hint("give --to-key-file, --to-password-file or --to-password-command"));
    }
    let target = open::other_repository(context, &args.to, &secret, Purpose::write_unless(args.dry_run))?;
    if source.config().repository == target.config().repository {
        return Err(CliError::usage("source and target are the same repository")
            .with_hint("--to must name another one, made with snap init"));
    }
    let snapshots = select::load(context, &source)?;
    let chosen = snapshots.choose(&args.snapshots, &args.filter.filter())?;
    if chosen.is_empty() {
        context.out.note("nothing to copy: no snapshot passes the filters")?;
    }
    let selection =
        CopySelection { ids: chosen.iter().map(|(id, _)| *id).collect(), filter: args.filter.filter() };
    let result = match chosen.is_empty() {
        true => Ok(CopyReport { dry_run: args.dry_run, ..CopyReport::default() }),
        false => copy(&source, &target, &selection, args.dry_run).map_err(CliError::from),
    };
    let result = result.map(|report| (fields(&report), report));
    let remembered = result.as_ref().map(|(fields, _)| (Outcome::Done, fields));
    if !args.dry_run {
        history::record(context, &source, "copy", began, remembered);
        witness::remember(context, &target);
    }
    let (fields, report) = result?;
    show(context, &report)?;
    context.out.json("summary", fields)?;
    Ok(Outcome::Done)
}

fn show(context: &Context, report: &CopyReport) -> Result<(), CliError> {
    let zone = TimeZone::system();
    for one in &report.copied {
        let time = format_time(one.time, &zone);
        context.out.line(&match one.target {
            Some(target) => format!("copied {} of {time} as {}", one.source.short(), target.short()),
            None => format!("would copy {} of {time}", one.source.short()),
        })?;
        let fields = json!({
            "source": one.source.to_string(),
            "target": one.target.map(|id| id.to_string()),
            "time": json::time(one.time),
        });
        context.out.json("copied", fields)?;
    }
    let verb = if report.dry_run { "dry run: would copy" } else { "copied" };
    context.out.note(&format!(
        "{verb} {}, {} there already; stored {}",
        human::count(report.copied.len() as u64, "snapshot"),
        report.skipped,
        format_size(report.stored.stored_bytes),
    ))
}

fn fields(report: &CopyReport) -> Value {
    json!({
        "dry_run": report.dry_run,
        "copied": report.copied.len(),
        "skipped": report.skipped,
        "new_chunks": report.stored.new_chunks,
        "new_bytes": report.stored.new_data_bytes + report.stored.new_tree_bytes,
        "stored_bytes": report.stored.stored_bytes,
        "packs": report.stored.packs,
    })
}
