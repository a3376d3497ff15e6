//! Reading a file that others may write to meanwhile.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FileType, OFlags, Stat, fstat};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::error::SourceError;
use super::listing::{ShortPath, open_quietly};
use super::metadata::{Attributes, Metadata, attributes_of, ctime_of, mtime_of, stored_blocks_bytes_of};
use crate::base::Time;
use crate::base::durable::PASSING_BYTES;

/// `RWF_DONTCACHE`.
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// What an open file is like at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    /// Length of the content.
    pub size_bytes: u64,
    /// When the content was last changed.
    pub mtime: Time,
    /// When the entry was last changed.
    pub ctime: Time,
    /// Number of the inode.
    pub inode: u64,
    /// Number of the device.
    pub device: u64,
    /// Bytes that the file system holds for it.
    pub stored_blocks_bytes: u64,
}

impl FileState {
    fn of(stat: &Stat) -> Self {
        Self {
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: mtime_of(stat),
            ctime: ctime_of(stat),
            inode: stat.st_ino,
            device: stat.st_dev,
            stored_blocks_bytes: stored_blocks_bytes_of(stat),
        }
    }
}

/// A regular file open for positioned reads; several threads may read at once.
///
/// Nothing is mapped: a file that is truncated meanwhile gives a short read, never a fault, and what was read
/// stays what it was.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    path: PathBuf,
    /// The system has not said yet that it cannot read past its cache.
    passes: AtomicBool,
}

impl OpenFile {
    /// Opens the file at `path`, which must still be the regular file that `metadata` describes. Symlinks as
    /// the last name are not followed, pipes do not block, and the access time stays where the system permits
    /// that.
    ///
    /// # Errors
    /// When it cannot be opened, is not a regular file, or is another file by now.
    pub fn open(path: &Path, metadata: &Metadata) -> Result<Self, SourceError> {
        let fail = |error: io::Error| SourceError::new(path, "open", error);
        let short = ShortPath::of(path).map_err(|error| fail(error.into()))?;
        let (directory, name) = short.parts();
        let fd = open_quietly(directory, name, OFlags::empty()).map_err(|error| fail(error.into()))?;
        let stat = fstat(&fd).map_err(|error| fail(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(fail(io::Error::other("it is not a regular file any more")));
        }
        if (stat.st_dev, stat.st_ino) != (metadata.device, metadata.inode) {
            return Err(fail(io::Error::other("it was replaced by another file meanwhile")));
        }
        Ok(Self { file: File::from(fd), path: path.to_path_buf(), passes: AtomicBool::new(true) })
    }

    /// Reads from `offset` until `buffer` is full or the file ends, and returns how many bytes that were.
    ///
    /// What a large read brings into the system's cache leaves it with the read, and what others had there
    /// stays, so that a backup does not push out what others use: where the system can do that (Linux 6.14).
    ///
    /// # Errors
    /// When the system reports one; an interrupted read is tried again.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset.saturating_add(filled as u64);
            match self.read_some(at, &mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SourceError::new(&self.path, "read", error)),
            }
        }
        Ok(filled)
    }

    fn read_some(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.len() < PASSING_BYTES || !self.passes.load(Ordering::Relaxed) {
            return self.file.read_at(buffer, offset);
        }
        match preadv2(&self.file, &mut [IoSliceMut::new(buffer)], offset, DONTCACHE) {
            // Neither every system nor every file system knows it.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                self.passes.store(false, Ordering::Relaxed);
                self.file.read_at(buffer, offset)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Returns the extended attributes. Where they cannot be read or stored none are returned, and why: the
    /// content is worth more than they are.
    pub fn attributes(&self) -> (Attributes, Option<SourceError>) {
        attributes_of(&self.file, &self.path)
    }

    /// Returns what the file is like now.
    ///
    /// # Errors
    /// When the system reports one.
    pub fn metadata_now(&self) -> Result<FileState, SourceError> {
        let stat =
            fstat(&self.file).map_err(|error| SourceError::new(&self.path, "read the metadata of", error))?;
        Ok(FileState::of(&stat))
    }

    /// Says what happened to the file since `before`, of which `read_bytes` were read to its end: `grew`,
    /// `shrank` or `was modified while it was read`. `None`: what was read is what it was at one moment, as
    /// far as size, mtime and ctime tell.
    ///
    /// # Errors
    /// When the system reports one.
    pub fn changed_since(
        &self,
        before: &Metadata,
        read_bytes: u64,
    ) -> Result<Option<&'static str>, SourceError> {
        let now = self.metadata_now()?;
        let longest = now.size_bytes.max(read_bytes);
        let shortest = now.size_bytes.min(read_bytes);
        Ok(if longest > before.size_bytes {
            Some("grew")
        } else if shortest < before.size_bytes {
            Some("shrank")
        } else if (now.mtime, now.ctime) != (before.mtime, before.ctime) {
            Some("was modified while it was read")
        } else {
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{WalkEvent, WalkOptions, Walker};
    use std::fs;
    use std::io::Write;

    fn made(text: &str) -> (tempfile::TempDir, PathBuf, Metadata) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("f");
        fs::write(&path, text).unwrap();
        let metadata = look(&path);
        (temp, path, metadata)
    }

    fn look(path: &Path) -> Metadata {
        let options = WalkOptions { paths: vec![path.to_path_buf()], ..WalkOptions::default() };
        let found = Walker::new(options).find_map(|event| match event {
            WalkEvent::Item { metadata, .. } => Some(metadata),
            _ => None,
        });
        found.unwrap()
    }

    #[test]
    fn reads_fill_the_buffer_up_to_the_end() {
        let (_temp, path, metadata) = made("0123456789");
        let file = OpenFile::open(&path, &metadata).unwrap();
        let mut buffer = [0; 4];
        for (offset, expected) in [(0, &b"0123"[..]), (8, b"89"), (10, b""), (99, b"")] {
            let read = file.read_at(offset, &mut buffer).unwrap();
            assert_eq!(&buffer[..read], expected);
        }
        assert_eq!(file.changed_since(&metadata, 10).unwrap(), None);
        let now = file.metadata_now().unwrap();
        assert_eq!((now.size_bytes, now.inode, now.mtime), (10, metadata.inode, metadata.mtime));
    }

    #[test]
    fn large_reads_give_the_bytes_and_the_end_wherever_they_begin() {
        let text: String = (0..400_000).map(|number| format!("{number:8}")).collect();
        let (_temp, path, metadata) = made(&text);
        let file = OpenFile::open(&path, &metadata).unwrap();
        let mut buffer = vec![0; 2 * PASSING_BYTES + 5];
        for offset in [0, 1, PASSING_BYTES - 1, PASSING_BYTES, text.len() - buffer.len(), text.len() - 3] {
            for _ in 0..2 {
                let read = file.read_at(offset as u64, &mut buffer).unwrap();
                assert_eq!(read, buffer.len().min(text.len() - offset));
                assert!(buffer[..read] == text.as_bytes()[offset..offset + read], "from {offset}");
            }
        }
    }

    #[test]
    fn growing_shrinking_and_rewriting_are_told() {
        let (_temp, path, metadata) = made("0123456789");
        let file = OpenFile::open(&path, &metadata).unwrap();
        let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
        (&writer).write_all(b"more").unwrap();
        assert_eq!(file.changed_since(&metadata, 10).unwrap(), Some("grew"));
        assert_eq!(file.changed_since(&metadata, 14).unwrap(), Some("grew"));
        writer.set_len(4).unwrap();
        assert_eq!(file.changed_since(&metadata, 10).unwrap(), Some("shrank"));
        assert_eq!(file.read_at(4, &mut [0; 4]).unwrap(), 0);
        writer.set_len(10).unwrap();
        assert_eq!(file.changed_since(&metadata, 4).unwrap(), Some("shrank"));
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(7);
        writer.set_modified(time).unwrap();
        assert_eq!(file.changed_since(&metadata, 10).unwrap(), Some("was modified while it was read"));
    }

    #[test]
    fn another_file_under_the_name_is_refused() {
        let (temp, path, metadata) = made("old");
        fs::write(temp.path().join("new"), "new").unwrap();
        fs::rename(temp.path().join("new"), &path).unwrap();
        assert!(OpenFile::open(&path, &metadata).is_err());
    }

    #[test]
    fn a_symlink_a_pipe_or_nothing_under_the_name_is_refused() {
        let (temp, path, metadata) = made("old");
        fs::rename(&path, temp.path().join("moved")).unwrap();
        assert_eq!(OpenFile::open(&path, &metadata).unwrap_err().error.kind(), io::ErrorKind::NotFound);
        std::os::unix::fs::symlink("moved", &path).unwrap();
        assert!(OpenFile::open(&path, &metadata).is_err());
        fs::remove_file(&path).unwrap();
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
        assert!(OpenFile::open(&path, &metadata).is_err());
    }
}
