//! Features and kin.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::fixture::{open, small_settings};
use crate::base::Entropy;
use crate::base::clock::SeededEntropy;
use crate::format::pack::BaseName;
use crate::index::{KIN_COUNT_MAX, KIN_NODE_MAX_BYTES, SIMILAR_COUNT_MAX};

fn name(number: u64) -> BaseName {
    BaseName(number.to_be_bytes())
}

fn draw(random: &SeededEntropy) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Feature numbers so few that they meet, from all over the range.
fn feature(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[test]
fn a_feature_names_the_newest_two_chunks_that_had_it() {
    let seed = 11;
    println!("seed {seed}");
    let random = SeededEntropy::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut database = open(folder.path());
    // So few features that none is forgotten, though several runs may have it.
    let feature_count = small_settings().feature_row_max / 20;
    let mut model: BTreeMap<u64, Vec<BaseName>> = BTreeMap::new();
    for round in 0..300 {
        let batch: Vec<(u64, BaseName)> = (0..draw(&random) % 30)
            .map(|_| (feature(draw(&random) % feature_count), name(draw(&random) % 40)))
            .collect();
        database.save_features(&batch).unwrap();
        for (feature, name) in batch {
            let names = model.entry(feature).or_default();
            names.retain(|known| *known != name);
            names.insert(0, name);
            names.truncate(SIMILAR_COUNT_MAX);
        }
        if round % 100 == 99 {
            drop(database);
            database = open(folder.path());
        }
        let asked: Vec<u64> = (0..feature_count + 3).map(feature).collect();
        let expected: Vec<(usize, BaseName)> = asked
            .iter()
            .enumerate()
            .flat_map(|(place, feature)| {
                model.get(feature).into_iter().flatten().map(move |name| (place, *name))
            })
            .collect();
        let found = database.similar(&asked).unwrap();
        assert!(found == expected, "round {round}");
    }
}

#[test]
fn features_are_bounded_and_the_oldest_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let bound = small_settings().feature_row_max;
    let mut saved = 0;
    for round in 0..300 {
        let batch: Vec<(u64, BaseName)> = (0..10).map(|n| (feature(round * 10 + n), name(round))).collect();
        database.save_features(&batch).unwrap();
        saved += 10;
        let asked: Vec<u64> = (0..saved).map(feature).collect();
        let found: Vec<usize> =
            database.similar(&asked).unwrap().into_iter().map(|(place, _)| place).collect();
        let count = found.len() as u64;
        assert!(count <= bound && count >= saved.min(bound / 2), "{count} of {saved}");
        // What is left is the newest, without a gap.
        let first = asked.len() - found.len();
        assert_eq!(found, (first..asked.len()).collect::<Vec<usize>>());
    }
}

#[test]
fn any_feature_and_any_name_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let pairs = [(0, [0; 8]), (u64::MAX, [255; 8]), (1 << 63, [1, 2, 3, 4, 5, 6, 7, 8]), (1 << 47, [128; 8])];
    database.save_features(&pairs.map(|(feature, name)| (feature, BaseName(name)))).unwrap();
    let found = database.similar(&pairs.map(|(feature, _)| feature)).unwrap();
    let expected: Vec<(usize, BaseName)> =
        pairs.iter().enumerate().map(|(place, (_, name))| (place, BaseName(*name))).collect();
    assert_eq!(found, expected);
}

#[test]
fn kin_are_the_last_ones_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    database.remember_kin(&[1; 16], b"one").unwrap();
    database.remember_kin(&[1; 16], b"another").unwrap();
    database.remember_kin(&[2; 16], &vec![5; KIN_NODE_MAX_BYTES]).unwrap();
    database.remember_kin(&[3; 16], &vec![5; KIN_NODE_MAX_BYTES + 1]).unwrap();
    drop(database);
    let database = open(folder.path());
    assert_eq!(database.kin(&[1; 16]).unwrap(), Some(b"another".to_vec()));
    assert_eq!(database.kin(&[2; 16]).unwrap().unwrap().len(), KIN_NODE_MAX_BYTES);
    assert_eq!(database.kin(&[3; 16]).unwrap(), None);
}

#[test]
fn kin_remembered_longest_ago_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    database.remember_kin(&[1; 16], b"old").unwrap();
    database.remember_kin(&[2; 16], b"new").unwrap();
    let file = folder.path().join("index-1.sqlite");
    let statement = format!("UPDATE counters SET value = {KIN_COUNT_MAX} WHERE name = 'kin_used'");
    Connection::open(file).unwrap().execute_batch(&statement).unwrap();
    database.remember_kin(&[3; 16], b"newest").unwrap();
    assert_eq!(database.kin(&[1; 16]).unwrap(), None);
    assert_eq!(database.kin(&[2; 16]).unwrap(), Some(b"new".to_vec()));
    assert_eq!(database.kin(&[3; 16]).unwrap(), Some(b"newest".to_vec()));
}

#[test]
fn handles_see_what_others_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()), open(folder.path()));
    for round in 0..40 {
        let (saves, asks) = if round % 3 == 0 { (&one, &two) } else { (&two, &one) };
        saves.save_features(&[(feature(round), name(round)), (feature(1_000 + round), name(round))]).unwrap();
        for database in [asks, saves] {
            assert_eq!(database.similar(&[feature(round), feature(2_000)]).unwrap(), [(0, name(round))]);
            assert_eq!(database.similar(&[feature(1_000)]).unwrap(), [(0, name(0))]);
        }
    }
}
