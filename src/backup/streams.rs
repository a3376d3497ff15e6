//! Standard input and commands as files of a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::assemble::{Assembler, Ended, NewContent};
use super::cuts::Rules;
use super::pieces::{Chunkers, Cutter, HEAD_BYTES, PiecesLater};
use super::predicted::predict;
use super::produce::look_inside;
use super::reading::{Fill, ReadBuffers};
use super::steps::Older;
use super::{Error, StreamInput, StreamOrigin};
use crate::base::{ChunkId, Time};
use crate::container::ReadAt;
use crate::format::node::{Node, NodeKind, is_valid_name};
use crate::format::snapshot::{Source, SourceKind};
use crate::repository::{self, ChunkReader, find_path};
use crate::source::{
    Class, DumpHints, SourceError, Stopper, Stream, recognise, spawn_command_with, stdin_stream,
};

/// Hashing tasks that wait for the storing side.
const TASKS_WAITING_MAX: usize = 32;
/// How often a run that waits for a command looks whether it is to stop.
const STOP_POLL: Duration = Duration::from_millis(100);

/// The beginning of a stream, in which a container may tell its tensors.
struct Front<'a>(&'a [u8]);

impl ReadAt for Front<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn size_bytes(&self) -> Option<u64> {
        None
    }
}

struct StreamSource<'a> {
    stream: &'a mut dyn Stream,
    /// What was read to recognise the class, and how much of it was given out.
    head: Vec<u8>,
    taken: usize,
}

impl StreamSource<'_> {
    /// Reads the head, which stays to be read.
    fn look(&mut self) -> Result<Vec<u8>, SourceError> {
        let mut head = std::mem::take(&mut self.head);
        let read = self.fill(&mut head)?;
        head.truncate(read);
        self.head.clone_from(&head);
        Ok(head)
    }
}

impl Fill for StreamSource<'_> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let head = self.head.get(self.taken..).unwrap_or_default();
        let mut filled = head.len().min(buffer.len());
        buffer[..filled].copy_from_slice(&head[..filled]);
        self.taken += filled;
        while filled < buffer.len() {
            match self.stream.read(&mut buffer[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }
}

/// What one stream became.
pub(super) struct StoredStream {
    pub(super) node: Node,
    pub(super) source: Source,
}

/// Reads streams one after the other into the writer of `assembler`.
pub(super) struct StreamReader<'a> {
    pub(super) repository: &'a Arc<repository::Repository>,
    pub(super) chunkers: &'a Chunkers,
    pub(super) buffers: &'a Arc<ReadBuffers>,
    pub(super) class: Option<Class>,
    pub(super) owner: (u32, u32),
    pub(super) parent_root: Option<ChunkId>,
    pub(super) hints: DumpHints,
}

impl StreamReader<'_> {
    /// Stores one stream whole. A command that fails in any way fails this.
    pub(super) fn read(
        &self,
        input: &StreamInput,
        assembler: &mut Assembler<'_, '_>,
    ) -> Result<StoredStream, Error> {
        self.repository.progress().current(&input.name);
        let progress = self.repository.progress().clone();
        let mut stream = match &input.origin {
            StreamOrigin::Stdin => stdin_stream(self.repository.stop_flag().clone()),
            StreamOrigin::Command(spec) => {
                let program = spec.argv.first().map(|word| word.as_encoded_bytes().to_vec());
                let name = crate::base::escape::escape_name(&program.unwrap_or_default());
                let show = move |text: &[u8]| {
                    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                        progress.warn(&format!("{name}: {}", crate::base::escape::escape_name(line)));
                    }
                };
                spawn_command_with(spec, Some(Box::new(show)))?
            }
        };
        let done = Arc::new(AtomicBool::new(false));
        let watcher = stream.stopper().map(|stopper| watch(stopper, self.repository.stop_flag(), &done));
        let outcome = self.store(stream.as_mut(), input, assembler);
        // A stream that was not stored whole is dropped unfinished, which ends its command.
        let outcome = outcome.and_then(|stored| {
            let end = stream.finish()?;
            Ok((stored, end.exit_status))
        });
        done.store(true, Ordering::Relaxed);
        if let Some(watcher) = watcher {
            // The watcher cannot fail; it ends within one poll.
            let _ = watcher.join();
        }
        self.repository.check_stop()?;
        let ((node, class, size_bytes, digest), exit_status) = outcome?;
        let (kind, command) = match &input.origin {
            StreamOrigin::Stdin => (SourceKind::Stdin, Vec::new()),
            StreamOrigin::Command(spec) => {
                let words = spec.argv.iter().map(|word| word.as_encoded_bytes().to_vec());
                (SourceKind::Command, words.collect())
            }
        };
        let source = Source {
            kind,
            name: input.name.clone(),
            class: class.number(),
            command,
            exit_status,
            size_bytes,
            digest: Some(digest),
        };
        Ok(StoredStream { node, source })
    }

    fn store(
        &self,
        stream: &mut dyn Stream,
        input: &StreamInput,
        assembler: &mut Assembler<'_, '_>,
    ) -> Result<(Node, Class, u64, [u8; 32]), Error> {
        let mut source = StreamSource { stream, head: vec![0; HEAD_BYTES], taken: 0 };
        let head = source.look()?;
        let class = self.class.unwrap_or_else(|| recognise(&input.name, &head, &[]));
        // A stream that ends within its head is as long as that; longer ones are not known yet.
        let known_bytes = (head.len() < HEAD_BYTES).then(|| u64::try_from(head.len()).unwrap_or(u64::MAX));
        if let Some(hint) = self.hints.once(&input.name, &head, known_bytes) {
            self.repository.progress().warn(&hint);
        }
        let mut digest = blake3::Hasher::new();
        let keys = Arc::new(self.repository.keys().clone());
        let (class, layout, segments) = look_inside(&Front(&head), class, self.class.is_some());
        let rules = Rules { chunker: self.chunkers.of(class), segments: &segments };
        let cutter = Cutter { rules, keys: &keys, buffers: self.buffers };
        let older = self.older(&input.name);
        let reader = ChunkReader::new(self.repository);
        let predicted = predict(&reader, older.as_ref(), class, &segments, |stored| {
            let mut head = vec![0; HEAD_BYTES];
            let read = stored.read_at(0, &mut head).unwrap_or(0);
            head.truncate(read);
            look_inside(&Front(&head), class, self.class.is_some()).2
        });
        let (to_storing, tasks) = sync_channel::<PiecesLater>(TASKS_WAITING_MAX);
        let ended = std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let to_storing = to_storing;
                let seen = |bytes: &[u8]| {
                    digest.update(bytes);
                };
                cutter.run(&mut source, predicted, seen, |later| to_storing.send(later).is_ok())
            });
            let mut content =
                assembler.begin_content(class, &input.name, layout.as_ref(), u64::MAX, older)?;
            let mut stored = Ok(());
            for later in tasks {
                stored = self.store_pieces(&later, &mut content, assembler);
                if stored.is_err() {
                    break;
                }
            }
            let read = reading.join().map_err(|_| repository::Error::Internal { what: "reading failed" })?;
            stored?;
            read?;
            Ok::<_, Error>(assembler.end_content(content)?)
        })?;
        let Ended { content, size_bytes, kin } = ended;
        assembler.count_stream(size_bytes);
        let name = input.name.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
        let kind = NodeKind::File { size_bytes, class: class.number(), content };
        let node = plain_node(name, kind, 0o600, self.owner, self.repository.clock().now());
        assembler.remember(kin.as_ref(), &node)?;
        Ok((node, class, size_bytes, *digest.finalize().as_bytes()))
    }

    /// Returns what the parent snapshot has under a stream's name; a parent that cannot be read is as good as
    /// none.
    fn older(&self, name: &[u8]) -> Option<Older> {
        let reader = ChunkReader::new(self.repository);
        let node = find_path(&reader, &self.parent_root?, name).ok()??;
        match node.kind {
            NodeKind::File { size_bytes, content, class } => Some(Older { content, size_bytes, class }),
            _ => None,
        }
    }

    fn store_pieces<'a, 'r>(
        &self,
        later: &PiecesLater,
        content: &mut NewContent<'a, 'r>,
        assembler: &mut Assembler<'a, 'r>,
    ) -> Result<(), Error> {
        self.repository.check_stop()?;
        let pieces = later.recv().map_err(|_| repository::Error::Internal { what: "hashing ended early" })?;
        let bytes: usize = pieces.iter().map(|piece| piece.data.len()).sum();
        assembler.store(&pieces, content)?;
        self.repository.progress().advance(0, u64::try_from(bytes).unwrap_or(u64::MAX));
        Ok(())
    }
}

/// Ends a stream's command when the run is to stop: asks first, kills on the second look after five seconds.
fn watch(stopper: Stopper, stop: &Arc<AtomicBool>, done: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    const POLLS_BEFORE_KILL: u32 = 50;
    let (stop, done) = (stop.clone(), done.clone());
    std::thread::spawn(move || {
        let mut polls = 0;
        while !done.load(Ordering::Relaxed) {
            if stop.load(Ordering::Relaxed) {
                if polls == 0 || polls == POLLS_BEFORE_KILL {
                    stopper.stop();
                }
                polls += 1;
            }
            std::thread::sleep(STOP_POLL);
        }
    })
}

fn plain_node(name: Vec<u8>, kind: NodeKind, mode: u32, owner: (u32, u32), time: Time) -> Node {
    Node {
        name,
        kind,
        changed: false,
        sparse: false,
        mode,
        uid: owner.0,
        gid: owner.1,
        user: String::new(),
        group: String::new(),
        mtime: time,
        ctime: time,
        inode: 0,
        link_device: None,
        xattrs: Vec::new(),
    }
}

/// A folder of stream names that are still to be written.
#[derive(Debug, Default)]
struct Folder {
    files: BTreeMap<Vec<u8>, Node>,
    folders: BTreeMap<Vec<u8>, Folder>,
}

/// Tells whether `name` can name a stream: path components without `.` and `..`, none of them empty.
pub(super) fn is_valid_stream_name(name: &[u8]) -> bool {
    name.split(|byte| *byte == b'/').all(is_valid_name)
}

/// Writes the nodes of all streams into the root that is open, in the order of their names.
pub(super) fn write_tree(
    streams: Vec<(Vec<u8>, Node)>,
    owner: (u32, u32),
    now: Time,
    assembler: &mut Assembler<'_, '_>,
) -> Result<(), Error> {
    let mut root = Folder::default();
    for (name, node) in streams {
        let mut folder = &mut root;
        let mut parts = name.split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                folder.files.insert(part.to_vec(), node);
                break;
            }
            folder = folder.folders.entry(part.to_vec()).or_default();
        }
    }
    write_folder(root, owner, now, assembler)
}

/// Depth is that of the names given on one command line; each is at most a few components deep.
fn write_folder(
    folder: Folder,
    owner: (u32, u32),
    now: Time,
    assembler: &mut Assembler<'_, '_>,
) -> Result<(), Error> {
    let mut folders = folder.folders;
    let mut names: Vec<Vec<u8>> = folders.keys().chain(folder.files.keys()).cloned().collect();
    names.sort();
    let mut files = folder.files;
    for name in names {
        if let Some(node) = files.remove(&name) {
            assembler.push(&node)?;
        } else if let Some(below) = folders.remove(&name) {
            assembler.enter(name.clone(), None);
            write_folder(below, owner, now, assembler)?;
            let tree = assembler.leave_plain()?;
            assembler.push(&plain_node(name, NodeKind::Directory { tree }, 0o700, owner, now))?;
        }
    }
    Ok(())
}
