//! `snap restore`.

use serde_json::{Map, Value};

use super::witness::Purpose;
use super::{history, open, select};
use crate::base::SnapshotId;
use crate::base::escape::escape_name;
use crate::base::parse::{format_duration, format_rate, format_size};
use crate::cli::args::restore::{Overwrite as When, RestoreArgs};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::report::one_line;
use crate::cli::{human, json};
use crate::restore::{Action, Overwrite, RestoreOptions, RestoreStats, restore};
use crate::source::{Filter, FilterError, IncludeSet, Rule};

/// Restores files into a directory.
pub fn run(context: &Context, args: &RestoreArgs) -> Result<Outcome, CliError> {
    let options = options(args)?;
    let began = context.clock.now();
    let repository = open::repository(context, Purpose::Read)?;
    let snapshots = select::load(context, &repository)?;
    let (id, snapshot) = snapshots.find(&args.snapshot.snapshot, &args.filter.filter())?;
    let result = restore(&repository, snapshot, args.snapshot.path.as_deref(), &options);
    let elapsed = human::between(began, context.clock.now());
    let result = result.map_err(CliError::from).map(|stats| {
        let mut fields = fields(args, id, &stats);
        fields.insert("seconds".to_owned(), Value::from(elapsed.as_secs_f64()));
        (outcome_of(&stats), Value::Object(fields), stats)
    });
    let remembered = result.as_ref().map(|(outcome, fields, _)| (*outcome, fields));
    if !args.dry_run {
        history::record(context, &repository, "restore", began, remembered);
    }
    let (outcome, fields, stats) = result?;
    show(context, &stats)?;
    let rate = match args.dry_run {
        true => String::new(),
        false => format!(
            " in {} ({})",
            format_duration(elapsed),
            format_rate(stats.restored_bytes + stats.reused_bytes, elapsed)
        ),
    };
    summarise(context, args, id, &rate, &stats)?;
    context.out.json("summary", fields)?;
    Ok(outcome)
}

fn options(args: &RestoreArgs) -> Result<RestoreOptions, CliError> {
    let rules = |plain: &[std::ffi::OsString], any_case: &[std::ffi::OsString]| {
        let plain = plain.iter().map(|pattern| Rule::parse(pattern, false));
        plain.chain(any_case.iter().map(|pattern| Rule::parse(pattern, true))).collect::<Result<Vec<_>, _>>()
    };
    let include = rules(&args.includes, &args.includes_ignoring_case)?;
    let exclude = rules(&args.excludes, &args.excludes_ignoring_case)?;
    let some = |rules: Vec<Rule>| (!rules.is_empty()).then_some(rules);
    let mut options = RestoreOptions::new(&args.target);
    options.overwrite = match args.overwrite {
        When::Always => Overwrite::Always,
        When::IfChanged => Overwrite::IfChanged,
        When::IfNewer => Overwrite::IfNewer,
        When::Never => Overwrite::Never,
    };
    options.delete = args.delete;
    options.verify = args.verify;
    options.dry_run = args.dry_run;
    options.sparse = args.sparse;
    options.ownership = !args.no_owner;
    options.include = some(include).map(IncludeSet::new).transpose()?;
    options.exclude = some(exclude).map(Filter::new).transpose().map_err(|error: FilterError| error)?;
    Ok(options)
}

fn outcome_of(stats: &RestoreStats) -> Outcome {
    match (stats.damaged, stats.failed_count) {
        (true, _) => Outcome::Damaged,
        (false, 0) => Outcome::Done,
        (false, _) => Outcome::Failed,
    }
}

fn show(context: &Context, stats: &RestoreStats) -> Result<(), CliError> {
    for item in &stats.failed {
        context.progress.source_error(&item.path, &format!("not restored: {}", one_line(&item.reason)));
    }
    let unnamed = stats.failed_count - stats.failed.len() as u64;
    if unnamed > 0 {
        context.progress.warn(&format!("and {} more were not restored", human::count(unnamed, "path")));
    }
    for step in &stats.planned {
        let (verb, word) = match step.action {
            Action::Restore => ("restore", "restore"),
            Action::Skip => ("leave  ", "skip"),
            Action::Delete => ("delete ", "delete"),
        };
        context.out.line(&format!("would {verb} {}", escape_name(&step.path)))?;
        let mut fields = Map::new();
        json::set_name(&mut fields, "path", &step.path);
        fields.insert("action".to_owned(), Value::from(word));
        context.out.json("planned", Value::Object(fields))?;
    }
    let unnamed = stats.planned_count - stats.planned.len() as u64;
    if unnamed > 0 {
        context.out.line(&format!("and {} more", human::count(unnamed, "step")))?;
    }
    Ok(())
}

fn summarise(
    context: &Context,
    args: &RestoreArgs,
    id: SnapshotId,
    rate: &str,
    stats: &RestoreStats,
) -> Result<(), CliError> {
    let out = &context.out;
    let target = escape_name(args.target.as_os_str().as_encoded_bytes());
    let verb = if args.dry_run { "dry run: would restore" } else { "restored" };
    out.note(&format!(
        "{verb} {}{}{} of snapshot {} to {target}{rate}",
        human::count(stats.files, "file"),
        human::also(stats.directories, "folder"),
        human::also(stats.others, "other entry"),
        id.short(),
    ))?;
    if !args.dry_run {
        let written = format_size(stats.restored_bytes);
        out.note(&format!("wrote {written}, {} were there already", format_size(stats.reused_bytes)))?;
    }
    for (count, what) in [
        (stats.skipped_files, "left as they were"),
        (stats.skipped_special, "sockets or devices left out"),
        (stats.deleted, "deleted"),
        (stats.verified_files, "read again and found right"),
    ] {
        if count > 0 {
            out.note(&format!("{count} {what}"))?;
        }
    }
    if stats.metadata_warnings > 0 {
        let count = human::count(stats.metadata_warnings, "owner, mode, time or attribute");
        context.progress.warn(&format!("{count} could not be set"));
    }
    if stats.failed_count > 0 {
        let count = human::count(stats.failed_count, "path");
        let why = if stats.damaged { "; see the damage with: snap check --read-data" } else { "" };
        context.progress.warn(&format!("{count} could not be restored; all others are complete{why}"));
    }
    Ok(())
}

fn fields(args: &RestoreArgs, id: SnapshotId, stats: &RestoreStats) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("snapshot".to_owned(), Value::from(id.to_string()));
    fields.insert("dry_run".to_owned(), Value::from(args.dry_run));
    fields.insert("damaged".to_owned(), Value::from(stats.damaged));
    let numbers = [
        ("files", stats.files),
        ("directories", stats.directories),
        ("others", stats.others),
        ("restored_bytes", stats.restored_bytes),
        ("reused_bytes", stats.reused_bytes),
        ("files_skipped", stats.skipped_files),
        ("special_skipped", stats.skipped_special),
        ("deleted", stats.deleted),
        ("files_verified", stats.verified_files),
        ("metadata_warnings", stats.metadata_warnings),
        ("failed", stats.failed_count),
    ];
    fields.extend(numbers.map(|(name, number)| (name.to_owned(), Value::from(number))));
    fields
}
