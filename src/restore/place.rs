//! The target: every path below it is reached from its open directory, never through a symlink.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, openat, openat2, statat};
use rustix::io::Errno;

use super::RestoreError;
use crate::base::Entropy;
use crate::base::id::hex;

/// Open directories kept at hand.
const DIRECTORIES_KEPT_MAX: usize = 64;
/// Tries of `openat2` when something else is being renamed meanwhile.
const RETRY_COUNT_MAX: usize = 8;

/// An open directory to restore into.
#[derive(Debug)]
pub(super) struct Target {
    root: Arc<OwnedFd>,
    path: PathBuf,
    /// This run made it.
    pub(super) is_new: bool,
    has_openat2: AtomicBool,
    kept: Mutex<HashMap<Vec<u8>, Arc<OwnedFd>>>,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Target {
    /// Opens the directory at `path`; makes it, and the directories above, when it is missing.
    ///
    /// `None` when it is missing and `make` is false.
    pub(super) fn open(path: &Path, make: bool) -> Result<Option<Self>, RestoreError> {
        let mut is_new = false;
        if make {
            is_new = make_target(path).map_err(|error| RestoreError::target(path, "make", error))?;
        }
        let root = match openat(CWD, path, DIRECTORY, Mode::empty()) {
            Ok(root) => root,
            Err(Errno::NOENT) if !make => return Ok(None),
            Err(error) => return Err(RestoreError::target(path, "open", error)),
        };
        Ok(Some(Self {
            root: Arc::new(root),
            path: path.to_path_buf(),
            is_new,
            has_openat2: AtomicBool::new(true),
            kept: Mutex::default(),
        }))
    }

    /// Returns the whole path of `relative`, for messages.
    pub(super) fn full_path(&self, relative: &[u8]) -> PathBuf {
        if relative.is_empty() { self.path.clone() } else { self.path.join(OsStr::from_bytes(relative)) }
    }

    /// Returns the target itself.
    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Opens the directory at `relative`; fails where any component is a symlink.
    pub(super) fn directory(&self, relative: &[u8]) -> io::Result<Arc<OwnedFd>> {
        if relative.is_empty() {
            return Ok(self.root.clone());
        }
        if let Some(kept) = self.lock().get(relative) {
            return Ok(kept.clone());
        }
        let opened = Arc::new(self.open_beneath(relative)?);
        let mut kept = self.lock();
        if kept.len() >= DIRECTORIES_KEPT_MAX {
            kept.clear();
        }
        kept.insert(relative.to_vec(), opened.clone());
        Ok(opened)
    }

    /// Returns the open directory above `relative` and the name in it.
    pub(super) fn parent<'p>(&self, relative: &'p [u8]) -> io::Result<(Arc<OwnedFd>, &'p OsStr)> {
        let at = relative.iter().rposition(|byte| *byte == b'/');
        let (above, name) = at.map_or((&[][..], relative), |at| (&relative[..at], &relative[at + 1..]));
        Ok((self.directory(above)?, OsStr::from_bytes(name)))
    }

    fn open_beneath(&self, relative: &[u8]) -> io::Result<OwnedFd> {
        if self.has_openat2.load(Ordering::Relaxed) {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            for _ in 0..RETRY_COUNT_MAX {
                match openat2(&*self.root, relative, DIRECTORY | OFlags::NOFOLLOW, Mode::empty(), resolve) {
                    Ok(directory) => return Ok(directory),
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    // Longer than one call can take.
                    Err(Errno::NAMETOOLONG) => break,
                    // An old kernel, or a sandbox that does not know the call.
                    Err(Errno::NOSYS | Errno::PERM) => {
                        self.has_openat2.store(false, Ordering::Relaxed);
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.open_stepwise(relative)
    }

    fn open_stepwise(&self, relative: &[u8]) -> io::Result<OwnedFd> {
        let mut at = openat(&*self.root, ".", DIRECTORY, Mode::empty())?;
        for name in relative.split(|byte| *byte == b'/') {
            if name == b".." {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            at = openat(&at, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(at)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Arc<OwnedFd>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the target and what is missing above it; tells whether it was missing.
fn make_target(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(false);
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        std::fs::create_dir_all(above)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(path)?;
    Ok(true)
}

/// Describes the entry `name` itself, `None` when there is none.
pub(super) fn look(directory: &OwnedFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns what kind of entry `stat` describes.
pub(super) fn kind_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Returns a name for an entry that will be renamed over another.
pub(super) fn temporary_name(entropy: &dyn Entropy) -> String {
    let mut random = [0; 8];
    entropy.fill(&mut random);
    format!(".snap-restore-{}", hex(&random))
}

/// Puts the entry `from` in place of `to`, which may be anything but a directory that is not empty.
pub(super) fn rename_over(directory: &OwnedFd, from: &OsStr, to: &OsStr) -> io::Result<()> {
    let rename = || rustix::fs::renameat(directory, from, directory, to);
    match rename() {
        Err(Errno::ISDIR) => {
            rustix::fs::unlinkat(directory, to, AtFlags::REMOVEDIR)?;
            Ok(rename()?)
        }
        outcome => Ok(outcome?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_opening_a_directory_follows_a_symlink_below_the_target() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("target"), folder.path().join("outside"));
        std::fs::create_dir_all(inside.join("a/b")).unwrap();
        std::fs::create_dir_all(outside.join("b")).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        std::os::unix::fs::symlink("a", inside.join("near")).unwrap();
        for has_openat2 in [true, false] {
            let target = Target::open(&inside, false).unwrap().unwrap();
            target.has_openat2.store(has_openat2, Ordering::Relaxed);
            assert!(target.directory(b"a/b").is_ok());
            assert!(target.directory(b"").is_ok());
            for bad in [&b"link"[..], b"link/b", b"near", b"near/b", b"..", b"a/../..", b"missing"] {
                assert!(target.directory(bad).is_err(), "{}", bad.escape_ascii());
            }
        }
    }

    #[test]
    fn a_path_longer_than_the_system_takes_at_once_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::open(folder.path(), true).unwrap().unwrap();
        let mut path = Vec::new();
        for _ in 0..30 {
            let above = target.directory(&path).unwrap();
            let name = vec![b'n'; 200];
            rustix::fs::mkdirat(&*above, name.as_slice(), Mode::RWXU).unwrap();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
        }
        assert!(path.len() > 4096);
        assert!(target.directory(&path).is_ok());
    }
}
