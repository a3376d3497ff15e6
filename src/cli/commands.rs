//! One file per command: options in, work of the other rooms, results out.

pub mod backup;
pub mod check;
pub mod completions;
pub mod copy;
pub mod diff;
pub mod dump;
pub mod entry;
pub mod find;
pub mod forget;
pub mod history;
pub mod init;
pub mod inputs;
pub mod key;
pub mod keyfile;
pub mod ls;
pub mod open;
pub mod prune;
pub mod reference;
pub mod repair;
pub mod restore;
pub mod select;
pub mod snapshots;
pub mod stats;
pub mod unlock;
pub mod version;
pub mod witness;

use super::args::Command;
use super::context::Context;
use super::error::CliError;
use super::exit::Outcome;

/// Runs one command.
pub fn run(context: &Context, command: &Command) -> Result<Outcome, CliError> {
    use_threads(context)?;
    let outcome = match command {
        Command::Init(args) => init::run(context, args),
        Command::Backup(args) => backup::run(context, args),
        Command::Snapshots(args) => snapshots::run(context, args),
        Command::Ls(args) => ls::run(context, args),
        Command::Find(args) => find::run(context, args),
        Command::Diff(args) => diff::run(context, args),
        Command::Stats(args) => stats::run(context, args),
        Command::Restore(args) => restore::run(context, args),
        Command::Dump(args) => dump::run(context, args),
        Command::Prune(args) => prune::run(context, args),
        Command::Copy(args) => copy::run(context, args),
        Command::Check(args) => check::run(context, args),
        Command::Repair(command) => repair::run(context, command),
        Command::Forget(args) => forget::run(context, args),
        Command::Key(command) => key::run(context, command),
        Command::Unlock => unlock::run(context),
        Command::Completions(args) => completions::run(context, args),
        Command::Version => version::run(context),
        Command::Reference => reference::run(context),
    }?;
    context.out.flush()?;
    Ok(outcome)
}

/// Sets how many threads compute, for the whole process.
fn use_threads(context: &Context) -> Result<(), CliError> {
    let Some(threads) = context.globals.threads else { return Ok(()) };
    let threads = usize::try_from(threads).unwrap_or(usize::MAX);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|error| CliError::failed("cannot start threads").with_source(error))
}
