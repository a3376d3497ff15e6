//! One round: references to chunks of many files are gathered, what the target has already is taken from
//! there, the rest is fetched once however many files need it.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::RestoreError;
use super::fetch::{Sink, fetch};
use super::files::{FileJob, Way, open_existing};
use super::run::Run;
use super::walk::attribute_bytes;
use crate::base::ChunkId;
use crate::format::node::{ChunkRef, NodeKind};
use crate::format::wire::length;
use crate::repository::{Error, ListReader};

/// Files of one round.
const JOBS_MAX: usize = 1 << 16;
/// Paths and attributes of the files of one round.
const METADATA_MAX_BYTES: usize = 16 << 20;
/// References that one task compares with an existing file.
const COMPARE_COUNT: usize = 32;

#[derive(Debug, Clone, Copy)]
struct Reference {
    id: ChunkId,
    job: u32,
    length_bytes: u32,
    offset: u64,
}

/// Gathers references until there are enough for a round.
#[derive(Debug)]
pub(super) struct Batch<'r, 'a> {
    run: &'r Run<'a>,
    references: Vec<Reference>,
    jobs: Vec<Arc<FileJob>>,
    content_bytes: u64,
    metadata_bytes: usize,
    total_files: u64,
    total_bytes: u64,
}

impl<'r, 'a> Batch<'r, 'a> {
    pub(super) fn new(run: &'r Run<'a>) -> Self {
        Self {
            run,
            references: Vec::new(),
            jobs: Vec::new(),
            content_bytes: 0,
            metadata_bytes: 0,
            total_files: 0,
            total_bytes: 0,
        }
    }

    /// Adds a whole file; rounds run as often as enough is gathered.
    pub(super) fn add(&mut self, job: FileJob) -> Result<(), RestoreError> {
        let job = Arc::new(job);
        self.total_files += 1;
        self.total_bytes += job.node.size_bytes();
        let outcome = self.add_chunks(&job);
        if outcome.is_err() {
            self.run.files.abandon(&job);
        }
        outcome
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
        job.is_complete.store(true, Ordering::Relaxed);
        if self.is_full() { self.flush() } else { Ok(()) }
    }

    fn enrol(&mut self, job: &Arc<FileJob>) -> u32 {
        self.metadata_bytes += job.path.len() + attribute_bytes(&job.node);
        self.jobs.push(job.clone());
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
            || self.jobs.len() >= limits.references.min(JOBS_MAX)
            || self.metadata_bytes >= METADATA_MAX_BYTES
            || self.content_bytes >= limits.content_bytes
    }

    /// Runs a round with what is gathered.
    pub(super) fn flush(&mut self) -> Result<(), RestoreError> {
        let jobs = std::mem::take(&mut self.jobs);
        let references = std::mem::take(&mut self.references);
        self.content_bytes = 0;
        self.metadata_bytes = 0;
        self.run.repository().progress().totals(self.total_files, self.total_bytes);
        let outcome = run_round(self.run, &jobs, references);
        if outcome.is_err() {
            for job in jobs.iter().filter(|job| !job.is_finished()) {
                self.run.files.abandon(job);
            }
        }
        outcome
    }
}

fn run_round(run: &Run<'_>, jobs: &[Arc<FileJob>], references: Vec<Reference>) -> Result<(), RestoreError> {
    let references = take_existing(run, jobs, references)?;
    for job in jobs {
        job.remaining.store(0, Ordering::Relaxed);
    }
    for reference in &references {
        job_of(jobs, reference).remaining.fetch_add(1, Ordering::Relaxed);
    }
    let is_ready = |job: &&Arc<FileJob>| {
        job.remaining.load(Ordering::Relaxed) == 0 && job.is_complete.load(Ordering::Relaxed)
    };
    jobs.par_iter().filter(is_ready).try_for_each(|job| {
        run.repository().check_stop()?;
        run.finish_file(job)
    })?;
    let mut numbers: HashMap<ChunkId, usize> = HashMap::new();
    let mut ids = Vec::new();
    let mut targets: Vec<(usize, Reference)> = Vec::with_capacity(references.len());
    for reference in references {
        let number = *numbers.entry(reference.id).or_insert(ids.len());
        if number == ids.len() {
            ids.push(reference.id);
        }
        targets.push((number, reference));
    }
    drop(numbers);
    targets.sort_by_key(|(number, _)| *number);
    fetch(run.reader, &ids, &Round { run, jobs, targets })
}

fn job_of<'j>(jobs: &'j [Arc<FileJob>], reference: &Reference) -> &'j Arc<FileJob> {
    // Numbers come from `Batch::enrol` of the same round.
    &jobs[reference.job as usize]
}

/// Takes chunks from files that are there, and returns the references that still have to be fetched.
fn take_existing(
    run: &Run<'_>,
    jobs: &[Arc<FileJob>],
    references: Vec<Reference>,
) -> Result<Vec<Reference>, RestoreError> {
    if jobs.iter().all(|job| job.existing.is_none()) {
        return Ok(references);
    }
    let taken: Vec<AtomicBool> = references.iter().map(|_| AtomicBool::new(false)).collect();
    let mut parts = Vec::new();
    let mut rest = 0..references.len();
    for part in references.chunk_by(|a, b| a.job == b.job) {
        let range = rest.start..rest.start + part.len();
        rest.start = range.end;
        if job_of(jobs, &part[0]).existing.is_some() {
            parts.push((part, &taken[range]));
        }
    }
    parts.par_iter().try_for_each(|(part, taken)| {
        let job = job_of(jobs, &part[0]);
        let Ok(file) = existing_file(run, job) else { return Ok(()) };
        part.par_chunks(COMPARE_COUNT)
            .zip(taken.par_chunks(COMPARE_COUNT))
            .try_for_each(|(part, taken)| compare(run, job, &file, part, taken))
    })?;
    let references = references.into_iter().zip(taken);
    Ok(references
        .filter(|(_, taken)| !taken.load(Ordering::Relaxed))
        .map(|(reference, _)| reference)
        .collect())
}

fn existing_file(run: &Run<'_>, job: &FileJob) -> std::io::Result<File> {
    let (directory, name) = run.target.parent(&job.path)?;
    open_existing(&directory, name, job.existing)
}

fn compare(
    run: &Run<'_>,
    job: &FileJob,
    file: &File,
    part: &[Reference],
    taken: &[AtomicBool],
) -> Result<(), RestoreError> {
    let mut buffer = Vec::new();
    for (reference, taken) in part.iter().zip(taken) {
        run.repository().check_stop()?;
        buffer.resize(reference.length_bytes as usize, 0);
        let is_read = file.read_exact_at(&mut buffer, reference.offset).is_ok();
        if !is_read || run.repository().keys().data_id(&buffer) != reference.id {
            continue;
        }
        if !matches!(job.way, Way::InPlace(_))
            && !job.has_failed()
            && let Err(error) = run.files.write(job, reference.offset, &buffer)
        {
            run.refuse_file(job, "write", error)?;
        }
        taken.store(true, Ordering::Relaxed);
        run.stats().reused_bytes += length(buffer.len());
        run.repository().progress().advance(0, length(buffer.len()));
    }
    Ok(())
}

/// Writes fetched chunks to all places that need them.
struct Round<'r, 'a> {
    run: &'r Run<'a>,
    jobs: &'r [Arc<FileJob>],
    /// Sorted by the number of the id.
    targets: Vec<(usize, Reference)>,
}

impl Round<'_, '_> {
    fn each(
        &self,
        wanted: usize,
        mut give: impl FnMut(&FileJob, &Reference) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let start = self.targets.partition_point(|(number, _)| *number < wanted);
        for (_, reference) in self.targets[start..].iter().take_while(|(number, _)| *number == wanted) {
            let job = job_of(self.jobs, reference);
            if !job.has_failed() {
                give(job, reference)?;
            }
            let is_last = job.remaining.fetch_sub(1, Ordering::AcqRel) == 1;
            if is_last && job.is_complete.load(Ordering::Relaxed) {
                self.run.finish_file(job)?;
            }
        }
        Ok(())
    }
}

impl Sink for Round<'_, '_> {
    fn chunk(&self, wanted: usize, plain: &[u8]) -> Result<(), RestoreError> {
        let mut written_bytes = 0;
        self.each(wanted, |job, reference| {
            if plain.len() != reference.length_bytes as usize {
                let reason = "a chunk has another length than its list says".to_owned();
                self.run.damage_file(job, &Error::Damaged { object: "chunk list".to_owned(), reason });
                return Ok(());
            }
            match self.run.files.write(job, reference.offset, plain) {
                Ok(()) => written_bytes += length(plain.len()),
                Err(error) => self.run.refuse_file(job, "write", error)?,
            }
            Ok(())
        })?;
        self.run.stats().restored_bytes += written_bytes;
        self.run.repository().progress().advance(0, written_bytes);
        Ok(())
    }

    fn missing(&self, wanted: usize, error: &Error) -> Result<(), RestoreError> {
        self.each(wanted, |job, _| {
            self.run.damage_file(job, error);
            Ok(())
        })
    }
}
