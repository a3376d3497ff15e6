//! `snap diff`.

use serde_json::{Map, Value, json};

use super::witness::Purpose;
use super::{entry, open, select};
use crate::base::escape::escape_name;
use crate::base::parse::format_size;
use crate::cli::args::query::DiffArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::{human, json};
use crate::query::diff::{Change, Diff, DiffTotals, Difference, PartsChange, SideTotals};
use crate::query::walk::resolve;
use crate::repository::{ChunkReader, describe};

/// Parts of one file that are shown to people; with `--json` all are.
const PARTS_SHOWN_MAX: usize = 40;

/// Shows what differs between two snapshots.
pub fn run(context: &Context, args: &DiffArgs) -> Result<Outcome, CliError> {
    let repository = open::repository(context, Purpose::Read)?;
    let snapshots = select::load(context, &repository)?;
    let filter = args.filter.filter();
    let (old_id, old) = snapshots.find(&args.from.snapshot, &filter)?;
    let (new_id, new) = snapshots.find(&args.to.snapshot, &filter)?;
    let reader = ChunkReader::new(&repository);
    let old_place = resolve(&reader, &old.root, args.from.path.as_deref())?;
    let new_place = resolve(&reader, &new.root, args.to.path.as_deref())?;
    context.out.note(&format!("from {} to {}", old_id.short(), new_id.short()))?;
    let mut outcome = Outcome::Done;
    let mut diff = Diff::new(&reader, &old_place, &new_place, args.metadata).with_parts(args.parts.into());
    for difference in diff.by_ref() {
        match difference {
            Err(error) if error.is_damage() => {
                outcome = Outcome::Damaged;
                context.progress.warn(&describe(&error));
            }
            difference => show(context, &difference?)?,
        }
    }
    summarise(context, diff.totals())?;
    let mut fields = totals(diff.totals());
    fields.insert("from".to_owned(), Value::from(old_id.to_string()));
    fields.insert("to".to_owned(), Value::from(new_id.to_string()));
    context.out.json("summary", Value::Object(fields))?;
    Ok(outcome)
}

fn show(context: &Context, difference: &Difference) -> Result<(), CliError> {
    let Some(node) = difference.new.as_ref().or(difference.old.as_ref()) else { return Ok(()) };
    let (sign, word) = match difference.change {
        Change::Added => ('+', "added"),
        Change::Removed => ('-', "removed"),
        Change::Modified => ('M', "modified"),
        Change::TypeChanged => ('T', "type_changed"),
        Change::Metadata => ('U', "metadata"),
    };
    let mut line = format!("{sign} {}", entry::name(&difference.path, node));
    if let Some(content) = difference.content {
        let (added, removed) = (format_size(content.added_bytes), format_size(content.removed_bytes));
        line.push_str(&format!(" (+{added}, -{removed})"));
    }
    let metadata = metadata_words(difference);
    if difference.change == Change::Metadata {
        line.push_str(&format!(" ({})", metadata.join(", ")));
    }
    context.out.line(&line)?;
    if let Some(parts) = &difference.parts {
        show_parts(context, parts)?;
    }
    if !context.out.is_json() {
        return Ok(());
    }
    let mut fields = Map::new();
    json::set_name(&mut fields, "path", &difference.path);
    fields.insert("change".to_owned(), Value::from(word));
    fields.insert("metadata".to_owned(), Value::from(metadata));
    if let Some(content) = difference.content {
        fields.insert("added_bytes".to_owned(), Value::from(content.added_bytes));
        fields.insert("removed_bytes".to_owned(), Value::from(content.removed_bytes));
    }
    if let Some(parts) = &difference.parts {
        fields.insert("parts".to_owned(), parts_fields(parts));
    }
    for (key, node) in [("old", &difference.old), ("new", &difference.new)] {
        let side = node.as_ref().map(|node| {
            let mut side = entry::fields(&difference.path, node);
            side.remove("path");
            side.remove("path_hex");
            Value::Object(side)
        });
        fields.insert(key.to_owned(), Value::from(side));
    }
    context.out.json("difference", Value::Object(fields))
}

/// Shows the parts of a file that differ below its own line, as many as are easily read.
fn show_parts(context: &Context, parts: &PartsChange) -> Result<(), CliError> {
    for part in parts.changed.iter().take(PARTS_SHOWN_MAX) {
        let name = match &part.name {
            Some(name) => escape_name(name),
            None => format!("({})", parts.rest),
        };
        let line = match part.size_bytes {
            [None, Some(new)] => format!("    + {name} ({})", format_size(new)),
            [Some(old), None] => format!("    - {name} ({})", format_size(old)),
            _ => {
                let (added, removed) = (format_size(part.added_bytes), format_size(part.removed_bytes));
                format!("    M {name} (+{added}, -{removed})")
            }
        };
        context.out.line(&line)?;
    }
    let more = parts.changed.len().saturating_sub(PARTS_SHOWN_MAX);
    if more > 0 {
        context.out.line(&format!("    and {more} more"))?;
    }
    if parts.is_cut {
        context.out.line("    not all parts of this file are known")?;
    }
    Ok(())
}

fn parts_fields(parts: &PartsChange) -> Value {
    let changed = parts.changed.iter().map(|part| {
        let mut fields = Map::new();
        if let Some(name) = &part.name {
            json::set_name(&mut fields, "name", name);
        }
        let [old, new] = part.size_bytes;
        fields.insert("old_bytes".to_owned(), Value::from(old));
        fields.insert("new_bytes".to_owned(), Value::from(new));
        fields.insert("added_bytes".to_owned(), Value::from(part.added_bytes));
        fields.insert("removed_bytes".to_owned(), Value::from(part.removed_bytes));
        Value::Object(fields)
    });
    json!({
        "kind": parts.kind,
        "changed": changed.collect::<Vec<Value>>(),
        "same": parts.same_count,
        "complete": !parts.is_cut,
    })
}

fn metadata_words(difference: &Difference) -> Vec<&'static str> {
    let changed = difference.metadata;
    let words = [
        (changed.mode, "mode"),
        (changed.owner, "owner"),
        (changed.mtime, "time"),
        (changed.xattrs, "attributes"),
    ];
    words.into_iter().filter(|(differs, _)| *differs).map(|(_, word)| word).collect()
}

fn summarise(context: &Context, totals: &DiffTotals) -> Result<(), CliError> {
    let side = |word: &str, side: &SideTotals| {
        format!(
            "{word}: {}{}{}, {}",
            human::count(side.files, "file"),
            human::also(side.directories, "folder"),
            human::also(side.others, "other entry"),
            format_size(side.content_bytes),
        )
    };
    context.out.note(&side("added", &totals.added))?;
    context.out.note(&side("removed", &totals.removed))?;
    context.out.note(&format!(
        "modified: {} (+{}, -{}); {} of another type; {} with other metadata",
        totals.modified,
        format_size(totals.modified_content.added_bytes),
        format_size(totals.modified_content.removed_bytes),
        totals.type_changed,
        totals.metadata_changed,
    ))
}

fn totals(totals: &DiffTotals) -> Map<String, Value> {
    let side = |side: &SideTotals| {
        json!({
            "files": side.files,
            "directories": side.directories,
            "others": side.others,
            "content_bytes": side.content_bytes,
        })
    };
    let mut fields = Map::new();
    fields.insert("added".to_owned(), side(&totals.added));
    fields.insert("removed".to_owned(), side(&totals.removed));
    fields.insert("modified".to_owned(), Value::from(totals.modified));
    fields.insert("modified_added_bytes".to_owned(), Value::from(totals.modified_content.added_bytes));
    fields.insert("modified_removed_bytes".to_owned(), Value::from(totals.modified_content.removed_bytes));
    fields.insert("type_changed".to_owned(), Value::from(totals.type_changed));
    fields.insert("metadata_changed".to_owned(), Value::from(totals.metadata_changed));
    fields
}
