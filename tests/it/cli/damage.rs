//! One stored object is damaged, in every way: the program names it, restores all the rest and says so, and
//! its repairs and a backup bring back what can be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use bytes::Bytes;
use snap::backend::{Location, ObjectKey, ObjectKind, OpenOptions};

use super::{Run, User, contents, copy, objects};
use crate::reliability::damage::{DAMAGES, damaged};
use crate::reliability::world::{Dice, Files};

/// Seed of contents and damages.
const SEED: u64 = 81;
/// Cases at once.
const AT_ONCE: usize = 3;
/// Objects of one kind that are damaged: so many of the largest and so many of the smallest.
const OBJECTS_AT_EACH_END: usize = 2;
/// Rounds of check and repair that chains of bases need.
const ROUNDS_MAX: usize = 4;

/// A repository with every kind of object, and what its snapshots hold, by their ids.
struct Whole {
    user: User,
    objects: Vec<(ObjectKey, Bytes)>,
    model: BTreeMap<String, Files>,
    files: Files,
}

fn write_source(user: &User, files: &Files) {
    files.iter().for_each(|(name, content)| drop(user.write(&format!("src/{name}"), content)));
}

impl Whole {
    fn new() -> Self {
        println!("seed {SEED}");
        let user = User::with_repository();
        let dice = Dice::new(SEED);
        let mut files = dice.files();
        let mut model = BTreeMap::new();
        for _ in 0..4 {
            dice.change(&mut files);
            write_source(&user, &files);
            let id = user.summary(&["backup", "src"])["snapshot"].as_str().unwrap().to_owned();
            model.insert(id, files.clone());
        }
        // A plan and a lease.
        let first = user.json(&["snapshots"])[0]["id"].as_str().unwrap().to_owned();
        user.ok(&["forget", &first]);
        model.remove(&first).unwrap();
        user.ok(&["prune", "--max-unused", "0"]);
        user.secret("new", "a second password");
        user.ok(&["key", "add", "--new-password-file", "new"]);
        let store =
            snap::backend::open(&Location::Local(user.repository()), &OpenOptions::new(&|_| None)).unwrap();
        let keys = ObjectKind::ALL.into_iter().flat_map(|kind| store.list(kind).unwrap());
        let objects = keys.map(|info| (info.key.clone(), store.get(&info.key, 1 << 30).unwrap())).collect();
        Self { user, objects, model, files }
    }

    /// the objects to damage: of each kind the largest and the smallest ones.
    fn targets(&self) -> Vec<&ObjectKey> {
        let mut targets = Vec::new();
        for kind in ObjectKind::ALL {
            let mut of_kind: Vec<_> = self.objects.iter().filter(|(key, _)| key.kind() == kind).collect();
            assert!(!of_kind.is_empty(), "no {kind:?}");
            of_kind.sort_by_key(|(_, data)| data.len());
            if of_kind.len() > 2 * OBJECTS_AT_EACH_END {
                of_kind.drain(OBJECTS_AT_EACH_END..of_kind.len() - OBJECTS_AT_EACH_END);
            }
            targets.extend(of_kind.iter().map(|(key, _)| key));
        }
        targets
    }
}

/// Another host, with a copy of the repository in which one object is damaged.
struct Case<'w> {
    whole: &'w Whole,
    user: User,
    key: &'w ObjectKey,
    context: String,
}

impl<'w> Case<'w> {
    fn new(whole: &'w Whole, key: &'w ObjectKey, how: &str) -> Option<Self> {
        let bytes = damaged(&whole.objects, key, how, &Dice::new(SEED + 1))?;
        let user = User::new();
        for (from, to) in [(whole.user.repository(), user.repository()), (whole.user.key(), user.key())] {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            copy(&from, &to);
        }
        let path = user.repository().join(key.path());
        assert!(path.is_file(), "{key}");
        match bytes {
            None => std::fs::remove_file(path).unwrap(),
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
        }
        write_source(&user, &whole.files);
        Some(Self { whole, user, key, context: format!("seed {SEED}: {key} {how}") })
    }

    fn run(&self, words: &[&str]) -> Run {
        let run = self.user.run(words);
        assert!(!run.err.contains("panicked"), "{}: {words:?}: {run:?}", self.context);
        run
    }

    /// What a check of every byte ends with, whether it names the object, and which paths of which snapshots
    /// it says are lost.
    fn check(&self) -> (i32, bool, BTreeSet<(String, String)>) {
        let run = self.run(&["--json", "check", "--read-data"]);
        let lines = objects(&run.out);
        let is_named = run.out.contains(self.key.path());
        let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).cloned().collect::<Vec<_>>();
        let text = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let lost = of("loss").iter().map(|line| (text(line, "snapshot"), text(line, "path"))).collect();
        (run.code, is_named, lost)
    }

    /// Restores every snapshot that is listed: exactly the files that the check does not call lost, as they
    /// were.
    fn require_restores(&self, lost: &BTreeSet<(String, String)>) {
        for (id, expected) in &self.whole.model {
            let target = self.user.path("out");
            let _ = std::fs::remove_dir_all(&target);
            let from = format!("{id}:{}", self.whole.user.path("src").to_str().unwrap());
            let run = self.run(&["restore", &from, "--target", "out"]);
            let is_lost = |name: &str| {
                let path = self.whole.user.path(&format!("src/{name}"));
                lost.iter().any(|(snapshot, lost)| {
                    snapshot == id && (path == Path::new(lost) || path.starts_with(lost))
                })
            };
            let context = format!("{}: {run:?}", self.context);
            let left = read(&target);
            for (name, content) in expected {
                assert_eq!(left.get(name), (!is_lost(name)).then_some(content), "{name}: {context}");
            }
            assert!(left.keys().all(|name| expected.contains_key(name)), "{context}");
            assert_eq!(run.code, if left.len() == expected.len() { 0 } else { 13 }, "{context}");
            for name in expected.keys().filter(|name| !left.contains_key(*name)) {
                // A folder that is lost is named for all that was in it.
                let is_named = run.err.contains(name) || run.out.contains(name) || left.is_empty();
                assert!(is_named, "{name}: {context}");
            }
        }
    }

    /// Runs a repair, dry first: that changes nothing.
    fn repair(&self, words: &[&str]) {
        let before = contents(&self.user.repository());
        let dry = self.run(&[words, &["--dry-run"]].concat());
        assert!(contents(&self.user.repository()) == before, "{}: {words:?}: {dry:?}", self.context);
        let real = self.run(words);
        assert_eq!(dry.code, real.code, "{}: {words:?}: {dry:?} {real:?}", self.context);
        assert!([0, 13].contains(&real.code), "{}: {words:?}: {real:?}", self.context);
    }

    /// Repairs, as the hints say, until a check is clean; a backup then heals what the source has.
    fn require_healing(&self) {
        for round in 0.. {
            self.repair(&["repair", "index"]);
            self.repair(&["repair", "packs", "--aside", "aside"]);
            self.repair(&["repair", "snapshots", "--forget"]);
            let (code, _, lost) = self.check();
            if code == 0 {
                break;
            }
            // Of which nothing is left, and what cannot be read at all, goes by hand, as the repair says.
            for (id, _) in lost.iter().filter(|(_, path)| path == "/") {
                assert_eq!(self.run(&["forget", id]).code, 0, "{}: {id}", self.context);
            }
            if let Some(("snapshots", id)) = self.key.path().split_once('/') {
                let before = contents(&self.user.repository());
                let dry = self.run(&["forget", "--dry-run", id]);
                assert!(contents(&self.user.repository()) == before, "{}", self.context);
                for run in [dry, self.run(&["forget", &id[..16]])] {
                    assert!(run.code == 0 && run.out.contains("cannot be read"), "{}: {run:?}", self.context);
                }
            }
            assert!(round < ROUNDS_MAX, "{}: {:?}", self.context, self.run(&["check", "--read-data"]));
        }
        let backup = self.run(&["backup", "src"]);
        assert_eq!(backup.code, 0, "{}: {backup:?}", self.context);
        let _ = std::fs::remove_dir_all(self.user.path("out"));
        let from = format!("latest:{}", self.user.path("src").to_str().unwrap());
        let restore = self.run(&["restore", &from, "--target", "out"]);
        assert_eq!(restore.code, 0, "{}: {restore:?}", self.context);
        assert!(read(&self.user.path("out")) == self.whole.files, "{}: not healed", self.context);
        assert_eq!(self.check().0, 0, "{}", self.context);
    }
}

/// Files in a folder, by name; none where there is no folder.
fn read(folder: &Path) -> Files {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

/// Judges one damage; returns whether it cost files.
fn judge(whole: &Whole, key: &ObjectKey, how: &str) -> Option<bool> {
    let case = Case::new(whole, key, how)?;
    let context = &case.context;
    let (code, is_named, lost) = case.check();
    let is_gone = how == "deleted";
    match key.kind() {
        ObjectKind::Config => {
            // Nothing can be done without it but to put a copy back; an init does not take its place.
            let expected = if is_gone { [10, 13] } else { [13, 13] };
            assert!(expected.contains(&code), "{context}: {code}");
            for words in [&["snapshots"][..], &["backup", "src"], &["prune"], &["init"], &["repair", "index"]]
            {
                let run = case.run(words);
                assert!([1, 10, 13].contains(&run.code), "{context}: {words:?}: {run:?}");
            }
            let bytes = &whole.objects.iter().find(|(other, _)| other == key).unwrap().1;
            std::fs::write(case.user.repository().join(key.path()), bytes).unwrap();
            assert_eq!(case.check().0, 0, "{context}");
        }
        ObjectKind::Key => {
            // The one that opens, or the other one.
            if case.run(&["snapshots"]).code != 0 {
                assert_eq!(code, if is_gone { 12 } else { 13 }, "{context}");
                return Some(false);
            }
            assert_eq!((code == 13, is_named), (!is_gone, !is_gone), "{context}: {code}");
            case.require_restores(&lost);
        }
        ObjectKind::Lock => {
            assert_eq!((code, is_named), (0, !is_gone), "{context}");
            case.require_restores(&lost);
            if !is_gone {
                let run = case.run(&["prune"]);
                assert!(run.code == 13 && run.err.contains("locks/"), "{context}: {run:?}");
                assert_eq!(case.run(&["unlock"]).code, 0, "{context}");
            }
            assert_eq!(case.run(&["prune"]).code, 0, "{context}");
        }
        ObjectKind::Plan => {
            assert_eq!((code == 13, is_named), (!is_gone, !is_gone), "{context}: {code}");
            case.require_restores(&lost);
            case.require_healing();
        }
        ObjectKind::Pack | ObjectKind::Index | ObjectKind::Snapshot => {
            let is_untold = is_gone && key.kind() == ObjectKind::Snapshot;
            let is_unnamed = is_gone && key.kind() == ObjectKind::Index;
            // Index objects of packs that no snapshot needs any more may go, too.
            let is_needless = is_unnamed && lost.is_empty();
            assert_eq!(code, if is_untold || is_needless { 0 } else { 13 }, "{context}");
            assert!(is_named || is_untold || is_unnamed, "{context}");
            if key.kind() != ObjectKind::Snapshot {
                case.require_restores(&lost);
            }
            case.require_healing();
        }
    }
    Some(!lost.is_empty())
}

#[test]
fn every_damage_of_every_kind_is_named_costs_what_it_must_and_is_healed() {
    let whole = Whole::new();
    let cases: Vec<(&ObjectKey, &str)> =
        whole.targets().into_iter().flat_map(|key| DAMAGES.map(|how| (key, how))).collect();
    let counts = Mutex::new((0, 0));
    std::thread::scope(|scope| {
        for part in 0..AT_ONCE {
            let (cases, counts, whole) = (&cases, &counts, &whole);
            scope.spawn(move || {
                for (key, how) in cases.iter().skip(part).step_by(AT_ONCE) {
                    if let Some(is_lossy) = judge(whole, key, how) {
                        let mut counts = counts.lock().unwrap();
                        counts.0 += 1;
                        counts.1 += u64::from(is_lossy);
                    }
                }
            });
        }
    });
    let (count, lossy) = counts.into_inner().unwrap();
    println!("{count} damages, {lossy} cost files");
    assert!(count > 100 && lossy > 8);
}
