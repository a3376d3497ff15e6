//! Repairs of damage on disks that are full: nothing that could be read before is lost, what is damaged stays
//! until it is kept aside, and with space the same command finishes.

use std::collections::BTreeSet;

use super::{FULL, LEFT, Left, Place, require_told};
use crate::cli::{Run, listing, objects};

/// What restores of all snapshots: the snapshot, the name of a file, and the hash of what is in it.
type Readable = BTreeSet<(String, &'static str, String)>;

impl Place {
    /// Bits of the largest pack are turned, and a check has found that.
    fn damaged() -> Self {
        let place = Self::new();
        let packs = listing(&place.repository().join("packs"));
        let pack = packs.iter().map(|(path, ..)| path).filter(|path| path.is_file());
        let pack = pack.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
        let mut bytes = std::fs::read(pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(pack, bytes).unwrap();
        place.require_damage("in the beginning");
        place.save();
        place
    }

    fn require_damage(&self, context: &str) {
        let check = self.run(&["check", "--read-data"]);
        assert_eq!(check.code, 13, "{context}: {check:?}");
    }

    fn readable(&self) -> Readable {
        let listed = self.ok(&["--json", "snapshots"]);
        let ids: Vec<String> =
            objects(&listed.out).iter().filter_map(|line| Some(line["id"].as_str()?.to_owned())).collect();
        let mut found = Readable::new();
        for id in ids {
            let _ = std::fs::remove_dir_all(self.user.path("out"));
            let from = format!("{id}:{}", self.user.path("src").display());
            let run = self.run(&["restore", &from, "--target", "out"]);
            assert!([0, 13].contains(&run.code), "{run:?}");
            for name in ["changes", "stays"] {
                if let Ok(bytes) = std::fs::read(self.user.path("out").join(name)) {
                    found.insert((id.clone(), name, blake3::hash(&bytes).to_string()));
                }
            }
        }
        assert!(!found.is_empty());
        found
    }

    /// Fails unless repairs and a backup leave a repository without damage.
    fn require_healing(&self, context: &str) {
        let run = self.run(&["repair", "snapshots", "--forget"]);
        assert_eq!(run.code, 0, "{context}: {run:?}");
        self.ok(&["backup", "src"]);
        self.require_whole(context);
        self.require_restored(2, context);
    }
}

/// Runs a repair with little left, and once more with space. Returns how often it succeeded in want of space.
fn sweep(place: &Place, name: &str, repair: &dyn Fn() -> Run) -> usize {
    place.reset();
    let before = place.readable();
    let code = repair().code;
    let after = place.readable();
    assert!([0, 13].contains(&code) && after.is_superset(&before), "{name}");
    let mut succeeded = 0;
    for left in LEFT {
        let context = format!("{name} with {left:?}");
        place.reset();
        place.leave(left);
        let run = repair();
        let is_done = run.code == code;
        if !is_done {
            require_told(&run, FULL, "make space", &context);
            place.require_damage(&context);
        }
        assert!(place.readable().is_superset(&before), "{context}: lost more");
        place.disk.make_room();
        // A lease that found no space to be given back runs out, or is freed by a person.
        place.ok(&["unlock"]);
        succeeded += usize::from(is_done);
        if !is_done {
            let mut again = repair();
            // A pack that arrived and was not named yet may hold anything: the way on is told, and leads on.
            if again.err.contains("run `snap repair index` first") {
                place.ok(&["repair", "index"]);
                again = repair();
            }
            assert_eq!(again.code, code, "{context}, with space: {again:?}");
        }
        // The ids of snapshots that were made anew differ, what is in them does not.
        let contents = |found: &Readable| found.iter().map(|one| (one.1, one.2.clone())).collect::<Vec<_>>();
        assert_eq!(contents(&place.readable()).len(), contents(&after).len(), "{context}, with space");
        place.require_healing(&context);
    }
    println!("{name}: {succeeded} of {} succeeded", LEFT.len());
    succeeded
}

#[test]
fn a_repair_of_packs_on_a_full_disk_loses_nothing_more_and_goes_on_with_space() {
    let place = Place::damaged();
    let succeeded = sweep(&place, "repair packs", &|| place.run(&["repair", "packs", "--aside", "aside"]));
    assert!((1..LEFT.len()).contains(&succeeded), "{succeeded}");
}

#[test]
fn a_damaged_pack_stays_where_there_is_no_space_to_keep_it_aside() {
    let place = Place::damaged();
    let aside = place.disk.root().join("aside");
    let before = place.readable();
    place.leave(Left::Blocks(0));
    let run = place.run(&["repair", "packs", "--aside", aside.to_str().unwrap()]);
    assert!(run.code == 1 && run.err.contains(FULL), "{run:?}");
    assert_eq!(place.readable(), before);
    place.disk.make_room();
    // The lease could not be given back.
    place.ok(&["unlock"]);
    let again = place.run(&["repair", "packs", "--aside", aside.to_str().unwrap()]);
    assert!([0, 13].contains(&again.code), "{again:?}");
    assert!(place.readable().is_superset(&before));
    place.require_healing("in the end");
}

#[test]
fn a_repair_of_snapshots_on_a_full_disk_loses_nothing_more_and_goes_on_with_space() {
    let place = Place::damaged();
    place.run(&["repair", "packs", "--aside", "aside"]);
    place.save();
    let succeeded = sweep(&place, "repair snapshots", &|| place.run(&["repair", "snapshots"]));
    assert!((1..LEFT.len()).contains(&succeeded), "{succeeded}");
}
