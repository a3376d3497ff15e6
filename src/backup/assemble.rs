//! The storing side: takes steps in order, stores what is new, and builds the trees.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;

use super::kin::{self, KinKey};
use super::likeness::Likeness;
use super::numbers::Numbers;
use super::pieces::Piece;
use super::previous::Previous;
use super::runs::Runs;
use super::states::StateLog;
use super::steps::{Older, ReadFile, SmallFile, Step, node_of};
use super::tensors::Former;
use crate::base::ChunkId;
use crate::container::Layout;
use crate::format::node::{ChunkRef, FileContent, Node, NodeKind};
use crate::format::snapshot::Totals;
use crate::repository::{ChunkReader, ChunkWriter, DirectoryWriter, Error, ListWriter};
use crate::source::{Class, EntryKind, Metadata, SourceError};

/// Hard-link groups whose content is remembered.
const LINKS_MAX: usize = 200_000;

/// A file whose chunks are arriving.
struct OpenFile<'a, 'r> {
    name: Vec<u8>,
    path: Vec<u8>,
    metadata: Metadata,
    class: Class,
    content: NewContent<'a, 'r>,
}

/// The chunks of one file or stream as they arrive: those that are new, and the list of all.
pub(super) struct NewContent<'a, 'r> {
    list: ListWriter,
    runs: Runs<'a, 'r>,
    kin: Option<KinKey>,
}

/// A content that was stored whole.
pub(super) struct Ended {
    pub(super) content: FileContent,
    pub(super) size_bytes: u64,
    /// What it is remembered by.
    pub(super) kin: Option<KinKey>,
}

/// Builds the trees of one snapshot.
pub(super) struct Assembler<'a, 'r> {
    reader: &'a ChunkReader<'r>,
    likeness: Likeness,
    writer: ChunkWriter,
    directories: Vec<(Vec<u8>, Option<Metadata>, DirectoryWriter)>,
    file: Option<OpenFile<'a, 'r>>,
    links: HashMap<(u64, u64), (FileContent, u8, u64)>,
    states: StateLog,
    totals: Totals,
}

/// What came of assembling.
pub(super) struct Assembled {
    pub(super) root: ChunkId,
    pub(super) totals: Totals,
    pub(super) writer: ChunkWriter,
    pub(super) states: StateLog,
}

impl<'a, 'r> Assembler<'a, 'r> {
    /// Begins an empty root; `reader` is for what earlier snapshots have.
    pub(super) fn new(
        reader: &'a ChunkReader<'r>,
        writer: ChunkWriter,
        states: StateLog,
    ) -> Result<Self, Error> {
        Ok(Self {
            reader,
            likeness: Likeness::new(writer.repository())?,
            writer,
            directories: vec![(Vec::new(), None, DirectoryWriter::new())],
            file: None,
            links: HashMap::new(),
            states,
            totals: Totals::default(),
        })
    }

    /// Takes all steps.
    pub(super) fn run(&mut self, steps: &Receiver<Step>) -> Result<(), Error> {
        for step in steps {
            self.writer.repository().check_stop()?;
            self.take(step)?;
        }
        self.writer.repository().check_stop()
    }

    /// Ends the root tree.
    pub(super) fn finish(mut self) -> Result<Assembled, Error> {
        let (_, _, root) = self.directories.pop().ok_or(Error::Internal { what: "root directory" })?;
        if !self.directories.is_empty() || self.file.is_some() {
            return Err(Error::Internal { what: "the walk ended inside a directory" });
        }
        let root = root.finish(&mut self.writer)?;
        self.states.flush(self.writer.repository())?;
        Ok(Assembled { root, totals: self.totals, writer: self.writer, states: self.states })
    }

    /// Adds a node to the directory that is open.
    pub(super) fn push(&mut self, node: &Node) -> Result<(), Error> {
        let (_, _, directory) =
            self.directories.last_mut().ok_or(Error::Internal { what: "no open directory" })?;
        directory.push(node, &mut self.writer)
    }

    /// Opens a directory of the given name; `metadata` as for [`Assembler::leave`].
    pub(super) fn enter(&mut self, name: Vec<u8>, metadata: Option<Metadata>) {
        self.directories.push((name, metadata, DirectoryWriter::new()));
    }

    /// Counts a stream that was read whole.
    pub(super) fn count_stream(&mut self, size_bytes: u64) {
        self.totals.files += 1;
        self.totals.read_bytes += size_bytes;
        self.totals.content_bytes += size_bytes;
        self.writer.repository().progress().advance(1, 0);
    }

    /// Closes a directory that has no metadata of a source and returns its tree.
    pub(super) fn leave_plain(&mut self) -> Result<ChunkId, Error> {
        let (_, _, directory) = self.directories.pop().ok_or(Error::Internal { what: "leaving the root" })?;
        self.totals.directories += 1;
        directory.finish(&mut self.writer)
    }

    fn take(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Enter { name, metadata } => {
                self.enter(name, Some(metadata));
                Ok(())
            }
            Step::Leave => self.leave(),
            Step::Other { name, metadata } => self.other(name, &metadata),
            Step::Unchanged { name, metadata, content, class } => {
                self.totals.unchanged_files += 1;
                self.writer.repository().progress().advance(1, metadata.size_bytes);
                self.file_node(name, &metadata, metadata.size_bytes, class, content, None).map(|_| ())
            }
            Step::Linked { name, path, metadata } => self.linked(name, &path, &metadata),
            Step::Parcel { steps, files } => {
                let files =
                    files.recv().map_err(|_| Error::Internal { what: "reading files ended early" })?;
                self.parcel(steps, files)
            }
            Step::Small { .. } => Err(Error::Internal { what: "a small file outside of a parcel" }),
            Step::Begin { name, path, metadata, older, class, layout } => {
                self.writer.repository().progress().current(&path);
                let size_bytes = metadata.size_bytes;
                let content = self.begin_content(class, &path, layout.as_ref(), size_bytes, older)?;
                self.file = Some(OpenFile { name, path, metadata, class, content });
                Ok(())
            }
            Step::Pieces(later) => {
                let pieces = later.recv().map_err(|_| Error::Internal { what: "hashing ended early" })?;
                self.pieces(pieces)
            }
            Step::End(end) => match (self.file.take(), end) {
                (Some(file), Ok(end)) => self.end_file(file, end.changed),
                (_, Err(error)) => self.unread(&error),
                (None, Ok(_)) => Err(Error::Internal { what: "end without a file" }),
            },
            Step::Failed(error) => self.unread(&error),
            Step::Broken(error) => Err(error),
        }
    }

    /// Closes the directory that was opened last and adds it to the one above.
    pub(super) fn leave(&mut self) -> Result<(), Error> {
        let (name, metadata, directory) =
            self.directories.pop().ok_or(Error::Internal { what: "leaving the root" })?;
        let tree = directory.finish(&mut self.writer)?;
        let metadata = metadata.ok_or(Error::Internal { what: "directory without metadata" })?;
        self.totals.directories += 1;
        let node = node_of(name, &metadata, NodeKind::Directory { tree });
        self.push(&node)
    }

    fn other(&mut self, name: Vec<u8>, metadata: &Metadata) -> Result<(), Error> {
        let kind = match &metadata.kind {
            EntryKind::Symlink { target } => NodeKind::Symlink { target: target.clone() },
            EntryKind::Fifo => NodeKind::Fifo,
            EntryKind::CharDevice { major, minor } => NodeKind::CharDevice { major: *major, minor: *minor },
            EntryKind::BlockDevice { major, minor } => NodeKind::BlockDevice { major: *major, minor: *minor },
            EntryKind::Socket => NodeKind::Socket,
            EntryKind::File | EntryKind::Directory => {
                return Err(Error::Internal { what: "kind of an entry" });
            }
        };
        self.totals.others += 1;
        self.writer.repository().progress().advance(1, 0);
        self.push(&node_of(name, metadata, kind))
    }

    fn file_node(
        &mut self,
        name: Vec<u8>,
        metadata: &Metadata,
        size_bytes: u64,
        class: u8,
        content: FileContent,
        changed: Option<&'static str>,
    ) -> Result<Node, Error> {
        self.totals.files += 1;
        self.totals.content_bytes += size_bytes;
        if metadata.links > 1 && self.links.len() < LINKS_MAX {
            let group = (metadata.device, metadata.inode);
            self.links.insert(group, (content.clone(), class, size_bytes));
        }
        let kind = NodeKind::File { size_bytes, class, content };
        let node = Node { changed: changed.is_some(), ..node_of(name, metadata, kind) };
        self.push(&node)?;
        Ok(node)
    }

    fn linked(&mut self, name: Vec<u8>, path: &[u8], metadata: &Metadata) -> Result<(), Error> {
        let group = (metadata.device, metadata.inode);
        self.writer.repository().progress().advance(1, metadata.size_bytes);
        let Some((content, class, size_bytes)) = self.links.get(&group).cloned() else {
            self.totals.unread_sources += 1;
            let reason = "its other name could not be read";
            self.writer.repository().progress().source_error(path, reason);
            return Ok(());
        };
        self.file_node(name, metadata, size_bytes, class, content, None).map(|_| ())
    }

    /// Takes the steps of a parcel; all chunks of its files are looked up together.
    fn parcel(&mut self, steps: Vec<Step>, files: Vec<ReadFile>) -> Result<(), Error> {
        let read = files.iter().filter_map(|file| file.outcome.as_ref().ok());
        let ids: Vec<ChunkId> = read.flat_map(|file| file.pieces.iter().map(|piece| piece.id)).collect();
        let known = if ids.is_empty() { Vec::new() } else { self.writer.contains(&ids)? };
        let (mut known, mut files) = (known.into_iter(), files.into_iter());
        for step in steps {
            self.writer.repository().check_stop()?;
            let Step::Small { older } = step else {
                self.take(step)?;
                continue;
            };
            let missing = Error::Internal { what: "a small file that is not in its parcel" };
            let ReadFile { name, path, metadata, problem, outcome } = files.next().ok_or(missing)?;
            self.writer.repository().progress().current(&path);
            problem.map_or(Ok(()), |problem| self.unread(&problem))?;
            match outcome {
                Ok(file) => {
                    let known: Vec<bool> = known.by_ref().take(file.pieces.len()).collect();
                    self.small(name, path, &metadata, older, file, &known)?;
                }
                Err(error) => self.unread(&error)?,
            }
        }
        Ok(())
    }

    fn small(
        &mut self,
        name: Vec<u8>,
        path: Vec<u8>,
        metadata: &Metadata,
        older: Option<Older>,
        file: SmallFile,
        known: &[bool],
    ) -> Result<(), Error> {
        let mut content =
            self.begin_content(file.class, &path, file.layout.as_ref(), file.size_bytes, older)?;
        self.store_known(&file.pieces, known, &mut content)?;
        let Ended { content, kin, .. } = self.end_content(content)?;
        self.totals.read_bytes += file.size_bytes;
        self.writer.repository().progress().advance(1, file.size_bytes);
        if let Some(change) = file.changed {
            self.changed(&path, change);
        }
        let class = file.class.number();
        let node = self.file_node(name, metadata, file.size_bytes, class, content, file.changed)?;
        self.remember(kin.as_ref(), &node)?;
        self.states.record(self.writer.repository(), path, metadata, &node)
    }

    fn pieces(&mut self, pieces: Vec<Piece>) -> Result<(), Error> {
        let mut file = self.file.take().ok_or(Error::Internal { what: "chunks without a file" })?;
        let bytes = u64::try_from(pieces.iter().map(|piece| piece.data.len()).sum::<usize>());
        self.store(&pieces, &mut file.content)?;
        self.writer.repository().progress().advance(0, bytes.unwrap_or(u64::MAX));
        self.file = Some(file);
        Ok(())
    }

    fn end_file(&mut self, file: OpenFile<'a, 'r>, changed: Option<&'static str>) -> Result<(), Error> {
        let Ended { content, size_bytes, kin } = self.end_content(file.content)?;
        self.totals.read_bytes += size_bytes;
        self.writer.repository().progress().advance(1, 0);
        if let Some(change) = changed {
            self.changed(&file.path, change);
        }
        let class = file.class.number();
        let node = self.file_node(file.name, &file.metadata, size_bytes, class, content, changed)?;
        self.remember(kin.as_ref(), &node)?;
        self.states.record(self.writer.repository(), file.path, &file.metadata, &node)
    }

    /// Begins the content of the file or stream `path` of `class`, whose previous version was `older`;
    /// `size_bytes` is what it is expected to have.
    ///
    /// Where the parent snapshot has none, or one without any of its tensors, what this host stored last of
    /// its kin stands in.
    pub(super) fn begin_content(
        &self,
        class: Class,
        path: &[u8],
        layout: Option<&Layout>,
        size_bytes: u64,
        older: Option<Older>,
    ) -> Result<NewContent<'a, 'r>, Error> {
        let kin = kin::key_of(path, layout, size_bytes);
        let mut candidates: Vec<Older> = older.into_iter().collect();
        if let Some(kin) = kin.filter(|_| candidates.is_empty() || layout.is_some()) {
            candidates.extend(kin::look(self.writer.repository(), &kin)?);
        }
        let chosen = match class {
            Class::Dump | Class::Opaque => None,
            Class::General | Class::Tensors => self.former_among(&candidates, layout),
        };
        let (older, former) = chosen.unzip();
        let older = older.or(candidates.into_iter().next()).filter(|_| class != Class::Opaque);
        let previous = older.map(|older| Previous::new(self.reader, &older.content, older.size_bytes));
        let runs = Runs::new(previous, former.map(Numbers::new));
        Ok(NewContent { list: ListWriter::new(), runs, kin })
    }

    /// Returns the first candidate that has tensors of the new file, or else the first that can be read. None
    /// behind it is opened.
    fn former_among(&self, candidates: &[Older], layout: Option<&Layout>) -> Option<(Older, Former<'a, 'r>)> {
        let mut chosen = None;
        for older in candidates {
            let Some(former) = Former::new(self.reader, layout, older) else { continue };
            let fits = layout.is_none() || former.has_tensors();
            if fits || chosen.is_none() {
                chosen = Some((older.clone(), former));
            }
            if fits {
                break;
            }
        }
        chosen
    }

    /// Stores the chunks that are new, and lists them all.
    pub(super) fn store(&mut self, pieces: &[Piece], content: &mut NewContent<'a, 'r>) -> Result<(), Error> {
        let ids: Vec<ChunkId> = pieces.iter().map(|piece| piece.id).collect();
        let known = self.writer.contains(&ids)?;
        self.store_known(pieces, &known, content)
    }

    /// The same for chunks of which [`ChunkWriter::contains`] has just said whether they are stored.
    fn store_known(
        &mut self,
        pieces: &[Piece],
        known: &[bool],
        content: &mut NewContent<'a, 'r>,
    ) -> Result<(), Error> {
        let NewContent { list, runs, .. } = content;
        for (piece, known) in pieces.iter().zip(known) {
            match known {
                true => runs.known(piece, list, &mut self.writer, &mut self.likeness)?,
                false => runs.absent(piece, list, &mut self.writer, &mut self.likeness)?,
            }
            let length_bytes = u32::try_from(piece.data.len());
            let length_bytes = length_bytes.map_err(|_| Error::Internal { what: "length of a chunk" })?;
            self.writer.passed(u64::from(length_bytes));
            list.push(ChunkRef { id: piece.id, length_bytes }, &mut self.writer)?;
        }
        Ok(())
    }

    /// Ends a content.
    pub(super) fn end_content(&mut self, mut content: NewContent<'a, 'r>) -> Result<Ended, Error> {
        content.runs.finish(&mut self.writer, &mut self.likeness)?;
        self.writer.let_go();
        let size_bytes = content.list.content_bytes();
        Ok(Ended { content: content.list.finish(&mut self.writer)?, size_bytes, kin: content.kin })
    }

    /// Remembers a file that was stored, for versions of it under other paths.
    pub(super) fn remember(&self, kin: Option<&KinKey>, node: &Node) -> Result<(), Error> {
        kin.map_or(Ok(()), |kin| kin::remember(self.writer.repository(), kin, node))
    }

    fn unread(&mut self, error: &SourceError) -> Result<(), Error> {
        self.file = None;
        self.totals.unread_sources += 1;
        let reason = format!("cannot {} it: {}", error.action, error.error);
        self.writer.repository().progress().source_error(&error.path, &reason);
        Ok(())
    }

    fn changed(&mut self, path: &[u8], change: &str) {
        self.totals.unread_sources += 1;
        self.writer.repository().progress().source_error(path, &format!("it {change}"));
    }
}
