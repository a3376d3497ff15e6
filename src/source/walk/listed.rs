//! A directory in the middle of the walk: its entries in order, the next ones and the directories among them
//! looked at ahead.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use super::ahead::{Ahead, Later};
use super::sight::{BATCH, Contents, Looked, Sight};
use crate::source::listing::{Directory, Listing};

/// Batches of one directory that are looked at ahead.
const BATCHES_AHEAD_MAX: usize = 4;
/// Directories in one directory that are listed ahead.
const DIRECTORIES_AHEAD_MAX: usize = 4;

/// What a directory that was to be listed ahead holds.
pub(super) type Below = io::Result<Option<Contents>>;

/// A directory whose entries come next.
#[derive(Debug)]
pub(super) struct Listed {
    directory: Directory,
    listing: Arc<Listing>,
    pub(super) root_device: u64,
    looked: VecDeque<Looked>,
    /// Entries at the front of `looked` that were asked for directories to list ahead.
    scanned: usize,
    /// Names that come next.
    rest: Range<usize>,
    /// Names after those, being looked at.
    batches: VecDeque<(Range<usize>, Later<Vec<Looked>>)>,
    /// Directories among `looked`, in order.
    below: VecDeque<(Vec<u8>, Later<Below>)>,
}

impl Listed {
    /// Begins with the first entry.
    pub(super) fn new(contents: Contents, root_device: u64) -> Self {
        let Contents { directory, listing, looked } = contents;
        Self {
            directory,
            root_device,
            rest: looked.len()..listing.count(),
            listing: Arc::new(listing),
            looked: looked.into(),
            scanned: 0,
            batches: VecDeque::new(),
            below: VecDeque::new(),
        }
    }

    /// Returns the open directory, which is at `path`.
    pub(super) fn directory(&mut self, path: &Path) -> io::Result<Arc<OwnedFd>> {
        self.directory.shared(path)
    }

    /// Gives the file descriptor back until it is needed again.
    pub(super) fn close(&mut self) {
        self.directory.close();
    }

    /// Returns the next entry, and what it holds if it is a directory that was listed ahead.
    pub(super) fn next(
        &mut self,
        path: &Arc<Path>,
        sight: &Arc<Sight>,
        ahead: &mut Ahead,
    ) -> Option<(Looked, Option<Below>)> {
        if self.looked.is_empty() {
            self.refill(path, sight);
        }
        self.look_ahead(path, sight, ahead);
        let entry = self.looked.pop_front()?;
        self.scanned = self.scanned.saturating_sub(1);
        let is_next = self.below.front().is_some_and(|(name, _)| *name == entry.name);
        let below = if is_next { self.below.pop_front() } else { None };
        Some((entry, below.and_then(|(_, later)| later.take())))
    }

    /// Looks at the next names, or takes what a thread saw there.
    fn refill(&mut self, path: &Arc<Path>, sight: &Sight) {
        let (mut range, mut looked) = (0..0, None);
        let is_ahead = self.batches.front().is_some_and(|(batch, _)| batch.start == self.rest.start);
        if is_ahead && let Some((batch, later)) = self.batches.pop_front() {
            (range, looked) = (batch, later.take());
        }
        if looked.is_none() {
            // Up to where threads have begun.
            let end = self.batches.front().map_or(self.rest.end, |(batch, _)| batch.start);
            range = self.rest.start..end.min(self.rest.start + BATCH);
            looked = Some(sight.look_at(&self.directory(path), path, &self.listing, range.clone()));
        }
        self.looked = looked.unwrap_or_default().into();
        self.scanned = 0;
        // A batch that takes much room ends early.
        self.rest.start = (range.start + self.looked.len()).min(self.rest.end);
    }

    fn look_ahead(&mut self, path: &Arc<Path>, sight: &Arc<Sight>, ahead: &mut Ahead) {
        while self.batches.len() < BATCHES_AHEAD_MAX && ahead.has_room() {
            let start = self.batches.back().map_or(self.rest.start, |(batch, _)| batch.end);
            let range = start..self.rest.end.min(start + BATCH);
            if range.is_empty() {
                break;
            }
            let Ok(directory) = self.directory(path) else { return };
            let (sight, listing, path, batch) =
                (sight.clone(), self.listing.clone(), path.clone(), range.clone());
            let later = ahead.begin(move || sight.look_at(&Ok(directory), &path, &listing, batch));
            self.batches.push_back((range, later));
        }
        while self.below.len() < DIRECTORIES_AHEAD_MAX && ahead.has_room() {
            let Some(entry) = self.looked.get(self.scanned) else { break };
            self.scanned += 1;
            let Ok((metadata, _)) = &entry.found else { continue };
            let is_foreign = sight.options.one_file_system && metadata.device != self.root_device;
            if entry.is_excluded || is_foreign || !metadata.is_directory() {
                continue;
            }
            let (name, at, metadata) = (entry.name.clone(), entry.path.clone(), metadata.clone());
            let Ok(above) = self.directory(path) else { return };
            let (sight, own) = (sight.clone(), name.clone());
            let later = ahead.begin(move || sight.list_ahead(above.as_fd(), &name, &at, &metadata));
            self.below.push_back((own, later));
        }
    }
}
