//! A small repository in memory for the tests of this room.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::Backend;
use crate::backend::memory::MemoryBackend;
use crate::base::{ChunkId, SnapshotId, Time};
use crate::codec::Hint;
use crate::format::node::{ChunkRef, Node, NodeKind};
use crate::format::snapshot::{Snapshot, Totals};
use crate::repository::{
    ChunkReader, ChunkWriter, DirectoryWriter, Environment, InitOptions, ListReader, ListWriter, OpenSecret,
    Repository, find_path, testing,
};

pub(crate) use crate::repository::testing::{noise, secret};

/// Length of the chunks that files are cut into here.
pub(crate) const CHUNK_BYTES: usize = 1_000;

/// Files by path: `name` or `directory/name`.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) fn environment(backend: Arc<dyn Backend>, seed: u64) -> Environment {
    Environment { host: "host".to_owned(), ..testing::environment(backend, seed) }
}

pub(crate) fn new_repository(backend: &MemoryBackend, seed: u64) -> Arc<Repository> {
    let options = InitOptions { secret: secret(), label: "test".to_owned() };
    Arc::new(Repository::init(environment(Arc::new(backend.clone()), seed), &options).unwrap())
}

pub(crate) fn reopen(backend: Arc<dyn Backend>, seed: u64) -> Arc<Repository> {
    let secret = OpenSecret::KeyFile(secret());
    Arc::new(Repository::open_without_sync(environment(backend, seed), &secret).unwrap())
}

pub(crate) fn node(name: &str, kind: NodeKind) -> Node {
    Node {
        name: name.as_bytes().to_vec(),
        kind,
        changed: false,
        sparse: false,
        mode: 0o644,
        uid: 0,
        gid: 0,
        user: String::new(),
        group: String::new(),
        mtime: Time::from_seconds(1),
        ctime: Time::from_seconds(1),
        inode: 1,
        link_device: None,
        xattrs: Vec::new(),
    }
}

/// Stores the content of a file, its new chunks in packs of their own, and returns its node.
pub(crate) fn store_file(repository: &Arc<Repository>, name: &str, data: &[u8]) -> Node {
    let mut writer = ChunkWriter::new(repository.clone(), false).unwrap();
    let mut list = ListWriter::new();
    for piece in data.chunks(CHUNK_BYTES) {
        let id = repository.keys().data_id(piece);
        writer.add_data(id, piece, Hint::Stored).unwrap();
        let length_bytes = u32::try_from(piece.len()).unwrap();
        list.push(ChunkRef { id, length_bytes }, &mut writer).unwrap();
    }
    let content = list.finish(&mut writer).unwrap();
    writer.finish().unwrap();
    let size_bytes = u64::try_from(data.len()).unwrap();
    node(name, NodeKind::File { size_bytes, class: 0, content })
}

pub(crate) fn store_directory(repository: &Arc<Repository>, nodes: &[Node]) -> ChunkId {
    let mut writer = ChunkWriter::new(repository.clone(), false).unwrap();
    let mut directory = DirectoryWriter::new();
    for node in nodes {
        directory.push(node, &mut writer).unwrap();
    }
    let root = directory.finish(&mut writer).unwrap();
    writer.finish().unwrap();
    root
}

pub(crate) fn store_root(repository: &Arc<Repository>, root: ChunkId, seconds: i64) -> SnapshotId {
    let snapshot = Snapshot {
        repository: repository.keys().repository(),
        time: Time::from_seconds(seconds),
        began: Time::from_seconds(seconds),
        ended: Time::from_seconds(seconds),
        host: "host".into(),
        user: "user".into(),
        job: String::new(),
        program: "snap".into(),
        tags: vec![],
        metadata: vec![],
        paths: vec![],
        sources: vec![],
        root,
        parent: None,
        original: None,
        totals: Totals::default(),
        features: vec![],
        seen: [0; 32],
    };
    repository.store_snapshot(&snapshot).unwrap()
}

/// Stores a snapshot of `files`.
pub(crate) fn store_files(repository: &Arc<Repository>, files: &Files, seconds: i64) -> SnapshotId {
    let mut directories: BTreeMap<&str, Vec<Node>> = BTreeMap::new();
    let mut top = Vec::new();
    for (path, data) in files {
        match path.split_once('/') {
            Some((directory, name)) => {
                directories.entry(directory).or_default().push(store_file(repository, name, data));
            }
            None => top.push(store_file(repository, path, data)),
        }
    }
    for (name, nodes) in directories {
        let tree = store_directory(repository, &nodes);
        top.push(node(name, NodeKind::Directory { tree }));
    }
    top.sort_by(|a, b| a.name.cmp(&b.name));
    store_root(repository, store_directory(repository, &top), seconds)
}

/// Returns the content of a file of a snapshot, or the error of reading it.
pub(crate) fn read_file(
    repository: &Repository,
    snapshot: &SnapshotId,
    path: &str,
) -> Result<Vec<u8>, crate::repository::Error> {
    let reader = ChunkReader::new(repository);
    let root = repository.load_snapshot(snapshot)?.root;
    let found = find_path(&reader, &root, path.as_bytes())?.unwrap();
    let NodeKind::File { size_bytes, content, .. } = found.kind else { unreachable!("not a file") };
    let mut list = ListReader::new(&reader, &content, size_bytes)?;
    let mut data = Vec::new();
    while let Some(chunk) = list.next_chunk()? {
        data.extend_from_slice(&reader.read(crate::format::pack::Content::Data, &chunk.id)?);
    }
    Ok(data)
}
