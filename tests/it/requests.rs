//! How much commands ask of a store, in calls: on S3 each is one request, and the first is preceded by a
//! sign of
//! life.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use snap::backend::memory::MemoryBackend;
use snap::backend::record::{RecordBackend, Verb};
use snap::backup::{BackupOptions, Input, ParentChoice, backup};
use snap::base::{Memory, NoProgress, SystemClock, SystemEntropy};
use snap::crypto::Secret;
use snap::repository::{Environment, IndexPlace, InitOptions, OpenSecret, Repository};
use snap::restore::{RestoreOptions, restore};
use snap::source::WalkOptions;

/// A store that counts, and the local index beside it.
struct World {
    memory: MemoryBackend,
    record: Arc<RecordBackend>,
    cache: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let memory = MemoryBackend::new();
        let record = Arc::new(RecordBackend::new(Arc::new(memory.clone())));
        Self { memory, record, cache: tempfile::tempdir().unwrap() }
    }

    fn environment(&self) -> Environment {
        Environment {
            backend: self.record.clone(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            progress: Arc::new(NoProgress),
            stop: Arc::new(AtomicBool::new(false)),
            host: "test".into(),
            index: IndexPlace::Folder(self.cache.path().to_owned()),
            memory: Memory::default(),
        }
    }

    fn init(&self) {
        let options = InitOptions { secret: Secret::Raw([7; 32].into()), label: "test".into() };
        Repository::init(self.environment(), &options).unwrap();
    }

    fn open(&self) -> Arc<Repository> {
        let secret = OpenSecret::KeyFile(Secret::Raw([7; 32].into()));
        Arc::new(Repository::open(self.environment(), &secret).unwrap())
    }

    /// What all packs take.
    fn packs_bytes(&self) -> u64 {
        let objects = self.memory.objects().into_iter();
        objects
            .filter(|(key, _)| key.path().starts_with("packs/"))
            .map(|(_, object)| object.len() as u64)
            .sum()
    }

    /// How many calls `work` makes.
    fn calls(&self, work: impl FnOnce()) -> u64 {
        self.record.clear();
        work();
        Verb::ALL.iter().map(|verb| self.record.count(*verb)).sum()
    }

    /// Fails unless `work` makes fewer calls than `end`, and says which.
    fn assert_fewer(&self, end: u64, what: &str, work: impl FnOnce()) {
        let calls = self.calls(work);
        assert!(calls > 0 && calls < end, "{what}: {calls} calls: {:?}", self.record.calls());
    }
}

fn options(path: &Path) -> BackupOptions {
    BackupOptions {
        input: Input::Paths(WalkOptions { paths: vec![path.to_path_buf()], ..WalkOptions::default() }),
        host: "test".into(),
        user: "test".into(),
        owner: (0, 0),
        job: String::new(),
        program: "test".into(),
        tags: Vec::new(),
        metadata: Vec::new(),
        time: None,
        parent: ParentChoice::Newest,
        force: false,
        class: None,
        dry_run: false,
        skip_if_unchanged: false,
        estimate: false,
    }
}

#[test]
fn a_backup_of_unchanged_files_asks_little_however_many_they_are() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    for number in 0..10_000 {
        if number % 500 == 0 {
            std::fs::create_dir(folder.path().join(format!("{:02}", number / 500))).unwrap();
        }
        let path = folder.path().join(format!("{:02}/file-{number}", number / 500));
        std::fs::write(path, format!("content of file {number}\n").repeat(4)).unwrap();
    }
    let run = || {
        backup(&world.open(), &options(folder.path())).unwrap();
    };
    world.assert_fewer(20, "init", || world.init());
    world.assert_fewer(25, "cold", run);
    world.assert_fewer(20, "unchanged", run);
    world.assert_fewer(20, "unchanged again", run);
    world.assert_fewer(12, "snapshots", || {
        assert_eq!(world.open().load_snapshots().unwrap().0.len(), 3);
    });
}

/// A dump of a table as it is after some days, each of which changes one row in fifty.
fn dump(days: u64) -> String {
    let mut text = String::new();
    for row in 0_u64..60_000 {
        let drawn = |what: u64| {
            row.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) ^ what.wrapping_mul(0xd6e8_feb8_6659_fd93)
        };
        let changed = (1..=days).rev().find(|day| drawn(*day) % 50 == 0).unwrap_or(0);
        let note = blake3::hash(&drawn(changed << 32).to_le_bytes()).to_hex();
        let _ = writeln!(text, "INSERT INTO orders VALUES ({row}, '{}', {changed}, 'open');", &note[..48]);
    }
    text
}

#[test]
fn a_restore_of_a_day_that_leans_on_others_asks_for_no_byte_twice() {
    let world = World::new();
    world.init();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sql");
    for days in 0..3 {
        std::fs::write(&path, dump(days)).unwrap();
        backup(&world.open(), &options(folder.path())).unwrap();
    }
    let repository = world.open();
    let snapshots = repository.load_snapshots().unwrap().0;
    let newest = snapshots.iter().max_by_key(|(_, snapshot)| snapshot.time).unwrap();
    let target = tempfile::tempdir().unwrap();
    world.record.clear();
    let stats = restore(&repository, &newest.1, None, &RestoreOptions::new(target.path())).unwrap();
    assert_eq!((stats.files, stats.failed_count), (1, 0));
    let restored = target.path().join(path.strip_prefix("/").unwrap());
    assert!(std::fs::read_to_string(restored).unwrap() == dump(2));
    let calls = world.record.calls();
    let asked: u64 =
        calls.iter().filter(|call| call.verb == Verb::GetRange).map(|call| call.length_bytes).sum();
    let stored: u64 = world.packs_bytes();
    assert!(asked > stored / 2 && asked <= stored + stored / 20, "{asked} of {stored} bytes");
    assert!(calls.len() < 20, "{} calls", calls.len());
}
