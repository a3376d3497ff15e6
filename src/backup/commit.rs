//! The two ends of a run: what is there before it, and the snapshot that ends it.

use std::sync::Arc;

use super::assemble::Assembled;
use super::{BackupOptions, BackupOutcome, Error, Input, ParentChoice};
use crate::base::{ChunkId, SnapshotId, Time};
use crate::format::snapshot::{Snapshot, Source};
use crate::format::wire::length;
use crate::repository::{self, ChunkReader, Repository, Standing, find_path, seen_digest};

/// What was there when the run began.
pub(super) struct Beginning {
    began: Time,
    seen: [u8; 32],
    parent: Option<(SnapshotId, ChunkId)>,
    standing: Standing,
    /// Names the job in the local memory of unfinished runs.
    pub(super) job_key: Vec<u8>,
}

impl Beginning {
    /// Looks at snapshots and plans before the first chunk is looked up.
    pub(super) fn look(repository: &Repository, options: &BackupOptions) -> Result<Self, Error> {
        let began = repository.clock().now();
        let ids = repository.snapshot_ids()?;
        let parent = choose_parent(repository, options, &ids, began)?;
        let standing = Standing::look(repository)?;
        Ok(Self { began, seen: seen_digest(&ids), parent, standing, job_key: job_key(options) })
    }

    /// Returns the root tree of the parent.
    pub(super) fn parent_root(&self) -> Option<ChunkId> {
        self.parent.map(|(_, root)| root)
    }

    /// Writes the snapshot, once everything that it needs is stored and indexed.
    pub(super) fn commit(
        &self,
        repository: &Arc<Repository>,
        options: &BackupOptions,
        assembled: Assembled,
        sources: Vec<Source>,
    ) -> Result<BackupOutcome, Error> {
        let stored = assembled.writer.finish()?;
        repository.check_stop()?;
        let ended = repository.clock().now();
        let mut totals = assembled.totals;
        totals.new_chunk_bytes = stored.new_data_bytes + stored.new_tree_bytes;
        totals.stored_bytes = stored.stored_bytes;
        let is_unchanged = self.is_unchanged(repository, options, assembled.root)?;
        let mut outcome = BackupOutcome {
            snapshot: None,
            parent: self.parent.map(|(id, _)| id),
            is_unchanged,
            totals,
            stored,
            began: self.began,
            ended,
        };
        if options.dry_run || (options.skip_if_unchanged && is_unchanged) {
            return Ok(outcome);
        }
        let snapshot = self.snapshot(repository, options, &outcome, assembled.root, sources);
        self.standing.require(repository)?;
        outcome.snapshot = Some(repository.store_snapshot(&snapshot)?);
        assembled.states.clear(repository)?;
        // The index has grown.
        repository.keep_reserve();
        Ok(outcome)
    }

    /// Tells whether everything that was backed up is as the parent has it.
    ///
    /// The folders above it do not count: what lies beside a source changes them.
    fn is_unchanged(
        &self,
        repository: &Repository,
        options: &BackupOptions,
        root: ChunkId,
    ) -> Result<bool, Error> {
        let Some(parent) = self.parent_root() else { return Ok(false) };
        if parent == root || options.dry_run || !options.skip_if_unchanged {
            return Ok(parent == root);
        }
        let reader = ChunkReader::new(repository);
        for path in snapshot_paths(options) {
            let (old, new) = (find_path(&reader, &parent, &path)?, find_path(&reader, &root, &path)?);
            // Without a node the path is the root itself, and the roots differ.
            if old != new || new.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn snapshot(
        &self,
        repository: &Repository,
        options: &BackupOptions,
        outcome: &BackupOutcome,
        root: ChunkId,
        sources: Vec<Source>,
    ) -> Snapshot {
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts.dedup();
            texts
        };
        let mut metadata = options.metadata.clone();
        metadata.sort();
        metadata.dedup_by(|later, earlier| later.0 == earlier.0);
        Snapshot {
            repository: repository.keys().repository(),
            time: options.time.unwrap_or(self.began),
            began: self.began,
            ended: outcome.ended,
            host: options.host.clone(),
            user: options.user.clone(),
            job: options.job.clone(),
            program: options.program.clone(),
            tags: sorted(options.tags.clone()),
            metadata,
            paths: snapshot_paths(options),
            sources,
            root,
            parent: self.parent.map(|(id, _)| id),
            original: None,
            totals: outcome.totals,
            features: Vec::new(),
            seen: self.seen,
        }
    }
}

/// Returns the paths that the snapshot names: sorted, streams by their names below `/`.
pub(super) fn snapshot_paths(options: &BackupOptions) -> Vec<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    let mut paths: Vec<Vec<u8>> = match &options.input {
        Input::Paths(walk) => crate::source::clean_paths(std::path::Path::new("/"), &walk.paths)
            .iter()
            .map(|path| path.as_os_str().as_bytes().to_vec())
            .collect(),
        Input::Streams(streams) => {
            streams.iter().map(|stream| [b"/", stream.name.as_slice()].concat()).collect()
        }
    };
    paths.sort();
    paths.dedup();
    paths
}

fn job_key(options: &BackupOptions) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    let paths = snapshot_paths(options);
    for part in
        [options.host.as_bytes(), options.job.as_bytes()].into_iter().chain(paths.iter().map(Vec::as_slice))
    {
        hasher.update(&length(part.len()).to_le_bytes()).update(part);
    }
    hasher.finalize().as_bytes()[..16].to_vec()
}

fn choose_parent(
    repository: &Repository,
    options: &BackupOptions,
    ids: &[SnapshotId],
    now: Time,
) -> Result<Option<(SnapshotId, ChunkId)>, Error> {
    if let ParentChoice::Given(id) = options.parent {
        let snapshot = repository.load_snapshot(&id)?;
        return Ok(Some((id, snapshot.root)));
    }
    let paths = snapshot_paths(options);
    let mut newest: Option<(Time, SnapshotId, ChunkId)> = None;
    for id in ids {
        let snapshot = match repository.load_snapshot(id) {
            Ok(snapshot) => snapshot,
            // Gone since, or not readable: no parent, and no reason not to make a backup.
            Err(error) if error.is_damage() || matches!(error, repository::Error::Newer { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let same = snapshot.host == options.host && snapshot.job == options.job && snapshot.paths == paths;
        let is_newer = newest.is_none_or(|(time, at, _)| (snapshot.time, *id) > (time, at));
        if same && snapshot.time <= now && is_newer {
            newest = Some((snapshot.time, *id, snapshot.root));
        }
    }
    Ok(newest.map(|(_, id, root)| (id, root)))
}
