//! Arguments, output and exit codes: the only room that prints.
//!
//! [`main`] reads the command line, makes a [`Context`] and hands it to the function of the command in
//! [`commands`]; what comes back becomes an exit code. No other room reads the environment or the terminal.

pub mod args;
pub mod commands;
pub mod context;
pub mod defaults;
pub mod environment;
pub mod error;
pub mod exit;
pub mod human;
pub mod json;
pub mod output;
pub mod progress;
pub mod reference;
pub mod report;
pub mod secrets;
pub mod signals;
pub mod table;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;

pub use args::Arguments;
pub use context::Context;
pub use environment::Environment;
pub use error::CliError;
pub use exit::{ExitKind, Outcome};
pub use reference::reference;

/// Runs the command line of this process and returns its exit code.
pub fn main() -> ExitCode {
    // Whatever is made on this host is the user's alone; restored files get their own modes.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let words: Vec<OsString> = std::env::args_os().collect();
    let arguments = match Arguments::read(words.iter()) {
        Ok(arguments) => arguments,
        Err(error) => return report::usage(&error, words.iter().any(|word| word == "--json")).into(),
    };
    let json = arguments.globals.json;
    let result = Context::from_process(arguments.globals).and_then(|context| {
        let result = commands::run(&context, &arguments.command);
        context.finish();
        result
    });
    match result {
        Ok(outcome) => outcome.exit_kind().into(),
        Err(error) => report::failure(&error, json).into(),
    }
}

/// Returns the description of the command line, for completions and the reference.
pub fn command() -> clap::Command {
    Arguments::command()
}
