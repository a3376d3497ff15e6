//! `snap ls`.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::witness::Purpose;
use super::{entry, open, select};
use crate::cli::args::query::LsArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::query::list::Listing;
use crate::query::walk::resolve;
use crate::repository::ChunkReader;

/// Lists the files of a snapshot.
pub fn run(context: &Context, args: &LsArgs) -> Result<Outcome, CliError> {
    let repository = open::repository(context, Purpose::Read)?;
    let snapshots = select::load(context, &repository)?;
    let (id, snapshot) = snapshots.find(&args.snapshot.snapshot, &args.filter.filter())?;
    let reader = ChunkReader::new(&repository);
    let place = resolve(&reader, &snapshot.root, args.snapshot.path.as_deref())?;
    let zone = TimeZone::system();
    let (mut entries, mut bytes, mut outcome) = (0_u64, 0_u64, Outcome::Done);
    for found in Listing::new(&reader, &place, !args.no_recursive) {
        let found = match found {
            Err(error) if error.is_damage() => {
                outcome = Outcome::Damaged;
                context.progress.warn(&crate::repository::describe(&error));
                continue;
            }
            found => found?,
        };
        entries += 1;
        bytes += found.node.size_bytes();
        match args.long {
            true => context.out.line(&entry::long(&found.path, &found.node, &zone))?,
            false => context.out.line(&entry::name(&found.path, &found.node))?,
        }
        if context.out.is_json() {
            context.out.json("entry", Value::Object(entry::fields(&found.path, &found.node)))?;
        }
    }
    let summary = json!({ "snapshot": id.to_string(), "entries": entries, "content_bytes": bytes });
    context.out.json("summary", summary)?;
    Ok(outcome)
}
