//! Damage to what holds no content: config, key files, plans and leases.

use std::sync::Arc;
use std::time::Duration;

use snap::backend::{Backend, ObjectKey, ObjectKind};
use snap::base::KeyFileId;
use snap::maintain::check::CheckReport;
use snap::maintain::prune::prune;
use snap::maintain::repair::{RepairIndexOptions, repair_index};
use snap::repository::{Environment, Error, InitOptions, LeaseGuard, OpenSecret, Repository};

use super::damage::{DAMAGES, damage, each, versions};
use super::world::{Dice, Files, World, environment, prune_options, secret};

const INDEX: RepairIndexOptions = RepairIndexOptions { dry_run: false, lock_wait: Duration::ZERO };

fn names(report: &CheckReport, key: &ObjectKey) -> bool {
    report.findings.iter().any(|finding| finding.object == key.path())
}

/// The repository as another host opens it, with the secret number `number`.
fn opening(world: &World, number: u8) -> Result<Repository, Error> {
    let environment = opened_by(world);
    Repository::open(environment, &OpenSecret::KeyFile(secret(number)))
}

fn opened_by(world: &World) -> Environment {
    environment(Arc::new(world.store.clone()), world.clock.clone(), 5, None)
}

#[test]
fn a_damaged_config_is_named_and_refused_and_no_init_takes_its_place() {
    let (whole, _) = versions(51);
    let config = ObjectKey::config(1);
    let stored = whole.store.get(&config, 1 << 20).unwrap();
    each(ObjectKind::Config, 51, &whole, 7, |world, key, how, context| {
        let Err(error) = opening(world, 9) else { panic!("{context}: opened") };
        assert!(error.is_damage() && error.to_string().starts_with("config/"), "{context}: {error}");
        let options = InitOptions { secret: secret(8), label: String::new() };
        let init = Repository::init(opened_by(world), &options);
        match how {
            "deleted" => assert!(init.is_err_and(|error| error.is_damage()), "{context}"),
            _ => assert!(matches!(init, Err(Error::Exists { .. })), "{context}"),
        }
        assert_eq!(world.count(ObjectKind::Key), whole.count(ObjectKind::Key), "{context}");
        // A copy of the object put back is the whole repair.
        world.store.overwrite(key, stored.clone());
        world.require_whole(&world.open(None), None, &Default::default(), context);
    });
    // A host that has it open names it.
    for how in DAMAGES {
        let world = whole.at(whole.store.state());
        let repository = world.open(None);
        if damage(&world, &config, how, &Dice::new(3)) {
            let report = world.check(&repository);
            let is_gone = report.findings.iter().any(|finding| finding.object == "config/");
            assert!(report.is_damaged() && (names(&report, &config) || is_gone), "{how}");
        }
    }
}

#[test]
fn a_damaged_key_file_is_named_and_the_other_secret_still_opens() {
    let (whole, _) = versions(52);
    let second = whole.open(None).add_key(&whole.key().1, &secret(3), "second").unwrap();
    each(ObjectKind::Key, 52, &whole, 7, |world, key, how, context| {
        let (lost, left) = match key == &ObjectKey::key_file(&second) {
            true => (3, 9),
            false => (9, 3),
        };
        let Err(error) = opening(world, lost) else { panic!("{context}: opened") };
        match how {
            "deleted" => assert!(matches!(error, Error::WrongKey { .. }), "{context}: {error}"),
            _ => assert!(error.is_damage() && error.to_string().starts_with("keys/"), "{context}: {error}"),
        }
        let repository = Arc::new(opening(world, left).unwrap_or_else(|error| panic!("{context}: {error}")));
        let report = world.check(&repository);
        // One that was removed leaves no trace.
        assert_eq!(names(&report, key), how != "deleted", "{context}: {:?}", report.findings);
        assert_eq!(report.is_damaged(), how != "deleted", "{context}");
        world.require_whole(&repository, None, &Default::default(), context);
        // Out with it, and a new one in.
        if how != "deleted" {
            let id = KeyFileId(key.id_bytes().unwrap());
            repository.remove_key(&id, Duration::ZERO).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
        let master = repository.reveal_master(&OpenSecret::KeyFile(secret(left))).unwrap();
        repository.add_key(&master, &secret(lost), "again").unwrap();
        opening(world, lost).unwrap_or_else(|error| panic!("{context}: {error}"));
        world.require_sound(&repository, context);
    });
}

/// Versions with waste, and a plan whose grace has not passed.
fn planned(seed: u64) -> (World, Files) {
    let (mut world, files) = versions(seed);
    let first = *world.model.keys().next().unwrap();
    let other = world.backup(&Dice::new(seed + 7).files());
    world.forget(&[first, other]);
    prune(&world.open(None), prune_options(1_000)).unwrap();
    assert!(world.count(ObjectKind::Plan) > 0);
    world.wait(200);
    (world, files)
}

#[test]
fn a_damaged_plan_is_named_costs_no_reader_anything_and_is_removed_by_a_repair() {
    let (whole, files) = planned(53);
    each(ObjectKind::Plan, 53, &whole, 7, |world, key, how, context| {
        let repository = world.open(None);
        let report = world.check(&repository);
        assert_eq!(names(&report, key), how != "deleted", "{context}: {:?}", report.findings);
        assert_eq!(report.losses.count(), 0, "{context}");
        world.require_whole(&repository, None, &Default::default(), context);
        if how != "deleted" {
            // Writers and maintainers may not guess what it said.
            world.write_source(&files);
            let refused = world.backup_in(&repository, "host").unwrap_err();
            assert!(refused.contains(key.path()), "{context}: {refused}");
            let refused = prune(&repository, prune_options(0)).unwrap_err().to_string();
            assert!(refused.contains(key.path()), "{context}: {refused}");
            world.wait(1_000);
            let before = world.store.objects();
            let dry = repair_index(&repository, &RepairIndexOptions { dry_run: true, ..INDEX }).unwrap();
            assert!(world.store.objects() == before, "{context}: a dry run changed something");
            let real = repair_index(&repository, &INDEX).unwrap();
            assert_eq!(dry.damaged_plans, real.damaged_plans, "{context}");
            assert_eq!(real.damaged_plans.len(), 1, "{context}");
        }
        world.require_sound(&world.open(None), context);
        world.require_backup(&repository, &files, context);
    });
}

#[test]
fn a_damaged_lease_is_named_stops_maintenance_alone_and_is_removed_by_an_unlock() {
    let (whole, files) = versions(54);
    let maintenance = ObjectKey::lock("maintenance").unwrap();
    let held = whole.open(None);
    let guard = LeaseGuard::acquire(&held, "test", Duration::ZERO).unwrap();
    let old = whole.store.get(&maintenance, 1 << 20).unwrap();
    // The holder is gone without a word.
    std::mem::forget(guard);
    let judge = |world: &World, how: &str, context: &str| {
        let repository = world.open(None);
        let report = world.check(&repository);
        let is_there = !matches!(how, "deleted" | "older version");
        assert_eq!(names(&report, &maintenance), is_there, "{context}: {:?}", report.findings);
        assert!(!report.is_damaged(), "{context}: {:?}", report.findings);
        world.require_whole(&repository, None, &Default::default(), context);
        world.require_backup(&repository, &files, context);
        if is_there {
            let refused = prune(&repository, prune_options(50)).unwrap_err().to_string();
            assert!(refused.contains(maintenance.path()), "{context}: {refused}");
            repository.break_lease().unwrap();
        }
        world.wait(1_000);
        prune(&repository, prune_options(50)).unwrap_or_else(|error| panic!("{context}: {error}"));
        world.require_backup(&repository, &files, context);
    };
    each(ObjectKind::Lock, 54, &whole, 7, |world, _, how, context| judge(world, how, context));
    // The lease of a holder that ended long ago is put back: it runs out as it did then.
    let world = whole.at(whole.store.state());
    world.wait(1_000);
    prune(&world.open(None), prune_options(50)).unwrap();
    world.store.overwrite(&maintenance, old);
    judge(&world, "older version", "seed 54: older version");
}
