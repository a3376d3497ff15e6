//! Chapter 6.5: parts coded as the chapter's words say, one step after the other, and not by the codec room.

use serde_json::json;
use snap::base::id::hex;

use super::Cases;
use super::blocks::{Shape, assemble};
use super::data::xof;
use super::{cut, longer, with};

const STATES: usize = 8;
const STATE_MIN: u64 = 1 << 16;

/// A run of values: how many, and the code of their weight where they occur.
type Run = (u8, Option<u8>);

/// Runs that give all values one weight.
const EVEN: [Run; 2] = [(127, Some(0)), (127, Some(0))];

/// The set `rans`.
pub(crate) fn rans() -> Cases {
    let mut cases = Cases::default();
    parts(&mut cases);
    fields(&mut cases);
    hostile(&mut cases);
    hostile_tables(&mut cases);
    cases
}

fn coded_table(runs: &[Run]) -> Vec<u8> {
    let run = |(less_one, code): &Run| match code {
        Some(code) => vec![*less_one, *code],
        None => vec![less_one | 128],
    };
    runs.iter().flat_map(run).collect()
}

/// Where the places of each value start, and their end.
fn starts(runs: &[Run]) -> Vec<u64> {
    let weights: Vec<Option<u64>> = runs
        .iter()
        .flat_map(|(less_one, code)| {
            let weight = code.map(|code| (16 + u64::from(code % 16)) << (code / 16));
            vec![weight; usize::from(*less_one) + 1]
        })
        .collect();
    let below = |value: usize| {
        let some = weights[..value].iter().flatten();
        (some.clone().count() as u64, some.sum::<u64>())
    };
    let (present, sum) = below(256);
    let start = |value| {
        let (seen, weight) = below(value);
        seen + weight * (4096 - present) / sum
    };
    (0..=256).map(start).collect()
}

/// Returns the coded part; `contexts` has one for each byte.
fn coded(part: &[u8], contexts: &[u8], bounds: &[u8], tables: &[Vec<Run>]) -> Vec<u8> {
    let starts: Vec<Vec<u64>> = tables.iter().map(|runs| starts(runs)).collect();
    let (mut states, mut words) = ([STATE_MIN; STATES], Vec::new());
    for (at, (byte, context)) in part.iter().zip(contexts).enumerate().rev() {
        let starts = &starts[bounds.iter().filter(|bound| *bound <= context).count()];
        let (start, end) = (starts[usize::from(*byte)], starts[usize::from(*byte) + 1]);
        let (count, state) = (end - start, &mut states[at % STATES]);
        if *state >= count << 20 {
            words.push((*state % STATE_MIN).to_le_bytes());
            *state /= STATE_MIN;
        }
        *state = 4096 * (*state / count) + *state % count + start;
    }
    let mut out = tables.len().to_le_bytes()[..1].to_vec();
    out.extend_from_slice(bounds);
    tables.iter().for_each(|runs| out.extend(coded_table(runs)));
    states.iter().for_each(|state| out.extend_from_slice(&state.to_le_bytes()[..4]));
    words.iter().rev().for_each(|word| out.extend_from_slice(&word[..2]));
    out
}

/// Returns for each byte the mean of the four before it.
fn before(part: &[u8]) -> Vec<u8> {
    let mean = |at: usize| {
        let sum: usize = part[at.saturating_sub(4)..at].iter().copied().map(usize::from).sum();
        (sum / 4).to_le_bytes()[0]
    };
    (0..part.len()).map(mean).collect()
}

fn good(cases: &mut Cases, name: &str, block: &[u8], raw: &[u8]) {
    let fields = json!({ "coded": hex(block), "raw_length": raw.len(), "base": "", "raw": hex(raw) });
    cases.good(name, fields);
}

fn whole(part: &[u8], coded: Vec<u8>) -> Vec<u8> {
    assemble(Shape::identity(3, 0), part.len(), &[(3, coded)])
}

fn parts(cases: &mut Cases) {
    for length in [1, 7, 8, 9, 300] {
        let part = xof("rans", length);
        let block = whole(&part, coded(&part, &before(&part), &[], &[EVEN.to_vec()]));
        good(cases, &format!("rans, {length} bytes alike"), &block, &part);
    }
    // 3 is frequent, 0 to 2 and 200 are rare, all else does not occur.
    let skewed = vec![(2, Some(17)), (0, Some(255)), (127, None), (67, None), (0, Some(0)), (54, None)];
    let part: Vec<u8> =
        xof("skewed", 400).iter().map(|byte| [3, 3, 3, 0, 1, 2, 200, 3][usize::from(byte % 8)]).collect();
    good(cases, "rans, few values", &whole(&part, coded(&part, &before(&part), &[], &[skewed])), &part);
    let one = vec![(127, None), (0, Some(9)), (126, None)];
    good(
        cases,
        "rans, one value",
        &whole(&[128; 50], coded(&[128; 50], &before(&[128; 50]), &[], &[one])),
        &[128; 50],
    );
    let low = vec![(31, Some(160)), (95, Some(3)), (127, Some(0))];
    let mixed = [xof("first", 100).iter().map(|byte| byte % 32).collect(), xof("second", 200)].concat();
    let tables = [low.clone(), EVEN.to_vec(), skewed_even()];
    let block = whole(&mixed, coded(&mixed, &before(&mixed), &[1, 200], &tables));
    good(cases, "rans, three tables by the bytes before", &block, &mixed);
    let bounds: Vec<u8> = (1..16).map(|number| 16 * number + number % 2).collect();
    let tables: Vec<Vec<Run>> =
        (0..16).map(|number| vec![(127, Some(16 * number)), (127, Some(100))]).collect();
    let part = xof("sixteen", 500);
    let block = whole(&part, coded(&part, &before(&part), &bounds, &tables));
    good(cases, "rans, sixteen tables", &block, &part);
    let raw = xof("planes", 41);
    let planes: Vec<Vec<u8>> =
        (0..2).map(|at| raw[1..].iter().skip(at).step_by(2).copied().collect()).collect();
    let coded_planes =
        planes.iter().map(|plane| (3, coded(plane, &before(plane), &[100], &[low.clone(), EVEN.to_vec()])));
    let parts: Vec<(u8, Vec<u8>)> = coded_planes.chain([(0, raw[..1].to_vec())]).collect();
    good(cases, "rans, planes", &assemble(Shape::planes(2, 0, 1, 3, 0), 41, &parts), &raw);
}

/// Both halves of the values, the upper one more often.
fn skewed_even() -> Vec<Run> {
    vec![(127, Some(15)), (127, Some(31))]
}

fn of_records(layout: u8, lead: u8) -> Shape {
    Shape { transform: 2, width: layout, rotate: 0, lead, base_use: 0, coder: 3 }
}

/// Returns the record of Q8_0 that these fields say.
fn record(low: u8, high: u8, place: u8, greatest: u8, others: &[u8]) -> Vec<u8> {
    let mut quants: Vec<u8> = others.iter().map(|code| code >> 1 ^ (code & 1).wrapping_neg()).collect();
    quants.push(greatest);
    quants.swap(usize::from(place), 31);
    [vec![low, high], quants].concat()
}

fn fields(cases: &mut Cases) {
    let records = 40;
    let tables = [EVEN.to_vec(), skewed_even(), vec![(127, Some(40)), (127, Some(1))]];
    let low = xof("low", records);
    let high: Vec<u8> = xof("high", records).iter().map(|byte| 28 + byte % 7).collect();
    let of_high: Vec<u8> = high.iter().map(|byte| byte & 3).collect();
    let coded_low = || (3, coded(&low, &of_high, &[1, 3], &tables));
    let coded_high = || (3, coded(&high, &before(&high), &[30], &tables[..2]));
    let quants = xof("quants", 32 * records);
    let lines = low.iter().zip(&high).zip(quants.chunks(32));
    let raw: Vec<u8> = lines.flat_map(|((low, high), quants)| [&[*low, *high], quants].concat()).collect();
    let parts = [coded_low(), coded_high(), (0, quants.clone()), (0, vec![])];
    good(cases, "rans, d of Q8_0", &assemble(of_records(8, 0), raw.len(), &parts), &raw);

    let places: Vec<u8> = xof("places", records).iter().map(|byte| byte % 32).collect();
    let greatest = xof("greatest", records);
    let others = xof("others", 31 * records);
    let scale = |at: usize| i32::from(u16::from_le_bytes([low[at], high[at]]));
    let above = |at: usize| {
        let around = (1..=4).map(|far| scale(at.saturating_sub(far)) + scale((at + far).min(records - 1)));
        (128 + (8 * scale(at) - around.sum::<i32>()).div_euclid(128)).clamp(0, 255).to_le_bytes()[0]
    };
    let of_scales: Vec<u8> = (0..records).flat_map(|at| vec![above(at); 31]).collect();
    let raw: Vec<u8> = (0..records)
        .flat_map(|at| record(low[at], high[at], places[at], greatest[at], &others[31 * at..][..31]))
        .chain(*b"tail")
        .collect();
    let plain =
        [low.clone(), high.clone(), places.clone(), greatest.clone(), others.clone(), b"tail".to_vec()];
    let plain: Vec<(u8, Vec<u8>)> = plain.into_iter().map(|part| (0, part)).collect();
    good(cases, "Q8_0, greatest apart", &assemble(of_records(136, 0), raw.len(), &plain), &raw);
    let mut parts = plain.clone();
    (parts[0], parts[1]) = (coded_low(), coded_high());
    parts[2].0 = 3;
    parts[2].1 = coded(&places, &before(&places), &[], &[vec![(31, Some(7)), (127, None), (95, None)]]);
    parts[4] = (3, coded(&others, &of_scales, &[120, 140], &tables));
    good(cases, "rans, Q8_0, greatest apart", &assemble(of_records(136, 0), raw.len(), &parts), &raw);
    let beyond = |place: u8| {
        let mut parts = plain.clone();
        parts[2].1[5] = place;
        assemble(of_records(136, 0), raw.len(), &parts)
    };
    for place in [32, 255] {
        let name = format!("Q8_0, greatest apart, place {place}");
        let fields = json!({ "coded": hex(&beyond(place)), "raw_length": raw.len(), "base": "" });
        cases.bad(&name, "one of 32", "value", fields);
    }
}

fn refuse(cases: &mut Cases, raw_length: usize, list: &[(&str, &str, &str, Vec<u8>)]) {
    for (name, comment, code, block) in list {
        let fields = json!({ "coded": hex(block), "raw_length": raw_length, "base": "" });
        cases.bad(&format!("rans, {name}"), comment, code, fields);
    }
}

fn hostile(cases: &mut Cases) {
    let part = xof("hostile", 20);
    let tables = [EVEN.to_vec(), skewed_even(), EVEN.to_vec()];
    let plain = coded(&part, &before(&part), &[], &tables[..1]);
    let three = coded(&part, &before(&part), &[7, 9], &tables);
    let (states, words) = (5, 5 + 4 * STATES);
    let list = [
        ("no table", "T is 0", "number", with(&plain, 0, &[0])),
        ("seventeen tables", "T is 17", "number", with(&plain, 0, &[17])),
        ("more tables than there are", "T is 2", "value", with(&plain, 0, &[2])),
        ("equal bounds", "7, 7", "order", with(&three, 2, &[7])),
        ("falling bounds", "7, 6", "order", with(&three, 2, &[6])),
        ("small state", "2^16 - 1", "value", with(&plain, states, &[255, 255, 0, 0])),
        ("no state", "the head and the table", "short", plain[..states].to_vec()),
        ("states cut", "three of four bytes of the last", "short", plain[..words - 1].to_vec()),
        ("words cut", "the last is missing", "short", cut(&plain, 2)),
        ("half a word", "the last byte is missing", "short", cut(&plain, 1)),
        ("a byte too many", "half a word behind the last", "trailing", longer(&plain)),
        ("a word too many", "behind the last", "trailing", longer(&longer(&plain))),
        ("another word", "the last one by 1", "value", {
            with(&plain, plain.len() - 2, &[plain[plain.len() - 2] ^ 1])
        }),
        ("nothing", "no byte", "short", vec![]),
    ];
    let list = list.map(|(name, comment, code, coded)| (name, comment, code, whole(&part, coded)));
    refuse(cases, 20, &list);
    let rest = [(0, vec![1; 5]), (0, vec![1; 5]), (0, vec![1; 5]), (0, vec![1; 5]), (3, plain.clone())];
    let list = [
        (
            "empty part",
            "an empty part is coder 0",
            "coder",
            assemble(Shape::planes(4, 0, 0, 0, 0), 20, &rest),
        ),
        ("coder 4", "unknown", "number", assemble(Shape::identity(4, 0), 20, &[(4, plain.clone())])),
    ];
    refuse(cases, 20, &list);
    let prefix = assemble(Shape::identity(3, 1), 20, &[(3, plain)]);
    let fields = json!({ "coded": hex(&prefix), "raw_length": 20, "base": hex(b"base") });
    cases.bad("rans, with a prefix", "a prefix goes with zstd", "coder", fields);
}

fn hostile_tables(cases: &mut Cases) {
    let part = xof("hostile", 20);
    let plain = coded(&part, &before(&part), &[], &[EVEN.to_vec()]);
    let table = |runs: &[Run]| [&[1], coded_table(runs).as_slice(), &plain[5..]].concat();
    let list = [
        ("a table of nothing", "256 values that do not occur", "value", table(&[(127, None), (127, None)])),
        (
            "a table of 257 values",
            "128 and 129",
            "value",
            table(&[(127, Some(0)), (126, Some(0)), (1, Some(0))]),
        ),
        (
            "a table of 383 values",
            "255 and 128",
            "value",
            table(&[(127, Some(0)), (126, Some(0)), (127, None)]),
        ),
        ("a table cut before a weight", "128 values and a head", "short", vec![1, 127, 0, 127]),
        ("a table cut between runs", "128 values", "short", vec![1, 127, 0]),
    ];
    refuse(cases, 20, &list.map(|(name, comment, code, coded)| (name, comment, code, whole(&part, coded))));
}
