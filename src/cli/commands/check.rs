//! `snap check`.

use serde_json::{Map, Value, json};

use super::witness::Purpose;
use super::{history, open};
use crate::base::escape::escape_name;
use crate::base::parse::format_size;
use crate::cli::args::maintain::CheckArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::report::one_line;
use crate::cli::{human, json};
use crate::maintain::check::{CheckOptions, CheckReport, ReadData, Severity, check};
use crate::maintain::mark::{Loss, LossKind};

/// Checks that every snapshot can be restored.
pub fn run(context: &Context, args: &CheckArgs) -> Result<Outcome, CliError> {
    let read_data = match (args.read_data, args.read_data_subset) {
        (true, _) => ReadData::All,
        (false, Some(subset)) => ReadData::Subset(subset),
        (false, None) => ReadData::None,
    };
    let began = context.clock.now();
    let (repository, _) = open::repository_unsynced(context, Purpose::Read)?;
    let result = check(&repository, &CheckOptions { read_data }).map_err(CliError::from);
    let result = result.map(|report| {
        let outcome = if report.is_damaged() { Outcome::Damaged } else { Outcome::Done };
        (outcome, totals(&report), report)
    });
    let remembered = result.as_ref().map(|(outcome, totals, _)| (*outcome, totals));
    history::record(context, &repository, "check", began, remembered);
    let (outcome, totals, report) = result?;
    show_findings(context, &report)?;
    for loss in &report.losses.named {
        show_loss(context, loss)?;
    }
    summarise(context, &report)?;
    context.out.json("summary", totals)?;
    Ok(outcome)
}

fn show_findings(context: &Context, report: &CheckReport) -> Result<(), CliError> {
    for finding in &report.findings {
        let word = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note if context.globals.verbose == 0 => continue,
            Severity::Note => "note",
        };
        let cost = match finding.files {
            0 => String::new(),
            files => format!(" ({} lost by it)", human::count(files, "path")),
        };
        context.out.line(&format!(
            "{word}: {}: {}{cost}",
            escape_name(finding.object.as_bytes()),
            one_line(&finding.what)
        ))?;
        let fields = json!({
            "severity": word,
            "object": finding.object,
            "what": finding.what,
            "paths_lost": finding.files,
        });
        context.out.json("finding", fields)?;
    }
    Ok(())
}

fn show_loss(context: &Context, loss: &Loss) -> Result<(), CliError> {
    let (what, kind) = match loss.kind {
        LossKind::File => ("", "file"),
        LossKind::Directory => ("/ and what is below it", "directory"),
    };
    let path = escape_name(&loss.path);
    context.out.line(&format!("lost: snapshot {}: {path}{what}", loss.snapshot.short()))?;
    let mut fields = Map::new();
    json::set_name(&mut fields, "path", &loss.path);
    fields.insert("snapshot".to_owned(), Value::from(loss.snapshot.to_string()));
    fields.insert("kind".to_owned(), Value::from(kind));
    context.out.json("loss", Value::Object(fields))
}

fn summarise(context: &Context, report: &CheckReport) -> Result<(), CliError> {
    let walked = &report.walked;
    let out = &context.out;
    out.note(&format!(
        "checked {}: {}, {}; {} of {}",
        human::count(walked.snapshots, "snapshot"),
        human::count(walked.directories, "folder"),
        human::count(walked.files, "file"),
        human::count(report.packs, "pack"),
        format_size(report.pack_bytes),
    ))?;
    out.note(&match report.packs_read {
        0 if report.packs_read_before == 0 => {
            "structure only; to read every byte: snap check --read-data".to_owned()
        }
        packs => format!(
            "read {} of {}, {} blocks, {} chunks",
            human::count(packs, "pack"),
            format_size(report.read_bytes),
            report.blocks_read,
            report.chunks_read
        ),
    })?;
    if report.packs_read_before > 0 {
        let packs = human::count(report.packs_read_before, "pack");
        let size = format_size(report.read_before_bytes);
        out.note(&format!(
            "went on with a run that was interrupted: {packs} of {size} were found good by it"
        ))?;
    }
    if report.unreferenced_packs > 0 {
        let packs = human::count(report.unreferenced_packs, "pack");
        let size = format_size(report.unreferenced_bytes);
        out.note(&format!(
            "{packs} of {size} in no index: left by a run that did not end; prune takes them"
        ))?;
    }
    if !report.is_damaged() {
        return out.note(match report.warnings {
            0 => "no damage found",
            _ => "no damage found; see the warnings",
        });
    }
    let lost = report.losses.count();
    let named = report.losses.named.len() as u64;
    if lost > named {
        out.line(&format!("and {} more lost", human::count(lost - named, "path")))?;
    }
    out.line(&format!(
        "DAMAGE: {}, {} of {} cannot be restored",
        human::count(report.errors, "error"),
        human::count(lost, "path"),
        human::count(report.losses.snapshots.len() as u64, "snapshot"),
    ))?;
    out.line("look at the disk or the bucket, then: snap repair packs, a new backup, snap repair snapshots")
}

fn totals(report: &CheckReport) -> Value {
    json!({
        "damaged": report.is_damaged(),
        "errors": report.errors,
        "warnings": report.warnings,
        "notes": report.notes,
        "paths_lost": report.losses.count(),
        "snapshots": report.walked.snapshots,
        "directories": report.walked.directories,
        "files": report.walked.files,
        "packs": report.packs,
        "pack_bytes": report.pack_bytes,
        "packs_read": report.packs_read,
        "read_bytes": report.read_bytes,
        "packs_read_before": report.packs_read_before,
        "read_before_bytes": report.read_before_bytes,
        "blocks_read": report.blocks_read,
        "chunks_read": report.chunks_read,
        "unreferenced_packs": report.unreferenced_packs,
        "unreferenced_bytes": report.unreferenced_bytes,
        "pending_packs": report.pending_packs,
    })
}
