use std::collections::BTreeMap;

use super::series::Series;
use crate::backend::ObjectKind;
use crate::format::node::NodeKind;
use crate::maintain::copy::{CopySelection, copy};
use crate::maintain::prune::tests::world::World;
use crate::repository::{ChunkReader, find_path};
use crate::restore::dump;

/// Versions that are copied.
const COPIED: usize = 5;

#[test]
fn copies_of_a_series_grow_about_as_the_series_did() {
    let series = Series::whole(50);
    let target = World::new(51);
    let mut pack_bytes = Vec::new();
    for (id, _) in &series.versions[..COPIED] {
        let selection = CopySelection { ids: vec![*id], ..CopySelection::default() };
        copy(&series.repository, &target.open(), &selection, false).unwrap();
        pack_bytes.push(target.stored_bytes(ObjectKind::Pack));
    }
    require_copies(&series, &target);
    let growth = |bytes: &[u64]| bytes[COPIED - 1] - bytes[0];
    let (ours, theirs) = (growth(&series.pack_bytes), growth(&pack_bytes));
    assert!(theirs * 2 <= ours * 3, "{theirs} bytes against {ours}");
    assert!(pack_bytes[0] * 10 <= series.pack_bytes[0] * 11, "{pack_bytes:?} {:?}", series.pack_bytes);
    let at_once = World::new(52);
    let ids = series.versions[..COPIED].iter().map(|(id, _)| *id).collect();
    let selection = CopySelection { ids, ..CopySelection::default() };
    copy(&series.repository, &at_once.open(), &selection, false).unwrap();
    require_copies(&series, &at_once);
    let total = at_once.stored_bytes(ObjectKind::Pack);
    assert!(total * 10 <= series.pack_bytes[COPIED - 1] * 11, "{total}");
}

#[test]
fn a_version_copied_without_those_it_leans_on_is_whole() {
    let series = Series::whole(53);
    let target = World::new(54);
    let ids = vec![series.versions[COPIED - 1].0];
    let selection = CopySelection { ids, ..CopySelection::default() };
    copy(&series.repository, &target.open(), &selection, false).unwrap();
    require_copies(&series, &target);
}

/// Fails unless every copy reads back as its original was.
fn require_copies(series: &Series, target: &World) {
    let repository = target.open();
    let originals: BTreeMap<_, _> = series.versions.iter().cloned().collect();
    let (snapshots, bad) = repository.load_snapshots().unwrap();
    assert!(bad.is_empty() && !snapshots.is_empty());
    for (_, snapshot) in snapshots {
        for (name, content) in &originals[&snapshot.original.unwrap()] {
            let mut out = Vec::new();
            dump(&repository, &snapshot, &series.path(name), &mut out).unwrap();
            assert!(out == *content, "{name} differs");
            let reader = ChunkReader::new(&repository);
            let node = find_path(&reader, &snapshot.root, &series.path(name)).unwrap().unwrap();
            assert!(matches!(node.kind, NodeKind::File { .. }));
        }
    }
}
