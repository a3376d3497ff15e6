//! Which snapshots go.

use super::Run;
use super::error::PruneError;
use super::report::{GroupDecision, SnapshotDecision};
use super::survey::read_snapshots;
use crate::base::escape::escape_name;
use crate::maintain::retention::{GroupKey, RetentionItem, apply, group};
use crate::query::select::SnapshotSummary;

impl Run {
    /// Applies the policy and drops what it does not keep.
    pub(super) fn apply_retention(&mut self) -> Result<(), PruneError> {
        let snapshots = read_snapshots(&self.repository, &self.dropped)?;
        let summaries: Vec<SnapshotSummary> =
            snapshots.iter().map(|(id, snapshot)| SnapshotSummary::new(*id, snapshot)).collect();
        drop(snapshots);
        let passing = summaries.iter().filter(|summary| self.options.filter.matches(summary));
        let items: Vec<RetentionItem> = passing.map(RetentionItem::from).collect();
        let now = self.repository.clock().now();
        for group in group(&items, &self.options.group_by) {
            let outcome = apply(&self.options.policy, &group.items, now, &self.options.time_zone);
            if outcome.would_drop_all && !self.options.allow_empty {
                let count = group.items.len();
                return Err(PruneError::DropsAll { group: in_words(&group.key), count });
            }
            self.dropped.extend(outcome.dropped().map(|item| item.id));
            let decisions = outcome.decisions.into_iter().map(|decision| SnapshotDecision {
                id: decision.item.id,
                time: decision.item.time,
                keep: decision.keep,
                reasons: decision.reasons,
            });
            self.report.groups.push(GroupDecision { key: group.key, decisions: decisions.collect() });
        }
        self.report.dropped = u64::try_from(self.dropped.len()).unwrap_or(u64::MAX);
        if self.is_dry() {
            return Ok(());
        }
        for id in self.dropped.clone() {
            self.repository.check_stop()?;
            self.renew()?;
            self.repository.delete_snapshot(&id)?;
        }
        Ok(())
    }
}

/// Returns a group's key for people.
fn in_words(key: &GroupKey) -> String {
    let mut words = Vec::new();
    if let Some(host) = &key.host {
        words.push(format!("host {}", escape_name(host.as_bytes())));
    }
    if let Some(job) = key.job.as_ref().filter(|job| !job.is_empty()) {
        words.push(format!("job {}", escape_name(job.as_bytes())));
    }
    if let Some(paths) = &key.paths {
        let paths: Vec<String> = paths.iter().map(|path| escape_name(path)).collect();
        words.push(format!("paths {}", paths.join(", ")));
    }
    if let Some(tags) = &key.tags {
        words.push(format!("tags {}", escape_name(tags.join(",").as_bytes())));
    }
    if words.is_empty() { "the repository".to_owned() } else { words.join(", ") }
}
