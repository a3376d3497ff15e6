//! What cost users of other engines their data, and no other test here would notice.

use std::collections::BTreeSet;

use snap::backend::faulty::{FaultEffect, FaultPlan};
use snap::backend::{Backend, ObjectKind};
use snap::base::{ChunkId, PackId};
use snap::maintain::prune::{PruneOptions, prune};
use snap::repository::Repository;

use super::commands::MUTATIONS;
use super::damage::versions;
use super::world::{Dice, World, prune_options};

/// Bound: changes that a prune of these makes at most.
const CHANGES_MAX: u64 = 100;
/// Backups whose index objects a prune makes fewer.
const SMALL_BACKUPS: u64 = 36;
/// Length of a nonce, which everything sealed begins with, and of the head of a sealed object before it.
const NONCE_BYTES: usize = 24;
const HEAD_BYTES: usize = 12;

/// A local index that was behind a broken prune made later backups skip what was gone (borg #9748, #9904).
#[test]
fn hosts_that_know_what_a_broken_prune_deleted_store_it_again() {
    let (mut world, dice) = (World::new(71), Dice::new(71));
    let files = dice.files();
    let dropped = world.backup(&files);
    world.backup(&dice.files());
    let (start, mut points) = (world.store.state(), 0);
    for change in 0..CHANGES_MAX {
        let context = format!("seed 71: prune stopped at change {change}");
        let mut world = world.at(start.clone());
        let hosts = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        hosts.iter().for_each(|index| world.open(Some(index.path())).sync_index().unwrap());
        world.forget(&[dropped]);
        let plan = FaultPlan::one(71, change, &MUTATIONS, FaultEffect::StopAfter);
        let faulty = world.faulty(plan);
        let pruning = world.open_through(faulty.clone(), Some(hosts[0].path())).unwrap();
        let outcome = prune(&pruning, prune_options(0));
        drop(pruning);
        for index in hosts {
            let repository = world.open(Some(index.path()));
            world.require_backup(&repository, &files, &context);
            world.require_sound(&repository, &context);
            world.require_sound(&world.open(None), &context);
        }
        if !faulty.stopped() {
            outcome.unwrap();
            break;
        }
        points += 1;
    }
    println!("seed 71: {points} points");
    assert!(points > 5, "{points}");
}

/// Every nonce that is stored: of sealed objects, and of blocks.
fn nonces(world: &World) -> Vec<Vec<u8>> {
    let repository = world.open(None);
    repository.sync_index().unwrap();
    let mut found = Vec::new();
    for (key, data) in world.store.objects() {
        match key.kind() {
            ObjectKind::Index | ObjectKind::Snapshot | ObjectKind::Plan => {
                found.push(data[HEAD_BYTES..HEAD_BYTES + NONCE_BYTES].to_vec());
            }
            ObjectKind::Pack => {
                for block in repository.index().pack_blocks(&PackId(key.id_bytes().unwrap())).unwrap() {
                    let at = block.location.offset as usize;
                    found.push(data[at..at + NONCE_BYTES].to_vec());
                }
            }
            _ => {}
        }
    }
    found
}

/// Counters of nonces that live in the store come again when the store is put back, and with two clients
/// (borg before 2.0).
#[test]
fn no_nonce_comes_again_after_a_store_was_put_back_or_with_another_host() {
    let (world, files) = versions(72);
    let (start, before) = (world.store.state(), nonces(&world));
    let mut all: BTreeSet<Vec<u8>> = before.iter().cloned().collect();
    assert_eq!(all.len(), before.len());
    for version in 0..3 {
        let mut world = world.at(start.clone());
        let mut changed = files.clone();
        changed.insert("new".to_owned(), Dice::new(72 + version / 2).bytes(50_000));
        world.backup(&changed);
        let after = nonces(&world);
        assert!(after.len() > before.len() + 2);
        for nonce in after.iter().filter(|nonce| !before.contains(nonce)) {
            assert!(all.insert(nonce.clone()), "version {version}: a nonce comes again");
        }
    }
}

/// What the index objects name: every block of every pack with its chunks.
fn named(repository: &Repository) -> BTreeSet<(PackId, u32, Vec<ChunkId>)> {
    repository.sync_index().unwrap();
    let packs = repository.index().packs().unwrap();
    let of = |id: PackId| {
        let blocks = repository.index().pack_blocks(&id).unwrap();
        blocks.into_iter().map(move |block| (id, block.location.offset, block.ids)).collect::<Vec<_>>()
    };
    packs.into_iter().flat_map(|pack| of(pack.id)).collect()
}

/// An index that was written anew lost entries (restic #21820).
#[test]
fn index_objects_made_fewer_name_what_they_named_before() {
    let (mut world, dice) = (World::new(73), Dice::new(73));
    for _ in 0..SMALL_BACKUPS {
        world.backup(&[("note".to_owned(), dice.bytes(700))].into());
    }
    let (before, objects) = (named(&world.open(None)), world.count(ObjectKind::Index));
    assert!(objects >= SMALL_BACKUPS, "{objects} index objects");
    let packs =
        BTreeSet::from_iter(world.store.list(ObjectKind::Pack).unwrap().into_iter().map(|info| info.key));
    let unlimited = snap::base::parse::Allowance::Unlimited;
    prune(&world.open(None), PruneOptions { max_unused: unlimited, ..prune_options(0) }).unwrap();
    let repository = world.open(None);
    let after = named(&repository);
    assert!(world.count(ObjectKind::Index) < objects / 4, "{}", world.count(ObjectKind::Index));
    // Small packs become few, too: what they held is somewhere else.
    let left =
        BTreeSet::from_iter(world.store.list(ObjectKind::Pack).unwrap().into_iter().map(|info| info.key));
    let chunks = |of: &BTreeSet<(PackId, u32, Vec<ChunkId>)>| -> BTreeSet<ChunkId> {
        of.iter().flat_map(|(.., ids)| ids.clone()).collect()
    };
    assert_eq!(chunks(&before), chunks(&after));
    let is_left = |pack: &PackId| left.contains(&snap::backend::ObjectKey::pack(pack));
    let stayed = |of: &BTreeSet<(PackId, u32, Vec<ChunkId>)>| -> Vec<_> {
        let stays = |pack: &PackId| packs.contains(&snap::backend::ObjectKey::pack(pack)) && is_left(pack);
        of.iter().filter(|(pack, ..)| stays(pack)).cloned().collect()
    };
    assert_eq!(stayed(&before), stayed(&after));
    world.require_whole(&repository, None, &BTreeSet::new(), "after the prune");
    world.require_sound(&repository, "after the prune");
}

/// A prune that went on although packs of live data were lost or cut made it worse (restic #3079, #3123).
#[test]
fn a_prune_deletes_nothing_while_a_pack_that_is_needed_is_gone_or_has_another_size() {
    let (mut world, _) = versions(74);
    let first = *world.model.keys().next().unwrap();
    world.forget(&[first]);
    let start = world.store.state();
    let mut refused = 0;
    let stored = |world: &World| -> Vec<_> {
        let is_stored = |kind| matches!(kind, ObjectKind::Pack | ObjectKind::Index | ObjectKind::Snapshot);
        world.store.objects().into_iter().filter(|(key, _)| is_stored(key.kind())).collect()
    };
    for info in world.store.list(ObjectKind::Pack).unwrap() {
        let gone = world.at(start.clone());
        gone.store.delete(&info.key).unwrap();
        // A pack that no snapshot needs may be what it likes.
        if gone.check(&gone.open(None)).losses.count() == 0 {
            continue;
        }
        let longer = world.at(start.clone());
        let bytes = longer.store.get(&info.key, u64::MAX).unwrap();
        longer.store.overwrite(&info.key, [&bytes[..], b"more"].concat().into());
        for world in [gone, longer] {
            let before = stored(&world);
            let error = prune(&world.open(None), prune_options(0)).unwrap_err().to_string();
            assert!(stored(&world) == before, "{}: {error}: something was deleted", info.key);
            refused += 1;
        }
    }
    println!("seed 74: {refused} refused");
    assert!(refused > 4, "{refused}");
}
