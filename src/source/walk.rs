//! The walk: a whole tree as a sequence of events, bounded in memory by the depth and the listings on the
//! way.
//!
//! Threads of their own ([`ahead`]) look at the next entries of a directory and list the next directories in
//! it ([`listed`]); their number changes how long it takes, never what is found or its order.

mod ahead;
mod listed;
mod sight;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::CWD;

use super::error::SourceError;
use super::filter::Filter;
use super::metadata::{EntryKind, Metadata};
use super::roots::clean_paths;
use super::tag::TagFile;
use crate::base::Memory;
use crate::base::limits::{NAME_MAX_BYTES, TREE_DEPTH_MAX};
use ahead::Ahead;
use listed::{Below, Listed};
use sight::{Contents, Looked, Sight};

/// Directories of the walk that stay open; those further up are opened again on the way back.
const OPEN_DIRECTORY_COUNT_MAX: usize = 64;

/// One step of the walk.
#[derive(Debug)]
pub enum WalkEvent {
    /// A directory begins; its entries follow, then its [`WalkEvent::Leave`].
    Enter {
        /// Its name.
        name: Vec<u8>,
        /// Its whole path.
        path: PathBuf,
        /// What is known about it; an ancestor of a named path that is a symlink is described as what it
        /// points at.
        metadata: Metadata,
    },
    /// The directory entered last and not yet left ends.
    Leave,
    /// Anything that is not a directory.
    Item {
        /// Its name.
        name: Vec<u8>,
        /// Its whole path.
        path: PathBuf,
        /// What is known about it.
        metadata: Metadata,
    },
    /// Something could not be read: an entry, which then has no event of its own; or a directory's names or
    /// an entry's extended attributes, and then the entry's event follows without them.
    Failed(SourceError),
}

/// What to walk.
#[derive(Debug, Clone, Default)]
pub struct WalkOptions {
    /// The named paths, absolute. The walk cleans them as [`clean_paths`] does.
    pub paths: Vec<PathBuf>,
    /// What to leave out; asked for named paths and all below them, not for the directories above them.
    pub filter: Filter,
    /// Stay on the file system of each named path. Mount points are entered as empty directories.
    pub one_file_system: bool,
    /// Leave out what is in cache directories ([`TagFile::cache`]).
    pub exclude_caches: bool,
    /// Leave out what is in directories with one of these files.
    pub exclude_if_present: Vec<TagFile>,
    /// Leave out regular files that are longer.
    pub exclude_larger_than_bytes: Option<u64>,
}

/// How much there is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Entries that are not directories.
    pub files: u64,
    /// Length of the regular files together.
    pub bytes: u64,
}

/// What a look at an entry gave: its metadata, and why its attributes are missing, if they are.
type Found = (Metadata, Option<SourceError>);

/// Walks trees depth-first, the entries of each directory ascending by the bytes of their names.
///
/// The sequence begins in `/`, which has no event of its own: `/srv/db` gives Enter `srv`, Enter `db`, …,
/// Leave, Leave. Named paths share the directories above them and nothing is visited twice. Symlinks are
/// items, never followed, save in the directories above a named path. Entries are looked up in the open
/// directory that listed them, so that a directory exchanged for a symlink meanwhile leads nowhere else.
///
/// Memory: the names of the directories on the way down, each at most 256 MiB of them, and what is looked at
/// ahead: at most [`Memory::walk_pieces_ahead`] pieces of a MiB.
#[derive(Debug)]
pub struct Walker {
    sight: Arc<Sight>,
    ahead: Ahead,
    stack: Vec<Frame>,
    queue: VecDeque<WalkEvent>,
    failed_roots: usize,
}

#[derive(Debug)]
struct Frame {
    path: Arc<Path>,
    children: Children,
}

#[derive(Debug)]
enum Children {
    /// The next names of these of the named paths.
    Planned { range: Range<usize> },
    /// What the directory holds.
    Listed(Box<Listed>),
}

impl Walker {
    /// Returns a walk that has not begun.
    pub fn new(options: WalkOptions) -> Self {
        Self::within(options, Memory::default())
    }

    /// The same for a run that may take so much memory.
    pub fn within(options: WalkOptions, memory: Memory) -> Self {
        Self::with(options, true, rayon::current_num_threads(), memory)
    }

    fn with(mut options: WalkOptions, attributes: bool, thread_count: usize, memory: Memory) -> Self {
        options.paths = clean_paths(Path::new("/"), &options.paths);
        let pieces_max = memory.walk_pieces_ahead();
        let children = Children::Planned { range: 0..options.paths.len() };
        let first = Frame { path: Path::new("/").into(), children };
        Self {
            sight: Arc::new(Sight::new(options, attributes)),
            ahead: Ahead::new(thread_count, pieces_max),
            stack: vec![first],
            queue: VecDeque::new(),
            failed_roots: 0,
        }
    }

    /// Walks once without reading extended attributes and returns how much there is, for a progress bar. The
    /// tree may change until the real walk. `None` when `stop` was set meanwhile.
    pub fn totals_hint(options: WalkOptions, memory: Memory, stop: &AtomicBool) -> Option<Totals> {
        let mut totals = Totals::default();
        for event in Self::with(options, false, rayon::current_num_threads(), memory) {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            if let WalkEvent::Item { metadata, .. } = event {
                totals.files += 1;
                if metadata.kind == EntryKind::File {
                    totals.bytes = totals.bytes.saturating_add(metadata.size_bytes);
                }
            }
        }
        Some(totals)
    }

    /// Returns the named paths as they are walked: cleaned and sorted.
    pub fn paths(&self) -> &[PathBuf] {
        &self.sight.options.paths
    }

    /// Returns how many of [`Walker::paths`] could not be found or looked at so far.
    pub fn failed_root_count(&self) -> usize {
        self.failed_roots
    }

    /// Handles the next named paths that share their next name.
    fn visit_planned(&mut self, range: Range<usize>) {
        let depth = self.stack.len() - 1;
        let name_of = |path: &Path| path.iter().nth(depth + 1).map(|name| name.as_bytes().to_vec());
        let paths = &self.sight.options.paths;
        let Some(name) = name_of(&paths[range.start]) else {
            // Only "/" has no name at all; cleaning has left it alone.
            self.stack.clear();
            return self.visit_root();
        };
        let same =
            paths[range.clone()].iter().take_while(|path| name_of(path).as_ref() == Some(&name)).count();
        let shared = range.start..range.start + same;
        let is_named = paths[range.start].iter().count() == depth + 2;
        let mut path = PathBuf::new();
        if let Some(frame) = self.stack.last_mut() {
            frame.children = Children::Planned { range: shared.end..range.end };
            path = frame.path.join(OsStr::from_bytes(&name));
        }
        if is_named {
            match self.sight.look(None, &path, false) {
                Ok(found) => {
                    let is_excluded = self.sight.is_excluded(&path, &found.0);
                    self.emit(Looked { name, path, found: Ok(found), is_excluded }, None, None);
                }
                Err(error) => {
                    self.failed_roots += 1;
                    self.queue.push_back(WalkEvent::Failed(error));
                }
            }
        } else {
            self.visit_ancestor(name, path, shared);
        }
    }

    /// The root is walked as a directory that was listed, without an event of its own.
    fn visit_root(&mut self) {
        let path = Path::new("/");
        match self.sight.look(None, path, false) {
            Ok((metadata, _)) => {
                let children = self.list(path, b"", &metadata, metadata.device, None);
                self.stack.push(Frame { path: path.into(), children });
            }
            Err(error) => {
                self.failed_roots += 1;
                self.queue.push_back(WalkEvent::Failed(error));
            }
        }
    }

    fn visit_ancestor(&mut self, name: Vec<u8>, path: PathBuf, below: Range<usize>) {
        let found = self.sight.look(None, &path, true).and_then(|found| match found.0.is_directory() {
            true => self.check_bounds(&name, &path, true).map(|()| found),
            false => Err(SourceError::new(&path, "enter", io::Error::from(io::ErrorKind::NotADirectory))),
        });
        match found {
            Ok((metadata, problem)) => {
                self.queue.extend(problem.map(WalkEvent::Failed));
                self.stack.push(Frame {
                    path: path.as_path().into(),
                    children: Children::Planned { range: below },
                });
                self.queue.push_back(WalkEvent::Enter { name, path, metadata });
            }
            Err(error) => {
                for root in &self.sight.options.paths[below] {
                    let cause = io::Error::new(error.error.kind(), error.error.to_string());
                    self.queue.push_back(WalkEvent::Failed(SourceError::new(root, error.action, cause)));
                    self.failed_roots += 1;
                }
            }
        }
    }

    /// Handles the next entry of the listed directory on top; `false` when there is none.
    fn visit_listed(&mut self) -> bool {
        let Some(Frame { path, children: Children::Listed(listed) }) = self.stack.last_mut() else {
            return false;
        };
        let Some((entry, below)) = listed.next(path, &self.sight, &mut self.ahead) else { return false };
        let root_device = listed.root_device;
        match &entry.found {
            Ok(_) => self.emit(entry, Some(root_device), below),
            Err(_) if entry.is_excluded => {}
            Err(_) => self.queue.extend(entry.found.err().map(WalkEvent::Failed)),
        }
        true
    }

    /// Turns an entry into events. `root_device` is `None` for a named path, which decides it for what is
    /// below; `below` is what the directory holds, where that was found ahead.
    fn emit(&mut self, entry: Looked, root_device: Option<u64>, below: Option<Below>) {
        let Looked { name, path, found: Ok((metadata, problem)), is_excluded: false } = entry else { return };
        let is_directory = metadata.is_directory();
        if let Err(error) = self.check_bounds(&name, &path, is_directory) {
            self.queue.push_back(WalkEvent::Failed(error));
            return;
        }
        let root_device = root_device.unwrap_or(metadata.device);
        let is_foreign = self.sight.options.one_file_system && metadata.device != root_device;
        if is_foreign && !is_directory {
            return;
        }
        self.queue.extend(problem.map(WalkEvent::Failed));
        if !is_directory {
            self.queue.push_back(WalkEvent::Item { name, path, metadata });
            return;
        }
        let children = match is_foreign {
            true => Children::Planned { range: 0..0 },
            false => self.list(&path, &name, &metadata, root_device, below),
        };
        self.stack.push(Frame { path: path.as_path().into(), children });
        self.queue.push_back(WalkEvent::Enter { name, path, metadata });
        if let Some(far) = self.stack.len().checked_sub(OPEN_DIRECTORY_COUNT_MAX + 1)
            && let Children::Listed(listed) = &mut self.stack[far].children
        {
            listed.close();
        }
    }

    fn check_bounds(&self, name: &[u8], path: &Path, is_directory: bool) -> Result<(), SourceError> {
        let fail = |reason: String| Err(SourceError::new(path, "store", io::Error::other(reason)));
        if name.len() as u64 > NAME_MAX_BYTES {
            return fail(format!("its name takes {} bytes, the limit is {NAME_MAX_BYTES}", name.len()));
        }
        if is_directory && self.stack.len() as u64 > TREE_DEPTH_MAX {
            return fail(format!("more than {TREE_DEPTH_MAX} directories are below each other"));
        }
        Ok(())
    }

    /// Lists the directory `name`, unless that was done ahead; when that fails, reports it and returns none.
    fn list(
        &mut self,
        path: &Path,
        name: &[u8],
        metadata: &Metadata,
        root_device: u64,
        below: Option<Below>,
    ) -> Children {
        let contents = match below {
            Some(Ok(Some(contents))) => Ok(contents),
            Some(Err(error)) => Err(error),
            Some(Ok(None)) | None => self.list_now(path, name, metadata),
        };
        match contents {
            Ok(contents) => Children::Listed(Box::new(Listed::new(contents, root_device))),
            Err(error) => {
                self.queue.push_back(WalkEvent::Failed(SourceError::new(path, "list", error)));
                Children::Planned { range: 0..0 }
            }
        }
    }

    fn list_now(&mut self, path: &Path, name: &[u8], metadata: &Metadata) -> io::Result<Contents> {
        let above = match self.stack.last_mut() {
            Some(Frame { path, children: Children::Listed(listed) }) => Some(listed.directory(path)?),
            _ => None,
        };
        let (directory, listing) = match &above {
            Some(above) => self.sight.list(above.as_fd(), OsStr::from_bytes(name), path, metadata)?,
            None => self.sight.list(CWD, path.as_os_str(), path, metadata)?,
        };
        Ok(Contents { directory, listing, looked: Vec::new() })
    }
}

impl Iterator for Walker {
    type Item = WalkEvent;

    fn next(&mut self) -> Option<WalkEvent> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            let has_more = match &self.stack.last()?.children {
                Children::Planned { range } if range.start < range.end => {
                    let range = range.clone();
                    self.visit_planned(range);
                    true
                }
                Children::Planned { .. } => false,
                Children::Listed(_) => self.visit_listed(),
            };
            if !has_more {
                self.stack.pop();
                if !self.stack.is_empty() {
                    return Some(WalkEvent::Leave);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
