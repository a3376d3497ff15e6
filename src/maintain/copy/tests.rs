//! Laws of copy, between two stores in memory.

use super::*;
use crate::backend::ObjectKind;
use crate::format::pack::Content;
use crate::maintain::prune::tests::world::{Dice, World, files, read_files};
use crate::repository::ListReader;

fn copy_all(from: &World, to: &World) -> CopyReport {
    copy(&from.open(), &to.open(), &CopySelection::default(), false).unwrap()
}

/// Returns every node below `root` with its path, ids blanked, and the bytes of files.
fn nodes(repository: &Repository, root: &ChunkId) -> Vec<(String, crate::format::node::Node, Vec<u8>)> {
    let reader = ChunkReader::new(repository);
    let (mut found, mut left) = (Vec::new(), vec![(String::new(), *root)]);
    while let Some((path, tree)) = left.pop() {
        let mut cursor = TreeCursor::new(&reader, &tree).unwrap();
        while let Some(mut node) = cursor.next_node().unwrap() {
            let path = format!("{path}/{}", String::from_utf8(node.name.clone()).unwrap());
            let mut bytes = Vec::new();
            match &mut node.kind {
                NodeKind::Directory { tree } => {
                    left.push((path.clone(), *tree));
                    *tree = ChunkId([0; 32]);
                }
                NodeKind::File { size_bytes, content, .. } => {
                    let mut list = ListReader::new(&reader, content, *size_bytes).unwrap();
                    while let Some(chunk) = list.next_chunk().unwrap() {
                        bytes.extend_from_slice(&reader.read(Content::Data, &chunk.id).unwrap());
                    }
                    *content = crate::format::node::FileContent::Inline(Vec::new());
                }
                _ => {}
            }
            found.push((path, node, bytes));
        }
    }
    found
}

#[test]
fn a_copy_equals_its_original_node_by_node_and_a_second_copy_stores_nothing() {
    for seed in 0..3 {
        println!("seed {seed}");
        let (from, to, dice) = (World::new(seed), World::new(seed + 100), Dice::new(seed));
        for _ in 0..4 {
            from.backup(&dice.files());
        }
        let report = copy_all(&from, &to);
        assert_eq!((report.copied.len(), report.skipped), (4, 0));
        let (source, target) = (from.open(), to.open());
        for copied in &report.copied {
            let original = source.load_snapshot(&copied.source).unwrap();
            let copy = target.load_snapshot(&copied.target.unwrap()).unwrap();
            assert_eq!(nodes(&source, &original.root), nodes(&target, &copy.root));
            assert_eq!(copy.original, Some(copied.source));
            let blanked = Snapshot {
                repository: original.repository,
                root: original.root,
                original: None,
                seen: original.seen,
                ..copy
            };
            assert_eq!(blanked, original);
        }
        let before = to.store.objects();
        let again = copy_all(&from, &to);
        assert_eq!((again.copied.len(), again.skipped, again.stored.stored_bytes), (0, 4, 0));
        assert_eq!(to.store.objects(), before);
    }
}

#[test]
fn long_lists_are_copied_and_what_snapshots_share_is_stored_once() {
    let (from, to) = (World::new(10), World::new(11));
    let long: Vec<u32> = (0..600).collect();
    from.backup(&files(&[("long", &long)]));
    let first = copy_all(&from, &to);
    from.backup(&files(&[("long", &[&long[..300], &[7000], &long[300..]].concat())]));
    let second = copy_all(&from, &to);
    let long_bytes = first.stored.new_data_bytes;
    assert!(second.stored.new_data_bytes < long_bytes / 100, "{second:?}");
    let target = to.open();
    let copied = target.load_snapshot(&second.copied[0].target.unwrap()).unwrap();
    let source = from.open();
    let original = source.load_snapshot(&second.copied[0].source).unwrap();
    assert_eq!(read_files(&target, &copied), read_files(&source, &original));
}

#[test]
fn copies_of_copies_and_copies_back_are_of_one_line() {
    let (first, second, third) = (World::new(20), World::new(21), World::new(22));
    let id = first.backup(&files(&[("a", &[1, 2])]));
    copy_all(&first, &second);
    let report = copy_all(&second, &third);
    let copy = third.open().load_snapshot(&report.copied[0].target.unwrap()).unwrap();
    assert_eq!(copy.original, Some(id));
    assert_eq!(copy_all(&first, &third).skipped, 1);
    assert_eq!(copy_all(&third, &first).skipped, 1);
    assert_eq!(first.count(ObjectKind::Snapshot), 1);
}

#[test]
fn a_dry_run_tells_and_stores_nothing() {
    let (from, to) = (World::new(30), World::new(31));
    from.backup(&files(&[("a", &[1, 2])]));
    let before = to.store.objects();
    let report = copy(&from.open(), &to.open(), &CopySelection::default(), true).unwrap();
    assert_eq!((report.copied.len(), report.copied[0].target), (1, None));
    assert_eq!(to.store.objects(), before);
}

#[test]
fn a_damaged_source_leaves_no_snapshot_in_the_target() {
    let (from, to) = (World::new(40), World::new(41));
    from.backup(&files(&[("a", &[1, 2])]));
    for info in crate::backend::Backend::list(&from.store, ObjectKind::Pack).unwrap() {
        let mut bytes = crate::backend::Backend::get(&from.store, &info.key, 1 << 30).unwrap().to_vec();
        bytes[100] ^= 1;
        from.store.overwrite(&info.key, bytes.into());
    }
    copy(&from.open(), &to.open(), &CopySelection::default(), false).unwrap_err();
    assert_eq!(to.count(ObjectKind::Snapshot), 0);
}
