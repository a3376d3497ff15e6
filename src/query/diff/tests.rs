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

/// A dump in SQL of tables with the rows given.
fn sql(tables: &[(&str, Vec<String>)]) -> Vec<u8> {
    let mut dump = "--\n-- PostgreSQL database dump\n--\n\nSET row_security = off;\n".to_owned();
    for (name, rows) in tables {
        dump += &format!("\nCREATE TABLE {name} (id int, t text);\n\nCOPY {name} (id, t) FROM stdin;\n");
        for row in rows {
            dump += row;
            dump.push('\n');
        }
        dump += "\\.\n\n";
    }
    dump += "--\n-- PostgreSQL database dump complete\n--\n";
    dump.into_bytes()
}

/// Rows that do not repeat.
fn rows(seed: u64, count: usize) -> Vec<String> {
    let row = |(id, bytes): (usize, &[u8])| {
        format!("{id}\t{}", bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())
    };
    noise(seed, count * 20).chunks(20).enumerate().map(row).collect()
}

/// Stores two versions of a file and tells which of its parts differ.
fn parts_between(name: &str, old: &[u8], new: &[u8], choice: PartsChoice) -> Option<PartsChange> {
    let fixture = Fixture::new(5);
    fixture.write(name, old);
    let (_, first) = fixture.backup();
    fixture.write(name, new);
    let (_, second) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let mut diff = Diff::new(&reader, &root(&first), &root(&second), false).with_parts(choice);
    let found = diff.by_ref().map(Result::unwrap).find(|found| found.path == fixture.path(name));
    found.unwrap().parts
}

fn names_of(parts: &PartsChange) -> Vec<String> {
    let name = |part: &PartChange| String::from_utf8(part.name.clone().unwrap_or_default()).unwrap();
    parts.changed.iter().map(name).collect()
}

#[test]
fn a_table_that_changed_is_named_and_its_neighbours_are_not() {
    let tables = [("a.one", rows(1, 3_000)), ("a.two", rows(2, 3_000)), ("a.three", rows(3, 3_000))];
    let old = sql(&tables);
    for at in [0, 1_500, 2_999] {
        let mut tables = tables.clone();
        tables[1].1[at] = "a row of another length".to_owned();
        let parts = parts_between("shop.sql", &old, &sql(&tables), PartsChoice::Auto).unwrap();
        assert_eq!(names_of(&parts), ["a.two"], "row {at}");
        assert_eq!((parts.same_count, parts.is_cut, parts.rest), (2, false, "schema"));
        let [of_old, of_new] = parts.changed[0].size_bytes.map(Option::unwrap);
        let told = (parts.changed[0].removed_bytes, parts.changed[0].added_bytes);
        assert!((1..of_old).contains(&told.0) && (1..of_new).contains(&told.1), "{told:?}");
    }
}

#[test]
fn tables_that_come_and_go_are_named_and_so_is_the_schema() {
    let old = sql(&[("a.gone", rows(1, 500)), ("a.kept", rows(2, 3_000))]);
    let new = sql(&[("a.kept", rows(2, 3_000)), ("a.new", rows(3, 500))]);
    let parts = parts_between("shop.sql", &old, &new, PartsChoice::Always).unwrap();
    assert_eq!(names_of(&parts), ["a.new", "a.gone", ""]);
    assert_eq!(parts.changed[0].size_bytes[0], None);
    assert_eq!(parts.changed[1].size_bytes[1], None);
    assert_eq!(parts.same_count, 1);
    assert_eq!(parts_between("shop.sql", &old, &new, PartsChoice::Never), None);
    // A short text is not worth a request by itself.
    let (old, new) = (sql(&[("a.short", rows(1, 9))]), sql(&[("a.short", rows(2, 9))]));
    assert_eq!(parts_between("shop.sql", &old, &new, PartsChoice::Auto), None);
    let parts = parts_between("shop.sql", &old, &new, PartsChoice::Always).unwrap();
    assert_eq!(names_of(&parts), ["a.short"]);
    assert_eq!(parts_between("shop.sql", b"a,b\n1,2\n", b"a,b\n1,3\n", PartsChoice::Always), None);
}

#[test]
fn parts_that_are_told_are_those_whose_bytes_differ() {
    for seed in 0..6_u64 {
        let names: Vec<String> = (0..40).map(|n| format!("s.t{n}")).collect();
        let sizes = noise(seed + 100, 40);
        let of = |n: usize| rows(seed * 1_000 + n as u64, usize::from(sizes[n]) * 4 + 1);
        let old: Vec<(&str, Vec<String>)> =
            names.iter().enumerate().map(|(n, name)| (name.as_str(), of(n))).collect();
        let mut new = old.clone();
        let mut expected = BTreeSet::new();
        for (n, choice) in noise(seed + 200, 40).into_iter().enumerate() {
            let rows = &mut new[n].1;
            let at = usize::from(sizes[n]) % rows.len();
            match choice % 8 {
                0 => rows.insert(at, "inserted".to_owned()),
                1 if rows.len() > 1 => drop(rows.remove(at)),
                2 => rows[at].replace_range(..1, "x"),
                _ => continue,
            }
            expected.insert(names[n].clone());
        }
        let parts = parts_between("shop.sql", &sql(&old), &sql(&new), PartsChoice::Auto).unwrap();
        let told: BTreeSet<String> = names_of(&parts).into_iter().collect();
        assert_eq!(told, expected, "seed {seed}");
        assert_eq!(parts.same_count, 40 - expected.len(), "seed {seed}");
    }
}

#[test]
fn a_tensor_that_changed_is_named() {
    const TENSOR_BYTES: usize = 300_000;
    let header: String = (0..4)
        .map(|n| {
            let (start, end) = (n * TENSOR_BYTES, (n + 1) * TENSOR_BYTES);
            format!(
                r#""layer.{n}":{{"dtype":"F32","shape":[{}],"data_offsets":[{start},{end}]}}"#,
                TENSOR_BYTES / 4
            )
        })
        .collect::<Vec<_>>()
        .join(",");
    let header = format!("{{{header}}}");
    let whole =
        |tensors: Vec<u8>| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &tensors].concat();
    let mut tensors = noise(9, 4 * TENSOR_BYTES);
    let old = whole(tensors.clone());
    for byte in &mut tensors[2 * TENSOR_BYTES..2 * TENSOR_BYTES + 100] {
        *byte ^= 1;
    }
    let parts = parts_between("model.safetensors", &old, &whole(tensors), PartsChoice::Auto).unwrap();
    assert_eq!(names_of(&parts), ["layer.2"]);
    assert_eq!((parts.same_count, parts.rest), (3, "header"));
}
