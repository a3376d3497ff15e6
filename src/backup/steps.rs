//! What the reading side tells the storing side, in the order of the tree.

use std::sync::mpsc::Receiver;

use super::pieces::{Piece, PiecesLater};
use crate::container::Layout;
use crate::format::node::{FileContent, Node};
use crate::source::{Class, EntryKind, Metadata, SourceError};

/// A small file, read as a whole.
#[derive(Debug)]
pub(super) struct SmallFile {
    pub(super) pieces: Vec<Piece>,
    pub(super) class: Class,
    /// Its tensors.
    pub(super) layout: Option<Layout>,
    pub(super) size_bytes: u64,
    /// What changed while it was read.
    pub(super) changed: Option<&'static str>,
}

/// A small file and what came of reading it.
#[derive(Debug)]
pub(super) struct ReadFile {
    pub(super) name: Vec<u8>,
    pub(super) path: Vec<u8>,
    pub(super) metadata: Metadata,
    /// Why its attributes are missing.
    pub(super) problem: Option<SourceError>,
    pub(super) outcome: Result<SmallFile, SourceError>,
}

/// What the parent snapshot has in the place of a file that changed.
#[derive(Debug, Clone)]
pub(super) struct Older {
    pub(super) content: FileContent,
    pub(super) size_bytes: u64,
    /// Number of its class.
    pub(super) class: u8,
}

/// One step. Files arrive as one `Small` in a `Parcel`, or as `Begin`, any `Pieces`, `End`.
#[derive(Debug)]
pub(super) enum Step {
    /// A directory begins.
    Enter { name: Vec<u8>, metadata: Metadata },
    /// The directory entered last ends.
    Leave,
    /// Something without content.
    Other { name: Vec<u8>, metadata: Metadata },
    /// A file that is as the parent snapshot has it.
    Unchanged { name: Vec<u8>, metadata: Metadata, content: FileContent, class: u8 },
    /// Another name of a file that came before.
    Linked { name: Vec<u8>, path: Vec<u8>, metadata: Metadata },
    /// The next small file of the parcel that this is in.
    Small { older: Option<Older> },
    /// Several steps, none of them a parcel or of a large file, and the small files among them.
    Parcel { steps: Vec<Step>, files: Receiver<Vec<ReadFile>> },
    /// A large file or stream begins.
    Begin {
        name: Vec<u8>,
        path: Vec<u8>,
        metadata: Metadata,
        older: Option<Older>,
        class: Class,
        layout: Option<Layout>,
    },
    /// Its next chunks.
    Pieces(PiecesLater),
    /// It ends: bytes read, what changed meanwhile; or it could not be read to its end.
    End(Result<EndOfFile, SourceError>),
    /// Something could not be read.
    Failed(SourceError),
    /// The reading side itself failed.
    Broken(crate::repository::Error),
}

/// How a large file ended.
#[derive(Debug)]
pub(super) struct EndOfFile {
    pub(super) changed: Option<&'static str>,
}

/// Returns the node of `name` with the metadata of the source; the caller knows what `kind` holds.
pub(super) fn node_of(name: Vec<u8>, metadata: &Metadata, kind: crate::format::node::NodeKind) -> Node {
    let is_directory = metadata.kind == EntryKind::Directory;
    Node {
        name,
        kind,
        changed: false,
        sparse: metadata.is_sparse(),
        mode: metadata.mode & 0o7777,
        uid: metadata.uid,
        gid: metadata.gid,
        user: metadata.user.clone(),
        group: metadata.group.clone(),
        mtime: metadata.mtime,
        ctime: metadata.ctime,
        inode: metadata.inode,
        link_device: (metadata.links > 1 && !is_directory).then_some(metadata.device),
        xattrs: metadata.xattrs.clone(),
    }
}
