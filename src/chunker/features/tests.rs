use super::*;
use proptest::prelude::*;

/// Returns bytes that any test may repeat.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn sampler() -> Sampler {
    let words = noise(u64::MAX, 2_048);
    let gear: Vec<u64> = words.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    Sampler::new(&gear).unwrap()
}

/// A row of a table as a dump has it: a number, a time, a state, and `words` words.
fn row(number: u64, version: u64, words: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "payment", "received", "for", "order", "the", "customer", "asked", "again", "about", "delivery",
        "null", "of", "and", "item", "returned", "today",
    ];
    let random = noise(number << 8 | version, 16 + words);
    let mut out =
        format!("{number}\t2024-05-{:02} 10:{:02}:00\tactive\t\\N\t\\N", random[0] % 28, random[1] % 60);
    for pick in &random[16..] {
        out.push(if pick & 0x80 == 0 { ' ' } else { '\t' });
        out.push_str(WORDS[usize::from(*pick % 16)]);
    }
    out.push('\n');
    out.into_bytes()
}

/// Rows from `first` on until there are `length` bytes; of each thousand, `edited` are of another version.
fn rows(first: u64, length: usize, words: usize, edited: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut number = first;
    while out.len() < length {
        let random = noise(!number, 8);
        let draw = u64::from(u16::from_le_bytes([random[0], random[1]])) % 1_000;
        out.extend(row(number, u64::from(draw < edited), words));
        number += 1;
    }
    out
}

fn finds(sampler: &Sampler, old: &[u8], new: &[u8]) -> bool {
    let (old, new) = (sampler.samples(old), sampler.samples(new));
    features(&old).iter().any(|feature| new.contains(feature))
}

/// Returns how many of 500 pairs of chunks are found.
fn found_of_500(pair: impl Fn(u64) -> (Vec<u8>, Vec<u8>)) -> usize {
    let sampler = sampler();
    (0..500)
        .filter(|case| {
            let (old, new) = pair(case * 10_000);
            finds(&sampler, &old, &new)
        })
        .count()
}

#[test]
fn a_chunk_with_two_in_a_hundred_rows_edited_is_found() {
    for words in [5, 20, 100] {
        let found = found_of_500(|first| (rows(first, 8_192, words, 0), rows(first, 8_192, words, 20)));
        assert!(found >= 475, "{found} of 500 with {words} words a row");
    }
}

#[test]
fn a_chunk_cut_elsewhere_is_found() {
    let found = found_of_500(|first| {
        let all = rows(first, 16_384, 20, 0);
        let shift = 1 + usize::try_from(first / 10_000 * 8).unwrap();
        (all[..8_192].to_vec(), all[shift..shift + 8_192].to_vec())
    });
    assert!(found >= 475, "{found} of 500");
}

#[test]
fn other_rows_of_the_same_table_are_not_found() {
    let found = found_of_500(|first| (rows(first, 8_192, 20, 0), rows(first + 5_000, 8_192, 20, 0)));
    assert!(found <= 5, "{found} of 500");
}

#[test]
fn a_moved_row_is_found_in_its_old_chunk_when_a_feature_lies_in_it() {
    let sampler = sampler();
    let (mut lying, mut found) = (0, 0);
    for case in 0..300_u64 {
        // Twelve rows of some 700 bytes, each from a chunk of its own.
        let moved: Vec<Vec<u8>> = (0..12).map(|place| row(case * 10_000 + place * 500 + 5, 0, 100)).collect();
        let new = sampler.samples(&moved.concat());
        for (place, row) in (0..).zip(&moved) {
            let old = sampler.samples(&rows(case * 10_000 + place * 500, 8_192, 100, 0));
            let within = sampler.samples(row);
            for feature in features(&old).iter().filter(|feature| within.contains(feature)) {
                lying += 1;
                found += usize::from(new.contains(feature));
            }
        }
    }
    assert!(lying > 500 && found * 100 >= lying * 95, "{found} of {lying}");
}

proptest! {
    #[test]
    fn samples_are_of_stretches_wherever_these_stand(
            seed: u64,
            before in 0_usize..300,
            length in 64_usize..4_000,
        ) {
        let sampler = sampler();
        let stretch = noise(seed, length);
        let wrapped = [noise(!seed, before), stretch.clone(), noise(seed ^ 1, before)].concat();
        let (inner, outer) = (sampler.samples(&stretch), sampler.samples(&wrapped));
        let largest = outer.last().copied().filter(|_| outer.len() == SAMPLE_COUNT_MAX).unwrap_or(u64::MAX);
        prop_assert!(inner.iter().all(|sample| *sample > largest || outer.contains(sample)));
    }

    #[test]
    fn samples_are_few_distinct_ascending_and_narrow(
            seed: u64,
            length in 0_usize..200_000,
            period in 1_usize..5_000,
        ) {
        let chunk: Vec<u8> = noise(seed, period).into_iter().cycle().take(length).collect();
        let samples = sampler().samples(&chunk);
        prop_assert!(samples.len() <= SAMPLE_COUNT_MAX && samples.is_sorted_by(|one, next| one < next));
        prop_assert!(samples.iter().all(|sample| *sample < 1 << 47));
        prop_assert!(features(&samples).len() <= FEATURE_COUNT_MAX);
    }

    #[test]
    fn thinning_on_the_way_changes_nothing(seed: u64) {
        let chunk = noise(seed, 1 << 20);
        let sampler = sampler();
        let pieces = (0..chunk.len()).step_by(4_096).map(|at| {
            sampler.samples(&chunk[at..chunk.len().min(at + 4_096 + WINDOW_BYTES - 1)])
        });
        let mut all: Vec<u64> = pieces.flatten().collect();
        thin(&mut all);
        prop_assert_eq!(sampler.samples(&chunk), all);
    }
}

#[test]
fn a_table_of_another_length_is_refused() {
    assert!(Sampler::new(&[0; 255]).is_err() && Sampler::new(&[0; 256]).is_ok());
}
