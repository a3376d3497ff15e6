//! Hosts that do what they like, faults at every other step, and a map of snapshots to files beside them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use snap::backend::faulty::{Fault, FaultEffect, FaultPlan, FaultyBackend};
use snap::backend::{Backend, ObjectKey, ObjectKind};
use snap::base::{SnapshotId, SystemEntropy};
use snap::maintain::copy::{CopySelection, copy};
use snap::maintain::forget::forget;
use snap::maintain::prune::{PruneOptions, prune};
use snap::maintain::repair::{RepairIndexOptions, repair_index};
use snap::maintain::retention::{Keep, RetentionPolicy};
use snap::repository::{OpenSecret, Repository};

use super::damage::{DAMAGES, damage};
use super::repair::{ROUNDS_MAX, readable, repair_packs_of, repair_snapshots_of, require_no_worse};
use super::witness::{remember, witness};
use super::world::{Dice, Files, World, prune_options, secret};
use crate::support::sweep_number;

/// Seconds that a prune waits before it deletes.
const GRACE_SECONDS: u64 = 3 * 3_600;

/// A host: its name, its local index, and what it has to back up.
struct Host {
    name: String,
    index: tempfile::TempDir,
    files: Files,
    /// What it remembers of the repository.
    state: tempfile::TempDir,
}

/// Hosts at one repository.
struct Run {
    seed: u64,
    dice: Dice,
    world: World,
    hosts: Vec<Host>,
    steps: u64,
    faults: u64,
    damages: u64,
    /// The host that opened the repository last, and what it opened.
    opened: Option<(usize, Arc<Repository>)>,
}

/// What the store does wrong: anything but lies about puts, which nothing can survive.
const EFFECTS: [FaultEffect; 15] = [
    FaultEffect::FailBefore,
    FaultEffect::FailAfter,
    FaultEffect::FailForever,
    FaultEffect::ShortRead,
    FaultEffect::FlippedRead,
    FaultEffect::IncompleteList,
    FaultEffect::DoubledList,
    FaultEffect::FalseExisted,
    FaultEffect::TimeOut,
    FaultEffect::Throttle,
    FaultEffect::OldData,
    FaultEffect::Full,
    FaultEffect::ReadOnly,
    FaultEffect::Stop,
    FaultEffect::StopAfter,
];

impl Run {
    fn new(seed: u64, hosts: u64) -> Self {
        println!("seed {seed}");
        let (dice, world) = (Dice::new(seed), World::new(seed));
        let host = |number| Host {
            name: format!("host{number}"),
            index: tempfile::tempdir().unwrap(),
            files: dice.files(),
            state: tempfile::tempdir().unwrap(),
        };
        let hosts = (0..hosts).map(host).collect();
        Self { seed, dice, world, hosts, steps: 0, faults: 0, damages: 0, opened: None }
    }

    fn context(&self, what: &str) -> String {
        format!("seed {}, step {}: {what}", self.seed, self.steps)
    }

    /// Opens the repository as a host does, every other time through a store that does one thing wrong.
    fn open(&mut self, host: usize) -> (Option<Arc<Repository>>, Arc<FaultyBackend>) {
        let mut plan = FaultPlan { seed: self.dice.below(1 << 40), faults: Vec::new() };
        if self.dice.below(2) == 0 {
            let effect = EFFECTS[self.dice.below(EFFECTS.len() as u64) as usize];
            plan.faults = vec![Fault { call: self.dice.below(40), verbs: Vec::new(), effect }];
        }
        let store: Arc<dyn Backend> = Arc::new(self.world.store.clone());
        let faulty = Arc::new(FaultyBackend::new(store, plan).passing_time(self.world.hand()));
        let index = self.hosts[host].index.path();
        let repository = self.world.open_through(faulty.clone(), Some(index)).ok();
        self.opened = repository.clone().map(|repository| (host, repository));
        self.require_as_known();
        (repository, faulty)
    }

    /// Fails unless the host that opened the repository sees nothing but what regular work makes of what it
    /// saw before. It remembers that.
    fn require_as_known(&self) {
        let Some((host, repository)) = &self.opened else { return };
        let outcome = remember(self.hosts[*host].state.path(), repository);
        // The store may have failed.
        if let Ok(Some(contradiction)) = outcome {
            panic!("{}: host{host}: {contradiction}", self.context("false alarm"));
        }
    }

    fn backup(&mut self, host: usize) {
        let mut files = self.hosts[host].files.clone();
        self.dice.change(&mut files);
        self.world.write_source(&files);
        self.hosts[host].files = files.clone();
        let (repository, faulty) = self.open(host);
        let name = self.hosts[host].name.clone();
        let outcome = repository.map(|repository| self.world.backup_in(&repository, &name));
        self.faults += u64::from(faulty.reached());
        if !faulty.reached() {
            assert!(matches!(outcome, Some(Ok(_))), "{}: {outcome:?}", self.context("backup"));
        }
        if let Some(Ok(id)) = outcome {
            witness(self.hosts[host].state.path()).add(id, self.world.now(), &SystemEntropy).unwrap();
        }
        // What is listed is committed, whatever the answer was.
        let listed = self.listed();
        if let Some(Ok(id)) = outcome {
            assert!(listed.contains(&id), "{}", self.context("a snapshot that was promised is not there"));
        }
        let new: Vec<SnapshotId> =
            listed.into_iter().filter(|id| !self.world.model.contains_key(id)).collect();
        assert!(new.len() <= 1, "{}", self.context("one backup, two snapshots"));
        new.into_iter().for_each(|id| drop(self.world.model.insert(id, files.clone())));
    }

    fn listed(&self) -> BTreeSet<SnapshotId> {
        let infos = self.world.store.list(ObjectKind::Snapshot).unwrap();
        infos.iter().map(|info| SnapshotId(info.key.id_bytes().unwrap())).collect()
    }

    fn forget(&mut self, host: usize) {
        let ids: Vec<SnapshotId> = self.world.model.keys().copied().collect();
        let gone: Vec<SnapshotId> = ids.into_iter().filter(|_| self.dice.below(3) == 0).collect();
        let (repository, faulty) = self.open(host);
        let outcome = repository.map(|repository| forget(&repository, &gone, false));
        self.faults += u64::from(faulty.reached());
        let left = self.listed();
        match outcome {
            Some(Ok(_)) => assert!(gone.iter().all(|id| !left.contains(id)), "{}", self.context("forget")),
            _ => assert!(faulty.reached(), "{}", self.context("forget failed")),
        }
        self.world.model.retain(|id, _| !gone.contains(id) || left.contains(id));
        // Where not even a lease finds space, what was dropped leaves no trace until somebody takes it.
        if faulty.reached() {
            let _ = prune(&self.world.open(None), prune_options(GRACE_SECONDS));
        }
    }

    /// Prunes; returns whether that went well.
    fn prune(&mut self, host: usize, policy: RetentionPolicy) -> bool {
        let keep = policy.last;
        let (repository, faulty) = self.open(host);
        let options = PruneOptions { policy, ..prune_options(GRACE_SECONDS) };
        let outcome = repository.map(|repository| prune(&repository, options).map_err(|e| e.to_string()));
        self.faults += u64::from(faulty.reached());
        let is_fine = match &outcome {
            Some(Ok(_)) => true,
            Some(Err(error)) => faulty.reached() || error.contains("locked"),
            None => faulty.reached(),
        };
        assert!(is_fine, "{}: {outcome:?}", self.context("prune"));
        // Retention drops snapshots by its own right; only with it may any be gone.
        if keep.is_some() {
            let left = self.listed();
            let before = self.world.model.len();
            self.world.model.retain(|id, _| left.contains(id));
            assert!(self.world.model.len() >= before.min(4), "{}", self.context("prune kept too few"));
        }
        matches!(outcome, Some(Ok(_)))
    }

    fn others(&mut self, host: usize, which: u64) {
        let (repository, faulty) = self.open(host);
        let Some(repository) = repository else { return };
        let outcome = match which {
            0 => {
                let options = RepairIndexOptions { dry_run: false, lock_wait: Duration::ZERO };
                repair_index(&repository, &options).map(drop)
            }
            1 => {
                let target = self.world.beside(self.seed + 77);
                let copied = copy(&repository, &target.open(None), &CopySelection::default(), false);
                copied.map(|report| {
                    let is_all = report.copied.len() == self.world.model.len();
                    assert!(is_all || faulty.reached(), "{}", self.context("copy"));
                })
            }
            _ => {
                let master = self.world.key().1;
                let added = repository.add_key(&master, &secret(5), "another");
                added.and_then(|id| repository.remove_key(&id, Duration::ZERO))
            }
        };
        self.faults += u64::from(faulty.reached());
        let is_fine =
            faulty.reached() || outcome.as_ref().map_or_else(|e| e.to_string().contains("locked"), |()| true);
        assert!(is_fine, "{}: {outcome:?}", self.context("repair, copy or key"));
    }

    /// Damages an object. A check names it, repairs cost nothing that could be read, and snapshots go on as
    /// what is left of them.
    fn damage(&mut self, host: usize) {
        let kinds = [ObjectKind::Pack, ObjectKind::Pack, ObjectKind::Index, ObjectKind::Snapshot];
        let kind = kinds[self.dice.below(kinds.len() as u64) as usize];
        let infos = self.world.store.list(kind).unwrap();
        if infos.is_empty() {
            return;
        }
        let key = infos[self.dice.below(infos.len() as u64) as usize].key.clone();
        let how = DAMAGES[self.dice.below(DAMAGES.len() as u64) as usize];
        // Hosts that saw a snapshot which is deleted without a forget say so: a law of `witness`.
        let is_alarm = kind == ObjectKind::Snapshot && how == "deleted";
        if is_alarm || !damage(&self.world, &key, how, &self.dice) {
            return;
        }
        self.damages += 1;
        // Whoever died with the lease keeps it for four minutes, and nothing here waits for that.
        self.world.wait(300);
        let context = self.context(&format!("{key} {how}"));
        let repository = self.world.open(Some(self.hosts[host].index.path()));
        let report = self.world.check(&repository);
        let is_named = report.findings.iter().any(|finding| finding.object == key.path());
        assert!(is_named || how == "deleted", "{context}: {:?}", report.findings);
        if kind == ObjectKind::Snapshot {
            let id = SnapshotId(key.id_bytes().unwrap());
            forget(&repository, &[id], false).unwrap_or_else(|error| panic!("{context}: {error}"));
            self.world.model.remove(&id);
        }
        let before = readable(&self.world, &repository, &context);
        let is_less = self.world.model.iter().any(|(id, files)| before.get(id) != Some(files));
        assert!(!is_less || report.is_damaged(), "{context}: lost silently");
        repair_packs_of(&self.world, &repository, &key, &context);
        self.world.wait(60);
        self.world.write_source(&self.hosts[host].files);
        let id = self.world.backup_in(&repository, &self.hosts[host].name);
        let id = id.unwrap_or_else(|error| panic!("{context}: {error}"));
        self.world.model.insert(id, self.hosts[host].files.clone());
        require_no_worse(&before, &readable(&self.world, &repository, &context), &context);
        self.go_on_with_what_is_left(&repository, &key, &context);
    }

    fn go_on_with_what_is_left(&mut self, repository: &Arc<Repository>, key: &ObjectKey, context: &str) {
        for one in repair_snapshots_of(&self.world, repository, context).repaired {
            if one.is_lost {
                forget(repository, &[one.id], false).unwrap();
            }
            self.world.model.remove(&one.id);
            if let Some(repaired) = one.repaired {
                let left = self.world.restore(repository, &repaired);
                self.world.model.insert(repaired, left.unwrap_or_else(|error| panic!("{context}: {error}")));
            }
        }
        // What leaned on what is lost is found now.
        for _ in 0..ROUNDS_MAX {
            if self.world.check(repository).is_damaged() {
                repair_packs_of(&self.world, repository, key, context);
            }
        }
        self.require_whole("after damage");
    }

    fn step(&mut self) {
        self.steps += 1;
        let host = self.dice.below(self.hosts.len() as u64) as usize;
        match self.dice.below(18) {
            0..=6 => self.backup(host),
            7 => self.forget(host),
            8..=10 => drop(self.prune(host, RetentionPolicy::default())),
            11..=13 => {
                let which = self.dice.below(3);
                self.others(host, which);
            }
            14 | 15 => self.damage(host),
            16 => self.hosts[host].index = tempfile::tempdir().unwrap(),
            // Also back, as when a host's clock was wrong.
            _ => self.world.set_clock_error(self.dice.below(7_200) as i64 - 3_600),
        }
        self.require_as_known();
        self.opened = None;
        self.world.wait(self.dice.below(4_000) as i64);
    }

    /// Fails unless everything is there, for a host with its own index and for one without.
    fn require_whole(&self, what: &str) {
        let context = self.context(what);
        let host = self.dice.below(self.hosts.len() as u64) as usize;
        for index in [Some(self.hosts[host].index.path()), None] {
            let repository = self.world.open(index);
            self.world.require_whole(&repository, None, &BTreeSet::new(), &context);
            self.world.require_sound(&repository, &context);
        }
    }

    fn end(&self) {
        self.world.wait(1_000_000);
        self.require_whole("end");
        self.world.require_no_garbage(&self.context("end"));
        self.require_whole("after the last prune");
        let opened = self.world.open(None).reveal_master(&OpenSecret::KeyFile(secret(9)));
        assert!(opened.is_ok(), "{}", self.context("the key is gone"));
    }
}

/// Returns how many steps, faults and damages there were.
fn sequence(seed: u64, steps: u64) -> [u64; 3] {
    let mut run = Run::new(seed, 1 + seed % 3);
    for step in 0..steps {
        run.step();
        if step % 6 == 5 {
            run.require_whole("between");
        }
    }
    run.end();
    [run.steps, run.faults, run.damages]
}

/// Hourly backups by three hosts and a daily prune that keeps the last few, with faults throughout.
fn days(seed: u64, days: u64, backups_a_day: u64) {
    let mut run = Run::new(seed, 3);
    let (mut bound, mut good_prunes, mut compared) = (0, 0, 0);
    for day in 0..days {
        for _ in 0..backups_a_day {
            for host in 0..3 {
                run.steps += 1;
                run.backup(host);
            }
            run.world.wait(24 * 3_600 / backups_a_day as i64);
        }
        run.steps += 1;
        let policy = RetentionPolicy { last: Some(Keep::N(4)), ..RetentionPolicy::default() };
        good_prunes = if run.prune(0, policy) { good_prunes + 1 } else { 0 };
        run.require_whole("evening");
        let stored = run.world.stored_bytes();
        if day == 1 {
            bound = 3 * stored;
        }
        // The first of two prunes says what is waste, the second deletes it: two days' worth of what is kept,
        // dropped and waiting for its grace, and of what was broken off, are left.
        if day >= 2 && good_prunes >= 2 {
            assert!(stored <= bound, "{}: {stored} of {bound}", run.context("stored bytes"));
            compared += 1;
        }
    }
    assert!(compared > 0, "{}", run.context("two prunes never went well"));
    println!(
        "seed {seed}: {days} days, {} steps, {} faults, {} bytes",
        run.steps,
        run.faults,
        run.world.stored_bytes()
    );
    run.end();
}

#[test]
fn whatever_hosts_do_and_stores_fail_at_the_model_is_what_is_stored() {
    let first = sweep_number("SNAP_SWEEP_SEED").unwrap_or(1);
    let limit = sweep_number("SNAP_SWEEP_MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let start = Instant::now();
    let (mut sequences, mut sums) = (0, [0; 3]);
    while sequences < 4 || limit.is_some_and(|limit| start.elapsed() < limit) {
        let more = sequence(first + sequences, 24);
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        sequences += 1;
    }
    let [steps, faults, damages] = sums;
    println!("{sequences} sequences, {steps} steps, {faults} faults, {damages} damages");
    assert!(faults > 0 && damages > 0);
}

#[test]
fn days_of_backups_by_three_hosts_lose_nothing_and_stay_small() {
    let seed = sweep_number("SNAP_SWEEP_SEED").unwrap_or(1);
    match sweep_number("SNAP_SWEEP_MINUTES") {
        Some(_) => days(seed, 60, 24),
        None => days(seed, 6, 3),
    }
}
