//! `snap stats`.

use serde_json::{Value, json};

use super::{open, select};
use crate::base::parse::format_size;
use crate::cli::args::query::StatsArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::human;
use crate::cli::table::{Align, Table};
use crate::query::stats::{ChunkStats, RepositoryStats, SetStats};
use crate::repository::ChunkReader;
use crate::source::Class;

/// Shows sizes of snapshots and of the repository.
pub fn run(context: &Context, args: &StatsArgs) -> Result<Outcome, CliError> {
    let repository = open::repository(context)?;
    let snapshots = select::load(context, &repository)?;
    let chosen = snapshots.choose(&args.snapshots, &args.filter.filter())?;
    let whole = RepositoryStats::of(&repository)?;
    let reader = ChunkReader::new(&repository);
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

fn chunks(stats: &ChunkStats) -> Value {
    json!({ "chunks": stats.chunks, "raw_bytes": stats.raw_bytes, "stored_bytes": stats.stored_bytes })
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
