//! `snap backup`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::witness::Purpose;
use super::{history, init, inputs, open, select, witness};
use crate::backup::{self, BackupOptions, BackupOutcome, ParentChoice};
use crate::base::SnapshotId;
use crate::base::parse::{format_duration, format_size};
use crate::cli::args::backup::BackupArgs;
use crate::cli::args::init::InitArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::{ExitKind, Outcome};
use crate::cli::{defaults, human};
use crate::query::select::SnapshotFilter;
use crate::repository::Repository;

/// Backs up.
pub fn run(context: &Context, args: &BackupArgs) -> Result<Outcome, CliError> {
    let began = context.clock.now();
    // All that can be wrong with the options is found before anything is opened or made.
    let input = inputs::of(args)?;
    let purpose = Purpose::write_unless(args.dry_run);
    let repository = match args.init {
        true => open_or_make(context, purpose)?,
        false => open::repository(context, purpose)?,
    };
    let result = options(context, args, input, &repository)
        .and_then(|options| Ok(backup::backup(&repository, &options)?))
        .map(|outcome| (outcome_of(&outcome), fields(args, &outcome), outcome));
    let remembered = result.as_ref().map(|(outcome, fields, _)| (*outcome, fields));
    if !args.dry_run {
        history::record(context, &repository, "backup", began, remembered);
    }
    let (outcome, fields, done) = result.map_err(|error| match error.kind() {
        ExitKind::Interrupted => error.with_hint("what was stored is kept: the next run goes on from there"),
        _ => error,
    })?;
    if let Some(id) = done.snapshot {
        witness::remember_snapshot(context, &repository, id);
    }
    if args.streams.stdin && done.totals.content_bytes == 0 {
        context.progress.warn("stdin was empty: did what writes to it fail?");
    }
    if done.totals.unread_sources > 0 {
        context.progress.warn(&format!(
            "{} could not be read whole, or changed meanwhile",
            human::count(done.totals.unread_sources, "source")
        ));
    }
    for line in summary_lines(args, &done) {
        context.out.note(&line)?;
    }
    context.out.json("summary", fields)?;
    Ok(outcome)
}

fn open_or_make(context: &Context, purpose: Purpose) -> Result<Arc<Repository>, CliError> {
    let store = open::store(context, &context.repository()?.location)?;
    if open::exists(store.as_ref())? {
        return open::repository(context, purpose);
    }
    let made = init::make(context, store, &InitArgs { raw_key: None, label: None })?;
    made.tell(context)?;
    context.out.json("repository", made.fields())?;
    context.out.flush()?;
    Ok(made.repository)
}

fn options(
    context: &Context,
    args: &BackupArgs,
    input: backup::Input,
    repository: &Repository,
) -> Result<BackupOptions, CliError> {
    let parent = match &args.parent {
        None => ParentChoice::Newest,
        Some(reference) => {
            let snapshots = select::load(context, repository)?;
            ParentChoice::Given(snapshots.find(reference, &SnapshotFilter::default())?.0)
        }
    };
    Ok(BackupOptions {
        input,
        host: context.host(args.about.host.as_deref()),
        user: defaults::user_name(&context.environment),
        owner: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        job: args.about.job.clone().unwrap_or_default(),
        program: format!("snap {}", env!("CARGO_PKG_VERSION")),
        tags: args.about.tags(),
        metadata: args.about.metadata.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect(),
        time: args.about.time,
        parent,
        force: args.force,
        class: args.class.map(Into::into),
        dry_run: args.dry_run,
        skip_if_unchanged: args.skip_if_unchanged,
        estimate: context.shows_progress(),
    })
}

fn outcome_of(done: &BackupOutcome) -> Outcome {
    match done.totals.unread_sources {
        0 => Outcome::Done,
        _ => Outcome::Partial,
    }
}

fn summary_lines(args: &BackupArgs, done: &BackupOutcome) -> Vec<String> {
    let totals = &done.totals;
    let read_files = totals.files.saturating_sub(totals.unchanged_files);
    let compared = match done.parent {
        Some(parent) => format!("compared with {}", parent.short()),
        None => "no earlier snapshot to compare with".to_owned(),
    };
    let ended = match done.snapshot {
        Some(id) => format!("snapshot {} saved", id.short()),
        None if args.dry_run => "dry run: nothing was stored".to_owned(),
        None => "nothing changed: no snapshot made".to_owned(),
    };
    vec![
        format!(
            "files: {read_files} new or changed, {} unchanged{}{} ({compared})",
            totals.unchanged_files,
            human::also(totals.directories, "folder"),
            human::also(totals.others, "other entry"),
        ),
        format!(
            "read {}, new {}, stored {} (ratio {}) in {}",
            format_size(totals.read_bytes),
            format_size(totals.new_chunk_bytes),
            format_size(totals.stored_bytes),
            human::ratio(totals.new_chunk_bytes, totals.stored_bytes),
            format_duration(human::between(done.began, done.ended)),
        ),
        ended,
    ]
}

fn fields(args: &BackupArgs, done: &BackupOutcome) -> Value {
    let totals = &done.totals;
    let text = |id: Option<SnapshotId>| id.map(|id| id.to_string());
    let mut fields = Map::new();
    fields.insert("snapshot".to_owned(), Value::from(text(done.snapshot)));
    fields.insert("parent".to_owned(), Value::from(text(done.parent)));
    fields.insert("dry_run".to_owned(), Value::from(args.dry_run));
    fields.insert("unchanged".to_owned(), Value::from(done.is_unchanged));
    let numbers = [
        ("files", totals.files),
        ("files_unchanged", totals.unchanged_files),
        ("directories", totals.directories),
        ("others", totals.others),
        ("sources_unread", totals.unread_sources),
        ("content_bytes", totals.content_bytes),
        ("read_bytes", totals.read_bytes),
        ("new_bytes", totals.new_chunk_bytes),
        ("new_chunks", done.stored.new_chunks),
        ("stored_bytes", totals.stored_bytes),
        ("packs", done.stored.packs),
    ];
    fields.extend(numbers.map(|(name, number)| (name.to_owned(), Value::from(number))));
    fields.insert("began".to_owned(), Value::from(crate::cli::json::time(done.began)));
    fields.insert("ended".to_owned(), Value::from(crate::cli::json::time(done.ended)));
    let seconds = human::between(done.began, done.ended).as_secs_f64();
    fields.insert("seconds".to_owned(), json!(seconds));
    Value::Object(fields)
}
