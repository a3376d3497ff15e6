//! A restored tree is the tree that was backed up, whatever it holds.

use std::fs::{File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use super::{PASSING_OVER_MODES, Run, User, noise, without_powers};

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Type, mode, owner, time, length and attributes of everything below `folder`, by path.
pub(super) fn facts(folder: &Path) -> Vec<String> {
    let mut all: Vec<String> = super::listing(folder)
        .into_iter()
        .map(|(path, ..)| {
            let found = std::fs::symlink_metadata(&path).unwrap();
            let length = if found.is_file() { found.len() } else { 0 };
            let mut attributes: Vec<_> = xattr::list(&path).unwrap().collect();
            attributes.sort();
            let attributes: Vec<_> =
                attributes.iter().map(|name| (name, xattr::get(&path, name).unwrap())).collect();
            let name = path.strip_prefix(folder).unwrap();
            let time = (found.mtime(), found.mtime_nsec());
            let (uid, gid, links) = (found.uid(), found.gid(), found.nlink());
            format!("{name:?} {:o} {uid} {gid} {time:?} {length} {links} {attributes:?}", found.mode())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_tree_of_every_kind_comes_back_whole() {
    let user = User::with_repository();
    let src = user.path("src");
    user.write("src/plain", "plain");
    user.write("src/empty", "");
    user.write("src/deep/er/file", noise(2, 2_000_000));
    std::fs::create_dir(src.join("emptydir")).unwrap();
    symlink("plain", src.join("link")).unwrap();
    symlink("/nowhere/at all", src.join("dangling")).unwrap();
    std::fs::hard_link(src.join("plain"), src.join("deep/hard")).unwrap();
    let odd = src.join(std::ffi::OsStr::from_bytes(b"odd \xff\x1b[31m\nname"));
    std::fs::write(&odd, "odd").unwrap();
    File::create(src.join("sparse")).unwrap().write_all_at(b"end", 5_000_000).unwrap();
    assert!(Command::new("mkfifo").arg(src.join("fifo")).status().unwrap().success());
    xattr::set(src.join("plain"), "user.colour", b"blue\0").unwrap();
    mode(&src.join("plain"), 0o4711);
    mode(&src.join("emptydir"), 0o1777);
    mode(&src.join("empty"), 0o000);
    File::open(&odd).unwrap().set_modified(UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789)).unwrap();
    user.ok(&["backup", "src"]);

    let from = format!("latest:{}", src.to_str().unwrap());
    user.ok(&["restore", &from, "--target", "out", "--verify", "--sparse"]);
    let mut diff = Command::new("diff");
    diff.args(["-r", "--no-dereference", "src", "out", "-x", "fifo"]);
    let same = diff.current_dir(user.home.path()).output().unwrap();
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    assert_eq!(facts(&user.path("out")), facts(&src));
    let sparse = std::fs::metadata(user.path("out/sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 1_000_000, "{} blocks", sparse.blocks());
}

#[test]
fn attributes_come_back_whether_a_file_is_new_unchanged_linked_or_got_others() {
    let user = User::with_repository();
    let src = user.path("src");
    user.write("src/small", "small");
    user.write("src/large", noise(3, 2_000_000));
    user.write("src/bare", "bare");
    std::fs::hard_link(src.join("small"), src.join("another name")).unwrap();
    for name in ["small", "large", ""] {
        xattr::set(src.join(name), "user.colour", name.as_bytes()).unwrap();
    }
    let from = format!("latest:{}", src.to_str().unwrap());
    let comes_back = |what: &str| {
        user.ok(&["backup", "src"]);
        user.ok(&["restore", &from, "--target", what]);
        assert_eq!(facts(&user.path(what)), facts(&src), "{what}");
        assert!(facts(&src).iter().any(|fact| fact.contains("user.colour")));
    };
    comes_back("new");
    comes_back("unchanged");
    xattr::set(src.join("small"), "user.colour", b"other").unwrap();
    xattr::remove(src.join("large"), "user.colour").unwrap();
    xattr::set(src.join("bare"), "user.shape", b"round").unwrap();
    comes_back("changed");
    comes_back("unchanged-again");
}

#[test]
fn what_its_owner_may_not_write_to_is_restored_all_the_same() {
    let user = User::with_repository();
    let (src, out) = (user.path("src"), user.path("out"));
    user.write("src/closed/read only", noise(4, 300_000));
    user.write("src/closed/gone", "gone");
    mode(&src.join("closed/read only"), 0o400);
    mode(&src.join("closed"), 0o500);
    let run = |words: &[&str]| -> Run {
        without_powers(&user.command(words), PASSING_OVER_MODES).output().unwrap().into()
    };
    assert_eq!(run(&["backup", "src"]).code, 0);
    let from = format!("latest:{}", src.to_str().unwrap());
    let restore = ["restore", &from, "--target", "out", "--verify"];
    assert_eq!(run(&restore).code, 0);
    assert_eq!(facts(&out), facts(&src));

    mode(&out.join("closed"), 0o700);
    mode(&out.join("closed/read only"), 0o600);
    let changed = File::options().write(true).open(out.join("closed/read only")).unwrap();
    changed.write_all_at(b"changed", 100_000).unwrap();
    std::fs::remove_file(out.join("closed/gone")).unwrap();
    mode(&out.join("closed/read only"), 0o400);
    mode(&out.join("closed"), 0o500);
    let before = facts(&out);
    let never = run(&[&restore[..], &["--overwrite", "never"]].concat());
    assert!(never.code != 0 && never.err.contains("closed/gone"), "{never:?}");
    assert_eq!(facts(&out), before, "a directory that is there stays as it is");
    let again = run(&restore);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(facts(&out), facts(&src));
    assert!(std::fs::read(out.join("closed/read only")).unwrap() == noise(4, 300_000));
}

#[test]
fn a_file_that_cannot_have_its_owner_lends_nobody_rights() {
    let user = User::with_repository();
    let lends = user.write("src/lends", "rights");
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(&lends, Some(4321), Some(1234)).unwrap();
    }
    mode(&lends, 0o6755);
    user.ok(&["backup", "src"]);
    let from = format!("latest:{}", user.path("src").to_str().unwrap());
    let command = user.command(&["restore", &from, "--target", "out"]);
    let run: Run = without_powers(&command, "-chown").output().unwrap().into();
    assert_eq!(run.err.contains("lends: cannot set its owner"), is_root, "{run:?}");
    let found = std::fs::metadata(user.path("out/lends")).unwrap();
    assert!(found.uid() != 4321 && found.mode() & 0o7777 == 0o755, "{found:?}");
}

#[test]
fn directories_as_deep_as_a_backup_goes_are_read_by_every_command_and_deeper_ones_are_named() {
    let user = User::with_repository();
    let (src, copy) = (user.path("src"), user.path("copy"));
    let copy = copy.to_str().unwrap();
    let mut deepest = src.clone();
    // Those above count too, the root does not.
    while deepest.components().count() - 1 < 1024 {
        deepest.push("d");
    }
    std::fs::create_dir_all(&deepest).unwrap();
    std::fs::write(deepest.join("f"), "deep").unwrap();
    user.ok(&["backup", "src"]);
    let key = ["--to", copy, "--to-key-file", "copy.key"];
    user.ok(&["--repo", copy, "init", "--raw-key", "copy.key"]);
    user.ok(&[&["copy"][..], &key].concat());
    user.ok(&["check", "--read-data"]);
    user.ok(&["--repo", copy, "--key-file", "copy.key", "check", "--read-data"]);
    user.ok(&["repair", "snapshots"]);
    user.ok(&["prune", "--grace", "0"]);
    assert!(user.ok(&["find", "f"]).contains("/d/f"));
    user.ok(&["dump", "latest", "/", "--archive", "tar", "-o", "all.tar"]);
    assert_eq!(user.ok(&["dump", "latest", deepest.join("f").to_str().unwrap()]), "deep");
    user.ok(&["restore", "latest", "--target", "out", "--verify"]);
    let restored = user.path("out").join(deepest.strip_prefix("/").unwrap()).join("f");
    assert_eq!(std::fs::read(restored).unwrap(), b"deep");

    std::fs::create_dir(deepest.join("deeper")).unwrap();
    let run = user.run(&["backup", "src"]);
    assert!(run.code == 3 && run.err.contains("deeper"), "{run:?}");
    user.ok(&["check", "--read-data"]);
}

#[test]
fn a_second_restore_fetches_nothing_that_is_there() {
    let user = User::with_repository();
    user.write("src/a", noise(3, 500_000));
    user.ok(&["backup", "src"]);
    let from = format!("latest:{}", user.path("src").to_str().unwrap());
    let first = user.summary(&["restore", &from, "--target", "out"]);
    assert_eq!((&first["restored_bytes"], &first["reused_bytes"]), (&500_000.into(), &0.into()));
    let second = user.summary(&["restore", &from, "--target", "out"]);
    assert_eq!((&second["restored_bytes"], &second["reused_bytes"]), (&0.into(), &500_000.into()));
}

#[test]
fn an_archive_of_a_folder_unpacks_to_the_same_files() {
    let user = User::with_repository();
    user.write("src/d/a", noise(4, 100_000));
    user.write("src/b", "b");
    user.ok(&["backup", "src"]);
    let src = user.path("src").to_str().unwrap().to_owned();
    user.ok(&["dump", "latest", &src, "--archive", "tar", "-o", "all.tar"]);
    std::fs::create_dir(user.path("out")).unwrap();
    let mut tar = Command::new("tar");
    assert!(
        tar.args(["-xpf", "all.tar", "-C", "out"]).current_dir(user.home.path()).status().unwrap().success()
    );
    assert_eq!(std::fs::read(user.path("out/d/a")).unwrap(), noise(4, 100_000));
    assert_eq!(std::fs::read(user.path("out/b")).unwrap(), b"b");
}

#[test]
fn many_small_files_beside_large_ones_come_back_and_one_that_cannot_be_read_costs_itself_alone() {
    let user = User::with_repository();
    for n in 0..1_500_usize {
        // Every tenth is like another one, and some are empty.
        let content = noise(10 + (n - n % 10 / 9) as u64, n * 7 % 2_500);
        user.write(&format!("src/{}/{:02}/{n:04}", n % 3, n % 40), content);
    }
    user.write("src/1/07/0700-large", noise(5, 3_000_000));
    user.write("src/1/large", noise(6, 1_500_000));
    let src = user.path("src").to_str().unwrap().to_owned();
    // A regular file without a length, whose first byte cannot be read.
    let first = user.run(&["backup", "src", "/proc/self/mem", "--json"]);
    assert_eq!(first.code, 3, "{}", first.err);
    user.ok(&["restore", &format!("latest:{src}"), "--target", "out", "--verify"]);
    assert_eq!(facts(&user.path("out")), facts(Path::new(&src)));
    let diff =
        Command::new("diff").args(["-r", "src", "out"]).current_dir(user.home.path()).output().unwrap();
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));

    user.ok(&["backup", "src"]);
    assert_eq!(user.summary(&["backup", "src"])["read_bytes"], 0);
    user.write("src/2/14/0014", noise(7, 2_000));
    assert_eq!(user.summary(&["backup", "src"])["read_bytes"], 2_000);
}

/// A chunk that was hashed as one thing and stored as another is lost for whoever needs either of them.
#[test]
fn a_file_that_is_written_while_it_is_read_makes_no_chunk_that_is_not_what_its_id_says() {
    let user = User::with_repository();
    let path = user.write("src/busy", noise(8, 6_000_000));
    user.write("src/still", noise(9, 50_000));
    let (is_done, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(&path).unwrap();
            while !is_done.load(Ordering::Relaxed) {
                let seed = writes.fetch_add(1, Ordering::Relaxed);
                // Anywhere, and now and then shorter.
                file.write_all_at(&noise(100 + seed, 5_000), seed * 7_919_000 % 5_990_000).unwrap();
                file.set_len(6_000_000 - seed % 3 * 500_000).unwrap();
            }
        });
        for _ in 0..4 {
            let run = user.run(&["backup", "src"]);
            if ![0, 3].contains(&run.code) {
                is_done.store(true, Ordering::Relaxed);
                panic!("{run:?}");
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert!(writes.load(Ordering::Relaxed) > 10);
    user.ok(&["check", "--read-data"]);
    let src = user.path("src").to_str().unwrap().to_owned();
    user.ok(&["restore", &format!("latest:{src}"), "--target", "out", "--verify"]);
    assert_eq!(std::fs::read(user.path("out/still")).unwrap(), noise(9, 50_000));
}
