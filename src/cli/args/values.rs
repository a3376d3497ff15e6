//! Values of options, from text: names of snapshots and commands, metadata, times.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::str::FromStr;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::base::Time;

/// Length of a whole snapshot id in digits.
const SNAPSHOT_ID_DIGITS: usize = 64;

/// The text is no such value: what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

impl ValueError {
    /// Returns an error that says what is expected.
    pub fn new(expected: impl Into<String>) -> Self {
        Self(expected.into())
    }
}

/// Which snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotName {
    /// The newest that the filters take, or the N-th before it.
    Latest(u32),
    /// The one whose id begins with these lower-case hexadecimal digits.
    Prefix(String),
}

impl FromStr for SnapshotName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let expected = || ValueError::new("a snapshot is an id or its first digits, latest, or latest~N");
        if let Some(rest) = text.strip_prefix("latest") {
            let back = match rest.strip_prefix('~') {
                Some(digits) => digits.parse().map_err(|_| expected())?,
                None if rest.is_empty() => 0,
                None => return Err(expected()),
            };
            return Ok(Self::Latest(back));
        }
        let is_hex = text.bytes().all(|digit| digit.is_ascii_hexdigit());
        match is_hex && !text.is_empty() && text.len() <= SNAPSHOT_ID_DIGITS {
            true => Ok(Self::Prefix(text.to_ascii_lowercase())),
            false => Err(expected()),
        }
    }
}

impl std::fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest(0) => f.write_str("latest"),
            Self::Latest(back) => write!(f, "latest~{back}"),
            Self::Prefix(digits) => f.write_str(digits),
        }
    }
}

/// A snapshot, or what is at a path in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPath {
    /// Which snapshot.
    pub snapshot: SnapshotName,
    /// Path in it, raw bytes as typed, not empty; `None` is the whole snapshot.
    pub path: Option<Vec<u8>>,
}

impl SnapshotPath {
    fn parse(text: OsString) -> Result<Self, ValueError> {
        let bytes = text.into_vec();
        let (name, path) = match bytes.iter().position(|&byte| byte == b':') {
            Some(at) => (&bytes[..at], Some(bytes[at + 1..].to_vec())),
            None => (&bytes[..], None),
        };
        let snapshot = String::from_utf8_lossy(name).parse()?;
        Ok(Self { snapshot, path: path.filter(|path| !path.is_empty()) })
    }
}

/// Returns the parser of `SNAP[:PATH]`, which takes paths that are not UTF-8.
pub fn snapshot_path() -> impl TypedValueParser<Value = SnapshotPath> {
    OsStringValueParser::new().try_map(SnapshotPath::parse)
}

/// A command whose output becomes one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCommand {
    /// Name of the file in the snapshot: one path component.
    pub name: String,
    /// The command line, not split yet.
    pub command_line: String,
}

impl FromStr for NamedCommand {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let expected = || ValueError::new("write NAME=CMDLINE, NAME a file name without /");
        let (name, command_line) = text.split_once('=').ok_or_else(expected)?;
        let name_fits = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
        match name_fits && !command_line.trim().is_empty() {
            true => Ok(Self { name: name.to_owned(), command_line: command_line.to_owned() }),
            false => Err(expected()),
        }
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
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err(ValueError::new("write KEY=VALUE")),
        }
    }
}

/// Reads a point in time: RFC 3339, or date, or date and time in the local time zone.
pub fn parse_time(text: &str) -> Result<Time, ValueError> {
    parse_time_in(text, &jiff::tz::TimeZone::system())
}

/// Reads a point in time; without an offset it is meant in `zone`.
pub fn parse_time_in(text: &str, zone: &jiff::tz::TimeZone) -> Result<Time, ValueError> {
    let expected =
        |_| ValueError::new("a time is like 2026-01-31, '2026-01-31 12:00:00' or 2026-01-31T12:00:00Z");
    let timestamp = match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) => {
            let civil: jiff::civil::DateTime = text.parse().map_err(expected)?;
            civil.to_zoned(zone.clone()).map_err(expected)?.timestamp()
        }
    };
    Ok(time_of(timestamp))
}

fn time_of(timestamp: jiff::Timestamp) -> Time {
    let nanoseconds = timestamp.as_nanosecond();
    // A timestamp of jiff is within years -9999 to 9999: both parts fit.
    Time {
        seconds: nanoseconds.div_euclid(1_000_000_000) as i64,
        nanoseconds: nanoseconds.rem_euclid(1_000_000_000) as u32,
    }
}
