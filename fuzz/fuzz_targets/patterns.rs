//! What people type: patterns, sizes, spans, times, retention, selectors, places, command lines.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use snap::backend::Location;
use snap::base::parse::{Allowance, CalendarSpan, Percent, Subset, parse_size, parse_tags, parse_time, parse_wait};
use snap::base::{SnapshotId, Time};
use snap::maintain::retention::{GroupBy, Keep};
use snap::query::select::{MatchPattern, Selector, SnapshotRef};
use snap::source::{CommandSpec, Rule, TagFile};

fuzz_target!(|data: &[u8]| {
    let text = OsStr::from_bytes(data);
    let _ = Rule::parse(text, false);
    let _ = TagFile::parse(text);
    let _ = Selector::parse(data);
    let _ = SnapshotRef::parse(data);
    let _ = CommandSpec::parse(text);
    let _ = Location::parse(text);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = parse_size(text);
    let _ = parse_wait(text);
    let _ = parse_tags(text);
    let _ = parse_time(text, Time::from_seconds(1_700_000_000), &jiff::tz::TimeZone::UTC);
    let _ = text.parse::<Subset>();
    let _ = text.parse::<Percent>();
    let _ = text.parse::<Allowance>();
    let _ = text.parse::<Keep>();
    let _ = text.parse::<GroupBy>();
    let _ = text.parse::<SnapshotId>();
    if let Ok(span) = text.parse::<CalendarSpan>() {
        let _ = span.before(Time::from_seconds(1_700_000_000), &jiff::tz::TimeZone::UTC);
    }
    if let Ok(pattern) = MatchPattern::parse(text, true) {
        let _ = pattern.matches(data);
    }
});
