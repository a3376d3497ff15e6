//! The folder of a database: its files' names, who may make them anew, and temporary ones.
//!
//! A file is called `index-<generation>.sqlite`. A database that is made anew gets the next generation
//! instead of the same name: another process that still has the old one open would remove, by name, a log
//! that is no longer its own.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::database::IndexSettings;
use super::error::IndexError;
use super::schema;
use crate::base::RepositoryId;

/// How often another process's opening is waited for.
const LOCK_ATTEMPT_MAX: u32 = 1_500;
/// How long each time.
const LOCK_WAIT: Duration = Duration::from_millis(20);
/// How many names a temporary folder tries.
const TEMPORARY_ATTEMPT_MAX: u32 = 1_000;

/// Opens the newest database in `folder`, or makes one; returns the path of its file too.
pub(super) fn open(
    folder: &Path,
    repository: RepositoryId,
    settings: &IndexSettings,
) -> Result<(Connection, PathBuf), IndexError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(IndexError::folder(folder))?;
    // The database follows no link itself; a home or a cache that lies elsewhere is reached through one.
    let folder = &fs::canonicalize(folder).map_err(IndexError::folder(folder))?;
    let _lock = lock(folder)?;
    let newest = generations(folder)?.into_iter().max().unwrap_or(0);
    if newest > 0
        && let Some(connection) = open_fit(&file_path(folder, newest), repository, settings)?
    {
        remove_before(folder, newest)?;
        return Ok((connection, file_path(folder, newest)));
    }
    let generation = newest.saturating_add(1);
    let path = file_path(folder, generation);
    private_file().create_new(true).open(&path).map_err(IndexError::folder(&path))?;
    let connection = schema::create(&path, repository, settings)?;
    remove_before(folder, generation)?;
    Ok((connection, path))
}

/// Returns the database at `path`, or `None` when it has to be made anew.
fn open_fit(
    path: &Path,
    repository: RepositoryId,
    settings: &IndexSettings,
) -> Result<Option<Connection>, IndexError> {
    if !path.is_file() || marker_path(path).exists() {
        return Ok(None);
    }
    match schema::open(path, repository, settings) {
        Err(error) if error.is_damage() => Ok(None),
        result => result,
    }
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn lock_file(path: &Path) -> Result<File, IndexError> {
    private_file().create(true).truncate(false).open(path).map_err(IndexError::folder(path))
}

/// Takes the lock of whoever reads every pack; `None` when another process has it. The system gives it back
/// when the file is closed, also by the death of its process.
pub(super) fn try_lock_reading(folder: &Path) -> Result<Option<File>, IndexError> {
    let path = folder.join("reading");
    let file = lock_file(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(IndexError::folder(&path)(error)),
    }
}

/// Opening is exclusive, since it may replace; using is not.
fn lock(folder: &Path) -> Result<File, IndexError> {
    let path = folder.join("lock");
    let file = lock_file(&path)?;
    for _ in 0..LOCK_ATTEMPT_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_WAIT),
            Err(TryLockError::Error(error)) => return Err(IndexError::folder(&path)(error)),
        }
    }
    Err(IndexError::folder(&path)(io::Error::new(io::ErrorKind::TimedOut, "another process holds the lock")))
}

fn file_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("index-{generation}.sqlite"))
}

/// Returns the file whose presence says that the database at `path` was found broken.
pub(super) fn marker_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push("-damaged");
    PathBuf::from(name)
}

/// Returns the generation that a file of the database, or one beside it (log, marker), belongs to.
fn generation_of(name: &str) -> Option<u64> {
    let (number, rest) = name.strip_prefix("index-")?.split_once('.')?;
    rest.starts_with("sqlite").then(|| number.parse().ok()).flatten()
}

fn generations(folder: &Path) -> Result<Vec<u64>, IndexError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(IndexError::folder(folder))? {
        let entry = entry.map_err(IndexError::folder(folder))?;
        found.extend(entry.file_name().to_str().and_then(generation_of));
    }
    Ok(found)
}

fn remove_before(folder: &Path, generation: u64) -> Result<(), IndexError> {
    for entry in fs::read_dir(folder).map_err(IndexError::folder(folder))? {
        let entry = entry.map_err(IndexError::folder(folder))?;
        if entry.file_name().to_str().and_then(generation_of).is_some_and(|found| found < generation) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(IndexError::folder(&entry.path())(error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A folder of this process alone, removed when dropped.
#[derive(Debug)]
pub(super) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes one below the system's folder for temporary files. Making it fails where the name exists, so
    /// that nobody can have put anything there.
    pub(super) fn new() -> Result<Self, IndexError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let parent = std::env::temp_dir();
        for _ in 0..TEMPORARY_ATTEMPT_MAX {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("snap-index-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(IndexError::folder(&path)(error)),
            }
        }
        Err(IndexError::folder(&parent)(io::Error::from(io::ErrorKind::AlreadyExists)))
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Nothing depends on it any more, and there is nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_databases_own_files_have_a_generation() {
        assert_eq!(generation_of("index-7.sqlite"), Some(7));
        assert_eq!(generation_of("index-7.sqlite-wal"), Some(7));
        for other in ["lock", "index-7", "index-.sqlite", "index-x.sqlite", "other-7.sqlite", "index-7.txt"] {
            assert_eq!(generation_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_database_is_reached_through_a_link_to_its_folder_and_is_none_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let settings = IndexSettings::default();
        let open_below = || open(&link.join("below"), RepositoryId([1; 16]), &settings);
        drop(open_below().unwrap());
        let (connection, path) = open_below().unwrap();
        assert_eq!(path, fs::canonicalize(&real).unwrap().join("below/index-1.sqlite"));
        drop(connection);
        fs::rename(&path, folder.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("moved"), &path).unwrap();
        assert!(open_below().is_err());
    }

    #[test]
    fn a_temporary_folder_is_gone_when_dropped() {
        let folder = TemporaryFolder::new().unwrap();
        let path = folder.path().to_path_buf();
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());
    }
}
