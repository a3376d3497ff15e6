//! Steps that are sent together: a small file by itself is not worth a message, a task and a look into the
//! index.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use bytes::Bytes;

use super::budget::{Budget, HeldBuffer, Hold};
use super::pieces::{Chunkers, HEAD_BYTES, pieces_of_all};
use super::produce::{Ended, look_inside, middle};
use super::steps::{Older, ReadFile, SmallFile, Step};
use crate::crypto::KeyRing;
use crate::repository::Repository;
use crate::source::{Attributes, Class, DumpHints, Metadata, OpenFile, SourceError, recognise};

/// Steps of one parcel.
const STEPS_MAX: usize = 256;
/// Content of the files of one parcel, the last one aside: little enough that all cores have some to read.
const CONTENT_BYTES: u64 = 256 << 10;

/// What reading small files takes.
#[derive(Debug)]
pub(super) struct SmallReader {
    pub(super) keys: KeyRing,
    pub(super) chunkers: Arc<Chunkers>,
    pub(super) class: Option<Class>,
    pub(super) hints: Arc<DumpHints>,
    pub(super) repository: Arc<Repository>,
}

/// A small file that is still to be read.
struct Unread {
    name: Vec<u8>,
    path: PathBuf,
    metadata: Metadata,
    hold: Hold,
}

/// Gathers steps, in order, until they are worth sending.
pub(super) struct Parcels<'s> {
    reader: Arc<SmallReader>,
    budget: Arc<Budget>,
    to_storing: &'s SyncSender<Step>,
    steps: Vec<Step>,
    files: Vec<Unread>,
    content_bytes: u64,
}

impl<'s> Parcels<'s> {
    /// Returns an empty parcel for the storing side.
    pub(super) fn new(reader: SmallReader, budget: Arc<Budget>, to_storing: &'s SyncSender<Step>) -> Self {
        let reader = Arc::new(reader);
        Self { reader, budget, to_storing, steps: Vec::new(), files: Vec::new(), content_bytes: 0 }
    }

    /// Adds a step.
    pub(super) fn push(&mut self, step: Step) -> Result<(), Ended> {
        self.steps.push(step);
        let is_full = self.steps.len() >= STEPS_MAX || self.content_bytes >= CONTENT_BYTES;
        if is_full { self.flush() } else { Ok(()) }
    }

    /// Adds a small file, which is read as soon as its parcel is on its way.
    pub(super) fn push_small(
        &mut self,
        name: Vec<u8>,
        path: PathBuf,
        metadata: Metadata,
        older: Option<Older>,
    ) -> Result<(), Ended> {
        let size = usize::try_from(metadata.size_bytes).unwrap_or(usize::MAX);
        // What a parcel holds is a small part of the budget, so whoever waits here waits for other parcels.
        let hold = self.budget.take(size.saturating_add(1));
        self.content_bytes = self.content_bytes.saturating_add(metadata.size_bytes);
        self.files.push(Unread { name, path, metadata, hold });
        self.push(Step::Small { older })
    }

    /// Sends what is gathered.
    pub(super) fn flush(&mut self) -> Result<(), Ended> {
        let (steps, files) = (std::mem::take(&mut self.steps), std::mem::take(&mut self.files));
        self.content_bytes = 0;
        if steps.is_empty() {
            return Ok(());
        }
        let (to_result, later) = sync_channel(1);
        if files.is_empty() {
            // There is room for one.
            let _ = to_result.send(Vec::new());
        } else {
            let reader = self.reader.clone();
            rayon::spawn(move || {
                let read = files.into_iter().map(|file| reader.read(file)).collect();
                // Nobody waits any more when the run has ended early.
                let _ = to_result.send(read);
            });
        }
        self.to_storing.send(Step::Parcel { steps, files: later }).map_err(|_| Ended)
    }

    /// Sends a step by itself, after all that came before.
    pub(super) fn send(&mut self, step: Step) -> Result<(), Ended> {
        self.flush()?;
        self.to_storing.send(step).map_err(|_| Ended)
    }
}

impl SmallReader {
    fn read(&self, file: Unread) -> ReadFile {
        let Unread { name, path, mut metadata, hold } = file;
        let mut problem = None;
        let outcome = read_small(&path, &metadata).map(|(data, attributes, changed)| {
            (metadata.xattrs, problem) = attributes;
            if let Some(hint) = self.hints.once(&name, &data, Some(metadata.size_bytes)) {
                self.repository.progress().warn(&hint);
            }
            let class = self
                .class
                .unwrap_or_else(|| recognise(&name, &data[..data.len().min(HEAD_BYTES)], middle(&data)));
            let size_bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
            let (class, layout, segments) = look_inside(&data.as_slice(), class, self.class.is_some());
            let data = if data.is_empty() { Bytes::new() } else { HeldBuffer::share(data, hold) };
            let pieces = pieces_of_all(self.chunkers.of(class), &segments, &self.keys, &data);
            SmallFile { pieces, class, layout, size_bytes, changed }
        });
        ReadFile { name, path: path.into_os_string().into_encoded_bytes(), metadata, problem, outcome }
    }
}

/// Content, attributes and why they are missing, and what changed meanwhile.
type ReadWhole = (Vec<u8>, (Attributes, Option<SourceError>), Option<&'static str>);

/// Reads a file that was small when it was looked at; what was added since is left for the next run.
fn read_small(path: &Path, metadata: &Metadata) -> Result<ReadWhole, SourceError> {
    let file = OpenFile::open(path, metadata)?;
    let expected = usize::try_from(metadata.size_bytes).unwrap_or(usize::MAX);
    // The look at the file afterwards tells growth, except where files have bytes and no size.
    let mut data = vec![0; expected.max(1)];
    let read = file.read_at(0, &mut data)?;
    data.truncate(read.min(expected));
    let changed = file.changed_since(metadata, u64::try_from(read).unwrap_or(u64::MAX))?;
    Ok((data, file.attributes(), changed))
}
