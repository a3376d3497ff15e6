//! Disks that are really full, have no name for one file more, or may not be written: a clear error, nothing
//! half done, and the same command again once there is space.

mod repair;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{PASSING_OVER_MODES, Run, User, copy, listing, noise, objects, without_powers};
use crate::support::disk::Disk;

/// Blocks of 4 KiB of the disk, and how many files it holds.
const BLOCKS: u64 = 4096;
const FILES: u64 = 512;

/// What the system says.
const FULL: &str = "No space left on device";

/// How little is left.
#[derive(Debug, Clone, Copy)]
enum Left {
    Blocks(u64),
    Files(u64),
}

/// What is tried: nothing at all, and so little that a command ends here and there.
const LEFT: [Left; 7] = [
    Left::Blocks(0),
    Left::Blocks(1),
    Left::Blocks(3),
    Left::Blocks(155),
    Left::Blocks(300),
    Left::Files(0),
    Left::Files(4),
];

/// A user whose repository lies on a disk of its own, and a copy of all of it.
struct Place {
    user: User,
    disk: Disk,
    saved: tempfile::TempDir,
}

impl Place {
    /// A repository with a snapshot to drop, one to keep, and a pack that is needed in part.
    fn new() -> Self {
        let place =
            Self { user: User::new(), disk: Disk::mount(BLOCKS, FILES), saved: tempfile::tempdir().unwrap() };
        place.ok(&["init", "--raw-key", "key"]);
        for seed in 0..2 {
            place.user.write("src/changes", noise(seed, 600_000));
            place.user.write("src/stays", noise(99, 200_000));
            place.ok(&["backup", "src"]);
        }
        place.user.write("src/changes", noise(2, 600_000));
        place.save();
        place
    }

    /// What is there now is the beginning.
    fn save(&self) {
        for from in [self.repository(), self.user.path(".cache"), self.user.path(".local")] {
            let _ = std::fs::remove_dir_all(self.saved.path().join(from.file_name().unwrap()));
            copy(&from, self.saved.path());
        }
    }

    /// Puts everything back to where it was in the beginning.
    fn reset(&self) {
        self.disk.make_room();
        let remove = |path: PathBuf| drop(std::fs::remove_dir_all(path));
        let _ = std::fs::remove_file(self.user.path("second"));
        remove(self.repository());
        copy(&self.saved.path().join("repository"), self.disk.root());
        for folder in [".cache", ".local", "out"] {
            remove(self.user.path(folder));
        }
        for folder in [".cache", ".local"] {
            copy(&self.saved.path().join(folder), &self.user.path(""));
        }
    }

    fn leave(&self, left: Left) {
        match left {
            Left::Blocks(blocks) => self.disk.leave_blocks(blocks),
            Left::Files(files) => self.disk.leave_files(files),
        }
    }

    fn repository(&self) -> PathBuf {
        self.disk.root().join("repository")
    }

    fn run_in(&self, repository: &Path, key: &str, words: &[&str]) -> Run {
        self.command_in(repository, key, words).output().unwrap().into()
    }

    fn command_in(&self, repository: &Path, key: &str, words: &[&str]) -> Command {
        let mut all = vec!["--repo", repository.to_str().unwrap()];
        all.extend((!words.contains(&"--raw-key")).then_some(["--key-file", key]).iter().flatten());
        all.extend(words);
        self.user.command(&all)
    }

    fn run(&self, words: &[&str]) -> Run {
        self.run_in(&self.repository(), "key", words)
    }

    /// Runs a command without the power of root to pass over modes.
    fn as_any_user(&self, words: &[&str]) -> Run {
        let command = self.command_in(&self.repository(), "key", words);
        without_powers(&command, PASSING_OVER_MODES).output().unwrap().into()
    }

    fn ok(&self, words: &[&str]) -> Run {
        let run = self.run(words);
        assert_eq!(run.code, 0, "{words:?}: {run:?}");
        run
    }

    /// Fails unless every byte of everything that is there is whole; returns how many snapshots there are.
    fn require_whole(&self, context: &str) -> u64 {
        let check = self.run(&["--json", "check", "--read-data"]);
        assert_eq!(check.code, 0, "{context}: {check:?}");
        objects(&check.out).last().unwrap()["snapshots"].as_u64().unwrap()
    }

    /// Fails unless the newest snapshot restores to version `seed`.
    fn require_restored(&self, seed: u64, context: &str) {
        let from = format!("latest:{}", self.user.path("src").display());
        let restored = self.run(&["restore", &from, "--target", "out"]);
        assert_eq!(restored.code, 0, "{context}: {restored:?}");
        assert!(std::fs::read(self.user.path("out/changes")).unwrap() == noise(seed, 600_000), "{context}");
        assert!(std::fs::read(self.user.path("out/stays")).unwrap() == noise(99, 200_000), "{context}");
    }
}

/// Fails unless a run failed, and its last line says why and what to do.
fn require_told(run: &Run, why: &str, hint: &str, context: &str) {
    assert_eq!(run.code, 1, "{context}: {run:?}");
    let last = run.err.lines().last().unwrap_or_default();
    assert!(last.starts_with("snap: error: ") && last.contains(why), "{context}: {run:?}");
    assert!(last.contains(hint), "{context}: {run:?}");
}

/// Runs a command with little left. It succeeds, or says what is missing and leaves everything whole; with
/// space it succeeds. Returns how often it succeeded in want of space.
fn sweep(
    place: &Place,
    name: &str,
    command: &dyn Fn() -> Run,
    snapshots: std::ops::RangeInclusive<u64>,
) -> usize {
    let mut succeeded = 0;
    for left in LEFT {
        let context = format!("{name} with {left:?}");
        place.reset();
        place.leave(left);
        let run = command();
        if run.code != 0 {
            require_told(&run, FULL, "make space", &context);
        }
        // The disk is still full, and reading goes on.
        let count = place.require_whole(&context);
        assert!(snapshots.contains(&count), "{context}: {count} snapshots");
        place.disk.make_room();
        if run.code == 0 {
            succeeded += 1;
        } else {
            let again = command();
            assert_eq!(again.code, 0, "{context}, with space: {again:?}");
        }
        place.ok(&["backup", "src"]);
        place.require_whole(&format!("{context}, with space"));
    }
    place.require_restored(2, "in the end");
    println!("{name}: {succeeded} of {} succeeded", LEFT.len());
    succeeded
}

#[test]
fn a_backup_to_a_full_disk_ends_without_a_snapshot_and_goes_on_with_space() {
    let place = Place::new();
    let succeeded = sweep(&place, "backup", &|| place.run(&["backup", "src"]), 2..=3);
    assert!((1..LEFT.len()).contains(&succeeded), "{succeeded}");
}

#[test]
fn a_forget_on_a_full_disk_succeeds() {
    let place = Place::new();
    let forget = || place.run(&["forget", "latest~1"]);
    assert_eq!(sweep(&place, "forget", &forget, 1..=1), LEFT.len());
}

#[test]
fn a_prune_on_a_full_disk_frees_what_nothing_needs() {
    let place = Place::new();
    let prune = || place.run(&["prune", "--keep-last", "1", "--grace", "0", "--max-unused", "0"]);
    assert_eq!(sweep(&place, "prune", &prune, 1..=1), LEFT.len());
}

#[test]
fn a_prune_with_grace_on_a_full_disk_plans_and_the_next_one_deletes() {
    let place = Place::new();
    for left in LEFT.into_iter().step_by(2) {
        let context = format!("{left:?}");
        place.reset();
        place.leave(left);
        place.ok(&["prune", "--keep-last", "1", "--grace", "1s", "--max-unused", "unlimited"]);
        place.disk.make_room();
        // What the first one gave back is taken too.
        place.leave(left);
        let packs = || listing(&place.disk.root().join("repository/packs")).len();
        let before = packs();
        std::thread::sleep(Duration::from_millis(1_100));
        place.ok(&["prune", "--grace", "1s", "--max-unused", "unlimited"]);
        assert!(packs() < before, "{context}: nothing was deleted");
        assert_eq!(place.require_whole(&context), 1);
    }
    place.require_restored(1, "in the end");
}

#[test]
fn adding_a_key_and_repairing_the_index_on_a_full_disk_end_clearly() {
    let place = Place::new();
    let add = || {
        let _ = std::fs::remove_file(place.user.path("second"));
        place.run(&["key", "add", "--new-key-file", "second"])
    };
    let added = sweep(&place, "key add", &add, 2..=2);
    assert!((1..LEFT.len()).contains(&added), "{added}");
    sweep(&place, "repair index", &|| place.run(&["repair", "index"]), 2..=2);
}

#[test]
fn removing_or_changing_a_key_on_a_full_disk_leaves_the_old_one_or_the_new_one() {
    let place = Place::new();
    let ids = |place: &Place| -> Vec<String> {
        let listed = objects(&place.ok(&["--json", "key", "list"]).out);
        listed.iter().filter_map(|line| Some(line["id"].as_str()?.to_owned())).collect()
    };
    let first = ids(&place);
    place.ok(&["key", "add", "--new-key-file", "other"]);
    let other = ids(&place).into_iter().find(|id| !first.contains(id)).unwrap();
    place.save();
    let opens = |key: &str| {
        let run = place.run_in(&place.repository(), key, &["snapshots"]);
        assert!([0, 12].contains(&run.code), "{key}: {run:?}");
        run.code == 0
    };
    let remove = || {
        let run = place.run(&["key", "remove", &other]);
        assert_eq!(opens("other"), run.code != 0, "{run:?}");
        run
    };
    let removed = sweep(&place, "key remove", &remove, 2..=2);
    let change = || {
        let _ = std::fs::remove_file(place.user.path("second"));
        let words = ["key", "change", "--new-key-file", "second"];
        let run = place.run_in(&place.repository(), "other", &words);
        assert_eq!(opens("other"), run.code != 0, "{run:?}");
        // A file that is left holds a secret that opens, and that is told.
        let is_left = place.user.path("second").exists();
        assert!(!is_left || opens("second"), "{run:?}");
        assert_eq!(is_left, run.code == 0 || run.err.contains("was added and opens"), "{run:?}");
        run
    };
    let changed = sweep(&place, "key change", &change, 2..=2);
    assert!(removed > 0 && (1..LEFT.len()).contains(&changed), "{removed} removed, {changed} changed");
}

#[test]
fn a_copy_to_a_full_disk_ends_between_snapshots_and_goes_on_with_space() {
    let place = Place::new();
    let source = place.user.path("source");
    let at = |words: &[&str]| place.run_in(&source, "other", words);
    assert_eq!(at(&["init", "--raw-key", "other"]).code, 0);
    assert_eq!(at(&["backup", "src"]).code, 0);
    let to = place.repository();
    let copy = || at(&["copy", "--to", to.to_str().unwrap(), "--to-key-file", "key"]);
    let succeeded = sweep(&place, "copy", &copy, 2..=3);
    assert!((1..LEFT.len()).contains(&succeeded), "{succeeded}");
}

#[test]
fn an_init_on_a_full_disk_leaves_a_repository_that_opens_or_none() {
    let place = Place::new();
    let new = place.disk.root().join("new");
    let mut succeeded = 0;
    for left in (0..12).step_by(2).map(Left::Blocks).chain((0..16).step_by(5).map(Left::Files)) {
        place.reset();
        let _ = std::fs::remove_dir_all(&new);
        let init = || {
            let _ = std::fs::remove_file(place.user.path("new.key"));
            place.run_in(&new, "new.key", &["init", "--raw-key", "new.key"])
        };
        place.leave(left);
        let run = init();
        place.disk.make_room();
        if run.code == 0 {
            succeeded += 1;
        } else {
            require_told(&run, FULL, "make space", &format!("{left:?}"));
            let again = init();
            assert_eq!(again.code, 0, "{left:?}, with space: {again:?}");
        }
        let check = place.run_in(&new, "new.key", &["check"]);
        assert_eq!(check.code, 0, "{left:?}: {check:?}");
    }
    assert!((1..10).contains(&succeeded), "{succeeded}");
}

#[test]
fn a_restore_to_a_full_disk_says_so_and_goes_on_with_space() {
    let place = Place::new();
    let from = format!("latest:{}", place.user.path("src").display());
    let target = place.disk.root().join("target");
    for left in LEFT {
        place.reset();
        let _ = std::fs::remove_dir_all(&target);
        place.leave(left);
        let words = ["restore", &from, "--target", target.to_str().unwrap()];
        let run = place.run(&words);
        if run.code != 0 {
            assert!(run.code == 1 && run.err.contains(FULL), "{left:?}: {run:?}");
        }
        place.disk.make_room();
        place.ok(&words);
        assert!(std::fs::read(target.join("changes")).unwrap() == noise(1, 600_000), "{left:?}");
        assert!(std::fs::read(target.join("stays")).unwrap() == noise(99, 200_000), "{left:?}");
    }
}

#[test]
fn a_full_cache_or_state_folder_costs_no_snapshot() {
    let place = Place::new();
    let (repository, folder) = (place.user.path("apart"), place.disk.folder().join("folder"));
    let at = |state: &Path, words: &[&str]| -> Run {
        let mut command = place.command_in(&repository, "apart.key", words);
        command.env("SNAP_STATE_DIR", state);
        place.disk.inside(&command).output().unwrap().into()
    };
    let state = place.user.path("state");
    assert_eq!(at(&state, &["init", "--raw-key", "apart.key"]).code, 0);
    for left in LEFT {
        let _ = std::fs::remove_dir_all(place.disk.root().join("folder"));
        place.leave(left);
        let cached = ["--cache-dir", folder.to_str().unwrap(), "backup", "src"];
        let run = at(&state, &cached);
        if run.code != 0 {
            require_told(&run, "the local index cannot be used", "--no-cache", &format!("{left:?}"));
        }
        assert_eq!(at(&state, &["--no-cache", "backup", "src"]).code, 0, "{left:?}");
        place.disk.make_room();
        let again = at(&state, &cached);
        assert_eq!(again.code, 0, "{left:?}, with space: {again:?}");
        assert_eq!(at(&state, &["check", "--read-data"]).code, 0, "{left:?}");

        let _ = std::fs::remove_dir_all(place.disk.root().join("folder"));
        place.leave(left);
        let run = at(&folder, &["backup", "src"]);
        assert_eq!(run.code, 0, "{left:?}: {run:?}");
        place.disk.make_room();
    }
}

#[test]
fn a_disk_that_may_only_be_read_is_read_and_written_again_later() {
    let mut place = Place::new();
    place.disk.set_writable(false);
    let writers = [
        &["backup", "src"][..],
        &["forget", "latest"],
        &["prune", "--keep-last", "1"],
        &["key", "add", "--new-key-file", "second"],
        &["repair", "index"],
        &["repair", "packs"],
        &["repair", "snapshots"],
    ];
    for words in writers {
        require_told(&place.run(words), "Read-only file system", "rights of this user", &words.join(" "));
        let _ = std::fs::remove_file(place.user.path("second"));
    }
    let init = place.run_in(&place.disk.root().join("new"), "new.key", &["init", "--raw-key", "new.key"]);
    require_told(&init, "Read-only file system", "rights of this user", "init");
    assert_eq!(place.require_whole("while nothing may be written"), 2);
    place.require_restored(1, "while nothing may be written");
    place.disk.set_writable(true);
    for words in writers {
        place.ok(words);
    }
    place.require_whole("in the end");
}

#[test]
fn a_folder_whose_rights_are_lost_is_named_and_costs_nothing() {
    let place = Place::new();
    let commands = [
        &["backup", "src"][..],
        &["forget", "latest~1"],
        &["prune", "--keep-last", "1", "--grace", "0"],
        &["repair", "index"],
        &["repair", "packs"],
        &["repair", "snapshots"],
        &["key", "add", "--new-key-file", "second"],
    ];
    let lost = [
        ("packs", 0o500),
        ("index", 0o500),
        ("index", 0),
        ("snapshots", 0o500),
        ("plans", 0o500),
        ("locks", 0o500),
        ("locks", 0),
        ("keys", 0o500),
    ];
    let mut refused = 0;
    for (folder, mode) in lost {
        for words in commands {
            let context = format!("{words:?} with {folder} {mode:o}");
            place.reset();
            let folder = place.repository().join(folder);
            set_mode(&folder, mode);
            let run = place.as_any_user(words);
            set_mode(&folder, 0o700);
            assert!([1, 2, 3].contains(&place.require_whole(&context)), "{context}");
            if run.code != 0 {
                refused += 1;
                require_told(&run, "Permission denied", "rights of this user", &context);
                let again = place.run(words);
                // What was dropped before it failed is gone.
                assert!(again.code == 0 || words[0] == "forget", "{context}: {again:?}");
            }
        }
    }
    println!("{refused} of {} refused", lost.len() * commands.len());
    assert!(refused >= 12, "{refused}");
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
