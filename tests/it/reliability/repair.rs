//! Repairs say first what they will do, do that, and cost nothing that could be read before, also when they
//! are broken off at any change.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use snap::backend::faulty::{FaultEffect, FaultPlan, FaultyBackend};
use snap::backend::{Backend, ObjectKey, ObjectKind};
use snap::base::{PackId, SnapshotId};
use snap::maintain::forget::forget;
use snap::maintain::repair::{
    RepairIndexOptions, RepairPacksOptions, RepairSnapshotsOptions, RepairSnapshotsReport, repair_index,
    repair_packs, repair_snapshots,
};
use snap::repository::Repository;

use super::crash::{at_every_change, plain};
use super::damage::{each, versions};
use super::fault::{calls_of, faults_of};
use super::world::{Files, Outcome, World, told};

/// Bound: changes that one repair of these makes at most.
const CHANGES_MAX: u64 = 100;

/// Bound: rounds of check and repair that chains of bases need.
pub(super) const ROUNDS_MAX: usize = 4;

pub(super) type Readable = BTreeMap<SnapshotId, Files>;

/// What of each snapshot restores, every file of it as it was.
pub(super) fn readable(world: &World, repository: &Arc<Repository>, context: &str) -> Readable {
    let mut found = Readable::new();
    for id in repository.snapshot_ids().unwrap() {
        let Ok((files, _)) = world.restore_some(repository, &id) else { continue };
        if let Some(expected) = world.model.get(&id) {
            let is_right = files.iter().all(|(name, content)| expected.get(name) == Some(content));
            assert!(is_right, "{context}: a file restores to something else");
        }
        found.insert(id, files);
    }
    found
}

/// Fails when something of `before` cannot be read any more.
pub(super) fn require_no_worse(before: &Readable, after: &Readable, context: &str) {
    for (id, files) in before {
        let left = after.get(id).unwrap_or_else(|| panic!("{context}: snapshot {} is gone", id.short()));
        let lost: Vec<_> = files.keys().filter(|name| !left.contains_key(*name)).collect();
        assert!(lost.is_empty(), "{context}: {lost:?} of {} are gone", id.short());
    }
}

/// Runs `work` with `true` for a dry run, which changes nothing, and then in earnest; both give the same.
fn first_dry<T: PartialEq + std::fmt::Debug>(world: &World, context: &str, work: impl Fn(bool) -> T) -> T {
    let before = world.store.objects();
    let dry = work(true);
    assert!(world.store.objects() == before, "{context}: a dry run changed something");
    let real = work(false);
    assert_eq!(dry, real, "{context}: something else was done than said");
    real
}

fn index_options(dry_run: bool) -> RepairIndexOptions {
    RepairIndexOptions { dry_run, lock_wait: Duration::ZERO }
}

fn snapshot_options(dry_run: bool, forget: bool) -> RepairSnapshotsOptions {
    RepairSnapshotsOptions { snapshots: Vec::new(), forget, dry_run, lock_wait: Duration::ZERO }
}

fn pack_options(dry_run: bool, packs: Vec<PackId>, aside: &Path) -> RepairPacksOptions {
    RepairPacksOptions { packs, aside: aside.to_path_buf(), dry_run, lock_wait: Duration::ZERO }
}

/// Repairs index and packs; what is damaged is kept aside.
pub(super) fn repair_packs_of(world: &World, repository: &Arc<Repository>, key: &ObjectKey, context: &str) {
    let aside = tempfile::tempdir().unwrap();
    let stored = world.store.get(key, u64::MAX).ok();
    first_dry(world, context, |dry_run| {
        let report = repair_index(repository, &index_options(dry_run)).unwrap();
        (report.packs, report.unreadable, report.missing, report.damaged_indexes)
    });
    let repaired = first_dry(world, context, |dry_run| {
        let before = std::fs::read_dir(aside.path()).unwrap().count();
        let report = repair_packs(repository, &pack_options(dry_run, Vec::new(), aside.path())).unwrap();
        assert!(!dry_run || std::fs::read_dir(aside.path()).unwrap().count() == before, "{context}");
        report.repaired
    });
    for pack in &repaired {
        assert_eq!(pack.chunks.max(pack.moved + pack.elsewhere + pack.lost), pack.chunks, "{context}");
        assert!(world.store.get(&ObjectKey::pack(&pack.id), u64::MAX).is_err(), "{context}: still there");
        let kept = std::fs::read(aside.path().join(format!("{}.pack", pack.id))).ok();
        let stored = stored.as_ref().filter(|bytes| ObjectKey::pack(&pack.id) == *key && !bytes.is_empty());
        if let Some(stored) = stored {
            assert_eq!(kept.as_deref(), Some(&stored[..]), "{context}: not kept aside");
        }
    }
}

/// Makes snapshots of what is left, and drops those that lost something.
pub(super) fn repair_snapshots_of(
    world: &World,
    repository: &Arc<Repository>,
    context: &str,
) -> RepairSnapshotsReport {
    let dropped = |report: &RepairSnapshotsReport| {
        let of = |one: &snap::maintain::repair::RepairedSnapshot| (one.id, one.is_lost, one.dropped.clone());
        report.repaired.iter().map(of).collect::<Vec<_>>()
    };
    let before = readable(world, repository, context);
    first_dry(world, context, |dry_run| {
        dropped(&repair_snapshots(repository, &snapshot_options(dry_run, false)).unwrap())
    });
    let after = readable(world, repository, context);
    require_no_worse(&before, &after, context);
    let again = repair_snapshots(repository, &snapshot_options(false, true)).unwrap();
    for one in &again.repaired {
        assert!(one.is_lost || one.was_repaired && one.is_forgotten, "{context}: {one:?}");
        let Some(repaired) = one.repaired else { continue };
        let found = world.restore(repository, &repaired).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(Some(&found), before.get(&one.id), "{context}: not all that is left");
    }
    again
}

fn sweep(kind: ObjectKind, seed: u64) {
    let (whole, files) = versions(seed);
    let (mut lossy, mut rounds) = (0, 0);
    each(kind, seed, &whole, 16, |world, key, _, context| {
        let index = tempfile::tempdir().unwrap();
        let repository = world.open(Some(index.path()));
        world.check(&repository);
        let before = readable(world, &repository, context);
        repair_packs_of(world, &repository, key, context);
        require_no_worse(&before, &readable(world, &repository, context), context);
        require_no_worse(&before, &readable(world, &world.open(None), context), context);
        let report = repair_snapshots_of(world, &repository, context);
        lossy += u64::from(!report.repaired.is_empty());
        if kind == ObjectKind::Index {
            assert!(report.repaired.is_empty(), "{context}: {report:?}");
        }
        let lost: Vec<SnapshotId> =
            report.repaired.iter().filter(|one| one.is_lost).map(|one| one.id).collect();
        forget(&repository, &lost, false).unwrap();
        // What leaned on what is lost is found now, and goes the same way.
        for _ in 0..ROUNDS_MAX {
            if !world.check(&repository).is_damaged() {
                break;
            }
            rounds += 1;
            repair_packs_of(world, &repository, key, context);
        }
        world.require_sound(&repository, context);
        world.require_backup(&repository, &files, context);
        world.require_sound(&world.open(None), context);
    });
    println!("{kind:?}: {lossy} cost files, {rounds} more rounds");
}

#[test]
fn repairs_of_a_damaged_pack_cost_nothing_and_a_backup_heals_it() {
    sweep(ObjectKind::Pack, 61);
}

#[test]
fn repairs_of_a_damaged_index_object_bring_everything_back() {
    sweep(ObjectKind::Index, 62);
}

/// Versions of which the largest pack has a flipped bit in its middle, and that pack.
fn with_a_damaged_pack(seed: u64) -> (World, PackId) {
    let (world, _) = versions(seed);
    let packs = world.store.list(ObjectKind::Pack).unwrap();
    let largest = packs.iter().max_by_key(|info| info.size_bytes).unwrap();
    let mut bytes = world.store.get(&largest.key, u64::MAX).unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    world.store.overwrite(&largest.key, bytes.into());
    (world, PackId(largest.key.id_bytes().unwrap()))
}

/// Breaks a repair off at every change it makes.
fn crash(name: &str, world: &World, run: &dyn Fn(&Arc<Repository>) -> Outcome, ended: &dyn Fn(&World, &str)) {
    let before = readable(world, &world.open(None), name);
    let broken = |world: &World, index: &Path, context: &str| {
        let same = world.open(Some(index));
        require_no_worse(&before, &readable(world, &same, context), context);
        require_no_worse(&before, &readable(world, &world.open(None), context), context);
        world.wait(1_000);
        assert_eq!(run(&same), Ok(()), "{context}, again");
        require_no_worse(&before, &readable(world, &same, context), context);
        require_no_worse(&before, &readable(world, &world.open(None), context), context);
        ended(world, context);
    };
    let run = |_: &World, repository: &Arc<Repository>| run(repository);
    let changes = at_every_change(name, world, CHANGES_MAX, &plain, &run, &broken, ended);
    assert!(changes > 3, "{changes} changes");
}

/// Lets any one call of a repair fail, or the store lie about it.
fn fault(name: &str, world: &World, run: &dyn Fn(&Arc<Repository>) -> Outcome, ended: &dyn Fn(&World, &str)) {
    let before = readable(world, &world.open(None), name);
    let trial = world.at(world.store.state());
    let calls = calls_of(Arc::new(trial.store.clone()), |backend| {
        run(&trial.open_through(backend, None).unwrap()).unwrap();
    });
    let (mut injected, mut survived) = (0, 0);
    // Who loses a put that was acknowledged loses what it held, which lies aside.
    for fault in faults_of(&calls).into_iter().filter(|fault| fault.effect != FaultEffect::LostPut) {
        let context = format!("seed {}: {name} with {fault:?}", world.seed);
        let (world, effect) = (world.at(world.store.state()), fault.effect);
        let plan = FaultPlan { seed: world.seed, faults: vec![fault] };
        let faulty = FaultyBackend::new(Arc::new(world.store.clone()), plan).passing_time(world.hand());
        let opened = world.open_through(Arc::new(faulty), None).map_err(|error| error.to_string());
        let outcome = opened.and_then(|repository| run(&repository));
        (injected, survived) = (injected + 1, survived + u64::from(outcome.is_ok()));
        require_no_worse(&before, &readable(&world, &world.open(None), &context), &context);
        // A listing may say that there is nothing to do, or leave an index object out.
        let is_told = !matches!(effect, FaultEffect::IncompleteList | FaultEffect::OldData);
        if outcome.is_ok() && is_told {
            ended(&world, &context);
        }
        world.wait(1_000);
        assert_eq!(run(&world.open(None)), Ok(()), "{context}, again");
        if !is_told {
            repair_index(&world.open(None), &index_options(false)).unwrap();
        }
        require_no_worse(&before, &readable(&world, &world.open(None), &context), &context);
        ended(&world, &context);
    }
    println!("seed {}: {name}: {injected} faults, {survived} of them survived", world.seed);
    assert!(injected > 50 && survived > 0 && survived < injected, "{injected} faults, {survived} survived");
}

fn repair_one(repository: &Arc<Repository>, id: PackId, aside: &Path) -> Outcome {
    after_the_index(repository, &|| {
        told(repair_packs(repository, &pack_options(false, vec![id], aside))).map(drop)
    })
}

/// Fails unless a damaged pack is gone, and a check does not name it.
fn require_gone(world: &World, id: &PackId, context: &str) {
    assert!(world.store.get(&ObjectKey::pack(id), u64::MAX).is_err(), "{context}: still there");
    let report = world.check(&world.open(None));
    let path = ObjectKey::pack(id);
    let is_named = report.findings.iter().any(|finding| finding.object == path.path());
    assert!(!is_named, "{context}: {:?}", report.findings);
}

#[test]
fn a_repair_of_packs_may_end_at_any_change() {
    let (world, id) = with_a_damaged_pack(63);
    let aside = tempfile::tempdir().unwrap();
    let run = |repository: &Arc<Repository>| repair_one(repository, id, aside.path());
    crash("repair packs", &world, &run, &|world, context| require_gone(world, &id, context));
    assert!(aside.path().join(format!("{id}.pack")).exists());
}

#[test]
fn any_call_of_a_repair_of_packs_may_fail_or_lie() {
    let (world, id) = with_a_damaged_pack(65);
    let aside = tempfile::tempdir().unwrap();
    let run = |repository: &Arc<Repository>| repair_one(repository, id, aside.path());
    fault("repair packs", &world, &run, &|world, context| require_gone(world, &id, context));
}

/// Versions of which files are lost for good, and how many snapshots have some of those.
fn with_lost_files(seed: u64) -> (World, usize) {
    let (world, id) = with_a_damaged_pack(seed);
    let aside = tempfile::tempdir().unwrap();
    repair_packs(&world.open(None), &pack_options(false, vec![id], aside.path())).unwrap();
    let lossy = world.check(&world.open(None)).losses.snapshots.len();
    assert!(lossy > 0, "nothing is lost");
    (world, lossy)
}

fn repair_lossy(repository: &Arc<Repository>) -> Outcome {
    let work = || {
        let report = told(repair_snapshots(repository, &snapshot_options(false, false)))?;
        // What cannot be read is left alone, and the report says so.
        match report.unreadable.is_empty() && !report.repaired.iter().any(|made| made.is_lost) {
            true => Ok(()),
            false => Err(format!("{report:?}")),
        }
    };
    after_the_index(repository, &work)
}

/// A pack that arrived and was not named yet may hold anything: the way on is told, and leads on.
fn after_the_index(repository: &Arc<Repository>, work: &dyn Fn() -> Outcome) -> Outcome {
    match work() {
        Err(error) if error.contains("run `snap repair index` first") => {
            told(repair_index(repository, &index_options(false)))?;
            work()
        }
        outcome => outcome,
    }
}

/// Fails unless each of `lossy` snapshots has one beside it that restores.
fn require_made(world: &World, before: usize, lossy: usize, context: &str) {
    let repository = world.open(None);
    let made = world.count(ObjectKind::Snapshot) - before as u64;
    assert_eq!(made, lossy as u64, "{context}: made twice, or not");
    for id in repository.snapshot_ids().unwrap() {
        if !world.model.contains_key(&id) {
            world.restore(&repository, &id).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
    }
}

#[test]
fn a_repair_of_snapshots_may_end_at_any_change() {
    let (world, lossy) = with_lost_files(64);
    let count = world.count(ObjectKind::Snapshot) as usize;
    crash("repair snapshots", &world, &repair_lossy, &|world, context| {
        require_made(world, count, lossy, context);
    });
}

#[test]
fn any_call_of_a_repair_of_snapshots_may_fail_or_lie() {
    let (world, lossy) = with_lost_files(66);
    let count = world.count(ObjectKind::Snapshot) as usize;
    fault("repair snapshots", &world, &repair_lossy, &|world, context| {
        require_made(world, count, lossy, context);
    });
}
