//! The walk: a whole tree as a sequence of events, bounded in memory by the depth and the listings on the
//! way.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::CWD;

use super::error::SourceError;
use super::filter::Filter;
use super::listing::{Directory, Listing};
use super::metadata::{EntryKind, Look, Metadata, Place, inspect};
use super::owners::Owners;
use super::roots::clean_paths;
use super::tag::TagFile;
use crate::base::limits::{NAME_MAX_BYTES, TREE_DEPTH_MAX};

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
/// Memory: the names of the directories on the way down, each at most 256 MiB of them.
#[derive(Debug)]
pub struct Walker {
    options: WalkOptions,
    tags: Vec<TagFile>,
    owners: Owners,
    attributes: bool,
    stack: Vec<Frame>,
    queue: VecDeque<WalkEvent>,
    failed_roots: usize,
}

#[derive(Debug)]
struct Frame {
    path: PathBuf,
    children: Children,
}

#[derive(Debug)]
enum Children {
    /// The next names of these of the named paths.
    Planned { range: Range<usize> },
    /// What the directory holds.
    Listed { directory: Directory, listing: Listing, next: usize, root_device: u64 },
}

impl Walker {
    /// Returns a walk that has not begun.
    pub fn new(options: WalkOptions) -> Self {
        Self::with_attributes(options, true)
    }

    fn with_attributes(mut options: WalkOptions, attributes: bool) -> Self {
        options.paths = clean_paths(Path::new("/"), &options.paths);
        let mut tags = options.exclude_if_present.clone();
        if options.exclude_caches {
            tags.push(TagFile::cache());
        }
        let owners = if attributes { Owners::of_this_host() } else { Owners::default() };
        let first =
            Frame { path: PathBuf::from("/"), children: Children::Planned { range: 0..options.paths.len() } };
        let (stack, queue) = (vec![first], VecDeque::new());
        Self { options, tags, owners, attributes, stack, queue, failed_roots: 0 }
    }

    /// Walks once without reading extended attributes and returns how much there is, for a progress bar. The
    /// tree may change until the real walk. `None` when `stop` was set meanwhile.
    pub fn totals_hint(options: WalkOptions, stop: &AtomicBool) -> Option<Totals> {
        let mut totals = Totals::default();
        for event in Self::with_attributes(options, false) {
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
        &self.options.paths
    }

    /// Returns how many of [`Walker::paths`] could not be found or looked at so far.
    pub fn failed_root_count(&self) -> usize {
        self.failed_roots
    }

    /// Handles the next named paths that share their next name.
    fn visit_planned(&mut self, range: Range<usize>) {
        let depth = self.stack.len() - 1;
        let name_of = |path: &Path| path.iter().nth(depth + 1).map(|name| name.as_bytes().to_vec());
        let paths = &self.options.paths;
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
            match self.look(&path, &name) {
                Ok(found) => self.emit(name, path, found, None),
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
        let path = PathBuf::from("/");
        match self.look(&path, b"") {
            Ok((metadata, _)) => {
                let children = self.list(&path, b"", &metadata, metadata.device);
                self.stack.push(Frame { path, children });
            }
            Err(error) => {
                self.failed_roots += 1;
                self.queue.push_back(WalkEvent::Failed(error));
            }
        }
    }

    fn visit_ancestor(&mut self, name: Vec<u8>, path: PathBuf, below: Range<usize>) {
        let place = Place { within: None, path: &path };
        let look = Look { follow: true, attributes: self.attributes };
        let found = inspect(place, look, &self.owners).and_then(|found| match found.0.is_directory() {
            true => self.check_bounds(&name, &path, true).map(|()| found),
            false => Err(SourceError::new(&path, "enter", io::Error::from(io::ErrorKind::NotADirectory))),
        });
        match found {
            Ok((metadata, problem)) => {
                self.queue.extend(problem.map(WalkEvent::Failed));
                self.queue.push_back(WalkEvent::Enter { name, path: path.clone(), metadata });
                self.stack.push(Frame { path, children: Children::Planned { range: below } });
            }
            Err(error) => {
                for root in &self.options.paths[below] {
                    let cause = io::Error::new(error.error.kind(), error.error.to_string());
                    self.queue.push_back(WalkEvent::Failed(SourceError::new(root, error.action, cause)));
                    self.failed_roots += 1;
                }
            }
        }
    }

    /// Handles the entry `name` of the listed directory on top.
    fn visit_listed(&mut self, name: Vec<u8>, root_device: u64) {
        let Some(frame) = self.stack.last() else { return };
        let path = frame.path.join(OsStr::from_bytes(&name));
        match self.look(&path, &name) {
            Ok(found) => self.emit(name, path, found, Some(root_device)),
            // What is left out whatever it is needs no report, and mounts may hide even from the superuser.
            Err(_) if self.options.filter.excludes(&path, true) => {}
            Err(error) => self.queue.push_back(WalkEvent::Failed(error)),
        }
    }

    fn look(&mut self, path: &Path, name: &[u8]) -> Result<Found, SourceError> {
        let fd = top_fd(&mut self.stack).map_err(|error| SourceError::new(path, "reach", error))?;
        let look = Look { follow: false, attributes: self.attributes };
        inspect(Place { within: fd.map(|fd| (fd, name)), path }, look, &self.owners)
    }

    fn is_excluded(&self, path: &Path, metadata: &Metadata) -> bool {
        let is_too_large = metadata.kind == EntryKind::File
            && self.options.exclude_larger_than_bytes.is_some_and(|limit| metadata.size_bytes > limit);
        is_too_large || self.options.filter.excludes(path, metadata.is_directory())
    }

    /// Turns an entry into events. `root_device` is `None` for a named path, which decides it for what is
    /// below.
    fn emit(&mut self, name: Vec<u8>, path: PathBuf, found: Found, root_device: Option<u64>) {
        let (metadata, problem) = found;
        if self.is_excluded(&path, &metadata) {
            return;
        }
        let is_directory = metadata.is_directory();
        if let Err(error) = self.check_bounds(&name, &path, is_directory) {
            self.queue.push_back(WalkEvent::Failed(error));
            return;
        }
        let root_device = root_device.unwrap_or(metadata.device);
        let is_foreign = self.options.one_file_system && metadata.device != root_device;
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
            false => self.list(&path, &name, &metadata, root_device),
        };
        self.queue.push_back(WalkEvent::Enter { name, path: path.clone(), metadata });
        self.stack.push(Frame { path, children });
        if let Some(far) = self.stack.len().checked_sub(OPEN_DIRECTORY_COUNT_MAX + 1)
            && let Children::Listed { directory, .. } = &mut self.stack[far].children
        {
            directory.close();
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

    /// Lists the directory `name`; when that fails, reports it and returns none.
    fn list(&mut self, path: &Path, name: &[u8], metadata: &Metadata, root_device: u64) -> Children {
        match self.open_and_list(path, name, metadata) {
            Ok((directory, listing)) => Children::Listed { directory, listing, next: 0, root_device },
            Err(error) => {
                self.queue.push_back(WalkEvent::Failed(SourceError::new(path, "list", error)));
                Children::Planned { range: 0..0 }
            }
        }
    }

    fn open_and_list(
        &mut self,
        path: &Path,
        name: &[u8],
        metadata: &Metadata,
    ) -> io::Result<(Directory, Listing)> {
        let (from, name) = match top_fd(&mut self.stack)? {
            Some(fd) => (fd, OsStr::from_bytes(name)),
            None => (CWD, path.as_os_str()),
        };
        let mut directory = Directory::open(from, name, metadata.device, metadata.inode)?;
        let fd = directory.fd(path)?;
        let mut listing = Listing::read(fd)?;
        let is_tag = |tag: &&TagFile| listing.contains(tag.name()) && tag.counts_in(fd);
        let kept: Vec<&[u8]> = self.tags.iter().filter(is_tag).map(TagFile::name).collect();
        if !kept.is_empty() {
            listing.retain(|name| kept.contains(&name));
        }
        Ok((directory, listing))
    }
}

/// Returns the directory on top when it was listed, so that its entries are looked up in it.
fn top_fd(stack: &mut [Frame]) -> io::Result<Option<BorrowedFd<'_>>> {
    match stack.last_mut() {
        Some(Frame { path, children: Children::Listed { directory, .. } }) => directory.fd(path).map(Some),
        _ => Ok(None),
    }
}

impl Iterator for Walker {
    type Item = WalkEvent;

    fn next(&mut self) -> Option<WalkEvent> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            match &mut self.stack.last_mut()?.children {
                Children::Planned { range } if range.start < range.end => {
                    let range = range.clone();
                    self.visit_planned(range);
                }
                Children::Listed { listing, next, root_device, .. } if listing.get(*next).is_some() => {
                    let (name, root_device) = (listing.get(*next).unwrap_or_default().to_vec(), *root_device);
                    *next += 1;
                    self.visit_listed(name, root_device);
                }
                Children::Planned { .. } | Children::Listed { .. } => {
                    self.stack.pop();
                    if !self.stack.is_empty() {
                        return Some(WalkEvent::Leave);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
