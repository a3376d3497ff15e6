//! Open directories and the names in them.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, RawDir, fstat, openat};
use rustix::io::Errno;

/// Names of one directory that are held at once, together: about ten million entries.
pub(super) const LISTING_MAX_BYTES: usize = 256 << 20;
/// Buffer for reading a directory.
const READ_BUFFER_SIZE_BYTES: usize = 64 << 10;
/// A path below this length can be handed to the system, whose limit is 4096 with the ending NUL.
const PATH_SHORT_MAX_BYTES: usize = 4_000;

/// Opens `name` in `directory` without changing its access time, where the system permits that.
pub(super) fn open_quietly(directory: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    loop {
        let opened = match openat(directory, name, flags | OFlags::NOATIME, Mode::empty()) {
            // Only the owner of a file may leave its access time alone.
            Err(Errno::PERM) => openat(directory, name, flags, Mode::empty()),
            opened => opened,
        };
        match opened {
            Err(Errno::INTR) => {}
            opened => return opened,
        }
    }
}

/// A directory to open from, and what is left of a path from there: within the system's limit however long
/// the path is.
#[derive(Debug)]
pub(super) struct ShortPath<'a> {
    directory: Option<OwnedFd>,
    rest: &'a OsStr,
}

impl<'a> ShortPath<'a> {
    /// Opens as many directories of `path` as it takes to make the rest short. Symlinks on the way are
    /// followed.
    pub(super) fn of(path: &'a Path) -> Result<Self, Errno> {
        let mut directory: Option<OwnedFd> = None;
        let mut rest = path.as_os_str().as_bytes();
        while rest.len() > PATH_SHORT_MAX_BYTES {
            let Some(cut) = rest[..PATH_SHORT_MAX_BYTES].iter().rposition(|byte| *byte == b'/') else {
                break;
            };
            let head = OsStr::from_bytes(&rest[..cut.max(1)]);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let from = directory.as_ref().map_or(CWD, AsFd::as_fd);
            directory = Some(openat(from, head, flags, Mode::empty())?);
            rest = &rest[cut + 1..];
        }
        Ok(Self { directory, rest: OsStr::from_bytes(rest) })
    }

    /// Returns directory and name for the `…at` calls.
    pub(super) fn parts(&self) -> (BorrowedFd<'_>, &'a OsStr) {
        (self.directory.as_ref().map_or(CWD, AsFd::as_fd), self.rest)
    }
}

/// A directory on the way of the walk. Its file descriptor can be given back and taken again, so that deep
/// trees do not use them up.
#[derive(Debug)]
pub(super) struct Directory {
    fd: Option<Arc<OwnedFd>>,
    device: u64,
    inode: u64,
}

impl Directory {
    /// Opens `name` in `from`, which must still be the directory (`device`, `inode`).
    pub(super) fn open(from: BorrowedFd<'_>, name: &OsStr, device: u64, inode: u64) -> io::Result<Self> {
        let fd = open_quietly(from, name, OFlags::DIRECTORY)?;
        let stat = fstat(&fd)?;
        if (stat.st_dev, stat.st_ino) != (device, inode) {
            return Err(io::Error::other("it was replaced while the tree was walked"));
        }
        Ok(Self { fd: Some(Arc::new(fd)), device, inode })
    }

    /// Gives the file descriptor back; [`Directory::shared`] takes another.
    pub(super) fn close(&mut self) {
        self.fd = None;
    }

    /// Returns the open directory, opening it again at `path` when it was closed. Whoever keeps it keeps it
    /// open.
    pub(super) fn shared(&mut self, path: &Path) -> io::Result<Arc<OwnedFd>> {
        if self.fd.is_none() {
            let short = ShortPath::of(path)?;
            let (from, name) = short.parts();
            self.fd = Self::open(from, name, self.device, self.inode)?.fd;
        }
        self.fd.clone().ok_or_else(|| io::Error::other("it is not open"))
    }
}

/// The names in a directory, ascending by bytes. A name costs its length and five bytes.
#[derive(Debug, Default)]
pub(super) struct Listing {
    names: Vec<u8>,
    starts: Vec<u32>,
}

impl Listing {
    /// Reads the names in `directory`; `None` when they take `max_bytes` or more.
    pub(super) fn read(directory: BorrowedFd<'_>, max_bytes: usize) -> io::Result<Option<Self>> {
        let mut buffer = Vec::with_capacity(READ_BUFFER_SIZE_BYTES);
        let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
        let mut listing = Self::default();
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => listing.push(entry.file_name().to_bytes())?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if listing.names.len() >= max_bytes {
                return Ok(None);
            }
        }
        let Self { names, starts } = &mut listing;
        starts.sort_unstable_by(|a, b| name_at(names, *a).cmp(name_at(names, *b)));
        // A directory that changes while it is read may give a name twice.
        starts.dedup_by(|a, b| name_at(names, *a) == name_at(names, *b));
        Ok(Some(listing))
    }

    fn push(&mut self, name: &[u8]) -> io::Result<()> {
        if matches!(name, b"." | b"..") {
            return Ok(());
        }
        let start = u32::try_from(self.names.len()).map_err(io::Error::other)?;
        self.starts.push(start);
        self.names.extend_from_slice(name);
        self.names.push(0);
        Ok(())
    }

    /// Returns how many names there are.
    pub(super) fn count(&self) -> usize {
        self.starts.len()
    }

    /// Returns name number `index`.
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        self.starts.get(index).map(|start| name_at(&self.names, *start))
    }

    /// Tells whether `name` is in the directory.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.starts.binary_search_by(|start| name_at(&self.names, *start).cmp(name)).is_ok()
    }

    /// Keeps the names for which `keep` says so.
    pub(super) fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        let names = &self.names;
        self.starts.retain(|start| keep(name_at(names, *start)));
    }
}

/// A name never holds a NUL, so that one ends it.
fn name_at(names: &[u8], start: u32) -> &[u8] {
    let rest = names.get(start as usize..).unwrap_or_default();
    rest.split(|byte| *byte == 0).next().unwrap_or_default()
}
