//! From the first run to the restored file.

use super::{User, listing};

#[test]
fn a_first_backup_needs_no_set_up_and_says_where_everything_is() {
    let user = User::new();
    user.write("src/a", "alpha");
    let said = user.ok(&["backup", "--init", "src"]);
    assert!(said.contains(user.repository().to_str().unwrap()), "{said}");
    assert!(said.contains(user.key().to_str().unwrap()), "{said}");
    assert!(said.contains("snap key export"), "{said}");
    assert_eq!(user.snapshot_count(), 1);
    // The second one finds it all there and asks for nothing.
    let said = user.ok(&["backup", "--init", "src"]);
    assert!(!said.contains("made repository"), "{said}");
    assert_eq!(user.snapshot_count(), 2);
}

#[test]
fn everything_made_on_this_host_is_private() {
    let user = User::new();
    user.write("src/a", "alpha");
    user.ok(&["backup", "--init", "src"]);
    user.ok(&["key", "export", "--output", "sheet"]);
    user.ok(&["dump", "latest", user.path("src/a").to_str().unwrap(), "-o", "dumped"]);
    for (path, mode, _) in listing(user.home.path()) {
        if path.starts_with(user.path("src")) {
            continue;
        }
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{} has mode {mode:o}", path.display());
    }
}

#[test]
fn what_was_backed_up_is_listed_found_compared_and_restored() {
    let user = User::with_repository();
    user.write("src/a.txt", "alpha");
    user.write("src/d/b.bin", super::noise(1, 300_000));
    user.ok(&["backup", "src", "--tag", "one,two", "--job", "j", "--meta", "k=v"]);
    user.write("src/a.txt", "alpha and more");
    std::fs::remove_file(user.path("src/d/b.bin")).unwrap();
    user.ok(&["backup", "src", "--job", "j"]);

    let lines = user.json(&["snapshots", "--tag", "one"]);
    assert_eq!(lines[0]["tags"], serde_json::json!(["one", "two"]));
    assert_eq!(lines[1]["snapshots"], 1);
    let src = user.path("src").to_str().unwrap().to_owned();
    assert_eq!(user.ok(&["ls", &format!("latest:{src}")]), format!("{src}/a.txt\n{src}/d/\n"));
    assert!(user.ok(&["find", "*.bin"]).contains("/src/d/b.bin"));
    let diff = user.ok(&["diff", "latest~1", "latest"]);
    assert!(diff.contains(&format!("M {src}/a.txt")) && diff.contains(&format!("- {src}/d/b.bin")), "{diff}");
    user.ok(&["restore", &format!("latest~1:{src}"), "--target", "out", "--verify"]);
    assert_eq!(std::fs::read(user.path("out/a.txt")).unwrap(), b"alpha");
    assert_eq!(std::fs::read(user.path("out/d/b.bin")).unwrap(), super::noise(1, 300_000));
    assert_eq!(user.ok(&["dump", "latest", &format!("{src}/a.txt")]), "alpha and more");
    assert_eq!(user.summary(&["stats"])["set"]["snapshots"], 2);
}

#[test]
fn a_dry_run_writes_nothing() {
    let user = User::with_repository();
    user.write("src/a", "alpha");
    user.ok(&["backup", "src"]);
    user.write("src/a", "beta beta");
    let before = listing(&user.repository());
    assert!(user.summary(&["backup", "src", "--dry-run"])["snapshot"].is_null());
    user.ok(&["prune", "--keep-last", "1", "--dry-run"]);
    user.ok(&["forget", "latest", "--dry-run"]);
    user.ok(&["restore", "latest", "--target", "out", "--dry-run"]);
    user.ok(&["repair", "index", "--dry-run"]);
    assert_eq!(listing(&user.repository()), before);
    assert!(!user.path("out").exists());
}

#[test]
fn nothing_changed_makes_no_snapshot_when_that_is_asked_for() {
    let user = User::with_repository();
    user.write("src/a", "alpha");
    user.ok(&["backup", "src"]);
    assert_eq!(user.summary(&["backup", "src", "--skip-if-unchanged"])["unchanged"], true);
    assert_eq!(user.snapshot_count(), 1);
    user.write("src/a", "beta beta");
    assert_eq!(user.summary(&["backup", "src", "--skip-if-unchanged"])["unchanged"], false);
    assert_eq!(user.snapshot_count(), 2);
}

#[test]
fn lists_of_paths_and_patterns_say_what_is_taken() {
    let user = User::with_repository();
    for name in
        ["a.txt", "b.tmp", "C.TMP", "big", "cache/CACHEDIR.TAG", "cache/x", "skip/.nobackup", "skip/y"]
    {
        user.write(&format!("src/{name}"), name);
    }
    user.write("src/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    user.write("src/big", vec![0; 5000]);
    user.write("list", "src\n# a comment\n");
    user.write("patterns", "*.tmp\n");
    let options = ["--exclude-caches", "--exclude-if-present", ".nobackup", "--exclude-larger-than", "4K"];
    let mut words = vec!["backup", "--files-from", "list", "--iexclude-file", "patterns"];
    words.extend(options);
    user.ok(&words);
    let src = user.path("src").to_str().unwrap().to_owned();
    let listed = user.ok(&["ls", &format!("latest:{src}")]);
    let names: Vec<&str> = listed.lines().map(|line| line.strip_prefix(&src).unwrap()).collect();
    assert_eq!(names, ["/a.txt", "/cache/", "/cache/CACHEDIR.TAG", "/skip/", "/skip/.nobackup"]);
}
