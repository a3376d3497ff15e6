//! What is whole in a damaged pack, stored again block by block.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rayon::prelude::*;

use super::packs::{RepairPacksError, RepairedPack};
use crate::backend::{ErrorKind, ObjectKey};
use crate::base::durable::{Temporary, make_folder, sync_folder};
use crate::base::limits::PACK_SIZE_MAX_BYTES;
use crate::base::{ChunkId, Entropy, PackId};
use crate::codec::CodecError;
use crate::crypto::KeyRing;
use crate::format::pack::{Content, DirectoryBlock};
use crate::index::{BlockInfo, PackInfo};
use crate::maintain::check::directory_of;
use crate::pack::{PackError, SealedBlock, chunk_id, open_block, parse_pack, require_name, verify_chunks};
use crate::repository::{ChunkReader, ChunkWriter, Error, Repository, WriterStats, describe};

/// Blocks of one pack that are opened together; opened they are at most a MiB each.
const BATCH_BLOCKS: usize = 32;

/// Writes a damaged pack into the folder aside. One that is there already with the same bytes is left.
fn keep_aside(
    folder: &Path,
    id: &PackId,
    bytes: &[u8],
    entropy: &dyn Entropy,
) -> Result<(), RepairPacksError> {
    let path = folder.join(format!("{id}.pack"));
    let write = || -> io::Result<()> {
        make_folder(folder)?;
        if std::fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        // A part of a pack must not pass for the pack, nor stand in the way of the next try.
        Temporary::write(folder, bytes, entropy)?.place_new(&path)?;
        sync_folder(folder)
    };
    write().map_err(|source| RepairPacksError::Aside { path: path.clone(), source })
}

/// A chunk that could not be read where it stood.
#[derive(Debug)]
struct Bad {
    pack: PackId,
    content: Content,
    id: ChunkId,
}

/// What a block gave.
#[derive(Debug)]
enum Opened {
    Whole(SealedBlock),
    /// The chunks that are what their ids name, and what is wrong.
    Some(Vec<(ChunkId, Bytes)>, String),
}

/// Moves what is whole in packs.
#[derive(Debug)]
pub(super) struct Salvage<'r> {
    repository: &'r Arc<Repository>,
    reader: ChunkReader<'r>,
    writer: ChunkWriter,
    /// Where damaged packs are written to; nowhere in a dry run.
    aside: Option<&'r Path>,
    bad: Vec<Bad>,
    moved: BTreeSet<ChunkId>,
}

impl<'r> Salvage<'r> {
    /// Begins; damaged packs are written to `aside`, and without it nothing is stored or written.
    pub(super) fn new(repository: &'r Arc<Repository>, aside: Option<&'r Path>) -> Result<Self, Error> {
        Ok(Self {
            repository,
            reader: ChunkReader::new(repository),
            writer: ChunkWriter::new(repository.clone(), aside.is_none())?,
            aside,
            bad: Vec::new(),
            moved: BTreeSet::new(),
        })
    }

    /// Ends: everything that was moved is stored and named by the index when this returns.
    pub(super) fn finish(self) -> Result<WriterStats, Error> {
        self.writer.finish()
    }

    /// Moves what is whole in a pack; `None` when there is nothing wrong with it.
    pub(super) fn one(&mut self, pack: &PackInfo) -> Result<Option<RepairedPack>, RepairPacksError> {
        let blocks = self.repository.index().pack_blocks(&pack.id).map_err(Error::from)?;
        let directory = directory_of(&blocks);
        let (bytes, why) = match self.read(&pack.id)? {
            Ok(bytes) => match parse_pack(self.repository.keys(), &pack.id, &bytes) {
                Ok(parsed) if parsed.directory == directory => (bytes, None),
                Ok(_) => (bytes, Some("the local index differs from its directory".to_owned())),
                Err(error) => (bytes, Some(describe(&error))),
            },
            Err(why) => (Bytes::new(), Some(why)),
        };
        let parts: Vec<(&BlockInfo, &DirectoryBlock)> = blocks.iter().zip(&directory.blocks).collect();
        let why = match why {
            Some(why) => why,
            None => match self.first_problem(&parts, &bytes)? {
                Some(why) => why,
                None => return Ok(None),
            },
        };
        self.keep(&pack.id, &bytes)?;
        let chunks = pack.chunk_count;
        let mut repaired = RepairedPack { id: pack.id, why, chunks, moved: 0, elsewhere: 0, lost: 0 };
        for batch in parts.chunks(BATCH_BLOCKS) {
            self.repository.check_stop()?;
            let opened: Result<Vec<Opened>, Error> =
                batch.par_iter().map(|(block, entry)| self.open(block, entry, &bytes)).collect();
            for ((block, _), opened) in batch.iter().zip(opened?) {
                repaired.moved += self.store(block, opened)?;
            }
        }
        Ok(Some(repaired))
    }

    /// Writes a pack aside that no index object names and whose bytes do not match its name; `None` when they
    /// do.
    pub(super) fn unnamed(&self, id: &PackId) -> Result<Option<RepairedPack>, RepairPacksError> {
        match self.read(id)? {
            Ok(bytes) => {
                let Err(error) = require_name(id, &bytes) else { return Ok(None) };
                self.keep(id, &bytes)?;
                let why = describe(&error);
                Ok(Some(RepairedPack { id: *id, why, chunks: 0, moved: 0, elsewhere: 0, lost: 0 }))
            }
            Err(_) => Ok(None),
        }
    }

    /// Returns the bytes of a pack, or why there are none.
    fn read(&self, id: &PackId) -> Result<Result<Bytes, String>, Error> {
        let key = ObjectKey::pack(id);
        self.repository.progress().current(key.path().as_bytes());
        match self.repository.backend().get(&key, PACK_SIZE_MAX_BYTES) {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(Err("is gone".to_owned())),
            Err(error) if error.kind == ErrorKind::Short => Ok(Err(error.action)),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a damaged pack aside. It is read once more before: what differs from read to read is damaged on
    /// the way, and the pack may be whole.
    fn keep(&self, id: &PackId, bytes: &Bytes) -> Result<(), RepairPacksError> {
        let Some(folder) = self.aside.filter(|_| !bytes.is_empty()) else { return Ok(()) };
        if self.read(id)?.as_ref() != Ok(bytes) {
            let reason = "it reads differently each time: look at the network, the memory and the disk";
            let object = ObjectKey::pack(id).to_string();
            return Err(Error::Damaged { object, reason: reason.to_owned() }.into());
        }
        keep_aside(folder, id, bytes, self.repository.entropy().as_ref())
    }

    /// Says what is wrong with the first block that does not give all its chunks.
    fn first_problem(
        &self,
        parts: &[(&BlockInfo, &DirectoryBlock)],
        pack: &[u8],
    ) -> Result<Option<String>, Error> {
        let judge = |(block, entry): &(&BlockInfo, &DirectoryBlock)| match self.open(block, entry, pack) {
            Ok(Opened::Whole(_)) => None,
            Ok(Opened::Some(_, why)) => Some(Ok(why)),
            Err(error) => Some(Err(error)),
        };
        parts.par_iter().find_map_first(judge).transpose()
    }

    /// Opens a block out of the bytes of its pack, as far as there are any.
    fn open(&self, block: &BlockInfo, entry: &DirectoryBlock, pack: &[u8]) -> Result<Opened, Error> {
        let location = &block.location;
        let nothing = |why: String| Ok(Opened::Some(Vec::new(), why));
        let start = usize::try_from(location.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(location.stored_bytes).unwrap_or(usize::MAX));
        let Some(stored) = pack.get(start..end) else {
            return nothing("a block lies beyond the end".to_owned());
        };
        let bases = match self.reader.bases_of(location, 0) {
            Ok(bases) => bases,
            Err(error) if error.is_damage() => {
                return nothing(format!("the base of a block cannot be read: {error}"));
            }
            Err(error) => return Err(error),
        };
        let keys = self.repository.keys();
        let raw_bytes = usize::try_from(location.raw_bytes).unwrap_or(usize::MAX);
        let (mut best, mut why) = (Vec::new(), "no base of a block fits".to_owned());
        for base in &bases {
            match open_block(self.reader.rooms(), keys, stored, raw_bytes, base) {
                Ok(raw) => match verify_chunks(keys, location.content, entry, &raw) {
                    Ok(()) => {
                        let (stored, entry) = (stored.to_vec().into(), entry.clone());
                        return Ok(Opened::Whole(SealedBlock { stored, entry, fell_back: false }));
                    }
                    Err(error) => {
                        why = describe(&error);
                        let good = good_chunks(keys, location.content, entry, &raw);
                        if good.len() > best.len() {
                            best = good;
                        }
                    }
                },
                Err(error @ PackError::Backend(_)) => return Err(Error::of_pack("pack", error)),
                // Its seal is right, so no bit of it turned: a later version wrote it, and can read it.
                Err(error @ PackError::Codec(CodecError::Unknown { .. })) => {
                    let object = ObjectKey::pack(&location.pack).to_string();
                    return Err(Error::Newer { object, reason: describe(&error) });
                }
                Err(error) => why = describe(&error),
            }
        }
        Ok(Opened::Some(best, why))
    }

    /// Stores what a block gave again and returns how many chunks that were.
    fn store(&mut self, block: &BlockInfo, opened: Opened) -> Result<u64, Error> {
        let content = block.location.content;
        let good = match opened {
            Opened::Whole(sealed) => {
                if self.writer.move_block(content, sealed)? {
                    self.moved.extend(&block.ids);
                    return Ok(u64::try_from(block.ids.len()).unwrap_or(u64::MAX));
                }
                self.read_each(block)?
            }
            Opened::Some(good, _) => good,
        };
        let mut count = 0;
        for (id, data) in &good {
            self.writer.add_again(content, *id, data)?;
            self.moved.insert(*id);
            count += 1;
        }
        let is_good = |id: &ChunkId| good.iter().any(|(good, _)| good == id);
        let bad = block.ids.iter().filter(|id| !is_good(id));
        self.bad.extend(bad.map(|id| Bad { pack: block.location.pack, content, id: *id }));
        Ok(count)
    }

    /// Returns the chunks of a whole block of which the writer holds some already.
    fn read_each(&self, block: &BlockInfo) -> Result<Vec<(ChunkId, Bytes)>, Error> {
        let content = block.location.content;
        block.ids.iter().map(|id| Ok((*id, self.reader.read(content, id)?))).collect()
    }

    /// Tells which of the bad chunks have a whole copy in another pack.
    pub(super) fn judge_lost(&self, repaired: &mut [RepairedPack]) -> Result<(), Error> {
        for bad in &self.bad {
            self.repository.check_stop()?;
            let is_elsewhere = self.moved.contains(&bad.id)
                || match self.reader.read(bad.content, &bad.id) {
                    Ok(_) => true,
                    Err(error) if error.is_damage() => false,
                    Err(error) => return Err(error),
                };
            if let Some(pack) = repaired.iter_mut().find(|pack| pack.id == bad.pack) {
                pack.elsewhere += u64::from(is_elsewhere);
                pack.lost += u64::from(!is_elsewhere);
            }
        }
        Ok(())
    }
}

/// Returns the chunks of a decoded block that are what their ids name.
fn good_chunks(
    keys: &KeyRing,
    content: Content,
    entry: &DirectoryBlock,
    raw: &[u8],
) -> Vec<(ChunkId, Bytes)> {
    let mut good = Vec::new();
    let mut rest = raw;
    for chunk in &entry.chunks {
        let length = usize::try_from(chunk.length_bytes).unwrap_or(usize::MAX);
        let Some((plain, after)) = rest.split_at_checked(length) else { break };
        if chunk_id(keys, content, plain) == chunk.id {
            good.push((chunk.id, Bytes::copy_from_slice(plain)));
        }
        rest = after;
    }
    good
}
