//! Which packs are read whole.

use std::collections::{BTreeMap, BTreeSet};

use super::ReadData;
use super::packs::KnownPacks;
use super::report::CheckReport;
use crate::base::parse::Subset;
use crate::base::{PackId, Time};
use crate::index::{PackInfo, ReadingGuard};
use crate::repository::{Error, Repository};

/// For how long a run that was interrupted is gone on with: what was read longer ago is read again.
const GO_ON_MAX_SECONDS: i64 = 7 * 24 * 60 * 60;

/// Returns the packs to read.
///
/// All of them are those that an interrupted run that was to read all has not read and found good since it
/// began, or simply all while another run is at it, which has no `reading`.
/// A part n/m is told by the pack's id alone, so that the m parts together are everything wherever they are
/// read. A share or a size takes what was never read or not found good first, then what was read longest ago;
/// at least one pack.
pub(super) fn choose(
    repository: &Repository,
    known: &KnownPacks,
    read_data: ReadData,
    reading: Option<&ReadingGuard>,
    report: &mut CheckReport,
) -> Result<Vec<PackInfo>, Error> {
    let subset = match read_data {
        ReadData::None => return Ok(Vec::new()),
        ReadData::All if reading.is_none() => return Ok(known.readable.clone()),
        ReadData::All => return go_on(repository, known, report),
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

fn go_on(
    repository: &Repository,
    known: &KnownPacks,
    report: &mut CheckReport,
) -> Result<Vec<PackInfo>, Error> {
    let (index, now) = (repository.index(), repository.clock().now().seconds);
    let is_recent = |since: &i64| (0..=GO_ON_MAX_SECONDS).contains(&now.saturating_sub(*since));
    let Some(since) = index.reading_since()?.filter(is_recent) else {
        index.set_reading_since(Some(now))?;
        return Ok(known.readable.clone());
    };
    let is_read = |(_, at, ok): &(PackId, Time, bool)| *ok && (since..=now).contains(&at.seconds);
    let read: BTreeSet<PackId> = index.verified()?.into_iter().filter(is_read).map(|(id, _, _)| id).collect();
    let (before, rest): (Vec<PackInfo>, Vec<PackInfo>) =
        known.readable.iter().cloned().partition(|pack| read.contains(&pack.id));
    report.packs_read_before += u64::try_from(before.len()).unwrap_or(u64::MAX);
    report.read_before_bytes += before.iter().map(|pack| u64::from(pack.size_bytes)).sum::<u64>();
    Ok(rest)
}

/// Tells whether a pack belongs to part `index` of `of`.
fn is_in_part(id: &PackId, index: u32, of: u32) -> bool {
    let mut head = [0; 8];
    head.copy_from_slice(&id.0[..8]);
    u64::from_le_bytes(head) % u64::from(of.max(1)) == u64::from(index.saturating_sub(1))
}
