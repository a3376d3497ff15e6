//! A repository that is not what this host last saw: writers stop, readers warn, and a person decides.

use super::{User, copy, listing};

/// Commands that write, each of which would do so.
const WRITERS: [&[&str]; 9] = [
    &["backup", "src"],
    &["backup", "--init", "src"],
    &["forget", "latest"],
    &["prune", "--keep-last", "1"],
    &["key", "add", "--new-key-file", "second"],
    &["key", "change", "--new-key-file", "third"],
    &["repair", "index"],
    &["repair", "packs"],
    &["repair", "snapshots"],
];

/// Fails unless every command that writes refuses `user`'s repository with all of `parts` and changes
/// nothing.
fn require_refused(user: &User, parts: &[&str]) {
    let before = user.repository().exists().then(|| listing(&user.repository()));
    for words in WRITERS {
        let run = user.run(words);
        assert_eq!(run.code, 13, "{words:?}: {run:?}");
        for part in parts.iter().chain(&["--accept-rollback"]) {
            assert!(run.err.contains(part), "{words:?}: no '{part}' in {run:?}");
        }
    }
    assert_eq!(user.repository().exists().then(|| listing(&user.repository())), before);
}

/// A user with two snapshots, and the repository as it was before the second in `old`.
fn rolled_back() -> User {
    let user = User::with_repository();
    user.write("src/a", "alpha");
    user.ok(&["backup", "src"]);
    copy(&user.repository(), &user.path("old"));
    user.write("src/a", "beta beta");
    user.ok(&["backup", "src"]);
    std::fs::remove_dir_all(user.repository()).unwrap();
    copy(&user.path("old"), &user.repository());
    user
}

#[test]
fn writers_stop_at_an_older_state_and_readers_warn_and_go_on() {
    let user = rolled_back();
    require_refused(&user, &["is gone, and nobody dropped it"]);
    // The cache is not where that is known from.
    std::fs::remove_dir_all(user.path(".cache")).unwrap();
    require_refused(&user, &["is gone, and nobody dropped it"]);
    user.ok(&["init", "--repo", "other", "--raw-key", "other.key"]);
    let to_old = ["copy", "--repo", "other", "--key-file", "other.key", "--to"];
    let repository = user.repository();
    let key = user.key();
    let mut words: Vec<&str> = to_old.to_vec();
    words.extend([repository.to_str().unwrap(), "--to-key-file", key.to_str().unwrap()]);
    let run = user.run(&words);
    assert_eq!(run.code, 13, "{run:?}");
    let readers: [&[&str]; 8] = [
        &["snapshots"],
        &["ls", "latest"],
        &["check"],
        &["stats"],
        &["key", "list"],
        &["backup", "src", "--dry-run"],
        &["prune", "--dry-run"],
        &["restore", "latest", "--target", "out"],
    ];
    for words in readers {
        let run = user.run(words);
        assert_eq!((run.code, run.err.lines().count()), (0, 1), "{words:?}: {run:?}");
        assert!(run.err.contains("not what this host last saw"), "{words:?}: {run:?}");
    }
    let restored = user.path("out").join(user.path("src/a").strip_prefix("/").unwrap());
    assert_eq!(std::fs::read(restored).unwrap(), b"alpha");
    // No reader made it forget.
    require_refused(&user, &["nobody dropped it"]);
}

#[test]
fn what_is_accepted_is_what_is_known_from_then_on() {
    let user = rolled_back();
    user.ok(&["backup", "src", "--accept-rollback"]);
    assert_eq!(user.snapshot_count(), 2);
    user.ok(&["check", "--read-data"]);
    user.ok(&["prune", "--keep-last", "1"]);
    std::fs::remove_dir_all(user.repository()).unwrap();
    copy(&user.path("old"), &user.repository());
    require_refused(&user, &["before its last forget, prune or repair"]);
    user.ok(&["snapshots", "--accept-rollback"]);
    user.ok(&["backup", "src"]);
}

#[test]
fn an_emptied_place_is_not_taken_for_a_new_one() {
    let user = User::with_repository();
    user.write("src/a", "alpha");
    user.ok(&["backup", "src"]);
    std::fs::rename(user.repository(), user.path("moved")).unwrap();
    require_refused(&user, &["is gone", "mount"]);
    std::fs::create_dir(user.repository()).unwrap();
    require_refused(&user, &["is gone"]);
    let run = user.run(&["init"]);
    assert_eq!(run.code, 13, "{run:?}");
    let run = user.run(&["snapshots"]);
    assert_eq!(run.code, 10, "{run:?}");
    assert!(run.err.contains("is gone"), "{run:?}");
    // What is there again is what was known.
    std::fs::remove_dir(user.repository()).unwrap();
    std::fs::rename(user.path("moved"), user.repository()).unwrap();
    user.ok(&["backup", "src"]);
    std::fs::remove_dir_all(user.repository()).unwrap();
    std::fs::remove_file(user.key()).unwrap();
    user.ok(&["backup", "--init", "src", "--accept-rollback"]);
    user.ok(&["backup", "src"]);
}

#[test]
fn another_repository_in_its_place_stops_writers_with_its_key_and_without() {
    let user = User::with_repository();
    user.write("src/a", "alpha");
    user.ok(&["backup", "src"]);
    std::fs::rename(user.repository(), user.path("first")).unwrap();
    let (other, key) = (user.path("other"), user.key());
    let words = ["init", "--repo", other.to_str().unwrap(), "--key-file", key.to_str().unwrap()];
    user.ok(&words);
    copy(&other, &user.repository());
    require_refused(&user, &["it was repository"]);
    assert_eq!(user.run(&["snapshots"]).code, 0);
    std::fs::remove_dir_all(user.repository()).unwrap();
    user.ok(&["init", "--repo", "third", "--raw-key", "third.key"]);
    copy(&user.path("third"), &user.repository());
    require_refused(&user, &["it was repository", "another one now"]);
    let run = user.run(&["snapshots"]);
    assert_eq!(run.code, 12, "{run:?}");
    assert!(run.err.contains("another one now"), "{run:?}");
}

#[test]
fn a_memory_that_cannot_be_read_or_written_costs_a_warning_only() {
    let user = User::with_repository();
    user.write("src/a", "alpha");
    user.ok(&["backup", "src"]);
    let folder = user.path(".local/state/snap");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, "garbage").unwrap();
    let run = user.run(&["restore", "latest", "--target", "out"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.err.contains("is damaged"), "{run:?}");
    // It is made anew.
    user.ok(&["backup", "src"]);
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "no folder").unwrap();
    for words in [&["backup", "src"][..], &["restore", "latest", "--target", "out2"]] {
        let run = user.run(words);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.err.contains("warning"), "{run:?}");
    }
}

#[test]
fn two_hosts_and_two_processes_at_once_raise_no_alarm() {
    let user = User::with_repository();
    user.write("src/a", "alpha");
    // The other host differs in what it remembers only.
    let other = |words: &[&str]| {
        let mut command = user.command(words);
        command
            .env("SNAP_STATE_DIR", user.path("other-state"))
            .env("XDG_CACHE_HOME", user.path("other-cache"));
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
    };
    for _ in 0..2 {
        user.ok(&["backup", "src"]);
        other(&["backup", "src"]);
        user.ok(&["forget", "latest"]);
        other(&["snapshots"]);
        other(&["forget", "latest"]);
        user.ok(&["backup", "src"]);
        other(&["prune", "--keep-last", "1", "--grace", "0"]);
        user.ok(&["backup", "src"]);
        other(&["key", "add", "--new-key-file", "new.key"]);
        user.ok(&["key", "change", "--new-key-file", "changed.key"]);
        std::fs::rename(user.path("changed.key"), user.key()).unwrap();
        std::fs::remove_file(user.path("new.key")).unwrap();
        other(&["unlock"]);
        user.ok(&["repair", "index"]);
        other(&["backup", "src"]);
    }
    let mut running: Vec<_> = (0..4).map(|_| user.command(&["backup", "src"]).spawn().unwrap()).collect();
    for child in running.drain(..) {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    user.ok(&["forget", "latest"]);
    user.ok(&["backup", "src"]);
}
