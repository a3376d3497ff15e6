//! Prune where a store has no space left: what nothing needs goes all the same.
//!
//! Moving what is needed out of wasteful packs takes space before it gives any. Where that is not there, the
//! run goes on without: it keeps what was moved so far, plans what nothing needs any more, and, where there
//! is no grace, deletes it and tries again with the space that this gave.

use std::collections::BTreeSet;

use super::Run;
use super::error::PruneError;
use super::report::PruneReport;
use super::survey::Survey;
use crate::base::PackId;
use crate::base::parse::Allowance;

/// How often rewriting is tried again with what deleting gave.
const ROUNDS_MAX: usize = 4;

impl Run {
    /// Rewrites wasteful packs and plans those that nothing needs, as far as there is space.
    pub(super) fn rewrite_or_mark(&mut self, survey: Survey) -> Result<(), PruneError> {
        let mut survey = survey;
        for _ in 0..ROUNDS_MAX {
            let before = self.report.clone();
            let (stored_bytes, packs) = (self.stored_bytes(&survey), survey.listed.keys().copied().collect());
            let mut moved = BTreeSet::new();
            // New packs must not take the space that marking may need.
            if self.is_dry() || self.repository.keep_reserve() {
                match self.rewrite(survey, &mut moved) {
                    Err(error) if error.is_full() && !self.is_dry() => {}
                    outcome => return outcome,
                }
            }
            survey = self.mark_only(before, &packs, &moved)?;
            if self.stored_bytes(&survey) >= stored_bytes {
                break;
            }
        }
        let allowed = self.options.max_unused.of_bytes(self.report.used_bytes);
        self.report.is_full = self.report.unused_bytes > allowed;
        Ok(())
    }

    /// Plans what nothing needs, where rewriting the packs `moved` ended for want of space; `before` is the
    /// report before it began, `packs` those that were there. Without a grace all that goes at once.
    fn mark_only(
        &mut self,
        before: PruneReport,
        packs: &BTreeSet<PackId>,
        moved: &BTreeSet<PackId>,
    ) -> Result<Survey, PruneError> {
        let deleted = (self.report.deleted, self.report.indexes_deleted, self.report.indexes_written);
        let (rescued, restarts) = (self.report.rescued, self.report.restarts);
        self.report = PruneReport { rescued, restarts, ..before };
        (self.report.deleted, self.report.indexes_deleted, self.report.indexes_written) = deleted;
        // What is in new packs is worth nothing before an index object names these.
        let repository = self.repository.clone();
        repository.with_reserve(|| repository.adopt_intents())?;
        let survey = Survey::take_outside(&self.repository, &self.dropped, moved)?;
        for (_, listed) in survey.listed.iter().filter(|(id, _)| !packs.contains(id)) {
            self.report.written.add(listed.size_bytes);
        }
        let plans = self.load_plans()?;
        let now = self.store_time()?;
        let max_repack = std::mem::replace(&mut self.options.max_repack, Allowance::Bytes(0));
        let decision = self.decide(&survey, &plans, now);
        self.options.max_repack = max_repack;
        let decision = decision?;
        let freed = |id: &&PackId| decision.dead.iter().any(|pack| pack.id == **id);
        for id in moved.iter().filter(freed) {
            self.report.repacked.add(survey.listed.get(id).map_or(0, |listed| listed.size_bytes));
        }
        self.plan_moved(&[], &survey.live, decision.dead)?;
        self.repository.sync_plans()?;
        self.finish_at_once()?;
        Survey::take(&self.repository, &self.dropped)
    }

    /// Returns the bytes of all packs that are left.
    fn stored_bytes(&self, survey: &Survey) -> u64 {
        let left = survey.listed.iter().filter(|(id, _)| !self.deleted.contains(id));
        left.map(|(_, listed)| listed.size_bytes).sum()
    }
}
