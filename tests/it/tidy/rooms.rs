//! Which room may import which.

use super::scan::words;
use super::{library, read, require_none};

/// Rooms that may import less than all above them.
const NARROW: [(&str, &[&str]); 2] = [("backend", &["base"]), ("index", &["base", "format"])];

/// Returns the rooms in the order of the table in `src/lib.rs`.
fn order() -> Vec<String> {
    let lib = read("src/lib.rs");
    let cells = lib.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    cells.filter_map(|cell| cell.split('`').next()).map(|name| name.replace("mod@", "")).collect()
}

#[test]
fn every_room_is_in_the_table() {
    let mut listed = order();
    let lib = read("src/lib.rs");
    let declared: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    listed.sort();
    assert_eq!(listed, declared);
}

/// Returns the rooms named by what follows `crate`: one, or those of a group.
fn rooms_of(after: &str, following: &str) -> Vec<String> {
    let Some(path) = after.strip_prefix("::") else { return Vec::new() };
    let first_word =
        |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![first_word(path)] };
    let mut depth = 0;
    let mut names = Vec::new();
    let mut at_start = true;
    let whole = format!("{group}\n{following}");
    for (at, c) in whole.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if at_start && (c.is_alphanumeric() || c == '_') => {
                names.push(first_word(&whole[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn rooms_import_only_rooms_above_them() {
    let order = order();
    let place = |room: &str| order.iter().position(|known| known == room);
    let mut broken = Vec::new();
    for source in library() {
        let Some(room) = source.room() else { continue };
        let lines: Vec<&str> = source.shipped.lines().collect();
        for (line, after) in words(&source.shipped, "crate") {
            for imported in rooms_of(after, &lines[line..].join("\n")) {
                // Macros of the crate and its root items are no rooms.
                let Some(imported_place) = place(&imported) else { continue };
                let narrow = NARROW.iter().find(|(narrow, _)| *narrow == room);
                let is_narrowed = narrow.is_some_and(|(_, allowed)| !allowed.contains(&imported.as_str()));
                let is_below = place(room).is_none_or(|own| imported_place > own);
                if imported != room && (is_below || is_narrowed) {
                    broken.push(format!("{}:{line} imports {imported}", source.path));
                }
            }
        }
    }
    require_none("rooms import only rooms above them", &broken);
}

#[test]
fn groups_of_imports_name_each_of_their_rooms() {
    assert_eq!(rooms_of("::base::Time;", ""), ["base"]);
    assert_eq!(rooms_of("::{base::{Time, Id}, format};", ""), ["base", "format"]);
    assert_eq!(rooms_of("::{", "    base::Time,\n    cli,\n};\nuse other;"), ["base", "cli"]);
    assert!(rooms_of(" rest", "").is_empty());
}
