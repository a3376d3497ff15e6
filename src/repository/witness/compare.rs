//! What two looks at a repository say about each other.

use super::{Contradiction, Seen, Stored};
use crate::repository::LeaseTrace;

/// Tells whether `seen` is what was `known`, but for new snapshots.
pub(super) fn fits(known: &Seen, seen: &Seen) -> bool {
    seen.lease == known.lease
        && known.present.keys().all(|id| seen.present.contains_key(id))
        && contradiction(known, seen, &seen.present, seen.lease).is_none()
}

/// Returns how `seen` differs from what was `known` as it never does by regular work. What some listing
/// showed is in `shown`, and `lease` is the trace from after the last one.
pub(super) fn contradiction(
    known: &Seen,
    seen: &Seen,
    shown: &Stored,
    lease: LeaseTrace,
) -> Option<Contradiction> {
    if known.repository != seen.repository || known.is_other(&seen.config) {
        let found = Some(seen.repository).filter(|found| *found != known.repository);
        return Some(Contradiction::Replaced { known: known.repository, found });
    }
    if seen.config.number < known.config.number {
        return Some(Contradiction::ConfigOlder);
    }
    if lease.writes < known.lease.writes {
        return Some(Contradiction::LeaseOlder);
    }
    let mut back = known.dropped.keys().filter(|id| seen.present.contains_key(id));
    if let Some(example) = back.next() {
        return Some(Contradiction::SnapshotsBack { count: 1 + back.count(), example: *example });
    }
    if known.lease.is_held || lease != known.lease {
        return None;
    }
    let mut gone = known.present.keys().filter(|id| !shown.contains_key(id));
    let example = gone.next()?;
    Some(Contradiction::SnapshotsGone { count: 1 + gone.count(), example: *example })
}

/// Returns the snapshots that are known to be dropped, now that no listing but `shown` has any.
pub(super) fn dropped(known: &Seen, shown: &Stored) -> Stored {
    let gone = known.present.iter().filter(|(id, _)| !shown.contains_key(id));
    known.dropped.iter().chain(gone).map(|(id, seconds)| (*id, *seconds)).collect()
}

/// Returns what is to be kept when `there` is kept already, maybe by another process since `seen` began.
///
/// Both were true when they were seen, and either alone would raise no false alarm; the later one tells more.
pub(super) fn merged(there: Option<&Seen>, seen: Seen) -> Seen {
    let Some(there) = there.filter(|there| there.repository == seen.repository) else { return seen };
    if there.lease.writes > seen.lease.writes {
        return there.clone();
    }
    let mut merged = seen;
    merged.dropped.extend(&there.dropped);
    // Nothing is dropped while the lease is free and stays as it is.
    if there.lease == merged.lease && !merged.lease.is_held {
        merged.present.extend(&there.present);
    }
    let dropped = &merged.dropped;
    merged.present.retain(|id, _| !dropped.contains_key(id));
    merged
}

/// Takes all but the `count` newest out of `snapshots`.
pub(super) fn keep_newest(snapshots: &mut Stored, count: usize) {
    let excess = snapshots.len().saturating_sub(count);
    if excess == 0 {
        return;
    }
    let mut by_time: Vec<_> = snapshots.iter().map(|(id, seconds)| (*seconds, *id)).collect();
    by_time.sort_unstable();
    for (_, id) in by_time.into_iter().take(excess) {
        snapshots.remove(&id);
    }
}
