//! References to chunks of many files, gathered for one round of fetching after the other, while the round
//! before is fetched.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use super::RestoreError;
use super::files::FileJob;
use super::round::{Enrolled, Reference, Round};
use super::run::Run;
use super::walk::attribute_bytes;
use crate::format::node::{ChunkRef, NodeKind};
use crate::repository::ListReader;

/// Files of the first round, small so that it begins at once, and of any.
const JOBS_FIRST: usize = 1 << 12;
const JOBS_MAX: usize = 1 << 15;
/// Paths and attributes of the files of one round.
const METADATA_MAX_BYTES: usize = 16 << 20;

/// Gathers references until there are enough for a round, and gives it to the thread that fetches.
#[derive(Debug)]
pub(super) struct Batch<'scope, 'a> {
    run: &'scope Run<'a>,
    references: Vec<Reference>,
    jobs: Vec<Enrolled>,
    content_bytes: u64,
    metadata_bytes: usize,
    jobs_max: usize,
    total_files: u64,
    total_bytes: u64,
    fetcher: Option<Fetcher<'scope, 'a>>,
}

/// The thread that fetches round after round.
#[derive(Debug)]
struct Fetcher<'scope, 'a> {
    rounds: SyncSender<Round<'scope, 'a>>,
    thread: ScopedJoinHandle<'scope, Result<(), RestoreError>>,
}

impl<'scope, 'a> Batch<'scope, 'a> {
    /// Starts a thread that fetches what is gathered.
    pub(super) fn new(run: &'scope Run<'a>, threads: &'scope Scope<'scope, '_>) -> Self {
        // One round is fetched, the next is ready.
        let (rounds, gathered) = sync_channel(0);
        let thread = threads.spawn(|| fetch_all(gathered));
        Self {
            run,
            references: Vec::new(),
            jobs: Vec::new(),
            content_bytes: 0,
            metadata_bytes: 0,
            jobs_max: JOBS_FIRST,
            total_files: 0,
            total_bytes: 0,
            fetcher: Some(Fetcher { rounds, thread }),
        }
    }

    /// Adds a whole file; rounds begin as often as enough is gathered.
    pub(super) fn add(&mut self, job: FileJob) -> Result<(), RestoreError> {
        let job = Arc::new(job);
        self.total_files += 1;
        self.total_bytes += job.node.size_bytes();
        self.add_chunks(&job)
    }

    fn add_chunks(&mut self, job: &Arc<FileJob>) -> Result<(), RestoreError> {
        let NodeKind::File { size_bytes, content, .. } = &job.node.kind else { return Ok(()) };
        let mut number = self.enrol(job);
        let mut offset = 0;
        match ListReader::new(self.run.reader, content, *size_bytes) {
            Err(error) if error.is_damage() => self.run.damage_file(job, &error),
            Err(error) => return Err(error.into()),
            // The rest of a file that the target does not take may be without end.
            Ok(mut list) => {
                while !job.has_failed() {
                    match list.next_chunk() {
                        Ok(Some(chunk)) => {
                            self.push(number, chunk, offset);
                            offset += u64::from(chunk.length_bytes);
                        }
                        Ok(None) => break,
                        Err(error) if error.is_damage() => {
                            self.run.damage_file(job, &error);
                            break;
                        }
                        Err(error) => return Err(error.into()),
                    }
                    if self.is_full() {
                        self.flush()?;
                        number = self.enrol(job);
                    }
                }
            }
        }
        self.jobs[number as usize].is_last_round = true;
        if self.is_full() { self.flush() } else { Ok(()) }
    }

    /// Returns the number of the file in the round.
    fn enrol(&mut self, job: &Arc<FileJob>) -> u32 {
        self.metadata_bytes += job.path.len() + attribute_bytes(&job.node);
        self.jobs.push(Enrolled { job: job.clone(), is_last_round: false });
        u32::try_from(self.jobs.len() - 1).unwrap_or(u32::MAX)
    }

    fn push(&mut self, job: u32, chunk: ChunkRef, offset: u64) {
        self.content_bytes += u64::from(chunk.length_bytes);
        let ChunkRef { id, length_bytes } = chunk;
        self.references.push(Reference { id, job, length_bytes, offset });
    }

    fn is_full(&self) -> bool {
        let limits = &self.run.options.batch;
        self.references.len() >= limits.references
            || self.jobs.len() >= limits.references.min(self.jobs_max)
            || self.metadata_bytes >= METADATA_MAX_BYTES
            || self.content_bytes >= limits.content_bytes
    }

    /// Gives what is gathered to the thread that fetches, once that has begun with the round before.
    fn flush(&mut self) -> Result<(), RestoreError> {
        let jobs = std::mem::take(&mut self.jobs);
        let references = std::mem::take(&mut self.references);
        self.content_bytes = 0;
        self.metadata_bytes = 0;
        self.jobs_max = JOBS_MAX.min(self.jobs_max * 2);
        self.run.repository().progress().totals(self.total_files, self.total_bytes);
        let round = Round::prepare(self.run, jobs, references)?;
        let Some(fetcher) = &self.fetcher else { return Ok(()) };
        match fetcher.rounds.send(round) {
            Ok(()) => Ok(()),
            // It takes no more once it failed.
            Err(unsent) => {
                unsent.0.abandon();
                self.end()
            }
        }
    }

    /// Has fetched what is still waiting.
    pub(super) fn finish(mut self) -> Result<(), RestoreError> {
        self.flush()?;
        self.end()
    }

    fn end(&mut self) -> Result<(), RestoreError> {
        let Some(Fetcher { rounds, thread }) = self.fetcher.take() else { return Ok(()) };
        drop(rounds);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Batch<'_, '_> {
    /// Where the run ends early, files wait of which a round before has written a part.
    fn drop(&mut self) {
        // Why it ended is known already.
        let _ = self.end();
        self.jobs.iter().for_each(|enrolled| self.run.files.abandon(&enrolled.job));
    }
}

fn fetch_all(rounds: Receiver<Round<'_, '_>>) -> Result<(), RestoreError> {
    rounds.into_iter().try_for_each(Round::fetch)
}
