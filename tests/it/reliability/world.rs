//! A repository in memory beside a model of what it holds: snapshots and the files in each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use snap::backend::faulty::{FaultPlan, FaultyBackend};
use snap::backend::memory::{MemoryBackend, MemoryState};
use snap::backend::{Backend, ObjectKind};
use snap::backup::{BackupOptions, Input, ParentChoice, backup};
use snap::base::clock::SeededEntropy;
use snap::base::parse::Allowance;
use snap::base::{Clock, Memory, NoProgress, RepositoryId, SnapshotId, Time};
use snap::crypto::{MasterKey, Secret};
use snap::maintain::check::{CheckOptions, CheckReport, ReadData, check};
use snap::maintain::prune::{PruneOptions, PruneReport, prune};
use snap::maintain::retention::{GroupBy, RetentionPolicy};
use snap::query::select::SnapshotFilter;
use snap::repository::{Environment, Error, IndexPlace, InitOptions, OpenSecret, Repository};
use snap::restore::{RestoreOptions, RestoreStats, restore};
use snap::source::WalkOptions;
use zeroize::Zeroizing;

/// A clock that stands still until it is set, and may be wrong.
#[derive(Debug, Default)]
pub(super) struct HandClock {
    seconds: AtomicI64,
    error_seconds: AtomicI64,
}

impl Clock for HandClock {
    fn now(&self) -> Time {
        let error_seconds = self.error_seconds.load(Ordering::SeqCst);
        Time::from_seconds(self.seconds.load(Ordering::SeqCst) + error_seconds)
    }
}

/// Files by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Prunes in a row after which the last one must have found nothing to do.
const PRUNES_MAX: usize = 4;

/// What a command of a test comes to.
pub(super) type Outcome = Result<(), String>;

pub(super) fn told<T>(result: Result<T, impl std::fmt::Display>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

pub(super) fn secret(number: u8) -> Secret {
    Secret::Raw(Zeroizing::new([number; 32]))
}

pub(super) struct World {
    pub(super) store: MemoryBackend,
    pub(super) clock: Arc<HandClock>,
    pub(super) seed: u64,
    /// Every opening draws other randomness.
    opened: Arc<AtomicU64>,
    source: Arc<tempfile::TempDir>,
    /// What must be there, whatever happens.
    pub(super) model: BTreeMap<SnapshotId, Files>,
    key: (RepositoryId, MasterKey),
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self::reading(seed, Arc::new(tempfile::tempdir().unwrap()))
    }

    /// Returns another repository, whose backups read at the same place.
    pub(super) fn beside(&self, seed: u64) -> Self {
        let world = Self::reading(seed, self.source.clone());
        world.set_time(self.now());
        world
    }

    fn reading(seed: u64, source: Arc<tempfile::TempDir>) -> Self {
        let store = MemoryBackend::new();
        let clock = Arc::new(HandClock::default());
        let environment = environment(Arc::new(store.clone()), clock.clone(), seed << 32, None);
        let options = InitOptions { secret: secret(9), label: "test".to_owned() };
        let repository = Repository::init(environment, &options).unwrap();
        let master = repository.reveal_master(&OpenSecret::KeyFile(secret(9))).unwrap();
        let world = Self {
            store,
            clock,
            seed,
            opened: Arc::default(),
            source,
            model: BTreeMap::new(),
            key: (repository.keys().repository(), master),
        };
        world.set_time(1_700_000_000);
        world
    }

    /// Returns a world apart that starts at `state`, with the same clock time, model and source.
    pub(super) fn at(&self, state: MemoryState) -> Self {
        let world = Self {
            store: MemoryBackend::from_state(state),
            clock: Arc::default(),
            seed: self.seed,
            opened: self.opened.clone(),
            source: self.source.clone(),
            model: self.model.clone(),
            key: self.key.clone(),
        };
        world.set_time(self.now());
        world
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.seconds.load(Ordering::SeqCst)
    }

    /// From now on hosts think that it is that much later than the store does.
    pub(super) fn set_clock_error(&self, seconds: i64) {
        self.clock.error_seconds.store(seconds, Ordering::SeqCst);
    }

    pub(super) fn set_time(&self, seconds: i64) {
        self.clock.seconds.store(seconds, Ordering::SeqCst);
        self.store.set_now(Time::from_seconds(seconds));
    }

    pub(super) fn wait(&self, seconds: i64) {
        self.set_time(self.now() + seconds);
    }

    /// Returns what lets seconds pass in this world.
    pub(super) fn hand(&self) -> impl Fn(u64) + Send + Sync + 'static {
        let (clock, store) = (self.clock.clone(), self.store.clone());
        move |seconds| {
            let seconds = seconds as i64;
            let now = clock.seconds.fetch_add(seconds, Ordering::SeqCst) + seconds;
            store.set_now(Time::from_seconds(now));
        }
    }

    /// Opens the repository through `backend`, with the local index in `index` or with an empty one.
    pub(super) fn open_through(
        &self,
        backend: Arc<dyn Backend>,
        index: Option<&Path>,
    ) -> Result<Arc<Repository>, Error> {
        let seed = (self.seed << 32) + 1 + self.opened.fetch_add(1, Ordering::SeqCst);
        let environment = environment(backend, self.clock.clone(), seed, index);
        let (id, master) = self.key.clone();
        Repository::open(environment, &OpenSecret::Master(id, master)).map(Arc::new)
    }

    /// Returns the store as it is when it does what `plan` says.
    pub(super) fn faulty(&self, plan: FaultPlan) -> Arc<FaultyBackend> {
        Arc::new(FaultyBackend::new(Arc::new(self.store.clone()), plan))
    }

    pub(super) fn open(&self, index: Option<&Path>) -> Arc<Repository> {
        self.open_through(Arc::new(self.store.clone()), index).unwrap()
    }

    pub(super) fn key(&self) -> (RepositoryId, MasterKey) {
        self.key.clone()
    }

    /// Puts `files` where backups read, whole.
    pub(super) fn write_source(&self, files: &Files) {
        let folder = self.source.path().join("tree");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
    }

    fn folder(&self) -> PathBuf {
        self.source.path().join("tree")
    }

    /// Backs up what is in the source.
    pub(super) fn backup_in(&self, repository: &Arc<Repository>, host: &str) -> Result<SnapshotId, String> {
        let walk = WalkOptions { paths: vec![self.folder()], ..WalkOptions::default() };
        let options = BackupOptions {
            input: Input::Paths(walk),
            host: host.to_owned(),
            user: "user".to_owned(),
            owner: (0, 0),
            job: String::new(),
            program: "test".to_owned(),
            tags: Vec::new(),
            metadata: Vec::new(),
            time: None,
            parent: ParentChoice::Newest,
            force: true,
            class: None,
            dry_run: false,
            skip_if_unchanged: false,
            estimate: false,
        };
        let outcome = told(backup(repository, &options))?;
        assert_eq!(outcome.totals.unread_sources, 0, "a file of the source was not read");
        outcome.snapshot.ok_or_else(|| "no snapshot".to_owned())
    }

    /// Stores `files` as a snapshot and notes it.
    pub(super) fn backup(&mut self, files: &Files) -> SnapshotId {
        self.wait(60);
        self.write_source(files);
        let id = self.backup_in(&self.open(None), "host").unwrap();
        self.model.insert(id, files.clone());
        id
    }

    pub(super) fn forget(&mut self, ids: &[SnapshotId]) {
        snap::maintain::forget::forget(&self.open(None), ids, false).unwrap();
        ids.iter().for_each(|id| drop(self.model.remove(id)));
    }

    /// Restores a snapshot whole.
    pub(super) fn restore(&self, repository: &Arc<Repository>, id: &SnapshotId) -> Result<Files, String> {
        let (found, stats) = self.restore_some(repository, id)?;
        match stats.failed_count {
            0 => Ok(found),
            _ => Err(format!("{:?}", stats.failed)),
        }
    }

    /// Restores of a snapshot what can be.
    pub(super) fn restore_some(
        &self,
        repository: &Arc<Repository>,
        id: &SnapshotId,
    ) -> Result<(Files, RestoreStats), String> {
        let target = tempfile::tempdir().unwrap();
        let options = RestoreOptions { sync: false, ..RestoreOptions::new(target.path()) };
        let snapshot = told(repository.load_snapshot(id))?;
        let path = self.folder();
        let stats = told(restore(repository, &snapshot, Some(path.as_os_str().as_bytes()), &options))?;
        let entries = fs::read_dir(target.path()).unwrap().map(Result::unwrap);
        let read =
            |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        Ok((entries.map(read).collect(), stats))
    }

    /// Fails unless every snapshot of the model is there and every listed one restores byte for byte: those
    /// that the model does not know to `pending`, save those that are `gone` for all that anybody knows.
    pub(super) fn require_whole(
        &self,
        repository: &Arc<Repository>,
        pending: Option<&Files>,
        gone: &BTreeSet<SnapshotId>,
        context: &str,
    ) {
        let listed: BTreeSet<SnapshotId> = repository.snapshot_ids().unwrap().into_iter().collect();
        for id in self.model.keys().filter(|id| !gone.contains(id)) {
            assert!(listed.contains(id), "{context}: snapshot {} is gone", id.short());
        }
        for id in &listed {
            let expected = self.model.get(id).or(pending);
            let expected = expected.unwrap_or_else(|| panic!("{context}: snapshot {} is new", id.short()));
            let found = self.restore(repository, id).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert!(&found == expected, "{context}: snapshot {} restores to something else", id.short());
        }
    }

    /// Fails unless a snapshot that the model does not know is there and restores to `files`.
    pub(super) fn require_new(&self, repository: &Arc<Repository>, files: &Files, context: &str) {
        let ids = repository.snapshot_ids().unwrap();
        let new = ids.iter().find(|id| !self.model.contains_key(id));
        let new = new.unwrap_or_else(|| panic!("{context}: no snapshot"));
        assert!(&self.restore(repository, new).unwrap() == files, "{context}");
    }

    /// Fails unless a backup of `files` by `repository` restores byte for byte.
    pub(super) fn require_backup(&self, repository: &Arc<Repository>, files: &Files, context: &str) {
        self.wait(60);
        self.write_source(files);
        let id = self.backup_in(repository, "host").unwrap_or_else(|error| panic!("{context}: {error}"));
        let found = self.restore(repository, &id);
        assert!(found.as_ref() == Ok(files), "{context}: not healed: {:?}", found.err());
    }

    /// Checks every byte; fails when anything is damaged.
    pub(super) fn require_sound(&self, repository: &Arc<Repository>, context: &str) {
        let report = self.check(repository);
        assert_eq!(report.errors, 0, "{context}: {:?}", report.findings);
    }

    pub(super) fn check(&self, repository: &Arc<Repository>) -> CheckReport {
        check(repository, &CheckOptions { read_data: ReadData::All }).unwrap()
    }

    /// Prunes all that no snapshot needs, and fails unless nothing but what is needed is left.
    ///
    /// Where two packs hold a chunk, and one of them in a block that stays whole for other chunks, the copy
    /// that stands first in the index counts. That may be another one once the index is written anew, and the
    /// pack of the first is then for the next prune; so they need not come to rest at once.
    pub(super) fn require_no_garbage(&self, context: &str) {
        let prune_once = || prune(&self.open(None), prune_options(0)).unwrap();
        let is_at_rest = |report: PruneReport| report.deleted.count == 0 && report.written.count == 0;
        assert!((0..PRUNES_MAX).any(|_| is_at_rest(prune_once())), "{context}: prunes go on");
        let repository = self.open(None);
        let report: PruneReport =
            prune(&repository, PruneOptions { dry_run: true, ..prune_options(0) }).unwrap();
        let waste = [report.dead, report.pending, report.orphans];
        let count: u64 = waste.iter().map(|tally| tally.count).sum();
        assert_eq!((count, report.unused_bytes), (0, 0), "{context}: {report:?}");
        assert_eq!(self.count(ObjectKind::Plan), 0, "{context}");
        assert_eq!(report.packs.count, self.count(ObjectKind::Pack), "{context}");
    }

    pub(super) fn count(&self, kind: ObjectKind) -> u64 {
        self.store.list(kind).unwrap().len() as u64
    }

    pub(super) fn stored_bytes(&self) -> u64 {
        self.store.objects().iter().map(|(_, data)| data.len() as u64).sum()
    }
}

pub(super) fn environment(
    backend: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    seed: u64,
    index: Option<&Path>,
) -> Environment {
    Environment {
        backend,
        clock,
        entropy: Arc::new(SeededEntropy::new(seed)),
        progress: Arc::new(NoProgress),
        stop: Arc::new(AtomicBool::new(false)),
        host: "host".to_owned(),
        memory: Memory::default(),
        index: index.map_or(IndexPlace::Temporary, |folder| IndexPlace::Folder(folder.to_path_buf())),
    }
}

/// Reclaims everything that no snapshot needs, at once with a grace of 0.
pub(super) fn prune_options(grace_seconds: u64) -> PruneOptions {
    PruneOptions {
        policy: RetentionPolicy::default(),
        group_by: GroupBy::default(),
        filter: SnapshotFilter::default(),
        allow_empty: false,
        grace: Duration::from_secs(grace_seconds),
        max_unused: Allowance::Bytes(0),
        max_repack: Allowance::Unlimited,
        dry_run: false,
        lease_wait: Duration::ZERO,
        time_zone: TimeZone::UTC,
    }
}

/// Draws numbers from a seed.
pub(crate) struct Dice(SeededEntropy);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        snap::base::Entropy::fill(&self.0, &mut bytes);
        u64::from_le_bytes(bytes) % bound
    }

    pub(crate) fn bytes(&self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        snap::base::Entropy::fill(&self.0, &mut bytes);
        bytes
    }

    /// Returns a dump of rows, tensors, and small files.
    pub(crate) fn files(&self) -> Files {
        let row = |id: u64| format!("{id}\tname {id:05}\t{:016x}\t2026-01-02\n", self.below(u64::MAX));
        let rows: String = (0..2_500).map(row).collect();
        let dump = format!(
            "--\n-- PostgreSQL database dump\n--\n\nCOPY public.t (id, name, token, day) FROM stdin;\n\
             {rows}\\.\n"
        );
        let head = "{\"w\":{\"dtype\":\"F32\",\"shape\":[96,128],\"data_offsets\":[0,49152]}}";
        let mut tensors = (head.len() as u64).to_le_bytes().to_vec();
        tensors.extend_from_slice(head.as_bytes());
        let number = |_| (self.below(2_000) as f32 - 1_000.0) / 3e5;
        tensors.extend((0..12_288).map(number).flat_map(f32::to_le_bytes));
        let mut files = Files::from([("empty".to_owned(), Vec::new())]);
        files.insert("table.sql".to_owned(), dump.into_bytes());
        files.insert("w.safetensors".to_owned(), tensors);
        files.insert("note".to_owned(), self.bytes(700));
        files.insert("noise".to_owned(), self.bytes(9_000));
        files
    }

    /// Changes a little of each file that [`Dice::files`] made.
    pub(crate) fn change(&self, files: &mut Files) {
        let dump = files.get_mut("table.sql").unwrap();
        for _ in 0..3 {
            let at = 200 + self.below(dump.len() as u64 - 400) as usize;
            dump[at] = match dump[at] {
                b'\n' | b'\t' => dump[at],
                _ => b'0' + self.below(10) as u8,
            };
        }
        let tensors = files.get_mut("w.safetensors").unwrap();
        for _ in 0..20 {
            let at = tensors.len() - 1 - 4 * self.below(12_000) as usize;
            tensors[at - 3] ^= 1;
        }
        files.insert("note".to_owned(), self.bytes(700));
    }
}
