//! `snap repair`.

use serde_json::{Map, Value, json};

use super::witness::Purpose;
use super::{history, open, select, witness};
use crate::base::escape::escape_name;
use crate::cli::args::maintain::{RepairCommand, RepairIndexArgs, RepairPacksArgs, RepairSnapshotsArgs};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::report::one_line;
use crate::cli::{human, json};
use crate::maintain::mark::LossKind;
use crate::maintain::repair::{
    RepairIndexOptions, RepairIndexReport, RepairPacksOptions, RepairPacksReport, RepairSnapshotsOptions,
    RepairSnapshotsReport, RepairedSnapshot, repair_index, repair_packs, repair_snapshots,
};
use crate::query::select::SnapshotFilter;

/// Repairs what can be made again from the rest.
pub fn run(context: &Context, command: &RepairCommand) -> Result<Outcome, CliError> {
    match command {
        RepairCommand::Index(args) => index(context, args),
        RepairCommand::Packs(args) => packs(context, args),
        RepairCommand::Snapshots(args) => snapshots(context, args),
    }
}

fn index(context: &Context, args: &RepairIndexArgs) -> Result<Outcome, CliError> {
    let began = context.clock.now();
    let (repository, _) = open::repository_unsynced(context, Purpose::write_unless(args.dry_run))?;
    let lock_wait = context.globals.lock_wait.unwrap_or_default();
    let options = RepairIndexOptions { dry_run: args.dry_run, lock_wait };
    let result = repair_index(&repository, &options).map_err(CliError::from);
    let result = result.map(|report| (outcome(&report), fields(args, &report), report));
    let remembered = result.as_ref().map(|(outcome, fields, _)| (*outcome, fields));
    if !args.dry_run {
        history::record(context, &repository, "repair index", began, remembered);
        witness::remember(context, &repository);
    }
    let (outcome, fields, report) = result?;
    let out = &context.out;
    for (id, why) in &report.damaged_indexes {
        out.line(&format!("index {} is damaged and is replaced: {}", id.short(), one_line(why)))?;
    }
    for (id, why) in &report.damaged_plans {
        out.line(&format!("prune plan {} is damaged and is removed: {}", id.short(), one_line(why)))?;
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
        "plans_damaged": report.damaged_plans.len(),
        "indexes_damaged": report.damaged_indexes.len(),
        "indexes_written": report.written,
        "indexes_deleted": report.deleted,
    })
}

fn packs(context: &Context, args: &RepairPacksArgs) -> Result<Outcome, CliError> {
    let began = context.clock.now();
    let (repository, _) = open::repository_unsynced(context, Purpose::write_unless(args.dry_run))?;
    let lock_wait = context.globals.lock_wait.unwrap_or_default();
    let options = RepairPacksOptions {
        packs: args.packs.clone(),
        aside: args.aside.clone(),
        dry_run: args.dry_run,
        lock_wait,
    };
    let result = repair_packs(&repository, &options).map_err(CliError::from);
    let result = result.map(|report| {
        let outcome = if report.lost() > 0 { Outcome::Damaged } else { Outcome::Done };
        (outcome, packs_fields(args, &report), report)
    });
    if !args.dry_run {
        let remembered = result.as_ref().map(|(outcome, fields, _)| (*outcome, fields));
        history::record(context, &repository, "repair packs", began, remembered);
        witness::remember(context, &repository);
    }
    let (outcome, fields, report) = result?;
    show_packs(context, args, &report)?;
    context.out.json("summary", fields)?;
    Ok(outcome)
}

fn show_packs(context: &Context, args: &RepairPacksArgs, report: &RepairPacksReport) -> Result<(), CliError> {
    let out = &context.out;
    for id in &report.unknown {
        out.line(&format!("pack {id} is neither in the index nor in the store"))?;
    }
    for pack in &report.repaired {
        out.line(&format!(
            "pack {}: {}; {} of {} whole, {} in another pack, {} lost",
            pack.id,
            one_line(&pack.why),
            pack.moved,
            human::count(pack.chunks, "chunk"),
            pack.elsewhere,
            pack.lost,
        ))?;
    }
    if report.repaired.is_empty() {
        return out.note(&match report.whole.len() {
            0 => "no pack is known to be damaged; every byte is read by: snap check --read-data".to_owned(),
            whole => format!("{} whole: nothing to do", human::count(whole as u64, "pack")),
        });
    }
    let count = human::count(report.repaired.len() as u64, "damaged pack");
    out.note(&match args.dry_run {
        true => format!("dry run: the whole blocks of {count} would be stored again"),
        false => format!(
            "{count} left the repository; what was left of them is in {}",
            escape_name(args.aside.as_os_str().as_encoded_bytes())
        ),
    })?;
    match report.lost() {
        0 => Ok(()),
        lost => out.line(&format!(
            "{} lost: run a backup of what still exists, then see what is missing with: snap check",
            human::count(lost, "chunk")
        )),
    }
}

fn packs_fields(args: &RepairPacksArgs, report: &RepairPacksReport) -> Value {
    let repaired = report.repaired.iter().map(|pack| {
        json!({
            "pack": pack.id.to_string(),
            "why": pack.why,
            "chunks": pack.chunks,
            "moved": pack.moved,
            "elsewhere": pack.elsewhere,
            "lost": pack.lost,
        })
    });
    json!({
        "dry_run": args.dry_run,
        "repaired": repaired.collect::<Vec<_>>(),
        "whole": report.whole.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "unknown": report.unknown.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "chunks_lost": report.lost(),
        "stored_bytes": report.stored.stored_bytes,
        "indexes_written": report.indexes_written,
        "indexes_deleted": report.indexes_deleted,
    })
}

fn snapshots(context: &Context, args: &RepairSnapshotsArgs) -> Result<Outcome, CliError> {
    let began = context.clock.now();
    let (repository, _) = open::repository_unsynced(context, Purpose::write_unless(args.dry_run))?;
    let mut chosen = Vec::new();
    if !args.snapshots.is_empty() {
        let all = select::load(context, &repository)?;
        let found = all.choose(&args.snapshots, &SnapshotFilter::default())?;
        chosen.extend(found.into_iter().map(|(id, _)| id));
    }
    let options = RepairSnapshotsOptions {
        snapshots: chosen,
        forget: args.forget,
        dry_run: args.dry_run,
        lock_wait: context.globals.lock_wait.unwrap_or_default(),
    };
    let result = repair_snapshots(&repository, &options).map_err(CliError::from);
    let result = result.map(|report| {
        let is_damaged = !report.unreadable.is_empty() || report.repaired.iter().any(|one| one.is_lost);
        let outcome = if is_damaged { Outcome::Damaged } else { Outcome::Done };
        (outcome, snapshots_fields(args, &report), report)
    });
    if !args.dry_run {
        let remembered = result.as_ref().map(|(outcome, fields, _)| (*outcome, fields));
        history::record(context, &repository, "repair snapshots", began, remembered);
        witness::remember(context, &repository);
    }
    let (outcome, fields, report) = result?;
    show_snapshots(context, args, &report)?;
    context.out.json("summary", fields)?;
    Ok(outcome)
}

fn show_snapshots(
    context: &Context,
    args: &RepairSnapshotsArgs,
    report: &RepairSnapshotsReport,
) -> Result<(), CliError> {
    let out = &context.out;
    for error in &report.unreadable {
        out.line(&format!("{}; it is left alone, and goes with: snap forget", one_line(error)))?;
    }
    if report.damaged_packs > 0 {
        let packs = human::count(report.damaged_packs, "pack");
        context.progress.warn(&format!(
            "what is in {packs} known to be damaged counts as there; run `snap repair packs` first"
        ));
    }
    for one in &report.repaired {
        show_repaired(context, args, one)?;
    }
    let checked = human::count(report.checked, "snapshot");
    out.note(&match report.repaired.len() as u64 {
        0 => format!("nothing of {checked} is lost"),
        lossy if args.dry_run => format!("dry run: {lossy} of {checked} would be repaired"),
        lossy => format!("{lossy} of {checked} lost something"),
    })
}

fn show_repaired(
    context: &Context,
    args: &RepairSnapshotsArgs,
    one: &RepairedSnapshot,
) -> Result<(), CliError> {
    let out = &context.out;
    let dropped = &one.dropped;
    for (path, kind) in &dropped.named {
        let what = match kind {
            LossKind::File => "",
            LossKind::Directory => "/: entries",
        };
        out.line(&format!("lost: snapshot {}: {}{what}", one.id.short(), escape_name(path)))?;
        let mut fields = Map::new();
        json::set_name(&mut fields, "path", path);
        fields.insert("snapshot".to_owned(), Value::from(one.id.to_string()));
        out.json("loss", Value::Object(fields))?;
    }
    let more = dropped.count() - dropped.named.len() as u64;
    if more > 0 {
        out.line(&format!("and {} more lost", human::count(more, "path")))?;
    }
    let forgotten = if one.is_forgotten { ", which is dropped" } else { "" };
    out.line(&match one.repaired {
        _ if one.is_lost => format!("snapshot {}: its root cannot be read, nothing is left", one.id.short()),
        Some(new) if one.was_repaired => {
            format!("snapshot {} was repaired as {} before{forgotten}", one.id.short(), new.short())
        }
        Some(new) => format!("snapshot {} is what is left of {}{forgotten}", new.short(), one.id.short()),
        None if args.forget => format!("snapshot {} would be repaired and dropped", one.id.short()),
        None => format!("snapshot {} would be repaired", one.id.short()),
    })
}

fn snapshots_fields(args: &RepairSnapshotsArgs, report: &RepairSnapshotsReport) -> Value {
    let repaired = report.repaired.iter().map(|one| {
        json!({
            "snapshot": one.id.to_string(),
            "repaired": one.repaired.map(|id| id.to_string()),
            "was_repaired": one.was_repaired,
            "forgotten": one.is_forgotten,
            "lost": one.is_lost,
            "files_lost": one.dropped.files,
            "directories_lost": one.dropped.directories,
        })
    });
    json!({
        "dry_run": args.dry_run,
        "checked": report.checked,
        "unreadable": report.unreadable.len(),
        "damaged_packs": report.damaged_packs,
        "repaired": repaired.collect::<Vec<_>>(),
    })
}
