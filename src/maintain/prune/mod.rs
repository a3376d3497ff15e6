//! Prune: retention decides what goes, then the space comes back (`format-spec/11-plans.md`).
//!
//! A run drops snapshots, marks what the others need, acts on plans of earlier runs whose grace has passed,
//! moves what is needed out of wasteful packs, and makes a plan of all packs that are not needed.
//! Backups may run meanwhile. A run that ends at any point leaves every snapshot whole; the next one goes on.

mod cut;
mod decide;
mod delete;
mod error;
mod full;
mod growth;
mod reindex;
mod repack;
mod report;
mod retain;
mod survey;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

pub use error::PruneError;
pub use report::{GroupDecision, PendingPlan, PruneReport, SnapshotDecision, Tally};

use crate::base::parse::Allowance;
use crate::base::{PackId, SnapshotId, Time};
use crate::format::plan::{Plan, PlanPack};
use crate::index::PackInfo;
use crate::maintain::mark::LiveSet;
use crate::maintain::retention::{GroupBy, RetentionPolicy};
use crate::query::select::SnapshotFilter;
use crate::repository::{self, ChunkWriter, LeaseGuard, Repository};
use decide::plan_pack;
use repack::Ways;
use survey::Survey;

/// Packs named by one plan at most: far below the limit of the format.
const PLAN_PACK_COUNT: usize = 1 << 20;

/// Temporary files of the local store from this age on belong to nobody.
const TEMPORARY_AGE_SECONDS: u64 = 86_400;

/// What a prune is to do.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// Which snapshots stay; an empty policy drops none.
    pub policy: RetentionPolicy,
    /// What the snapshots have in common that the policy is applied to together.
    pub group_by: GroupBy,
    /// The policy looks only at snapshots that pass; all others stay.
    pub filter: SnapshotFilter,
    /// The policy may drop every snapshot of a group.
    pub allow_empty: bool,
    /// How long packs stay that are not needed any more. Zero deletes at once, and is safe only when nobody
    /// else writes.
    pub grace: Duration,
    /// How much of what stays may be waste, as a part of what is used.
    pub max_unused: Allowance,
    /// How much may be rewritten, as a part of what is stored.
    pub max_repack: Allowance,
    /// Change nothing and take no lease.
    pub dry_run: bool,
    /// How long to wait for another maintainer.
    pub lease_wait: Duration,
    /// Whose calendar the policy counts by.
    pub time_zone: TimeZone,
}

/// One prune under way.
#[derive(Debug)]
struct Run {
    repository: Arc<Repository>,
    options: PruneOptions,
    /// `None` in a dry run.
    guard: Option<LeaseGuard>,
    /// Snapshots that retention dropped (in a dry run: would drop).
    dropped: BTreeSet<SnapshotId>,
    /// Packs deleted (in a dry run: that would be).
    deleted: BTreeSet<PackId>,
    report: PruneReport,
}

/// Applies retention and reclaims space.
///
/// # Errors
/// Refuses, with nothing changed: a lease that somebody else holds, a damaged index, a snapshot that cannot
/// be read, a policy that would drop all snapshots of a group. Refuses, with snapshots dropped but no pack
/// deleted: needed chunks or packs that are missing, snapshots that keep changing.
pub fn prune(repository: &Arc<Repository>, options: PruneOptions) -> Result<PruneReport, PruneError> {
    let guard = match options.dry_run {
        true => None,
        false => {
            repository.require_writable()?;
            Some(LeaseGuard::acquire(repository, "prune", options.lease_wait)?)
        }
    };
    let mut run = Run {
        repository: repository.clone(),
        report: PruneReport { dry_run: options.dry_run, ..PruneReport::default() },
        options,
        guard,
        dropped: BTreeSet::new(),
        deleted: BTreeSet::new(),
    };
    survey::require_index(repository)?;
    if run.guard.is_some() {
        // What killed writers left behind; a living one is never a day behind.
        repository.backend().clean_temporaries(TEMPORARY_AGE_SECONDS).map_err(repository::Error::from)?;
    }
    let outcome = run.apply_retention().and_then(|()| run.reclaim());
    if let Some(guard) = run.guard.take() {
        // Its release may need the reserve too.
        drop(guard);
        repository.keep_reserve();
    }
    outcome.map(|()| run.report)
}

impl Run {
    fn is_dry(&self) -> bool {
        self.guard.is_none()
    }

    /// Renews the lease when it is due. Before each step that deletes, and in long loops.
    fn renew(&mut self) -> Result<(), PruneError> {
        match &mut self.guard {
            Some(guard) => Ok(guard.renew()?),
            None => Ok(()),
        }
    }

    /// Renews the lease and returns the store's time; in a dry run the time of this host.
    fn store_time(&mut self) -> Result<Time, PruneError> {
        match &mut self.guard {
            Some(guard) => {
                guard.renew_now()?;
                Ok(guard.store_time())
            }
            None => Ok(self.repository.clock().now()),
        }
    }

    fn reclaim(&mut self) -> Result<(), PruneError> {
        if !self.is_dry() {
            self.adopt()?;
        }
        let survey = Survey::take(&self.repository, &self.dropped)?;
        let plans = self.load_plans()?;
        self.census(&survey, &plans);
        let survey = self.finish_plans(survey)?;
        self.rewrite_or_mark(survey)?;
        self.note_pending()
    }

    /// Names what an earlier run of this host put and did not get to index, so that it can be judged.
    fn adopt(&self) -> Result<(), PruneError> {
        let repository = &self.repository;
        let adopt = || ChunkWriter::new(repository.clone(), false)?.finish();
        match repository.with_reserve(adopt) {
            // Then it is not judged yet.
            Err(error) if error.is_full() => Ok(()),
            outcome => Ok(outcome.map(drop)?),
        }
    }

    /// Moves what is needed out of wasteful packs, and plans all packs that are not needed.
    fn rewrite(&mut self, survey: Survey, moved: &mut BTreeSet<PackId>) -> Result<(), PruneError> {
        let survey = self.cut_chains(survey, moved)?;
        let plans = self.load_plans()?;
        let now = self.store_time()?;
        let decision = self.decide(&survey, &plans, now)?;
        if self.is_dry() {
            decision.repack.iter().for_each(|pack| self.report.repacked.add(u64::from(pack.size_bytes)));
            return Ok(());
        }
        moved.extend(decision.repack.iter().map(|pack| pack.id));
        self.repack(&decision.repack, Ways { live: &survey.live, anew: None })?;
        self.plan_moved(&decision.repack, &survey.live, decision.dead)?;
        self.finish_at_once()?;
        self.tidy_index()
    }

    /// Deletes what was just planned, where there is no grace.
    fn finish_at_once(&mut self) -> Result<(), PruneError> {
        if self.options.grace.is_zero() && !self.load_plans()?.is_empty() {
            let survey = Survey::take(&self.repository, &self.dropped)?;
            self.finish_plans(survey)?;
        }
        Ok(())
    }

    /// Plans packs whose live chunks were moved, and `dead` ones.
    fn plan_moved(
        &mut self,
        moved: &[PackInfo],
        live: &LiveSet,
        dead: Vec<PlanPack>,
    ) -> Result<(), PruneError> {
        let mut planned = dead;
        planned.extend(moved.iter().map(plan_pack));
        planned.sort_unstable_by_key(|pack| pack.id);
        if planned.is_empty() {
            return Ok(());
        }
        let doomed = planned.iter().map(|pack| pack.id).collect();
        self.require_moved(moved, live, &doomed)?;
        self.store_plans(&planned)
    }

    fn store_plans(&mut self, packs: &[PlanPack]) -> Result<(), PruneError> {
        for packs in packs.chunks(PLAN_PACK_COUNT) {
            self.renew()?;
            let plan = Plan {
                created: self.repository.clock().now(),
                grace_seconds: self.options.grace.as_secs(),
                host: self.repository.host().to_owned(),
                packs: packs.to_vec(),
            };
            self.repository.with_reserve(|| self.repository.store_plan(&plan))?;
        }
        self.repository.sync_plans()?;
        Ok(())
    }

    /// Merges small index objects when there are many.
    fn tidy_index(&mut self) -> Result<(), PruneError> {
        self.repository.sync_index()?;
        self.store_time()?;
        match self.rewrite_index(&BTreeSet::new()) {
            Ok(Some(replaced)) => {
                self.store_time()?;
                self.delete_replaced(&replaced)
            }
            // The index changed meanwhile: the next run does it.
            Ok(None) => Ok(()),
            Err(error) if error.is_full() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
