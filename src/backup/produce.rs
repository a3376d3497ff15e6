//! The reading side: walks, compares with the parent, reads what is new, in the order of the tree.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::budget::Budget;
use super::cuts::Rules;
use super::parcel::{Parcels, SmallReader};
use super::parent::{ParentWalk, list_is_stored};
use super::pieces::{Chunkers, Cutter, HEAD_BYTES, hint_of};
use super::predicted::predict;
use super::reading::{Fill, ReadBuffers};
use super::segments::Segments;
use super::states::stored_state;
use super::steps::{EndOfFile, Older, Step};
use crate::base::ChunkId;
use crate::container::{self, Layout, ReadAt};
use crate::crypto::KeyRing;
use crate::format::node::FileContent;
use crate::repository::{ChunkReader, Error, Repository};
use crate::source::{
    Attributes, Class, DumpHints, EntryKind, Metadata, OpenFile, SourceError, WalkEvent, Walker, recognise,
};

/// Files up to this size are read, cut and hashed in one task.
const SMALL_FILE_MAX_BYTES: u64 = 1 << 20;
/// Walk events that are looked up in the index together: a look at few ids costs nearly as much as one at
/// thousands.
const LOOKAHEAD: usize = 4096;
/// Paths and attributes of such events, the last one aside.
const LOOKAHEAD_BYTES: usize = 4 << 20;
/// Hard-link groups that are remembered; files beyond are read once a name.
const LINKS_MAX: usize = 200_000;
/// Bytes from the middle of a file that its class is recognised from, besides its head.
const SAMPLE_BYTES: usize = 16 << 10;

/// What the reading side needs.
pub(super) struct Producer {
    pub(super) repository: Arc<Repository>,
    pub(super) chunkers: Arc<Chunkers>,
    pub(super) budget: Arc<Budget>,
    pub(super) buffers: Arc<ReadBuffers>,
    pub(super) class: Option<Class>,
    pub(super) force: bool,
    pub(super) job_key: Vec<u8>,
    pub(super) parent_root: Option<ChunkId>,
    pub(super) hints: Arc<DumpHints>,
}

/// Nobody takes steps any more.
pub(super) struct Ended;

struct FileSource<'a> {
    file: &'a OpenFile,
    offset: u64,
}

impl Fill for FileSource<'_> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let read = self.file.read_at(self.offset, buffer)?;
        self.offset += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(read)
    }
}

enum Candidate {
    No(Option<Older>),
    Maybe { older: Older, attributes: Attributes },
}

/// What is known of a file before it is read.
enum Standing {
    Unchanged { older: Older, attributes: Attributes },
    Read(Option<Older>),
}

impl Producer {
    /// Walks and sends every step; ends early when nobody listens any more. Returns how many of the named
    /// paths could not be looked at.
    pub(super) fn walk(&self, mut walker: Walker, steps: &SyncSender<Step>) -> usize {
        if let Err(error) = self.try_walk(&mut walker, steps) {
            // Nobody may be there to hear it; then somebody else has failed already.
            let _ = steps.send(Step::Broken(error));
        }
        walker.failed_root_count()
    }

    fn try_walk(&self, walker: &mut Walker, steps: &SyncSender<Step>) -> Result<(), Error> {
        let reader = ChunkReader::new(&self.repository);
        let mut parent = ParentWalk::new(&reader, self.parent_root);
        let mut links = HashSet::new();
        let mut parcels = Parcels::new(self.small_reader(), self.budget.clone(), steps);
        loop {
            self.repository.check_stop()?;
            let events = next_events(walker);
            if events.is_empty() {
                // Where nobody takes steps any more, there is somebody who knows why.
                let _ = parcels.flush();
                return Ok(());
            }
            let mut candidates = Vec::with_capacity(events.len());
            for event in &events {
                candidates.push(self.candidate(event, &mut parent)?);
            }
            let confirmed = self.confirm(&reader, &events, &candidates)?;
            for ((event, candidate), confirmed) in events.into_iter().zip(candidates).zip(confirmed) {
                let standing = match candidate {
                    Candidate::Maybe { older, attributes } if confirmed => {
                        Standing::Unchanged { older, attributes }
                    }
                    Candidate::Maybe { older, .. } => Standing::Read(Some(older)),
                    Candidate::No(older) => Standing::Read(older),
                };
                self.repository.check_stop()?;
                if self.emit(event, standing, &mut links, &mut parcels).is_err() {
                    return Ok(());
                }
            }
        }
    }

    fn small_reader(&self) -> SmallReader {
        SmallReader {
            keys: self.repository.keys().clone(),
            chunkers: self.chunkers.clone(),
            class: self.class,
            hints: self.hints.clone(),
            repository: self.repository.clone(),
        }
    }

    fn candidate(&self, event: &WalkEvent, parent: &mut ParentWalk<'_, '_>) -> Result<Candidate, Error> {
        let (name, path, metadata) = match event {
            WalkEvent::Enter { name, .. } => {
                parent.enter(name);
                return Ok(Candidate::No(None));
            }
            WalkEvent::Leave => {
                parent.leave();
                return Ok(Candidate::No(None));
            }
            WalkEvent::Failed(_) => return Ok(Candidate::No(None)),
            WalkEvent::Item { name, path, metadata } => (name, path, metadata),
        };
        if metadata.kind != EntryKind::File {
            return Ok(Candidate::No(None));
        }
        let older = match parent.look(name, metadata) {
            Some((older, Some(attributes))) if !self.force => {
                return Ok(Candidate::Maybe { older, attributes });
            }
            found => found.map(|(older, _)| older),
        };
        if self.force {
            return Ok(Candidate::No(older));
        }
        let state = stored_state(&self.repository, &self.job_key, path.as_os_str().as_bytes(), metadata)?;
        let size_bytes = metadata.size_bytes;
        Ok(match state {
            Some((content, class, attributes)) => {
                Candidate::Maybe { older: Older { content, size_bytes, class }, attributes }
            }
            None => Candidate::No(older),
        })
    }

    /// Tells which candidates are stored whole: a file is taken over only when its chunks are there.
    fn confirm(
        &self,
        reader: &ChunkReader<'_>,
        events: &[WalkEvent],
        candidates: &[Candidate],
    ) -> Result<Vec<bool>, Error> {
        let mut ids: Vec<ChunkId> = Vec::new();
        for candidate in candidates {
            match candidate {
                Candidate::Maybe { older, .. } => match &older.content {
                    FileContent::Inline(chunks) => ids.extend(chunks.iter().map(|chunk| chunk.id)),
                    FileContent::List { root, .. } => ids.push(*root),
                },
                Candidate::No(_) => {}
            }
        }
        let mut stored = self.repository.index().contains(&ids)?.into_iter();
        let mut confirmed = Vec::with_capacity(candidates.len());
        for (event, candidate) in events.iter().zip(candidates) {
            confirmed.push(match (event, candidate) {
                (WalkEvent::Item { metadata, .. }, Candidate::Maybe { older, .. }) => match &older.content {
                    FileContent::Inline(chunks) => {
                        chunks.iter().filter(|_| stored.next() != Some(true)).count() == 0
                    }
                    list => stored.next() == Some(true) && list_is_stored(reader, list, metadata.size_bytes)?,
                },
                _ => false,
            });
        }
        Ok(confirmed)
    }

    fn emit(
        &self,
        event: WalkEvent,
        standing: Standing,
        links: &mut HashSet<(u64, u64)>,
        parcels: &mut Parcels<'_>,
    ) -> Result<(), Ended> {
        let (name, path, mut metadata) = match event {
            WalkEvent::Enter { name, metadata, .. } => return parcels.push(Step::Enter { name, metadata }),
            WalkEvent::Leave => return parcels.push(Step::Leave),
            WalkEvent::Failed(error) => return parcels.push(Step::Failed(error)),
            WalkEvent::Item { name, path, metadata } => (name, path, metadata),
        };
        if metadata.kind != EntryKind::File {
            return parcels.push(Step::Other { name, metadata });
        }
        let older = match standing {
            Standing::Unchanged { older: Older { content, class, .. }, attributes } => {
                metadata.xattrs = attributes;
                return parcels.push(Step::Unchanged { name, metadata, content, class });
            }
            Standing::Read(older) => older,
        };
        let raw_path = path.as_os_str().as_bytes().to_vec();
        if metadata.links > 1 {
            let group = (metadata.device, metadata.inode);
            if links.contains(&group) {
                let opened = OpenFile::open(&path, &metadata);
                let (attributes, problem) = match opened.map(|file| file.attributes()) {
                    Ok(found) => found,
                    Err(error) => (Vec::new(), Some(error)),
                };
                metadata.xattrs = attributes;
                problem.map_or(Ok(()), |problem| parcels.push(Step::Failed(problem)))?;
                return parcels.push(Step::Linked { name, path: raw_path, metadata });
            }
            if links.len() < LINKS_MAX {
                links.insert(group);
            }
        }
        if metadata.size_bytes <= SMALL_FILE_MAX_BYTES {
            return parcels.push_small(name, path, metadata, older);
        }
        self.emit_large(name, &path, metadata, older, parcels)
    }

    fn emit_large(
        &self,
        name: Vec<u8>,
        path: &Path,
        mut metadata: Metadata,
        older: Option<Older>,
        parcels: &mut Parcels<'_>,
    ) -> Result<(), Ended> {
        let mut send = |step| parcels.send(step);
        let opened = OpenFile::open(path, &metadata).and_then(|file| {
            let mut head = vec![0; HEAD_BYTES];
            let read = file.read_at(0, &mut head)?;
            head.truncate(read);
            let mut sample = vec![0; SAMPLE_BYTES];
            let read = file.read_at(metadata.size_bytes / 2, &mut sample)?;
            sample.truncate(read);
            Ok((file, head, sample))
        });
        let (file, head, sample) = match opened {
            Ok(opened) => opened,
            Err(error) => return send(Step::Failed(error)),
        };
        let (attributes, problem) = file.attributes();
        metadata.xattrs = attributes;
        problem.map_or(Ok(()), |problem| send(Step::Failed(problem)))?;
        let class = self.class.unwrap_or_else(|| recognise(&name, &head, &sample));
        if let Some(hint) = self.hints.once(&name, &head, Some(metadata.size_bytes)) {
            self.repository.progress().warn(&hint);
        }
        let raw_path = path.as_os_str().as_bytes().to_vec();
        let inside = FileInside { file: &file, size_bytes: metadata.size_bytes };
        let (class, layout, segments) = look_inside(&inside, class, self.class.is_some());
        let reader = ChunkReader::new(&self.repository);
        let predicted = predict(&reader, older.as_ref(), class, &segments, |stored| {
            look_inside(stored, class, self.class.is_some()).2
        });
        send(Step::Begin { name, path: raw_path, metadata: metadata.clone(), older, class, layout })?;
        let keys: Arc<KeyRing> = Arc::new(self.repository.keys().clone());
        let rules = Rules { chunker: self.chunkers.of(class), segments: &segments };
        let cutter = Cutter { rules, keys: &keys, buffers: &self.buffers };
        let mut source = FileSource { file: &file, offset: 0 };
        let stop = self.repository.stop_flag();
        let mut ended = false;
        let nothing = |_: &[u8]| {};
        let outcome = cutter.run(&mut source, predicted, nothing, |later| {
            ended = stop.load(std::sync::atomic::Ordering::Relaxed) || send(Step::Pieces(later)).is_err();
            !ended
        });
        if ended {
            return Err(Ended);
        }
        let end = outcome.and_then(|read_bytes| {
            let changed = file.changed_since(&metadata, read_bytes)?;
            Ok(EndOfFile { changed })
        });
        send(Step::End(end))
    }
}

/// Returns what comes next in the walk, nothing at its end.
fn next_events(walker: &mut Walker) -> Vec<WalkEvent> {
    let mut events = Vec::new();
    let mut held_bytes = 0;
    while events.len() < LOOKAHEAD && held_bytes < LOOKAHEAD_BYTES {
        let Some(event) = walker.next() else { break };
        if let WalkEvent::Enter { path, metadata, .. } | WalkEvent::Item { path, metadata, .. } = &event {
            held_bytes += path.as_os_str().len() + metadata.attribute_bytes();
        }
        events.push(event);
    }
    events
}

/// A file whose header is read before the file is.
struct FileInside<'a> {
    file: &'a OpenFile,
    size_bytes: u64,
}

impl ReadAt for FileInside<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.file.read_at(offset, buffer).map_err(|error| error.error)
    }

    fn size_bytes(&self) -> Option<u64> {
        Some(self.size_bytes)
    }
}

/// Returns the class of what was recognised as `class`, its tensors, and how it is cut: a container whose
/// header holds is of the class of tensors, unless the class `is_given`.
pub(super) fn look_inside(
    source: &dyn ReadAt,
    class: Class,
    is_given: bool,
) -> (Class, Option<Layout>, Segments) {
    let may_have_tensors = !is_given || class == Class::Tensors;
    match may_have_tensors.then(|| container::layout(source)).flatten() {
        Some(layout) => {
            let segments = Segments::of(&layout);
            (Class::Tensors, Some(layout), segments)
        }
        None => (class, None, Segments::whole(hint_of(class))),
    }
}

/// Returns the bytes from the middle of a file that its class is recognised from.
pub(super) fn middle(data: &[u8]) -> &[u8] {
    let start = data.len() / 2;
    &data[start..data.len().min(start + SAMPLE_BYTES)]
}
