use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};

use super::*;
use crate::base::{Phase, Progress, Time};
use crate::repository::testing::noise;
use crate::restore::{Action, BatchLimits, Overwrite};
use crate::source::{Filter, IncludeSet, Rule};

fn rich_tree() -> Entry {
    let mut long = noise(1, 300_000);
    long[50_000..120_000].fill(0);
    let linked = |name: &str| {
        (
            name.as_bytes().to_vec(),
            Entry::file("two names").with(|node| {
                node.link_device = Some(9);
                node.inode = 77;
            }),
        )
    };
    let many = (0..300).map(|n| (format!("{n}"), Entry::file(format!("file {n}"))));
    let mut children = vec![
        (b"empty".to_vec(), Entry::file("")),
        (b"long".to_vec(), Entry::file(long.clone())),
        (b"copy of long".to_vec(), Entry::file(long)),
        (b"zeros".to_vec(), Entry::file(vec![0; 100_000])),
        (b"not \xff utf-8 \x01".to_vec(), Entry::file("stray bytes")),
        (b"old".to_vec(), Entry::file("x").with(|node| node.mtime = Time { seconds: -5, nanoseconds: 7 })),
        (b"secret".to_vec(), Entry::file("x").with(|node| node.mode = 0o400)),
        (
            b"attributed".to_vec(),
            Entry::file("x").with(|node| {
                node.xattrs = vec![(b"user.note".to_vec(), b"\0\xfebytes".to_vec())];
            }),
        ),
        (b"closed".to_vec(), Entry::directory([("in", Entry::file("deep"))]).with(|node| node.mode = 0o500)),
        (b"nothing in it".to_vec(), Entry::directory::<&str>([])),
        (b"many".to_vec(), Entry::directory(many)),
        (b"link".to_vec(), Entry::symlink("long")),
        (b"dangling".to_vec(), Entry::symlink("/no/where")),
        (b"pipe".to_vec(), Entry::special(NodeKind::Fifo)),
        (b"socket".to_vec(), Entry::special(NodeKind::Socket)),
        linked("name 1"),
        linked("name 2"),
    ];
    if is_root() {
        children.push((b"device".to_vec(), Entry::special(NodeKind::CharDevice { major: 1, minor: 3 })));
        children.push((
            b"owned".to_vec(),
            Entry::file("x").with(|node| {
                node.uid = 4321;
                node.gid = 1234;
                node.mode = 0o4755;
            }),
        ));
        let owned = |entry: Entry| {
            entry.with(|node| {
                node.uid = 4321;
                node.gid = 1234;
            })
        };
        children.push((b"owned link".to_vec(), owned(Entry::symlink("long"))));
        children.push((b"owned pipe".to_vec(), owned(Entry::special(NodeKind::Fifo))));
    }
    Entry::directory([("top", Entry::directory(children))])
}

#[test]
fn a_restored_tree_is_what_was_stored_in_rounds_of_every_size() {
    let store = TestRepository::new(1);
    let tree = rich_tree();
    let (_, snapshot) = store.store(&tree);
    let mut requests = Vec::new();
    for (references, sparse) in [(1, false), (7, true), (1 << 18, false)] {
        let folder = tempfile::tempdir().unwrap();
        store.record.clear();
        let stats = restored(&store, &snapshot, folder.path(), |options| {
            options.batch = BatchLimits { references, content_bytes: 1 << 30 };
            options.sparse = sparse;
            options.verify = true;
            options.sync = true;
        });
        requests.push(store.record.calls().len());
        assert_eq!(stats.failed, [], "rounds of {references}");
        assert!(!stats.damaged);
        assert_eq!(show_folder(folder.path()), show_tree(&tree), "rounds of {references}");
        let top = folder.path().join("top");
        let inode = |name: &str| top.join(name).symlink_metadata().unwrap().ino();
        assert_eq!(inode("name 1"), inode("name 2"));
        assert_eq!(stats.verified_files, stats.files);
        assert_eq!(stats.skipped_special, 1);
        if sparse {
            let zeros = top.join("zeros").metadata().unwrap();
            assert!(zeros.blocks() * 512 < zeros.len());
        }
        if stats.metadata_warnings == 0 {
            let value = xattr::get(top.join("attributed"), "user.note").unwrap();
            assert_eq!(value.unwrap(), b"\0\xfebytes");
        }
        if is_root() {
            for name in ["owned", "owned link", "owned pipe"] {
                let owned = top.join(name).symlink_metadata().unwrap();
                assert_eq!((owned.uid(), owned.gid()), (4321, 1234), "{name}");
            }
        }
    }
    assert!(
        requests.is_sorted_by(|more, fewer| more > fewer),
        "a round has no more than it may: {requests:?}"
    );
}

#[test]
fn directories_have_their_metadata_where_nothing_else_is_left_for_the_second_walk() {
    let store = TestRepository::new(3);
    let directory = |mode: u32, children: Vec<(&str, Entry)>| {
        Entry::directory(children).with(|node| {
            (node.mode, node.uid, node.gid) = (mode, 4321, 1234);
            node.mtime = Time { seconds: 1_000_000 + i64::from(mode), nanoseconds: 5 };
        })
    };
    let deep = directory(0o500, vec![("in", Entry::file("deep")), ("below", directory(0o700, vec![]))]);
    let tree =
        directory(0o755, vec![("closed", deep), ("open", directory(0o711, vec![("x", Entry::file("x"))]))]);
    let (_, snapshot) = store.store(&Entry::directory([("top", tree.clone())]));
    let folder = tempfile::tempdir().unwrap();
    // Into nothing, and over itself.
    for run in 0..2 {
        let stats = restored(&store, &snapshot, folder.path(), |_| {});
        assert_eq!((stats.failed_count, stats.metadata_warnings, stats.directories), (0, 0, 4), "run {run}");
        assert_eq!(show_folder(folder.path()), show_tree(&Entry::directory([("top", tree.clone())])));
        for path in ["top", "top/closed", "top/closed/below", "top/open"] {
            let owner = folder.path().join(path).metadata().unwrap();
            assert!(!is_root() || (owner.uid(), owner.gid()) == (4321, 1234), "{path}");
        }
    }
}

#[test]
fn without_ownership_no_file_lends_rights_and_no_device_is_made() {
    let store = TestRepository::new(2);
    let (_, snapshot) = store.store(&Entry::directory([
        ("device", Entry::special(NodeKind::BlockDevice { major: 8, minor: 0 })),
        ("f", Entry::file("x").with(|n| n.mode = 0o6755)),
    ]));
    let folder = tempfile::tempdir().unwrap();
    for dry_run in [true, false] {
        let stats = restored(&store, &snapshot, folder.path(), |options| {
            options.ownership = false;
            options.dry_run = dry_run;
        });
        assert_eq!((stats.skipped_special, stats.others, stats.failed_count), (1, 0, 0));
    }
    assert_eq!(show_folder(folder.path()).len(), 1);
    assert_eq!(folder.path().join("f").metadata().unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn where_nothing_is_overwritten_only_new_directories_get_their_metadata() {
    let store = TestRepository::new(7);
    let closed = |name: &str| {
        let below = Entry::directory([("f", Entry::file("x"))]).with(|node| node.mode = 0o510);
        (name.to_owned(), below)
    };
    let tree = Entry::directory([closed("new"), closed("there")]);
    let (_, snapshot) = store.store(&tree);
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| folder.path().join(name).metadata().unwrap().mode() & 0o7777;
    std::fs::create_dir(folder.path().join("there")).unwrap();
    let before = mode("there");
    let stats = restored(&store, &snapshot, folder.path(), |options| options.overwrite = Overwrite::Never);
    assert_eq!((stats.files, stats.failed_count), (2, 0));
    assert_eq!((mode("new"), mode("there")), (0o510, before));
    assert_ne!(before, 0o510);
    restored(&store, &snapshot, folder.path(), |_| {});
    assert_eq!(show_folder(folder.path()), show_tree(&tree));
}

#[test]
fn what_cannot_be_set_is_counted_and_the_first_hundred_are_told() {
    let store = TestRepository::new(8);
    // The system lets nobody set such attributes of symlinks.
    let link = |n: u32| {
        let link = Entry::symlink("x").with(|node| node.xattrs = vec![(b"user.x".to_vec(), b"y".to_vec())]);
        (format!("{n:03}"), link)
    };
    let tree = Entry::directory((0..120).map(link));
    let (_, snapshot) = store.store(&tree);
    let folder = tempfile::tempdir().unwrap();
    let told = Arc::new(Told::default());
    let repository = store.open(|environment| environment.progress = told.clone()).unwrap();
    let stats = restore(&repository, &snapshot, None, &RestoreOptions::new(folder.path())).unwrap();
    assert_eq!((stats.metadata_warnings, stats.failed_count, stats.others), (120, 0, 120));
    assert_eq!(show_folder(folder.path()), show_tree(&tree));
    let told = told.0.lock().unwrap();
    assert_eq!(told.len(), 100);
    assert!(told[0].starts_with("000: cannot set its extended attributes: "), "{}", told[0]);
}

/// Keeps what people are warned of.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Progress for Told {
    fn begin(&self, _: Phase, _: Option<u64>, _: Option<u64>) {}
    fn totals(&self, _: u64, _: u64) {}
    fn advance(&self, _: u64, _: u64) {}
    fn stored(&self, _: u64) {}
    fn current(&self, _: &[u8]) {}
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
    fn source_error(&self, _: &[u8], _: &str) {}
    fn end(&self) {}
}

#[test]
fn a_path_in_the_snapshot_goes_right_into_the_target() {
    let store = TestRepository::new(3);
    let tree = rich_tree();
    let (_, snapshot) = store.store(&tree);
    let folder = tempfile::tempdir().unwrap();
    let into = |name: &str| RestoreOptions { sync: false, ..RestoreOptions::new(folder.path().join(name)) };
    restore(&store.repository, &snapshot, Some(b"/top/many/"), &into("a")).unwrap();
    assert_eq!(
        show_folder(&folder.path().join("a")),
        show_tree(&tree.children[&b"top"[..]].children[&b"many"[..]])
    );
    let mode = folder.path().join("a").metadata().unwrap().mode();
    assert_eq!(mode & 0o7777, 0o755);
    restore(&store.repository, &snapshot, Some(b"top/many/7"), &into("b")).unwrap();
    assert_eq!(std::fs::read(folder.path().join("b/7")).unwrap(), b"file 7");
    assert_eq!(show_folder(&folder.path().join("b")).len(), 1);
    restore(&store.repository, &snapshot, Some(b"top/link"), &into("c")).unwrap();
    assert!(folder.path().join("c/link").symlink_metadata().unwrap().is_symlink());
    let error = restore(&store.repository, &snapshot, Some(b"top/none"), &into("d")).unwrap_err();
    assert_eq!(error.to_string(), "top/none is not in the snapshot");
}

#[test]
fn only_what_is_selected_is_restored_with_the_way_to_it() {
    let store = TestRepository::new(4);
    let (_, snapshot) = store.store(&rich_tree());
    let rule = |text: &str| vec![Rule::parse(OsStr::new(text), false).unwrap()];
    let folder = tempfile::tempdir().unwrap();
    restored(&store, &snapshot, folder.path(), |options| {
        options.include = Some(IncludeSet::new(rule("/top/many/1*")).unwrap());
        options.exclude = Some(Filter::new(rule("12")).unwrap());
    });
    let shown = show_folder(folder.path());
    let expected = (0..300).map(|n| n.to_string()).filter(|n| n.starts_with('1') && n != "12").count();
    assert_eq!(shown.len(), expected + 2, "{:?}", shown.keys());
}

#[test]
fn a_dry_run_tells_and_touches_nothing() {
    let store = TestRepository::new(5);
    let tree = rich_tree();
    let (_, snapshot) = store.store(&tree);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("missing");
    let names = |stats: &RestoreStats, wanted: Action| -> Vec<Vec<u8>> {
        let mut planned = stats.planned.clone();
        planned.retain(|step| step.action == wanted);
        planned.sort_by(|one, other| one.path.cmp(&other.path));
        planned.into_iter().map(|step| step.path).collect()
    };
    let planned = restored(&store, &snapshot, &target, |options| options.dry_run = true);
    assert!(!target.exists());
    assert_eq!(names(&planned, Action::Restore), show_tree(&tree).into_keys().collect::<Vec<_>>());
    assert_eq!(names(&planned, Action::Skip), [b"top/socket"]);
    assert_eq!(planned.planned_count, planned.planned.len() as u64);
    let done = restored(&store, &snapshot, &target, |_| {});
    assert_eq!(
        (planned.files, planned.directories, planned.others, planned.skipped_special),
        (done.files, done.directories, done.others, done.skipped_special)
    );
    let before = show_folder(&target);
    let again = restored(&store, &snapshot, &target, |options| {
        options.dry_run = true;
        options.overwrite = Overwrite::Never;
    });
    assert_eq!(again.files, 0);
    assert!(names(&again, Action::Restore).is_empty());
    assert_eq!(show_folder(&target), before);
}

#[test]
fn two_thousand_files_take_few_requests() {
    let store = TestRepository::new(6);
    let files = (0..2000).map(|n| (format!("{n:04}"), Entry::file(noise(n, 700))));
    let tree = Entry::directory([("d", Entry::directory(files))]);
    let (_, snapshot) = store.store(&tree);
    let folder = tempfile::tempdir().unwrap();
    store.record.clear();
    let stats = restored(&store, &snapshot, folder.path(), |_| {});
    assert_eq!((stats.files, stats.failed_count), (2000, 0));
    assert_eq!(show_folder(folder.path()), show_tree(&tree));
    assert!(store.record.calls().len() <= 8, "{} requests", store.record.calls().len());
}
