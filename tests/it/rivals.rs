//! The harness that measures `snap` beside other engines shows no figure of one that restores something else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An engine that keeps one file, with the arguments of snap and restic. What it gives back is followed by
/// `EXTRA`.
const ENGINE: &str = r#"#!/bin/sh
store=$0.store
for word; do
    case $word in init | backup | restore | check | key | --version | version) step=$word ;; esac
    last=$word
done
case $step in
    backup) mkdir -p "$store" && cp "$last" "$store/" ;;
    restore) cp "$store"/* "$last/" && printf 'EXTRA' >>"$(ls -d "$last"/*)" ;;
    *) echo "a stand-in" ;;
esac
"#;

fn engine(folder: &Path, name: &str, extra: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, ENGINE.replace("EXTRA", extra)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Runs a row with these two engines: whether it succeeded, and what it printed and warned.
fn run(snap_extra: &str, restic_extra: &str) -> (bool, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    let done = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/rivals/run"))
        .args(["--rows", "opaque", "--tools", "snap,restic", "--rounds", "1", "--scale", "0.001"])
        .args(["--pool-mib", "0", "--work"])
        .arg(&work)
        .env("SNAP", engine(folder.path(), "one", snap_extra))
        .env("RESTIC", engine(folder.path(), "other", restic_extra))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.success(), text(done.stdout), text(done.stderr))
}

#[test]
fn engines_that_restore_what_was_backed_up_have_their_figures() {
    let (succeeded, printed, warned) = run("", "");
    assert!(succeeded, "{warned}");
    assert!(printed.contains("| step | snap | restic |") && printed.contains("| restore |"), "{printed}");
}

#[test]
fn an_engine_that_restores_something_else_is_left_out_of_the_row() {
    let (succeeded, printed, warned) = run("", "x");
    assert!(!succeeded);
    assert!(printed.contains("| step | snap |") && !printed.contains("restic"), "{printed}");
    assert!(warned.contains("restic restored something else"), "{warned}");
}

#[test]
fn no_row_is_printed_when_snap_restores_something_else() {
    let (succeeded, printed, warned) = run("x", "");
    assert!(!succeeded);
    assert!(!printed.contains("| step |"), "{printed}");
    assert!(warned.contains("snap restored something else"), "{warned}");
}
