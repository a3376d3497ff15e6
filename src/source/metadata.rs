//! What is known about an entry besides its content.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Stat, readlinkat, statat};

use xattr::FileExt;

use super::error::SourceError;
use super::owners::Owners;
use crate::base::Time;
use crate::base::limits::{LINK_TARGET_MAX_BYTES, XATTR_TOTAL_MAX_BYTES};

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points, raw bytes, at most `LINK_TARGET_MAX_BYTES`.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A socket.
    Socket,
}

/// Extended attributes, sorted by name, at most `XATTR_TOTAL_MAX_BYTES` in all.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// What is known about an entry besides its name and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: EntryKind,
    /// Length of a file's content; for other kinds what the system says, of no meaning here.
    pub size_bytes: u64,
    /// The low 12 bits of `st_mode`.
    pub mode: u32,
    /// Number of the owner.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
    /// Name of the owner, empty when this host's account files do not list it.
    pub user: String,
    /// Name of the group, empty when this host's account files do not list it.
    pub group: String,
    /// When the content was last changed.
    pub mtime: Time,
    /// When the entry was last changed.
    pub ctime: Time,
    /// Number of the inode.
    pub inode: u64,
    /// Number of the device that holds it.
    pub device: u64,
    /// How many names it has.
    pub links: u64,
    /// Extended attributes. A walk leaves those of regular files out: [`OpenFile::attributes`] gives them,
    /// and where the ctime did not change they are what they were.
    ///
    /// [`OpenFile::attributes`]: super::OpenFile::attributes
    pub xattrs: Attributes,
    /// Bytes that the file system holds for it; fewer than `size_bytes` in a sparse file.
    pub stored_blocks_bytes: u64,
}

impl Metadata {
    /// Tells whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == EntryKind::Directory
    }

    /// Returns the length of its extended attributes, names and values.
    pub fn attribute_bytes(&self) -> usize {
        self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Tells whether the file system holds fewer bytes for a file than it is long: it has holes or is
    /// compressed.
    pub fn is_sparse(&self) -> bool {
        self.kind == EntryKind::File && self.stored_blocks_bytes < self.size_bytes
    }
}

/// Where an entry is: by its name in an open directory, or by its whole path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The open directory and the name in it; `None` for an entry known by path alone.
    pub(super) within: Option<(BorrowedFd<'a>, &'a [u8])>,
    /// The whole path.
    pub(super) path: &'a Path,
}

impl<'a> Place<'a> {
    /// Returns directory and name for the `…at` calls.
    pub(super) fn parts(&self) -> (BorrowedFd<'a>, &'a OsStr) {
        match self.within {
            Some((directory, name)) => (directory, OsStr::from_bytes(name)),
            None => (CWD, self.path.as_os_str()),
        }
    }
}

/// How much of an entry to look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Describe what a symlink points at: only for ancestors of named paths.
    pub(super) follow: bool,
    /// Read extended attributes too.
    pub(super) attributes: bool,
}

/// Describes the entry at `place`. Attributes that cannot be read or stored come back as the second value and
/// are left out: the content is worth more than they are.
pub(super) fn inspect(
    place: Place<'_>,
    look: Look,
    owners: &Owners,
) -> Result<(Metadata, Option<SourceError>), SourceError> {
    let (directory, name) = place.parts();
    let flags = if look.follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    let stat = statat(directory, name, flags)
        .map_err(|error| SourceError::new(place.path, "read the metadata of", error))?;
    let kind = kind_of(place, &stat)?;
    let (xattrs, problem) = match look.attributes && kind != EntryKind::File {
        true => attributes(place, look.follow),
        false => (Vec::new(), None),
    };
    let metadata = Metadata {
        kind,
        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        user: owners.user(stat.st_uid),
        group: owners.group(stat.st_gid),
        mtime: mtime_of(&stat),
        ctime: ctime_of(&stat),
        inode: stat.st_ino,
        device: stat.st_dev,
        links: stat.st_nlink as _,
        xattrs,
        stored_blocks_bytes: stored_blocks_bytes_of(&stat),
    };
    Ok((metadata, problem))
}

/// Returns when the content was last changed.
pub(super) fn mtime_of(stat: &Stat) -> Time {
    time(stat.st_mtime as _, stat.st_mtime_nsec as _)
}

/// Returns when the entry was last changed.
pub(super) fn ctime_of(stat: &Stat) -> Time {
    time(stat.st_ctime as _, stat.st_ctime_nsec as _)
}

/// Returns the bytes that the file system holds for the entry: it counts blocks of 512 bytes.
pub(super) fn stored_blocks_bytes_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512)
}

/// File systems have stored nanoseconds beyond a second; such a value is brought into range.
fn time(seconds: i64, nanoseconds: u64) -> Time {
    Time { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(u32::MAX).min(999_999_999) }
}

fn kind_of(place: Place<'_>, stat: &Stat) -> Result<EntryKind, SourceError> {
    let device = stat.st_rdev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(EntryKind::File),
        FileType::Directory => Ok(EntryKind::Directory),
        FileType::Symlink => Ok(EntryKind::Symlink { target: link_target(place)? }),
        FileType::Fifo => Ok(EntryKind::Fifo),
        FileType::CharacterDevice => Ok(EntryKind::CharDevice { major, minor }),
        FileType::BlockDevice => Ok(EntryKind::BlockDevice { major, minor }),
        FileType::Socket => Ok(EntryKind::Socket),
        _ => Err(SourceError::new(place.path, "store", io::Error::other("unknown type of entry"))),
    }
}

fn link_target(place: Place<'_>) -> Result<Vec<u8>, SourceError> {
    let (directory, name) = place.parts();
    let target = readlinkat(directory, name, Vec::new())
        .map_err(|error| SourceError::new(place.path, "read the target of", error))?
        .into_bytes();
    if target.len() as u64 > LINK_TARGET_MAX_BYTES {
        let reason = format!("the target takes {} bytes, the limit is {LINK_TARGET_MAX_BYTES}", target.len());
        return Err(SourceError::new(place.path, "store", io::Error::other(reason)));
    }
    Ok(target)
}

fn attributes(place: Place<'_>, follow: bool) -> (Attributes, Option<SourceError>) {
    let found = match read_attributes(&attribute_path(place), follow) {
        // The entry has gone, or there is no /proc here: then its own path must do.
        Err(error) if error.kind() == io::ErrorKind::NotFound => read_attributes(place.path, follow),
        found => found,
    };
    judged(found, place.path)
}

/// Returns the attributes of an open file as the walk returns those of other entries.
pub(super) fn attributes_of(file: &File, path: &Path) -> (Attributes, Option<SourceError>) {
    judged(file.list_xattr().and_then(|names| collected(names, |name| file.get_xattr(name))), path)
}

fn judged(found: io::Result<Attributes>, path: &Path) -> (Attributes, Option<SourceError>) {
    match found {
        Ok(found) => {
            let total: u64 = found.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum();
            if total <= XATTR_TOTAL_MAX_BYTES {
                return (found, None);
            }
            let reason = format!("they take {total} bytes, the limit is {XATTR_TOTAL_MAX_BYTES}");
            let error = io::Error::other(reason);
            (Vec::new(), Some(SourceError::new(path, "store the extended attributes of", error)))
        }
        Err(error) if is_silent(&error) => (Vec::new(), None),
        Err(error) => (Vec::new(), Some(SourceError::new(path, "read the extended attributes of", error))),
    }
}

/// Attributes take a path. The one through the open directory reaches entries whose own path is too long for
/// the system, and is not led astray when a parent is exchanged for a symlink meanwhile.
fn attribute_path(place: Place<'_>) -> PathBuf {
    match place.within {
        Some((directory, name)) => {
            let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
            path.push(OsStr::from_bytes(name));
            path
        }
        None => place.path.to_path_buf(),
    }
}

fn read_attributes(path: &Path, follow: bool) -> io::Result<Attributes> {
    if follow {
        return collected(xattr::list_deref(path)?, |name| xattr::get_deref(path, name));
    }
    collected(xattr::list(path)?, |name| xattr::get(path, name))
}

fn collected(
    names: xattr::XAttrs,
    value_of: impl Fn(&OsStr) -> io::Result<Option<Vec<u8>>>,
) -> io::Result<Attributes> {
    let mut found = Vec::new();
    for name in names {
        match value_of(&name) {
            Ok(Some(value)) => found.push((name.into_vec(), value)),
            Ok(None) => {}
            Err(error) if is_silent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort();
    Ok(found)
}

/// No attributes here, none for us, or the entry has just gone: not worth a word.
fn is_silent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
    )
}
