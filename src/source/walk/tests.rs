mod random;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;
use crate::base::escape::escape_name;
use crate::source::Rule;

/// Renders the events of a walk: `+name` enters, `-` leaves, `name` is an item, `!name action` failed.
/// Directories above `below` and their ends are left out.
fn trace(walker: impl Iterator<Item = WalkEvent>, below: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut depth_above = 0;
    let mut depth = 0;
    for event in walker {
        match event {
            WalkEvent::Enter { name, path, metadata } => {
                assert!(metadata.is_directory());
                assert_eq!(path.file_name().unwrap().as_bytes(), name);
                depth += 1;
                if below.starts_with(&path) {
                    depth_above += 1;
                } else {
                    lines.push(format!("+{}", escape_name(&name)));
                }
            }
            WalkEvent::Leave => {
                if depth > depth_above {
                    lines.push("-".to_owned());
                }
                depth_above = depth_above.min(depth - 1);
                depth -= 1;
            }
            WalkEvent::Item { name, path, metadata } => {
                assert!(!metadata.is_directory());
                assert_eq!(path.file_name().unwrap().as_bytes(), name);
                lines.push(escape_name(&name));
            }
            WalkEvent::Failed(error) => {
                let name = error.path.rsplit(|byte| *byte == b'/').next().unwrap();
                lines.push(format!("!{} {}", escape_name(name), error.action));
            }
        }
    }
    assert_eq!(depth, 0, "every Enter has its Leave");
    lines
}

fn walk(dir: &Path) -> Vec<String> {
    trace(Walker::new(options(dir)), dir)
}

fn options(dir: &Path) -> WalkOptions {
    WalkOptions { paths: vec![dir.to_path_buf()], ..WalkOptions::default() }
}

fn write(path: impl AsRef<Path>, text: &str) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn entries_come_depth_first_in_ascending_byte_order() {
    let temp = temp();
    for name in ["b/z", "b/a/x", "b.c", "b-", "B", "a"] {
        write(temp.path().join(name), "");
    }
    write(temp.path().join(OsStr::from_bytes(b"\xff\xfe")), "");
    write(temp.path().join("new\nline"), "");
    let expected = ["B", "a", "+b", "+a", "x", "-", "z", "-", "b-", "b.c", "new\\u{a}line", "\\xff\\xfe"];
    assert_eq!(walk(temp.path()), expected);
}

#[test]
fn ancestors_come_first_with_their_own_metadata_and_are_shared() {
    let temp = temp();
    for name in ["s/db/f", "s/www/g", "s/other/h", "t"] {
        write(temp.path().join(name), "");
    }
    fs::set_permissions(temp.path().join("s"), fs::Permissions::from_mode(0o2710)).unwrap();
    let paths = ["s/www", "t", "s/db", "s/db/f"].map(|name| temp.path().join(name)).to_vec();
    let walker = Walker::new(WalkOptions { paths, ..WalkOptions::default() });
    let events: Vec<_> = walker.collect();
    let first = events.iter().find_map(|event| match event {
        WalkEvent::Enter { name, .. } => Some(name.clone()),
        _ => None,
    });
    let top = temp.path().components().nth(1).unwrap().as_os_str().as_bytes().to_vec();
    assert_eq!(first, Some(top));
    let mode = events.iter().find_map(|event| match event {
        WalkEvent::Enter { name, metadata, .. } if name == b"s" => Some(metadata.mode),
        _ => None,
    });
    assert_eq!(mode, Some(0o2710));
    let expected = ["+s", "+db", "f", "-", "+www", "g", "-", "-", "t"];
    assert_eq!(trace(events.into_iter(), temp.path()), expected);
}

#[test]
fn a_path_through_a_symlink_enters_the_directory_that_it_points_at() {
    let temp = temp();
    write(temp.path().join("real/f"), "x");
    symlink("real", temp.path().join("link")).unwrap();
    let paths = vec![temp.path().join("link/f")];
    let walker = Walker::new(WalkOptions { paths, ..WalkOptions::default() });
    assert_eq!(trace(walker, temp.path()), ["+link", "f", "-"]);
    let named = Walker::new(options(&temp.path().join("link")));
    assert_eq!(trace(named, temp.path()), ["link"]);
}

#[test]
fn missing_paths_are_named_and_the_walk_goes_on() {
    let temp = temp();
    write(temp.path().join("d/f"), "");
    let paths =
        ["gone", "d/missing", "no/way/x", "no/way/y", "d/f"].map(|name| temp.path().join(name)).to_vec();
    let mut walker = Walker::new(WalkOptions { paths, ..WalkOptions::default() });
    let lines = trace(walker.by_ref(), temp.path());
    let what = "read the metadata of";
    let expected = [
        "+d",
        "f",
        &format!("!missing {what}"),
        "-",
        &format!("!gone {what}"),
        &format!("!x {what}"),
        &format!("!y {what}"),
    ];
    assert_eq!(lines, expected);
    assert_eq!((walker.failed_root_count(), walker.paths().len()), (4, 5));
}

#[test]
fn a_file_as_an_ancestor_fails_each_path_below_it() {
    let temp = temp();
    write(temp.path().join("f"), "");
    let mut walker = Walker::new(options(&temp.path().join("f/x")));
    assert_eq!(trace(walker.by_ref(), temp.path()), ["!x enter"]);
    assert_eq!(walker.failed_root_count(), 1);
}

#[test]
fn an_entry_that_vanishes_after_the_listing_is_named() {
    let temp = temp();
    // More than are looked at together.
    for n in 0..2 * sight::BATCH {
        write(temp.path().join(format!("d/{n:03}")), "");
    }
    write(temp.path().join("d/x/f"), "");
    write(temp.path().join("e"), "");
    let mut walker = Walker::with(options(temp.path()), true, 0, Memory::default());
    let mut events = Vec::new();
    for event in walker.by_ref() {
        let is_first = matches!(&event, WalkEvent::Item { name, .. } if name == b"000");
        events.push(event);
        if is_first {
            fs::remove_file(temp.path().join("d/127")).unwrap();
            fs::remove_dir_all(temp.path().join("d/x")).unwrap();
        }
    }
    let what = "read the metadata of";
    let expected = ["126", &format!("!127 {what}"), &format!("!x {what}"), "-", "e"];
    let lines = trace(events.into_iter(), temp.path());
    assert_eq!(lines[lines.len() - expected.len()..], expected);
    assert_eq!(walker.failed_root_count(), 0);
}

#[test]
fn a_directory_exchanged_for_a_symlink_leads_nowhere_else() {
    let temp = temp();
    write(temp.path().join("in/d/inside"), "");
    write(temp.path().join("out/secret"), "");
    let mut walker = Walker::new(options(&temp.path().join("in")));
    let mut events = Vec::new();
    for event in walker.by_ref() {
        let is_in = matches!(&event, WalkEvent::Enter { name, .. } if name == b"d");
        events.push(event);
        if is_in {
            fs::rename(temp.path().join("in/d"), temp.path().join("moved")).unwrap();
            symlink(temp.path().join("out"), temp.path().join("in/d")).unwrap();
        }
    }
    assert_eq!(trace(events.into_iter(), temp.path()), ["+in", "+d", "inside", "-", "-"]);
}

#[test]
fn a_directory_that_cannot_be_listed_is_kept_empty() {
    let temp = temp();
    write(temp.path().join("d/f"), "");
    // Another inode under the same name stands for any failure: the superuser may list everything.
    let mut walker = Walker::new(options(temp.path()));
    let Some(WalkEvent::Enter { .. }) = walker.next() else { panic!("no ancestor") };
    let path = temp.path().join("d");
    let found = walker.sight.look(None, &path, false).unwrap();
    let changed = Metadata { inode: found.0.inode + 1, ..found.0.clone() };
    walker.queue.clear();
    let name = b"d".to_vec();
    walker.emit(Looked { name, path, found: Ok((changed, None)), is_excluded: false }, None, None);
    let events: Vec<_> = walker.queue.drain(..).collect();
    assert!(matches!(&events[0], WalkEvent::Failed(error) if error.action == "list"), "{events:?}");
    assert!(matches!(&events[1], WalkEvent::Enter { .. }));
    assert!(matches!(walker.next(), Some(WalkEvent::Leave)));
}

#[test]
fn symlink_loops_are_items_and_targets_are_raw() {
    let temp = temp();
    symlink(".", temp.path().join("self")).unwrap();
    symlink(OsStr::from_bytes(b"\xff/../x"), temp.path().join("odd")).unwrap();
    let targets: Vec<_> = Walker::new(options(temp.path()))
        .filter_map(|event| match event {
            WalkEvent::Item { metadata, .. } => Some(metadata.kind),
            _ => None,
        })
        .collect();
    let target = |bytes: &[u8]| EntryKind::Symlink { target: bytes.to_vec() };
    assert_eq!(targets, [target(b"\xff/../x"), target(b".")]);
}

#[test]
fn pipes_and_sockets_are_items_of_their_kind() {
    let temp = temp();
    let _socket = UnixListener::bind(temp.path().join("socket")).unwrap();
    let made = rustix::fs::mknodat(
        CWD,
        temp.path().join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from(0o600),
        0,
    );
    made.unwrap();
    assert!(fs::metadata(temp.path().join("fifo")).unwrap().file_type().is_fifo());
    let kinds: Vec<_> = Walker::new(options(temp.path()))
        .filter_map(|event| match event {
            WalkEvent::Item { metadata, .. } => Some(metadata.kind),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [EntryKind::Fifo, EntryKind::Socket]);
}

#[test]
fn metadata_is_what_the_system_says() {
    let temp = temp();
    let path = temp.path().join("f");
    write(&path, "12345");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(&path, temp.path().join("g")).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000, 123_456_789);
    fs::File::open(&path).unwrap().set_modified(time).unwrap();
    let has_attributes = xattr::set(&path, "user.b", b"\0\xff").is_ok();
    let _ = xattr::set(&path, "user.a", b"");
    let found = Walker::new(options(&path)).find_map(|event| match event {
        WalkEvent::Item { metadata, .. } => Some(metadata),
        _ => None,
    });
    let found = found.unwrap();
    assert_eq!((found.size_bytes, found.mode, found.links), (5, 0o4751, 2));
    assert_eq!(found.kind, EntryKind::File);
    assert_eq!(found.mtime, crate::base::Time { seconds: 1_000_000, nanoseconds: 123_456_789 });
    assert_eq!(found.xattrs, [], "those of files come with their content");
    if has_attributes {
        let (attributes, problem) = crate::source::OpenFile::open(&path, &found).unwrap().attributes();
        assert!(problem.is_none());
        let expected = [(&b"user.a"[..], &b""[..]), (b"user.b", b"\0\xff")];
        assert_eq!(attributes, expected.map(|(name, value)| (name.to_vec(), value.to_vec())));
    }
}

#[test]
fn a_sparse_file_holds_fewer_bytes_than_it_is_long() {
    let temp = temp();
    let path = temp.path().join("f");
    fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
    let sparse = Walker::new(options(&path)).find_map(|event| match event {
        WalkEvent::Item { metadata, .. } => Some((metadata.is_sparse(), metadata.size_bytes)),
        _ => None,
    });
    assert_eq!(sparse, Some((true, 1 << 20)));
}

#[test]
fn a_directory_of_thousands_is_listed_whole_and_sorted() {
    let temp = temp();
    for n in 0..2_000 {
        write(temp.path().join(format!("{}", n * 7_919 % 2_000)), "");
    }
    let mut expected: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    expected.sort();
    assert_eq!(walk(temp.path()), expected);
    let totals = Walker::totals_hint(options(temp.path()), Memory::default(), &AtomicBool::new(false));
    assert_eq!(totals, Some(Totals { files: 2_000, bytes: 0 }));
    assert_eq!(Walker::totals_hint(options(temp.path()), Memory::default(), &AtomicBool::new(true)), None);
}

/// Makes `count` directories below each other, whatever the length of the path.
fn make_deep(dir: &Path, name: &str, count: usize) {
    use rustix::fs::{Mode, OFlags, mkdirat, openat};
    let flags = OFlags::DIRECTORY | OFlags::RDONLY;
    let mut fd = rustix::fs::open(dir, flags, Mode::empty()).unwrap();
    for _ in 0..count {
        mkdirat(&fd, name, Mode::RWXU).unwrap();
        fd = openat(&fd, name, flags, Mode::empty()).unwrap();
    }
    let file = openat(&fd, "end", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
    rustix::io::write(file, b"deep").unwrap();
}

#[test]
fn a_path_longer_than_the_system_takes_is_walked_and_read() {
    let temp = temp();
    make_deep(temp.path(), &"n".repeat(200), 100);
    let mut read = None;
    for event in Walker::new(options(temp.path())) {
        if let WalkEvent::Item { path, metadata, .. } = event {
            assert!(path.as_os_str().len() > 20_000);
            let file = crate::source::OpenFile::open(&path, &metadata).unwrap();
            let mut buffer = [0; 10];
            let count = file.read_at(0, &mut buffer).unwrap();
            read = Some(buffer[..count].to_vec());
        }
    }
    assert_eq!(read.as_deref(), Some(&b"deep"[..]));
}

#[test]
fn directories_beyond_the_depth_limit_are_named() {
    let temp = temp();
    make_deep(temp.path(), "d", TREE_DEPTH_MAX as usize + 3);
    let above = temp.path().components().count() - 1;
    let events: Vec<_> = Walker::new(options(temp.path())).collect();
    let entered = events.iter().filter(|event| matches!(event, WalkEvent::Enter { .. })).count();
    assert_eq!(entered as u64, TREE_DEPTH_MAX);
    let lines = trace(events.into_iter(), temp.path());
    assert_eq!(lines[entered - above], "!d store");
}

#[test]
fn filters_leave_out_subtrees_and_named_paths_but_not_ancestors() {
    let temp = temp();
    for name in ["keep/a.log", "keep/b", "keep/tmp/x", "tmp/y", "tmp/deep/z"] {
        write(temp.path().join(name), "");
    }
    let rules = ["tmp", "*.log"].map(|pattern| Rule::parse(OsStr::new(pattern), false).unwrap()).to_vec();
    let filter = Filter::new(rules).unwrap();
    let with = |dir: &Path| WalkOptions { filter: filter.clone(), ..options(dir) };
    let whole = temp.path().join("keep");
    assert_eq!(trace(Walker::new(with(&whole)), temp.path()), ["+keep", "b", "-"]);
    let named = Walker::new(with(&temp.path().join("tmp/deep")));
    assert_eq!(trace(named, temp.path()), ["+tmp", "+deep", "z", "-", "-"]);
    let excluded = Walker::new(with(&temp.path().join("keep/a.log")));
    assert_eq!(trace(excluded, temp.path()), ["+keep", "-"]);
}

#[test]
fn tagged_directories_keep_the_tag_alone() {
    let temp = temp();
    let signature = "Signature: 8a477f597d28d172789f06886806bc55\n# cache";
    write(temp.path().join("cache/CACHEDIR.TAG"), signature);
    write(temp.path().join("cache/d/big"), "");
    write(temp.path().join("fake/CACHEDIR.TAG"), "Signature: none");
    write(temp.path().join("fake/f"), "");
    write(temp.path().join("skip/.nobackup"), "");
    write(temp.path().join("skip/f"), "");
    let base = options(temp.path());
    let tags = vec![TagFile::parse(OsStr::new(".nobackup")).unwrap()];
    let with = WalkOptions { exclude_caches: true, exclude_if_present: tags, ..base.clone() };
    let expected =
        ["+cache", "CACHEDIR.TAG", "-", "+fake", "CACHEDIR.TAG", "f", "-", "+skip", ".nobackup", "-"];
    assert_eq!(trace(Walker::new(with), temp.path()), expected);
    assert!(trace(Walker::new(base), temp.path()).contains(&"big".to_owned()));
}

#[test]
fn larger_files_are_left_out_and_other_kinds_are_not() {
    let temp = temp();
    write(temp.path().join("a"), "1234");
    write(temp.path().join("b"), "12345");
    symlink("0123456789", temp.path().join("c")).unwrap();
    let with = WalkOptions { exclude_larger_than_bytes: Some(4), ..options(temp.path()) };
    assert_eq!(trace(Walker::new(with), temp.path()), ["a", "c"]);
}

#[test]
fn one_file_system_keeps_mount_points_as_empty_directories() {
    let options = WalkOptions { paths: vec!["/".into()], one_file_system: true, ..WalkOptions::default() };
    let mut walker = Walker::new(options);
    // The tree of processes is a file system of its own wherever it is mounted.
    while let Some(event) = walker.next() {
        let WalkEvent::Enter { path, .. } = event else { continue };
        if path == Path::new("/proc") {
            assert!(matches!(walker.next(), Some(WalkEvent::Leave)));
            return;
        }
        // What is below the others is of no interest here.
        walker.stack.truncate(1);
    }
    panic!("/proc was not met");
}

#[test]
fn no_paths_give_no_events() {
    assert_eq!(Walker::new(WalkOptions::default()).count(), 0);
}
