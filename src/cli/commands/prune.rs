//! `snap prune`.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::witness::Purpose;
use super::{history, open, select, snapshots, witness};
use crate::base::SnapshotId;
use crate::base::parse::{format_size, format_time};
use crate::cli::args::prune::PruneArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::table::{Align, Table};
use crate::cli::{human, json};
use crate::maintain::prune::{GroupDecision, PruneOptions, PruneReport, Tally, prune};
use crate::query::select::SnapshotFilter;
use crate::repository::Repository;

/// What to do when marking was all that could be done.
const FULL_WARNING: &str = "the store is full: wasteful packs could not be rewritten; what nothing needs any \
    more goes after its grace, or at once with --grace 0 where no other host writes";

/// Applies retention, then reclaims space.
pub fn run(context: &Context, args: &PruneArgs) -> Result<Outcome, CliError> {
    let began = context.clock.now();
    let repository = open::repository(context, Purpose::write_unless(args.dry_run))?;
    let policy = args.keep.policy(kept_ids(context, args, &repository)?);
    let shows_groups = !policy.is_empty() && (args.dry_run || context.globals.verbose > 0);
    let options = PruneOptions {
        policy,
        group_by: args.group_by,
        filter: args.filter.filter(),
        allow_empty: args.allow_empty,
        grace: args.grace,
        max_unused: args.max_unused,
        max_repack: args.max_repack,
        dry_run: args.dry_run,
        lease_wait: context.globals.lock_wait.unwrap_or_default(),
        time_zone: TimeZone::system(),
    };
    let result = prune(&repository, options).map_err(CliError::from);
    let result = result.map(|report| (fields(&report), report));
    let remembered = result.as_ref().map(|(fields, _)| (Outcome::Done, fields));
    if !args.dry_run {
        history::record(context, &repository, "prune", began, remembered);
        witness::remember(context, &repository);
    }
    let (fields, report) = result?;
    for group in &report.groups {
        show_group(context, group, shows_groups)?;
    }
    if report.is_full {
        context.progress.warn(FULL_WARNING);
    }
    for line in summary_lines(&report) {
        context.out.note(&line)?;
    }
    context.out.json("summary", fields)?;
    Ok(Outcome::Done)
}

fn kept_ids(
    context: &Context,
    args: &PruneArgs,
    repository: &Repository,
) -> Result<Vec<SnapshotId>, CliError> {
    if args.keep.keep_ids.is_empty() {
        return Ok(Vec::new());
    }
    let present = select::load(context, repository)?;
    let every = SnapshotFilter::default();
    let ids = args.keep.keep_ids.iter().map(|reference| Ok(present.find(reference, &every)?.0));
    ids.collect()
}

fn show_group(context: &Context, group: &GroupDecision, for_people: bool) -> Result<(), CliError> {
    let zone = TimeZone::system();
    let columns = [("", Align::Left), ("id", Align::Left), ("time", Align::Left), ("because", Align::Left)];
    let mut table = Table::new(&columns);
    for decision in &group.decisions {
        let verb = if decision.keep { "keep" } else { "drop" };
        let because = match decision.keep {
            true => decision.reasons.join(", "),
            false => "no rule keeps it".to_owned(),
        };
        let time = format_time(decision.time, &zone);
        table.row(vec![verb.to_owned(), decision.id.short(), time, because]);
        let fields = json!({
            "id": decision.id.to_string(),
            "time": json::time(decision.time),
            "keep": decision.keep,
            "reasons": decision.reasons,
        });
        context.out.json("decision", fields)?;
    }
    match for_people {
        true => context.out.lines(&format!("{}\n{}\n", snapshots::title(&group.key), table.render())),
        false => Ok(()),
    }
}

fn amount(tally: &Tally, word: &str) -> String {
    format!("{} of {}", human::count(tally.count, word), format_size(tally.bytes))
}

fn summary_lines(report: &PruneReport) -> Vec<String> {
    let zone = TimeZone::system();
    let (would, prefix) = match report.dry_run {
        true => ("would be ", "dry run: "),
        false => ("", ""),
    };
    let mut lines = vec![
        format!(
            "{prefix}{} {would}dropped, {} left",
            human::count(report.dropped, "snapshot"),
            report.remaining
        ),
        format!(
            "{}: {} needed whole, {} in part, {} not at all",
            amount(&report.packs, "pack"),
            report.live.count,
            report.partly.count,
            report.dead.count,
        ),
    ];
    if report.orphans.count > 0 {
        lines.push(format!("{} in no index, left by runs that did not end", amount(&report.orphans, "pack")));
    }
    if report.rescued.count > 0 {
        let packs = amount(&report.rescued, "pack");
        lines.push(format!("{packs} were to go, are needed again and stay"));
    }
    if report.let_go.count > 0 {
        let blocks = amount(&report.let_go, "block");
        let anew = human::count(report.sealed_anew.count, "block");
        let more = format_size(report.sealed_anew.bytes);
        lines.push(format!(
            "{blocks} kept only for others {would}let go: {anew} {would}sealed anew, about {more} larger"
        ));
    }
    if report.repacked.count > 0 {
        let packs = amount(&report.repacked, "pack");
        lines.push(match report.dry_run {
            true => format!("{packs} would be rewritten"),
            false => format!("{packs} rewritten into {}", amount(&report.written, "pack")),
        });
    }
    if report.deleted.count > 0 {
        lines.push(format!("{} {would}deleted", amount(&report.deleted, "pack")));
    }
    for plan in &report.pending_plans {
        let until = format_time(plan.until, &zone);
        lines.push(format!("{} to delete by the first prune after {until}", amount(&plan.packs, "pack")));
    }
    if !report.dry_run {
        lines.push(format!(
            "freed {}; {} in use, {} unused",
            format_size(report.freed_bytes()),
            format_size(report.used_bytes),
            format_size(report.unused_bytes),
        ));
    }
    lines
}

fn fields(report: &PruneReport) -> Value {
    let tally = |tally: &Tally| json!({ "count": tally.count, "bytes": tally.bytes });
    let pending = report.pending_plans.iter().map(|plan| {
        json!({ "until": json::time(plan.until), "packs": plan.packs.count, "bytes": plan.packs.bytes })
    });
    json!({
        "dry_run": report.dry_run,
        "dropped": report.dropped,
        "remaining": report.remaining,
        "packs": tally(&report.packs),
        "packs_live": tally(&report.live),
        "packs_partly": tally(&report.partly),
        "packs_dead": tally(&report.dead),
        "packs_pending": tally(&report.pending),
        "packs_rescued": tally(&report.rescued),
        "packs_orphaned": tally(&report.orphans),
        "blocks_let_go": tally(&report.let_go),
        "blocks_sealed_anew": tally(&report.sealed_anew),
        "packs_repacked": tally(&report.repacked),
        "packs_written": tally(&report.written),
        "packs_deleted": tally(&report.deleted),
        "indexes_written": tally(&report.indexes_written),
        "indexes_deleted": tally(&report.indexes_deleted),
        "pending": pending.collect::<Vec<_>>(),
        "freed_bytes": report.freed_bytes(),
        "used_bytes": report.used_bytes,
        "unused_bytes": report.unused_bytes,
        "restarts": report.restarts,
        "store_full": report.is_full,
    })
}
