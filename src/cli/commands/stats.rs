//! `snap stats`.

use std::os::unix::ffi::OsStrExt;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::witness::Purpose;
use super::{open, select};
use crate::base::SnapshotId;
use crate::base::escape::escape_name;
use crate::base::parse::{format_size, format_time};
use crate::cli::args::query::StatsArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::table::{Align, Table};
use crate::cli::{human, json};
use crate::format::snapshot::Snapshot;
use crate::query::stats::{ChunkStats, PartStats, PathStats, RepositoryStats, SeriesRow, SetStats};
use crate::repository::ChunkReader;
use crate::source::Class;

/// Shows sizes of snapshots and of the repository.
pub fn run(context: &Context, args: &StatsArgs) -> Result<Outcome, CliError> {
    let repository = open::repository(context, Purpose::Read)?;
    let snapshots = select::load(context, &repository)?;
    let chosen = snapshots.choose(&args.snapshots, &args.filter.filter())?;
    let reader = ChunkReader::new(&repository);
    if let Some(path) = &args.series {
        return run_series(context, &reader, &chosen, path.as_os_str().as_bytes());
    }
    let whole = RepositoryStats::of(&repository)?;
    let set = SetStats::of(&reader, &chosen)?;
    context.out.line(&format!(
        "{}: {}{}{}",
        human::count(set.snapshots, "snapshot"),
        human::count(set.files, "file"),
        human::also(set.directories, "folder"),
        human::also(set.others, "other entry"),
    ))?;
    context.out.line(&format!(
        "restored they take {}; without repetition {}; stored {} (ratio {})",
        format_size(set.content_bytes),
        format_size(set.unique().raw_bytes),
        format_size(set.stored_bytes()),
        human::ratio(set.content_bytes, set.stored_bytes()),
    ))?;
    context.out.lines(&class_table(&set).render())?;
    context.out.line("")?;
    context.out.lines(&coding_table(&set).render())?;
    context.out.line("")?;
    if let Some(depth) = args.by_path {
        let paths = PathStats::of(&reader, &chosen, depth)?;
        context.out.lines(&path_table(&paths).render())?;
        context.out.line("")?;
        for path in &paths {
            context.out.json("path", path_fields(path))?;
        }
    }
    context.out.line(&format!(
        "repository: {} in {} and {}, {} chunks of {}",
        format_size(whole.stored_bytes + whole.index_bytes),
        human::count(whole.packs, "pack"),
        human::count(whole.index_objects, "index object"),
        whole.chunks,
        format_size(whole.raw_bytes),
    ))?;
    if whole.pending_packs > 0 {
        let packs = human::count(whole.pending_packs, "pack");
        context
            .out
            .line(&format!("of these, {packs} of {} wait to be deleted", format_size(whole.pending_bytes)))?;
    }
    context
        .out
        .json("summary", json!({ "set": set_fields(&set), "repository": repository_fields(&whole) }))?;
    Ok(Outcome::Done)
}

fn class_table(set: &SetStats) -> Table {
    let mut table = Table::new(&[
        ("class", Align::Left),
        ("files", Align::Right),
        ("size", Align::Right),
        ("chunks", Align::Right),
        ("without repetition", Align::Right),
        ("stored", Align::Right),
        ("ratio", Align::Right),
    ]);
    let mut row = |name: &str, files: String, content_bytes: u64, unique: &ChunkStats| {
        table.row(vec![
            name.to_owned(),
            files,
            format_size(content_bytes),
            unique.chunks.to_string(),
            format_size(unique.raw_bytes),
            format_size(unique.stored_bytes),
            human::ratio(content_bytes, unique.stored_bytes),
        ]);
    };
    for (class, stats) in Class::ALL.iter().zip(&set.classes) {
        row(class.word(), stats.files.to_string(), stats.content_bytes, &stats.unique);
    }
    row("metadata", String::new(), set.metadata.raw_bytes, &set.metadata);
    table
}

fn part_cells(part: &PartStats) -> [String; 3] {
    [
        format_size(part.raw_bytes),
        format_size(part.stored_bytes),
        human::ratio(part.raw_bytes, part.stored_bytes),
    ]
}

/// Returns what coding made of blocks without bases, and of those with: what the latter gain more is the
/// bases' doing.
fn coding_table(set: &SetStats) -> Table {
    let mut table = Table::new(&[
        ("class", Align::Left),
        ("without bases", Align::Right),
        ("stored", Align::Right),
        ("ratio", Align::Right),
        ("with bases", Align::Right),
        ("stored", Align::Right),
        ("ratio", Align::Right),
    ]);
    let classes =
        Class::ALL.iter().map(|class| class.word()).zip(set.classes.iter().map(|class| class.unique));
    for (name, unique) in classes.chain([("metadata", set.metadata)]) {
        let [plain, based] = [part_cells(&unique.plain), part_cells(&unique.based)];
        table.row([&[name.to_owned()], &plain[..], &based[..]].concat());
    }
    table
}

fn path_table(paths: &[PathStats]) -> Table {
    let mut table = Table::new(&[
        ("files", Align::Right),
        ("size", Align::Right),
        ("without repetition", Align::Right),
        ("stored", Align::Right),
        ("ratio", Align::Right),
        ("with bases", Align::Right),
        ("stored", Align::Right),
        ("metadata", Align::Right),
        ("path", Align::Left),
    ]);
    for stats in paths {
        table.row(vec![
            stats.files.to_string(),
            format_size(stats.content_bytes),
            format_size(stats.unique.raw_bytes),
            format_size(stats.unique.stored_bytes),
            human::ratio(stats.content_bytes, stats.unique.stored_bytes),
            format_size(stats.unique.based.raw_bytes),
            format_size(stats.unique.based.stored_bytes),
            format_size(stats.metadata.stored_bytes),
            escape_name(&stats.path),
        ]);
    }
    table
}

/// Shows the growth of one path.
fn run_series(
    context: &Context,
    reader: &ChunkReader<'_>,
    snapshots: &[(SnapshotId, &Snapshot)],
    path: &[u8],
) -> Result<Outcome, CliError> {
    let rows = SeriesRow::series(reader, snapshots, path)?;
    context.out.lines(&series_table(&rows).render())?;
    for row in &rows {
        context.out.json("step", step_fields(row))?;
    }
    let sum = |value: fn(&SeriesRow) -> u64| rows.iter().map(value).sum::<u64>();
    let (content_bytes, stored_bytes) = (sum(|row| row.content_bytes), sum(SeriesRow::stored_bytes));
    context.out.line(&format!(
        "{} of {}; restored they take {}; without repetition {}; stored {} (ratio {})",
        human::count(sum(|_| 1), "snapshot"),
        escape_name(path),
        format_size(content_bytes),
        format_size(sum(|row| row.added.raw_bytes)),
        format_size(stored_bytes),
        human::ratio(content_bytes, stored_bytes),
    ))?;
    let mut fields = Map::new();
    json::set_name(&mut fields, "path", path);
    fields.insert("snapshots".to_owned(), rows.len().into());
    fields.insert("content_bytes".to_owned(), content_bytes.into());
    fields.insert("stored_bytes".to_owned(), stored_bytes.into());
    context.out.json("summary", Value::Object(fields))?;
    Ok(Outcome::Done)
}

fn series_table(rows: &[SeriesRow]) -> Table {
    let zone = TimeZone::system();
    let mut table = Table::new(&[
        ("id", Align::Left),
        ("time", Align::Left),
        ("size", Align::Right),
        ("new", Align::Right),
        ("stored", Align::Right),
        ("ratio", Align::Right),
        ("with bases", Align::Right),
        ("stored", Align::Right),
        ("metadata", Align::Right),
    ]);
    for row in rows {
        table.row(vec![
            row.snapshot.short(),
            format_time(row.time, &zone),
            format_size(row.content_bytes),
            format_size(row.added.raw_bytes),
            format_size(row.added.stored_bytes),
            human::ratio(row.content_bytes, row.stored_bytes()),
            format_size(row.added.based.raw_bytes),
            format_size(row.added.based.stored_bytes),
            format_size(row.metadata.stored_bytes),
        ]);
    }
    table
}

fn step_fields(row: &SeriesRow) -> Value {
    json!({
        "snapshot": row.snapshot.to_string(),
        "time": json::time(row.time),
        "files": row.files,
        "content_bytes": row.content_bytes,
        "stored_bytes": row.stored_bytes(),
        "added": chunks(&row.added),
        "metadata": chunks(&row.metadata),
    })
}

fn path_fields(stats: &PathStats) -> Value {
    let mut fields = Map::new();
    json::set_name(&mut fields, "path", &stats.path);
    fields.insert("files".to_owned(), stats.files.into());
    fields.insert("content_bytes".to_owned(), stats.content_bytes.into());
    fields.insert("unique".to_owned(), chunks(&stats.unique));
    fields.insert("metadata".to_owned(), chunks(&stats.metadata));
    Value::Object(fields)
}

fn part(part: &PartStats) -> Value {
    json!({ "chunks": part.chunks, "raw_bytes": part.raw_bytes, "stored_bytes": part.stored_bytes })
}

fn chunks(stats: &ChunkStats) -> Value {
    json!({
        "chunks": stats.chunks,
        "raw_bytes": stats.raw_bytes,
        "stored_bytes": stats.stored_bytes,
        "without_bases": part(&stats.plain),
        "with_bases": part(&stats.based),
    })
}

fn set_fields(set: &SetStats) -> Value {
    let classes = Class::ALL.iter().zip(&set.classes).map(|(class, stats)| {
        json!({
            "class": class.word(),
            "files": stats.files,
            "content_bytes": stats.content_bytes,
            "unique": chunks(&stats.unique),
        })
    });
    json!({
        "snapshots": set.snapshots,
        "files": set.files,
        "directories": set.directories,
        "others": set.others,
        "content_bytes": set.content_bytes,
        "stored_bytes": set.stored_bytes(),
        "unique": chunks(&set.unique()),
        "metadata": chunks(&set.metadata),
        "classes": classes.collect::<Vec<_>>(),
    })
}

fn repository_fields(stats: &RepositoryStats) -> Value {
    json!({
        "snapshots": stats.snapshots,
        "packs": stats.packs,
        "stored_bytes": stats.stored_bytes,
        "tree_stored_bytes": stats.tree_stored_bytes,
        "chunks": stats.chunks,
        "raw_bytes": stats.raw_bytes,
        "index_objects": stats.index_objects,
        "index_bytes": stats.index_bytes,
        "pending_packs": stats.pending_packs,
        "pending_bytes": stats.pending_bytes,
    })
}
