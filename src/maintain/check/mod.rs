//! Check: whether every snapshot can be restored.
//!
//! Structure first: every small object opens, every pack that the index names is there in its size. Then, if
//! asked for, every byte of packs. Then one walk through all snapshots, which follows every chunk of every
//! file to a stored copy that is not known to be damaged, and so names the paths that damage costs.

mod data;
mod objects;
mod packs;
mod report;
mod subset;
#[cfg(test)]
mod tests;

pub(in crate::maintain) use data::directory_of;
pub use report::{CheckReport, Finding, Severity};

use crate::backend::ObjectKind;
use crate::base::IndexId;
use crate::base::parse::Subset;
use crate::index::IndexError;
use crate::maintain::mark::{MarkOptions, mark};
use crate::repository::{Error, Repository};

/// How often a check that misses things is begun anew when the index changed under it.
const ATTEMPTS_MAX: usize = 3;

/// Which packs are read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadData {
    /// None: structure only.
    #[default]
    None,
    /// All.
    All,
    /// Some of them.
    Subset(Subset),
}

/// How to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// Which packs are read whole.
    pub read_data: ReadData,
}

/// Checks the repository. Damage is reported, never repaired; a store that does not answer is an error.
///
/// Brings the local index up to date itself, so a repository opened without that can be checked too. What was
/// read whole, and whether it was good, is remembered in the local index: reading all goes on where a run
/// that was interrupted stopped.
pub fn check(repository: &Repository, options: &CheckOptions) -> Result<CheckReport, Error> {
    let mut attempt = 1;
    loop {
        let before = index_ids(repository)?;
        let (report, misses) = check_once(repository, options)?;
        // A maintainer may have replaced index objects and deleted packs meanwhile, or a listing was short.
        if !misses || attempt >= ATTEMPTS_MAX || index_ids(repository)? == before {
            return Ok(report);
        }
        attempt += 1;
    }
}

fn index_ids(repository: &Repository) -> Result<Vec<IndexId>, Error> {
    let infos = repository.backend().list(ObjectKind::Index)?;
    Ok(infos.iter().filter_map(|info| info.key.id_bytes()).map(IndexId).collect())
}

/// Returns the report, and whether anything was missing as against damaged.
fn check_once(repository: &Repository, options: &CheckOptions) -> Result<(CheckReport, bool), Error> {
    let mut report = CheckReport::default();
    // Snapshots before index before packs: what a snapshot needs is there before it is.
    let snapshots = objects::check_objects(repository, &mut report)?;
    sync(repository, &mut report)?;
    let named = packs::read_indexes(repository, &mut report)?;
    let mut known = packs::check_packs(repository, &named, &mut report)?;
    // A run beside this one is none that was interrupted: this one then reads all by itself.
    let reading = match options.read_data {
        ReadData::All => repository.index().begin_reading()?,
        _ => None,
    };
    let chosen = subset::choose(repository, &known, options.read_data, reading.as_ref(), &mut report)?;
    data::read_packs(repository, chosen, &mut known, &mut report)?;
    if reading.is_some() {
        repository.index().set_reading_since(None)?;
    }
    drop(reading);
    let options = MarkOptions { damaged: Some(&known.damaged), refuse_losses: false, check_links: true };
    let marked = mark(repository, &snapshots, &options)?;
    report.walked = marked.stats;
    let misses = marked.losses.missing > 0 || known.misses;
    packs::report_unreferenced(&known, marked.losses.missing > 0, &mut report);
    report.conclude(marked.losses);
    Ok((report, misses))
}

/// Brings the local index up to date. Damage of plans and disagreement of index objects is reported elsewhere
/// or here.
fn sync(repository: &Repository, report: &mut CheckReport) -> Result<(), Error> {
    match repository.sync_index() {
        Ok(()) => Ok(()),
        Err(Error::Index(IndexError::Disagree { pack })) => {
            report.error(crate::backend::ObjectKey::pack(&pack).path(), "index objects disagree about it");
            Ok(())
        }
        // Plans that cannot be read were named already.
        Err(error) if error.is_damage() || matches!(error, Error::Newer { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
