//! The house rules of `CONTRIBUTING.md`, as far as a program can judge them.
//!
//! Each test lists every place that breaks its rule, so that one run shows them all.

mod crates;
mod rooms;
mod scan;
mod sizes;
mod spec;
mod words;

use std::path::{Path, PathBuf};

use scan::{Source, sources};

/// Returns the folder of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns a text of the repository.
fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the Rust files of the library and its program.
fn library() -> Vec<Source> {
    sources(&["src"])
}

/// Returns all Rust files.
fn all() -> Vec<Source> {
    sources(&["src", "tests", "benches", "examples"])
}

fn require_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}: {} places\n  {}", broken.len(), broken.join("\n  "));
}

/// Returns the files below `folder` whose name ends with `end`, sorted.
fn files_below(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => open.push(path),
                false if path.to_string_lossy().ends_with(end) => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}
