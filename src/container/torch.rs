//! Zip files of tensors: those of PyTorch (storages beside a pickle), and numpy's.

mod state;

use std::collections::HashMap;

use super::pickle::{self, PICKLE_BYTES_MAX, Refused};
use super::zip::{self, Member, Record, Walk};
use super::{ContainerKind, Element, NAMES_BYTES_MAX, ReadAt, TENSORS_MAX, Tensor, npy};
use state::{Storage, storages};

/// How much of a pickle is read at first whose length is not known; then twice as much, and so on.
const PICKLE_FIRST_BYTES: u64 = 4 << 10;

/// How much of all pickles of a file is read, what is read again included.
const PICKLES_BYTES_MAX: u64 = 1 << 29;

/// The members of an archive, after its folder.
const PICKLE: &[u8] = b"data.pkl";
const BYTE_ORDER: &[u8] = b"byteorder";
const STORAGES: &[u8] = b"data/";

/// What the member says that tells of big-endian storages.
const BIG_ENDIAN: &[u8] = b"big";

/// The end of the name of a member that is an array.
const ARRAY: &[u8] = b".npy";

/// What the pickles of an archive tell.
#[derive(Default)]
struct Archive {
    /// Storages of each folder that has a pickle, by key.
    folders: HashMap<Vec<u8>, HashMap<Vec<u8>, Storage>>,
}

/// Returns the tensors and what kind of zip file it is.
pub(super) fn tensors(source: &dyn ReadAt) -> Option<(ContainerKind, Vec<Tensor>)> {
    let mut found = Found::default();
    let mut budget_bytes = PICKLES_BYTES_MAX;
    if let Some(members) = zip::members(source) {
        let mut archive = Archive::default();
        for member in members.iter().filter(|member| member.is_stored) {
            if let Some(folder) = folder(&member.name, PICKLE) {
                archive.add(source, folder, member.offset, Some(member.length_bytes), &mut budget_bytes);
            }
        }
        found.add(source, &members, &archive)?;
        return found.end();
    }
    let (mut archive, mut members) = (Archive::default(), Vec::new());
    let mut walk = Walk::new(source);
    while let Some(record) =
        walk.record(|name, offset| archive.length_of(source, name, offset, &mut budget_bytes))
    {
        match record {
            Record::Member(member) => members.push(member),
            Record::End => {
                found.add(source, &std::mem::take(&mut members), &std::mem::take(&mut archive))?;
            }
            Record::Other => {}
        }
    }
    // What was cut off.
    found.add(source, &members, &archive)?;
    found.end()
}

impl Archive {
    /// Reads the pickle of `folder`, which begins at `offset`, and returns its length, as far as it is one.
    fn add(
        &mut self,
        source: &dyn ReadAt,
        folder: &[u8],
        offset: u64,
        length: Option<u64>,
        budget_bytes: &mut u64,
    ) -> Option<u64> {
        let mut wanted = length.unwrap_or(PICKLE_FIRST_BYTES);
        while wanted <= PICKLE_BYTES_MAX {
            let room = source.size_bytes().map_or(wanted, |size| size.saturating_sub(offset).min(wanted));
            *budget_bytes = budget_bytes.checked_sub(room)?;
            let bytes = front(source, offset, room)?;
            match pickle::read(&bytes) {
                Ok(graph) => {
                    self.folders.insert(folder.to_vec(), storages(&graph)?);
                    return Some(graph.length_bytes as u64);
                }
                // There is no more than was asked for, or all was read.
                Err(Refused::Short) if length.is_none() && bytes.len() as u64 == wanted => wanted *= 2,
                Err(_) => return None,
            }
        }
        None
    }

    /// Returns how long a member is whose header does not tell it, as its archive's pickle does.
    fn length_of(
        &mut self,
        source: &dyn ReadAt,
        name: &[u8],
        offset: u64,
        budget_bytes: &mut u64,
    ) -> Option<u64> {
        if let Some(folder) = folder(name, PICKLE) {
            return self.add(source, folder, offset, None, budget_bytes);
        }
        let (folder, key) = storage_key(name)?;
        self.folders.get(folder)?.get(key).map(|storage| storage.length_bytes)
    }

    /// Returns the tensor that a member is.
    fn tensor(&self, member: &Member) -> Option<Tensor> {
        let (folder, key) = storage_key(&member.name)?;
        let (offset, length_bytes) = (member.offset, member.length_bytes);
        let storages = self.folders.get(folder)?;
        let known = storages.get(key).filter(|storage| storage.length_bytes == length_bytes);
        let (name, element, shape) = match known {
            Some(storage) => (storage.name.clone(), storage.element, storage.shape.clone()),
            None => (Vec::new(), Element::Bytes, Vec::new()),
        };
        Some(Tensor { name, element, shape, offset, length_bytes })
    }
}

/// Returns up to `length` bytes from `offset` on.
fn front(source: &dyn ReadAt, offset: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    let read = source.read_at(offset, &mut bytes).ok()?;
    bytes.truncate(read);
    Some(bytes)
}

/// Returns the folder of a member with this name in it, with its slash; empty for none.
fn folder<'a>(name: &'a [u8], file: &[u8]) -> Option<&'a [u8]> {
    name.strip_suffix(file).filter(|folder| folder.is_empty() || folder.ends_with(b"/"))
}

/// Returns the folder and the key of a storage.
fn storage_key(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = name.iter().rposition(|byte| *byte == b'/')?;
    let (folders, key) = name.split_at_checked(slash + 1)?;
    Some((folder(folders, STORAGES)?, key))
}

/// The tensors of the archives so far.
#[derive(Default)]
struct Found {
    tensors: Vec<Tensor>,
    names_bytes: usize,
    /// An archive had a pickle.
    is_torch: bool,
}

impl Found {
    /// Adds the tensors of one archive; `None` when there are too many.
    fn add(&mut self, source: &dyn ReadAt, members: &[Member], archive: &Archive) -> Option<()> {
        let is_torch = members.iter().any(|member| folder(&member.name, PICKLE).is_some());
        self.is_torch |= is_torch;
        let is_big_endian = members.iter().any(|member| is_big_endian(source, member));
        for member in members.iter().filter(|member| member.is_stored && member.length_bytes > 0) {
            let tensor = match is_torch {
                true => archive.tensor(member),
                false => array(source, member),
            };
            let Some(mut tensor) = tensor else { continue };
            if is_torch && is_big_endian {
                tensor.element = Element::Bytes;
            }
            self.names_bytes += tensor.name.len();
            self.tensors.push(tensor);
            let is_bounded = self.tensors.len() <= TENSORS_MAX && self.names_bytes <= NAMES_BYTES_MAX;
            is_bounded.then_some(())?;
        }
        Some(())
    }

    fn end(self) -> Option<(ContainerKind, Vec<Tensor>)> {
        let kind = if self.is_torch { ContainerKind::TorchZip } else { ContainerKind::Npz };
        Some((kind, self.tensors))
    }
}

fn is_big_endian(source: &dyn ReadAt, member: &Member) -> bool {
    folder(&member.name, BYTE_ORDER).is_some()
        && member.is_stored
        && member.length_bytes == BIG_ENDIAN.len() as u64
        && front(source, member.offset, BIG_ENDIAN.len() as u64).is_some_and(|order| order == BIG_ENDIAN)
}

/// Returns the array that a member of numpy's zip files is.
fn array(source: &dyn ReadAt, member: &Member) -> Option<Tensor> {
    let name = member.name.strip_suffix(ARRAY)?;
    npy::array(source, member.offset, member.offset.checked_add(member.length_bytes)?, name.to_vec())
}
