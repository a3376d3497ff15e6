//! What blocks take when they are sealed anew: a few of each pack are, to see.

use std::collections::{BTreeMap, HashSet};

use super::cut::Leaning;
use super::error::PruneError;
use super::repack::{Remake, Ways, trial_bytes};
use super::survey::Survey;
use crate::repository::{BASED_BLOCK_BYTES, ChunkReader, Error, Repository};

/// Blocks of one kind in one pack that are tried.
const SAMPLE_COUNT: usize = 4;
/// Kinds of blocks in packs that are tried in one run; what is beyond stays as it is for now.
const KIND_COUNT_MAX: usize = 512;

/// What is alike: blocks of one pack, all large or all small.
type Kind = (usize, bool);

/// Plaintext tried, and what it takes when it is sealed anew.
#[derive(Debug, Clone, Copy)]
struct Tried {
    raw_bytes: u128,
    sealed_bytes: u128,
}

/// Tries blocks, and says what others like them will take.
#[derive(Debug)]
pub(super) struct Growth<'a> {
    reader: ChunkReader<'a>,
    survey: &'a Survey,
    unsteady: &'a HashSet<u64>,
    blocks: BTreeMap<Kind, Vec<Leaning>>,
    /// `None` where one of the samples is damaged.
    tried: BTreeMap<Kind, Option<Tried>>,
}

/// Text that leans on something is in small blocks, so large ones are of numbers.
fn kind(block: &Leaning) -> Kind {
    (block.pack, usize::try_from(block.raw_bytes).unwrap_or(usize::MAX) > BASED_BLOCK_BYTES)
}

impl<'a> Growth<'a> {
    /// `unsteady`: blocks that nothing may lean on, by first ordinal. `blocks`: all that will be asked about.
    pub(super) fn new(
        repository: &'a Repository,
        survey: &'a Survey,
        unsteady: &'a HashSet<u64>,
        blocks: &[Leaning],
    ) -> Self {
        let mut kinds: BTreeMap<Kind, Vec<Leaning>> = BTreeMap::new();
        for block in blocks {
            kinds.entry(kind(block)).or_default().push(*block);
        }
        let reader = ChunkReader::new(repository);
        Self { reader, survey, unsteady, blocks: kinds, tried: BTreeMap::new() }
    }

    /// Returns about how much more blocks take when they are sealed anew; `None` where that cannot be told.
    pub(super) fn of(&mut self, blocks: &[Leaning]) -> Result<Option<u64>, PruneError> {
        let (mut before, mut after) = (0_u64, 0_u128);
        for block in blocks {
            let Some(tried) = self.tried(kind(block))? else { return Ok(None) };
            before = before.saturating_add(block.stored_bytes);
            after += u128::from(block.needed_bytes) * tried.sealed_bytes / tried.raw_bytes.max(1);
        }
        Ok(Some(u64::try_from(after).unwrap_or(u64::MAX).saturating_sub(before)))
    }

    fn tried(&mut self, kind: Kind) -> Result<Option<Tried>, PruneError> {
        if let Some(tried) = self.tried.get(&kind) {
            return Ok(*tried);
        }
        if self.tried.len() >= KIND_COUNT_MAX {
            return Ok(None);
        }
        let tried = match self.try_some(kind) {
            Ok(tried) => tried,
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error.into()),
        };
        self.tried.insert(kind, tried);
        Ok(tried)
    }

    fn try_some(&self, kind: Kind) -> Result<Option<Tried>, Error> {
        let repository = self.reader.repository();
        repository.check_stop()?;
        let Some(alike) = self.blocks.get(&kind) else { return Ok(None) };
        let step = alike.len().div_ceil(SAMPLE_COUNT).max(1);
        let samples: Vec<&Leaning> = alike.iter().skip(step / 2).step_by(step).collect();
        let numbers = samples.iter().map(|block| block.first_ordinal).collect();
        let remake = Remake { blocks: &numbers, unsteady: self.unsteady };
        let ways = Ways { live: &self.survey.live, anew: Some(remake) };
        let mut tried = Tried { raw_bytes: 0, sealed_bytes: 0 };
        let infos = repository.index().pack_blocks(&self.survey.packs[kind.0].id)?;
        for block in samples {
            let info = infos.iter().find(|info| info.location.first_ordinal == block.first_ordinal);
            let Some(info) = info else { return Ok(None) };
            tried.sealed_bytes += u128::from(trial_bytes(&self.reader, info, ways)?);
            tried.raw_bytes += u128::from(block.needed_bytes);
        }
        Ok(Some(tried))
    }
}
