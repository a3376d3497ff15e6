//! What `snap backup` reads: paths, lists of paths, streams, and what is left out.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::backup::{Input, StreamInput, StreamOrigin};
use crate::base::escape::escape_name;
use crate::cli::args::backup::{BackupArgs, ExcludeArgs, Inputs};
use crate::cli::error::CliError;
use crate::source::{Filter, Rule, TagFile, WalkOptions, clean_paths, files_from, files_from_raw};

/// Returns what is to be backed up; lists and pattern files are read here.
pub fn of(args: &BackupArgs) -> Result<Input, CliError> {
    let stream = |name: Vec<u8>, origin| StreamInput { name: relative(name), origin };
    match args.inputs().map_err(CliError::usage)? {
        Inputs::Paths { paths } => walk(args, paths).map(Input::Paths),
        Inputs::Stdin { name } => Ok(Input::Streams(vec![stream(name.into_vec(), StreamOrigin::Stdin)])),
        Inputs::Command { name, command } => {
            Ok(Input::Streams(vec![stream(name.into_vec(), StreamOrigin::Command(command))]))
        }
        Inputs::Commands(commands) => Ok(Input::Streams(
            commands
                .into_iter()
                .map(|named| stream(named.name.into_bytes(), StreamOrigin::Command(named.command)))
                .collect(),
        )),
    }
}

/// A name such as `/shop.dump` means the same file: the root of a snapshot is its only folder for streams.
fn relative(name: Vec<u8>) -> Vec<u8> {
    let start = name.iter().position(|byte| *byte != b'/').unwrap_or(name.len());
    name[start..].to_vec()
}

fn walk(args: &BackupArgs, mut paths: Vec<PathBuf>) -> Result<WalkOptions, CliError> {
    let lists = [&args.files_from, &args.files_from_raw, &args.excludes.exclude_files];
    let all = lists.into_iter().flatten().chain(&args.excludes.exclude_files_ignoring_case);
    if all.filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(CliError::usage("stdin (-) can be read only once"));
    }
    for list in &args.files_from {
        paths.extend(read(list, "list of paths", files_from)?);
    }
    for list in &args.files_from_raw {
        paths.extend(read(list, "list of paths", files_from_raw)?);
    }
    if paths.is_empty() {
        return Err(CliError::usage("nothing to back up: the lists of paths are empty"));
    }
    if paths.iter().any(|path| path.as_os_str().is_empty()) {
        return Err(CliError::usage("a path is empty").with_hint("an unset variable in a script?"));
    }
    let failed = |error| CliError::failed("cannot tell the current folder").with_source(error);
    let cwd = std::env::current_dir().map_err(failed)?;
    let excludes = &args.excludes;
    Ok(WalkOptions {
        paths: clean_paths(&cwd, &paths),
        filter: Filter::new(rules(excludes)?)?,
        one_file_system: args.one_file_system,
        exclude_caches: excludes.exclude_caches,
        exclude_if_present: excludes
            .exclude_if_present
            .iter()
            .map(|name| TagFile::parse(name))
            .collect::<Result<_, _>>()?,
        exclude_larger_than_bytes: excludes.exclude_larger_than,
    })
}

fn rules(excludes: &ExcludeArgs) -> Result<Vec<Rule>, CliError> {
    let mut rules = Vec::new();
    for file in &excludes.exclude_files {
        rules.extend(read(file, "patterns", |reader| Rule::parse_lines(reader, false))?);
    }
    for file in &excludes.exclude_files_ignoring_case {
        rules.extend(read(file, "patterns", |reader| Rule::parse_lines(reader, true))?);
    }
    for pattern in &excludes.excludes {
        rules.push(Rule::parse(pattern, false)?);
    }
    for pattern in &excludes.excludes_ignoring_case {
        rules.push(Rule::parse(pattern, true)?);
    }
    Ok(rules)
}

fn read<T>(
    path: &Path,
    what: &str,
    parse: impl FnOnce(Box<dyn Read>) -> io::Result<T>,
) -> Result<T, CliError> {
    let reader: io::Result<Box<dyn Read>> = match path.as_os_str() == "-" {
        true => Ok(Box::new(io::stdin())),
        false => File::open(path).map(|file| Box::new(file) as Box<dyn Read>),
    };
    reader.and_then(parse).map_err(|error| {
        let name = escape_name(path.as_os_str().as_bytes());
        CliError::failed(format!("cannot read {what} from {name}")).with_source(error)
    })
}
