//! Looking at entries and listing directories, by any thread.

use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Found, WalkOptions};
use crate::source::error::SourceError;
use crate::source::listing::{Directory, LISTING_MAX_BYTES, Listing};
use crate::source::metadata::{EntryKind, Look, Metadata, Place, inspect};
use crate::source::owners::Owners;
use crate::source::tag::TagFile;

/// Entries that are looked at together.
pub(super) const BATCH: usize = 64;
/// Paths and attributes of one batch; more entries are left for the next.
const BATCH_BYTES: usize = 128 << 10;
/// Names of a directory that is listed ahead; a larger one is listed when the walk comes to it.
const AHEAD_LISTING_MAX_BYTES: usize = 256 << 10;

/// An entry that was looked at.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) name: Vec<u8>,
    pub(super) path: PathBuf,
    pub(super) found: Result<Found, SourceError>,
    /// The options leave it out.
    pub(super) is_excluded: bool,
}

impl Looked {
    /// Returns what this takes in memory, about.
    fn held_bytes(&self) -> usize {
        let attributes = self.found.as_ref().map_or(0, |(metadata, _)| metadata.attribute_bytes());
        self.path.as_os_str().len() + self.name.len() + attributes
    }
}

/// A directory that was listed, and its first entries.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) directory: Directory,
    pub(super) listing: Listing,
    pub(super) looked: Vec<Looked>,
}

/// What all looks have in common.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) options: WalkOptions,
    tags: Vec<TagFile>,
    owners: Owners,
    attributes: bool,
}

impl Sight {
    /// Returns how a walk of `options` looks at entries.
    pub(super) fn new(options: WalkOptions, attributes: bool) -> Self {
        let mut tags = options.exclude_if_present.clone();
        if options.exclude_caches {
            tags.push(TagFile::cache());
        }
        let owners = if attributes { Owners::of_this_host() } else { Owners::default() };
        Self { options, tags, owners, attributes }
    }

    /// Describes the entry at `path`, by its name in an open directory where there is one.
    pub(super) fn look(
        &self,
        within: Option<(BorrowedFd<'_>, &[u8])>,
        path: &Path,
        follow: bool,
    ) -> Result<Found, SourceError> {
        inspect(Place { within, path }, Look { follow, attributes: self.attributes }, &self.owners)
    }

    /// Tells whether the options leave an entry out.
    pub(super) fn is_excluded(&self, path: &Path, metadata: &Metadata) -> bool {
        let is_too_large = metadata.kind == EntryKind::File
            && self.options.exclude_larger_than_bytes.is_some_and(|limit| metadata.size_bytes > limit);
        is_too_large || self.options.filter.excludes(path, metadata.is_directory())
    }

    /// Looks at the names `range` of the directory at `path`, in order; at fewer where they take much room.
    pub(super) fn look_at(
        &self,
        directory: &io::Result<Arc<OwnedFd>>,
        path: &Path,
        listing: &Listing,
        range: Range<usize>,
    ) -> Vec<Looked> {
        let mut all = Vec::with_capacity(range.len());
        let mut held_bytes = 0;
        for name in range.map_while(|index| listing.get(index)) {
            let path = path.join(OsStr::from_bytes(name));
            let found = match directory {
                Ok(directory) => self.look(Some((directory.as_fd(), name)), &path, false),
                Err(error) => {
                    let cause = io::Error::new(error.kind(), error.to_string());
                    Err(SourceError::new(&path, "reach", cause))
                }
            };
            let is_excluded = match &found {
                Ok((metadata, _)) => self.is_excluded(&path, metadata),
                // What is left out whatever it is needs no report, and mounts may hide even from the
                // superuser.
                Err(_) => self.options.filter.excludes(&path, true),
            };
            let looked = Looked { name: name.to_vec(), path, found, is_excluded };
            held_bytes += looked.held_bytes();
            all.push(looked);
            if held_bytes >= BATCH_BYTES {
                break;
            }
        }
        all
    }

    /// Lists the directory `name` in `from`, which must still be the one that `metadata` describes.
    pub(super) fn list(
        &self,
        from: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        metadata: &Metadata,
    ) -> io::Result<(Directory, Listing)> {
        let listed = self.list_up_to(from, name, path, metadata, LISTING_MAX_BYTES)?;
        let too_long = || io::Error::other(format!("its names take more than {LISTING_MAX_BYTES} bytes"));
        listed.ok_or_else(too_long)
    }

    /// The same ahead of the walk, with the first entries. `None` for a directory too large for that.
    pub(super) fn list_ahead(
        &self,
        from: BorrowedFd<'_>,
        name: &[u8],
        path: &Path,
        metadata: &Metadata,
    ) -> io::Result<Option<Contents>> {
        let name = OsStr::from_bytes(name);
        let listed = self.list_up_to(from, name, path, metadata, AHEAD_LISTING_MAX_BYTES)?;
        let Some((mut directory, listing)) = listed else { return Ok(None) };
        let looked = self.look_at(&directory.shared(path), path, &listing, 0..BATCH);
        Ok(Some(Contents { directory, listing, looked }))
    }

    fn list_up_to(
        &self,
        from: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        metadata: &Metadata,
        max_bytes: usize,
    ) -> io::Result<Option<(Directory, Listing)>> {
        let mut directory = Directory::open(from, name, metadata.device, metadata.inode)?;
        let shared = directory.shared(path)?;
        let Some(mut listing) = Listing::read(shared.as_fd(), max_bytes)? else { return Ok(None) };
        let is_tag = |tag: &&TagFile| listing.contains(tag.name()) && tag.counts_in(shared.as_fd());
        let kept: Vec<&[u8]> = self.tags.iter().filter(is_tag).map(TagFile::name).collect();
        if !kept.is_empty() {
            listing.retain(|name| kept.contains(&name));
        }
        Ok(Some((directory, listing)))
    }
}
