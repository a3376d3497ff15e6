//! Files on their way to the target: made, filled in any order, finished or taken back.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, FallocateFlags, FileType, Mode, OFlags, Stat, fstat, openat, unlinkat};
use rustix::io::Errno;

use super::metadata::{MetadataSetter, Owner, Problem};
use super::place::{Target, kind_of, look, rename_over};
use crate::format::node::Node;

/// Files open for writing at a time.
const OPEN_FILES_MAX: usize = 256;
/// Files from this size on get their space at once.
const PREALLOCATE_MIN_BYTES: u64 = 1 << 20;
/// Zeros that become a hole, at multiples of it.
const HOLE_BYTES: usize = 4 << 10;

/// What Linux calls file systems that keep their files in memory.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Device and inode: which file a name stood for when it was looked at.
pub(super) type Identity = (u64, u64);

/// Returns the identity of what `stat` describes.
pub(super) fn identity_of(stat: &Stat) -> Identity {
    (stat.st_dev as _, stat.st_ino as _)
}

/// Where the bytes of a file go until it is whole.
#[derive(Debug)]
pub(super) enum Way {
    /// A new file under its own name.
    Direct,
    /// A new file under this name, put in the place of another at the end.
    Temporary(OsString),
    /// The file that is there, chunk by chunk where it differs.
    InPlace(Identity),
}

#[derive(Debug, Default)]
struct FileState {
    made: Option<Identity>,
    /// Whose it is since it was made.
    owner: Option<Owner>,
    failure: Option<String>,
    has_written: bool,
}

/// One file to restore; may take part in several rounds of fetching.
#[derive(Debug)]
pub(super) struct FileJob {
    /// Below the target.
    pub(super) path: Vec<u8>,
    pub(super) node: Node,
    /// Its place in the walk.
    pub(super) ordinal: u64,
    pub(super) way: Way,
    /// A file of this identity is there and may hold some of the chunks.
    pub(super) existing: Option<Identity>,
    /// What is still to come: chunks that are not written yet, and the end of its list as one more.
    pending: AtomicU64,
    has_failed: AtomicBool,
    state: Mutex<FileState>,
}

impl FileJob {
    pub(super) fn new(path: Vec<u8>, node: Node, ordinal: u64, way: Way, existing: Option<Identity>) -> Self {
        let made = if let Way::InPlace(identity) = &way { Some(*identity) } else { None };
        Self {
            path,
            node,
            ordinal,
            way,
            existing,
            pending: AtomicU64::new(1),
            has_failed: AtomicBool::new(false),
            state: Mutex::new(FileState { made, ..FileState::default() }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, FileState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a chunk that is to be written.
    pub(super) fn expect_chunk(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what is done: chunks, or the end of the list. Returns whether nothing more is to come.
    pub(super) fn is_last_of(&self, count: u64) -> bool {
        self.pending.fetch_sub(count, Ordering::AcqRel) == count
    }

    /// Gives the file up; the first reason stays.
    pub(super) fn fail(&self, reason: String) {
        self.lock().failure.get_or_insert(reason);
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// Tells whether the file was given up.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    fn name<'n>(&'n self, own: &'n OsStr) -> &'n OsStr {
        match &self.way {
            Way::Temporary(name) => name,
            Way::Direct | Way::InPlace(_) => own,
        }
    }
}

/// Open files, the least recently used closed first.
#[derive(Debug, Default)]
struct OpenFiles {
    files: HashMap<u64, (Arc<File>, u64)>,
    order: BTreeMap<u64, u64>,
    clock: u64,
}

impl OpenFiles {
    fn get(&mut self, ordinal: u64) -> Option<Arc<File>> {
        let (file, used) = self.files.get_mut(&ordinal)?;
        self.clock += 1;
        self.order.remove(used);
        *used = self.clock;
        self.order.insert(self.clock, ordinal);
        Some(file.clone())
    }

    fn put(&mut self, ordinal: u64, file: Arc<File>) {
        self.clock += 1;
        self.files.insert(ordinal, (file, self.clock));
        self.order.insert(self.clock, ordinal);
        while self.files.len() > OPEN_FILES_MAX {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.files.remove(&oldest);
        }
    }

    fn remove(&mut self, ordinal: u64) {
        if let Some((_, used)) = self.files.remove(&ordinal) {
            self.order.remove(&used);
        }
    }
}

/// How a file ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// Whole, under its name; what of its metadata could not be set.
    Restored(Option<Problem>),
    /// Taken back.
    Failed(String),
}

/// Writes files below a target.
#[derive(Debug)]
pub(super) struct FileWriter<'a> {
    target: &'a Target,
    sparse: bool,
    open: Mutex<OpenFiles>,
}

impl<'a> FileWriter<'a> {
    pub(super) fn new(target: &'a Target, sparse: bool) -> Self {
        Self { target, sparse, open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, OpenFiles> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, job: &FileJob) -> io::Result<Arc<File>> {
        if let Some(file) = self.lock().get(job.ordinal) {
            return Ok(file);
        }
        let mut state = job.lock();
        if let Some(file) = self.lock().get(job.ordinal) {
            return Ok(file);
        }
        let (directory, own) = self.target.parent(&job.path)?;
        let name = job.name(own);
        let file = match state.made {
            Some(identity) => reopen(&directory, name, identity)?,
            None => {
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = File::from(openat(&*directory, name, flags, Mode::RUSR | Mode::WUSR)?);
                let stat = fstat(&file)?;
                state.made = Some(identity_of(&stat));
                state.owner = Some(Owner::of(&stat));
                self.prepare(&file, job.node.size_bytes())?;
                file
            }
        };
        let file = Arc::new(file);
        self.lock().put(job.ordinal, file.clone());
        Ok(file)
    }

    fn prepare(&self, file: &File, size_bytes: u64) -> io::Result<()> {
        if self.sparse {
            return file.set_len(size_bytes);
        }
        if size_bytes < PREALLOCATE_MIN_BYTES {
            return Ok(());
        }
        if is_in_memory(file)? {
            return file.set_len(size_bytes);
        }
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size_bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => file.set_len(size_bytes),
            outcome => Ok(outcome?),
        }
    }

    /// Writes `plain` at `offset`.
    pub(super) fn write(&self, job: &FileJob, offset: u64, plain: &[u8]) -> io::Result<()> {
        let file = self.file(job)?;
        if let Way::InPlace(_) = job.way {
            job.lock().has_written = true;
            return file.write_all_at(plain, offset);
        }
        if self.sparse { write_sparse(&file, plain, offset) } else { file.write_all_at(plain, offset) }
    }

    /// Ends a file of which everything was written, or that failed.
    pub(super) fn finish(&self, job: &FileJob, metadata: &MetadataSetter) -> io::Result<Ending> {
        let failure = job.lock().failure.take();
        let outcome = match failure {
            Some(reason) => Ok(Ending::Failed(reason)),
            None => self.complete(job, metadata).map(Ending::Restored),
        };
        self.lock().remove(job.ordinal);
        if !matches!(outcome, Ok(Ending::Restored(_))) {
            self.take_back(job);
        }
        outcome
    }

    fn complete(&self, job: &FileJob, metadata: &MetadataSetter) -> io::Result<Option<Problem>> {
        let file = self.file(job)?;
        let size_bytes = job.node.size_bytes();
        // A file of this run's own ends where the last of its chunks does.
        if matches!(job.way, Way::InPlace(_)) && file.metadata()?.len() != size_bytes {
            file.set_len(size_bytes)?;
        }
        let owner = job.lock().owner;
        let problem = metadata.set(file.as_fd(), &job.node, owner);
        if let Way::Temporary(name) = &job.way {
            let (directory, own) = self.target.parent(&job.path)?;
            rename_over(&directory, name, own)?;
        }
        Ok(problem)
    }

    /// Removes what a failed file left; a file that was there and was not written to stays.
    fn take_back(&self, job: &FileJob) {
        let state = job.lock();
        let is_ours = !matches!(job.way, Way::InPlace(_)) || state.has_written;
        let (Some(identity), true) = (state.made, is_ours) else { return };
        let Ok((directory, own)) = self.target.parent(&job.path) else { return };
        let name = job.name(own);
        if let Ok(Some(stat)) = look(&directory, name)
            && identity_of(&stat) == identity
        {
            // The failure that led here is reported; a leftover of it is not worth another.
            let _ = unlinkat(&*directory, name, AtFlags::empty());
        }
    }

    /// Lets go of a file when the run ends early: what has its own name stays, for the next run to go on
    /// with.
    pub(super) fn abandon(&self, job: &FileJob) {
        self.lock().remove(job.ordinal);
        if matches!(job.way, Way::Temporary(_)) {
            self.take_back(job);
        }
    }
}

/// Tells whether space for `file` is pages of memory: those are taken one by one, by one core while the
/// others wait, and lie no better for having been asked for together.
fn is_in_memory(file: &File) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(file)?.f_type == TMPFS_MAGIC)
}

fn reopen(directory: &OwnedFd, name: &OsStr, identity: Identity) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::empty())?;
    if identity_of(&fstat(&file)?) != identity {
        return Err(io::Error::other("another file took its name meanwhile"));
    }
    Ok(File::from(file))
}

/// Opens the regular file `name` to read what it holds, if it still is the one of `identity`.
pub(super) fn open_existing(
    directory: &OwnedFd,
    name: &OsStr,
    identity: Option<Identity>,
) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    if kind_of(&stat) != FileType::RegularFile || identity.is_some_and(|wanted| wanted != identity_of(&stat))
    {
        return Err(io::Error::other("another file took its name meanwhile"));
    }
    Ok(File::from(file))
}

/// Tells whether the file `name` can be written to as it is; its owner is given the right first.
pub(super) fn can_write_in_place(directory: &OwnedFd, name: &OsStr, identity: Identity) -> bool {
    if reopen(directory, name, identity).is_ok() {
        return true;
    }
    let Ok(file) = open_existing(directory, name, Some(identity)) else { return false };
    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR).is_ok() && reopen(directory, name, identity).is_ok()
}

/// Writes what is not a whole zero page of the file; the rest reads as zeros already.
fn write_sparse(file: &File, plain: &[u8], offset: u64) -> io::Result<()> {
    let misaligned = usize::try_from(offset % HOLE_BYTES as u64).unwrap_or(0);
    let head = if misaligned == 0 { 0 } else { (HOLE_BYTES - misaligned).min(plain.len()) };
    let (first, rest) = plain.split_at(head);
    let mut pending = 0..first.len();
    let mut at = first.len();
    for page in rest.chunks(HOLE_BYTES) {
        if page.iter().all(|byte| *byte == 0) {
            flush_pending(file, plain, &pending, offset)?;
            pending = at + page.len()..at + page.len();
        } else {
            pending.end = at + page.len();
        }
        at += page.len();
    }
    flush_pending(file, plain, &pending, offset)
}

fn flush_pending(file: &File, plain: &[u8], pending: &std::ops::Range<usize>, offset: u64) -> io::Result<()> {
    if pending.is_empty() {
        return Ok(());
    }
    file.write_all_at(&plain[pending.clone()], offset + pending.start as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_write_reads_back_as_what_was_written_at_every_alignment() {
        for offset in [0, 1, 4095, 4096, 5000] {
            let file = tempfile::tempfile().unwrap();
            let mut plain = vec![0; 30_000];
            plain[10] = 1;
            plain[20_000..20_100].fill(7);
            plain[29_999] = u8::from(offset % 2 == 0);
            file.set_len(offset + 30_000).unwrap();
            write_sparse(&file, &plain, offset).unwrap();
            let mut read = vec![0; 30_000];
            file.read_exact_at(&mut read, offset).unwrap();
            assert_eq!(read, plain, "offset {offset}");
        }
    }

    #[test]
    fn a_file_that_grew_while_it_was_written_to_ends_where_the_snapshot_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "abcd").unwrap();
        let target = Target::open(folder.path(), false).unwrap().unwrap();
        let identity = identity_of(&look(target.root(), OsStr::new("f")).unwrap().unwrap());
        let content = crate::format::node::FileContent::Inline(Vec::new());
        let kind = crate::format::node::NodeKind::File { size_bytes: 4, class: 0, content };
        let node = crate::repository::testing::Entry::special(kind).node;
        let job = FileJob::new(b"f".to_vec(), node, 1, Way::InPlace(identity), Some(identity));
        let files = FileWriter::new(&target, false);
        files.write(&job, 0, b"ab").unwrap();
        std::fs::write(&path, "abcd and more").unwrap();
        let ending = files.finish(&job, &MetadataSetter::new(false)).unwrap();
        assert!(matches!(ending, Ending::Restored(None)), "{ending:?}");
        assert_eq!(std::fs::read(&path).unwrap(), b"abcd");
    }

    #[test]
    fn the_least_recently_used_file_is_closed_first() {
        let mut open = OpenFiles::default();
        let file = || Arc::new(tempfile::tempfile().unwrap());
        open.put(0, file());
        for ordinal in 1..=OPEN_FILES_MAX as u64 {
            assert!(open.get(0).is_some());
            open.put(ordinal, file());
        }
        assert!(open.get(0).is_some());
        assert!(open.get(1).is_none());
        assert_eq!(open.files.len(), OPEN_FILES_MAX);
        assert_eq!(open.order.len(), OPEN_FILES_MAX);
    }
}
