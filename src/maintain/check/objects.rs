//! The small objects: config, key files, plans, leases, snapshots.

use super::report::{CheckReport, Severity};
use crate::backend::{ErrorKind, ObjectKey, ObjectKind};
use crate::base::SnapshotId;
use crate::format::snapshot::Snapshot;
use crate::repository::{Error, Repository, parallel};

/// Objects fetched before the next look at whether to stop.
const BATCH_OBJECTS: usize = 64;

/// Checks all small objects and returns the snapshots that can be read, oldest first.
pub(super) fn check_objects(
    repository: &Repository,
    report: &mut CheckReport,
) -> Result<Vec<(SnapshotId, Snapshot)>, Error> {
    if audit(repository, ObjectKind::Config, report)?.is_empty() && is_empty(repository, ObjectKind::Config)?
    {
        report.error("config/", "has no config");
    }
    if audit(repository, ObjectKind::Key, report)?.is_empty() && is_empty(repository, ObjectKind::Key)? {
        report
            .error("keys/", "has no key files; only a printed sheet of the master key opens the repository");
    }
    audit(repository, ObjectKind::Plan, report)?;
    audit(repository, ObjectKind::Lock, report)?;
    let mut snapshots = Vec::new();
    for key in audit(repository, ObjectKind::Snapshot, report)? {
        let Some(id) = key.id_bytes().map(SnapshotId) else { continue };
        match repository.load_snapshot(&id) {
            Ok(snapshot) => snapshots.push((id, snapshot)),
            Err(Error::Backend(error)) if error.kind == ErrorKind::NotFound => {}
            Err(error) if error.is_damage() || matches!(error, Error::Newer { .. }) => {
                report.damage(&key, &error);
            }
            Err(error) => return Err(error),
        }
    }
    snapshots.sort_by_key(|(id, snapshot)| (snapshot.time, *id));
    Ok(snapshots)
}

fn is_empty(repository: &Repository, kind: ObjectKind) -> Result<bool, Error> {
    Ok(repository.backend().list(kind)?.is_empty())
}

/// Reads all objects of a kind and returns the good ones.
fn audit(
    repository: &Repository,
    kind: ObjectKind,
    report: &mut CheckReport,
) -> Result<Vec<ObjectKey>, Error> {
    let keys: Vec<ObjectKey> = repository.backend().list(kind)?.into_iter().map(|info| info.key).collect();
    let keys: Vec<ObjectKey> = keys.into_iter().filter(is_checked).collect();
    let mut good = Vec::with_capacity(keys.len());
    for batch in keys.chunks(BATCH_OBJECTS) {
        repository.check_stop()?;
        for (key, outcome) in batch.iter().zip(parallel(batch, |key| repository.audit_object(key))) {
            match outcome {
                Ok(()) => good.push(key.clone()),
                // Dropped by somebody since it was listed.
                Err(Error::Backend(error)) if error.kind == ErrorKind::NotFound => {}
                Err(error) if kind == ObjectKind::Lock && error.is_damage() => {
                    let what = format!("{error}; `snap unlock` removes it");
                    report.add(Severity::Warning, key.path(), what);
                }
                Err(error) if error.is_damage() || matches!(error, Error::Newer { .. }) => {
                    report.damage(key, &error);
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(good)
}

/// Leases alone are checked among locks: probes and time marks are not sealed.
fn is_checked(key: &ObjectKey) -> bool {
    key.kind() != ObjectKind::Lock || key.name() == "maintenance" || key.name().starts_with("m-")
}
