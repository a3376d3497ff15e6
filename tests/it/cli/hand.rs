//! Trees, blocks and configs put together by hand, as no encoder of the program makes them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use snap::backend::{Location, ObjectKey, OpenOptions};
use snap::base::{ChunkId, Memory, NoProgress, SnapshotId, SystemClock, SystemEntropy, Time};
use snap::codec::{Base, Coding, Hint, PartCoder, encode};
use snap::crypto::Secret;
use snap::format::config::Config;
use snap::format::pack::{Content, DirectoryBlock, DirectoryChunk};
use snap::format::sealed::{associated_data, wrap};
use snap::format::snapshot::{Snapshot, Totals};
use snap::format::wire::Writer;
use snap::format::{Kind, frame, sheet};
use snap::pack::SealedBlock;
use snap::repository::{ChunkWriter, Environment, IndexPlace, OpenSecret, Repository};
use zeroize::Zeroizing;

use super::User;

/// First byte of every tree chunk.
const TREE_TAG: u8 = 0x54;

/// A node, field by field; nothing is checked.
#[derive(Clone)]
pub(super) struct RawNode {
    pub(super) name: Vec<u8>,
    pub(super) number: u8,
    pub(super) flags: u8,
    pub(super) mode: u32,
    pub(super) owner: u32,
    pub(super) mtime: Time,
    pub(super) inode: u64,
    pub(super) link_device: Option<u64>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What follows, by the number.
    pub(super) rest: Vec<u8>,
}

impl RawNode {
    fn new(name: impl AsRef<[u8]>, number: u8, rest: Vec<u8>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            number,
            flags: 0,
            mode: 0o755,
            owner: 0,
            mtime: Time::from_seconds(1_000_000_000),
            inode: 1,
            link_device: None,
            xattrs: Vec::new(),
            rest,
        }
    }

    pub(super) fn file(name: impl AsRef<[u8]>, chunk: &ChunkId, length: u32) -> Self {
        let mut rest = Writer::new();
        rest.u64(u64::from(length)).u8(0).u8(0).u8(1).raw(&chunk.0).u32(length);
        Self::new(name, 0, rest.finish())
    }

    /// A file of which a list says what is in it.
    pub(super) fn listed(
        name: impl AsRef<[u8]>,
        size_bytes: u64,
        root: &ChunkId,
        level: u8,
        count: u64,
    ) -> Self {
        let mut rest = Writer::new();
        rest.u64(size_bytes).u8(0).u8(1).raw(&root.0).u8(level).u64(count);
        Self::new(name, 0, rest.finish())
    }

    pub(super) fn directory(name: impl AsRef<[u8]>, tree: &ChunkId) -> Self {
        Self::new(name, 1, tree.0.to_vec())
    }

    pub(super) fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        let target = target.as_ref();
        let mut rest = Writer::new();
        rest.u16(u16::try_from(target.len()).unwrap()).raw(target);
        Self::new(name, 2, rest.finish())
    }

    pub(super) fn fifo(name: impl AsRef<[u8]>) -> Self {
        Self::new(name, 3, Vec::new())
    }

    /// A device: 4 for one of characters, 5 for one of blocks.
    pub(super) fn device(name: impl AsRef<[u8]>, number: u8, major: u32, minor: u32) -> Self {
        let mut rest = Writer::new();
        rest.u32(major).u32(minor);
        Self::new(name, number, rest.finish())
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn encode(&self, out: &mut Writer) {
        out.u16(u16::try_from(self.name.len()).unwrap()).raw(&self.name);
        out.u8(self.number).u8(self.flags).u32(self.mode).u32(self.owner).u32(self.owner);
        // No names of user and group.
        out.u16(0).u16(0).time(self.mtime).time(self.mtime).u64(self.inode);
        match self.link_device {
            None => out.u8(0),
            Some(device) => out.u8(1).u64(device),
        };
        out.u16(u16::try_from(self.xattrs.len()).unwrap());
        for (name, value) in &self.xattrs {
            out.u16(u16::try_from(name.len()).unwrap()).raw(name);
            out.u32(u32::try_from(value.len()).unwrap()).raw(value);
        }
        out.raw(&self.rest);
    }
}

/// A leaf that says that it has `count` nodes.
pub(super) fn leaf(count: u32, nodes: &[RawNode]) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(TREE_TAG).u8(0).u32(count);
    nodes.iter().for_each(|node| node.encode(&mut out));
    out.finish()
}

/// An inner chunk that says that it has `count` children.
pub(super) fn inner(level: u8, count: u32, children: &[ChunkId]) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(TREE_TAG).u8(level).u32(count);
    for child in children {
        out.raw(&child.0);
    }
    out.finish()
}

/// A hand that writes into a user's default repository with the key of that user.
pub(super) struct Hand {
    repository: Arc<Repository>,
    writer: ChunkWriter,
}

impl Hand {
    pub(super) fn new(user: &User) -> Self {
        let text = std::fs::read_to_string(user.key()).unwrap();
        let (_, secret) = sheet::decode(&text).unwrap();
        let secret = Secret::Raw(Zeroizing::new(<[u8; 32]>::try_from(secret.as_slice()).unwrap()));
        let options = OpenOptions::new(&|_| None);
        let environment = Environment {
            backend: snap::backend::open(&Location::Local(user.repository()), &options).unwrap(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            progress: Arc::new(NoProgress),
            stop: Arc::new(AtomicBool::new(false)),
            host: "hand".to_owned(),
            index: IndexPlace::Temporary,
            memory: Memory::default(),
        };
        let repository = Arc::new(Repository::open(environment, &OpenSecret::KeyFile(secret)).unwrap());
        let writer = ChunkWriter::new(repository.clone(), false).unwrap();
        Self { repository, writer }
    }

    /// Stores a chunk of a file.
    pub(super) fn data(&mut self, plain: &[u8]) -> ChunkId {
        let id = self.repository.keys().data_id(plain);
        self.writer.add_data(id, plain, Hint::Stored).unwrap();
        id
    }

    /// Stores a file of one chunk.
    pub(super) fn file(&mut self, name: impl AsRef<[u8]>, plain: &[u8]) -> RawNode {
        let id = self.data(plain);
        RawNode::file(name, &id, u32::try_from(plain.len()).unwrap())
    }

    /// Stores a tree chunk, whatever is in it.
    pub(super) fn tree(&mut self, plain: Vec<u8>) -> ChunkId {
        self.writer.add_tree(plain).unwrap()
    }

    /// Stores a directory of these nodes.
    pub(super) fn directory(&mut self, nodes: &[RawNode]) -> ChunkId {
        self.tree(leaf(u32::try_from(nodes.len()).unwrap(), nodes))
    }

    /// Stores a chunk of a file in a block whose bytes before sealing are what `change` makes of them.
    pub(super) fn data_coded(&mut self, plain: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> ChunkId {
        let keys = self.repository.keys();
        let id = keys.data_id(plain);
        let mut coded = encode(plain, Coding::Whole(PartCoder::Raw), Base::NONE).unwrap();
        change(&mut coded);
        let stored = keys.seal(&associated_data(Kind::Block, &keys.repository()), &coded);
        let length_bytes = u32::try_from(plain.len()).unwrap();
        let entry = DirectoryBlock {
            stored_bytes: u32::try_from(stored.len()).unwrap(),
            depth: 0,
            bases: Vec::new(),
            chunks: vec![DirectoryChunk { id, length_bytes }],
        };
        let block = SealedBlock { stored: stored.into(), entry, fell_back: false };
        assert!(self.writer.move_block(Content::Data, block).unwrap());
        id
    }

    /// Stores the config anew, under the next number, as `change` makes it.
    pub(super) fn change_config(&self, change: impl FnOnce(&mut Config)) {
        let keys = self.repository.keys();
        let mut config = self.repository.config().clone();
        change(&mut config);
        let framed = frame::encode(&config.encode().unwrap(), 1 << 16, "config").unwrap();
        let sealed = keys.seal(&associated_data(Kind::Config, &keys.repository()), &framed);
        let bytes = wrap(Kind::Config, &sealed);
        self.repository.backend().put_new(&ObjectKey::config(2), bytes.into()).unwrap();
    }

    /// Stores snapshots of these roots.
    pub(super) fn finish(self, roots: &[ChunkId]) -> Vec<SnapshotId> {
        self.finish_with(roots, &[])
    }

    /// Stores snapshots of these roots that need `features`.
    pub(super) fn finish_with(self, roots: &[ChunkId], features: &[&str]) -> Vec<SnapshotId> {
        self.writer.finish().unwrap();
        let time = Time::from_seconds(1_700_000_000);
        let snapshot = |root: &ChunkId| Snapshot {
            repository: self.repository.keys().repository(),
            time,
            began: time,
            ended: time,
            host: "host".to_owned(),
            user: "user".to_owned(),
            job: String::new(),
            program: "by hand".to_owned(),
            tags: Vec::new(),
            metadata: Vec::new(),
            paths: vec![b"/".to_vec()],
            sources: Vec::new(),
            root: *root,
            parent: None,
            original: None,
            totals: Totals::default(),
            features: features.iter().map(|name| (*name).to_owned()).collect(),
            seen: [0; 32],
        };
        roots.iter().map(|root| self.repository.store_snapshot(&snapshot(root)).unwrap()).collect()
    }
}
