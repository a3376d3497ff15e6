//! What people type: patterns, sizes, spans, times, selectors, command lines.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use snap::base::parse::{CalendarSpan, Subset, parse_size, parse_wait};
use snap::query::select::Selector;
use snap::source::{CommandSpec, Rule};

fuzz_target!(|data: &[u8]| {
    let _ = Rule::parse(OsStr::from_bytes(data), false);
    let _ = Selector::parse(data);
    let _ = CommandSpec::parse(OsStr::from_bytes(data));
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = parse_size(text);
        let _ = parse_wait(text);
        let _ = text.parse::<CalendarSpan>();
        let _ = text.parse::<Subset>();
    }
});
