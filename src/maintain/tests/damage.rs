use std::collections::BTreeSet;

use bytes::Bytes;

use super::series::{Series, VERSIONS};
use crate::backend::{Backend, ObjectKey};
use crate::base::SnapshotId;
use crate::format::pack::{BaseName, Content};
use crate::index::BlockInfo;
use crate::maintain::check::{CheckOptions, CheckReport, Finding, ReadData, Severity, check};
use crate::maintain::repair::{RepairIndexOptions, repair_index};

const ALL: CheckOptions = CheckOptions { read_data: ReadData::All };

/// Returns the block without bases on which most blocks lean.
fn most_needed(series: &Series) -> BlockInfo {
    let index = series.repository.index();
    let based = series.based_blocks();
    let names: Vec<_> = based.iter().filter(|block| block.location.content == Content::Data).collect();
    let names: Vec<_> = names.iter().flat_map(|block| block.location.bases.iter().copied()).collect();
    let leans = |block: &BlockInfo| {
        let is_of = |name: &&BaseName| block.ids.iter().any(|id| BaseName::of(id) == **name);
        names.iter().filter(is_of).count()
    };
    let packs = index.packs().unwrap();
    let blocks = packs.iter().flat_map(|pack| index.pack_blocks(&pack.id).unwrap());
    blocks.filter(|block| block.location.bases.is_empty()).max_by_key(leans).unwrap()
}

/// Files that cannot be read, by their snapshot, as reading tells; what can be read is right.
fn unreadable(series: &Series) -> BTreeSet<(SnapshotId, String)> {
    let mut lost = BTreeSet::new();
    for (id, contents) in &series.versions {
        let (stats, found) = series.restore(id);
        let failed: BTreeSet<&[u8]> = stats.failed.iter().map(|item| item.path.as_slice()).collect();
        for (name, content) in contents {
            let dumped = series.dump(id, name);
            let is_failed = failed.contains(name.as_bytes());
            assert_eq!(dumped.is_none(), is_failed, "restore and dump agree on {name}");
            match dumped {
                Some(dumped) => {
                    assert!(dumped == *content && found.get(*name) == Some(content), "{name} is right");
                }
                None => drop(lost.insert((*id, (*name).to_owned()))),
            }
        }
    }
    lost
}

fn named(series: &Series, report: &CheckReport) -> BTreeSet<(SnapshotId, String)> {
    let prefix = series.path("");
    let name =
        |path: &[u8]| String::from_utf8(path.strip_prefix(prefix.as_slice()).unwrap().to_vec()).unwrap();
    report.losses.named.iter().map(|loss| (loss.snapshot, name(&loss.path))).collect()
}

#[test]
fn an_undamaged_series_checks_clean() {
    let series = Series::whole(40);
    let report = check(&series.repository, &ALL).unwrap();
    assert_eq!((report.errors, report.warnings), (0, 0), "{:?}", report.findings);
    assert_eq!(report.walked.snapshots, VERSIONS as u64);
}

#[test]
fn damage_of_a_base_costs_the_files_that_lean_on_it_and_check_names_each() {
    let mut series = Series::whole(41);
    let block = most_needed(&series);
    let key = ObjectKey::pack(&block.location.pack);
    let mut bytes = series.store().get(&key, u64::MAX).unwrap().to_vec();
    bytes[block.location.offset as usize + 60] ^= 8;
    series.store().overwrite(&key, Bytes::from(bytes));
    series.reopen();
    let report = check(&series.repository, &ALL).unwrap();
    let is_named =
        |finding: &&Finding| finding.severity == Severity::Error && finding.object == key.to_string();
    assert!(report.findings.iter().any(|finding| is_named(&finding)), "{:?}", report.findings);
    let lost = unreadable(&series);
    assert!(lost.len() > 4, "several versions lean on it: {lost:?}");
    assert!(lost.len() < VERSIONS * 2, "and not everything does");
    assert_eq!(named(&series, &report), lost);
}

#[test]
fn what_leaned_on_a_pack_that_is_gone_is_stored_anew_from_the_source() {
    let mut series = Series::whole(42);
    let pack = most_needed(&series).location.pack;
    series.store().delete(&ObjectKey::pack(&pack)).unwrap();
    series.reopen();
    let lost = unreadable(&series);
    assert!(!lost.is_empty());
    let report = repair_index(&series.repository, &RepairIndexOptions::default()).unwrap();
    assert_eq!(report.missing, [pack]);
    assert_eq!(unreadable(&series), lost, "repair makes nothing worse");
    let last = series.versions.last().unwrap().1.clone();
    let id = series.backup(&last);
    series.reopen();
    let after = unreadable(&series);
    assert!(after.iter().all(|(snapshot, _)| *snapshot != id), "the new snapshot is whole");
    assert!(after.is_subset(&lost), "and nothing else was lost");
    let report = check(&series.repository, &ALL).unwrap();
    assert_eq!(named(&series, &report), after);
}

#[test]
fn a_pack_of_bases_that_is_cut_costs_what_stood_behind_the_cut() {
    let series = Series::whole(43);
    let pack = most_needed(&series).location.pack;
    let key = ObjectKey::pack(&pack);
    let bytes = series.store().get(&key, u64::MAX).unwrap();
    let blocks = series.repository.index().pack_blocks(&pack).unwrap();
    let last = &blocks.last().unwrap().location;
    assert!(blocks.len() > 1);
    // The directory is gone too, so only the index that knows it finds what is left.
    series.store().overwrite(&key, bytes.slice(..last.offset as usize + 5));
    let lost = unreadable(&series);
    assert!(!lost.is_empty() && lost.len() < VERSIONS * 2, "{lost:?}");
}
