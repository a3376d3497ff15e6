//! Repositories of earlier builds are read by this one, and those of later builds are refused in words.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Run, User, copy, listing};

/// One made by the first build whose format is frozen, with every kind of object: `fixtures/repositories`.
fn first(user: &User) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/repositories/v1");
    copy(&from, &user.path("v1"));
    let text = std::fs::read(user.path("v1/key")).unwrap();
    user.secret("key", text);
    user.path("v1/repository")
}

fn open(user: &User, words: &[&str]) -> Run {
    let mut all = vec!["--repo", "v1/repository", "--key-file", "key"];
    all.extend(words);
    user.run(&all)
}

fn fine(user: &User, words: &[&str]) -> String {
    let run = open(user, words);
    assert_eq!(run.code, 0, "{words:?}: {run:?}");
    run.out
}

/// Paths and hashes of files below `folder`.
fn hashes(folder: &Path) -> Vec<String> {
    let files = listing(folder).into_iter().filter(|(path, ..)| path.is_file() && !path.is_symlink());
    let line = |(path, ..): (PathBuf, u32, u64)| {
        let hash = blake3::hash(&std::fs::read(&path).unwrap());
        format!("{}\t{hash}", path.strip_prefix(folder).unwrap().display())
    };
    files.map(line).collect()
}

#[test]
fn a_repository_of_version_1_is_checked_restored_added_to_and_pruned() {
    let user = User::new();
    let repository = first(&user);
    for folder in ["config", "keys", "packs", "index", "snapshots", "plans", "locks"] {
        let count = listing(&repository.join(folder)).iter().filter(|(path, ..)| path.is_file()).count();
        assert!(count > 0, "no {folder}");
    }
    fine(&user, &["check", "--read-data"]);
    let expected = std::fs::read_to_string(user.path("v1/expected.tsv")).unwrap();
    let restore_all = |name: &str| {
        let mut lines = Vec::new();
        for (number, snapshot) in ["latest~2", "latest~1", "latest"].iter().enumerate() {
            let target = format!("{name}{number}");
            fine(&user, &["restore", &format!("{snapshot}:/tmp/v1/data"), "--target", &target]);
            lines.extend(hashes(&user.path(&target)).iter().map(|line| format!("{number}\t{line}")));
        }
        lines
    };
    let lines = restore_all("out");
    assert_eq!(lines, expected.lines().collect::<Vec<_>>());
    fine(&user, &["prune", "--grace", "0"]);
    assert_eq!(restore_all("pruned"), lines);
    user.write("src/new", "new");
    fine(&user, &["backup", "src"]);
    fine(&user, &["check", "--read-data"]);
    fine(&user, &["repair", "index"]);
    fine(&user, &["check", "--read-data"]);
}

/// Gives the first object of `folder` another version in its head, under the name that its bytes have then.
fn make_newer(repository: &Path, folder: &str) {
    let files = listing(&repository.join(folder)).into_iter().filter(|(path, ..)| path.is_file());
    let path = files.filter(|(.., length)| *length > 0).map(|(path, ..)| path).next().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8..10].copy_from_slice(&2_u16.to_le_bytes());
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::remove_file(&path).unwrap();
    let hash = blake3::hash(&bytes).to_hex().to_string();
    let path = match (name.len(), folder) {
        (64, "packs") => repository.join("packs").join(&hash[..2]).join(&hash),
        (64, _) => path.with_file_name(hash),
        _ => path,
    };
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn an_object_of_every_kind_of_a_later_version_is_refused_with_a_sentence() {
    // What is asked of the program, and the code that it ends with: 1 where it cannot go on, 13 where a check
    // names what it found.
    let cases: [(&str, &[&str], i32); 7] = [
        ("config", &["snapshots"], 1),
        ("keys", &["snapshots"], 1),
        ("index", &["restore", "latest", "--target", "out"], 1),
        ("snapshots", &["check"], 13),
        ("plans", &["backup", "src"], 1),
        ("locks", &["prune"], 1),
        ("packs", &["repair", "index"], 13),
    ];
    let mut wrong = Vec::new();
    for (folder, words, code) in cases {
        let user = User::new();
        let repository = first(&user);
        user.write("src/a", "a");
        make_newer(&repository, folder);
        let before = listing(&repository.join(folder));
        let run = open(&user, words);
        let said = format!("{}{}", run.out, run.err);
        let is_told = said.contains("version 2") || said.contains("later version");
        let is_named = said.contains(folder.trim_end_matches('s')) && !said.contains("panicked");
        if !(is_told && is_named && run.code == code) || listing(&repository.join(folder)) != before {
            wrong.push(format!("{folder}: {run:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_example_repository_of_the_format_restores_with_each_of_its_secrets() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec/vectors/repos/v1-min");
    let text = std::fs::read_to_string(vectors.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let user = User::new();
    copy(&vectors.join("repository"), &user.path("r"));
    let (_, nodes) = expected["snapshots"].as_object().unwrap().iter().next().unwrap();
    let files = nodes.as_array().unwrap().iter().filter(|node| node["type"] == "file");
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let line = |node: &Value| {
        let path = String::from_utf8(unhex(node["path"].as_str().unwrap())).unwrap();
        format!("{}\t{}", path.trim_start_matches('/'), node["blake3"].as_str().unwrap())
    };
    let mut lines: Vec<String> = files.map(line).collect();
    lines.sort();
    for (number, secret) in expected["secrets"].as_array().unwrap().iter().enumerate() {
        let option = match (&secret["text"], &secret["password"]) {
            (Value::String(text), _) => {
                user.secret("secret", text);
                "--key-file"
            }
            (_, password) => {
                user.secret("secret", unhex(password.as_str().unwrap()));
                "--password-file"
            }
        };
        let target = format!("out{number}");
        for words in
            [&["check", "--read-data"][..], &["restore", "latest", "--target", &target, "--no-owner"]]
        {
            let mut all = vec!["--repo", "r", option, "secret"];
            all.extend(words);
            let run = user.run(&all);
            assert_eq!(run.code, 0, "{words:?}: {run:?}");
        }
        let mut found = hashes(&user.path(&target));
        found.sort();
        assert_eq!(found, lines);
    }
}
