//! Which packs go, and which are worth to be rewritten.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::Run;
use super::delete::StoredPlan;
use super::error::PruneError;
use super::report::Tally;
use super::survey::{Survey, has_passed};
use crate::base::{PackId, Time};
use crate::format::pack::Content;
use crate::format::plan::PlanPack;
use crate::index::{BlockInfo, PackInfo};
use crate::maintain::mark::LiveSet;

/// Packs below this size (and below a quarter of the target) are small …
const SMALL_PACK_BYTES: u32 = 4 << 20;
/// … and merged when at least so many of one content are there.
const SMALL_PACK_COUNT: usize = 16;
/// Small packs merged in one run, at most.
const MERGE_MAX_BYTES: u64 = 1 << 30;

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// Packs that nothing needs.
    pub(super) dead: Vec<PlanPack>,
    /// Packs whose live blocks move.
    pub(super) repack: Vec<PackInfo>,
}

/// How much of a pack is needed.
#[derive(Debug, Clone)]
struct PackUse {
    pack: PackInfo,
    /// Stored bytes that would move.
    live_bytes: u64,
    /// Stored bytes that would be gone.
    waste_bytes: u64,
}

/// How a block of a pack is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moving {
    /// Not at all: nothing of it is needed.
    Nothing,
    /// As it is.
    Whole,
    /// Its live chunks, sealed anew.
    Chunks,
}

/// Returns how `block` is moved. One that was made with a base moves as it is even when a part of it is dead:
/// sealed anew it would be many times larger.
pub(super) fn moving(block: &BlockInfo, live: &LiveSet) -> Moving {
    let (first, count) = block.ordinals();
    match live.count_in(first, count) {
        0 => Moving::Nothing,
        found if found == count || !block.location.bases.is_empty() => Moving::Whole,
        _ => Moving::Chunks,
    }
}

/// Returns the stored bytes of a block that moving it would write.
fn moved_bytes(block: &BlockInfo, live: &LiveSet) -> u64 {
    let stored = u64::from(block.location.stored_bytes);
    match moving(block, live) {
        Moving::Nothing => 0,
        Moving::Whole => stored,
        Moving::Chunks => {
            let ordinals = block.location.first_ordinal..;
            let is_live = |ordinal: &u64| live.contains(*ordinal);
            let raw: u64 = ordinals
                .zip(&block.lengths)
                .filter(|(ordinal, _)| is_live(ordinal))
                .map(|(_, length)| u64::from(*length))
                .sum();
            stored.saturating_mul(raw) / u64::from(block.location.raw_bytes).max(1)
        }
    }
}

impl Run {
    /// Counts what there is before anything is done.
    pub(super) fn census(&mut self, survey: &Survey, plans: &[StoredPlan]) {
        let planned: BTreeSet<PackId> = packs_of(plans).collect();
        for pack in &survey.packs {
            let bytes = u64::from(pack.size_bytes);
            self.report.packs.add(bytes);
            let tally = match survey.live_count(pack) {
                _ if planned.contains(&pack.id) => &mut self.report.pending,
                0 => &mut self.report.dead,
                live if live == pack.chunk_count => &mut self.report.live,
                _ => &mut self.report.partly,
            };
            tally.add(bytes);
        }
        self.report.remaining = u64::try_from(survey.snapshots.len()).unwrap_or(u64::MAX);
    }

    /// Returns the packs that `plans` name and that are still there.
    pub(super) fn still_planned(&self, plans: &[StoredPlan]) -> BTreeSet<PackId> {
        packs_of(plans).filter(|id| !self.deleted.contains(id)).collect()
    }

    /// Decides about all packs that no plan names.
    pub(super) fn decide(
        &mut self,
        survey: &Survey,
        plans: &[StoredPlan],
        now: Time,
    ) -> Result<Decision, PruneError> {
        let planned = self.still_planned(plans);
        let grace_seconds = self.options.grace.as_secs();
        let mut decision = Decision::default();
        (self.report.used_bytes, self.report.orphans) = (0, Tally::default());
        let mut uses = Vec::new();
        let mut total = Tally::default();
        for pack in survey.packs.iter().filter(|pack| !self.deleted.contains(&pack.id)) {
            self.repository.check_stop()?;
            total.add(u64::from(pack.size_bytes));
            match (survey.live_count(pack), planned.contains(&pack.id)) {
                // Without grace, what an earlier plan still holds back goes now.
                (0, false) => decision.dead.push(plan_pack(pack)),
                (0, true) if grace_seconds == 0 => decision.dead.push(plan_pack(pack)),
                (0, true) => {}
                (live, false) => uses.push(self.measure(pack, live, survey)?),
                // Needed, and held by a plan: it is rescued when the plan is due.
                (live, true) => {
                    self.report.used_bytes += self.measure(pack, live, survey)?.live_bytes;
                }
            }
        }
        self.choose(uses, total.bytes, &mut decision);
        self.add_orphans(survey, &planned, now, &mut decision)?;
        Ok(decision)
    }

    fn measure(&self, pack: &PackInfo, live: u64, survey: &Survey) -> Result<PackUse, PruneError> {
        let size = u64::from(pack.size_bytes);
        if live == pack.chunk_count {
            return Ok(PackUse { pack: pack.clone(), live_bytes: size, waste_bytes: 0 });
        }
        let (mut live_bytes, mut stored_bytes) = (0, 0);
        for block in self.repository.index().pack_blocks(&pack.id)? {
            live_bytes += moved_bytes(&block, &survey.live);
            stored_bytes += u64::from(block.location.stored_bytes);
        }
        let waste_bytes = stored_bytes.saturating_sub(live_bytes);
        Ok(PackUse { pack: pack.clone(), live_bytes: size.saturating_sub(waste_bytes), waste_bytes })
    }

    /// Chooses what to rewrite: the most wasteful packs until little enough is unused, then many small ones.
    fn choose(&mut self, mut uses: Vec<PackUse>, total_bytes: u64, decision: &mut Decision) {
        let used: u64 = self.report.used_bytes + uses.iter().map(|pack| pack.live_bytes).sum::<u64>();
        let mut unused: u64 = uses.iter().map(|pack| pack.waste_bytes).sum();
        let allowed = self.options.max_unused.of_bytes(used);
        let budget = self.options.max_repack.of_bytes(total_bytes);
        // Cutting chains has had its part of it.
        let mut budget = budget.saturating_sub(self.report.repacked.bytes);
        // By the share that is wasted, in millionths; among equals the smallest live part first.
        uses.sort_by_key(|pack| {
            let share = u128::from(pack.waste_bytes) * 1_000_000 / u128::from(pack.pack.size_bytes.max(1));
            (Reverse(share), pack.live_bytes, pack.pack.id)
        });
        let mut rest = Vec::new();
        for pack in uses {
            let is_wanted = pack.waste_bytes > 0 && unused > allowed && pack.live_bytes <= budget;
            if is_wanted {
                budget -= pack.live_bytes;
                unused -= pack.waste_bytes;
                decision.repack.push(pack.pack);
            } else {
                rest.push(pack);
            }
        }
        for content in [Content::Data, Content::Tree] {
            self.choose_small(&rest, content, &mut budget, &mut unused, decision);
        }
        decision.repack.sort_by_key(|pack| pack.first_ordinal);
        self.report.used_bytes = used;
        self.report.unused_bytes = unused;
    }

    fn choose_small(
        &self,
        rest: &[PackUse],
        content: Content,
        budget: &mut u64,
        unused: &mut u64,
        decision: &mut Decision,
    ) {
        let limit = SMALL_PACK_BYTES.min(self.repository.config().pack_target_bytes / 4);
        let is_small = |pack: &&PackUse| pack.pack.content == content && pack.pack.size_bytes < limit;
        let mut left = (*budget).min(MERGE_MAX_BYTES);
        let mut small: Vec<&PackUse> = rest.iter().filter(is_small).collect();
        small.sort_by_key(|pack| (pack.pack.size_bytes, pack.pack.id));
        let fits = |pack: &&PackUse| {
            let fits = pack.live_bytes <= left;
            left = left.saturating_sub(pack.live_bytes);
            fits
        };
        let merged: Vec<&PackUse> = small.into_iter().take_while(fits).collect();
        if merged.len() < SMALL_PACK_COUNT {
            return;
        }
        for pack in merged {
            *budget = budget.saturating_sub(pack.live_bytes);
            *unused = unused.saturating_sub(pack.waste_bytes);
            decision.repack.push(pack.pack.clone());
        }
    }

    /// Adds packs that nobody has indexed although they are older than the grace.
    fn add_orphans(
        &mut self,
        survey: &Survey,
        planned: &BTreeSet<PackId>,
        now: Time,
        decision: &mut Decision,
    ) -> Result<(), PruneError> {
        let mut known: BTreeSet<PackId> = survey.packs.iter().map(|pack| pack.id).collect();
        // A run of this host may be about to index these.
        known.extend(self.repository.index().intent_ids()?);
        for (id, listed) in &survey.listed {
            if known.contains(id) || self.deleted.contains(id) {
                continue;
            }
            self.report.orphans.add(listed.size_bytes);
            let is_old = has_passed(now, listed.modified, self.options.grace.as_secs());
            let is_free = !planned.contains(id) || self.options.grace.is_zero();
            // What is larger than any pack may be is none of ours.
            if let Some(size_bytes) = u32::try_from(listed.size_bytes).ok().filter(|_| is_old && is_free) {
                decision.dead.push(PlanPack { id: *id, size_bytes });
            }
        }
        Ok(())
    }
}

/// Returns the packs that `plans` name.
fn packs_of(plans: &[StoredPlan]) -> impl Iterator<Item = PackId> {
    plans.iter().flat_map(|plan| &plan.plan.packs).map(|pack| pack.id)
}

/// Returns the entry of `pack` in a plan.
pub(super) fn plan_pack(pack: &PackInfo) -> PlanPack {
    PlanPack { id: pack.id, size_bytes: pack.size_bytes }
}
