//! All snapshots of a repository, and which of them somebody means.

use super::select::{SelectError, SnapshotFilter, SnapshotRef, SnapshotSummary, resolve};
use crate::base::SnapshotId;
use crate::format::snapshot::Snapshot;
use crate::repository::{Error, Repository};

impl SnapshotSummary {
    /// Returns what lists show of `snapshot`.
    pub fn new(id: SnapshotId, snapshot: &Snapshot) -> Self {
        Self {
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
}

/// The snapshots of a repository at one moment.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Those that can be read, oldest first.
    pub snapshots: Vec<(SnapshotId, Snapshot)>,
    /// Their summaries, in the same order.
    pub summaries: Vec<SnapshotSummary>,
    /// Why others cannot be read.
    pub errors: Vec<Error>,
}

impl Snapshots {
    /// Loads the snapshots of `repository`.
    pub fn load(repository: &Repository) -> Result<Self, Error> {
        let (snapshots, errors) = repository.load_snapshots()?;
        let summaries = snapshots.iter().map(|(id, snapshot)| SnapshotSummary::new(*id, snapshot)).collect();
        Ok(Self { snapshots, summaries, errors })
    }

    /// Returns the one snapshot that `reference` names; `latest` is one that passes `filter`.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn find(
        &self,
        reference: &SnapshotRef,
        filter: &SnapshotFilter,
    ) -> Result<(SnapshotId, &Snapshot), SelectError> {
        let id = resolve(reference, &self.summaries, filter)?;
        let unknown = || SelectError::Unknown { text: id.to_string() };
        self.get(&id).map(|snapshot| (id, snapshot)).ok_or_else(unknown)
    }

    /// Returns the snapshots that `references` name, in that order and each once; without any, all that pass
    /// `filter`, oldest first.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn choose(
        &self,
        references: &[SnapshotRef],
        filter: &SnapshotFilter,
    ) -> Result<Vec<(SnapshotId, &Snapshot)>, SelectError> {
        if references.is_empty() {
            let passing = self.snapshots.iter().zip(&self.summaries).filter(|(_, s)| filter.matches(s));
            return Ok(passing.map(|((id, snapshot), _)| (*id, snapshot)).collect());
        }
        let mut chosen: Vec<(SnapshotId, &Snapshot)> = Vec::with_capacity(references.len());
        for reference in references {
            let (id, snapshot) = self.find(reference, filter)?;
            if !chosen.iter().any(|(known, _)| *known == id) {
                chosen.push((id, snapshot));
            }
        }
        Ok(chosen)
    }

    /// Returns the snapshot `id`.
    pub fn get(&self, id: &SnapshotId) -> Option<&Snapshot> {
        self.snapshots.iter().find(|(known, _)| known == id).map(|(_, snapshot)| snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn snapshots_are_named_by_age_and_by_id_and_chosen_once() {
        let fixture = Fixture::new(1);
        fixture.write("a", b"one");
        let (first, _) = fixture.backup();
        fixture.write("a", b"two, longer");
        let (second, _) = fixture.backup();
        let all = Snapshots::load(&fixture.repository).unwrap();
        let any = SnapshotFilter::default();
        let latest = |back| SnapshotRef::Latest { back };
        assert_eq!(all.find(&latest(0), &any).unwrap().0, second);
        assert_eq!(all.find(&latest(1), &any).unwrap().0, first);
        let by_id = SnapshotRef::Prefix(first.to_string());
        let chosen = all.choose(&[latest(1), by_id], &any).unwrap();
        assert_eq!(chosen.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [first]);
        let ids: Vec<_> = all.choose(&[], &any).unwrap().iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [first, second]);
        let other = SnapshotFilter { hosts: vec!["other".into()], ..any };
        assert!(all.choose(&[], &other).unwrap().is_empty());
        assert!(matches!(all.find(&latest(0), &other), Err(SelectError::NoneMatch { .. })));
        let summary = &all.summaries[1];
        assert_eq!((summary.file_count, summary.content_size_bytes), (1, 11));
        assert_eq!(summary.parent, Some(first));
    }
}
