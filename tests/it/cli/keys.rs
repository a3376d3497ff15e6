//! Keys: every way to give one, and to add, list, change, remove and export them.

use super::User;

fn ids(user: &User, options: &[&str]) -> Vec<String> {
    let mut words = options.to_vec();
    words.extend(["key", "list"]);
    let lines = user.json(&words);
    lines.iter().filter_map(|line| line["id"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_password_comes_from_a_file_a_command_the_environment_or_a_credential() {
    let user = User::new();
    let password = user.secret("password", "päss word\n");
    user.ok(&["init", "--repo", "r", "--password-file", "password"]);
    user.ok(&["--repo", "r", "--password-file", "password", "snapshots"]);
    user.ok(&["--repo", "r", "--password-command", "head -n 1 password", "snapshots"]);
    let open = |variable: &str, value: &str| {
        user.command(&["snapshots"]).env("SNAP_REPOSITORY", "r").env(variable, value).output().unwrap()
    };
    for (variable, value) in [
        ("SNAP_PASSWORD", "päss word"),
        ("SNAP_PASSWORD_FILE", password.to_str().unwrap()),
        ("SNAP_PASSWORD_COMMAND", "cat password"),
    ] {
        let run = open(variable, value);
        assert!(run.status.success(), "{variable}: {run:?}");
    }
    user.secret("credentials/snap-password", "päss word");
    assert!(open("CREDENTIALS_DIRECTORY", "credentials").status.success());
    assert_eq!(open("SNAP_PASSWORD", "other").status.code(), Some(12));
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let user = User::new();
    user.secret("password", "secret");
    user.ok(&["init", "--repo", "r", "--password-file", "password"]);
    let run = user.run(&["--repo", "r", "snapshots"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.err.contains("no terminal") && run.err.contains("--password-file"), "{run:?}");
    let run = user.run(&["--repo", "r", "--password-file", "password", "key", "add"]);
    assert!(run.code == 1 && run.err.contains("--new-password-file"), "{run:?}");
}

#[test]
fn added_keys_open_and_removed_ones_do_not() {
    let user = User::with_repository();
    let first = ids(&user, &[]);
    user.secret("password", "second");
    user.ok(&["key", "add", "--new-password-file", "password", "--label", "laptop"]);
    user.ok(&["key", "add", "--new-key-file", "keys/third.key"]);
    assert_eq!(ids(&user, &[]).len(), 3);
    let by_password = ["--password-file", "password"];
    let by_file = ["--key-file", "keys/third.key"];
    assert_eq!(ids(&user, &by_password).len(), 3);
    let lines = user.json(&["--password-file", "password", "key", "list"]);
    let opened: Vec<_> = lines.iter().filter(|line| line["opened_this_run"] == true).collect();
    assert_eq!((opened.len(), &opened[0]["label"]), (1, &"laptop".into()));

    let own = user.run(&["key", "remove", &first[0]]);
    assert!(own.code == 1 && own.err.contains("key change"), "{own:?}");
    let unknown = user.run(&["key", "remove", "xyz"]);
    assert!(unknown.code == 1 && unknown.err.contains("snap key list"), "{unknown:?}");
    user.ok(&["--key-file", "keys/third.key", "key", "remove", &first[0][..12]]);
    assert_eq!(user.run(&["snapshots"]).code, 12);
    assert_eq!(ids(&user, &by_file).len(), 2);
}

#[test]
fn the_last_key_stays() {
    let user = User::with_repository();
    user.ok(&["key", "export", "-o", "sheet"]);
    let only = ids(&user, &[]);
    let run = user.run(&["--key-file", "sheet", "key", "remove", &only[0]]);
    assert!(run.code == 1 && run.err.contains("last key file"), "{run:?}");
    assert_eq!(ids(&user, &[]), only);
}

#[test]
fn a_changed_key_replaces_the_one_that_opened() {
    let user = User::new();
    user.secret("old", "old password");
    user.secret("new", "new password");
    user.ok(&["init", "--repo", "r", "--password-file", "old"]);
    user.ok(&["--repo", "r", "--password-file", "old", "key", "change", "--new-password-file", "new"]);
    assert_eq!(user.run(&["--repo", "r", "--password-file", "old", "snapshots"]).code, 12);
    assert_eq!(ids(&user, &["--repo", "r", "--password-file", "new"]).len(), 1);
}

#[test]
fn the_exported_sheet_opens_the_repository_even_without_key_files() {
    let user = User::with_repository();
    user.write("src/a", "alpha");
    user.ok(&["backup", "src"]);
    let printed = user.ok(&["key", "export"]);
    // As it may be typed in: without comments, in capitals, with other spacing.
    let typed: String = printed
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("  {}\n\n", line.to_uppercase().replace(' ', "  ")))
        .collect();
    user.secret("typed", typed);
    for entry in std::fs::read_dir(user.repository().join("keys")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let path = user.path("src/a");
    assert_eq!(user.ok(&["--key-file", "typed", "dump", "latest", path.to_str().unwrap()]), "alpha");
    // And it makes a key again.
    user.ok(&["--key-file", "typed", "key", "add", "--new-key-file", "again.key"]);
    user.ok(&["--key-file", "again.key", "snapshots"]);
    assert_eq!(user.run(&["--json", "key", "export"]).code, 2, "a secret as JSON on stdout");
}

#[test]
fn a_key_file_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let user = User::with_repository();
    std::fs::set_permissions(user.key(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let run = user.run(&["snapshots"]);
    assert!(run.code == 0 && run.err.contains("chmod 600"), "{run:?}");
}
