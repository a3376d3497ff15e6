//! What a writer relies on: the packs that were there when it began, none of which may go before its snapshot
//! is there (`format-spec/11-plans.md`).

use std::collections::BTreeSet;

use super::{Error, Repository};
use crate::base::{IndexId, PackId, PlanId};

/// Plans, index objects and packs at the beginning of a run.
#[derive(Debug)]
pub struct Standing {
    plans: BTreeSet<PlanId>,
    indexes: BTreeSet<IndexId>,
    packs: BTreeSet<PackId>,
}

impl Standing {
    /// Looks at what is there before the first chunk is looked up; what plans name counts as absent from here
    /// on.
    pub fn look(repository: &Repository) -> Result<Self, Error> {
        let plans = repository.sync_plans()?;
        Ok(Self { plans, indexes: repository.index().index_ids()?, packs: pack_ids(repository)? })
    }

    /// Fails with [`Error::Overtaken`] when a plan that was made since may act before a snapshot written now
    /// is seen, or has acted: packs that the run may rely on are gone.
    pub fn require(&self, repository: &Repository) -> Result<(), Error> {
        if !self.indexes.is_subset(&repository.list_index_ids()?) {
            repository.sync_index()?;
            if !self.packs.is_subset(&pack_ids(repository)?) {
                return Err(Error::Overtaken);
            }
        }
        for (id, info, plan) in repository.load_plans()? {
            if self.plans.contains(&id) {
                continue;
            }
            let age_seconds = repository.store_time()?.seconds_since(info.modified);
            let half_grace = i64::try_from(plan.grace_seconds / 2).unwrap_or(i64::MAX);
            if age_seconds >= half_grace {
                return Err(Error::Overtaken);
            }
        }
        Ok(())
    }
}

fn pack_ids(repository: &Repository) -> Result<BTreeSet<PackId>, Error> {
    Ok(repository.index().packs()?.into_iter().map(|pack| pack.id).collect())
}
