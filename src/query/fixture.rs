//! A small repository in memory for the tests of this room.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::backend::memory::MemoryBackend;
use crate::backend::record::RecordBackend;
use crate::backup::{BackupOptions, Input, ParentChoice, backup};
use crate::base::{SnapshotId, Time};
use crate::format::snapshot::Snapshot;
pub(super) use crate::repository::testing::noise;
use crate::repository::testing::{environment, secret};
use crate::repository::{InitOptions, Repository};
use crate::source::WalkOptions;

/// A repository, and a folder that it is fed from.
pub(super) struct Fixture {
    pub(super) repository: Arc<Repository>,
    pub(super) store: Arc<RecordBackend>,
    folder: tempfile::TempDir,
    seconds: AtomicI64,
}

impl Fixture {
    /// Makes an empty one; everything random comes from `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let store = Arc::new(RecordBackend::new(Arc::new(MemoryBackend::new())));
        let options = InitOptions { secret: secret(), label: "test".into() };
        let repository = Arc::new(Repository::init(environment(store.clone(), seed), &options).unwrap());
        let folder = tempfile::tempdir().unwrap();
        Self { repository, store, folder, seconds: AtomicI64::new(1_700_000_000) }
    }

    /// Returns the folder's path as snapshots have it.
    pub(super) fn root(&self) -> Vec<u8> {
        self.folder.path().to_str().unwrap().as_bytes().to_vec()
    }

    /// Returns the whole path of `name` in a snapshot.
    pub(super) fn path(&self, name: &str) -> Vec<u8> {
        [self.root().as_slice(), b"/", name.as_bytes()].concat()
    }

    /// Returns the path of `name` in the file system.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file with its folders.
    pub(super) fn write(&self, name: &str, content: &[u8]) {
        let path = self.place(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Makes a snapshot of the folder, one second after the last.
    pub(super) fn backup(&self) -> (SnapshotId, Snapshot) {
        let walk = WalkOptions { paths: vec![self.folder.path().to_path_buf()], ..WalkOptions::default() };
        let options = BackupOptions {
            input: Input::Paths(walk),
            host: "test".into(),
            user: "tester".into(),
            owner: (0, 0),
            job: String::new(),
            program: "test".into(),
            tags: Vec::new(),
            metadata: Vec::new(),
            time: Some(Time::from_seconds(self.seconds.fetch_add(1, Ordering::Relaxed))),
            parent: ParentChoice::Newest,
            force: true,
            class: None,
            dry_run: false,
            skip_if_unchanged: false,
            estimate: false,
        };
        let id = backup(&self.repository, &options).unwrap().snapshot.unwrap();
        (id, self.repository.load_snapshot(&id).unwrap())
    }
}
