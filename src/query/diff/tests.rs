use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use super::super::fixture::{Fixture, noise};
use super::super::walk::{TreeWalk, resolve};
use super::*;
use crate::backend::record::Verb;
use crate::format::snapshot::Snapshot;

fn root(snapshot: &Snapshot) -> Place {
    Place::Root { tree: snapshot.root }
}

fn diff(reader: &ChunkReader<'_>, old: &Place, new: &Place, metadata: bool) -> (Vec<Difference>, DiffTotals) {
    let mut diff = Diff::new(reader, old, new, metadata);
    let differences = diff.by_ref().map(Result::unwrap).collect();
    (differences, *diff.totals())
}

fn filled() -> Fixture {
    let fixture = Fixture::new(21);
    fixture.write("kept/deep/er/file", b"as it was");
    fixture.write("gone/one", b"11");
    fixture.write("gone/two", b"2222");
    fixture.write("kind", b"a file");
    fixture.write("mode", b"same bytes");
    fixture.write("text", b"before");
    fixture.write("large", &noise(1, 5 << 20));
    fixture
}

fn changed(fixture: &Fixture) {
    std::fs::remove_dir_all(fixture.place("gone")).unwrap();
    fixture.write("new/file", b"333");
    std::fs::remove_file(fixture.place("kind")).unwrap();
    fixture.write("kind/below", b"55555");
    std::fs::set_permissions(fixture.place("mode"), PermissionsExt::from_mode(0o600)).unwrap();
    fixture.write("text", b"after!!");
    let mut large = noise(1, 5 << 20);
    large.splice(2_000_000..2_000_000, noise(2, 1000));
    fixture.write("large", &large);
}

#[test]
fn equal_snapshots_have_no_differences_and_nothing_is_read() {
    let fixture = filled();
    let (_, first) = fixture.backup();
    let (_, second) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    // Directories above the folder may change meanwhile.
    let at = |snapshot: &Snapshot| resolve(&reader, &snapshot.root, Some(&fixture.root())).unwrap();
    let (old, new) = (at(&first), at(&second));
    fixture.store.clear();
    let (differences, totals) = diff(&ChunkReader::new(&fixture.repository), &old, &new, true);
    assert_eq!((differences, totals), (Vec::new(), DiffTotals::default()));
    assert_eq!(fixture.store.count(Verb::Get) + fixture.store.count(Verb::GetRange), 0);
}

#[test]
fn only_the_directories_on_the_way_to_a_change_are_read() {
    let fixture = filled();
    for n in 0..50 {
        fixture.write(&format!("many/{n}/file"), b"x");
    }
    let (_, first) = fixture.backup();
    fixture.write("many/7/file", b"y");
    let (_, second) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let (differences, totals) = diff(&reader, &root(&first), &root(&second), false);
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].path, fixture.path("many/7/file"));
    let depth = fixture.path("many/7/file").iter().filter(|byte| **byte == b'/').count();
    assert_eq!(totals.directories_read, 2 * u64::try_from(depth).unwrap());
}

#[test]
fn every_kind_of_change_is_told_in_the_order_of_a_walk() {
    let fixture = filled();
    let (_, first) = fixture.backup();
    changed(&fixture);
    let (_, second) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let (differences, totals) = diff(&reader, &root(&first), &root(&second), true);
    let told: Vec<(Vec<u8>, Change)> = differences
        .iter()
        .filter(|difference| difference.path.starts_with(&fixture.path("")))
        .map(|difference| (difference.path.clone(), difference.change))
        .collect();
    let expected = [
        ("gone", Change::Removed),
        ("gone/one", Change::Removed),
        ("gone/two", Change::Removed),
        ("kind", Change::TypeChanged),
        ("kind/below", Change::Added),
        ("large", Change::Modified),
        ("mode", Change::Metadata),
        ("new", Change::Added),
        ("new/file", Change::Added),
        ("text", Change::Modified),
    ];
    assert_eq!(told, expected.map(|(name, change)| (fixture.path(name), change)));
    assert_eq!((totals.modified, totals.type_changed), (2, 1));
    let added = SideTotals { files: 2, directories: 2, others: 0, content_bytes: 8 };
    let removed = SideTotals { files: 3, directories: 1, others: 0, content_bytes: 12 };
    assert_eq!((totals.added, totals.removed), (added, removed));
    let mode = differences.iter().find(|found| found.path == fixture.path("mode")).unwrap();
    assert!(mode.metadata.mode && !mode.metadata.owner && !mode.metadata.xattrs);
    let text = differences.iter().find(|found| found.path == fixture.path("text")).unwrap();
    let bytes = ContentChange { shared_bytes: 0, added_bytes: 7, removed_bytes: 6 };
    assert_eq!(text.content, Some(bytes));
}

#[test]
fn a_long_file_counts_what_it_shares_by_chunks() {
    let fixture = filled();
    let (_, first) = fixture.backup();
    changed(&fixture);
    let (_, second) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let (differences, totals) = diff(&reader, &root(&first), &root(&second), false);
    let large = differences.iter().find(|found| found.path == fixture.path("large")).unwrap();
    let bytes = large.content.unwrap();
    let length = |node: &Option<Node>| node.as_ref().unwrap().size_bytes();
    assert_eq!(bytes.shared_bytes + bytes.added_bytes, length(&large.new));
    assert_eq!(bytes.shared_bytes + bytes.removed_bytes, length(&large.old));
    assert!(bytes.added_bytes >= 1000 && bytes.shared_bytes > bytes.added_bytes, "{bytes:?}");
    assert!(differences.iter().all(|found| found.change != Change::Metadata));
    assert!(totals.metadata_changed > 0);
}

#[test]
fn the_other_direction_tells_the_opposite() {
    let fixture = filled();
    let (_, first) = fixture.backup();
    changed(&fixture);
    let (_, second) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let (forth, there) = diff(&reader, &root(&first), &root(&second), true);
    let (back, again) = diff(&reader, &root(&second), &root(&first), true);
    let turned: Vec<Difference> = back
        .into_iter()
        .map(|found| Difference {
            change: match found.change {
                Change::Added => Change::Removed,
                Change::Removed => Change::Added,
                same => same,
            },
            content: found.content.map(|bytes| ContentChange {
                added_bytes: bytes.removed_bytes,
                removed_bytes: bytes.added_bytes,
                ..bytes
            }),
            old: found.new,
            new: found.old,
            ..found
        })
        .collect();
    assert_eq!(turned, forth);
    assert_eq!((again.added, again.removed), (there.removed, there.added));
    assert_eq!(again.modified_content.added_bytes, there.modified_content.removed_bytes);
}

#[test]
fn differences_are_exactly_the_entries_that_a_comparison_of_all_finds() {
    let fixture = filled();
    let (_, first) = fixture.backup();
    changed(&fixture);
    let (_, second) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let all = |snapshot: &Snapshot| -> Vec<(Vec<u8>, Node)> {
        let walk = TreeWalk::new(&reader, snapshot.root, b"");
        walk.map(|entry| entry.map(|entry| (entry.path, entry.node)).unwrap()).collect()
    };
    let (old, new) = (all(&first), all(&second));
    let visible = |node: &Node| {
        let mut node = node.clone();
        (node.inode, node.ctime) = (0, Default::default());
        if let NodeKind::Directory { tree } = &mut node.kind {
            *tree = ChunkId([0; 32]);
        }
        node
    };
    let differs = |(path, node): &&(Vec<u8>, Node), other: &[(Vec<u8>, Node)]| {
        let twin = other.iter().find(|(found, _)| found == path);
        twin.is_none_or(|(_, twin)| visible(twin) != visible(node))
    };
    let mut expected: BTreeSet<&Vec<u8>> = BTreeSet::new();
    expected.extend(old.iter().filter(|entry| differs(entry, &new)).map(|(path, _)| path));
    expected.extend(new.iter().filter(|entry| differs(entry, &old)).map(|(path, _)| path));
    let (differences, totals) = diff(&reader, &root(&first), &root(&second), true);
    assert_eq!(differences.iter().map(|found| &found.path).collect::<BTreeSet<_>>(), expected);
    let files = |entries: &[(Vec<u8>, Node)]| {
        let is_file = |node: &Node| matches!(node.kind, NodeKind::File { .. });
        u64::try_from(entries.iter().filter(|(_, node)| is_file(node)).count()).unwrap()
    };
    assert_eq!(files(&old) + totals.added.files - totals.removed.files, files(&new));
}

#[test]
fn places_of_any_type_can_be_compared() {
    let fixture = filled();
    let (_, snapshot) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let at = |name: &str| resolve(&reader, &snapshot.root, Some(&fixture.path(name))).unwrap();
    let (differences, _) = diff(&reader, &at("text"), &at("mode"), false);
    assert_eq!(differences.len(), 1);
    assert_eq!((differences[0].change, &differences[0].path), (Change::Modified, &fixture.path("mode")));
    let (differences, totals) = diff(&reader, &at("gone"), &at("text"), false);
    assert_eq!(differences[0].change, Change::TypeChanged);
    assert_eq!((differences.len(), totals.removed.files, totals.added.files), (3, 2, 1));
    let (differences, _) = diff(&reader, &root(&snapshot), &at("text"), false);
    assert_eq!(differences[0].change, Change::Added);
    assert!(differences[1..].iter().all(|found| found.change == Change::Removed));
    assert!(diff(&reader, &at("gone"), &at("gone"), true).0.is_empty());
}
