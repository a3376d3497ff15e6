//! Putting packs: several at once, remembered locally, named by index objects in batches.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::writer::Shared;
use super::{Error, Repository};
use crate::backend::{ErrorKind, ObjectKey};
use crate::base::Time;
use crate::format::index::IndexPack;
use crate::format::pack::Directory;
use crate::index::PackRecord;
use crate::pack::FinishedPack;

/// An index object is written when this many packs wait for one …
const PACKS_PER_INDEX_MAX: usize = 512;
/// … or when the oldest waits for this long.
const INDEX_INTERVAL_SECONDS: i64 = 120;
/// Directories of packs from this size on are copied into the index object, where they weigh little.
const COPY_DIRECTORY_FROM_BYTES: u64 = 16 << 20;
/// Bytes of directories that wait for an index object at most.
const WAITING_CHUNKS_MAX: usize = 400_000;

/// What the threads of an uploader work on.
#[derive(Debug, Clone)]
pub(super) struct UploadContext {
    pub(super) repository: Arc<Repository>,
    pub(super) shared: Arc<Shared>,
}

/// Packs that are stored and wait for an index object.
#[derive(Debug)]
struct Waiting {
    packs: Vec<IndexPack>,
    chunk_count: usize,
    since: Time,
}

/// Takes finished packs and stores them.
#[derive(Debug)]
pub(super) struct Uploader {
    context: UploadContext,
    queue: Option<SyncSender<FinishedPack>>,
    threads: Vec<JoinHandle<()>>,
    waiting: Arc<Mutex<Waiting>>,
}

impl Uploader {
    /// Starts the threads.
    pub(super) fn start(context: &UploadContext) -> Self {
        let (queue, packs) = sync_channel::<FinishedPack>(0);
        let packs = Arc::new(Mutex::new(packs));
        let now = context.repository.clock.now();
        let waiting = Arc::new(Mutex::new(Waiting { packs: Vec::new(), chunk_count: 0, since: now }));
        let mut threads = Vec::new();
        for _ in 0..context.repository.memory.uploads() {
            let (context, packs, waiting) = (context.clone(), packs.clone(), waiting.clone());
            let work = move || run_uploads(&context, &packs, &waiting);
            if let Ok(thread) = std::thread::Builder::new().name("uploader".into()).spawn(work) {
                threads.push(thread);
            }
        }
        if threads.is_empty() {
            context.shared.fail(Error::Internal { what: "cannot start a thread" });
        }
        Self { context: context.clone(), queue: Some(queue), threads, waiting }
    }

    /// Hands over a pack; waits while all threads are busy.
    pub(super) fn put(&mut self, pack: FinishedPack) {
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(pack).is_ok());
        if !sent {
            self.context.shared.fail(Error::Internal { what: "the uploader ended early" });
        }
    }

    /// Waits for all packs and writes the last index object, also after a failure: what arrived is kept.
    pub(super) fn finish(mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.context.shared.fail(Error::Internal { what: "the uploader failed" });
            }
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = write_index(&self.context, &mut waiting) {
            self.context.shared.fail(error);
        }
    }
}

fn run_uploads(context: &UploadContext, packs: &Mutex<Receiver<FinishedPack>>, waiting: &Mutex<Waiting>) {
    loop {
        let next = packs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(pack) = next else { return };
        // After a failure the queue is drained, so that nobody waits for it.
        if context.shared.has_failed() {
            continue;
        }
        if let Err(error) = upload(context, pack, waiting) {
            context.shared.fail(error);
        }
    }
}

fn upload(context: &UploadContext, pack: FinishedPack, waiting: &Mutex<Waiting>) -> Result<(), Error> {
    let repository = &context.repository;
    let size_bytes = u64::try_from(pack.bytes.len()).unwrap_or(u64::MAX);
    let size_u32 = u32::try_from(size_bytes).map_err(|_| Error::Internal { what: "size of a pack" })?;
    repository.backend.put_new(&ObjectKey::pack(&pack.id), pack.bytes)?;
    let record = PackRecord {
        id: pack.id,
        size_bytes: size_u32,
        directory_bytes: pack.directory_bytes,
        content: pack.content,
        directory: pack.directory,
    };
    repository.index.add_own_pack(&record)?;
    context.shared.stored_bytes.fetch_add(size_bytes, Ordering::Relaxed);
    context.shared.packs.fetch_add(1, Ordering::Relaxed);
    repository.progress.stored(size_bytes);
    {
        let mut in_flight = context.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in record.directory.blocks.iter().flat_map(|block| &block.chunks) {
            in_flight.remove(&chunk.id);
        }
    }
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let now = repository.clock.now();
    if waiting.packs.is_empty() {
        waiting.since = now;
    }
    waiting.chunk_count += record.directory.chunk_count();
    waiting.packs.push(index_entry(record));
    let is_due = waiting.packs.len() >= PACKS_PER_INDEX_MAX
        || waiting.chunk_count >= WAITING_CHUNKS_MAX
        || now.seconds_since(waiting.since) >= INDEX_INTERVAL_SECONDS;
    if is_due { write_index(context, &mut waiting) } else { Ok(()) }
}

/// Returns the record of a pack whose directory the local index has already.
pub fn record_of_known(pack: IndexPack) -> PackRecord {
    PackRecord {
        id: pack.id,
        size_bytes: pack.size_bytes,
        directory_bytes: pack.directory_bytes,
        content: pack.content,
        directory: Directory::default(),
    }
}

/// Returns what an index object says of a pack: with its directory where that weighs little.
pub(super) fn index_entry(record: PackRecord) -> IndexPack {
    let copies = u64::from(record.size_bytes) >= COPY_DIRECTORY_FROM_BYTES;
    IndexPack {
        id: record.id,
        size_bytes: record.size_bytes,
        directory_bytes: record.directory_bytes,
        content: record.content,
        directory: copies.then_some(record.directory),
    }
}

fn write_index(context: &UploadContext, waiting: &mut Waiting) -> Result<(), Error> {
    let packs = std::mem::take(&mut waiting.packs);
    waiting.chunk_count = 0;
    let stored_bytes = context.repository.index_packs(packs)?;
    context.shared.stored_bytes.fetch_add(stored_bytes, Ordering::Relaxed);
    Ok(())
}

impl Repository {
    /// Writes an index object of `packs`, which the local index knows, and has the local index follow it.
    ///
    /// Returns its stored size; 0 when there is nothing to write.
    pub(super) fn index_packs(&self, mut packs: Vec<IndexPack>) -> Result<u64, Error> {
        if packs.is_empty() {
            return Ok(0);
        }
        packs.sort_by_key(|pack| pack.id);
        packs.dedup_by_key(|pack| pack.id);
        let (id, stored_bytes) = self.store_index_object(&packs)?;
        let records = packs.into_iter().map(record_of_known);
        self.index.apply([(id, records.collect())], &[])?;
        Ok(stored_bytes)
    }

    /// Names packs that an earlier run put but did not get to index, so that nothing is uploaded twice.
    ///
    /// One that a plan names stays unnamed: it may be deleted at any time.
    pub(crate) fn adopt_intents(&self) -> Result<(), Error> {
        if self.index.intent_ids()?.is_empty() {
            return Ok(());
        }
        let plans = self.load_plans()?;
        let is_pending = |id| plans.iter().any(|(_, _, plan)| plan.packs.iter().any(|pack| pack.id == id));
        loop {
            let records = self.index.intents()?;
            if records.is_empty() {
                return Ok(());
            }
            let ids: Vec<_> = records.iter().map(|record| record.id).collect();
            let mut present = Vec::new();
            for record in records {
                if is_pending(record.id) {
                    continue;
                }
                match self.backend.stat(&ObjectKey::pack(&record.id)) {
                    Ok(info) if info.size_bytes == u64::from(record.size_bytes) => {
                        present.push(index_entry(record));
                    }
                    Ok(_) => {}
                    Err(error) if error.kind == ErrorKind::NotFound => {}
                    Err(error) => return Err(error.into()),
                }
            }
            self.index_packs(present)?;
            self.index.clear_intents(&ids)?;
        }
    }
}
