use std::collections::BTreeSet;

use super::series::{Contents, Series, Table, Tensors, VERSIONS};
use crate::backend::{Backend, ObjectKey, ObjectKind};
use crate::base::PackId;
use crate::base::parse::Allowance;
use crate::format::pack::Content;
use crate::maintain::check::{CheckOptions, ReadData, check};
use crate::maintain::prune::tests::world::{Dice, options};
use crate::maintain::prune::{PruneOptions, prune};
use crate::maintain::testing::noise;

fn require_clean(series: &Series) {
    let report = check(&series.repository, &CheckOptions { read_data: ReadData::All }).unwrap();
    assert_eq!((report.errors, report.warnings, report.losses.count()), (0, 0, 0), "{:?}", report.findings);
}

fn packs(series: &Series) -> BTreeSet<PackId> {
    series.repository.index().packs().unwrap().into_iter().map(|pack| pack.id).collect()
}

#[test]
fn the_last_version_keeps_its_bases_when_all_others_go() {
    let mut series = Series::whole(3);
    let before = packs(&series);
    series.forget(|number| number + 1 < VERSIONS);
    series.reopen();
    let report = prune(&series.repository, options(0)).unwrap();
    assert!(report.deleted.count > 0, "{report:?}");
    series.require_whole("the last is left");
    assert!(!packs(&series).is_superset(&before), "packs that nobody needs go");
    require_clean(&series);
    let again = prune(&series.repository, options(0)).unwrap();
    assert_eq!((again.deleted.count, again.repacked.count), (0, 0), "{again:?}");
}

#[test]
fn the_others_are_left_whole_when_the_newest_goes() {
    let mut series = Series::whole(4);
    series.forget(|number| number + 1 == VERSIONS);
    series.reopen();
    let report = prune(&series.repository, options(0)).unwrap();
    assert!(report.deleted.count > 0, "{report:?}");
    series.require_whole("the newest is gone");
    require_clean(&series);
}

#[test]
fn plans_wait_for_their_grace_and_take_no_base_that_is_needed() {
    let mut series = Series::whole(5);
    series.forget(|number| number % 3 != 1);
    series.reopen();
    let planned = prune(&series.repository, options(1000)).unwrap();
    assert_eq!(planned.deleted.count, 0);
    assert!(!planned.pending_plans.is_empty());
    series.require_whole("planned");
    series.world.wait(2000);
    let report = prune(&series.repository, options(1000)).unwrap();
    assert!(report.deleted.count > 0, "{report:?}");
    series.require_whole("carried out");
    require_clean(&series);
}

#[test]
fn backups_between_prunes_lean_on_nothing_that_goes() {
    for seed in 0..2 {
        println!("seed {seed}");
        let dice = Dice::new(seed);
        let (mut series, mut table, mut tensors) =
            (Series::new(seed + 20), Table::new(seed), Tensors::new(seed));
        let mut older: Vec<Contents> = Vec::new();
        for round in 0..8 {
            table.change();
            tensors.change();
            let new: Contents = [("table.sql", table.text()), ("w.safetensors", tensors.file())].into();
            older.push(new.clone());
            // Now and then an older state comes back, what was stored of it partly gone.
            let at = usize::try_from(dice.below(u32::try_from(older.len()).unwrap())).unwrap();
            let is_return = dice.below(3) == 0;
            series.backup(if is_return { &older[at] } else { &new });
            let drawn: Vec<bool> = series.versions.iter().map(|_| dice.below(3) == 0).collect();
            series.forget(|number| drawn[number]);
            let allowed = if dice.below(2) == 0 { Allowance::Unlimited } else { Allowance::Bytes(0) };
            prune(&series.repository, PruneOptions { max_unused: allowed, ..options(0) }).unwrap();
            if round % 3 == 2 || dice.below(3) == 0 {
                series.require_whole(&format!("seed {seed}, round {round}"));
            }
        }
        series.require_whole(&format!("seed {seed}, at the end"));
        require_clean(&series);
    }
}

#[test]
fn chunks_whose_bases_went_are_stored_again() {
    let (mut series, mut table) = (Series::new(30), Table::new(30));
    let kept = noise(30, 300_000);
    series.backup(&[("table.sql", table.text())].into());
    table.change();
    let second: Contents = [("table.sql", table.text()), ("kept", kept.clone())].into();
    series.backup(&second);
    series.backup(&[("kept", kept)].into());
    let based = series.based_blocks();
    assert!(!based.is_empty());
    series.forget(|number| number < 2);
    // The packs of the second version stay for what is kept; the bases of its table go with the first.
    let lazy = PruneOptions { max_unused: Allowance::Unlimited, ..options(0) };
    assert!(prune(&series.repository, lazy).unwrap().deleted.count > 0);
    series.reopen();
    let ids: Vec<_> = based.iter().flat_map(|block| block.ids.clone()).collect();
    let index = series.repository.index();
    assert!(index.locate(&ids).unwrap().iter().any(Option::is_some), "some are still found");
    assert_eq!(index.contains(&ids).unwrap(), vec![false; ids.len()], "none can be relied on");
    require_clean(&series);
    series.backup(&second);
    series.require_whole("the table is back");
}

#[test]
fn chains_are_cut_where_that_takes_less_and_only_then() {
    let mut series = Series::whole(6);
    series.forget(|number| number > 0 && number + 1 < VERSIONS);
    let before = series.store().state();
    series.reopen();
    let lazy = PruneOptions { max_unused: Allowance::Unlimited, ..options(0) };
    assert_eq!(prune(&series.repository, lazy).unwrap().let_go.count, 0, "waste is allowed");
    let with_chains = series.world.stored_bytes(ObjectKind::Pack);

    series.world = series.world.at(before, 61);
    series.reopen();
    let dry = PruneOptions { dry_run: true, ..options(0) };
    let foretold = prune(&series.repository, dry).unwrap();
    let report = prune(&series.repository, options(0)).unwrap();
    assert_eq!((foretold.let_go, foretold.sealed_anew), (report.let_go, report.sealed_anew));
    assert!(report.let_go.count > 0 && report.let_go.bytes > report.sealed_anew.bytes, "{report:?}");
    let cut = series.world.stored_bytes(ObjectKind::Pack);
    let saved = report.let_go.bytes - report.sealed_anew.bytes;
    assert!(cut + saved / 2 < with_chains, "{cut} of {with_chains} bytes, {report:?}");
    series.require_whole("cut");
    require_clean(&series);
    assert!(!series.based_blocks().is_empty(), "text still leans on what stays");
    let again = prune(&series.repository, options(0)).unwrap();
    assert_eq!((again.let_go.count, again.repacked.count, again.deleted.count), (0, 0, 0), "{again:?}");
}

#[test]
fn chains_that_lead_to_damaged_blocks_are_left_as_they_are() {
    let mut series = Series::whole(8);
    series.forget(|number| number > 0 && number + 1 < VERSIONS);
    for block in series.based_blocks().iter().filter(|block| block.location.content == Content::Data) {
        let key = ObjectKey::pack(&block.location.pack);
        let mut bytes = series.store().get(&key, u64::MAX).unwrap().to_vec();
        bytes[(block.location.offset + block.location.stored_bytes / 2) as usize] ^= 1;
        series.store().overwrite(&key, bytes.into());
    }
    series.reopen();
    let dry = PruneOptions { dry_run: true, ..options(0) };
    let foretold = prune(&series.repository, dry).unwrap();
    assert_eq!((foretold.let_go.count, foretold.sealed_anew.count), (0, 0));
    // They lie in packs of which all is needed: nothing of them has to be moved.
    let report = prune(&series.repository, options(0)).unwrap();
    assert_eq!((report.let_go.count, report.unused_bytes), (0, 0), "{report:?}");
    assert!(report.deleted.count > 0, "{report:?}");
}

#[test]
fn a_backup_that_leans_on_what_was_let_go_brings_it_back() {
    let mut series = Series::whole(7);
    let older = series.versions[VERSIONS - 2].1.clone();
    series.forget(|number| number > 0 && number + 1 < VERSIONS);
    series.reopen();
    // It looked up what there is before the chains were cut, and ends after.
    let early = series.repository.clone();
    let late = series.world.open();
    let report = prune(&late, options(1000)).unwrap();
    assert!(report.let_go.count > 0 && report.deleted.count == 0, "{report:?}");
    series.repository = early;
    series.backup(&older);
    series.world.wait(2000);
    prune(&series.world.open(), options(1000)).unwrap();
    series.require_whole("its bases came back, or it did without");
    require_clean(&series);
}
