//! Acting on plans whose grace has passed (`format-spec/11-plans.md`, order of `02-layout.md` 2.2).

use std::collections::BTreeSet;

use super::Run;
use super::error::PruneError;
use super::report::PendingPlan;
use super::report::Tally;
use super::survey::{Survey, has_passed, list_snapshots};
use crate::backend::ObjectKey;
use crate::base::{PackId, Phase, PlanId, Time};
use crate::format::plan::Plan;
use crate::repository::parallel;

/// How often the run begins anew because snapshots or index objects changed.
const RESTARTS_MAX: usize = 8;
/// Packs deleted between two looks at the lease.
const DELETE_BATCH: usize = 256;

/// A plan in the store.
#[derive(Debug)]
pub(super) struct StoredPlan {
    pub(super) id: PlanId,
    /// When it was stored, by the store's clock.
    pub(super) stored: Time,
    pub(super) plan: Plan,
}

impl StoredPlan {
    fn is_ripe(&self, now: Time) -> bool {
        has_passed(now, self.stored, self.plan.grace_seconds)
    }

    fn until(&self) -> Time {
        let grace = i64::try_from(self.plan.grace_seconds).unwrap_or(i64::MAX);
        Time { seconds: self.stored.seconds.saturating_add(grace), nanoseconds: self.stored.nanoseconds }
    }
}

impl Run {
    /// Returns all plans.
    pub(super) fn load_plans(&self) -> Result<Vec<StoredPlan>, PruneError> {
        let plans = self.repository.load_plans()?.into_iter();
        Ok(plans.map(|(id, info, plan)| StoredPlan { id, stored: info.modified, plan }).collect())
    }

    /// Deletes what plans name whose grace has passed, as far as no snapshot needs it.
    ///
    /// `survey` is used when it still holds. Returns the survey that was acted on.
    pub(super) fn finish_plans(&mut self, survey: Survey) -> Result<Survey, PruneError> {
        let mut at_hand = Some(survey);
        for _ in 0..RESTARTS_MAX {
            let survey = match at_hand.take() {
                Some(survey) => survey,
                None => {
                    self.report.restarts += 1;
                    Survey::take(&self.repository, &self.dropped)?
                }
            };
            let now = self.store_time()?;
            let (ripe, waiting): (Vec<_>, Vec<_>) =
                self.load_plans()?.into_iter().partition(|plan| plan.is_ripe(now));
            if ripe.is_empty() {
                return Ok(survey);
            }
            if self.execute(&survey, &ripe, &waiting)? {
                return Ok(survey);
            }
        }
        Err(PruneError::Restless { what: "snapshots" })
    }

    /// Carries out `ripe`; `false` when something changed, and nothing was deleted.
    fn execute(
        &mut self,
        survey: &Survey,
        ripe: &[StoredPlan],
        waiting: &[StoredPlan],
    ) -> Result<bool, PruneError> {
        let planned: BTreeSet<PackId> = ripe.iter().flat_map(|plan| &plan.plan.packs).map(|p| p.id).collect();
        let (rescued, doomed) = split(survey, planned);
        if self.is_dry() {
            self.count_deleted(survey, &doomed);
            return Ok(true);
        }
        let unindexed = self.unindexed(survey, &doomed);
        let replaced = match self.rewrite_index(&doomed) {
            Ok(Some(replaced)) => Some(replaced),
            Ok(None) => return Ok(false),
            Err(error) if error.is_full() => None,
            Err(error) => return Err(error),
        };
        self.store_time()?;
        if list_snapshots(&self.repository, &self.dropped)? != survey.snapshots {
            return Ok(false);
        }
        // Indexed by somebody since the survey: what it holds was not looked at.
        if !self.repository.index().known_packs(&unindexed)?.is_empty() {
            return Ok(false);
        }
        match replaced {
            Some(replaced) => self.delete_replaced(&replaced)?,
            None if self.replace_index_one_by_one(&doomed)? => {}
            None => return Ok(false),
        }
        self.delete_packs(&doomed)?;
        self.count_deleted(survey, &doomed);
        self.count_rescued(survey, &rescued);
        // A plan that still waits is done too when nothing of it is left.
        let is_empty =
            |plan: &&StoredPlan| plan.plan.packs.iter().all(|pack| self.deleted.contains(&pack.id));
        let done: Vec<PlanId> =
            ripe.iter().chain(waiting.iter().filter(is_empty)).map(|plan| plan.id).collect();
        for id in &done {
            self.renew()?;
            self.repository.delete_plan(id)?;
        }
        self.repository.sync_plans()?;
        Ok(true)
    }

    /// Returns those of `doomed` that the index does not name.
    fn unindexed(&self, survey: &Survey, doomed: &BTreeSet<PackId>) -> Vec<PackId> {
        let named: BTreeSet<PackId> = survey.packs.iter().map(|pack| pack.id).collect();
        doomed.difference(&named).copied().collect()
    }

    fn delete_packs(&mut self, doomed: &BTreeSet<PackId>) -> Result<(), PruneError> {
        let doomed: Vec<PackId> = doomed.iter().copied().collect();
        let progress = self.repository.progress().clone();
        progress.begin(Phase::Delete, Some(u64::try_from(doomed.len()).unwrap_or(u64::MAX)), None);
        for batch in doomed.chunks(DELETE_BATCH) {
            self.repository.check_stop()?;
            self.renew()?;
            let delete = |id: &PackId| self.repository.backend().delete(&ObjectKey::pack(id));
            for outcome in parallel(batch, delete) {
                outcome?;
                progress.advance(1, 0);
            }
        }
        progress.end();
        Ok(())
    }

    fn count_deleted(&mut self, survey: &Survey, doomed: &BTreeSet<PackId>) {
        for id in doomed {
            if self.deleted.insert(*id)
                && let Some(listed) = survey.listed.get(id)
            {
                self.report.deleted.add(listed.size_bytes);
            }
        }
    }

    fn count_rescued(&mut self, survey: &Survey, rescued: &BTreeSet<PackId>) {
        for pack in survey.packs.iter().filter(|pack| rescued.contains(&pack.id)) {
            self.report.rescued.add(u64::from(pack.size_bytes));
        }
    }

    /// Notes which plans wait, and until when.
    pub(super) fn note_pending(&mut self) -> Result<(), PruneError> {
        let mut pending = Vec::new();
        for plan in self.load_plans()? {
            let mut packs = Tally::default();
            for pack in plan.plan.packs.iter().filter(|pack| !self.deleted.contains(&pack.id)) {
                packs.add(u64::from(pack.size_bytes));
            }
            if packs.count > 0 {
                pending.push(PendingPlan { until: plan.until(), packs });
            }
        }
        pending.sort_by_key(|plan| plan.until);
        self.report.pending_plans = pending;
        Ok(())
    }
}

/// Splits planned packs into those that snapshots need after all and those that go.
fn split(survey: &Survey, planned: BTreeSet<PackId>) -> (BTreeSet<PackId>, BTreeSet<PackId>) {
    let needed: BTreeSet<PackId> =
        survey.packs.iter().filter(|pack| survey.is_needed(pack)).map(|pack| pack.id).collect();
    planned.into_iter().partition(|id| needed.contains(id))
}
