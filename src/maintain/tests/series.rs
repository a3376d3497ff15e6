//! A table and a checkpoint that change a little from version to version, each version backed up.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::backend::ObjectKind;
use crate::backend::memory::{MemoryBackend, MemoryState};
use crate::backup::{BackupOptions, Input, ParentChoice, backup};
use crate::base::SnapshotId;
use crate::base::limits::BASE_DEPTH_MAX;
use crate::format::pack::Content;
use crate::index::BlockInfo;
use crate::maintain::prune::tests::world::{Dice, World};
use crate::maintain::testing::noise;
use crate::repository::Repository;
use crate::restore::{RestoreOptions, RestoreStats, dump, restore};
use crate::source::WalkOptions;

/// Versions of the shared series.
pub(in crate::maintain) const VERSIONS: usize = 12;

/// Contents by the name of the file.
pub(in crate::maintain) type Contents = BTreeMap<&'static str, Vec<u8>>;

/// Files that change, in a folder that is backed up.
pub(in crate::maintain) struct Series {
    pub(in crate::maintain) world: World,
    folder: PathBuf,
    pub(in crate::maintain) repository: Arc<Repository>,
    pub(in crate::maintain) versions: Vec<(SnapshotId, Contents)>,
    /// Stored size of all packs after each version.
    pub(in crate::maintain) pack_bytes: Vec<u64>,
}

impl Series {
    pub(in crate::maintain) fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let repository = world.open();
        // The name stays with the series; the folder is there while there is something to back up.
        let folder = tempfile::tempdir().unwrap().path().to_path_buf();
        let (versions, pack_bytes) = (Vec::new(), Vec::new());
        Self { world, folder, repository, versions, pack_bytes }
    }

    /// Returns the series of [`VERSIONS`] versions, made once, in a store of its own.
    pub(in crate::maintain) fn whole(seed: u64) -> Self {
        static WHOLE: OnceLock<(Mutex<Series>, MemoryState)> = OnceLock::new();
        let (whole, state) = WHOLE.get_or_init(|| {
            println!("seed 1");
            let (mut series, mut table) = (Self::new(1), Table::new(1));
            let (mut tensors, mut rows) = (Tensors::new(1), Rows::new(1));
            for _ in 0..VERSIONS {
                let files = [
                    ("rows.npy", rows.file()),
                    ("table.sql", table.text()),
                    ("w.safetensors", tensors.file()),
                ];
                series.backup(&files.into());
                table.change();
                tensors.change();
                rows.change();
            }
            let state = series.world.store.state();
            (Mutex::new(series), state)
        });
        let whole = whole.lock().unwrap();
        let world = whole.world.at(state.clone(), seed);
        let repository = world.open();
        let (versions, pack_bytes) = (whole.versions.clone(), whole.pack_bytes.clone());
        Self { world, folder: whole.folder.clone(), repository, versions, pack_bytes }
    }

    /// Makes `contents` what is in the folder and backs it up.
    pub(in crate::maintain) fn backup(&mut self, contents: &Contents) -> SnapshotId {
        // All copies of the shared series have one folder.
        static FOLDER: Mutex<()> = Mutex::new(());
        self.world.wait(60);
        let held = FOLDER.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = std::fs::remove_dir_all(&self.folder);
        std::fs::create_dir(&self.folder).unwrap();
        for (name, content) in contents {
            std::fs::write(self.folder.join(name), content).unwrap();
        }
        let paths = vec![self.folder.clone()];
        let options = BackupOptions {
            input: Input::Paths(WalkOptions { paths, ..WalkOptions::default() }),
            host: "host".to_owned(),
            user: "user".to_owned(),
            owner: (0, 0),
            job: String::new(),
            program: "test".to_owned(),
            tags: Vec::new(),
            metadata: Vec::new(),
            time: None,
            parent: ParentChoice::Newest,
            force: true,
            class: None,
            dry_run: false,
            skip_if_unchanged: false,
            estimate: false,
        };
        let outcome = backup(&self.repository, &options).unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
        drop(held);
        assert_eq!((outcome.totals.unread_sources, outcome.stored.fallbacks), (0, 0));
        let id = outcome.snapshot.unwrap();
        self.versions.push((id, contents.clone()));
        self.pack_bytes.push(self.world.stored_bytes(ObjectKind::Pack));
        id
    }

    /// Opens the repository anew, with an index made from the store alone.
    pub(in crate::maintain) fn reopen(&mut self) {
        self.repository = self.world.open();
    }

    pub(in crate::maintain) fn forget(&mut self, is_gone: impl Fn(usize) -> bool) {
        let mut number = 0;
        let gone: Vec<SnapshotId> = self.versions.iter().map(|(id, _)| *id).collect();
        self.versions.retain(|_| {
            number += 1;
            !is_gone(number - 1)
        });
        let stays: BTreeSet<SnapshotId> = self.versions.iter().map(|(id, _)| *id).collect();
        let gone: Vec<SnapshotId> = gone.into_iter().filter(|id| !stays.contains(id)).collect();
        crate::maintain::forget::forget(&self.repository, &gone, false).unwrap();
    }

    pub(in crate::maintain) fn path(&self, name: &str) -> Vec<u8> {
        self.folder.join(name).as_os_str().as_bytes().to_vec()
    }

    /// Restores a version; returns what came of it and what is there then.
    pub(in crate::maintain) fn restore(&self, id: &SnapshotId) -> (RestoreStats, BTreeMap<String, Vec<u8>>) {
        let target = tempfile::tempdir().unwrap();
        let options = RestoreOptions { sync: false, ..RestoreOptions::new(target.path()) };
        let snapshot = self.repository.load_snapshot(id).unwrap();
        let path = self.folder.as_os_str().as_bytes();
        let stats = restore(&self.repository, &snapshot, Some(path), &options).unwrap();
        let entries = std::fs::read_dir(target.path()).unwrap().map(Result::unwrap);
        let found = entries.map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        });
        (stats, found.collect())
    }

    /// Reads one file of a version in order.
    pub(in crate::maintain) fn dump(&self, id: &SnapshotId, name: &str) -> Option<Vec<u8>> {
        let snapshot = self.repository.load_snapshot(id).unwrap();
        let mut out = Vec::new();
        dump(&self.repository, &snapshot, &self.path(name), &mut out).ok().map(|_| out)
    }

    /// Fails unless every version reads back as it was, both ways, with an index made from the store alone.
    pub(in crate::maintain) fn require_whole(&mut self, context: &str) {
        self.reopen();
        for (number, (id, contents)) in self.versions.iter().enumerate() {
            let (stats, found) = self.restore(id);
            assert_eq!(stats.failed_count, 0, "{context}: version {number}: {:?}", stats.failed);
            let is_equal =
                found.len() == contents.len() && contents.iter().all(|(n, c)| found.get(*n) == Some(c));
            assert!(is_equal, "{context}: version {number} restores to something else");
            for (name, content) in contents {
                let is_equal = self.dump(id, name).as_ref() == Some(content);
                assert!(is_equal, "{context}: {name} of version {number} is dumped as something else");
            }
        }
    }

    /// Returns all blocks with bases.
    pub(in crate::maintain) fn based_blocks(&self) -> Vec<BlockInfo> {
        let index = self.repository.index();
        let packs = index.packs().unwrap();
        let blocks = packs.iter().flat_map(|pack| index.pack_blocks(&pack.id).unwrap());
        blocks.filter(|block| !block.location.bases.is_empty()).collect()
    }

    pub(in crate::maintain) fn store(&self) -> &MemoryBackend {
        &self.world.store
    }
}

/// Rows of a table, of which some are changed, added and dropped.
pub(in crate::maintain) struct Table {
    rows: Vec<String>,
    dice: Dice,
}

impl Table {
    pub(in crate::maintain) fn new(seed: u64) -> Self {
        let mut table = Self { rows: Vec::new(), dice: Dice::new(seed) };
        table.rows = (0..14_000).map(|id| table.row(id)).collect();
        table
    }

    fn row(&self, id: u32) -> String {
        let word = || format!("{:08x}{:08x}", self.dice.below(u32::MAX), self.dice.below(u32::MAX));
        let day = self.dice.below(28) + 1;
        let parts = [word(), word(), word(), word()].join("-");
        format!(
            "{id}\tcustomer {id:06}\t2026-03-{day:02} 10:00:00\t{parts}\tactive\t{}\n",
            self.dice.below(999)
        )
    }

    pub(in crate::maintain) fn change(&mut self) {
        for _ in 0..8 {
            let at = self.dice.below(u32::try_from(self.rows.len()).unwrap() - 1);
            let (place, row) = (usize::try_from(at).unwrap(), self.row(at));
            match self.dice.below(4) {
                0 => self.rows.insert(place, row),
                1 => drop(self.rows.remove(place)),
                _ => self.rows[place] = row,
            }
        }
    }

    pub(in crate::maintain) fn text(&self) -> Vec<u8> {
        let head =
            "--\n-- PostgreSQL database dump\n--\n\nCOPY public.customer (id, name, at, token) FROM stdin;\n";
        [head, &self.rows.concat(), "\\.\n"].concat().into_bytes()
    }
}

/// Tensors of numbers, a few of which move a little.
pub(in crate::maintain) struct Tensors {
    numbers: Vec<f32>,
    dice: Dice,
}

const TENSORS: usize = 4;
const NUMBERS: usize = 1 << 16;

impl Tensors {
    pub(in crate::maintain) fn new(seed: u64) -> Self {
        let bytes = noise(seed, TENSORS * NUMBERS * 4);
        let number = |bytes: &[u8]| f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) / 300_000.0;
        let number = |bytes: &[u8]| number(bytes) + f32::from(bytes[2]) / 3e8;
        Self { numbers: bytes.chunks(4).map(number).collect(), dice: Dice::new(seed) }
    }

    pub(in crate::maintain) fn change(&mut self) {
        for _ in 0..600 {
            let at = self.dice.below(u32::try_from(self.numbers.len()).unwrap());
            self.numbers[usize::try_from(at).unwrap()] *= 1.001;
        }
    }

    pub(in crate::maintain) fn file(&self) -> Vec<u8> {
        let tensor = |number: usize| {
            let (start, end) = (number * NUMBERS * 4, (number + 1) * NUMBERS * 4);
            format!(
                "\"w{number}\":{{\"dtype\":\"F32\",\"shape\":[256,256],\"data_offsets\":[{start},{end}]}}"
            )
        };
        let tensors: Vec<String> = (0..TENSORS).map(tensor).collect();
        let head = format!("{{{}}}", tensors.join(","));
        let mut file = u64::try_from(head.len()).unwrap().to_le_bytes().to_vec();
        file.extend_from_slice(head.as_bytes());
        file.extend(self.numbers.iter().flat_map(|number| number.to_le_bytes()));
        file
    }
}

/// Rows of numbers, some of which are dropped, while others come at the end.
pub(in crate::maintain) struct Rows {
    rows: Vec<Vec<u8>>,
    dice: Dice,
    made: u64,
}

const ROW_BYTES: usize = 256;

impl Rows {
    pub(in crate::maintain) fn new(seed: u64) -> Self {
        let mut rows = Self { rows: Vec::new(), dice: Dice::new(seed), made: seed << 32 };
        rows.add(2500);
        rows
    }

    fn add(&mut self, count: u64) {
        for _ in 0..count {
            self.rows.push(noise(self.made, ROW_BYTES));
            self.made += 1;
        }
    }

    pub(in crate::maintain) fn change(&mut self) {
        for _ in 0..30 {
            let at = self.dice.below(u32::try_from(self.rows.len()).unwrap());
            self.rows.remove(usize::try_from(at).unwrap());
        }
        self.add(10);
    }

    pub(in crate::maintain) fn file(&self) -> Vec<u8> {
        let shape = format!("({}, {})", self.rows.len(), ROW_BYTES / 4);
        let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        let front: &[u8] = b"\x93NUMPY\x01\0\x76\0";
        [front, format!("{head:<117}\n").as_bytes(), &self.rows.concat()].concat()
    }
}

#[test]
fn versions_restore_byte_for_byte_through_short_chains_and_cost_what_changed() {
    let mut series = Series::whole(2);
    series.require_whole("as backed up");
    let based = series.based_blocks();
    let depths: BTreeSet<u8> = based.iter().map(|block| block.location.depth).collect();
    let depth_max = depths.last().copied().unwrap_or(0);
    assert!((4..=BASE_DEPTH_MAX).contains(&u64::from(depth_max)), "{depths:?}");
    assert!(based.iter().any(|block| block.location.content == Content::Tree), "lists lean on lists");
    let is_long =
        |block: &&BlockInfo| block.location.raw_bytes > 1 << 17 && block.location.stored_bytes < 1 << 13;
    assert!(based.iter().filter(is_long).count() >= VERSIONS, "rows lean on rows");
    let first = series.pack_bytes[0];
    let growths: Vec<u64> = series.pack_bytes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mean = growths.iter().sum::<u64>() / growths.len() as u64;
    assert!(mean * 10 < first, "{growths:?} after {first}");
    // Numbers that were mixed with former values as often as a chain is long are stored by themselves again.
    let whole = growths.iter().filter(|growth| **growth * 10 >= first).count();
    assert!(whole <= VERSIONS / usize::try_from(BASE_DEPTH_MAX).unwrap(), "{growths:?} after {first}");
}
