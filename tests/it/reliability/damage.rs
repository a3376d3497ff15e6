//! One stored object is damaged: it is named, what it costs is known, and the rest restores.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use snap::backend::{Backend, ObjectKey, ObjectKind};
use snap::base::PackId;
use snap::maintain::repair::{RepairPacksOptions, repair_packs};
use snap::repository::Repository;

use super::world::{Dice, Files, World};

pub(crate) const DAMAGES: [&str; 8] = [
    "deleted",
    "cut",
    "flipped",
    "swapped with its kind",
    "swapped with another kind",
    "empty",
    "garbage",
    "grown",
];

/// Three versions that lean on each other.
pub(super) fn versions(seed: u64) -> (World, Files) {
    let (mut world, dice) = (World::new(seed), Dice::new(seed));
    let mut files = dice.files();
    for _ in 0..3 {
        dice.change(&mut files);
        world.backup(&files);
    }
    (world, files)
}

/// Returns what stands for `key` once it is damaged, `None` for nothing; the outer `None` says that there is
/// no such damage.
pub(crate) fn damaged(
    objects: &[(ObjectKey, Bytes)],
    key: &ObjectKey,
    how: &str,
    dice: &Dice,
) -> Option<Option<Bytes>> {
    let stored = &objects.iter().find(|(other, _)| other == key).unwrap().1;
    let other = |is_same_kind: bool| {
        let fits =
            |other: &&(ObjectKey, Bytes)| other.0 != *key && (other.0.kind() == key.kind()) == is_same_kind;
        objects.iter().find(fits).map(|(_, data)| data.clone())
    };
    let middle = stored.len() / 2;
    Some(match how {
        "deleted" => None,
        "cut" => Some(stored.slice(..middle)),
        "flipped" => {
            let mut bytes = stored.to_vec();
            bytes[dice.below(stored.len() as u64) as usize] ^= 16;
            Some(bytes.into())
        }
        "swapped with its kind" => Some(other(true)?),
        "swapped with another kind" => other(false),
        "empty" => Some(Bytes::new()),
        "garbage" => Some(dice.bytes(stored.len()).into()),
        "grown" => Some([&stored[..], b"more"].concat().into()),
        _ => unreachable!("{how}"),
    })
}

/// Damages `key`; returns whether there is such a damage.
pub(super) fn damage(world: &World, key: &ObjectKey, how: &str, dice: &Dice) -> bool {
    match damaged(&world.store.objects(), key, how, dice) {
        None => return false,
        Some(None) => world.store.delete(key).unwrap(),
        Some(Some(bytes)) => world.store.overwrite(key, bytes),
    }
    true
}

fn repair_pack(repository: &Arc<Repository>, key: &ObjectKey) {
    let aside = tempfile::tempdir().unwrap();
    let options = RepairPacksOptions {
        packs: vec![PackId(key.id_bytes().unwrap())],
        aside: aside.path().to_path_buf(),
        dry_run: false,
        lock_wait: Duration::ZERO,
    };
    repair_packs(repository, &options).unwrap();
}

/// Damages each object of `kind` in each way and calls `judge` with the world that this makes, the object,
/// the way, and words for both.
pub(super) fn each(
    kind: ObjectKind,
    seed: u64,
    whole: &World,
    damages_min: u64,
    mut judge: impl FnMut(&World, &ObjectKey, &str, &str),
) {
    println!("seed {seed}");
    let (start, dice) = (whole.store.state(), Dice::new(seed + 1));
    let mut damages = 0;
    for info in whole.store.list(kind).unwrap() {
        for how in DAMAGES {
            let world = whole.at(start.clone());
            if damage(&world, &info.key, how, &dice) {
                damages += 1;
                judge(&world, &info.key, how, &format!("seed {seed}: {} {how}", info.key));
            }
        }
    }
    println!("{kind:?}: {damages} damages");
    assert!(damages >= damages_min);
}

/// What is damaged in kind `kind` is named, and costs what a check says.
fn matrix(kind: ObjectKind, seed: u64) {
    let (whole, files) = versions(seed);
    let (mut lossy, mut healed, mut repaired) = (0, 0, 0);
    each(kind, seed, &whole, 16, |world, key, how, context| {
        let index = tempfile::tempdir().unwrap();
        let repository = world.open(Some(index.path()));
        let report = world.check(&repository);
        // A snapshot that is gone leaves no trace in the repository: only a host that knew it can tell.
        let is_forgotten = kind == ObjectKind::Snapshot && how == "deleted";
        let is_named = report.findings.iter().any(|finding| finding.object == key.path());
        // An index object that is gone leaves packs that nobody names.
        let is_unnamed_index = kind == ObjectKind::Index && how == "deleted";
        assert!(is_named || is_forgotten || is_unnamed_index, "{context}: {:?}", report.findings);
        assert!(report.is_damaged() || is_forgotten, "{context}: {:?}", report.findings);
        let listed: BTreeSet<_> = repository.snapshot_ids().unwrap().into_iter().collect();
        let mut lost = 0;
        for (id, expected) in world.model.iter().filter(|(id, _)| listed.contains(id)) {
            let Ok((found, stats)) = world.restore_some(&repository, id) else {
                lost += 1;
                continue;
            };
            let is_equal = found.iter().all(|(name, content)| expected.get(name) == Some(content));
            assert!(is_equal, "{context}: a file restores to something else");
            let missing = expected.len() - found.len();
            assert!(
                missing == 0 || (stats.failed_count > 0 && stats.damaged),
                "{context}: {missing} files lost silently"
            );
            lost += missing;
        }
        assert_eq!(
            lost > 0,
            report.losses.count() > 0 || lost > 0 && kind == ObjectKind::Snapshot,
            "{context}"
        );
        lossy += u64::from(lost > 0);
        // The host that checked knows what is bad: it stores again what its source still has.
        world.wait(60);
        world.write_source(&files);
        let id = world.backup_in(&repository, "host").unwrap_or_else(|error| panic!("{context}: {error}"));
        if world.restore(&repository, &id).as_ref() == Ok(&files) {
            healed += 1;
            return;
        }
        // Bits that turned inside a pack: it has to be taken out first.
        repair_pack(&repository, key);
        world.require_backup(&repository, &files, context);
        repaired += 1;
    });
    println!("{kind:?}: {lossy} cost files, {healed} healed, {repaired} after repair");
}

#[test]
fn a_damaged_pack_is_named_and_costs_its_files_and_a_backup_heals_it() {
    matrix(ObjectKind::Pack, 41);
}

#[test]
fn a_damaged_index_object_is_named_and_a_backup_heals_it() {
    matrix(ObjectKind::Index, 42);
}

#[test]
fn a_damaged_snapshot_is_named_and_costs_only_itself() {
    matrix(ObjectKind::Snapshot, 43);
}
