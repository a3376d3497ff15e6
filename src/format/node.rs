//! Nodes: the entries of a directory (`format-spec/09-trees.md` 9.1, 9.2).

use super::CLASS_NUMBERS;
use super::wire::{FormatError, Reader, Writer, length, require_ascending};
use crate::base::limits::{
    CHUNK_SIZE_MAX_BYTES, INLINE_CHUNK_COUNT_MAX, LINK_TARGET_MAX_BYTES, LIST_LEVEL_MAX, NAME_MAX_BYTES,
    XATTR_TOTAL_MAX_BYTES,
};
use crate::base::{ChunkId, Time};

/// Flag of a file that changed while it was read.
const FLAG_CHANGED: u8 = 1;
/// Flag of a file that had holes.
const FLAG_SPARSE: u8 = 2;

/// A data chunk of a file, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRef {
    /// Its id.
    pub id: ChunkId,
    /// Its plaintext length.
    pub length_bytes: u32,
}

/// Where a file's content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// A few chunks, in the node itself.
    Inline(Vec<ChunkRef>),
    /// A hash tree of list chunks.
    List {
        /// Its root.
        root: ChunkId,
        /// Level of the root.
        level: u8,
        /// Data chunks in all.
        chunk_count: u64,
    },
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File {
        /// Its length.
        size_bytes: u64,
        /// Number of its class.
        class: u8,
        /// Its content.
        content: FileContent,
    },
    /// A directory, by the root of its tree.
    Directory {
        /// Root tree chunk.
        tree: ChunkId,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as stored in the source.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A socket; restored as nothing.
    Socket,
}

impl NodeKind {
    /// Returns the number in the node.
    pub fn number(&self) -> u8 {
        match self {
            Self::File { .. } => 0,
            Self::Directory { .. } => 1,
            Self::Symlink { .. } => 2,
            Self::Fifo => 3,
            Self::CharDevice { .. } => 4,
            Self::BlockDevice { .. } => 5,
            Self::Socket => 6,
        }
    }
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// One path component.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: NodeKind,
    /// The file changed while it was read.
    pub changed: bool,
    /// The file had holes.
    pub sparse: bool,
    /// Low twelve bits of the mode.
    pub mode: u32,
    /// Owner by number.
    pub uid: u32,
    /// Group by number.
    pub gid: u32,
    /// Owner by name, empty when unknown.
    pub user: String,
    /// Group by name, empty when unknown.
    pub group: String,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of the inode.
    pub ctime: Time,
    /// Inode number.
    pub inode: u64,
    /// Device of the hard-link group, for what has several names.
    pub link_device: Option<u64>,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Tells whether `name` may be one path component of a snapshot.
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty()
        && length(name.len()) <= NAME_MAX_BYTES
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| *byte == b'/' || *byte == 0)
}

impl Node {
    /// Returns the content length of a file, 0 for all else.
    pub fn size_bytes(&self) -> u64 {
        match self.kind {
            NodeKind::File { size_bytes, .. } => size_bytes,
            _ => 0,
        }
    }

    /// Tells whether this is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, NodeKind::Directory { .. })
    }

    /// Appends the node.
    pub fn encode(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.validate()?;
        out.bytes16(&self.name, "name")?.u8(self.kind.number());
        out.u8(u8::from(self.changed) * FLAG_CHANGED + u8::from(self.sparse) * FLAG_SPARSE);
        out.u32(self.mode).u32(self.uid).u32(self.gid);
        out.text(&self.user, "user name")?.text(&self.group, "group name")?;
        out.time(self.mtime).time(self.ctime).u64(self.inode);
        out.option(self.link_device.map(u64::to_le_bytes).as_ref().map(|bytes| bytes.as_slice()));
        out.count16(self.xattrs.len(), u64::from(u16::MAX), "extended attributes")?;
        for (name, value) in &self.xattrs {
            out.bytes16(name, "attribute name")?;
            out.count32(value.len(), XATTR_TOTAL_MAX_BYTES, "attribute value")?.raw(value);
        }
        match &self.kind {
            NodeKind::File { size_bytes, class, content } => {
                out.u64(*size_bytes).u8(*class);
                encode_content(content, out);
            }
            NodeKind::Directory { tree } => {
                out.raw(&tree.0);
            }
            NodeKind::Symlink { target } => {
                out.bytes16(target, "link target")?;
            }
            NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                out.u32(*major).u32(*minor);
            }
            NodeKind::Fifo | NodeKind::Socket => {}
        }
        Ok(())
    }

    /// Takes a node.
    pub fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let name = input.bytes16(NAME_MAX_BYTES, "name")?.to_vec();
        let number = input.u8("node type")?;
        let flags = input.u8("node flags")?;
        if flags & !(FLAG_CHANGED | FLAG_SPARSE) != 0 {
            return Err(FormatError::invalid("node flag"));
        }
        let (mode, uid, gid) = (input.u32("mode")?, input.u32("uid")?, input.u32("gid")?);
        let (user, group) = (input.text("user name")?, input.text("group name")?);
        let (mtime, ctime) = (input.time("mtime")?, input.time("ctime")?);
        let inode = input.u64("inode")?;
        let link_device = match input.option("hard-link group")? {
            true => Some(input.u64("device")?),
            false => None,
        };
        let count = input.count16(u64::from(u16::MAX), 6, "extended attributes")?;
        let mut xattrs = Vec::with_capacity(count);
        for _ in 0..count {
            let name = input.bytes16(XATTR_TOTAL_MAX_BYTES, "attribute name")?.to_vec();
            xattrs.push((name, input.bytes32(XATTR_TOTAL_MAX_BYTES, "attribute value")?.to_vec()));
        }
        let node = Self {
            name,
            kind: decode_kind(number, input)?,
            changed: flags & FLAG_CHANGED != 0,
            sparse: flags & FLAG_SPARSE != 0,
            mode,
            uid,
            gid,
            user,
            group,
            mtime,
            ctime,
            inode,
            link_device,
            xattrs,
        };
        node.validate()?;
        Ok(node)
    }

    fn validate(&self) -> Result<(), FormatError> {
        if !is_valid_name(&self.name) {
            return Err(FormatError::invalid("name of a node"));
        }
        let is_file = matches!(self.kind, NodeKind::File { .. });
        if self.mode > 0o7777 || (self.is_directory() && self.link_device.is_some()) {
            return Err(FormatError::invalid("mode or hard-link group of a node"));
        }
        if !is_file && (self.changed || self.sparse) {
            return Err(FormatError::invalid("flag of a node that is no file"));
        }
        let names: Vec<&Vec<u8>> = self.xattrs.iter().map(|(name, _)| name).collect();
        require_ascending(&names, "order of extended attributes")?;
        let total: usize = self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if length(total) > XATTR_TOTAL_MAX_BYTES
            || names.iter().any(|name| name.is_empty() || name.contains(&0))
        {
            return Err(FormatError::invalid("extended attributes"));
        }
        match &self.kind {
            NodeKind::File { class, .. } if !CLASS_NUMBERS.contains(class) => {
                Err(FormatError::invalid("class of a file"))
            }
            NodeKind::File { size_bytes, content, .. } => validate_content(*size_bytes, content),
            NodeKind::Symlink { target } => {
                let good = !target.is_empty()
                    && length(target.len()) <= LINK_TARGET_MAX_BYTES
                    && !target.contains(&0);
                if good { Ok(()) } else { Err(FormatError::invalid("link target")) }
            }
            _ => Ok(()),
        }
    }
}

fn encode_content(content: &FileContent, out: &mut Writer) {
    match content {
        FileContent::Inline(chunks) => {
            // At most INLINE_CHUNK_COUNT_MAX, as validated.
            out.u8(0).u8(u8::try_from(chunks.len()).unwrap_or(u8::MAX));
            for chunk in chunks {
                out.raw(&chunk.id.0).u32(chunk.length_bytes);
            }
        }
        FileContent::List { root, level, chunk_count } => {
            out.u8(1).raw(&root.0).u8(*level).u64(*chunk_count);
        }
    }
}

fn decode_content(input: &mut Reader<'_>) -> Result<FileContent, FormatError> {
    match input.u8("content form")? {
        0 => {
            let count = input.u8("inline chunks")?;
            let chunks = (0..count)
                .map(|_| {
                    let id = ChunkId(input.array("chunk id")?);
                    Ok(ChunkRef { id, length_bytes: input.u32("chunk length")? })
                })
                .collect::<Result<_, FormatError>>()?;
            Ok(FileContent::Inline(chunks))
        }
        1 => Ok(FileContent::List {
            root: ChunkId(input.array("list root")?),
            level: input.u8("list level")?,
            chunk_count: input.u64("chunk count")?,
        }),
        _ => Err(FormatError::invalid("content form")),
    }
}

fn decode_kind(number: u8, input: &mut Reader<'_>) -> Result<NodeKind, FormatError> {
    Ok(match number {
        0 => NodeKind::File {
            size_bytes: input.u64("size")?,
            class: input.u8("class")?,
            content: decode_content(input)?,
        },
        1 => NodeKind::Directory { tree: ChunkId(input.array("tree")?) },
        2 => NodeKind::Symlink { target: input.bytes16(LINK_TARGET_MAX_BYTES, "link target")?.to_vec() },
        3 => NodeKind::Fifo,
        4 => NodeKind::CharDevice { major: input.u32("major")?, minor: input.u32("minor")? },
        5 => NodeKind::BlockDevice { major: input.u32("major")?, minor: input.u32("minor")? },
        6 => NodeKind::Socket,
        _ => return Err(FormatError::invalid("node type")),
    })
}

fn validate_content(size_bytes: u64, content: &FileContent) -> Result<(), FormatError> {
    match content {
        FileContent::Inline(chunks) => {
            let lengths_hold = chunks
                .iter()
                .all(|chunk| chunk.length_bytes > 0 && u64::from(chunk.length_bytes) <= CHUNK_SIZE_MAX_BYTES);
            let total: u64 = chunks.iter().map(|chunk| u64::from(chunk.length_bytes)).sum();
            if !lengths_hold || total != size_bytes || length(chunks.len()) > INLINE_CHUNK_COUNT_MAX {
                return Err(FormatError::invalid("inline chunks"));
            }
        }
        FileContent::List { level, chunk_count, .. } => {
            if u64::from(*level) > LIST_LEVEL_MAX
                || *chunk_count <= INLINE_CHUNK_COUNT_MAX
                || *chunk_count > size_bytes
            {
                return Err(FormatError::invalid("chunk list of a file"));
            }
        }
    }
    Ok(())
}
