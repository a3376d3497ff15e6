//! Cutting chains: what leans on blocks that nobody needs any more is sealed anew where that takes less.
//!
//! A block that no snapshot needs stays while a needed one leans on it, however far up the chain. Blocks of
//! that kind that hang together are let go together, and every needed block above them is sealed anew: text
//! against those bases further down that stay, numbers mixed with older values that stay, or alone. Only the
//! packs of those needed blocks are rewritten here. What is let go is found to be needed by nobody when the
//! snapshots are marked again, and goes like everything else, after its grace; so nothing is lost if it
//! should be needed after all.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Run;
use super::error::PruneError;
use super::growth::Growth;
use super::repack::{Remake, Ways, live_places};
use super::survey::Survey;
use crate::base::PackId;
use crate::format::pack::Content;
use crate::index::{BlockInfo, PackInfo};

/// Blocks that are kept for others, at most: with more nothing is cut.
const KEPT_COUNT_MAX: usize = 1 << 22;
/// A cut must give back this part of what it lets go …
const GAIN_PART: u64 = 8;
/// … and this part of what is rewritten for it.
const REWRITE_PART: u64 = 16;

/// What is to be cut.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// Packs to rewrite.
    packs: Vec<PackInfo>,
    /// Needed blocks to seal anew, by first ordinal.
    anew: HashSet<u64>,
    /// Blocks to let go: first ordinals and numbers of chunks.
    gone: Vec<(u64, u64)>,
    /// Blocks that nothing new may lean on, by first ordinal: those above and all blocks kept for others.
    unsteady: HashSet<u64>,
}

/// A block that only others need.
#[derive(Debug)]
struct Kept {
    first_ordinal: u64,
    chunk_count: u64,
    stored_bytes: u64,
    /// Another one that belongs together with it, or itself.
    with: usize,
}

/// A needed block that leans on such a one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaning {
    /// Its pack, by place in the survey.
    pub(super) pack: usize,
    pub(super) first_ordinal: u64,
    pub(super) raw_bytes: u32,
    pub(super) stored_bytes: u64,
    /// Plaintext of what of it is needed.
    pub(super) needed_bytes: u64,
    on: usize,
}

/// Blocks that are kept for others, and what leans on them.
#[derive(Debug, Default)]
struct Chains {
    kept: Vec<Kept>,
    /// First ordinals to places in `kept`.
    places: HashMap<u64, usize>,
    leaning: Vec<Leaning>,
    /// Places in `kept` that something leans on which cannot be sealed anew now.
    held: Vec<usize>,
}

/// Blocks that are let go together.
#[derive(Debug, Default)]
struct Group {
    kept: Vec<usize>,
    kept_bytes: u64,
    leaning: Vec<Leaning>,
    is_held: bool,
}

/// A group that takes less when it is cut.
#[derive(Debug)]
struct Gain {
    group: Group,
    grown_bytes: u64,
    gain_bytes: u64,
    /// Packs to rewrite for it, by place.
    packs: BTreeSet<usize>,
}

impl Run {
    /// Cuts chains and returns what is needed afterwards; a dry run only says what would be cut.
    ///
    /// Packs that are rewritten are noted in `moved` before.
    pub(super) fn cut_chains(
        &mut self,
        survey: Survey,
        moved: &mut BTreeSet<PackId>,
    ) -> Result<Survey, PruneError> {
        if survey.live.len() == survey.needed.len() {
            return Ok(survey);
        }
        let planned = self.still_planned(&self.load_plans()?);
        let Some(cuts) = self.find_cuts(&survey, &planned)? else { return Ok(survey) };
        if self.is_dry() {
            return Ok(survey);
        }
        let mut live = survey.live.clone();
        cuts.gone.iter().for_each(|(first, count)| live.remove_range(*first, *count));
        let ways = Ways { live: &live, anew: Some(Remake { blocks: &cuts.anew, unsteady: &cuts.unsteady }) };
        moved.extend(cuts.packs.iter().map(|pack| pack.id));
        self.repack(&cuts.packs, ways)?;
        self.plan_moved(&cuts.packs, &live, Vec::new())?;
        Survey::take(&self.repository, &self.dropped)
    }

    fn find_cuts(&mut self, survey: &Survey, planned: &BTreeSet<PackId>) -> Result<Option<Cuts>, PruneError> {
        let is_open = |pack: &PackInfo| {
            pack.content == Content::Data && !planned.contains(&pack.id) && !self.deleted.contains(&pack.id)
        };
        let Some(mut chains) = self.kept_blocks(survey, &is_open)? else { return Ok(None) };
        let kept_bytes: u64 = chains.kept.iter().map(|block| block.stored_bytes).sum();
        let stored_bytes: u64 = survey.packs.iter().map(|pack| u64::from(pack.size_bytes)).sum();
        if kept_bytes <= self.options.max_unused.of_bytes(stored_bytes.saturating_sub(kept_bytes)) {
            return Ok(None);
        }
        for (at, pack) in survey.packs.iter().enumerate() {
            self.repository.check_stop()?;
            if pack.content == Content::Data && survey.is_needed(pack) {
                self.add_leaning(&mut chains, survey, at, is_open(pack))?;
            }
        }
        let budget = self.options.max_repack.of_bytes(stored_bytes);
        let cuts = self.choose_cuts(chains, survey, budget)?;
        Ok((!cuts.anew.is_empty()).then_some(cuts))
    }

    /// Finds blocks that only others need; `None` when there are none, or too many.
    fn kept_blocks(
        &self,
        survey: &Survey,
        is_open: &dyn Fn(&PackInfo) -> bool,
    ) -> Result<Option<Chains>, PruneError> {
        let mut chains = Chains::default();
        for pack in survey.packs.iter().filter(|pack| is_open(pack)) {
            self.repository.check_stop()?;
            let needed = survey.needed.count_in(pack.first_ordinal, pack.chunk_count);
            if survey.live_count(pack) == needed {
                continue;
            }
            for block in self.repository.index().pack_blocks(&pack.id)? {
                let (first, count) = block.ordinals();
                if survey.live.count_in(first, count) > 0 && survey.needed.count_in(first, count) == 0 {
                    let with = chains.kept.len();
                    chains.places.insert(first, with);
                    let stored_bytes = u64::from(block.location.stored_bytes);
                    chains.kept.push(Kept { first_ordinal: first, chunk_count: count, stored_bytes, with });
                }
            }
            if chains.kept.len() > KEPT_COUNT_MAX {
                return Ok(None);
            }
        }
        Ok((!chains.kept.is_empty()).then_some(chains))
    }

    /// Adds what of a pack leans on blocks that are kept for others.
    fn add_leaning(
        &self,
        chains: &mut Chains,
        survey: &Survey,
        pack: usize,
        is_open: bool,
    ) -> Result<(), PruneError> {
        let index = self.repository.index();
        let blocks = index.pack_blocks(&survey.packs[pack].id)?;
        let is_live = |block: &&BlockInfo| {
            let (first, count) = block.ordinals();
            !block.location.bases.is_empty() && survey.live.count_in(first, count) > 0
        };
        let based: Vec<&BlockInfo> = blocks.iter().filter(is_live).collect();
        let names: Vec<_> = based.iter().flat_map(|block| &*block.location.bases).copied().collect();
        let mut found = index.locate_bases(&names)?.into_iter();
        for block in based {
            let copies = found.by_ref().take(block.location.bases.len()).flatten();
            let on: Vec<usize> =
                copies.filter_map(|(_, at)| chains.places.get(&at.block.first_ordinal).copied()).collect();
            let Some(first) = on.first().copied() else { continue };
            on.iter().for_each(|other| chains.join(first, *other));
            if let Some(own) = chains.places.get(&block.location.first_ordinal).copied() {
                chains.join(own, first);
            } else if is_open {
                chains.leaning.push(leaning(block, survey, pack, first));
            } else {
                chains.held.push(first);
            }
        }
        Ok(())
    }

    /// Chooses the groups that are worth it, those that hold most first.
    fn choose_cuts(&mut self, chains: Chains, survey: &Survey, budget: u64) -> Result<Cuts, PruneError> {
        let mut unsteady: HashSet<u64> = chains.places.keys().copied().collect();
        unsteady.extend(chains.leaning.iter().map(|block| block.first_ordinal));
        let repository = self.repository.clone();
        let mut growth = Growth::new(&repository, survey, &unsteady, &chains.leaning);
        let (groups, kept) = chains.groups();
        let mut gains = Vec::new();
        for group in groups {
            self.renew()?;
            let Some(grown_bytes) = growth.of(&group.leaning)? else { continue };
            let gain_bytes = group.kept_bytes.saturating_sub(grown_bytes);
            if gain_bytes > 0 && gain_bytes.saturating_mul(GAIN_PART) >= group.kept_bytes {
                let packs = group.leaning.iter().map(|block| block.pack).collect();
                gains.push(Gain { group, grown_bytes, gain_bytes, packs });
            }
        }
        let mut cuts = Cuts { unsteady, ..Cuts::default() };
        let mut packs = BTreeSet::new();
        let size = |at: &usize| u64::from(survey.packs[*at].size_bytes);
        let mut left = budget;
        for Gain { group, grown_bytes, packs: more, .. } in worth_rewriting(gains, &size) {
            let more_bytes: u64 = more.iter().filter(|at| !packs.contains(*at)).map(size).sum();
            if more_bytes > left {
                continue;
            }
            left -= more_bytes;
            packs.extend(more);
            cuts.anew.extend(group.leaning.iter().map(|block| block.first_ordinal));
            for block in group.kept.iter().map(|at| &kept[*at]) {
                cuts.gone.push((block.first_ordinal, block.chunk_count));
                self.report.let_go.add(block.stored_bytes);
            }
            self.report.sealed_anew.count += u64::try_from(group.leaning.len()).unwrap_or(u64::MAX);
            self.report.sealed_anew.bytes += grown_bytes;
        }
        cuts.packs = packs.into_iter().map(|at| survey.packs[at].clone()).collect();
        Ok(cuts)
    }
}

/// Leaves out what would rewrite a pack that does not repay it; what a group gains counts for its packs in
/// equal parts.
fn worth_rewriting(mut gains: Vec<Gain>, size: &dyn Fn(&usize) -> u64) -> Vec<Gain> {
    loop {
        let mut of_packs: BTreeMap<usize, u64> = BTreeMap::new();
        for gain in &gains {
            let part = gain.gain_bytes / u64::try_from(gain.packs.len()).unwrap_or(u64::MAX).max(1);
            gain.packs.iter().for_each(|at| *of_packs.entry(*at).or_default() += part);
        }
        let before = gains.len();
        let repays = |at: &usize| of_packs[at].saturating_mul(REWRITE_PART) >= size(at);
        gains.retain(|gain| gain.packs.iter().all(repays));
        if gains.len() == before {
            return gains;
        }
    }
}

impl Chains {
    fn root(&mut self, at: usize) -> usize {
        let mut at = at;
        while self.kept[at].with != at {
            let above = self.kept[self.kept[at].with].with;
            self.kept[at].with = above;
            at = above;
        }
        at
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.kept[other].with = one;
    }

    /// Returns the groups that may be cut, those that hold most first, and the blocks they name.
    fn groups(mut self) -> (Vec<Group>, Vec<Kept>) {
        let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
        for at in 0..self.kept.len() {
            let group = groups.entry(self.root(at)).or_default();
            group.kept.push(at);
            group.kept_bytes += self.kept[at].stored_bytes;
        }
        for block in std::mem::take(&mut self.leaning) {
            groups.entry(self.root(block.on)).or_default().leaning.push(block);
        }
        for at in std::mem::take(&mut self.held) {
            groups.entry(self.root(at)).or_default().is_held = true;
        }
        let mut groups: Vec<Group> =
            groups.into_values().filter(|group| !group.is_held && !group.leaning.is_empty()).collect();
        groups.sort_by_key(|group| (std::cmp::Reverse(group.kept_bytes), group.kept.first().copied()));
        (groups, self.kept)
    }
}

fn leaning(block: &BlockInfo, survey: &Survey, pack: usize, on: usize) -> Leaning {
    let needed = live_places(block, &survey.live).map(|(_, start, end)| end - start);
    Leaning {
        pack,
        first_ordinal: block.location.first_ordinal,
        raw_bytes: block.location.raw_bytes,
        stored_bytes: u64::from(block.location.stored_bytes),
        needed_bytes: u64::try_from(needed.sum::<usize>()).unwrap_or(u64::MAX),
        on,
    }
}
