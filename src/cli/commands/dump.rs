//! `snap dump`.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;

use super::witness::Purpose;
use super::{open, select};
use crate::base::escape::escape_name;
use crate::base::{SnapshotId, pipe};
use crate::cli::args::restore::DumpArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::human;
use crate::format::snapshot::Snapshot;
use crate::repository::Repository;
use crate::restore::{DumpStats, dump, dump_tar};
use std::sync::Arc;

/// Bytes held back before they are written.
const BUFFER_SIZE_BYTES: usize = 1 << 20;

/// Writes one file, or a folder as an archive.
pub fn run(context: &Context, args: &DumpArgs) -> Result<Outcome, CliError> {
    if args.output.is_none() && args.archive.is_some() && io::stdout().is_terminal() {
        return Err(CliError::usage("an archive is nothing for a terminal")
            .with_hint("write it to a file with -o FILE, or pipe it"));
    }
    let repository = open::repository(context, Purpose::Read)?;
    let snapshots = select::load(context, &repository)?;
    let (id, snapshot) = snapshots.find(&args.snapshot, &args.filter.filter())?;
    let stats = match &args.output {
        None => {
            pipe::widen(io::stdout());
            write(&repository, snapshot, args, &mut *context.out.stream())?
        }
        Some(path) => to_file(&repository, snapshot, args, path)?,
    };
    if stats.left_out > 0 {
        let count = human::count(stats.left_out, "entry or attribute");
        context.progress.warn(&format!("{count} left out: the archive cannot hold them"));
    }
    summarise(context, args, id, &stats)?;
    Ok(Outcome::Done)
}

fn write(
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    args: &DumpArgs,
    out: &mut dyn Write,
) -> Result<DumpStats, CliError> {
    let path = args.path.as_os_str().as_bytes();
    let stats = match args.archive {
        Some(_) => dump_tar(repository, snapshot, Some(path), out),
        None => dump(repository, snapshot, path, out),
    };
    Ok(stats?)
}

/// Writes to a new file, and removes it when that fails: half a dump must not pass for one.
fn to_file(
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    args: &DumpArgs,
    path: &Path,
) -> Result<DumpStats, CliError> {
    let name = escape_name(path.as_os_str().as_bytes());
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CliError::failed(format!("{name} is there already"))
            .with_hint("name a file that does not exist, or use > to replace one"),
        _ => CliError::failed(format!("cannot write {name}")).with_source(error),
    })?;
    let mut out = BufWriter::with_capacity(BUFFER_SIZE_BYTES, &file);
    let written = write(repository, snapshot, args, &mut out);
    let written = written.and_then(|stats| {
        let flushed = out.flush().and_then(|()| file.sync_all());
        let failed = |error| CliError::failed(format!("cannot write {name}")).with_source(error);
        flushed.map(|()| stats).map_err(failed)
    });
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

fn summarise(context: &Context, args: &DumpArgs, id: SnapshotId, stats: &DumpStats) -> Result<(), CliError> {
    // Without a file of its own the dump is stdout: nothing else may come there.
    if args.output.is_none() {
        return Ok(());
    }
    let size = crate::base::parse::format_size(stats.content_bytes);
    let files = human::count(stats.files, "file");
    context.out.note(&format!("wrote {files} of {size} from snapshot {}", id.short()))?;
    let fields = json!({
        "snapshot": id.to_string(),
        "files": stats.files,
        "entries": stats.entries,
        "content_bytes": stats.content_bytes,
        "left_out": stats.left_out,
    });
    context.out.json("summary", fields)
}
