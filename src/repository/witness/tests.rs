use super::*;
use crate::base::SystemEntropy;

fn seen(writes: u64, present: &[u8], dropped: &[u8]) -> Seen {
    let stored = |ids: &[u8]| ids.iter().map(|id| (SnapshotId([*id; 32]), i64::from(*id))).collect();
    Seen {
        repository: RepositoryId([7; 16]),
        config: ConfigIdentity { number: 1, digest: [8; 32] },
        lease: LeaseTrace { writes, is_held: false },
        present: stored(present),
        dropped: stored(dropped),
    }
}

#[test]
fn what_is_written_reads_back_and_anything_else_is_damaged() {
    let text = file::encode("/srv/back\nup", &seen(12, &[1, 2, 3], &[4]));
    assert_eq!(file::decode(&text), Some(seen(12, &[1, 2, 3], &[4])));
    for end in 0..text.len() {
        assert_eq!(file::decode(&text[..end]), None, "{end}");
        let mut flipped = text.clone().into_bytes();
        flipped[end] ^= 1;
        let decoded = String::from_utf8(flipped).ok().and_then(|text| file::decode(&text));
        assert_eq!(decoded, None, "byte {end}");
    }
}

#[test]
fn the_file_is_bounded_and_keeps_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let witness = Witness::new(folder.path(), "somewhere");
    let mut many = seen(1, &[], &[]);
    for number in 0..3_000_u32 {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        many.present.insert(SnapshotId(id), i64::from(number));
        id[4] = 1;
        many.dropped.insert(SnapshotId(id), i64::MAX - i64::from(number));
    }
    witness.keep(many, &SystemEntropy).unwrap();
    let known = witness.known().unwrap().unwrap();
    assert_eq!((known.present.len(), known.dropped.len()), (PRESENT_COUNT_MAX, DROPPED_COUNT_MAX));
    assert_eq!(known.present.values().min(), Some(&(3_000 - PRESENT_COUNT_MAX as i64)));
    assert!(std::fs::metadata(&witness.path).unwrap().len() < 100_000);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_another_process_kept_meanwhile_is_lost_only_to_what_is_newer() {
    let merged = |there, now| compare::merged(Some(&there), now);
    // Both saw the same lease: each may know a snapshot that the other came too early for.
    assert_eq!(merged(seen(4, &[1, 2], &[]), seen(4, &[2, 3], &[])), seen(4, &[1, 2, 3], &[]));
    // An older look changes nothing.
    assert_eq!(merged(seen(5, &[1], &[2]), seen(4, &[1, 2], &[])), seen(5, &[1], &[2]));
    // A newer look takes its place; what was dropped stays dropped.
    assert_eq!(merged(seen(4, &[1, 2], &[9]), seen(5, &[1, 3], &[2])), seen(5, &[1, 3], &[2, 9]));
    // What is new elsewhere is not taken for dropped.
    assert_eq!(merged(seen(4, &[1, 6], &[]), seen(5, &[1], &[])), seen(5, &[1], &[]));
}

#[test]
fn every_location_has_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Witness::new(folder.path(), "a"), Witness::new(folder.path(), "b"));
    one.keep(seen(1, &[1], &[]), &SystemEntropy).unwrap();
    assert_eq!(other.known().unwrap(), None);
    assert_eq!(one.known().unwrap(), Some(seen(1, &[1], &[])));
    std::fs::write(&one.path, "something else").unwrap();
    assert!(matches!(one.known(), Err(WitnessError::Damaged { .. })));
    one.keep(seen(2, &[1], &[]), &SystemEntropy).unwrap();
    assert_eq!(one.known().unwrap(), Some(seen(2, &[1], &[])));
}
