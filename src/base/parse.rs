//! Sizes, spans and times as people write them, and back.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use crate::base::Time;
use crate::base::escape::escape_name;

/// Longest piece of wrong input that an error repeats, in characters.
const ERROR_TEXT_MAX_CHARS: usize = 80;
/// One, in the fixed point that decimal fractions are read in.
const ONE: u128 = 1_000_000_000;

/// The text is not what was asked for; says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {expected} such as {example}")]
pub struct ParseError {
    /// What was given, shortened and safe for a terminal.
    pub text: String,
    /// What was expected, as a noun with its article.
    pub expected: &'static str,
    /// A text that would have been taken.
    pub example: &'static str,
}

impl ParseError {
    /// Returns the error for `text` where `expected` (a noun with its article) such as `example` was due.
    pub fn new(text: impl AsRef<[u8]>, expected: &'static str, example: &'static str) -> Self {
        let mut shown = escape_name(text.as_ref());
        if let Some((cut, _)) = shown.char_indices().nth(ERROR_TEXT_MAX_CHARS) {
            shown.truncate(cut);
            shown.push('…');
        }
        Self { text: shown, expected, example }
    }
}

/// Returns plain digits with an optional fraction of one to nine digits, in billionths.
fn decimal(text: &str) -> Option<u128> {
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if all_digits(fraction) && fraction.len() <= 9 => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    if !all_digits(whole) || whole.len() > 20 {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    Some(whole * ONE + format!("{fraction:0<9}").parse::<u128>().ok()?)
}

/// Returns the size in bytes: `500`, `64M`, `1.5 GB`, `10GiB`. The units K, M, G, T and P, each also with `B`
/// or `iB`, in either case, count by 1024; without unit the text is bytes. Fractions of a byte are cut off.
///
/// # Errors
/// Anything else, and more than `u64` holds.
pub fn parse_size(text: &str) -> Result<u64, ParseError> {
    size(text).ok_or_else(|| ParseError::new(text, "a size in bytes", "500, 64M or 1.5GiB"))
}

fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let power = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    if power == 0 && number.contains('.') {
        return None;
    }
    u64::try_from(decimal(number)?.checked_mul(1024_u128.pow(power))? / ONE).ok()
}

/// A part of a whole, exact to a ten-thousandth of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent {
    /// Millionths of the whole, at most 1,000,000.
    millionths: u32,
}

impl Percent {
    /// Returns this part of `total_bytes`, rounded down.
    pub fn of_bytes(self, total_bytes: u64) -> u64 {
        let part = u128::from(total_bytes) * u128::from(self.millionths) / 1_000_000;
        u64::try_from(part).unwrap_or(total_bytes)
    }

    /// Returns millionths of the whole, 0 to 1,000,000.
    pub fn millionths(self) -> u32 {
        self.millionths
    }
}

impl FromStr for Percent {
    type Err = ParseError;

    /// Reads `5%` or `2.5 %`, 0 to 100 with at most four decimals.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let read = || {
            let billionths = decimal(text.trim().strip_suffix('%')?.trim_end())?;
            let millionths = u32::try_from(billionths / 100_000).ok()?;
            (billionths % 100_000 == 0 && millionths <= 1_000_000).then_some(Self { millionths })
        };
        read().ok_or_else(|| ParseError::new(text, "a percentage from 0% to 100%", "5% or 2.5%"))
    }
}

/// How much may be: the values of `--max-unused` and `--max-repack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// So many bytes.
    Bytes(u64),
    /// This part of the whole.
    Percent(Percent),
    /// Any amount.
    Unlimited,
}

impl Allowance {
    /// Returns the bytes allowed of `total_bytes`; `u64::MAX` when unlimited.
    pub fn of_bytes(self, total_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => percent.of_bytes(total_bytes),
            Self::Unlimited => u64::MAX,
        }
    }
}

impl FromStr for Allowance {
    type Err = ParseError;

    /// Reads a size, a percentage or `unlimited`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.trim() == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let percent = text.parse().ok().map(Self::Percent);
        percent.or_else(|| size(text).map(Self::Bytes)).ok_or_else(|| {
            ParseError::new(text, "a size, a percentage or 'unlimited'", "10GiB, 5% or unlimited")
        })
    }
}

/// Which part of the data to read: the value of `--read-data-subset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subset {
    /// Part `index` of `of` equal parts that together are everything; `1 <= index <= of`.
    Part {
        /// Which part, counted from 1.
        index: u32,
        /// How many parts there are.
        of: u32,
    },
    /// This part of the bytes, above 0%.
    Percent(Percent),
    /// About so many bytes, above 0.
    Bytes(u64),
}

impl FromStr for Subset {
    type Err = ParseError;

    /// Reads `2/7`, `5%` or a size. A subset is never empty.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let part = || {
            let (index, of) = text.trim().split_once('/')?;
            let (index, of) = (number(index)?, number(of)?);
            (1 <= index && index <= of).then_some(Self::Part { index, of })
        };
        let percent = || text.parse().ok().filter(|p: &Percent| p.millionths > 0).map(Self::Percent);
        let bytes = || size(text).filter(|&bytes| bytes > 0).map(Self::Bytes);
        part().or_else(percent).or_else(bytes).ok_or_else(|| {
            ParseError::new(text, "a part n/m, a percentage or a size above zero", "1/7, 5% or 10GiB")
        })
    }
}

/// Returns plain digits as a number: no sign, no space.
fn number(digits: &str) -> Option<u32> {
    if digits.bytes().all(|c| c.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Returns the numbers and one-letter units of `2y5m`, each unit at most once, at least one.
fn counted_units(text: &str) -> Option<Vec<(u32, u8)>> {
    let mut counted: Vec<(u32, u8)> = Vec::new();
    let mut digits_from = 0;
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| !byte.is_ascii_digit()) {
        if counted.iter().any(|&(_, unit)| unit == byte) {
            return None;
        }
        // `get` refuses to cut a character of several bytes.
        counted.push((number(text.get(digits_from..at)?)?, byte));
        digits_from = at + 1;
    }
    (digits_from == text.len() && !counted.is_empty()).then_some(counted)
}

/// A span of the calendar: a month is as long as the month it reaches over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CalendarSpan {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Weeks.
    pub weeks: u32,
    /// Days, as long as the local calendar has them.
    pub days: u32,
    /// Hours, each of 3,600 seconds.
    pub hours: u32,
}

impl CalendarSpan {
    /// Returns whether the span is empty.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the time this span before `time` on the calendar of `zone`. A day that a month lacks becomes
    /// its last day. What lies before the calendar becomes the earliest [`Time`], so that it is earlier than
    /// all.
    pub fn before(&self, time: Time, zone: &TimeZone) -> Time {
        let span = Span::new()
            .try_years(self.years)
            .and_then(|span| span.try_months(self.months))
            .and_then(|span| span.try_weeks(self.weeks))
            .and_then(|span| span.try_days(self.days))
            .and_then(|span| span.try_hours(self.hours));
        match span.and_then(|span| local(time, zone).checked_sub(span)) {
            Ok(earlier) => from_timestamp(earlier.timestamp()),
            Err(_) => Time { seconds: i64::MIN, nanoseconds: 0 },
        }
    }
}

impl FromStr for CalendarSpan {
    type Err = ParseError;

    /// Reads `30d` or `2y5m7d3h`: y years, m months, w weeks, d days, h hours, together above zero.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let read = || {
            let mut span = Self::default();
            for (count, unit) in counted_units(text.trim())? {
                match unit {
                    b'y' => span.years = count,
                    b'm' => span.months = count,
                    b'w' => span.weeks = count,
                    b'd' => span.days = count,
                    b'h' => span.hours = count,
                    _ => return None,
                }
            }
            (!span.is_zero()).then_some(span)
        };
        let expected = "a span above zero of years, months, weeks, days and hours";
        read().ok_or_else(|| ParseError::new(text, expected, "30d or 2y5m7d3h"))
    }
}

impl fmt::Display for CalendarSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts =
            [(self.years, 'y'), (self.months, 'm'), (self.weeks, 'w'), (self.days, 'd'), (self.hours, 'h')];
        for (count, unit) in parts.into_iter().filter(|&(count, _)| count > 0) {
            write!(f, "{count}{unit}")?;
        }
        if self.is_zero() { f.write_str("0h") } else { Ok(()) }
    }
}

/// Returns how long to wait, for timeouts and grace periods: `90s`, `5m` (minutes), `1h30m`, `2d` of 24
/// hours, `0`.
///
/// # Errors
/// Anything else; a number without unit other than 0.
pub fn parse_wait(text: &str) -> Result<Duration, ParseError> {
    let read = || {
        if text.trim() == "0" {
            return Some(Duration::ZERO);
        }
        let mut seconds = 0_u64;
        for (count, unit) in counted_units(text.trim())? {
            let unit_seconds = match unit {
                b's' => 1,
                b'm' => 60,
                b'h' => 3_600,
                b'd' => 86_400,
                _ => return None,
            };
            seconds += u64::from(count) * unit_seconds;
        }
        Some(Duration::from_secs(seconds))
    };
    read().ok_or_else(|| ParseError::new(text, "a time to wait", "90s, 5m, 24h or 0"))
}

/// Returns the tags of one `--tag` or `--keep-tag` value: all of a comma-separated list.
///
/// # Errors
/// An empty tag: a variable that a script left empty must not select everything.
pub fn parse_tags(text: &str) -> Result<Vec<String>, ParseError> {
    let tags: Vec<String> = text.split(',').map(|tag| tag.trim().to_owned()).collect();
    if tags.iter().any(String::is_empty) {
        return Err(ParseError::new(text, "a list of tags", "nightly or nightly,db"));
    }
    Ok(tags)
}

/// Returns the time meant by `text`: `now`, RFC 3339, or the local `2026-01-31`, `2026-01-31 02:00` or
/// `2026-01-31 02:00:03` in `zone`. A local time that the clock skipped or repeated when summer time changed
/// is taken with the offset before the change.
///
/// # Errors
/// Anything else, and days or hours that do not exist.
pub fn parse_time(text: &str, now: Time, zone: &TimeZone) -> Result<Time, ParseError> {
    let trimmed = text.trim();
    if trimmed == "now" {
        return Ok(now);
    }
    let read = || {
        if let Ok(timestamp) = trimmed.parse::<Timestamp>() {
            return Some(from_timestamp(timestamp)).filter(|_| !trimmed.contains('['));
        }
        // The civil parser passes over an offset or a zone; here they would be read and then not obeyed.
        let is_civil = |(at, c): (usize, char)| match c {
            '-' => at < 10,
            _ => c.is_ascii_digit() || matches!(c, ':' | '.' | ' ' | 'T'),
        };
        let civil: DateTime = trimmed.parse().ok().filter(|_| trimmed.char_indices().all(is_civil))?;
        Some(from_timestamp(zone.to_timestamp(civil).ok()?))
    };
    read().ok_or_else(|| ParseError::new(text, "a time", "now, 2026-01-31 02:00 or 2026-01-31T02:00:03Z"))
}

fn to_timestamp(time: Time) -> Timestamp {
    let nanoseconds = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let nearest = if time.seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_nanosecond(nanoseconds).unwrap_or(nearest)
}

fn from_timestamp(timestamp: Timestamp) -> Time {
    let nanoseconds = timestamp.as_nanosecond();
    Time {
        seconds: i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or(i64::MAX),
        nanoseconds: u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or(0),
    }
}

/// Returns `time` on the calendar of `zone`; what lies beyond the years -9999 to 9999 becomes their end.
pub fn local(time: Time, zone: &TimeZone) -> Zoned {
    to_timestamp(time).to_zoned(zone.clone())
}

/// Returns the local time for people: `2026-01-31 02:00:03`.
pub fn format_time(time: Time, zone: &TimeZone) -> String {
    local(time, zone).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Returns the time in UTC for programs: RFC 3339, `2026-01-31T01:00:03Z`, with nanoseconds where there are
/// any.
pub fn format_time_utc(time: Time) -> String {
    to_timestamp(time).to_string()
}

/// Returns the size for people: `500 B`, `1.5 GiB`; units count by 1024.
pub fn format_size(size_bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if size_bytes < 1024 {
        return format!("{size_bytes} B");
    }
    let mut text = String::new();
    for (power, unit) in (1_u32..).zip(UNITS) {
        let unit_bytes = 1024_u128.pow(power);
        let tenths = (u128::from(size_bytes) * 10 + unit_bytes / 2) / unit_bytes;
        text = format!("{}.{} {unit}", tenths / 10, tenths % 10);
        // Rounding up may reach the next unit.
        if tenths < 10_240 {
            break;
        }
    }
    text
}

/// Returns the rate for people: `1.5 GiB/s`; `-` when no time has passed.
pub fn format_rate(size_bytes: u64, elapsed: Duration) -> String {
    match (u128::from(size_bytes) * 1_000_000_000).checked_div(elapsed.as_nanos()) {
        Some(rate) => format!("{}/s", format_size(u64::try_from(rate).unwrap_or(u64::MAX))),
        None => "-".to_owned(),
    }
}

/// Returns the duration for people: `0.8 s` below a minute, then `2:03` and `1:02:03`.
pub fn format_duration(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths < 600 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = (duration.as_millis() + 500) / 1_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests;
