//! How long files, functions and lines may be.

use super::scan::{Source, item_length, words};
use super::{all, require_none};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 110;

#[test]
fn files_are_short() {
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{} has {lines} lines", source.path))
    };
    let broken: Vec<String> = all().iter().filter_map(long).collect();
    require_none("files have at most 600 lines", &broken);
}

#[test]
fn lines_are_short() {
    let mut broken = Vec::new();
    for source in all() {
        for (number, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > LINE_COLUMNS_MAX {
                broken.push(format!("{}:{} has {columns} columns", source.path, number + 1));
            }
        }
    }
    require_none("lines have at most 110 columns", &broken);
}

/// Returns the functions of `code`: the line where each begins, its name and how many lines it takes.
fn functions(code: &str) -> Vec<(usize, String, usize)> {
    let starts: Vec<usize> =
        std::iter::once(0).chain(code.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let lines: Vec<&str> = code.lines().collect();
    words(code, "fn")
        .into_iter()
        .filter(|(_, after)| after.starts_with(' '))
        .map(|(line, after)| {
            let column = lines[line - 1].len() - after.len();
            let body = &code[starts[line - 1] + column..];
            let name: String =
                after.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            (line, name, body[..item_length(body)].lines().count())
        })
        .collect()
}

#[test]
fn functions_are_short() {
    let mut broken = Vec::new();
    for source in all() {
        for (line, name, lines) in functions(&source.code) {
            if lines > FUNCTION_LINES_MAX {
                broken.push(format!("{}:{line} {name} has {lines} lines", source.path));
            }
        }
    }
    require_none("functions have at most 70 lines", &broken);
}

#[test]
fn functions_are_measured_from_their_names_to_their_last_brace() {
    let code = "impl A {\n  fn a(b: [u8; 3]) -> u8 {\n    { 1 }\n  }\n  fn c();\n}\nfn d<F: Fn(u8)>() {}\n";
    let found = functions(code);
    assert_eq!(found, [(2, "a".to_owned(), 3), (5, "c".to_owned(), 1), (7, "d".to_owned(), 1)]);
}
