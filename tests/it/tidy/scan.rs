//! Rust sources as the rules look at them: code apart from comments, strings and tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{files_below, root};

/// One Rust file.
pub(super) struct Source {
    /// Path from the root of the repository, with slashes.
    pub(super) path: String,
    /// The text as it is.
    pub(super) text: String,
    /// The text with comments and what is in quotes replaced by spaces; lines stay where they are.
    pub(super) code: String,
    /// `code` without what is compiled for tests only.
    pub(super) shipped: String,
}

impl Source {
    /// Returns the room, for a file of the library.
    pub(super) fn room(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        let room = rest.split('/').next()?.trim_end_matches(".rs");
        (room != "lib" && room != "main").then_some(room)
    }
}

/// Returns the Rust files below `folders`, with files that only tests compile shown as such.
pub(super) fn sources(folders: &[&str]) -> Vec<Source> {
    let paths = folders.iter().flat_map(|folder| files_below(&root().join(folder), ".rs"));
    let mut sources: Vec<Source> = paths
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = without_comments_and_strings(&text);
            let shipped = without_tests(&code);
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            Source { path, text, code, shipped }
        })
        .collect();
    let tests: BTreeSet<PathBuf> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let path = Path::new(&source.path);
        let stem = path.with_extension("");
        if tests.iter().any(|test| stem.starts_with(test)) {
            source.shipped.clear();
        }
    }
    sources
}

/// Returns the modules that `source` declares for tests only, as paths without extension.
fn test_modules(source: &Source) -> Vec<PathBuf> {
    let path = Path::new(&source.path);
    let folder = match path.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs" | "main.rs") => path.parent().unwrap().to_path_buf(),
        _ => path.with_extension(""),
    };
    let after_marks = source.code.split("#[cfg(test)]").skip(1);
    after_marks
        .filter_map(|rest| {
            let head = rest.split_once(['{', ';'])?;
            let name = head.0.trim().rsplit_once("mod ")?.1.trim();
            rest[head.0.len()..].starts_with(';').then(|| folder.join(name))
        })
        .collect()
}

/// Replaces comments, strings and characters by spaces.
pub(super) fn without_comments_and_strings(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = quoted_length(rest, kept.chars().next_back());
        match length {
            0 => {
                kept.push(first);
                rest = &rest[first.len_utf8()..];
            }
            length => {
                let (blanked, after) = rest.split_at(length);
                kept.extend(blanked.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = after;
            }
        }
    }
    kept
}

/// Returns the length of the comment, string or character that `rest` begins with, 0 for none.
fn quoted_length(rest: &str, before: Option<char>) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    if !before.is_some_and(is_word) {
        let raw = rest.trim_start_matches(['b', 'c']);
        if let Some(raw) = raw.strip_prefix('r') {
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            if raw[hashes..].starts_with('"') {
                let end = format!("\"{}", "#".repeat(hashes));
                let start = rest.len() - raw.len() + hashes + 1;
                return rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len());
            }
        }
    }
    match rest.as_bytes()[0] {
        b'"' => escaped_length(rest, b'"'),
        // A lifetime has no second quote right after its first letter.
        b'\'' if rest[1..].starts_with('\\') => escaped_length(rest, b'\''),
        b'\'' => {
            let Some(letter) = rest[1..].chars().next() else { return 0 };
            let end = 1 + letter.len_utf8();
            if rest[end..].starts_with('\'') { end + 1 } else { 0 }
        }
        _ => 0,
    }
}

fn escaped_length(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// Replaces items marked `#[cfg(test)]` by spaces.
fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let end = at + item_length(&rest[at..]);
        kept.push_str(&rest[..at]);
        kept.extend(rest[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}

/// Returns the length of the item that `code` begins with: to its semicolon, or to the end of its braces.
pub(super) fn item_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Returns where `word` stands in `code` as a whole word: number of the line, and what follows it.
pub(super) fn words<'c>(code: &'c str, word: &str) -> Vec<(usize, &'c str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for (at, _) in line.match_indices(word) {
            let after = &line[at + word.len()..];
            let is_whole = !line[..at].ends_with(is_word) && !after.starts_with(is_word);
            if is_whole {
                found.push((number + 1, after));
            }
        }
    }
    found
}

#[test]
fn comments_strings_and_characters_do_not_count_as_code() {
    let text =
        "a(\"x // {\", '\"', '\\'', b\"\\\"\", r#\"\"b\"\"#, 'c'); // d\nfn e<'f>(g: &'f str) {} /* h */ i";
    let code = without_comments_and_strings(text);
    let kept: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(kept, "a( , , , b , , ); fn e<'f>(g: &'f str) {} i");
    assert_eq!(code.chars().count(), text.chars().count());
}

#[test]
fn items_for_tests_do_not_count_as_shipped() {
    let code = "a;\n#[cfg(test)]\nmod tests {\n  fn b() { c({}) }\n}\n#[cfg(test)]\nuse d;\ne";
    let shipped = without_tests(code);
    assert_eq!(shipped.split_whitespace().collect::<Vec<_>>(), ["a;", "e"]);
    assert_eq!(shipped.lines().count(), code.lines().count());
}

#[test]
fn whole_words_are_found_with_their_lines() {
    let found = words("zstd::a\nmy_zstd::b zstd_safe\nuse zstd;", "zstd");
    assert_eq!(found, [(1, "::a"), (3, ";")]);
}
