use std::collections::{BTreeMap, BTreeSet};

use super::super::fixture::{Fixture, noise};
use super::super::walk::{Step, TreeWalk};
use super::*;
use crate::backend::ObjectKey;
use crate::base::{ChunkId, PackId};
use crate::codec::{Base, BaseUse, Coding, PartCoder, encode};
use crate::format::Kind;
use crate::format::node::NodeKind;
use crate::format::pack::{BaseName, DirectoryBlock, DirectoryChunk};
use crate::format::sealed::associated_data;
use crate::pack::SealedBlock;
use crate::repository::{ChunkWriter, ListReader};

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
    // Shares of chunks without and with bases.
    let mut shares = [[0.0_f64; 2]; CLASS_COUNT + 1];
    let index = reader.repository().index();
    for (id, place) in needed {
        let found = index.locate(&[id]).unwrap().remove(0).unwrap();
        let unique = match place {
            METADATA => &mut stats.metadata,
            place => &mut stats.classes[place].unique,
        };
        let is_based = found.block.depth > 0;
        unique.chunks += 1;
        unique.raw_bytes += u64::from(found.length_bytes);
        let part = if is_based { &mut unique.based } else { &mut unique.plain };
        part.chunks += 1;
        part.raw_bytes += u64::from(found.length_bytes);
        let share = f64::from(found.length_bytes) / f64::from(found.block.raw_bytes);
        shares[place][usize::from(is_based)] += share * f64::from(found.block.stored_bytes);
    }
    let uniques = stats.classes.iter_mut().map(|class| &mut class.unique).chain([&mut stats.metadata]);
    for (unique, [plain, based]) in uniques.zip(shares) {
        unique.stored_bytes = (plain + based).round() as u64;
        unique.plain.stored_bytes = plain.round() as u64;
        unique.based.stored_bytes = based.round() as u64;
    }
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

/// Stores `new` as one chunk in a block whose base is the chunk `old`.
fn store_with_base(fixture: &Fixture, old: &[u8], new: &[u8]) {
    let keys = fixture.repository.keys();
    let coding = Coding::Whole(PartCoder::Zstd { level: 3 });
    let base = Base { use_: BaseUse::Prefix, bytes: old, skip: 0 };
    let coded = encode(new, coding, base).unwrap();
    let stored = keys.seal(&associated_data(Kind::Block, &keys.repository()), &coded);
    let chunk = DirectoryChunk { id: keys.data_id(new), length_bytes: u32::try_from(new.len()).unwrap() };
    let entry = DirectoryBlock {
        stored_bytes: u32::try_from(stored.len()).unwrap(),
        depth: 1,
        bases: vec![BaseName::of(&keys.data_id(old))],
        chunks: vec![chunk],
    };
    let mut writer = ChunkWriter::new(fixture.repository.clone(), false).unwrap();
    assert!(
        writer
            .move_block(Content::Data, SealedBlock { stored: stored.into(), entry, fell_back: false })
            .unwrap()
    );
    writer.finish().unwrap();
}

/// Three days of twelve small tables, of which a third changes a day, beside a file that stays. What changes
/// is stored with a base.
fn three_days() -> (Fixture, Vec<(SnapshotId, Snapshot)>) {
    let fixture = Fixture::new(32);
    fixture.write("models/still", &noise(4, 3 << 20));
    let table = |number: u64, day: u64| -> Vec<u8> {
        let row = |row: u64| {
            let version = if row == 7 && number % 3 < day { 1 } else { 0 };
            let bytes = noise(number << 16 | row << 8 | version, 12);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{row}\t{hex}\n")
        };
        (0..100).map(row).collect::<String>().into_bytes()
    };
    let mut snapshots = Vec::new();
    for day in 0..3 {
        for number in 0..12 {
            let content = table(number, day);
            let before = table(number, day.saturating_sub(1));
            if before != content {
                store_with_base(&fixture, &before, &content);
            }
            fixture.write(&format!("dumps/{number}.sql"), &content);
        }
        snapshots.push(fixture.backup());
    }
    (fixture, snapshots)
}

/// Returns the stored bytes of all blocks.
fn stored_blocks(fixture: &Fixture) -> u64 {
    let index = fixture.repository.index();
    let packs = index.packs().unwrap();
    let blocks = packs.iter().flat_map(|pack| index.pack_blocks(&pack.id).unwrap());
    blocks.map(|block| u64::from(block.location.stored_bytes)).sum()
}

#[test]
fn blocks_with_bases_are_told_from_those_without() {
    let (fixture, snapshots) = three_days();
    let reader = ChunkReader::new(&fixture.repository);
    let first = SetStats::of(&reader, &borrowed(&snapshots[..1])).unwrap().unique();
    assert_eq!((first.based, first.plain.raw_bytes), (PartStats::default(), first.raw_bytes));
    let all = SetStats::of(&reader, &borrowed(&snapshots)).unwrap();
    let unique = all.unique();
    assert!(unique.based.chunks > 0 && unique.based.stored_bytes * 4 < unique.based.raw_bytes, "{unique:?}");
    let sum = unique.plain.plus(&unique.based);
    assert_eq!((sum.chunks, sum.raw_bytes), (unique.chunks, unique.raw_bytes));
    assert!(sum.stored_bytes.abs_diff(unique.stored_bytes) <= 2 * count(CLASS_COUNT), "{unique:?}");
    assert!(all.stored_bytes().abs_diff(stored_blocks(&fixture)) <= 5);
}

#[test]
fn paths_add_up_to_the_set() {
    let (fixture, snapshots) = three_days();
    let reader = ChunkReader::new(&fixture.repository);
    let set = SetStats::of(&reader, &borrowed(&snapshots)).unwrap();
    let levels = u32::try_from(fixture.path("dumps").iter().filter(|byte| **byte == b'/').count()).unwrap();
    for depth in 1..=levels + 2 {
        let paths = PathStats::of(&reader, &borrowed(&snapshots), depth).unwrap();
        let sum = |value: fn(&PathStats) -> u64| paths.iter().map(value).sum::<u64>();
        assert_eq!(sum(|path| path.files), set.files);
        assert_eq!(sum(|path| path.content_bytes), set.content_bytes);
        assert_eq!(sum(|path| path.unique.raw_bytes), set.unique().raw_bytes);
        assert_eq!(sum(|path| path.metadata.raw_bytes), set.metadata.raw_bytes);
        let stored = sum(|path| path.unique.stored_bytes + path.metadata.stored_bytes);
        assert!(stored.abs_diff(set.stored_bytes()) <= 10, "{stored} of {}", set.stored_bytes());
        assert!(paths.is_sorted_by(|one, next| one.path < next.path));
    }
    let paths = PathStats::of(&reader, &borrowed(&snapshots), levels).unwrap();
    let found: Vec<&[u8]> = paths.iter().map(|path| path.path.as_slice()).collect();
    assert_eq!(found, [b"/".as_slice(), &fixture.path("dumps"), &fixture.path("models")]);
    assert_eq!((paths[2].files, paths[2].content_bytes), (3, 9 << 20));
    assert_eq!(paths[2].unique.raw_bytes, 3 << 20);
}

#[test]
fn a_series_adds_up_to_what_is_stored() {
    let (fixture, snapshots) = three_days();
    let reader = ChunkReader::new(&fixture.repository);
    let shuffled = [snapshots[2].clone(), snapshots[0].clone(), snapshots[1].clone()];
    let rows = SeriesRow::series(&reader, &borrowed(&shuffled), b"/").unwrap();
    let ids: Vec<SnapshotId> = rows.iter().map(|row| row.snapshot).collect();
    assert_eq!(ids, [snapshots[0].0, snapshots[1].0, snapshots[2].0]);
    let stored: u64 = rows.iter().map(SeriesRow::stored_bytes).sum();
    assert!(stored.abs_diff(stored_blocks(&fixture)) <= 10, "{stored} of {}", stored_blocks(&fixture));
    for (row, (_, snapshot)) in rows.iter().zip(&snapshots) {
        assert_eq!((row.files, row.content_bytes), (snapshot.totals.files, snapshot.totals.content_bytes));
    }
    let dumps = SeriesRow::series(&reader, &borrowed(&snapshots), &fixture.path("dumps")).unwrap();
    let still = SeriesRow::series(&reader, &borrowed(&snapshots), &fixture.path("models")).unwrap();
    for day in 0..3 {
        let both = dumps[day].added.plus(&still[day].added);
        assert_eq!((both.chunks, both.raw_bytes), (rows[day].added.chunks, rows[day].added.raw_bytes));
        assert!(day == 0 || still[day].stored_bytes() == 0 && dumps[day].added.based.raw_bytes > 0);
    }
    let nowhere = SeriesRow::series(&reader, &borrowed(&snapshots), b"/nowhere/at/all");
    assert!(matches!(nowhere, Err(QueryError::NotFound { .. })));
    assert_eq!(SeriesRow::series(&reader, &[], b"/nowhere/at/all").unwrap(), []);
}
