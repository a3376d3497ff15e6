//! Check, prune, repair, copy, forget and unlock.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use snap::backend::{self, Location};
use snap::base::{Memory, NoProgress, SystemClock, SystemEntropy};
use snap::crypto::Secret;
use snap::repository::{Environment, IndexPlace, LeaseGuard, OpenSecret, Repository};

use super::{User, listing, noise};

/// Snapshots of a file that changes wholly each time.
fn with_snapshots(count: u64) -> User {
    let user = User::with_repository();
    for seed in 0..count {
        user.write("src/a", noise(seed, 1_000_000));
        user.ok(&["backup", "src"]);
    }
    user
}

fn packs(user: &User) -> Vec<(PathBuf, u64)> {
    let all = listing(&user.repository().join("packs"));
    all.into_iter().filter(|(path, ..)| path.is_file()).map(|(path, _, length)| (path, length)).collect()
}

#[test]
fn prune_gives_reasons_drops_what_nothing_keeps_and_frees_the_space() {
    let user = with_snapshots(3);
    let plan = user.ok(&["prune", "--keep-last", "1", "--dry-run"]);
    assert_eq!(plan.matches("drop ").count(), 2, "{plan}");
    assert!(plan.contains("last snapshot"), "{plan}");
    let before: u64 = packs(&user).iter().map(|(_, length)| length).sum();
    let summary = user.summary(&["prune", "--keep-last", "1", "--grace", "0"]);
    assert_eq!((&summary["dropped"], &summary["remaining"]), (&2.into(), &1.into()));
    let after: u64 = packs(&user).iter().map(|(_, length)| length).sum();
    assert!(after + 1_900_000 < before, "{before} to {after}");
    user.ok(&["check", "--read-data"]);
}

#[test]
fn prune_waits_for_the_grace_and_refuses_to_drop_all() {
    let user = with_snapshots(2);
    let before = packs(&user).len();
    let summary = user.summary(&["prune", "--keep-last", "1"]);
    assert!(summary["pending"][0]["packs"].as_u64().unwrap() >= 1, "{summary}");
    assert!(packs(&user).len() >= before);
    let run = user.run(&["prune", "--keep-tag", "absent"]);
    assert!(run.code == 1 && run.err.contains("--allow-empty"), "{run:?}");
    assert_eq!(user.snapshot_count(), 1);
    user.ok(&["prune", "--keep-tag", "absent", "--allow-empty"]);
    assert_eq!(user.snapshot_count(), 0);
}

#[test]
fn damage_is_found_named_and_costs_only_what_it_touches() {
    let user = User::with_repository();
    user.write("src/good", noise(10, 200_000));
    user.ok(&["backup", "src/good"]);
    let good = packs(&user);
    user.write("src/bad", noise(11, 200_000));
    user.ok(&["backup", "src"]);
    let new = packs(&user).into_iter().filter(|pack| !good.contains(pack));
    let (largest, length) = new.max_by_key(|(_, length)| *length).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    bytes[usize::try_from(length).unwrap() / 2] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
    user.ok(&["check"]);
    let run = user.run(&["check", "--read-data"]);
    let name = largest.file_name().unwrap().to_str().unwrap();
    assert_eq!(run.code, 13, "{run:?}");
    assert!(run.out.contains(name) && run.out.contains("/src/bad"), "{run:?}");
    assert!(!run.out.contains("/src/good"), "{run:?}");
    let run = user.run(&["restore", "latest", "--target", "out"]);
    assert_eq!(run.code, 13, "{run:?}");
    assert!(run.err.contains("bad") && run.err.contains("1 path could not be restored"), "{run:?}");
    let restored = user.path("out").join(user.path("src/good").strip_prefix("/").unwrap());
    assert!(std::fs::read(restored).unwrap() == noise(10, 200_000));
}

#[test]
fn a_lost_index_is_made_again_from_the_packs() {
    let user = with_snapshots(1);
    for (path, ..) in listing(&user.repository().join("index")) {
        std::fs::remove_file(path).unwrap();
    }
    assert_eq!(user.run(&["check"]).code, 13);
    user.ok(&["repair", "index"]);
    user.ok(&["check", "--read-data"]);
    let path = user.path("src/a");
    user.ok(&["dump", "latest", path.to_str().unwrap(), "-o", "back"]);
    assert!(std::fs::read(user.path("back")).unwrap() == noise(0, 1_000_000));
}

#[test]
fn what_a_damaged_pack_lost_comes_back_with_a_backup_or_leaves_its_snapshots() {
    let user = User::with_repository();
    user.write("src/good", noise(20, 200_000));
    user.ok(&["backup", "src/good"]);
    let good = packs(&user);
    user.write("src/bad", noise(21, 200_000));
    user.ok(&["backup", "src"]);
    let (largest, length) = packs(&user)
        .into_iter()
        .filter(|pack| !good.contains(pack))
        .max_by_key(|(_, length)| *length)
        .unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    bytes[usize::try_from(length).unwrap() / 2] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
    assert_eq!(user.run(&["check", "--read-data"]).code, 13);
    assert_eq!(user.run(&["repair", "packs", "--dry-run"]).code, 13);
    let run = user.run(&["repair", "packs"]);
    let name = largest.file_name().unwrap().to_str().unwrap();
    assert!(run.code == 13 && run.out.contains(name) && run.out.contains("lost"), "{run:?}");
    assert!(!largest.exists() && user.path(&format!("damaged-packs/{name}.pack")).exists());
    let kept = user.path("kept");
    std::fs::rename(user.path("src/bad"), &kept).unwrap();
    let out = user.ok(&["repair", "snapshots", "--forget"]);
    assert!(out.contains("/src/bad") && out.contains("which is dropped"), "{out}");
    user.ok(&["check", "--read-data"]);
    assert_eq!(user.snapshot_count(), 2);
    let restored = user.ok(&["ls", "latest"]);
    assert!(restored.contains("src/good") && !restored.contains("src/bad"), "{restored}");
    std::fs::rename(&kept, user.path("src/bad")).unwrap();
    user.ok(&["backup", "src"]);
    user.ok(&["prune", "--grace", "0"]);
    user.ok(&["check", "--read-data"]);
    let path = user.path("src/bad");
    user.ok(&["dump", "latest", path.to_str().unwrap(), "-o", "back"]);
    assert!(std::fs::read(user.path("back")).unwrap() == noise(21, 200_000));
}

#[test]
fn what_did_not_change_is_stored_anew_where_a_part_of_it_is_lost() {
    let rows = |count: u64| -> String {
        let row = |n: u64| format!("insert into t values ({n}, '{}');\n", blake3::hash(&n.to_le_bytes()));
        (0..count).map(row).collect()
    };
    // A file of few chunks, and one of more than are looked up together.
    for count in [2_000, 260_000] {
        let user = User::with_repository();
        let mut parts = Vec::new();
        for step in [1, 2] {
            let before = packs(&user);
            user.write("src/shop.sql", rows(count * step / 2));
            user.ok(&["backup", "src"]);
            // Of each backup the pack of data, which is larger than that of trees.
            let new = packs(&user).into_iter().filter(|pack| !before.contains(pack));
            parts.extend(new.max_by_key(|(_, length)| *length));
        }
        assert_eq!(user.summary(&["backup", "src"])["read_bytes"], 0);
        for (part, _) in parts {
            std::fs::remove_file(&part).unwrap();
            assert_eq!(user.run(&["repair", "index"]).code, 13);
            let read = user.summary(&["backup", "src"])["read_bytes"].as_u64().unwrap();
            assert_eq!(read, rows(count).len() as u64, "{count} rows, without {part:?}");
            let path = user.path("src/shop.sql");
            user.ok(&["dump", "latest", path.to_str().unwrap(), "-o", "back"]);
            assert!(std::fs::read_to_string(user.path("back")).unwrap() == rows(count), "{count} rows");
            std::fs::remove_file(user.path("back")).unwrap();
            assert_eq!(user.summary(&["backup", "src"])["read_bytes"], 0);
        }
    }
}

#[test]
fn a_copy_restores_to_the_same_bytes_and_is_made_once() {
    let user = with_snapshots(2);
    user.ok(&["init", "--repo", "second", "--raw-key", "second.key"]);
    let copy = ["copy", "--to", "second", "--to-key-file", "second.key"];
    assert_eq!(user.summary(&copy)["copied"], 2);
    let again = user.summary(&copy);
    assert_eq!((&again["copied"], &again["skipped"]), (&0.into(), &2.into()));
    let second = ["--repo", "second", "--key-file", "second.key"];
    let mut words = second.to_vec();
    let path = user.path("src/a");
    words.extend(["dump", "latest~1", path.to_str().unwrap(), "-o", "back"]);
    user.ok(&words);
    assert!(std::fs::read(user.path("back")).unwrap() == noise(0, 1_000_000));
    let run = user.run(&["copy", "--to", "second"]);
    assert!(run.code == 1 && run.err.contains("--to-key-file"), "{run:?}");
}

#[test]
fn forget_drops_what_is_named_and_nothing_when_a_name_is_wrong() {
    let user = with_snapshots(3);
    assert_eq!(user.run(&["forget", "latest", "0123456789abcdef"]).code, 1);
    assert_eq!(user.snapshot_count(), 3);
    assert_eq!(user.summary(&["forget", "latest", "latest~1"])["dropped"], 2);
    assert_eq!(user.snapshot_count(), 1);
}

#[test]
fn a_lease_that_another_holds_is_11_until_it_is_unlocked() {
    let user = with_snapshots(1);
    let location = Location::parse(user.repository()).unwrap();
    let environment = Environment {
        backend: backend::open(&location, &backend::OpenOptions::new(&|_| None)).unwrap(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        progress: Arc::new(NoProgress),
        stop: Arc::new(AtomicBool::new(false)),
        host: "elsewhere".to_owned(),
        index: IndexPlace::Temporary,
        memory: Memory::default(),
    };
    let sheet = std::fs::read_to_string(user.key()).unwrap();
    let (_, bytes) = snap::format::sheet::decode(&sheet).unwrap();
    let secret = Secret::Raw(zeroize::Zeroizing::new(bytes.as_slice().try_into().unwrap()));
    let repository = Arc::new(Repository::open(environment, &OpenSecret::KeyFile(secret)).unwrap());
    let held = LeaseGuard::acquire(&repository, "prune", Duration::ZERO).unwrap();
    let run = user.run(&["prune"]);
    assert_eq!(run.code, 11, "{run:?}");
    assert!(run.err.contains("prune on elsewhere") && run.err.contains("snap unlock"), "{run:?}");
    // Backups take no lease.
    user.ok(&["backup", "src"]);
    assert!(user.ok(&["unlock"]).contains("elsewhere"));
    user.ok(&["prune"]);
    drop(held);
}
