//! Which packs are read whole.

use std::collections::BTreeMap;

use super::ReadData;
use super::packs::KnownPacks;
use crate::base::parse::Subset;
use crate::base::{PackId, Time};
use crate::index::PackInfo;
use crate::repository::{Error, Repository};

/// Returns the packs to read, in the order to read them.
///
/// A part n/m is told by the pack's id alone, so that the m parts together are everything wherever they are
/// read. A share or a size takes what was never read or not found good first, then what was read longest ago;
/// at least one pack.
pub(super) fn choose(
    repository: &Repository,
    known: &KnownPacks,
    read_data: ReadData,
) -> Result<Vec<PackInfo>, Error> {
    let subset = match read_data {
        ReadData::None => return Ok(Vec::new()),
        ReadData::All => return Ok(known.readable.clone()),
        ReadData::Subset(subset) => subset,
    };
    let total_bytes = known.readable.iter().map(|pack| u64::from(pack.size_bytes)).sum();
    let budget_bytes = match subset {
        Subset::Part { index, of } => {
            let is_in = |pack: &&PackInfo| is_in_part(&pack.id, index, of);
            return Ok(known.readable.iter().filter(is_in).cloned().collect());
        }
        Subset::Percent(percent) => percent.of_bytes(total_bytes),
        Subset::Bytes(bytes) => bytes,
    };
    let verified = repository.index().verified()?;
    let verified: BTreeMap<PackId, Time> =
        verified.into_iter().filter(|(_, _, ok)| *ok).map(|(id, at, _)| (id, at)).collect();
    let mut packs = known.readable.clone();
    packs.sort_by_key(|pack| (verified.get(&pack.id).copied(), pack.id));
    let mut taken_bytes = 0_u64;
    let is_within = |pack: &PackInfo| {
        let goes_on = taken_bytes < budget_bytes.max(1);
        taken_bytes = taken_bytes.saturating_add(u64::from(pack.size_bytes));
        goes_on
    };
    Ok(packs.into_iter().take_while(is_within).collect())
}

/// Tells whether a pack belongs to part `index` of `of`.
fn is_in_part(id: &PackId, index: u32, of: u32) -> bool {
    let mut head = [0; 8];
    head.copy_from_slice(&id.0[..8]);
    u64::from_le_bytes(head) % u64::from(of.max(1)) == u64::from(index.saturating_sub(1))
}
