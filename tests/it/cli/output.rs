//! What is printed: safe names, JSON lines, quiet, completions.

use std::os::unix::ffi::OsStrExt;

use super::{User, objects};

#[test]
fn control_characters_in_names_never_reach_the_output() {
    let user = User::with_repository();
    let name = std::ffi::OsStr::from_bytes(b"evil\x1b]0;title\x07\r\nname\xff");
    user.write("src/good", "x");
    std::fs::write(user.path("src").join(name), "y").unwrap();
    user.ok(&["backup", "src", "--tag", "t", "--job", "j\u{1b}[2J", "--host", "h\u{202e}x"]);
    for words in [
        &["snapshots"][..],
        &["snapshots", "--group-by", "host,job"],
        &["ls", "latest"],
        &["ls", "-l", "latest"],
        &["find", "*"],
        &["restore", "latest", "--target", "out", "--dry-run"],
        &["forget", "latest", "--dry-run"],
        &["prune", "--keep-last", "1", "--dry-run"],
    ] {
        let out = user.ok(words);
        let bad = out.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(bad, None, "{words:?}: {out:?}");
    }
    let run = user.run(&["dump", "latest", "/a\x1b[31mb"]);
    assert!(run.code == 1 && !run.err.contains('\x1b'), "{run:?}");
    let entries = user.json(&["ls", "latest"]);
    let hex: Vec<_> = entries.iter().filter_map(|entry| entry["path_hex"].as_str()).collect();
    assert!(hex.len() == 1 && hex[0].ends_with("6e616d65ff"), "{hex:?}");
}

#[test]
fn json_lines_end_with_a_summary_for_every_command() {
    let user = User::with_repository();
    user.write("src/a", "alpha");
    let path = user.path("src/a").to_str().unwrap().to_owned();
    let backup = user.summary(&["backup", "src"]);
    let id = backup["snapshot"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 64);
    assert_eq!((&backup["files"], &backup["read_bytes"]), (&1.into(), &5.into()));
    user.ok(&["init", "--repo", "second", "--raw-key", "k"]);
    for words in [
        "snapshots",
        "ls latest",
        "find a",
        "diff latest latest",
        "stats",
        "check",
        "check --read-data",
        "restore latest --target out",
        "prune --keep-last 1",
        "repair index",
        "key list",
        "unlock",
        "version",
        "copy --to second --to-key-file k",
        "key export -o sheet",
        "forget latest",
    ] {
        user.json(&words.split(' ').collect::<Vec<_>>());
        if words == "stats" {
            user.json(&["dump", "latest", &path, "-o", "dumped"]);
        }
    }
}

#[test]
fn quiet_says_nothing_and_machines_see_no_progress_bars() {
    let user = User::new();
    user.write("src/a", super::noise(1, 3_000_000));
    assert_eq!(user.ok(&["--quiet", "backup", "--init", "src"]), "");
    let lines = user.json(&["--progress", "always", "backup", "src", "--force"]);
    assert!(lines.iter().all(|line| line["type"].is_string()));
    let run = user.run(&["--progress", "always", "backup", "src", "--force"]);
    assert!(run.code == 0 && !run.err.contains('\x1b') && !run.err.contains('\r'), "{run:?}");
}

#[test]
fn runs_are_remembered_on_this_host() {
    let user = User::new();
    user.write("src/a", "alpha");
    let made = user.run(&["--json", "backup", "--init", "src"]);
    let id = objects(&made.out)[0]["repository"].as_str().unwrap().parse().unwrap();
    user.ok(&["check"]);
    user.run(&["backup", "gone"]);
    let folder = user.path(".cache/snap").join(format!("{id}"));
    let database = snap::index::IndexDatabase::open(&folder, id).unwrap();
    let runs = database.runs(10).unwrap();
    let seen: Vec<_> = runs.iter().map(|run| (run.command.as_str(), run.outcome.as_str())).collect();
    assert_eq!(seen, [("backup", "failed"), ("check", "ok"), ("backup", "ok")]);
    assert!(runs[2].summary_json.contains("\"snapshot\""));
}

#[test]
fn help_version_and_completions_need_no_repository() {
    let user = User::new();
    assert!(user.ok(&["version"]).starts_with("snap "));
    assert!(user.ok(&["--help"]).contains("Exit codes"));
    assert!(user.ok(&["backup", "--help"]).contains("--stdin-from-command"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(user.ok(&["completions", shell]).contains("snap"), "{shell}");
    }
    assert!(super::listing(user.home.path()).is_empty());
}
