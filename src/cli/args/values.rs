//! Values of options, from text: what is read here and not in the rooms that use it.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::str::FromStr;

use clap::builder::{OsStringValueParser, TypedValueParser};
use jiff::tz::TimeZone;

use crate::base::parse::{self, ParseError};
use crate::base::{Clock, Memory, SystemClock, Time};
use crate::query::select::{Selector, SnapshotRef};

/// More threads than this are a mistake in typing.
const THREAD_COUNT_MAX: u32 = 1024;

/// Returns the parser of `SNAP[:PATH]`, which takes paths that are not UTF-8.
pub fn selector() -> impl TypedValueParser<Value = Selector> {
    OsStringValueParser::new().try_map(|text: OsString| Selector::parse(&text.into_vec()))
}

/// Reads a name of a snapshot: the first digits of its id, `latest` or `latest~N`.
pub fn snapshot_ref(text: &str) -> Result<SnapshotRef, ParseError> {
    SnapshotRef::parse(text.as_bytes())
}

/// Reads a point in time, in the time zone of this host when it names none.
pub fn time(text: &str) -> Result<Time, ParseError> {
    parse::parse_time(text, SystemClock.now(), &TimeZone::system())
}

/// Reads a number of threads.
pub fn thread_count(text: &str) -> Result<u32, ParseError> {
    let count = text.parse().ok().filter(|count| (1..=THREAD_COUNT_MAX).contains(count));
    count.ok_or_else(|| ParseError::new(text, "a number of threads from 1 to 1024", "4"))
}

/// Reads a limit of memory.
pub fn memory_limit(text: &str) -> Result<Memory, ParseError> {
    let limit = parse::parse_size(text)?;
    let fits = (Memory::MIN_BYTES..=Memory::MAX_BYTES).contains(&limit);
    let refused = || ParseError::new(text, "an amount of memory from 128MiB to 8GiB", "256MiB");
    fits.then(|| Memory::of(limit)).ok_or_else(refused)
}

/// Several tags, of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagList(pub Vec<String>);

impl FromStr for TagList {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse::parse_tags(text).map(Self)
    }
}

/// The text of a command line, which may hold a secret: nothing that the parser of options says repeats it,
/// since every text is taken, and neither does `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandText(pub String);

impl From<String> for CommandText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for CommandText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommandText(…)")
    }
}

impl CommandText {
    /// Returns the name and the command line of `NAME=CMDLINE`, or what is wrong, without repeating it.
    pub fn named(&self) -> Result<(&str, &str), String> {
        let part_fits = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        let named = self.0.split_once('=').filter(|(name, _)| name.split('/').all(part_fits));
        named.ok_or_else(|| {
            "--command takes NAME=CMDLINE, a file name with a command, such as shop.sql='pg_dump shop'"
                .to_owned()
        })
    }
}

/// One entry of a snapshot's free metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaEntry {
    /// Not empty.
    pub key: String,
    /// Any text.
    pub value: String,
}

impl FromStr for MetaEntry {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err(ParseError::new(text, "a key with a value", "step=300")),
        }
    }
}
