//! Words that may not stand in the code.

use super::scan::words;
use super::{all, library, require_none};

/// What ends the process, or prints: the library does neither.
const FORBIDDEN_MACROS: [&str; 9] =
    ["panic", "todo", "unimplemented", "unreachable", "println", "eprintln", "print", "eprint", "dbg"];

#[test]
fn the_library_neither_panics_nor_prints() {
    let mut broken = Vec::new();
    for source in library() {
        if source.room().is_none_or(|room| room == "cli") {
            continue;
        }
        let mut note = |line: usize, what: &str| broken.push(format!("{}:{line} {what}", source.path));
        for name in FORBIDDEN_MACROS {
            for (line, _) in words(&source.shipped, name).iter().filter(|(_, after)| after.starts_with('!')) {
                note(*line, name);
            }
        }
        for name in ["unwrap", "expect"] {
            let lines: Vec<&str> = source.shipped.lines().collect();
            for (line, after) in words(&source.shipped, name) {
                let text = lines[line - 1];
                let is_method = text[..text.len() - after.len() - name.len()].ends_with('.');
                if is_method && after.starts_with('(') {
                    note(line, name);
                }
            }
        }
    }
    require_none("library rooms neither panic nor print", &broken);
}

/// Marks of unfinished work, in two parts so that this file does not hold them.
const MARKS: [[&str; 2]; 3] = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]];

#[test]
fn nothing_is_left_for_later() {
    let marks = MARKS.map(|parts| parts.concat());
    let mut broken = Vec::new();
    for source in all() {
        for mark in &marks {
            let lines = words(&source.text, mark);
            broken.extend(lines.iter().map(|(line, _)| format!("{}:{line} {mark}", source.path)));
        }
    }
    require_none("nothing is left for later", &broken);
}
