//! Files that are whole and on disk before their name appears.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Advice, CWD, RenameFlags, fadvise, renameat_with};
use rustix::io::Errno;

use crate::base::Entropy;

/// How the names of unfinished files start; no object's name does.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";

/// Reads and files from this size on do not stay in the system's cache, where they would push out what others
/// use.
pub(crate) const PASSING_BYTES: usize = 1 << 20;

/// Limit: names tried for one temporary file.
const NAME_TRIES: u32 = 16;

/// Writes a file or a folder to disk.
fn sync(file: &File) -> io::Result<()> {
    #[cfg(not(test))]
    let done = file.sync_all();
    #[cfg(test)]
    let done = watch::synced(file.metadata()?, file.sync_all());
    done
}

/// Writes the names in `folder` to disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    sync(&File::open(folder)?)
}

/// Makes `folder` (mode 0700) and what is missing above it, durably. One that is there is left as it is, but
/// its name is written to disk, as whoever made it may not have come that far.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent
        && !parent.is_dir()
    {
        make_folder(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        other => other?,
    }
    // A parent that may be searched but not read cannot be synced; the folder stood there before us then.
    match sync_folder(parent.unwrap_or(Path::new("."))) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// A written and synced file under a temporary name, removed when dropped before it was placed.
pub(crate) struct Temporary {
    path: PathBuf,
    file: File,
    placed: bool,
}

impl Temporary {
    /// Writes `data` (mode 0600) to a new file in `folder` and waits until it is on disk.
    pub(crate) fn write(folder: &Path, data: &[u8], entropy: &dyn Entropy) -> io::Result<Self> {
        let mut tries = 0;
        let mut temporary = loop {
            let mut random = [0; 8];
            entropy.fill(&mut random);
            let path = folder.join(format!("{TEMPORARY_PREFIX}{:016x}", u64::from_le_bytes(random)));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < NAME_TRIES => {
                    tries += 1;
                }
                opened => break Self { path, file: opened?, placed: false },
            }
        };
        temporary.file.write_all(data)?;
        sync(&temporary.file)?;
        if data.len() >= PASSING_BYTES {
            // A hint: where it is not taken, pages stay.
            let _ = fadvise(&temporary.file, 0, None, Advice::DontNeed);
        }
        Ok(temporary)
    }

    /// Makes the file's time later than `earlier`, by one nanosecond where the clock did not move on.
    pub(crate) fn set_later_than(&self, earlier: SystemTime) -> io::Result<()> {
        if self.file.metadata()?.modified()? <= earlier {
            self.file.set_modified(earlier + Duration::from_nanos(1))?;
            sync(&self.file)?;
        }
        Ok(())
    }

    /// Gives the file its final name unless that is taken, which gives `AlreadyExists`. The folder is not
    /// synced.
    pub(crate) fn place_new(mut self, target: &Path) -> io::Result<()> {
        match renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.placed = true;
                Ok(())
            }
            // Some file systems know no rename without replacing; a hard link replaces nothing either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => self.link_new(target),
            Err(error) => Err(error.into()),
        }
    }

    fn link_new(&mut self, target: &Path) -> io::Result<()> {
        match std::fs::hard_link(&self.path, target) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // Neither of both: content-named objects may be renamed over, as only equal bytes bear that name.
            Err(_) if target.symlink_metadata().is_err() => {
                std::fs::rename(&self.path, target)?;
                self.placed = true;
                Ok(())
            }
            Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    /// Gives the file its final name, in place of what bore it. The folder is not synced.
    pub(crate) fn place_over(mut self, target: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, target)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            // Best effort: what stays behind is removed as a stale temporary later.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What of this thread was written to disk, for tests.
#[cfg(test)]
pub(crate) mod watch {
    use std::cell::RefCell;
    use std::fs::Metadata;
    use std::io;
    use std::os::unix::fs::MetadataExt;

    thread_local! {
        static SYNCED: RefCell<Vec<(u64, u64)>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn synced(what: Metadata, outcome: io::Result<()>) -> io::Result<()> {
        SYNCED.with_borrow_mut(|all| all.push((what.ino(), what.len())));
        outcome
    }

    /// Numbers and lengths of files and folders in the order in which they were written to disk since the
    /// last call.
    pub(crate) fn take() -> Vec<(u64, u64)> {
        SYNCED.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SeededEntropy;

    #[test]
    fn a_taken_name_is_never_replaced_by_either_way() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("object");
        let entropy = SeededEntropy::new(1);
        let write = |data: &[u8]| Temporary::write(folder.path(), data, &entropy).unwrap();
        write(b"first").place_new(&target).unwrap();
        assert_eq!(write(b"second").place_new(&target).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(write(b"third").link_new(&target).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&target).unwrap(), b"first");
        write(b"linked").link_new(&folder.path().join("other")).unwrap();
        assert_eq!(std::fs::read(folder.path().join("other")).unwrap(), b"linked");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file stays");
    }

    #[test]
    fn a_taken_temporary_name_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let first = Temporary::write(folder.path(), b"a", &SeededEntropy::new(1)).unwrap();
        let second = Temporary::write(folder.path(), b"b", &SeededEntropy::new(1)).unwrap();
        assert_ne!(first.path, second.path);
    }
}
