use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use super::*;
use crate::base::Memory;
use crate::repository::testing::noise;
use crate::restore::{RestoreError, dump, dump_tar};

#[test]
fn a_dump_is_the_file() {
    let mut store = TestRepository::new(40);
    store.chunk_bytes = 100_000;
    let mut long = noise(1, 70 << 20);
    long.extend_from_within(..5 << 20);
    let tree = Entry::directory([
        ("d", Entry::directory([("long", Entry::file(long.clone())), ("empty", Entry::file(""))])),
        ("l", Entry::symlink("d/long")),
    ]);
    let (_, snapshot) = store.store(&tree);
    let mut out = Vec::new();
    let stats = dump(&store.repository, &snapshot, b"/d/long", &mut out).unwrap();
    assert_eq!(stats.content_bytes, long.len() as u64);
    assert!(out == long, "the dump differs");
    assert_eq!(dump(&store.repository, &snapshot, b"d/empty", &mut out).unwrap().content_bytes, 0);
    for path in [&b"l"[..], b"d", b""] {
        let error = dump(&store.repository, &snapshot, path, &mut out).unwrap_err();
        assert!(matches!(error, RestoreError::NotAFile { .. }));
    }
}

/// Takes some bytes and then fails, as a pipe whose reader went away.
struct Broken(usize);

impl Write for Broken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_fails_ends_the_dump() {
    let mut store = TestRepository::new(41);
    store.chunk_bytes = 1 << 20;
    let (_, snapshot) = store.store(&Entry::directory([("f", Entry::file(noise(1, 80 << 20)))]));
    let narrow = store.open(|environment| {
        environment.backend = store.record.clone();
        environment.memory = Memory::of(0).of_two();
    });
    let narrow = narrow.unwrap();
    for limit in [0, 3 << 20, 50 << 20] {
        store.record.clear();
        let error = dump(&narrow, &snapshot, b"f", &mut Broken(limit)).unwrap_err();
        assert!(matches!(error, RestoreError::Output(_)), "after {limit}");
        // Windows that wait, and the one that was under way.
        let fetched: u64 = store.record.calls().iter().map(|call| call.length_bytes).sum();
        let ahead = 5 * narrow.memory().window_bytes();
        assert!(fetched <= limit as u64 + ahead && ahead <= 20 << 20, "{fetched} bytes after {limit}");
        let error = dump_tar(&store.repository, &snapshot, None, &mut Broken(limit)).unwrap_err();
        assert!(matches!(error, RestoreError::Output(_)), "tar after {limit}");
    }
}

#[test]
fn the_systems_tar_restores_an_archive_to_what_was_stored() {
    let store = TestRepository::new(42);
    let linked = || {
        Entry::file(noise(5, 9000)).with(|node| {
            node.link_device = Some(1);
            node.inode = 5;
        })
    };
    let long_name = "long name ".repeat(15);
    let stray = [&b"stray \xff"[..], &[b'y'; 150]].concat();
    let inside = Entry::directory([
        (b"a".to_vec(), Entry::file(noise(4, 100_000))),
        (b"empty".to_vec(), Entry::file("")),
        (b"one".to_vec(), linked()),
        (b"two".to_vec(), linked()),
        (b"pipe".to_vec(), Entry::special(NodeKind::Fifo)),
        (b"socket".to_vec(), Entry::special(NodeKind::Socket)),
        (b"link".to_vec(), Entry::symlink("a")),
        (b"far".to_vec(), Entry::symlink(&"far/".repeat(60))),
        (b"short \xff".to_vec(), Entry::file("bytes")),
        (stray, Entry::file("more bytes")),
        (long_name.clone().into_bytes(), Entry::directory([(long_name, Entry::file("deep"))])),
        (
            b"attributed".to_vec(),
            Entry::file("x").with(|node| {
                node.xattrs = vec![(b"user.note".to_vec(), b"value\xfe".to_vec())];
            }),
        ),
    ]);
    let (_, snapshot) = store.store(&Entry::directory([("top", inside.clone())]));
    let folder = tempfile::tempdir().unwrap();
    let mut tar = Command::new("tar")
        .args(["--xattrs", "-xpf", "-", "-C"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let stats = dump_tar(&store.repository, &snapshot, Some(b"top"), tar.stdin.as_mut().unwrap()).unwrap();
    drop(tar.stdin.take());
    assert!(tar.wait().unwrap().success());
    assert_eq!(stats.left_out, 1);
    assert_eq!(show_folder(folder.path()), show_tree(&inside));
    let inode = |name: &str| folder.path().join(name).metadata().unwrap().ino();
    assert_eq!(inode("one"), inode("two"));
    if let Ok(Some(value)) = xattr::get(folder.path().join("attributed"), "user.note") {
        assert_eq!(value, b"value\xfe");
    }
}

#[test]
fn long_names_that_are_text_have_a_record_and_others_an_entry_of_gnu_tar() {
    let store = TestRepository::new(43);
    let name = |length: usize, last: u8| [vec![b'n'; length - 1], vec![last]].concat();
    let link = |target: Vec<u8>| Entry::special(NodeKind::Symlink { target });
    let tree = Entry::directory([
        (name(100, b'x'), Entry::file("x")),
        (name(101, b'x'), Entry::file("x")),
        (name(101, b'\xff'), Entry::file("x")),
        (b"1".to_vec(), link(name(100, b'x'))),
        (b"2".to_vec(), link(name(101, b'x'))),
        (b"3".to_vec(), link(name(101, b'\xff'))),
    ]);
    let (_, snapshot) = store.store(&tree);
    let mut out = Vec::new();
    assert_eq!(dump_tar(&store.repository, &snapshot, None, &mut out).unwrap().entries, 6);
    let mut long: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    for entry in tar::Archive::new(&out[..]).entries().unwrap().raw(true) {
        let mut entry = entry.unwrap();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        match entry.header().entry_type() {
            tar::EntryType::XHeader => {
                let records = String::from_utf8(data).unwrap();
                for key in ["path", "linkpath"] {
                    let found = records.lines().filter_map(|line| line.split_once(&format!(" {key}=")));
                    long.entry(key).or_default().extend(found.map(|(_, text)| text.as_bytes().to_vec()));
                }
            }
            tar::EntryType::GNULongName => long.entry("L").or_default().push(data),
            tar::EntryType::GNULongLink => long.entry("K").or_default().push(data),
            _ => {}
        }
    }
    let (text, other) = (vec![name(101, b'x')], vec![[name(101, b'\xff'), vec![0]].concat()]);
    let expected = [("path", text.clone()), ("linkpath", text), ("L", other.clone()), ("K", other)];
    assert_eq!(long, expected.into());
}
