//! For tests: a repository in memory, and described trees stored as snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use zeroize::Zeroizing;

use super::{
    ChunkWriter, DirectoryWriter, Environment, Error, IndexPlace, InitOptions, ListWriter, OpenSecret,
    Repository,
};
use crate::backend::Backend;
use crate::backend::memory::MemoryBackend;
use crate::backend::record::RecordBackend;
use crate::base::clock::{SeededEntropy, SystemClock};
use crate::base::{ChunkId, Memory, NoProgress, SnapshotId, Time};
use crate::codec::Hint;
use crate::crypto::Secret;
use crate::format::node::{ChunkRef, FileContent, Node, NodeKind};
use crate::format::snapshot::{Snapshot, Totals};

/// A repository in memory whose requests are counted.
pub(crate) struct TestRepository {
    pub(crate) repository: Arc<Repository>,
    pub(crate) memory: MemoryBackend,
    pub(crate) record: Arc<RecordBackend>,
    /// Length of the chunks that files are cut into.
    pub(crate) chunk_bytes: usize,
}

/// One entry of a described tree.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) node: Node,
    pub(crate) content: Vec<u8>,
    pub(crate) children: BTreeMap<Vec<u8>, Entry>,
}

impl Entry {
    fn of(kind: NodeKind, mode: u32) -> Self {
        let node = Node {
            name: Vec::new(),
            kind,
            changed: false,
            sparse: false,
            mode,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            user: String::new(),
            group: String::new(),
            mtime: Time { seconds: 1_600_000_000, nanoseconds: 123_456_789 },
            ctime: Time::default(),
            inode: 1,
            link_device: None,
            xattrs: Vec::new(),
        };
        Self { node, content: Vec::new(), children: BTreeMap::new() }
    }

    /// Returns a file.
    pub(crate) fn file(content: impl Into<Vec<u8>>) -> Self {
        let kind = NodeKind::File { size_bytes: 0, class: 0, content: FileContent::Inline(Vec::new()) };
        Self { content: content.into(), ..Self::of(kind, 0o644) }
    }

    /// Returns a directory.
    pub(crate) fn directory<N: Into<Vec<u8>>>(children: impl IntoIterator<Item = (N, Entry)>) -> Self {
        let children = children.into_iter().map(|(name, child)| (name.into(), child)).collect();
        Self { children, ..Self::of(NodeKind::Directory { tree: ChunkId([0; 32]) }, 0o755) }
    }

    /// Returns a symlink.
    pub(crate) fn symlink(target: &str) -> Self {
        Self::of(NodeKind::Symlink { target: target.as_bytes().to_vec() }, 0o777)
    }

    /// Returns a pipe, device or socket.
    pub(crate) fn special(kind: NodeKind) -> Self {
        Self::of(kind, 0o640)
    }

    /// Returns the entry with its node changed.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Node)) -> Self {
        change(&mut self.node);
        self
    }
}

impl TestRepository {
    /// Returns an empty repository; `seed` decides its keys and nonces.
    pub(crate) fn new(seed: u64) -> Self {
        let memory = MemoryBackend::new();
        let record = Arc::new(RecordBackend::new(Arc::new(memory.clone())));
        let options = InitOptions { secret: secret(), label: String::new() };
        let repository = Repository::init(environment(record.clone(), seed), &options).unwrap();
        Self { repository: Arc::new(repository), memory, record, chunk_bytes: 4096 }
    }

    /// Opens it once more, in an environment changed by `change`.
    pub(crate) fn open(&self, change: impl FnOnce(&mut Environment)) -> Result<Arc<Repository>, Error> {
        let mut environment = environment(Arc::new(self.memory.clone()), 0);
        change(&mut environment);
        Repository::open(environment, &OpenSecret::KeyFile(secret())).map(Arc::new)
    }

    /// Stores `root` as what is at `/`. The snapshot names the entries of `root` as its paths.
    pub(crate) fn store(&self, root: &Entry) -> (SnapshotId, Snapshot) {
        let mut writer = ChunkWriter::new(self.repository.clone(), false).unwrap();
        let tree = self.store_directory(root, &mut writer);
        writer.finish().unwrap();
        let now = Time::from_seconds(1_700_000_000);
        let snapshot = Snapshot {
            repository: self.repository.config().repository,
            time: now,
            began: now,
            ended: now,
            host: "test".to_owned(),
            user: String::new(),
            job: String::new(),
            program: "test".to_owned(),
            tags: Vec::new(),
            metadata: Vec::new(),
            paths: root.children.keys().map(|name| [b"/", name.as_slice()].concat()).collect(),
            sources: Vec::new(),
            root: tree,
            parent: None,
            original: None,
            totals: Totals::default(),
            features: Vec::new(),
            seen: [0; 32],
        };
        (self.repository.store_snapshot(&snapshot).unwrap(), snapshot)
    }

    fn store_directory(&self, directory: &Entry, writer: &mut ChunkWriter) -> ChunkId {
        let mut nodes = DirectoryWriter::new();
        for (name, entry) in &directory.children {
            let mut node = Node { name: name.clone(), ..entry.node.clone() };
            match &mut node.kind {
                NodeKind::Directory { tree } => *tree = self.store_directory(entry, writer),
                NodeKind::File { size_bytes, content, .. } => {
                    *size_bytes = entry.content.len() as u64;
                    *content = self.store_content(&entry.content, writer);
                }
                _ => {}
            }
            nodes.push(&node, writer).unwrap();
        }
        nodes.finish(writer).unwrap()
    }

    fn store_content(&self, content: &[u8], writer: &mut ChunkWriter) -> FileContent {
        let mut list = ListWriter::new();
        for plain in content.chunks(self.chunk_bytes) {
            let id = self.repository.keys().data_id(plain);
            writer.add_data(id, plain, Hint::Unknown).unwrap();
            let length_bytes = u32::try_from(plain.len()).unwrap();
            list.push(ChunkRef { id, length_bytes }, writer).unwrap();
        }
        list.finish(writer).unwrap()
    }
}

/// The secret of every repository in memory.
pub(crate) fn secret() -> Secret {
    Secret::Raw(Zeroizing::new([7; 32]))
}

/// An environment without a memory of its own, in which everything random comes from `seed`.
pub(crate) fn environment(backend: Arc<dyn Backend>, seed: u64) -> Environment {
    Environment {
        backend,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SeededEntropy::new(seed)),
        progress: Arc::new(NoProgress),
        stop: Arc::new(AtomicBool::new(false)),
        host: "test".to_owned(),
        index: IndexPlace::Temporary,
        memory: Memory::default(),
    }
}

/// Returns bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    crate::base::Entropy::fill(&SeededEntropy::new(seed), &mut bytes);
    bytes
}
