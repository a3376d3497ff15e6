use std::collections::{BTreeMap, BTreeSet};

use super::super::fixture::{Fixture, noise};
use super::*;
use crate::backend::ObjectKey;
use crate::base::PackId;

fn filled() -> (Fixture, Vec<(SnapshotId, Snapshot)>) {
    let fixture = Fixture::new(31);
    fixture.write("text/a.sql", "insert into t values (1);\n".repeat(20_000).as_bytes());
    fixture.write("text/empty", b"");
    fixture.write("opaque/noise", &noise(3, 9 << 20));
    fixture.write("opaque/again", &noise(3, 9 << 20));
    std::os::unix::fs::symlink("a.sql", fixture.place("text/link")).unwrap();
    let first = fixture.backup();
    fixture.write("text/b.sql", "insert into u values (2);\n".repeat(10_000).as_bytes());
    std::fs::remove_file(fixture.place("opaque/again")).unwrap();
    let second = fixture.backup();
    (fixture, vec![first, second])
}

fn borrowed(snapshots: &[(SnapshotId, Snapshot)]) -> Vec<(SnapshotId, &Snapshot)> {
    snapshots.iter().map(|(id, snapshot)| (*id, snapshot)).collect()
}

/// Counts everything the simple way.
fn brute_force(reader: &ChunkReader<'_>, snapshots: &[(SnapshotId, Snapshot)]) -> SetStats {
    let mut stats = SetStats { snapshots: count(snapshots.len()), ..SetStats::default() };
    let mut needed: BTreeMap<ChunkId, usize> = BTreeMap::new();
    for (_, snapshot) in snapshots {
        let mut walk = TreeWalk::new(reader, snapshot.root, b"");
        while let Some(step) = walk.next_step().unwrap() {
            let node = match step {
                Step::Entry(entry) => entry.node,
                Step::Leave { tree_chunks, .. } => {
                    needed.extend(tree_chunks.into_iter().map(|id| (id, METADATA)));
                    continue;
                }
            };
            let NodeKind::File { size_bytes, class, content } = &node.kind else {
                *(if node.is_directory() { &mut stats.directories } else { &mut stats.others }) += 1;
                continue;
            };
            let place = usize::from(*class);
            stats.files += 1;
            stats.content_bytes += size_bytes;
            stats.classes[place].files += 1;
            stats.classes[place].content_bytes += size_bytes;
            let mut list = ListReader::new(reader, content, *size_bytes).unwrap();
            while let Some(chunk) = list.next_chunk().unwrap() {
                needed.entry(chunk.id).or_insert(place);
            }
            needed.extend(list.list_chunks().iter().map(|id| (*id, METADATA)));
        }
    }
    let mut shares = [0.0_f64; CLASS_COUNT + 1];
    let index = reader.repository().index();
    for (id, place) in needed {
        let found = index.locate(&[id]).unwrap().remove(0).unwrap();
        let unique = match place {
            METADATA => &mut stats.metadata,
            place => &mut stats.classes[place].unique,
        };
        unique.chunks += 1;
        unique.raw_bytes += u64::from(found.length_bytes);
        let part = f64::from(found.length_bytes) / f64::from(found.block.raw_bytes);
        shares[place] += part * f64::from(found.block.stored_bytes);
    }
    for (class, share) in stats.classes.iter_mut().zip(shares) {
        class.unique.stored_bytes = share.round() as u64;
    }
    stats.metadata.stored_bytes = shares[METADATA].round() as u64;
    stats
}

#[test]
fn sums_of_any_set_equal_a_count_of_everything() {
    let (fixture, snapshots) = filled();
    let reader = ChunkReader::new(&fixture.repository);
    for set in [&snapshots[..0], &snapshots[..1], &snapshots[1..], &snapshots[..]] {
        assert_eq!(SetStats::of(&reader, &borrowed(set)).unwrap(), brute_force(&reader, set));
    }
    let stats = SetStats::of(&reader, &borrowed(&snapshots)).unwrap();
    assert_eq!(stats.files, 4 + 4);
    assert!(stats.unique().raw_bytes < stats.content_bytes);
    let totals: Vec<_> = snapshots.iter().map(|(_, snapshot)| snapshot.totals).collect();
    assert_eq!(stats.content_bytes, totals.iter().map(|totals| totals.content_bytes).sum::<u64>());
    assert_eq!(stats.files, totals.iter().map(|totals| totals.files).sum::<u64>());
    assert_eq!(stats.others, totals.iter().map(|totals| totals.others).sum::<u64>());
}

#[test]
fn all_snapshots_together_take_all_blocks_of_a_repository_without_waste() {
    let (fixture, snapshots) = filled();
    let reader = ChunkReader::new(&fixture.repository);
    let stats = SetStats::of(&reader, &borrowed(&snapshots)).unwrap();
    let index = fixture.repository.index();
    let packs = index.packs().unwrap();
    let blocks = packs.iter().flat_map(|pack| index.pack_blocks(&pack.id).unwrap());
    let stored: u64 = blocks.map(|block| u64::from(block.location.stored_bytes)).sum();
    assert!(stats.stored_bytes().abs_diff(stored) <= 5, "{} of {stored}", stats.stored_bytes());
    let all = RepositoryStats::of(&fixture.repository).unwrap();
    assert_eq!(all.raw_bytes, stats.unique().raw_bytes + stats.metadata.raw_bytes);
    assert_eq!(all.chunks, stats.unique().chunks + stats.metadata.chunks);
}

#[test]
fn a_snapshot_counted_twice_needs_nothing_more() {
    let (fixture, snapshots) = filled();
    let reader = ChunkReader::new(&fixture.repository);
    let once = SetStats::of(&reader, &borrowed(&snapshots[..1])).unwrap();
    let twice = [&borrowed(&snapshots[..1])[..], &borrowed(&snapshots[..1])].concat();
    let twice = SetStats::of(&reader, &twice).unwrap();
    assert_eq!((twice.unique(), twice.metadata), (once.unique(), once.metadata));
    assert_eq!((twice.files, twice.content_bytes), (once.files * 2, once.content_bytes * 2));
}

#[test]
fn the_repository_counts_what_its_store_holds() {
    let (fixture, snapshots) = filled();
    let repository = &fixture.repository;
    let stats = RepositoryStats::of(repository).unwrap();
    let size = |kind| -> (u64, u64) {
        let objects = repository.backend().list(kind).unwrap();
        (count(objects.len()), objects.iter().map(|object| object.size_bytes).sum())
    };
    assert_eq!(stats.snapshots, count(snapshots.len()));
    assert_eq!((stats.packs, stats.stored_bytes), size(ObjectKind::Pack));
    assert_eq!((stats.index_objects, stats.index_bytes), size(ObjectKind::Index));
    assert_eq!((stats.pending_packs, stats.pending_bytes), (0, 0));
    assert!(stats.tree_stored_bytes > 0 && stats.tree_stored_bytes < stats.stored_bytes);
    assert!(stats.ratio().unwrap() > 1.0);
    let pending: BTreeSet<PackId> = repository.index().packs().unwrap()[..1].iter().map(|p| p.id).collect();
    repository.index().set_pending(&pending).unwrap();
    let stats = RepositoryStats::of(repository).unwrap();
    let key = ObjectKey::pack(pending.first().unwrap());
    let size_bytes = repository.backend().stat(&key).unwrap().size_bytes;
    assert_eq!((stats.pending_packs, stats.pending_bytes), (1, size_bytes));
    assert_eq!(ratio(5, 0), None);
}
