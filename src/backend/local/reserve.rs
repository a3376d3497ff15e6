//! Space taken aside: on a disk without a free byte a prune could write neither its lease nor its plan.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::base::Entropy;
use crate::base::durable::sync_folder;

/// Several files, since a file system may run out of those too: a lease, an index object and a plan are
/// written anew while the old ones are there. Foreign to every listing.
const COUNT: usize = 8;
const NAME: &str = ".reserve-";
/// Size of each of them; the first is larger by one index object, the largest thing that prune must write
/// before it can delete.
const SIZE_BYTES: u64 = 8 << 10;
/// Limit: what is taken aside for an index object. Those that this program writes are smaller.
const INDEX_MAX_BYTES: u64 = 16 << 20;
/// Bytes written at once where the file system cannot take space aside by itself.
const WRITE_BYTES: usize = 64 << 10;

/// The reserve of one store.
pub(super) struct Reserve<'a> {
    /// Where it lies.
    pub(super) folder: PathBuf,
    pub(super) entropy: &'a dyn Entropy,
}

impl Reserve<'_> {
    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        (0..COUNT).map(|number| self.folder.join(format!("{NAME}{number}")))
    }

    /// Makes what is missing of the reserve, as far as there is space; returns whether all of it is there.
    pub(super) fn keep(&self, index_bytes: u64) -> io::Result<bool> {
        for (number, path) in self.paths().enumerate() {
            let more = if number == 0 { index_bytes.min(INDEX_MAX_BYTES) } else { 0 };
            if path.symlink_metadata().is_ok_and(|there| there.len() >= SIZE_BYTES + more) {
                continue;
            }
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            match file.and_then(|file| self.fill(&file, SIZE_BYTES + more)) {
                Ok(()) => {}
                Err(error) => {
                    // A part of it would look like the whole.
                    let _ = std::fs::remove_file(&path);
                    return match error.kind() {
                        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Ok(false),
                        _ => Err(error),
                    };
                }
            }
        }
        Ok(true)
    }

    fn fill(&self, file: &File, size_bytes: u64) -> io::Result<()> {
        match fallocate(file, FallocateFlags::empty(), 0, size_bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.write(file, size_bytes),
            taken => Ok(taken?),
        }
    }

    /// Writes what does not compress.
    fn write(&self, mut file: &File, size_bytes: u64) -> io::Result<()> {
        let mut noise = vec![0; WRITE_BYTES];
        let mut left = size_bytes;
        while left > 0 {
            self.entropy.fill(&mut noise);
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(WRITE_BYTES);
            file.write_all(noise.get(..part).unwrap_or_default())?;
            left = left.saturating_sub(u64::try_from(part).unwrap_or(u64::MAX));
        }
        file.sync_all()
    }

    /// Removes the reserve; returns whether any was there.
    pub(super) fn spend(&self) -> io::Result<bool> {
        let mut was_there = false;
        for path in self.paths() {
            match std::fs::remove_file(path) {
                Ok(()) => was_there = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if was_there {
            // Some file systems give space back only with the change that freed it.
            sync_folder(&self.folder)?;
        }
        Ok(was_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SeededEntropy;

    #[test]
    fn a_reserve_takes_space_grows_with_the_index_and_is_spent_once() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve { folder: folder.path().to_path_buf(), entropy: &SeededEntropy::new(1) };
        assert!(!reserve.spend().unwrap());
        let taken =
            || reserve.paths().map(|path| std::fs::metadata(path).unwrap().blocks() * 512).sum::<u64>();
        assert!(reserve.keep(0).unwrap());
        assert!(taken() >= 8 * SIZE_BYTES);
        assert!(reserve.keep(1 << 20).unwrap());
        assert!(taken() >= 8 * SIZE_BYTES + (1 << 20));
        assert!(reserve.spend().unwrap());
        assert!(!reserve.spend().unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn where_space_cannot_be_taken_aside_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve { folder: folder.path().to_path_buf(), entropy: &SeededEntropy::new(2) };
        let path = folder.path().join("file");
        reserve.write(&File::create(&path).unwrap(), 100_000).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 100_000);
    }
}
