//! Whatever a snapshot holds and whatever stands in the target or is put there meanwhile: nothing beside the
//! target is ever touched. Beside it stands a canary, which is compared before and after.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use snap::base::{ChunkId, Time};
use snap::format::list::{ListChunk, ListEntry};

use super::hand::{Hand, RawNode, inner, leaf};
use super::{Run, User, trees::facts};

/// Runs of a restore while directories are exchanged for symlinks.
const RACES: usize = 24;
/// Folders of which each holds the next one twice.
const SHARED_LEVELS: usize = 40;
/// Directories that are exchanged.
const RACED_DIRECTORIES: usize = 12;

/// A folder with a target and, beside it, what nobody may touch.
struct Jail<'u> {
    user: &'u User,
    before: Vec<String>,
}

/// What is below `folder`: facts and contents.
fn state(folder: &Path) -> Vec<String> {
    let mut state = facts(folder);
    for (path, ..) in super::listing(folder) {
        if path.is_file() && !path.is_symlink() {
            state.push(format!("{} {}", path.display(), blake3::hash(&std::fs::read(&path).unwrap())));
        }
    }
    state
}

impl<'u> Jail<'u> {
    /// Makes a new one in the place of the last.
    fn new(user: &'u User) -> Self {
        let _ = std::fs::remove_dir_all(user.path("jail"));
        user.write("jail/canary/file", "canary");
        user.write("jail/canary/d/f", "other");
        user.write("jail/canary/d/extra", "extra");
        symlink("file", user.path("jail/canary/link")).unwrap();
        std::fs::create_dir(user.path("jail/target")).unwrap();
        Self { user, before: state(&user.path("jail/canary")) }
    }

    fn target(&self) -> PathBuf {
        self.user.path("jail/target")
    }

    fn restore(&self, snapshot: &str, more: &[&str]) -> Run {
        self.user.run(&[&["restore", snapshot, "--target", "jail/target"], more].concat())
    }

    /// Fails if anything beside the target changed.
    fn require_untouched(&self, context: &str) {
        let mut names: Vec<_> = std::fs::read_dir(self.user.path("jail"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["canary", "target"], "{context}");
        assert_eq!(state(&self.user.path("jail/canary")), self.before, "{context}");
    }
}

/// Names that lead out of a directory, or that no name may be.
fn impossible_names(user: &User) -> Vec<Vec<u8>> {
    let absolute = user.path("jail/canary/file").into_os_string().into_encoded_bytes();
    let long = vec![b'n'; 4_097];
    let mut names: Vec<Vec<u8>> =
        ["..", ".", "", "../canary/file", "a/../../canary/file", "/", "a/b", "a\0b", "canary/", "\0"]
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
    names.extend([absolute, long]);
    names
}

/// Trees that must be refused, each with a word for it.
fn refused(user: &User, hand: &mut Hand) -> Vec<(String, ChunkId)> {
    let canary = user.path("jail/canary");
    let canary = canary.to_str().unwrap();
    let below = hand.file("f", b"planted");
    let below = hand.directory(&[below]);
    let file = hand.file("f", b"planted");
    let link = RawNode::symlink("d", canary);
    let tree = RawNode::directory("d", &below);
    let mut all = Vec::new();
    for name in impossible_names(user) {
        let shown = String::from_utf8_lossy(&name[..name.len().min(40)]).into_owned();
        for node in [file.clone(), RawNode::directory("", &below), RawNode::symlink("", canary)] {
            let node = node.with(|node| node.name.clone_from(&name));
            all.push((format!("name {shown:?} of {}", node.number), hand.directory(&[node])));
        }
    }
    let mut add = |what: &str, tree: Vec<u8>| all.push((what.to_owned(), hand.tree(tree)));
    add("a symlink, then a directory of its name", leaf(2, &[link.clone(), tree.clone()]));
    add("a directory, then a symlink of its name", leaf(2, &[tree.clone(), link.clone()]));
    add("a file twice", leaf(2, &[file.clone(), file.clone()]));
    let first = file.clone().with(|node| node.name = b"a".to_vec());
    add("names out of order", leaf(2, &[file.clone(), first]));
    add("more nodes than there are", leaf(u32::MAX, std::slice::from_ref(&file)));
    add("more nodes than a leaf has", leaf(65_537, std::slice::from_ref(&file)));
    add("fewer nodes than there are", leaf(1, &[file.clone(), tree.clone()]));
    add("more children than there are", inner(1, u32::MAX, &[below]));
    add("no children", inner(1, 0, &[]));
    add("one child", inner(1, 1, &[below]));
    add("a level that is too high", inner(9, 2, &[below, below]));
    add("children of another level", inner(2, 2, &[below, below]));
    add("nothing but a tag", leaf(0, &[])[..1].to_vec());
    add("empty symlink", leaf(1, &[RawNode::symlink("l", "")]));
    add("symlink with NUL", leaf(1, &[RawNode::symlink("l", "a\0b")]));
    add("unknown kind", leaf(1, &[RawNode::fifo("n").with(|node| node.number = 7)]));
    add("unknown flag", leaf(1, &[file.clone().with(|node| node.flags = 4)]));
    add("kind of file in the mode", leaf(1, &[file.clone().with(|node| node.mode = 0o120_777)]));
    add("hard link of a directory", leaf(1, &[tree.clone().with(|node| node.link_device = Some(1))]));
    let attribute = |name: &[u8]| file.clone().with(|node| node.xattrs = vec![(name.to_vec(), vec![1])]);
    add("attribute with NUL", leaf(1, &[attribute(b"user.a\0b")]));
    add("attribute without name", leaf(1, &[attribute(b"")]));
    add("longer than its chunks", leaf(1, &[file.clone().with(|node| node.rest[7] = 0xff)]));
    add("level of a list", leaf(1, &[RawNode::listed("f", 1 << 40, &below, 9, 1 << 20)]));
    add("chunks of a list", leaf(1, &[RawNode::listed("f", 1 << 40, &below, 8, u64::MAX)]));
    // The same name in two leaves, of which neither holds it twice.
    let one = hand.tree(leaf(2, &[RawNode::symlink("a", "x"), link]));
    let two = hand.tree(leaf(1, &[tree]));
    all.push(("a name in two leaves".to_owned(), hand.tree(inner(1, 2, &[one, two]))));
    all
}

#[test]
fn trees_that_no_writer_makes_are_refused_and_the_others_restored() {
    let user = User::with_repository();
    let mut hand = Hand::new(&user);
    let trees = refused(&user, &mut hand);
    let safe = hand.file("file", b"safe");
    let safe = hand.directory(&[safe]);
    let root = |hand: &mut Hand, tree: &ChunkId| {
        hand.directory(&[RawNode::directory("safe", &safe), RawNode::directory("trap", tree)])
    };
    let roots: Vec<ChunkId> = trees.iter().map(|(_, tree)| root(&mut hand, tree)).collect();
    // The duplicates stand at the top of some, where no directory of their own is damaged.
    let snapshots = hand.finish(&roots);
    let jail = Jail::new(&user);
    for ((what, _), snapshot) in trees.iter().zip(&snapshots) {
        let _ = std::fs::remove_dir_all(jail.target());
        std::fs::create_dir(jail.target()).unwrap();
        let run = jail.restore(&snapshot.to_string(), &[]);
        jail.require_untouched(what);
        assert_eq!(run.code, 13, "{what}: {run:?}");
        assert!(run.err.contains("/trap") || run.err.contains("trap"), "{what}: {run:?}");
        assert_eq!(std::fs::read(jail.target().join("safe/file")).unwrap(), b"safe", "{what}");
        let in_trap = std::fs::read_dir(jail.target().join("trap")).unwrap();
        let kept: Vec<_> = in_trap.map(|entry| entry.unwrap().file_name()).collect();
        // Of two leaves the first one is whole.
        assert!(kept.is_empty() || (what.contains("leaves") && kept.len() == 2), "{what}: {kept:?}");
    }
    let count = trees.len().to_string();
    let check = user.run(&["check"]);
    assert_eq!(check.code, 13, "{check:?}");
    assert!(check.out.contains(&count) || check.err.contains(&count), "{count}: {check:?}");
    jail.require_untouched("check");
}

#[test]
fn no_command_is_led_astray_by_a_hostile_tree() {
    let user = User::with_repository();
    let mut hand = Hand::new(&user);
    let trees = refused(&user, &mut hand);
    let nodes: Vec<RawNode> = trees
        .iter()
        .enumerate()
        .map(|(at, (_, tree))| RawNode::directory(format!("trap{at:03}"), tree))
        .collect();
    let root = hand.directory(&nodes);
    let snapshot = hand.finish(&[root]).pop().unwrap().to_string();
    user.ok(&["init", "--repo", "other", "--raw-key", "other-key"]);
    let jail = Jail::new(&user);
    for words in [
        "snapshots",
        "ls -l SNAP",
        "find * --snapshot SNAP",
        "diff SNAP SNAP",
        "stats",
        "dump SNAP / --archive tar -o jail/target/archive",
        "check --read-data",
        "prune --grace 0",
        "copy --to other --to-key-file other-key",
        "repair snapshots --dry-run",
        "repair snapshots",
        "restore latest --target jail/target",
    ] {
        let words: Vec<String> = words.split(' ').map(|word| word.replace("SNAP", &snapshot)).collect();
        let run = user.run(&words);
        assert!([0, 1, 13].contains(&run.code), "{words:?}: {run:?}");
        assert!(!run.err.contains("panicked"), "{words:?}: {run:?}");
        assert!(!format!("{}{}", run.out, run.err).contains('\0'), "{words:?}");
        jail.require_untouched(&format!("{words:?}"));
    }
    let archive = std::fs::read(jail.target().join("archive")).unwrap_or_default();
    assert!(!archive.windows(6).any(|bytes| bytes == b"canary"), "the archive leads out of its folder");
}

#[test]
fn directories_nested_deeper_than_any_writer_makes_them_end_there() {
    let user = User::with_repository();
    let mut hand = Hand::new(&user);
    let file = hand.file("f", b"deep");
    let mut tree = hand.directory(&[file]);
    for _ in 0..1_100 {
        tree = hand.directory(&[RawNode::directory("d", &tree)]);
    }
    let snapshot = hand.finish(&[tree]).pop().unwrap();
    let jail = Jail::new(&user);
    let run = jail.restore(&snapshot.to_string(), &[]);
    assert_eq!(run.code, 13, "{run:?}");
    assert!(run.err.contains("nested too deep"), "{run:?}");
    jail.require_untouched("deep");
}

#[test]
fn strange_but_possible_entries_are_restored_or_named_and_nothing_follows_them() {
    let user = User::with_repository();
    let mut hand = Hand::new(&user);
    let canary = user.path("jail/canary");
    let grouped = |node: RawNode| node.with(|node| node.link_device = Some(7));
    let file = hand.file("f", b"planted");
    let below = hand.directory(&[file]);
    let attributes = |names: &[&str]| -> Vec<(Vec<u8>, Vec<u8>)> {
        names.iter().map(|name| (name.as_bytes().to_vec(), b"\x01\x00".to_vec())).collect()
    };
    let nodes = vec![
        grouped(hand.file("a", b"one")),
        RawNode::device("b-char", 4, 1, 3),
        RawNode::device("c-block", 5, u32::MAX, u32::MAX),
        RawNode::directory("d", &below),
        RawNode::fifo("e-pipe"),
        // In a group with a file that is another one, and in one whose first name is a symlink.
        grouped(hand.file("f", b"another")),
        grouped(RawNode::symlink("g", "../canary/file")),
        grouped(hand.file("h", b"one")),
        RawNode::symlink("i", canary.to_str().unwrap()),
        RawNode::symlink("j", "i/file"),
        hand.file("k", b"times")
            .with(|node| node.mtime = Time { seconds: i64::MAX, nanoseconds: 999_999_999 }),
        hand.file("l", b"times").with(|node| node.mtime = Time { seconds: i64::MIN, nanoseconds: 0 }),
        hand.file("m", b"owner").with(|node| node.owner = u32::MAX),
        hand.file("n", b"attributes").with(|node| {
            node.xattrs = attributes(&["security.capability", "system.posix_acl_access", "user.a"]);
        }),
        RawNode::symlink("o", "../canary/d").with(|node| node.xattrs = attributes(&["trusted.a", "user.a"])),
        hand.file(vec![b'p'; 300], b"too long for a file system"),
        hand.file("q", b"lends rights").with(|node| node.mode = 0o7777),
        RawNode::symlink("r", "r"),
        RawNode::symlink("s", "/".repeat(4_096)),
    ];
    let root = hand.directory(&nodes);
    let snapshot = hand.finish(&[root]).pop().unwrap().to_string();
    let jail = Jail::new(&user);
    // A second and a third time over what the first one made.
    for more in [&[][..], &["--verify", "--sparse"], &["--no-owner", "--overwrite", "if-changed"]] {
        let run = jail.restore(&snapshot, more);
        // The name that is too long is no damage of the repository.
        assert_eq!(run.code, 1, "{run:?}");
        assert!(!run.err.contains("panicked"), "{run:?}");
        jail.require_untouched(&format!("{more:?}"));
        for (name, content) in
            [("a", "one"), ("h", "one"), ("f", "another"), ("d/f", "planted"), ("q", "lends rights")]
        {
            let found = std::fs::read(jail.target().join(name)).unwrap();
            assert_eq!(found, content.as_bytes(), "{name}");
        }
        assert!(jail.target().join("i").is_symlink() && jail.target().join("g").is_symlink());
    }
}

#[test]
fn a_file_longer_than_any_file_can_be_made_of_a_few_chunks_ends_with_a_sentence() {
    let user = User::with_repository();
    let mut hand = Hand::new(&user);
    let mut entry = ListEntry { id: hand.data(&vec![0; 1 << 20]), content_bytes: 1 << 20 };
    // Longer than what a file system could begin to write.
    for (level, count) in [(0, 4_096), (1, 4_096), (2, 4_096), (3, 128)] {
        let chunk = ListChunk { level, entries: vec![entry; count] };
        entry = ListEntry { id: hand.tree(chunk.encode().unwrap()), content_bytes: chunk.content_bytes() };
    }
    assert_eq!(entry.content_bytes, 1 << 63);
    let root = hand.directory(&[RawNode::listed("huge", 1 << 63, &entry.id, 3, 1 << 43)]);
    let snapshot = hand.finish(&[root]).pop().unwrap().to_string();
    let jail = Jail::new(&user);
    let run = jail.restore(&snapshot, &[]);
    assert!(run.code == 1 && run.err.contains("huge"), "{run:?}");
    assert_eq!(std::fs::read_dir(jail.target()).unwrap().count(), 0, "{run:?}");
    jail.require_untouched("huge");
}

/// A tree of directories with a file each, backed up by the program.
fn source(user: &User, count: usize) -> String {
    for number in 0..count {
        user.write(&format!("src/d{number:02}/f"), format!("file {number}"));
        user.write(&format!("src/d{number:02}/g/h"), super::noise(number as u64, 20_000));
    }
    user.ok(&["backup", "src"]);
    format!("latest:{}", user.path("src").to_str().unwrap())
}

#[test]
fn what_is_planted_in_the_target_is_replaced_or_left_and_never_followed() {
    let user = User::with_repository();
    let from = source(&user, 1);
    let canary = user.path("jail/canary");
    for place in ["d00", "d00/g", "d00/f"] {
        for planted in ["symlink to a folder", "symlink to a file", "dangling symlink", "hard link", "pipe"] {
            for overwrite in ["always", "if-changed", "if-newer", "never"] {
                let jail = Jail::new(&user);
                let path = jail.target().join(place);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                match planted {
                    "symlink to a folder" => symlink(canary.join("d"), &path).unwrap(),
                    "symlink to a file" => symlink(canary.join("file"), &path).unwrap(),
                    "dangling symlink" => symlink(canary.join("made by restore"), &path).unwrap(),
                    "hard link" => std::fs::hard_link(canary.join("file"), &path).unwrap(),
                    _ => {
                        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
                            .unwrap()
                    }
                }
                let context = format!("{planted} at {place}, {overwrite}");
                // The link count of the canary is part of its state; the link itself may go.
                let content = std::fs::read(canary.join("file")).unwrap();
                let run = jail.restore(&from, &["--overwrite", overwrite]);
                assert!([0, 1].contains(&run.code), "{context}: {run:?}");
                assert_eq!(std::fs::read(canary.join("file")).unwrap(), content, "{context}");
                let _ = std::fs::remove_file(&path);
                if path.is_dir() {
                    std::fs::remove_dir_all(&path).unwrap();
                }
                jail.require_untouched(&context);
            }
        }
    }
}

#[test]
fn directories_that_are_exchanged_for_symlinks_while_restore_runs_lead_nowhere() {
    let user = User::with_repository();
    let from = source(&user, RACED_DIRECTORIES);
    let jail = Jail::new(&user);
    let target = jail.target();
    let swaps = AtomicU64::new(0);
    let is_done = AtomicBool::new(false);
    let link = |number: usize| target.join(format!("link{number:02}"));
    let exchange = |number: usize| {
        let directory = target.join(format!("d{number:02}"));
        let swapped = renameat_with(CWD, &directory, CWD, link(number), RenameFlags::EXCHANGE).is_ok();
        swaps.fetch_add(u64::from(swapped), Ordering::Relaxed);
    };
    for number in 0..RACED_DIRECTORIES {
        symlink(user.path("jail/canary/d"), link(number)).unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                // Exchanged for a while, and back, so that both are met at every step.
                for number in (0..RACED_DIRECTORIES).chain(0..RACED_DIRECTORIES) {
                    exchange(number);
                }
            }
        });
        for race in 0..RACES {
            let more: &[&str] = match race % 3 {
                0 => &[],
                1 => &["--overwrite", "if-changed"],
                // What is extra in the canary would go, if it were reached.
                _ => &["--delete", "--exclude", "link*"],
            };
            let run = jail.restore(&from, more);
            if ![0, 1].contains(&run.code) {
                is_done.store(true, Ordering::Relaxed);
                panic!("{run:?}");
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert!(swaps.load(Ordering::Relaxed) > 100, "no race took place");
    jail.require_untouched("races");
}

/// Makes a tree of folders that each hold the next one twice, over what is in `tree`.
fn shared(hand: &mut Hand, mut tree: ChunkId) -> ChunkId {
    for _ in 0..SHARED_LEVELS {
        tree = hand.directory(&[RawNode::directory("a", &tree), RawNode::directory("b", &tree)]);
    }
    tree
}

/// Runs a command, and interrupts it after so many seconds.
fn run_for(user: &User, seconds: u64, words: &[String]) -> Run {
    let command = user.command(words);
    let mut timeout = std::process::Command::new("timeout");
    timeout.arg("--signal=INT").arg(seconds.to_string()).arg(command.get_program()).args(command.get_args());
    timeout.env_clear().current_dir(user.path("."));
    for (name, value) in command.get_envs() {
        timeout.env(name, value.unwrap());
    }
    timeout.output().unwrap().into()
}

/// What `timeout` says of a command that it had to interrupt.
const INTERRUPTED: i32 = 124;

#[test]
fn folders_that_are_shared_without_end_are_walked_once_by_all_that_need_not_name_each() {
    let user = User::with_repository();
    let mut hand = Hand::new(&user);
    let file = hand.file("f", b"shared");
    let bottom = hand.directory(&[file]);
    let tree = shared(&mut hand, bottom);
    let snapshot = hand.finish(&[tree]).pop().unwrap().to_string();
    user.ok(&["init", "--repo", "other", "--raw-key", "other-key"]);
    let run = |seconds: u64, words: &str| {
        let words: Vec<String> = words.split(' ').map(|word| word.replace("SNAP", &snapshot)).collect();
        run_for(&user, seconds, &words)
    };
    for words in [
        "snapshots",
        "check --read-data",
        "stats",
        "diff SNAP SNAP",
        "prune --grace 0",
        "copy --to other --to-key-file other-key",
        "repair snapshots",
    ] {
        let run = run(60, words);
        assert_eq!(run.code, 0, "{words}: {run:?}");
    }
    // Whoever names each ends when there is no more space for the names, or when it is told to.
    for words in ["ls -R SNAP", "find nothing --snapshot SNAP", "restore SNAP --target out"] {
        let run = run(2, words);
        assert_eq!(run.code, INTERRUPTED, "{words}: {run:?}");
        // Where little time was given to it, it ends before it knows of interrupts.
        assert!(run.err.is_empty() || run.err.ends_with("snap: error: interrupted\n"), "{words}: {run:?}");
    }
}

#[test]
fn damage_below_folders_that_are_shared_without_end_is_found_in_the_end() {
    let user = User::with_repository();
    let mut hand = Hand::new(&user);
    let tree = shared(&mut hand, ChunkId([7; 32]));
    hand.finish(&[tree]);
    let run = |words: &str| run_for(&user, 100, &words.split(' ').map(str::to_owned).collect::<Vec<_>>());
    for (words, code) in [
        ("check", 13),
        ("check --read-data", 13),
        ("prune --grace 0", 13),
        ("repair snapshots --forget", 0),
        ("check", 0),
        ("prune --grace 0", 0),
    ] {
        let begin = std::time::Instant::now();
        let run = run(words);
        println!("{words}: {:?}", begin.elapsed());
        assert_eq!(run.code, code, "{words}: {run:?}");
    }
}
