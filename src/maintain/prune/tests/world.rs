//! A small repository: snapshots of files made of numbered chunks, each backup in packs of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use crate::backend::memory::{MemoryBackend, MemoryState};
use crate::backend::{Backend, ObjectKind};
use crate::base::clock::SeededEntropy;
use crate::base::parse::Allowance;
use crate::base::{Clock, Entropy, Memory, NoProgress, SnapshotId, Time};
use crate::codec::Hint;
use crate::crypto::{MasterKey, Secret};
use crate::format::node::{ChunkRef, Node, NodeKind};
use crate::format::pack::Content;
use crate::format::snapshot::{Snapshot, Totals};
use crate::maintain::prune::PruneOptions;
use crate::maintain::retention::{GroupBy, RetentionPolicy};
use crate::query::select::SnapshotFilter;
use crate::repository::{
    ChunkReader, ChunkWriter, DirectoryWriter, Environment, IndexPlace, InitOptions, ListReader, ListWriter,
    OpenSecret, Repository, TreeCursor,
};

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
pub(crate) struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Time {
        Time::from_seconds(self.0.load(Ordering::SeqCst))
    }
}

/// Files by name, each a list of chunk numbers.
pub(crate) type Files = BTreeMap<String, Vec<u32>>;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) store: MemoryBackend,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) seed: u64,
    pub(crate) snapshots: Mutex<BTreeMap<SnapshotId, Files>>,
    master: OnceLock<(crate::base::RepositoryId, MasterKey)>,
}

/// Returns the plaintext of chunk `number`: incompressible, 2000 to 2999 bytes.
pub(crate) fn plain(number: u32) -> Bytes {
    let length = 2000 + usize::try_from(number * 37 % 1000).unwrap();
    let mut data = vec![0; length];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut data);
    Bytes::from(data)
}

pub(crate) fn files(list: &[(&str, &[u32])]) -> Files {
    list.iter().map(|(name, chunks)| ((*name).to_owned(), chunks.to_vec())).collect()
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let world = Self {
            store: MemoryBackend::new(),
            clock: Arc::new(HandClock::default()),
            seed,
            snapshots: Mutex::default(),
            master: OnceLock::new(),
        };
        world.set_time(1_000_000);
        let secret = || Secret::Raw(Zeroizing::new([9; 32]));
        let options = InitOptions { secret: secret(), label: "test".to_owned() };
        let repository =
            Repository::init(world.environment(Arc::new(world.store.clone())), &options).unwrap();
        let master = repository.reveal_master(&OpenSecret::KeyFile(secret())).unwrap();
        world.master.set((repository.keys().repository(), master)).unwrap();
        world
    }

    /// Returns a world apart that starts at `state`.
    pub(crate) fn at(&self, state: MemoryState, seed: u64) -> Self {
        let world = Self {
            store: MemoryBackend::from_state(state),
            clock: Arc::new(HandClock::default()),
            seed,
            snapshots: Mutex::new(self.snapshots.lock().unwrap().clone()),
            master: self.master.clone(),
        };
        world.set_time(self.now());
        world
    }

    fn environment(&self, backend: Arc<dyn Backend>) -> Environment {
        Environment {
            backend,
            clock: self.clock.clone(),
            entropy: Arc::new(SeededEntropy::new(self.seed * 1000 + u64::try_from(self.now()).unwrap())),
            progress: Arc::new(NoProgress),
            stop: Arc::new(AtomicBool::new(false)),
            host: "test".to_owned(),
            index: IndexPlace::Temporary,
            memory: Memory::default(),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.0.load(Ordering::SeqCst)
    }

    pub(crate) fn set_time(&self, seconds: i64) {
        self.clock.0.store(seconds, Ordering::SeqCst);
        self.store.set_now(Time::from_seconds(seconds));
    }

    pub(crate) fn wait(&self, seconds: i64) {
        self.set_time(self.now() + seconds);
    }

    /// Opens the repository with an empty local index; randomness differs with every second that passed.
    pub(crate) fn open(&self) -> Arc<Repository> {
        self.open_through(Arc::new(self.store.clone())).unwrap()
    }

    pub(crate) fn open_through(
        &self,
        backend: Arc<dyn Backend>,
    ) -> Result<Arc<Repository>, crate::repository::Error> {
        self.wait(1);
        let (id, master) = self.master.get().unwrap().clone();
        Repository::open(self.environment(backend), &OpenSecret::Master(id, master)).map(Arc::new)
    }

    /// Stores a snapshot of `files`.
    pub(crate) fn backup(&self, files: &Files) -> SnapshotId {
        let repository = self.open();
        let id = store_snapshot(&repository, files);
        self.snapshots.lock().unwrap().insert(id, files.clone());
        id
    }

    pub(crate) fn forget(&self, ids: &[SnapshotId]) {
        crate::maintain::forget::forget(&self.open(), ids, false).unwrap();
        ids.iter().for_each(|id| {
            self.snapshots.lock().unwrap().remove(id);
        });
    }

    /// Fails unless every snapshot reads back as it was written.
    pub(crate) fn require_whole(&self, context: &str) {
        self.require_whole_in(&self.open(), context);
    }

    pub(crate) fn require_whole_in(&self, repository: &Repository, context: &str) {
        let expected = self.snapshots.lock().unwrap().clone();
        let listed: BTreeSet<SnapshotId> = repository.snapshot_ids().unwrap().into_iter().collect();
        assert!(expected.keys().all(|id| listed.contains(id)), "{context}: a snapshot is gone");
        for (id, files) in &expected {
            let snapshot = repository.load_snapshot(id).unwrap();
            assert_eq!(read_files(repository, &snapshot), contents(files), "{context}: {id:?}");
        }
    }

    pub(crate) fn stored_bytes(&self, kind: ObjectKind) -> u64 {
        self.store.list(kind).unwrap().iter().map(|info| info.size_bytes).sum()
    }

    pub(crate) fn count(&self, kind: ObjectKind) -> usize {
        self.store.list(kind).unwrap().len()
    }
}

pub(crate) fn contents(files: &Files) -> BTreeMap<String, Vec<u8>> {
    let content = |chunks: &Vec<u32>| chunks.iter().flat_map(|number| plain(*number)).collect();
    files.iter().map(|(name, chunks)| (name.clone(), content(chunks))).collect()
}

pub(crate) fn node(name: &str, kind: NodeKind) -> Node {
    Node {
        name: name.as_bytes().to_vec(),
        kind,
        changed: false,
        sparse: false,
        mode: 0o640,
        uid: 1,
        gid: 2,
        user: "u".to_owned(),
        group: "g".to_owned(),
        mtime: Time::from_seconds(3),
        ctime: Time::from_seconds(4),
        inode: 5,
        link_device: None,
        xattrs: vec![(b"user.x".to_vec(), b"y".to_vec())],
    }
}

/// Stores a snapshot with one directory of `files`.
pub(crate) fn store_snapshot(repository: &Arc<Repository>, files: &Files) -> SnapshotId {
    let mut writer = ChunkWriter::new(repository.clone(), false).unwrap();
    let mut directory = DirectoryWriter::new();
    for (name, chunks) in files {
        let mut list = ListWriter::new();
        for number in chunks {
            let data = plain(*number);
            let id = repository.keys().data_id(&data);
            let length_bytes = u32::try_from(data.len()).unwrap();
            writer.add_data(id, &data, Hint::Unknown).unwrap();
            list.push(ChunkRef { id, length_bytes }, &mut writer).unwrap();
        }
        let size_bytes = list.content_bytes();
        let content = list.finish(&mut writer).unwrap();
        directory.push(&node(name, NodeKind::File { size_bytes, class: 3, content }), &mut writer).unwrap();
    }
    let below = directory.finish(&mut writer).unwrap();
    let mut root = DirectoryWriter::new();
    root.push(&node("d", NodeKind::Directory { tree: below }), &mut writer).unwrap();
    let root = root.finish(&mut writer).unwrap();
    writer.finish().unwrap();
    let time = repository.clock().now();
    let snapshot = Snapshot {
        repository: repository.keys().repository(),
        time,
        began: time,
        ended: time,
        host: "h".to_owned(),
        user: "u".to_owned(),
        job: String::new(),
        program: "test".to_owned(),
        tags: vec!["t".to_owned()],
        metadata: vec![("k".to_owned(), "v".to_owned())],
        paths: vec![b"/d".to_vec()],
        sources: Vec::new(),
        root,
        parent: None,
        original: None,
        totals: Totals { files: files.len() as u64, ..Totals::default() },
        features: Vec::new(),
        seen: [0; 32],
    };
    repository.store_snapshot(&snapshot).unwrap()
}

pub(crate) fn read_files(repository: &Repository, snapshot: &Snapshot) -> BTreeMap<String, Vec<u8>> {
    let reader = ChunkReader::new(repository);
    let mut root = TreeCursor::new(&reader, &snapshot.root).unwrap();
    let mut read = BTreeMap::new();
    while let Some(directory) = root.next_node().unwrap() {
        let NodeKind::Directory { tree } = directory.kind else { panic!("not a directory") };
        let mut cursor = TreeCursor::new(&reader, &tree).unwrap();
        while let Some(node) = cursor.next_node().unwrap() {
            let NodeKind::File { size_bytes, content, .. } = &node.kind else { panic!("not a file") };
            let mut list = ListReader::new(&reader, content, *size_bytes).unwrap();
            let mut bytes = Vec::new();
            while let Some(chunk) = list.next_chunk().unwrap() {
                bytes.extend_from_slice(&reader.read(Content::Data, &chunk.id).unwrap());
            }
            read.insert(String::from_utf8(node.name).unwrap(), bytes);
        }
    }
    read
}

/// Reclaims everything, and at once with a grace of 0.
pub(crate) fn options(grace_seconds: u64) -> PruneOptions {
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
#[derive(Debug)]
pub(crate) struct Dice(SeededEntropy);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    pub(crate) fn below(&self, bound: u32) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes) % bound
    }

    /// Returns a few files of chunks from a small supply, so that snapshots share.
    pub(crate) fn files(&self) -> Files {
        let file = |name| {
            let chunks = (0..1 + self.below(25)).map(|_| self.below(120)).collect();
            (format!("f{name}"), chunks)
        };
        (0..1 + self.below(4)).map(file).collect()
    }
}
