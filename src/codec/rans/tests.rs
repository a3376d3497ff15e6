//! Distributions of every kind come back, near their entropy; hostile bytes do not.

use proptest::prelude::*;

use super::table::Run;
use super::*;
use crate::codec::tests::noise;

/// Parts of one kind of distribution each.
fn parts(length: usize) -> Vec<Vec<u8>> {
    let noise = noise("part", 2 * length);
    let pairs = || noise.chunks_exact(2);
    vec![
        vec![7; length],
        vec![255; length],
        (0..length).map(|at| u8::from(at % 997 == 3)).collect(),
        pairs().map(|pair| if pair[0] < 60 { 0 } else { 255 }).collect(),
        pairs().map(|pair| pair[0]).collect(),
        // Each value half as often as the one below.
        pairs()
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]).trailing_zeros().to_le_bytes()[0])
            .collect(),
        pairs().map(|pair| pair[0] / 2 + pair[1] / 2).collect(),
        pairs().map(|pair| pair[0] & 7 | pair[1] & 0x80).collect(),
        (0..length).map(|at| (at / 3).to_le_bytes()[0]).collect(),
    ]
}

/// Contexts for a part: none, the bytes before (a reader finds those by itself), runs of one, 31 and all.
fn with_contexts(part: &[u8], mut check: impl FnMut(Option<Contexts>, bool)) {
    check(None, false);
    let before = contexts_before(part);
    check(Some(Contexts { bytes: &before, run: 1 }), true);
    let length = part.len();
    for run in [1, 31, length] {
        for mask in [0, 3, 15, 16, 255] {
            if length.is_multiple_of(run) {
                let bytes: Vec<u8> = noise("context", length / run).iter().map(|byte| byte & mask).collect();
                check(Some(Contexts { bytes: &bytes, run }), false);
            }
        }
    }
}

fn encoded(part: &[u8], context: Option<Contexts>) -> Vec<u8> {
    let mut out = Vec::new();
    Plan::of(part, context).unwrap().encode(part, context, &mut out);
    out
}

fn decoded(coded: &[u8], context: Option<Contexts>, length: usize) -> Option<Vec<u8>> {
    let mut part = vec![0xee; length];
    decode(coded, context, &mut part).map(|()| part)
}

#[test]
fn parts_of_every_kind_and_length_come_back_by_every_context() {
    for length in (1..20).chain([31, 62, 255, 256, 257, 31 * 8, 31 * 9, 4 * 961, 100_000]) {
        for part in parts(length) {
            with_contexts(&part, |context, is_found| {
                let coded = encoded(&part, context);
                let context = context.filter(|_| !is_found);
                assert_eq!(decoded(&coded, context, length).as_ref(), Some(&part), "{length} {context:?}");
                // Of one value there may be as much as is asked for.
                let is_one = part.iter().all(|byte| *byte == part[0]);
                assert!(is_one || decoded(&coded, context, length + 8).is_none(), "{length} {context:?}");
            });
        }
    }
}

#[test]
fn a_plan_takes_what_it_says_and_little_more_than_the_entropy() {
    for part in parts(300_000) {
        let mut counts = [0_u32; 256];
        part.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        let total = part.len() as f64;
        let entropy: f64 = counts
            .iter()
            .filter(|count| **count > 0)
            .map(|count| f64::from(*count) * (total / f64::from(*count)).log2() / 8.0)
            .sum();
        let coded = encoded(&part, None).len();
        assert!(coded.abs_diff(Plan::of(&part, None).unwrap().bytes) <= 40, "{coded}");
        assert!((coded as f64) < entropy * 1.002 + 600.0, "{coded} of {entropy}");
    }
}

#[test]
fn a_context_that_tells_something_is_used_and_one_that_tells_nothing_costs_nothing() {
    let contexts: Vec<u8> = noise("context", 4000).iter().map(|byte| byte & 3).collect();
    let noise = noise("part", 31 * contexts.len());
    let told: Vec<u8> =
        noise.iter().enumerate().map(|(at, byte)| byte >> 2 | contexts[at / 31] << 6).collect();
    let given = Some(Contexts { bytes: &contexts, run: 31 });
    assert!(encoded(&told, given).len() < told.len() * 6 / 8 + 600);
    assert!(encoded(&told, None).len() > told.len() * 99 / 100);
    assert_eq!(encoded(&noise, given), encoded(&noise, None));
    let steps: Vec<u8> =
        noise.iter().enumerate().map(|(at, byte)| (at / 50 % 16 * 16).to_le_bytes()[0] | byte & 3).collect();
    let before = contexts_before(&steps);
    let found = Some(Contexts { bytes: &before, run: 1 });
    assert!(encoded(&steps, found).len() < encoded(&steps, None).len() * 6 / 10);
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused_or_gives_other_bytes() {
    for part in parts(310) {
        with_contexts(&part, |context, is_found| {
            let mut coded = encoded(&part, context);
            let context = context.filter(|_| !is_found);
            for length in 0..coded.len() {
                assert_eq!(decoded(&coded[..length], context, part.len()), None, "{length} {context:?}");
            }
            for bit in 0..8 * coded.len() {
                coded[bit / 8] ^= 1 << (bit % 8);
                // A bit of a table may only move places that no byte stands at.
                let other = decoded(&coded, context, part.len());
                assert!(other.is_none_or(|other| other.len() == part.len()));
                coded[bit / 8] ^= 1 << (bit % 8);
            }
            assert_eq!(decoded(&[coded.as_slice(), &[0, 0]].concat(), context, part.len()), None);
        });
    }
}

#[test]
fn tables_that_are_none_are_refused() {
    let table = |coded: &[u8]| {
        let mut left = coded;
        Table::decode(&mut left).map(|table| (table, left.len()))
    };
    let (even, left) = table(&[127, 0, 127, 0, 9]).unwrap();
    assert_eq!((even.counts, left), ([16; 256], 1));
    let (one, _) = table(&[0x80 | 4, 0, 77, 0x80 | 121, 0x80 | 127]).unwrap();
    assert_eq!((one.starts[5], one.counts[5], one.counts[4]), (0, 4096, 0));
    // Nothing occurs; too few values, too many; cut before a weight and behind a run.
    let bad: [&[u8]; 6] =
        [&[0xff, 0xff], &[127, 0, 126, 0], &[127, 0, 126, 0, 1, 0], &[127, 0, 127], &[127, 0], &[]];
    for coded in bad {
        assert_eq!(table(coded), None, "{coded:?}");
    }
}

proptest! {
    #[test]
    fn any_runs_share_all_places_among_the_values_that_occur(
        runs in proptest::collection::vec(
            (1_usize..=128, proptest::option::weighted(0.8, any::<u8>())), 1..300),
    ) {
        let mut left = 256;
        let mut whole: Vec<Run> = Vec::new();
        for (length, weight) in runs {
            let length = length.min(left);
            if length > 0 {
                whole.push(Run { length, weight });
            }
            left -= length;
        }
        let half = left / 2;
        whole.push(Run { length: half, weight: None });
        whole.push(Run { length: left - half, weight: Some(3) });
        whole.retain(|run| run.length > 0);
        let mut coded = Vec::new();
        Table::encode(&whole, &mut coded);
        let table = Table::decode(&mut coded.as_slice());
        prop_assert_eq!(&table, &Table::of(&whole));
        match table {
            Some(table) => {
                prop_assert_eq!(table.counts.iter().map(|count| u32::from(*count)).sum::<u32>(), 4096);
                let mut start = 0;
                let occurs = |run: &Run| std::iter::repeat_n(run.weight.is_some(), run.length);
                let mut values = whole.iter().flat_map(occurs);
                for (own, count) in table.starts.iter().zip(table.counts) {
                    prop_assert_eq!(*own, start);
                    prop_assert_eq!(count > 0, values.next().unwrap());
                    start += count;
                }
            }
            None => prop_assert!(whole.iter().all(|run| run.weight.is_none())),
        }
    }

    #[test]
    fn hostile_bytes_are_refused_or_fill_the_part(
        mut coded in proptest::collection::vec(any::<u8>(), 0..400),
        contexts in proptest::collection::vec(any::<u8>(), 0..40),
        run in 1_usize..40, number in 0_u8..20, sorted in any::<bool>(),
    ) {
        if sorted && coded.len() > 20 {
            coded[0] = number;
            coded[1..20].sort_unstable();
        }
        let mut part = vec![0; contexts.len() * run];
        for context in [None, Some(Contexts { bytes: &contexts, run })] {
            let _ = decode(&coded, context, &mut part);
        }
    }

    #[test]
    fn any_bytes_come_back(
        part in proptest::collection::vec(prop_oneof![3 => 0_u8..4, 1 => any::<u8>()], 1..3000),
        contexts in proptest::collection::vec(any::<u8>(), 3000),
    ) {
        let given = Some(Contexts { bytes: &contexts[..part.len()], run: 1 });
        for context in [None, given] {
            let coded = encoded(&part, context);
            prop_assert_eq!(decoded(&coded, context, part.len()), Some(part.clone()));
        }
        let before = contexts_before(&part);
        let coded = encoded(&part, Some(Contexts { bytes: &before, run: 1 }));
        prop_assert_eq!(decoded(&coded, None, part.len()), Some(part));
    }
}
