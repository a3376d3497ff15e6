//! One round: what the target has already of some files is taken from there, the rest is fetched once
//! however many files need it.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::RestoreError;
use super::fetch::{Found, Sink, fetch, wrong_length};
use super::files::{FileJob, Way, open_existing};
use super::run::Run;
use super::steps::Steps;
use crate::base::ChunkId;
use crate::format::wire::length;
use crate::repository::Error;

/// References that one task compares with an existing file.
const COMPARE_COUNT: usize = 32;

/// A file in a round.
#[derive(Debug)]
pub(super) struct Enrolled {
    pub(super) job: Arc<FileJob>,
    /// No further round has chunks of it.
    pub(super) is_last_round: bool,
}

/// A place that a chunk goes to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    pub(super) id: ChunkId,
    /// Number of the file in the round.
    pub(super) job: u32,
    pub(super) length_bytes: u32,
    pub(super) offset: u64,
}

/// What is fetched together, found in the index and ready to be fetched.
#[derive(Debug)]
pub(super) struct Round<'r, 'a> {
    ids: Vec<ChunkId>,
    steps: Steps,
    places: Places<'r, 'a>,
}

/// Writes fetched chunks to all places that need them.
#[derive(Debug)]
struct Places<'r, 'a> {
    run: &'r Run<'a>,
    jobs: Vec<Enrolled>,
    /// Sorted by the number of the id.
    targets: Vec<(usize, Reference)>,
}

impl<'r, 'a> Round<'r, 'a> {
    /// Takes from the target what it has, and finds where the rest is stored.
    pub(super) fn prepare(
        run: &'r Run<'a>,
        jobs: Vec<Enrolled>,
        references: Vec<Reference>,
    ) -> Result<Self, RestoreError> {
        for reference in &references {
            job_of(&jobs, reference).expect_chunk();
        }
        let mut places = Places { run, jobs, targets: Vec::new() };
        let prepared = take_existing(run, &places.jobs, references).and_then(|references| {
            let ids = places.sort(references);
            let steps = Steps::of(run.repository(), &ids, &places)?;
            Ok((ids, steps))
        });
        match prepared {
            Ok((ids, steps)) => Ok(Self { ids, steps, places }),
            Err(error) => {
                places.abandon();
                Err(error)
            }
        }
    }

    /// Fetches it and writes it, and finishes the files that end with it.
    pub(super) fn fetch(self) -> Result<(), RestoreError> {
        let Self { ids, steps, places } = self;
        let outcome = places.finish_ready().and_then(|()| fetch(places.run.reader, &ids, steps, &places));
        if outcome.is_err() {
            places.abandon();
        }
        outcome
    }

    /// Lets go of its files.
    pub(super) fn abandon(&self) {
        self.places.abandon();
    }
}

fn job_of<'j>(jobs: &'j [Enrolled], reference: &Reference) -> &'j Arc<FileJob> {
    // Numbers come from the same round.
    &jobs[reference.job as usize].job
}

/// Takes chunks from files that are there, and returns the references that still have to be fetched.
fn take_existing(
    run: &Run<'_>,
    jobs: &[Enrolled],
    references: Vec<Reference>,
) -> Result<Vec<Reference>, RestoreError> {
    if jobs.iter().all(|enrolled| enrolled.job.existing.is_none()) {
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
        // Never the last: the end of the list is counted by the thread that fetches.
        job.is_last_of(1);
        run.stats().reused_bytes += length(buffer.len());
        run.repository().progress().advance(0, length(buffer.len()));
    }
    Ok(())
}

/// Chunks that lie side by side in a block and in a file.
struct Stretch<'j> {
    job: &'j FileJob,
    offset: u64,
    place: Range<usize>,
    count: u64,
}

impl Stretch<'_> {
    /// Takes in what follows it in both; returns whether `next` does.
    fn join(&mut self, next: &Self) -> bool {
        let is_next = std::ptr::eq(self.job, next.job)
            && self.offset + length(self.place.len()) == next.offset
            && self.place.end == next.place.start;
        if is_next {
            self.place.end = next.place.end;
            self.count += next.count;
        }
        is_next
    }
}

impl Places<'_, '_> {
    /// Numbers the ids, each once, and sorts what needs them.
    fn sort(&mut self, references: Vec<Reference>) -> Vec<ChunkId> {
        let mut numbers: HashMap<ChunkId, usize> = HashMap::new();
        let mut ids = Vec::new();
        self.targets = Vec::with_capacity(references.len());
        for reference in references {
            let number = *numbers.entry(reference.id).or_insert(ids.len());
            if number == ids.len() {
                ids.push(reference.id);
            }
            self.targets.push((number, reference));
        }
        self.targets.sort_by_key(|(number, _)| *number);
        ids
    }

    /// Counts the ends of lists, and finishes the files that nothing is fetched for.
    fn finish_ready(&self) -> Result<(), RestoreError> {
        self.jobs.par_iter().filter(|enrolled| enrolled.is_last_round).try_for_each(|enrolled| {
            self.run.repository().check_stop()?;
            self.count(&enrolled.job, 1)
        })
    }

    fn abandon(&self) {
        self.jobs.iter().for_each(|enrolled| self.run.files.abandon(&enrolled.job));
    }

    fn of(&self, wanted: usize) -> impl Iterator<Item = &Reference> {
        let start = self.targets.partition_point(|(number, _)| *number < wanted);
        self.targets[start..].iter().take_while(move |(number, _)| *number == wanted).map(|(_, place)| place)
    }

    fn count(&self, job: &FileJob, count: u64) -> Result<(), RestoreError> {
        if job.is_last_of(count) { self.run.finish_file(job) } else { Ok(()) }
    }

    fn give_up(&self, job: &FileJob, error: &Error) -> Result<(), RestoreError> {
        if !job.has_failed() {
            self.run.damage_file(job, error);
        }
        self.count(job, 1)
    }

    /// Writes a stretch of a block; returns how many bytes were written.
    fn write(&self, stretch: &Stretch<'_>, plain: &[u8]) -> Result<u64, RestoreError> {
        let Stretch { job, offset, place, count } = stretch;
        let mut written_bytes = 0;
        if !job.has_failed() {
            match self.run.files.write(job, *offset, &plain[place.clone()]) {
                Ok(()) => written_bytes = length(place.len()),
                Err(error) => self.run.refuse_file(job, "write", error)?,
            }
        }
        self.count(job, *count)?;
        Ok(written_bytes)
    }
}

impl Sink for Places<'_, '_> {
    fn chunks(&self, found: &[Found], plain: &[u8]) -> Result<(), RestoreError> {
        let mut written_bytes = 0;
        let mut stretch: Option<Stretch<'_>> = None;
        for Found { wanted, place } in found {
            for reference in self.of(*wanted) {
                let job = job_of(&self.jobs, reference);
                if place.len() != reference.length_bytes as usize {
                    self.give_up(job, &wrong_length())?;
                    continue;
                }
                let next = Stretch { job, offset: reference.offset, place: place.clone(), count: 1 };
                let is_joined = stretch.as_mut().is_some_and(|before| before.join(&next));
                if !is_joined && let Some(before) = stretch.replace(next) {
                    written_bytes += self.write(&before, plain)?;
                }
            }
        }
        if let Some(last) = stretch {
            written_bytes += self.write(&last, plain)?;
        }
        self.run.stats().restored_bytes += written_bytes;
        self.run.repository().progress().advance(0, written_bytes);
        Ok(())
    }

    fn missing(&self, wanted: usize, error: &Error) -> Result<(), RestoreError> {
        self.of(wanted).try_for_each(|reference| self.give_up(job_of(&self.jobs, reference), error))
    }
}
