//! The commands that are broken off here, each from a state in which it has much to do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use snap::backend::faulty::{FaultEffect, FaultPlan};
use snap::backend::record::Verb;
use snap::base::SnapshotId;
use snap::maintain::copy::{CopySelection, copy};
use snap::maintain::forget::forget;
use snap::maintain::prune::prune;
use snap::maintain::repair::{RepairIndexOptions, repair_index};
use snap::repository::{Error, Repository};

use super::world::{Dice, Files, Outcome, World, prune_options, secret, told};

/// What can change objects.
pub(super) const MUTATIONS: [Verb; 3] = [Verb::PutNew, Verb::Delete, Verb::Replace];

type Run = Box<dyn Fn(&World, &Arc<Repository>) -> Outcome>;

/// A command, and the world that it begins in.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) world: World,
    /// What a snapshot restores to that the model does not know.
    pub(super) pending: Option<Files>,
    /// Snapshots that the command drops.
    pub(super) gone: BTreeSet<SnapshotId>,
    pub(super) run: Run,
    /// What is so once the command has succeeded.
    pub(super) holds: fn(&Repository) -> bool,
    /// What is so before, after and wherever the command is broken off.
    pub(super) always: fn(&Repository) -> bool,
}

impl Case {
    fn new(name: &'static str, world: World, run: Run) -> Self {
        Self { name, world, pending: None, gone: BTreeSet::new(), run, holds: |_| true, always: |_| true }
    }

    /// Fails unless everything that was committed is whole, with `repository` and its index.
    pub(super) fn require_whole(&self, world: &World, repository: &Arc<Repository>, context: &str) {
        world.require_whole(repository, self.pending.as_ref(), &self.gone, context);
        world.require_sound(repository, context);
        assert!((self.always)(repository), "{context}: what must always be so is not");
    }
}

/// A repository of three versions, two more that were dropped, a prune between them, and much waste.
pub(super) fn busy(seed: u64) -> (World, Files, Dice) {
    let (mut world, dice) = (World::new(seed), Dice::new(seed));
    let mut files = dice.files();
    let first = world.backup(&files);
    dice.change(&mut files);
    world.backup(&files);
    let other = world.backup(&dice.files());
    world.forget(&[first]);
    prune(&world.open(None), prune_options(100)).unwrap();
    dice.change(&mut files);
    world.backup(&files);
    world.forget(&[other]);
    world.backup(&dice.files());
    world.wait(200);
    assert!(has_bases(&world.open(None)), "nothing leans on anything");
    (world, files, dice)
}

fn has_bases(repository: &Repository) -> bool {
    let index = repository.index();
    let packs = index.packs().unwrap();
    let mut blocks = packs.iter().flat_map(|pack| index.pack_blocks(&pack.id).unwrap());
    blocks.any(|block| !block.location.bases.is_empty())
}

pub(super) fn backup_case(seed: u64) -> Case {
    let (world, mut files, dice) = busy(seed);
    dice.change(&mut files);
    let mut case = Case::new(
        "backup",
        world,
        Box::new(|world, repository| world.backup_in(repository, "host").map(drop)),
    );
    case.world.write_source(&files);
    case.pending = Some(files);
    case
}

pub(super) fn forget_case(seed: u64) -> Case {
    let (world, ..) = busy(seed);
    let ids: Vec<SnapshotId> = world.model.keys().take(2).copied().collect();
    let gone = ids.iter().copied().collect();
    let run: Run = Box::new(move |_, repository| {
        // A second run is asked for those that are left.
        let there: BTreeSet<SnapshotId> = told(repository.snapshot_ids())?.into_iter().collect();
        let left: Vec<SnapshotId> = ids.iter().filter(|id| there.contains(id)).copied().collect();
        told(forget(repository, &left, false)).map(drop)
    });
    Case { gone, ..Case::new("forget", world, run) }
}

pub(super) fn prune_case(seed: u64, grace_seconds: u64) -> Case {
    let (world, ..) = busy(seed);
    let run: Run =
        Box::new(move |_, repository| told(prune(repository, prune_options(grace_seconds))).map(drop));
    Case::new("prune", world, run)
}

/// A prune died after some changes, and holds the lease; its time has run out.
pub(super) fn takeover_case(seed: u64) -> Case {
    let case = prune_case(seed, 0);
    let plan = FaultPlan::one(seed, 8, &MUTATIONS, FaultEffect::Stop);
    let faulty = case.world.faulty(plan);
    let repository = case.world.open_through(faulty.clone(), None).unwrap();
    prune(&repository, prune_options(0)).unwrap_err();
    assert!(faulty.stopped());
    let young = prune(&case.world.open(None), prune_options(0)).unwrap_err();
    assert!(young.to_string().contains("locked"), "{young}");
    case.world.wait(1_000);
    Case { name: "takeover", ..case }
}

pub(super) fn copy_case(seed: u64) -> Case {
    let (source, files, _) = busy(seed);
    let mut target = source.beside(seed + 1_000);
    target.backup(&Dice::new(seed + 2_000).files());
    let id = source.model.iter().find(|(_, there)| **there == files).map(|(id, _)| *id).unwrap();
    let run: Run = Box::new(move |_, repository| {
        let selection = CopySelection { ids: vec![id], ..CopySelection::default() };
        told(copy(&source.open(None), repository, &selection, false)).map(drop)
    });
    Case { pending: Some(files), ..Case::new("copy", target, run) }
}

pub(super) fn add_key_case(seed: u64) -> Case {
    let (world, ..) = busy(seed);
    let run: Run = Box::new(|world, repository| {
        told(repository.add_key(&world.key().1, &secret(3), "second"))?;
        told(repository.key_of(&secret(3))).map(drop)
    });
    Case { holds: |repository| repository.key_of(&secret(3)).is_ok(), ..Case::new("add key", world, run) }
}

pub(super) fn remove_key_case(seed: u64) -> Case {
    let (world, ..) = busy(seed);
    let id = world.open(None).add_key(&world.key().1, &secret(3), "second").unwrap();
    let run: Run = Box::new(move |_, repository| {
        let there = told(repository.list_keys(None))?;
        match there.iter().any(|key| key.id == id) {
            true => told(repository.remove_key(&id, Duration::ZERO)),
            false => Ok(()),
        }
    });
    Case { holds: |repository| repository.key_of(&secret(3)).is_err(), ..Case::new("remove key", world, run) }
}

/// One key is made and the old one removed; whoever runs it again opens with the old one, if that still can.
pub(super) fn change_key_case(seed: u64) -> Case {
    let (world, ..) = busy(seed);
    world.open(None).add_key(&world.key().1, &secret(3), "old").unwrap();
    let opens = |repository: &Repository, number| repository.key_of(&secret(number)).is_ok();
    let run: Run = Box::new(move |world, repository| {
        let old = match repository.key_of(&secret(3)) {
            Err(Error::WrongKey { .. }) if opens(repository, 4) => return Ok(()),
            found => told(found)?,
        };
        told(repository.add_key(&world.key().1, &secret(4), "new"))?;
        told(repository.remove_key(&old, Duration::ZERO))
    });
    Case {
        holds: |repository| repository.key_of(&secret(4)).is_ok() && repository.key_of(&secret(3)).is_err(),
        always: |repository| repository.key_of(&secret(4)).is_ok() || repository.key_of(&secret(3)).is_ok(),
        ..Case::new("change key", world, run)
    }
}

pub(super) fn repair_index_case(seed: u64) -> Case {
    let (world, ..) = busy(seed);
    let run: Run = Box::new(|_, repository| {
        let options = RepairIndexOptions { dry_run: false, lock_wait: Duration::ZERO };
        told(repair_index(repository, &options)).map(drop)
    });
    Case::new("repair index", world, run)
}
