//! Stdin and commands as sources.

use super::{User, noise, objects};

#[test]
fn stdin_comes_back_as_it_was() {
    let user = User::with_repository();
    let dump = noise(5, 3_000_000);
    let run = user.run_with_input(&["backup", "--stdin", "--stdin-filename", "shop.dump"], &dump);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{run:?}");
    user.ok(&["dump", "latest", "/shop.dump", "-o", "back"]);
    assert!(std::fs::read(user.path("back")).unwrap() == dump);
    // The same again costs next to nothing.
    let run = user.run_with_input(&["--json", "backup", "--stdin", "--stdin-filename", "/shop.dump"], &dump);
    assert!(objects(&run.out).pop().unwrap()["stored_bytes"].as_u64().unwrap() < 10_000, "{run:?}");
}

#[test]
fn an_empty_stdin_is_stored_with_a_warning() {
    let user = User::with_repository();
    let run = user.run(&["backup", "--stdin"]);
    assert!(run.code == 0 && run.err.contains("stdin was empty"), "{run:?}");
}

#[test]
fn a_stream_is_named_by_a_path_without_detours() {
    let user = User::with_repository();
    for name in ["../shop.dump", "a/../shop.dump", "a/./shop.dump", "a//shop.dump", "a/", ".", ".."] {
        let run = user.run_with_input(&["backup", "--stdin", "--stdin-filename", name], b"dump");
        assert!(run.code == 2 && run.err.contains("relative name"), "{name}: {run:?}");
    }
    assert_eq!(user.snapshot_count(), 0);
    let run = user.run_with_input(&["backup", "--stdin", "--stdin-filename", "a/shop.dump"], b"dump");
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_command_that_succeeds_becomes_a_snapshot_with_its_words() {
    let user = User::with_repository();
    user.ok(&[
        "backup",
        "--stdin-filename",
        "greeting",
        "--stdin-from-command",
        "--",
        "printf",
        "hello %s",
        "you",
    ]);
    assert_eq!(user.ok(&["dump", "latest", "greeting"]), "hello you");
}

#[test]
fn a_command_that_fails_is_killed_or_cannot_start_makes_no_snapshot_and_says_why() {
    let user = User::with_repository();
    let failures: [(&[&str], &str); 4] = [
        (&["sh", "-c", "echo data; echo 'no such table' >&2; exit 3"], "exit status 3"),
        (&["sh", "-c", "echo data; kill -9 $$"], "killed by signal 9"),
        (&["no-such-program-anywhere"], "cannot start"),
        (&["sh", "-c", "exec 2>&1; exit 1"], "exit status 1"),
    ];
    for (command, why) in failures {
        let mut words = vec!["backup", "--stdin-from-command", "--"];
        words.extend(command);
        let run = user.run(&words);
        assert_eq!(run.code, 1, "{command:?}: {run:?}");
        assert!(run.err.contains(why) && run.err.contains("no snapshot was made"), "{command:?}: {run:?}");
        assert_eq!(user.snapshot_count(), 0, "{command:?}");
    }
    let words =
        ["--json", "backup", "--stdin-from-command", "--", "sh", "-c", "echo 'no such table' >&2; exit 3"];
    let run = user.run(&words);
    let last = objects(&run.out).pop().unwrap();
    assert_eq!((&last["type"], &last["code"]), (&"exit_error".into(), &1.into()));
    assert_eq!(last["details"], serde_json::json!(["no such table"]));
}

#[test]
fn several_commands_make_one_snapshot_or_none() {
    let user = User::with_repository();
    user.ok(&["backup", "--job", "shop", "--command", "a.sql=echo first", "--command", "b.sql=echo second"]);
    assert_eq!(user.ok(&["ls", "latest"]), "/a.sql\n/b.sql\n");
    assert_eq!(user.ok(&["dump", "latest", "b.sql"]), "second\n");
    let run =
        user.run(&["backup", "--job", "shop", "--command", "a.sql=echo first", "--command", "b.sql=false"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(user.snapshot_count(), 1);
}

#[test]
fn a_command_starts_only_when_the_repository_is_open() {
    let user = User::new();
    let run = user.run(&["backup", "--stdin-from-command", "--", "touch", "started"]);
    assert_eq!(run.code, 10, "{run:?}");
    assert!(!user.path("started").exists());
}

#[test]
fn the_password_does_not_reach_commands() {
    let user = User::new();
    let words = ["backup", "--init", "--stdin-from-command", "--", "sh", "-c", "env"];
    let run = user.command(&words).env("SNAP_PASSWORD", "hunter2").output().unwrap();
    assert!(run.status.success(), "{run:?}");
    let dumped = user.command(&["dump", "latest", "stdin"]).env("SNAP_PASSWORD", "hunter2").output().unwrap();
    let variables = String::from_utf8(dumped.stdout).unwrap();
    assert!(variables.contains("HOME=") && !variables.contains("hunter2"), "{variables}");
}
