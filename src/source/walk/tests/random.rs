//! Trees made at random: what threads look at ahead changes nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::source::walk::ahead::THREADS_MAX;

/// Makes a tree from the names on the way to each of its files.
fn make(dir: &Path, files: &[Vec<u8>]) {
    for (number, names) in files.iter().enumerate() {
        let mut path = dir.to_path_buf();
        for name in names {
            path.push(format!("d{name}"));
        }
        fs::create_dir_all(&path).unwrap();
        match number % 7 {
            0 => drop(symlink("nowhere", path.join(format!("s{number}")))),
            1 => fs::create_dir_all(path.join(format!("e{number}"))).unwrap(),
            _ => fs::write(path.join(format!("f{number}")), vec![0; number]).unwrap(),
        }
    }
}

/// Walks one entry after the other, by whole paths.
fn reference(dir: &Path, lines: &mut Vec<String>) {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let sorted: BTreeMap<Vec<u8>, PathBuf> =
        entries.map(|path| (path.file_name().unwrap().as_bytes().to_vec(), path)).collect();
    for (name, path) in sorted {
        let name = escape_name(&name);
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            lines.push(format!("+{name}"));
            reference(&path, lines);
            lines.push("-".to_owned());
        } else {
            lines.push(name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_tree_is_walked_the_same_with_any_number_of_threads(
        files in prop::collection::vec(prop::collection::vec(0..6_u8, 0..5), 1..400),
    ) {
        let temp = temp();
        make(temp.path(), &files);
        let mut expected = Vec::new();
        reference(temp.path(), &mut expected);
        let found = |threads: usize| {
            let events = Walker::with(options(temp.path()), true, threads, Memory::default());
            // Others may change the directories above meanwhile.
            let is_above = |event: &WalkEvent| {
                matches!(event, WalkEvent::Enter { path, .. } if temp.path().starts_with(path))
            };
            let below = events.filter(|event| !is_above(event));
            below.map(|event| format!("{event:?}")).collect::<Vec<_>>()
        };
        let alone = found(0);
        for threads in 0..=THREADS_MAX {
            let walker = Walker::with(options(temp.path()), true, threads, Memory::of(0));
            prop_assert_eq!(trace(walker, temp.path()), expected.clone(), "{} threads", threads);
            prop_assert!(found(threads) == alone, "{} threads find something else", threads);
        }
    }
}

#[test]
fn entries_that_take_much_room_are_looked_at_in_order_by_any_number_of_threads() {
    let temp = temp();
    let name = "n".repeat(200);
    let deep = temp.path().join(vec![name.as_str(); 18].join("/"));
    let names: Vec<String> = (0..500).map(|n| format!("{n:04}{}", "f".repeat(150))).collect();
    for name in &names {
        write(deep.join(name), "");
    }
    let sight = Sight::new(options(temp.path()), true);
    let open = rustix::fs::open(&deep, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    let listing = crate::source::listing::Listing::read(open.as_fd(), usize::MAX).unwrap().unwrap();
    let looked = sight.look_at(&Ok(Arc::new(open)), &deep, &listing, 0..sight::BATCH);
    assert!((1..sight::BATCH).contains(&looked.len()), "{} looked at together", looked.len());

    let expected = [vec![format!("+{name}"); 18], names, vec!["-".to_owned(); 18]].concat();
    for threads in [0, 1, 3, THREADS_MAX] {
        let walker = Walker::with(options(temp.path()), true, threads, Memory::default());
        assert_eq!(trace(walker, temp.path()), expected, "{threads} threads");
    }
}

#[test]
fn what_is_taken_away_during_a_walk_is_named_or_found_whole() {
    for threads in [0, 2, THREADS_MAX] {
        let temp = temp();
        for n in 0..300 {
            write(temp.path().join(format!("{:02}/{n:03}/f", n % 30)), "x");
        }
        let mut seen = 0;
        let mut failed = 0;
        let mut is_cut = false;
        let mut walker = Walker::with(options(temp.path()), true, threads, Memory::default());
        let mut depth = 0;
        for event in walker.by_ref() {
            match event {
                WalkEvent::Enter { .. } => depth += 1,
                WalkEvent::Leave => depth -= 1,
                WalkEvent::Item { .. } => seen += 1,
                WalkEvent::Failed(error) => {
                    let is_gone = error.error.kind() == io::ErrorKind::NotFound;
                    assert!(is_gone && ["list", "read the metadata of"].contains(&error.action), "{error:?}");
                    failed += 1;
                }
            }
            if seen == 20 && !is_cut {
                is_cut = true;
                for n in 10..30 {
                    fs::remove_dir_all(temp.path().join(format!("{n:02}"))).unwrap();
                }
            }
        }
        assert_eq!(depth, 0);
        assert!(seen >= 100 && failed >= 1, "{seen} files, {failed} failed with {threads} threads");
        assert_eq!(walker.failed_root_count(), 0);
    }
}

#[test]
fn a_walk_that_is_given_up_leaves_no_work_behind_that_matters() {
    let temp = temp();
    for n in 0..200 {
        write(temp.path().join(format!("{n:03}/f")), "x");
    }
    for taken in [0, 1, 5, 50] {
        let mut walker = Walker::with(options(temp.path()), true, THREADS_MAX, Memory::default());
        assert_eq!(walker.by_ref().take(taken).count(), taken);
        drop(walker);
    }
    assert_eq!(walk(temp.path()).len(), 600);
}
