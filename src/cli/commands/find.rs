//! `snap find`.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::witness::Purpose;
use super::{entry, open, select};
use crate::base::escape::escape_name;
use crate::base::parse::format_time;
use crate::cli::args::query::FindArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::query::find::{Find, FindOptions};
use crate::query::select::MatchPattern;
use crate::repository::{ChunkReader, describe};

/// Finds files by name in snapshots, the newest snapshot first.
pub fn run(context: &Context, args: &FindArgs) -> Result<Outcome, CliError> {
    let patterns = args.patterns.iter().map(|text| MatchPattern::parse(text, args.ignore_case));
    let options = FindOptions {
        patterns: patterns.collect::<Result<_, _>>()?,
        oldest: args.oldest,
        newest: args.newest,
    };
    let repository = open::repository(context, Purpose::Read)?;
    let snapshots = select::load(context, &repository)?;
    let mut chosen = snapshots.choose(&args.snapshots, &args.filter.filter())?;
    chosen.sort_by_key(|(id, snapshot)| std::cmp::Reverse((snapshot.time, *id)));
    let reader = ChunkReader::new(&repository);
    let zone = TimeZone::system();
    let (mut entries, mut holding, mut outcome) = (0_u64, 0_u64, Outcome::Done);
    for (id, snapshot) in &chosen {
        let mut here = 0_u64;
        for found in Find::new(&reader, snapshot.root, &options) {
            let found = match found {
                Err(error) if error.is_damage() => {
                    outcome = Outcome::Damaged;
                    context.progress.warn(&format!("snapshot {}: {}", id.short(), describe(&error)));
                    continue;
                }
                found => found?,
            };
            if here == 0 {
                let host = escape_name(snapshot.host.as_bytes());
                let time = format_time(snapshot.time, &zone);
                context.out.note(&format!("snapshot {} of {time}, host {host}:", id.short()))?;
            }
            here += 1;
            context.out.line(&entry::long(&found.path, &found.node, &zone))?;
            if context.out.is_json() {
                let mut fields = entry::fields(&found.path, &found.node);
                fields.insert("snapshot".to_owned(), Value::from(id.to_string()));
                context.out.json("entry", Value::Object(fields))?;
            }
        }
        entries += here;
        holding += u64::from(here > 0);
    }
    if entries == 0 {
        context.out.note(&format!("nothing found in {} snapshots", chosen.len()))?;
    }
    let summary = json!({ "entries": entries, "snapshots": holding, "searched": chosen.len() });
    context.out.json("summary", summary)?;
    Ok(outcome)
}
