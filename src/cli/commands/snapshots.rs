//! `snap snapshots`.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::witness::Purpose;
use super::{open, select};
use crate::base::SnapshotId;
use crate::base::escape::escape_name;
use crate::base::parse::{format_size, format_time};
use crate::cli::args::query::SnapshotsArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::table::{Align, Table};
use crate::cli::{human, json};
use crate::maintain::retention::{GroupBy, GroupKey, RetentionItem, group};
use crate::query::select::SnapshotSummary;

/// Lists snapshots.
pub fn run(context: &Context, args: &SnapshotsArgs) -> Result<Outcome, CliError> {
    let (repository, _) = open::repository_unsynced(context, Purpose::Read)?;
    let snapshots = select::load(context, &repository)?;
    let chosen = snapshots.choose(&args.snapshots, &args.filter.filter())?;
    let chosen: Vec<SnapshotSummary> =
        chosen.into_iter().map(|(id, snapshot)| SnapshotSummary::new(id, snapshot)).collect();
    let by_id: BTreeMap<SnapshotId, &SnapshotSummary> = chosen.iter().map(|one| (one.id, one)).collect();
    let items: Vec<RetentionItem> = chosen.iter().map(RetentionItem::from).collect();
    let one_group = GroupBy { host: false, job: false, paths: false, tags: false };
    let mut listed = 0;
    for (number, found) in group(&items, args.group_by.as_ref().unwrap_or(&one_group)).iter().enumerate() {
        let limit = args.latest.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut rows: Vec<&SnapshotSummary> =
            found.items.iter().take(limit).filter_map(|item| by_id.get(&item.id).copied()).collect();
        rows.reverse();
        listed += rows.len();
        if args.group_by.is_some() {
            if number > 0 {
                context.out.line("")?;
            }
            context.out.line(&title(&found.key))?;
        }
        context.out.lines(&table(&rows).render())?;
        for row in rows {
            context.out.json("snapshot", fields(row))?;
        }
    }
    context.out.note(&match (listed, snapshots.summaries.len()) {
        (_, 0) => "no snapshots yet".to_owned(),
        (listed, all) if listed == all => human::count(all as u64, "snapshot"),
        (listed, all) => format!("{listed} of {}", human::count(all as u64, "snapshot")),
    })?;
    context.out.json("summary", json!({ "snapshots": listed, "present": snapshots.summaries.len() }))?;
    Ok(Outcome::Done)
}

/// Returns what the snapshots of a group share, for people.
pub fn title(key: &GroupKey) -> String {
    let list = |paths: &[Vec<u8>]| paths.iter().map(|path| escape_name(path)).collect::<Vec<_>>().join(", ");
    let named = |text: &str| if text.is_empty() { "-".to_owned() } else { escape_name(text.as_bytes()) };
    let parts = [
        key.host.as_ref().map(|host| format!("host {}", named(host))),
        key.job.as_ref().map(|job| format!("job {}", named(job))),
        key.paths.as_ref().map(|paths| format!("paths {}", list(paths))),
        key.tags.as_ref().map(|tags| format!("tags {}", named(&tags.join(",")))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "all".to_owned() } else { parts.join(", ") }
}

fn table(rows: &[&SnapshotSummary]) -> Table {
    let zone = TimeZone::system();
    let mut table = Table::new(&[
        ("id", Align::Left),
        ("time", Align::Left),
        ("host", Align::Left),
        ("job", Align::Left),
        ("tags", Align::Left),
        ("files", Align::Right),
        ("size", Align::Right),
        ("stored", Align::Right),
        ("paths", Align::Left),
    ]);
    let text = |text: &str| escape_name(text.as_bytes());
    for row in rows {
        table.row(vec![
            row.id.short(),
            format_time(row.time, &zone),
            text(&row.host),
            text(&row.job),
            text(&row.tags.join(",")),
            row.file_count.to_string(),
            format_size(row.content_size_bytes),
            format_size(row.stored_size_bytes),
            row.paths.iter().map(|path| escape_name(path)).collect::<Vec<_>>().join(", "),
        ]);
    }
    table
}

/// Returns a snapshot as one JSON object.
pub fn fields(row: &SnapshotSummary) -> Value {
    let paths = row.paths.iter().map(|path| {
        let mut named = serde_json::Map::new();
        json::set_name(&mut named, "path", path);
        Value::Object(named)
    });
    json!({
        "id": row.id.to_string(),
        "short_id": row.id.short(),
        "time": json::time(row.time),
        "host": row.host,
        "user": row.user,
        "job": row.job,
        "tags": row.tags,
        "paths": paths.collect::<Vec<_>>(),
        "files": row.file_count,
        "content_bytes": row.content_size_bytes,
        "stored_bytes": row.stored_size_bytes,
        "parent": row.parent.map(|id| id.to_string()),
    })
}
