//! Backup: source → class → chunker → id → dedup → block → pack → index → snapshot.
//!
//! Two sides meet at one bounded queue. The reading side ([`produce`], [`streams`]) walks, compares with the
//! parent, reads, cuts, and has chunks hashed on all cores. The storing side ([`assemble`]) takes the results
//! in the order of the tree, stores what is new through the repository's writer, and builds the trees. The
//! snapshot is written last ([`commit`]).

mod assemble;
mod budget;
mod commit;
mod common;
mod cuts;
mod kin;
mod likeness;
mod numbers;
mod parcel;
mod parent;
mod pieces;
mod predicted;
mod previous;
mod produce;
mod reading;
mod runs;
mod segments;
mod states;
mod steps;
mod streams;
mod tensors;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use assemble::{Assembled, Assembler};
use budget::Budget;
use commit::Beginning;
use pieces::Chunkers;
use produce::Producer;
use reading::ReadBuffers;
use states::StateLog;
use streams::{StreamReader, is_valid_stream_name, write_tree};

use crate::base::limits::CHUNK_SIZE_MAX_BYTES;
use crate::base::{Phase, SnapshotId, Time};
use crate::format::snapshot::{CLASS_UNDECIDED, Source, SourceKind, Totals};
use crate::repository::{self, ChunkReader, ChunkWriter, Repository, WriterStats};
use crate::source::{Class, CommandSpec, DumpHints, SourceError, StreamError, WalkOptions, Walker};

/// Steps and parcels of steps that wait for the storing side.
const STEPS_WAITING_MAX: usize = 64;

/// How often a backup of paths begins when a prune overtakes it.
const TRIES_MAX: u32 = 3;

/// A backup did not become a snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository's side failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// A stream could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A command did not start, or did not end well.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// None of the paths could be read.
    #[error("none of the {count} paths could be read")]
    NothingRead {
        /// How many there were.
        count: usize,
    },
    /// The request makes no sense.
    #[error("{reason}")]
    Usage {
        /// Why.
        reason: String,
    },
}

impl From<crate::format::FormatError> for Error {
    fn from(error: crate::format::FormatError) -> Self {
        Self::Repository(error.into())
    }
}

/// Where a stream comes from.
#[derive(Debug, Clone)]
pub enum StreamOrigin {
    /// Standard input.
    Stdin,
    /// The output of a command.
    Command(CommandSpec),
}

/// A stream and its name in the snapshot.
#[derive(Debug, Clone)]
pub struct StreamInput {
    /// Path of the file that it becomes, relative.
    pub name: Vec<u8>,
    /// Where it comes from.
    pub origin: StreamOrigin,
}

/// What is backed up.
#[derive(Debug, Clone)]
pub enum Input {
    /// Paths of the file system.
    Paths(WalkOptions),
    /// Streams, all of which must succeed.
    Streams(Vec<StreamInput>),
}

/// Which snapshot files are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParentChoice {
    /// The newest of the same host, job and paths.
    Newest,
    /// This one.
    Given(SnapshotId),
}

/// How a backup is made and what its snapshot says.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// What is backed up.
    pub input: Input,
    /// Host that the snapshot names.
    pub host: String,
    /// User that the snapshot names.
    pub user: String,
    /// Numbers of that user and its group, for files that streams become.
    pub owner: (u32, u32),
    /// Job that the snapshot names; may be empty.
    pub job: String,
    /// Program and version.
    pub program: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Free metadata.
    pub metadata: Vec<(String, String)>,
    /// The time that the snapshot stands for; now when absent.
    pub time: Option<Time>,
    /// Which snapshot files are compared with.
    pub parent: ParentChoice,
    /// Read all files, also unchanged ones.
    pub force: bool,
    /// The class of everything, in place of what is recognised.
    pub class: Option<Class>,
    /// Compute everything, store nothing.
    pub dry_run: bool,
    /// Write no snapshot when nothing differs from the parent.
    pub skip_if_unchanged: bool,
    /// Walk once before, so that a progress bar knows the end.
    pub estimate: bool,
}

/// What a backup did.
#[derive(Debug, Clone)]
pub struct BackupOutcome {
    /// The snapshot; none for a dry run, or when nothing changed and that was asked for.
    pub snapshot: Option<SnapshotId>,
    /// The snapshot that files were compared with.
    pub parent: Option<SnapshotId>,
    /// Nothing differs from the parent.
    pub is_unchanged: bool,
    /// Totals as the snapshot has them.
    pub totals: Totals,
    /// What the writer stored.
    pub stored: WriterStats,
    /// When the run began.
    pub began: Time,
    /// When it ended.
    pub ended: Time,
}

/// Makes one snapshot.
///
/// Sources that cannot be read are reported to the repository's progress and counted in
/// [`Totals::unread_sources`]; everything that fails on the repository's side fails the run, and then there
/// is no snapshot. What was stored until then is found again by the next run.
pub fn backup(repository: &Arc<Repository>, options: &BackupOptions) -> Result<BackupOutcome, Error> {
    validate(options)?;
    let mut tries = 0;
    loop {
        tries += 1;
        let beginning = Beginning::look(repository, options)?;
        repository.progress().begin(Phase::Backup, None, None);
        let outcome = run(repository, options, &beginning);
        repository.progress().end();
        match (&outcome, &options.input) {
            // Files can be read again; what was stored is found, so the second time is short.
            (Err(Error::Repository(repository::Error::Overtaken)), Input::Paths(_)) if tries < TRIES_MAX => {
                repository.progress().warn("a prune took packs away meanwhile; beginning again");
                repository.sync_index()?;
            }
            _ => return outcome,
        }
    }
}

fn validate(options: &BackupOptions) -> Result<(), Error> {
    let usage = |reason: &str| Err(Error::Usage { reason: reason.to_owned() });
    match &options.input {
        Input::Paths(walk) if walk.paths.is_empty() => usage("no paths to back up"),
        Input::Paths(_) => Ok(()),
        Input::Streams(streams) => {
            let mut names: Vec<&Vec<u8>> = streams.iter().map(|stream| &stream.name).collect();
            names.sort();
            let inside = |pair: &[&Vec<u8>]| {
                pair[0] == pair[1]
                    || pair[1].strip_prefix(pair[0].as_slice()).is_some_and(|rest| rest[0] == b'/')
            };
            if streams.is_empty() || !names.iter().all(|name| is_valid_stream_name(name)) {
                return usage("a stream needs a relative name without `.` and `..`");
            }
            if names.windows(2).any(inside) {
                return usage("two streams have the same name, or one lies below the other");
            }
            Ok(())
        }
    }
}

fn run(
    repository: &Arc<Repository>,
    options: &BackupOptions,
    beginning: &Beginning,
) -> Result<BackupOutcome, Error> {
    let chunkers = Arc::new(Chunkers::new(repository.config(), repository.keys())?);
    let budget = Budget::new(repository.memory().reading_bytes());
    let buffers = ReadBuffers::new(budget.clone(), CHUNK_SIZE_MAX_BYTES);
    let writer = ChunkWriter::new(repository.clone(), options.dry_run)?;
    let job_key = beginning.job_key.clone();
    let reader = ChunkReader::new(repository);
    let assembler = Assembler::new(&reader, writer, StateLog::new(job_key.clone()))?;
    match &options.input {
        Input::Streams(inputs) => {
            let reader = StreamReader {
                repository,
                chunkers: &chunkers,
                buffers: &buffers,
                class: options.class,
                owner: options.owner,
                parent_root: beginning.parent_root(),
                hints: DumpHints::default(),
            };
            let (assembled, sources) = run_streams(&reader, inputs, assembler)?;
            beginning.commit(repository, options, assembled, sources)
        }
        Input::Paths(walk) => {
            let producer = Producer {
                repository: repository.clone(),
                chunkers,
                budget,
                buffers,
                class: options.class,
                force: options.force,
                job_key,
                parent_root: beginning.parent_root(),
                hints: Arc::default(),
            };
            let (assembled, sources) = run_walk(producer, walk, options.estimate, assembler)?;
            beginning.commit(repository, options, assembled, sources)
        }
    }
}

fn run_streams(
    reader: &StreamReader<'_>,
    inputs: &[StreamInput],
    mut assembler: Assembler<'_, '_>,
) -> Result<(Assembled, Vec<Source>), Error> {
    let mut sources = Vec::with_capacity(inputs.len());
    let mut nodes = Vec::with_capacity(inputs.len());
    for input in inputs {
        let stored = reader.read(input, &mut assembler)?;
        nodes.push((input.name.clone(), stored.node));
        sources.push(stored.source);
    }
    write_tree(nodes, reader.owner, reader.repository.clock().now(), &mut assembler)?;
    Ok((assembler.finish()?, sources))
}

fn run_walk(
    producer: Producer,
    walk: &WalkOptions,
    estimate: bool,
    mut assembler: Assembler<'_, '_>,
) -> Result<(Assembled, Vec<Source>), Error> {
    use std::os::unix::ffi::OsStrExt;
    let walker = Walker::within(walk.clone(), producer.repository.memory());
    let paths: Vec<Vec<u8>> =
        walker.paths().iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
    let repository = producer.repository.clone();
    let (to_storing, steps) = sync_channel(STEPS_WAITING_MAX);
    let failed_roots = std::thread::scope(|scope| {
        if estimate {
            scope.spawn(|| {
                let memory = repository.memory();
                if let Some(totals) = Walker::totals_hint(walk.clone(), memory, repository.stop_flag()) {
                    repository.progress().totals(totals.files, totals.bytes);
                }
            });
        }
        let reading = scope.spawn(move || producer.walk(walker, &to_storing));
        let stored = assembler.run(&steps);
        // Without a listener the reading side ends at its next step.
        drop(steps);
        let failed = reading.join().map_err(|_| repository::Error::Internal { what: "reading failed" })?;
        stored?;
        Ok::<_, Error>(failed)
    })?;
    if failed_roots == paths.len() {
        return Err(Error::NothingRead { count: paths.len() });
    }
    let sources = paths.into_iter().map(|name| Source {
        kind: SourceKind::Path,
        name,
        class: CLASS_UNDECIDED,
        command: Vec::new(),
        exit_status: 0,
        size_bytes: 0,
        digest: None,
    });
    Ok((assembler.finish()?, sources.collect()))
}
