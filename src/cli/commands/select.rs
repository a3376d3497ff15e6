//! From what was typed to snapshots of the repository.

use crate::base::SnapshotId;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::format::snapshot::Snapshot;
use crate::query::select::{SnapshotFilter, SnapshotRef, SnapshotSummary, resolve};
use crate::repository::Repository;

/// The snapshots of a repository, oldest first.
#[derive(Debug)]
pub struct Snapshots {
    /// What lists and filters look at, in the order of [`Snapshots::whole`].
    pub summaries: Vec<SnapshotSummary>,
    /// The snapshots themselves.
    pub whole: Vec<(SnapshotId, Snapshot)>,
}

impl Snapshots {
    /// Reads all snapshots; those that cannot be read are warned of and left out.
    pub fn load(context: &Context, repository: &Repository) -> Result<Self, CliError> {
        let (whole, damaged) = repository.load_snapshots()?;
        for error in &damaged {
            context.progress.warn(&format!("{error}; it is left out"));
        }
        let summaries = whole.iter().map(|(id, snapshot)| summary(*id, snapshot)).collect();
        Ok(Self { summaries, whole })
    }

    /// Returns the snapshot that `reference` names; `latest` counts among those that pass `filter`.
    pub fn one(&self, reference: &SnapshotRef, filter: &SnapshotFilter) -> Result<SnapshotId, CliError> {
        Ok(resolve(reference, &self.summaries, filter)?)
    }

    /// Returns the snapshots that `references` name, each once, or all that pass `filter` when there are
    /// none; oldest first.
    pub fn several(
        &self,
        references: &[SnapshotRef],
        filter: &SnapshotFilter,
    ) -> Result<Vec<SnapshotSummary>, CliError> {
        if references.is_empty() {
            return Ok(self.summaries.iter().filter(|summary| filter.matches(summary)).cloned().collect());
        }
        let ids: Vec<SnapshotId> =
            references.iter().map(|reference| self.one(reference, filter)).collect::<Result<_, _>>()?;
        Ok(self.summaries.iter().filter(|summary| ids.contains(&summary.id)).cloned().collect())
    }
}

fn summary(id: SnapshotId, snapshot: &Snapshot) -> SnapshotSummary {
    SnapshotSummary {
        id,
        time: snapshot.time,
        host: snapshot.host.clone(),
        user: snapshot.user.clone(),
        job: snapshot.job.clone(),
        tags: snapshot.tags.clone(),
        paths: snapshot.paths.clone(),
        file_count: snapshot.totals.files,
        content_size_bytes: snapshot.totals.content_bytes,
        stored_size_bytes: snapshot.totals.stored_bytes,
        parent: snapshot.parent,
    }
}
