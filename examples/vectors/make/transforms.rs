//! Chapter 6: records, sparse, delta, and bases that are skipped into.
//!
//! Sparse and delta are put together here by the chapter's words. Blocks of records come from the codec room:
//! the second reader unpacks them by the chapter.

use serde_json::{Value, json};
use snap::base::id::hex;
use snap::codec::{self, Base, Coding, PartCoder};
use snap::container::QuantKind;

use super::Cases;
use super::blocks::{Shape, assemble, code, frame};
use super::data::{Data, xof};
use super::{cut, longer, with};

const KINDS: [(QuantKind, &str); 13] = [
    (QuantKind::Q4_0, "Q4_0"),
    (QuantKind::Q4_1, "Q4_1"),
    (QuantKind::Q5_0, "Q5_0"),
    (QuantKind::Q5_1, "Q5_1"),
    (QuantKind::Q8_0, "Q8_0"),
    (QuantKind::Q2K, "Q2_K"),
    (QuantKind::Q3K, "Q3_K"),
    (QuantKind::Q4K, "Q4_K"),
    (QuantKind::Q5K, "Q5_K"),
    (QuantKind::Q6K, "Q6_K"),
    (QuantKind::Iq4Nl, "IQ4_NL"),
    (QuantKind::Iq4Xs, "IQ4_XS"),
    (QuantKind::Mxfp4, "MXFP4"),
];

/// The set `transforms`.
pub(crate) fn transforms() -> Cases {
    let mut cases = Cases::default();
    sparse(&mut cases);
    delta(&mut cases);
    records(&mut cases);
    skips(&mut cases);
    limits(&mut cases);
    cases
}

fn fields(coded: &[u8], raw_length: usize, base: &Data) -> Value {
    json!({ "coded": hex(coded), "raw_length": raw_length, "base": base.json() })
}

fn good(cases: &mut Cases, name: &str, coded: &[u8], raw: &[u8]) {
    let mut fields = fields(coded, raw.len(), &Data::Hex(vec![]));
    fields["raw"] = json!(hex(raw));
    cases.good(name, fields);
}

fn refuse(cases: &mut Cases, raw_length: usize, list: &[(&str, &str, &str, Vec<u8>)]) {
    for (name, comment, code, coded) in list {
        cases.bad(name, comment, code, fields(coded, raw_length, &Data::Hex(vec![])));
    }
}

fn of_transform(transform: u8, width: u8, rotate: u8, lead: u8) -> Shape {
    Shape { transform, width, rotate, lead, base_use: 0, coder: 0 }
}

/// Returns a part with its coder; an empty one is raw.
fn coded(part: Vec<u8>, coder: u8) -> (u8, Vec<u8>) {
    match (part.len(), coder) {
        (0, _) => (0, part),
        (_, 1) => (1, frame(&part, b"", false)),
        _ => (0, part),
    }
}

/// Returns the block of these gap codes and planes, of elements at their places.
fn sparse_block(shape: Shape, raw_bytes: usize, around: &[u8], codes: &[u8], planes: &[Vec<u8>]) -> Vec<u8> {
    let count = u32::try_from(codes.len()).expect("few codes").to_le_bytes();
    let mut parts = vec![coded([&count, around].concat(), 0), coded(codes.to_vec(), shape.coder)];
    parts.extend(planes.iter().map(|plane| coded(plane.clone(), shape.coder)));
    assemble(shape, raw_bytes, &parts)
}

fn sparse(cases: &mut Cases) {
    // Gaps of 0, 1, 239, 240 and 1000 zeros; the last is 4 times 240 and 40.
    let codes = [0, 1, 239, 240, 0, 242, 40];
    let gaps = [0, 1, 239, 240, 1000];
    for (width, rotate, lead, coder) in
        [(1, 0, 0, 0), (1, 5, 0, 1), (2, 1, 1, 0), (4, 31, 3, 1), (8, 0, 7, 0)]
    {
        let (wide, bits) = (usize::from(width), 8 * u32::from(width));
        let shape = Shape { coder, ..of_transform(3, width, rotate, lead) };
        let mut raw = xof("before", usize::from(lead));
        let mut planes = vec![Vec::new(); wide];
        for (at, gap) in gaps.iter().enumerate() {
            raw.extend(vec![0; gap * wide]);
            let element = xof(&format!("element {at}"), wide);
            let value = element.iter().rev().fold(0_u128, |value, byte| value << 8 | u128::from(*byte));
            let rotated = (value << rotate | value >> (bits - u32::from(rotate))).to_le_bytes();
            planes.iter_mut().zip(rotated).for_each(|(plane, byte)| plane.push(byte));
            raw.extend(element);
        }
        raw.extend(vec![0; 3 * wide]);
        raw.extend(vec![9; wide - 1]);
        let around = [xof("before", usize::from(lead)), vec![9; wide - 1]].concat();
        let block = sparse_block(shape, raw.len(), &around, &codes, &planes);
        good(cases, &format!("sparse {width} by {rotate} after {lead}, coder {coder}"), &block, &raw);
    }
    let bytes = of_transform(3, 1, 0, 0);
    good(cases, "sparse, all zero", &sparse_block(bytes, 9, b"", &[], &[vec![]]), &[0; 9]);
    good(cases, "sparse, a coded zero", &sparse_block(bytes, 2, b"", &[1], &[vec![0]]), &[0, 0]);
    good(cases, "sparse, none of them zero", &sparse_block(bytes, 2, b"", &[0, 0], &[vec![1, 2]]), &[1, 2]);
    good(
        cases,
        "sparse, no element",
        &sparse_block(of_transform(3, 4, 0, 0), 3, b"abc", &[], &vec![vec![]; 4]),
        b"abc",
    );
    let block = |codes: &[u8], elements: usize| sparse_block(bytes, 300, b"", codes, &[vec![7; elements]]);
    let plain = block(&[5, 7], 2);
    let many =
        assemble(bytes, 300, &[coded(302_u32.to_le_bytes().to_vec(), 0), (2, vec![0]), (0, vec![7; 300])]);
    let list = [
        ("sparse of width 3", "width 3", "number", with(&plain, 1, &[3])),
        ("sparse, rotated too far", "rotate 8 of 8 bits", "number", with(&plain, 2, &[8])),
        ("sparse, beyond the end", "299 zeros and two elements", "value", block(&[240, 59, 0], 2)),
        ("sparse, zeros beyond the end", "240 and 240 zeros", "value", block(&[240, 240, 0], 1)),
        ("sparse, greatest gap", "240 << 15 zeros", "value", block(&[255, 0], 1)),
        ("sparse, escape at the end", "zeros, and no element", "value", block(&[3, 240], 1)),
        ("sparse, too many codes", "302 codes for 300 elements", "limit", many),
        ("sparse, fewer elements than codes", "one of two", "mismatch", block(&[5, 7], 1)),
        ("sparse, more elements than codes", "three for two", "mismatch", block(&[5, 7], 3)),
        ("sparse, trailing", "a byte after the parts", "trailing", longer(&plain)),
        ("sparse, cut", "the last byte is missing", "short", cut(&plain, 1)),
    ];
    refuse(cases, 300, &list);
}

fn delta(cases: &mut Cases) {
    let values: [i64; 9] = [5, 6, 4, i64::MIN, i64::MAX, -1, 0, 1 << 33, -(1 << 31)];
    for (width, lead) in [(4_u8, 0_u8), (4, 3), (8, 0), (8, 5)] {
        let (wide, bits) = (usize::from(width), 8 * u32::from(width));
        let mut raw = xof("before", usize::from(lead));
        let mut planes = vec![Vec::new(); wide];
        let mut before = 0_i64;
        for value in values {
            // Both widths by 64 bits: the narrow one is cut and extended by its sign.
            let narrow = |value: i64| value << (64 - bits) >> (64 - bits);
            let (value, step) = (narrow(value), narrow(narrow(value).wrapping_sub(before)));
            let mark = (step << 1 ^ step >> (bits - 1)).to_le_bytes();
            planes.iter_mut().zip(mark).for_each(|(plane, byte)| plane.push(byte));
            raw.extend_from_slice(&value.to_le_bytes()[..wide]);
            before = value;
        }
        raw.push(77);
        let around = [xof("before", usize::from(lead)), vec![77]].concat();
        let parts: Vec<(u8, Vec<u8>)> = planes.into_iter().chain([around]).map(|part| (0, part)).collect();
        let shape = of_transform(4, width, 0, lead);
        let block = assemble(shape, raw.len(), &parts);
        good(cases, &format!("delta {width} after {lead}"), &block, &raw);
        let list = [
            ("width 2", with(&block, 1, &[2])),
            ("rotate 1", with(&block, 2, &[1])),
            ("lead of a whole element", with(&block, 3, &[width])),
        ];
        for (what, block) in list {
            refuse(
                cases,
                raw.len(),
                &[(&format!("delta {width} after {lead}, {what}"), what, "number", block)],
            );
        }
    }
}

fn records(cases: &mut Cases) {
    for (kind, word) in KINDS {
        let wide = usize::try_from(kind.record_bytes()).expect("short records");
        for (records, lead, coder) in [(3, 0, PartCoder::Raw), (2, 11, PartCoder::Zstd { level: 3 })] {
            let raw = xof(word, wide * records + usize::from(lead) + 5);
            // Skipping into a base of one zero keeps the encoder from falling back to identity.
            let base = Data::Hex(vec![0]);
            let of_base = Base { use_: codec::BaseUse::Xor, bytes: &[0], skip: 0 };
            let block = codec::encode(&raw, Coding::Records { kind, apart: false, lead, coder }, of_base)
                .expect("a coding");
            let mut fields = fields(&block, raw.len(), &base);
            fields["raw"] = json!(hex(&raw));
            cases.good(&format!("records {word}, {records} after {lead}"), fields);
        }
    }
    let q8 = |number: u8, lead: u8| {
        let parts = [(0, vec![1]), (0, vec![2]), (0, vec![3; 32]), (0, vec![])];
        assemble(of_transform(2, number, 0, lead), 34, &parts)
    };
    good(cases, "records Q8_0, one", &q8(8, 0), &[vec![1, 2], vec![3; 32]].concat());
    let q5 = |value: u8| {
        let mut quants = vec![31; 32];
        quants[17] = value;
        let parts = [(0, vec![1]), (0, vec![2]), (0, quants), (0, vec![])];
        assemble(of_transform(2, 6, 0, 0), 22, &parts)
    };
    good(cases, "records Q5_0, one", &q5(31), &[vec![1, 2], vec![255; 20]].concat());
    refuse(cases, 22, &[("records, a quant of six bits", "32 in five bits", "value", q5(32))]);
    let list = [
        ("records of no layout", "layout 9", "number", q8(9, 0)),
        ("records of the layout of f16", "layout 1", "number", q8(1, 0)),
        ("records, rotated", "rotate 1", "number", with(&q8(8, 0), 2, &[1])),
        ("records, lead of a record", "lead 34", "number", q8(8, 34)),
        ("records, trailing", "a byte after the parts", "trailing", longer(&q8(8, 0))),
        ("records, cut", "the last byte is missing", "short", cut(&q8(8, 0), 1)),
        ("transform 5", "unknown", "number", with(&q8(8, 0), 0, &[5])),
    ];
    refuse(cases, 34, &list);
}

fn skips(cases: &mut Cases) {
    let base = xof("base", 700);
    for skip in [1, 255, 256, 699] {
        let raw = xof("raw", 300);
        let mut mixed = raw.clone();
        mixed.iter_mut().zip(&base[skip..]).for_each(|(byte, other)| *byte ^= other);
        let number = u32::try_from(skip).expect("a short skip").to_le_bytes();
        for shape in [Shape::identity(0, 0), Shape::planes(2, 1, 1, 0, 0)] {
            let block = with(&with(&code(shape, &mixed, b""), 4, &[2]), 5, &number[..3]);
            let mut fields = fields(&block, raw.len(), &Data::Hex(base.clone()));
            fields["raw"] = json!(hex(&raw));
            cases.good(&format!("skip of {skip}, transform {}", shape.transform), fields);
        }
    }
    let plain = code(Shape::identity(0, 2), &xof("raw", 20), &base);
    let prefix = code(Shape::identity(1, 1), &xof("raw", 20), &base);
    let bad = [
        ("skip of the whole base", "700 of 700", "base", with(&plain, 5, &[0xbc, 2, 0])),
        ("skip beyond the base", "2^24 - 1", "base", with(&plain, 5, &[255; 3])),
        ("skip with a prefix", "1", "reserved", with(&prefix, 5, &[1])),
    ];
    for (name, comment, code, block) in bad {
        cases.bad(name, comment, code, fields(&block, 20, &Data::Hex(base.clone())));
    }
}

/// Blocks at the limits that were raised: the cases of older sets refused what they allow now.
fn limits(cases: &mut Cases) {
    let constant = |length: usize| assemble(Shape::identity(2, 2), length, &[(2, vec![0])]);
    let base = xof("base", 64);
    for length in [(1 << 18) + 1, 1 << 20] {
        let mut raw = vec![0; length];
        raw[..64].copy_from_slice(&base);
        let mut fields = fields(&constant(length), length, &Data::Hex(base.clone()));
        // The base, then zeros: the answer is as long as the block.
        fields["raw_blake3"] = json!(blake3::hash(&raw).to_hex().as_str());
        cases.good(&format!("based block of {length}"), fields);
    }
    let above = (1 << 20) + 1;
    cases.bad(
        "based block above the limit",
        "2^20 + 1",
        "limit",
        fields(&constant(above), above, &Data::Hex(base)),
    );
    for (length, code) in [((1 << 20) + 1, "ok"), (1 << 21, "ok"), ((1 << 21) + 1, "limit")] {
        let mut fields = fields(&constant(5), 5, &Data::Repeat(vec![7], length));
        fields["raw"] = json!(hex(&[7; 5]));
        cases.add(&format!("base of {length}"), "", code, fields);
    }
}
