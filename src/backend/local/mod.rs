//! Objects as files below one directory (`format-spec/02-layout.md` 2.3).
//!
//! Every file appears under its name whole and synced, or not at all. Leases are compared and replaced under
//! an exclusive lock on `locks/.mutex`, which the system gives back when a process dies.

mod reserve;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

use self::reserve::Reserve;
use super::{Backend, BackendError, ErrorKind, ObjectInfo, ObjectKey, ObjectKind, PutOutcome};
use super::{Version, Versioned};
use crate::base::durable::{TEMPORARY_PREFIX, Temporary, make_folder, sync_folder};
use crate::base::escape::escape_name;
use crate::base::limits::LEASE_MAX_BYTES;
use crate::base::{BufferPool, Clock, Entropy, Memory, Time};

/// The file whose lock orders writers of leases; foreign to every listing.
const MUTEX_NAME: &str = ".mutex";

/// Reads from this size on use memory again.
const POOLED_READ_BYTES: u64 = 128 << 10;

/// A store in a directory.
pub struct LocalBackend {
    root: PathBuf,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    /// Memory of large reads.
    reads: Arc<BufferPool>,
    /// Folders whose own names this process knows to be on disk; at most one per folder of the layout.
    durable_folders: Mutex<BTreeSet<PathBuf>>,
}

impl LocalBackend {
    /// Returns the store at `root`, without touching it. `entropy` names temporary files, `clock` tells old
    /// ones, `memory` bounds what is kept of it between reads.
    pub fn new(root: PathBuf, entropy: Arc<dyn Entropy>, clock: Arc<dyn Clock>, memory: Memory) -> Self {
        Self {
            root,
            entropy,
            clock,
            reads: BufferPool::new(memory.read_buffers_bytes()),
            durable_folders: Mutex::default(),
        }
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.path())
    }

    /// The error for a failed call; a missing object is told from a missing repository.
    fn failed(&self, action: &str, what: &str, error: io::Error) -> BackendError {
        let missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        if missing && !self.root.is_dir() {
            return BackendError::with_source(
                ErrorKind::NoLocation,
                format!("there is no directory {}", self.location()),
                error,
            );
        }
        let text = format!("cannot {action} {what} in {}", self.location());
        if error.kind() == io::ErrorKind::NotADirectory {
            return BackendError::with_source(ErrorKind::NotFound, text, error);
        }
        BackendError::from_io(text, error)
    }

    /// Returns the folder of `key`, made if need be, its name on disk. The root itself is never made here.
    fn folder_of(&self, key: &ObjectKey) -> io::Result<PathBuf> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.root).to_path_buf();
        let known = |folders: &BTreeSet<PathBuf>| folders.contains(&folder);
        if known(&self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(folder);
        }
        if !self.root.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let top = self.root.join(key.kind().folder());
        make_folder(&top)?;
        if folder != top {
            make_folder(&folder)?;
        }
        self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.clone());
        Ok(folder)
    }

    /// Writes a temporary file next to `key`, making the folder anew if it went away behind our back.
    fn write_temporary(&self, key: &ObjectKey, data: &[u8]) -> io::Result<(PathBuf, Temporary)> {
        let folder = self.folder_of(key)?;
        match Temporary::write(&folder, data, &*self.entropy) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner).remove(&folder);
                let folder = self.folder_of(key)?;
                let temporary = Temporary::write(&folder, data, &*self.entropy)?;
                Ok((folder, temporary))
            }
            written => Ok((folder, written?)),
        }
    }

    /// Answers a create-only write whose name is taken.
    fn existed(&self, key: &ObjectKey, size_bytes: u64) -> Result<PutOutcome, BackendError> {
        let path = self.path(key);
        let failed = |error| self.failed("look at", key.path(), error);
        let there = path.symlink_metadata().map_err(failed)?;
        if there.len() != size_bytes || !there.is_file() {
            let action = format!("{key} is there with {} bytes instead of {size_bytes}", there.len());
            return Err(BackendError::new(ErrorKind::Conflict, action));
        }
        // Its writer may not have synced the folder yet, and we are about to rely on the object.
        sync_folder(path.parent().unwrap_or(&self.root)).map_err(failed)?;
        Ok(PutOutcome::Existed)
    }

    fn open_object(&self, key: &ObjectKey) -> Result<(File, Metadata), BackendError> {
        let open = || {
            let file = File::open(self.path(key))?;
            let metadata = file.metadata()?;
            Ok((file, metadata))
        };
        let (file, metadata) = open().map_err(|error| self.failed("open", key.path(), error))?;
        if !metadata.is_file() {
            let action = format!("{key} in {} is not a file", self.location());
            return Err(BackendError::new(ErrorKind::Other, action));
        }
        Ok((file, metadata))
    }

    fn read_whole(&self, key: &ObjectKey, limit_bytes: u64) -> Result<(Bytes, Metadata), BackendError> {
        let (file, metadata) = self.open_object(key)?;
        let size = metadata.len();
        if size > limit_bytes {
            let action = format!("{key} has {size} bytes, more than the {limit_bytes} allowed");
            return Err(BackendError::new(ErrorKind::Short, action));
        }
        let data = self.read_exactly(&file, size).map_err(|error| self.failed("read", key.path(), error))?;
        if data.len() as u64 != size {
            let action = format!("{key} in {} ends before its size", self.location());
            return Err(BackendError::new(ErrorKind::Short, action));
        }
        Ok((data, metadata))
    }

    /// Reads up to `length_bytes` bytes from where `file` stands; fewer at its end.
    fn read_exactly(&self, file: &File, length_bytes: u64) -> io::Result<Bytes> {
        let capacity = usize::try_from(length_bytes).map_err(io::Error::other)?;
        let mut source = file.take(length_bytes);
        if length_bytes < POOLED_READ_BYTES {
            let mut data = Vec::with_capacity(capacity);
            source.read_to_end(&mut data)?;
            return Ok(data.into());
        }
        let mut data = self.reads.take(capacity);
        source.read_to_end(&mut data)?;
        Ok(data.share())
    }

    /// Takes the lock that orders writers of leases; it is given back with the file.
    fn lock_leases(&self, key: &ObjectKey) -> io::Result<File> {
        let path = self.folder_of(key)?.join(MUTEX_NAME);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        loop {
            match file.lock() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                locked => return locked.map(|()| file),
            }
        }
    }

    fn reserve(&self) -> Reserve<'_> {
        Reserve { folder: self.root.join(ObjectKind::Lock.folder()), entropy: &*self.entropy }
    }

    fn largest_index_bytes(&self) -> io::Result<u64> {
        let mut largest = 0;
        self.visit_files(ObjectKind::Index, &mut |_, _, metadata| {
            largest = largest.max(metadata.len());
            Ok(())
        })?;
        Ok(largest)
    }

    fn replace_locked(&self, key: &ObjectKey, data: &[u8]) -> io::Result<Version> {
        let target = self.path(key);
        let (folder, temporary) = self.write_temporary(key, data)?;
        if let Ok(before) = target.symlink_metadata() {
            temporary.set_later_than(before.modified()?)?;
        }
        temporary.place_over(&target)?;
        sync_folder(&folder)?;
        Ok(version(data, &target.symlink_metadata()?))
    }

    /// Calls `visit` with each regular file in the folders of `kind`. Folders and files that vanish meanwhile
    /// are passed over.
    fn visit_files(
        &self,
        kind: ObjectKind,
        visit: &mut dyn FnMut(&Path, &str, &Metadata) -> io::Result<()>,
    ) -> io::Result<()> {
        let top = self.root.join(kind.folder());
        let mut folders = vec![(top, kind.folder().to_owned())];
        while let Some((folder, name)) = folders.pop() {
            let Some(entries) = present(std::fs::read_dir(&folder))? else { continue };
            for entry in entries {
                let entry = entry?;
                let Ok(entry_name) = entry.file_name().into_string() else { continue };
                let path = format!("{name}/{entry_name}");
                let is_top = name == kind.folder();
                if kind == ObjectKind::Pack && is_top && entry_name.len() == 2 {
                    folders.push((entry.path(), path));
                    continue;
                }
                let Some(metadata) = present(entry.metadata())? else { continue };
                if metadata.is_file() {
                    visit(&entry.path(), &path, &metadata)?;
                }
            }
        }
        Ok(())
    }
}

/// Returns `None` for what is not there (any more).
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Equal only for the same write: two writes of equal bytes differ in time, one by one later.
fn version(data: &[u8], metadata: &Metadata) -> Version {
    let hash = blake3::hash(data).to_hex();
    Version(format!("{hash}-{}.{:09}-{}", metadata.mtime(), metadata.mtime_nsec(), metadata.ino()))
}

fn modified(metadata: &Metadata) -> Time {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH).into()
}

impl Backend for LocalBackend {
    fn location(&self) -> String {
        escape_name(self.root.as_os_str().as_bytes())
    }

    fn prepare(&self) -> Result<(), BackendError> {
        let mut folders = vec![self.root.clone()];
        folders.extend(ObjectKind::ALL.map(|kind| self.root.join(kind.folder())));
        for folder in folders {
            make_folder(&folder).map_err(|error| {
                let shown = escape_name(folder.as_os_str().as_bytes());
                BackendError::from_io(format!("cannot make the directory {shown}"), error)
            })?;
        }
        Ok(())
    }

    fn put_new(&self, key: &ObjectKey, data: Bytes) -> Result<PutOutcome, BackendError> {
        let size_bytes = data.len() as u64;
        let target = self.path(key);
        if target.symlink_metadata().is_ok() {
            return self.existed(key, size_bytes);
        }
        let place = || {
            let (folder, temporary) = self.write_temporary(key, &data)?;
            temporary.place_new(&target)?;
            sync_folder(&folder)
        };
        match place() {
            Ok(()) => Ok(PutOutcome::Created),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.existed(key, size_bytes),
            Err(error) => Err(self.failed("write", key.path(), error)),
        }
    }

    fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, BackendError> {
        Ok(self.read_whole(key, limit_bytes)?.0)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length_bytes: u64) -> Result<Bytes, BackendError> {
        let (file, metadata) = self.open_object(key)?;
        let end = offset.saturating_add(length_bytes);
        let too_short = || {
            let action = format!("{key} in {} ends before byte {end}", self.location());
            BackendError::new(ErrorKind::Short, action)
        };
        if end > metadata.len() {
            return Err(too_short());
        }
        let read = (&file).seek(SeekFrom::Start(offset)).and_then(|_| self.read_exactly(&file, length_bytes));
        let data = read.map_err(|error| self.failed("read", key.path(), error))?;
        if data.len() as u64 == length_bytes { Ok(data) } else { Err(too_short()) }
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, BackendError> {
        let mut objects = Vec::new();
        let mut visit = |_: &Path, name: &str, metadata: &Metadata| {
            if let Some(key) = ObjectKey::parse(name) {
                objects.push(ObjectInfo { key, size_bytes: metadata.len(), modified: modified(metadata) });
            }
            Ok(())
        };
        let failed = |error| self.failed("list", kind.folder(), error);
        self.visit_files(kind, &mut visit).map_err(failed)?;
        if objects.is_empty() && !self.root.is_dir() {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, BackendError> {
        let (_, metadata) = self.open_object(key)?;
        Ok(ObjectInfo { key: key.clone(), size_bytes: metadata.len(), modified: modified(&metadata) })
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), BackendError> {
        let path = self.path(key);
        let remove = || {
            // A lease must not vanish between another writer's comparison and its rename.
            let _lock = match key.kind() {
                ObjectKind::Lock => Some(self.lock_leases(key)?),
                _ => None,
            };
            if present(std::fs::remove_file(&path))?.is_some() {
                sync_folder(path.parent().unwrap_or(&self.root))?;
            }
            Ok(())
        };
        remove().map_err(|error| self.failed("delete", key.path(), error))
    }

    fn get_versioned(&self, key: &ObjectKey) -> Result<Option<Versioned>, BackendError> {
        match self.read_whole(key, LEASE_MAX_BYTES) {
            Ok((data, metadata)) => {
                let version = version(&data, &metadata);
                Ok(Some(Versioned { data, version, modified: modified(&metadata) }))
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn replace(
        &self,
        key: &ObjectKey,
        data: Bytes,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, BackendError> {
        let failed = |error| self.failed("write", key.path(), error);
        let _lock = self.lock_leases(key).map_err(failed)?;
        let current = self.get_versioned(key)?.map(|current| current.version);
        if current.as_ref() != expected {
            return Ok(None);
        }
        self.replace_locked(key, &data).map(Some).map_err(failed)
    }

    fn keep_reserve(&self) -> Result<bool, BackendError> {
        let failed = |error| self.failed("keep a reserve of space", ObjectKind::Lock.folder(), error);
        self.largest_index_bytes().and_then(|bytes| self.reserve().keep(bytes)).map_err(failed)
    }

    fn spend_reserve(&self) -> Result<bool, BackendError> {
        let failed = |error| self.failed("give up the reserve of space", ObjectKind::Lock.folder(), error);
        self.reserve().spend().map_err(failed)
    }

    fn clean_temporaries(&self, older_than_seconds: u64) -> Result<u64, BackendError> {
        let now = self.clock.now();
        let mut removed = 0;
        let mut visit = |path: &Path, name: &str, metadata: &Metadata| {
            let temporary = name.rsplit('/').next().is_some_and(|last| last.starts_with(TEMPORARY_PREFIX));
            let age_seconds = u64::try_from(now.seconds_since(modified(metadata))).unwrap_or(0);
            if temporary && age_seconds > older_than_seconds {
                removed += u64::from(present(std::fs::remove_file(path))?.is_some());
            }
            Ok(())
        };
        for kind in ObjectKind::ALL {
            self.visit_files(kind, &mut visit)
                .map_err(|error| self.failed("remove old temporary files from", kind.folder(), error))?;
        }
        Ok(removed)
    }
}

impl fmt::Debug for LocalBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalBackend({})", self.location())
    }
}

#[cfg(test)]
mod tests;
