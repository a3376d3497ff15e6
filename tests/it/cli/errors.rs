//! Bad input gets one line with what, where and the next step, and its exit code.

use std::path::{Path, PathBuf};

use super::{Run, User, objects};

const SECRET: &str = "correct horse battery";

/// Requires that a run failed with `code`, in one line that holds all `parts` and no secret.
fn require(what: &str, run: &Run, code: i32, parts: &[&str]) {
    assert_eq!(run.code, code, "{what}: {run:?}");
    assert_eq!(run.err.lines().count(), 1, "{what}: {run:?}");
    assert!(run.err.starts_with("snap: error: ") && run.out.is_empty(), "{what}: {run:?}");
    for part in parts {
        assert!(run.err.contains(part), "{what}: no '{part}' in {run:?}");
    }
    assert!(!run.err.contains(SECRET), "{what}: {run:?}");
}

/// The only file in a folder of the repository.
fn only_file(folder: PathBuf) -> PathBuf {
    let mut entries = std::fs::read_dir(folder).unwrap();
    let path = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none());
    path
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn without_a_repository_every_command_says_so() {
    let user = User::new();
    user.secret("password", SECRET);
    for words in [
        "snapshots",
        "ls latest",
        "find x",
        "diff latest latest~1",
        "stats",
        "check",
        "prune",
        "unlock",
        "restore latest --target t",
        "dump latest x",
        "forget latest",
        "key list",
        "repair index",
        "backup .",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        require("default", &user.run(&words), 10, &["no repository at", "backup --init"]);
        let mut elsewhere = vec!["--repo", "elsewhere", "--password-file", "password"];
        elsewhere.extend(words);
        require("named", &user.run(&elsewhere), 10, &["elsewhere", "snap init"]);
    }
    assert!(!user.path("elsewhere").exists(), "looking made something");
}

#[test]
fn a_wrong_key_and_a_damaged_key_are_different_errors() {
    let user = User::new();
    user.secret("password", SECRET);
    user.secret("wrong", "incorrect horse");
    user.ok(&["init", "--repo", "r", "--password-file", "password"]);
    let run = user.run(&["--repo", "r", "--password-file", "wrong", "snapshots"]);
    require("wrong password", &run, 12, &["wrong password or key", "--password-file"]);
    flip(&only_file(user.path("r/keys")), 40);
    let run = user.run(&["--repo", "r", "--password-file", "password", "snapshots"]);
    require("damaged key file", &run, 13, &["keys/", "damaged"]);
}

#[test]
fn a_key_file_with_a_typing_error_is_named_with_its_line() {
    let user = User::with_repository();
    let text = std::fs::read_to_string(user.key()).unwrap();
    let at = text.find("2: ").unwrap() + 3;
    let wrong = if text.as_bytes()[at] == b'a' { "b" } else { "a" };
    user.secret("typed", format!("{}{wrong}{}", &text[..at], &text[at + 1..]));
    let run = user.run(&["--key-file", "typed", "snapshots"]);
    require("typing error", &run, 13, &["typed", "line 2"]);
    user.secret("typed", "just a password\n");
    require("no key", &user.run(&["--key-file", "typed", "snapshots"]), 13, &["typed", "snap secret v1"]);
    require("no file", &user.run(&["--key-file", "absent", "snapshots"]), 1, &["absent", "No such file"]);
}

#[test]
fn foreign_and_newer_repositories_are_refused() {
    let user = User::with_repository();
    user.ok(&["init", "--repo", "other", "--raw-key", "other.key"]);
    let config = "config/00000001";
    let own = std::fs::read(user.repository().join(config)).unwrap();
    std::fs::copy(user.path("other").join(config), user.repository().join(config)).unwrap();
    require("foreign", &user.run(&["snapshots"]), 13, &["config"]);
    let mut newer = own;
    newer[8] += 1;
    std::fs::write(user.repository().join(config), newer).unwrap();
    require("newer", &user.run(&["snapshots"]), 1, &["later version", "newer version of snap"]);
}

#[test]
fn snapshots_that_are_not_there_or_not_one_are_named() {
    let user = User::with_repository();
    require("none yet", &user.run(&["ls", "latest"]), 1, &["no snapshot", "snap backup"]);
    user.write("src/a", "alpha");
    // Seventeen ids cannot begin with sixteen different digits.
    for _ in 0..17 {
        user.ok(&["backup", "src"]);
    }
    let lines = user.json(&["snapshots"]);
    let first = |line: &serde_json::Value| line["id"].as_str().map(|id| id[..1].to_owned());
    let firsts: Vec<String> = lines.iter().filter_map(first).collect();
    let twice = firsts.iter().find(|digit| firsts.iter().filter(|other| other == digit).count() > 1).unwrap();
    require("ambiguous", &user.run(&["ls", twice]), 1, &["fits", "write more digits"]);
    let nobody = "0123456789abcdef";
    require("unknown", &user.run(&["ls", nobody]), 1, &[nobody, "snap snapshots"]);
    require("no path", &user.run(&["ls", "latest:/nope"]), 1, &["/nope", "snap ls"]);
    require("too far", &user.run(&["ls", "latest~99"]), 1, &["latest~99"]);
    require("filtered", &user.run(&["ls", "latest", "--host", "x"]), 1, &["0 of 17"]);
}

#[test]
fn unread_sources_are_named_counted_and_end_with_3() {
    let user = User::with_repository();
    user.write("src/a", "alpha");
    let run = user.run(&["backup", "src", "gone"]);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.err.contains("/gone: cannot read") && run.err.contains("1 source"), "{run:?}");
    assert_eq!(user.snapshot_count(), 1);
    let run = user.run(&["backup", "gone"]);
    assert!(run.code == 1 && run.err.contains("no snapshot was made"), "{run:?}");
    assert_eq!(user.snapshot_count(), 1);
    let run = user.run(&["--json", "backup", "src", "gone"]);
    let lines = objects(&run.out);
    assert!(lines.iter().any(|line| line["type"] == "file_error"), "{run:?}");
    assert_eq!(lines.last().unwrap()["sources_unread"], 1);
}

#[test]
fn stores_that_cannot_be_reached_or_are_named_wrongly_say_what_to_check() {
    let user = User::new();
    user.secret("password", SECRET);
    let run = |repo: &str, keys: bool| {
        let words = ["--repo", repo, "--password-file", "password", "snapshots"];
        let mut command = user.command(&words);
        if keys {
            command.env("AWS_ACCESS_KEY_ID", "someone").env("AWS_SECRET_ACCESS_KEY", SECRET);
        }
        command.output().unwrap().into()
    };
    let nobody = "s3:http://127.0.0.1:1/bucket/prefix";
    require("unreachable", &run(nobody, true), 1, &["127.0.0.1:1", "endpoint"]);
    require("no credentials", &run(nobody, false), 1, &["AWS_ACCESS_KEY_ID"]);
    require("bucket name", &run("s3:http://127.0.0.1:1/Bad_Name", true), 2, &["bucket", "lower-case"]);
    require("scheme", &run("gopher://x/y", true), 2, &["s3:https://"]);
    user.write("file", "not a folder");
    assert_ne!(run("file", false).code, 0);
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_a_closed_pipe_is_none() {
    let user = User::with_repository();
    user.write("src/a", super::noise(6, 1_000_000));
    user.ok(&["backup", "src"]);
    let path = user.path("src/a");
    let dump = || user.command(&[&"dump".into(), &"latest".into(), &path]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let run: Run = dump().stdout(full).output().unwrap().into();
    require("full", &run, 1, &["cannot write", "No space left"]);
    let mut child = dump().spawn().unwrap();
    drop(child.stdout.take());
    let run: Run = child.wait_with_output().unwrap().into();
    assert_eq!((run.code, run.err.as_str()), (0, ""));
}

#[test]
fn a_usage_error_is_2_and_json_has_it_as_its_last_line() {
    let user = User::new();
    assert_eq!(user.run(&["backup"]).code, 2);
    assert_eq!(user.run(&["nonsense"]).code, 2);
    assert_eq!(user.run(&["backup", "a", "--command", "b=c"]).code, 2);
    for (words, code) in [(&["--json", "backup"][..], 2), (&["--json", "snapshots"], 10)] {
        let run = user.run(words);
        let last = objects(&run.out).pop().unwrap();
        assert_eq!((&last["type"], &last["code"]), (&"exit_error".into(), &code.into()), "{run:?}");
        assert_eq!((run.code, run.err.as_str()), (code, ""));
    }
}

#[test]
fn init_never_touches_what_is_there() {
    let user = User::with_repository();
    let before = super::listing(user.home.path());
    require("exists", &user.run(&["init"]), 1, &["already"]);
    user.write("taken", "something of value");
    require("key file", &user.run(&["init", "--repo", "r", "--raw-key", "taken"]), 1, &["taken", "already"]);
    assert_eq!(std::fs::read(user.path("taken")).unwrap(), b"something of value");
    std::fs::remove_file(user.path("taken")).unwrap();
    assert_eq!(super::listing(user.home.path()), before);
}
