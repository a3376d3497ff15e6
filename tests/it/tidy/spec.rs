//! What code and specification say of each other.

use std::collections::BTreeMap;

use super::{all, files_below, library, read, require_none, root};

#[test]
fn limits_are_those_of_the_specification() {
    let chapter = read("format-spec/01-conventions.md");
    let table = chapter.split("## 1.3").nth(1).unwrap().split("\n## ").next().unwrap();
    let specified: BTreeMap<String, u64> = table
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            Some((cells.next()?.to_owned(), cells.next()?.parse().ok()?))
        })
        .collect();
    let constants: BTreeMap<String, u64> = read("src/base/limits.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.strip_suffix(';')?.split_once(": u64 = "))
        .map(|(name, value)| (name.to_owned(), value.replace('_', "").parse().unwrap()))
        .collect();
    assert!(specified.len() > 20, "the table was not found");
    assert_eq!(specified, constants);
}

/// Returns the names of the chapters that `text` mentions by their paths.
fn chapters_in(text: &str) -> Vec<String> {
    let mentions = text.split("format-spec/").skip(1);
    let names = mentions.filter_map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'))?;
        rest[..end].trim_end_matches('.').strip_suffix(".md")
    });
    names.map(str::to_owned).collect()
}

#[test]
fn every_file_of_the_format_names_its_chapter() {
    let files = library().into_iter().filter(|source| source.path.starts_with("src/format/"));
    let broken: Vec<String> =
        files.filter(|source| !source.text.contains("format-spec/")).map(|source| source.path).collect();
    require_none("files of the format name their chapter", &broken);
}

#[test]
fn chapters_that_code_names_exist() {
    let exist: Vec<String> = files_below(&root().join("format-spec"), ".md")
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let mut broken = Vec::new();
    for source in all() {
        let missing = chapters_in(&source.text).into_iter().filter(|name| !exist.contains(name));
        broken.extend(missing.map(|name| format!("{} names {name}.md", source.path)));
    }
    require_none("chapters that code names exist", &broken);
}

#[test]
fn every_chapter_about_bytes_is_named_by_code() {
    let named: Vec<String> = library().iter().flat_map(|source| chapters_in(&source.text)).collect();
    let chapters = files_below(&root().join("format-spec"), ".md");
    let broken: Vec<String> = chapters
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
        // Promises rather than bytes.
        .filter(|name| !name.starts_with("14-"))
        .filter(|name| !named.contains(name))
        .collect();
    require_none("chapters are named by the code that follows them", &broken);
}

/// Returns the local files that a Markdown text links to.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let is_local = |target: &&str| !target.contains("://") && !target.starts_with('#') && !target.is_empty();
    targets.filter(is_local).map(|target| target.split('#').next().unwrap_or(target)).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = files_below(&root().join("docs"), ".md");
    documents.extend(files_below(&root().join("format-spec"), ".md"));
    documents.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    let mut broken = Vec::new();
    for document in documents.iter().filter(|path| path.exists()) {
        let text = std::fs::read_to_string(document).unwrap();
        let dead =
            links(&text).into_iter().filter(|target| !document.parent().unwrap().join(target).exists());
        broken.extend(dead.map(|target| format!("{} links to {target}", document.display())));
    }
    require_none("links between documents lead somewhere", &broken);
}
