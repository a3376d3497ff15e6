//! Chapter 6: coded blocks, put together here by the chapter's words and not by the codec room.

use serde_json::{Value, json};
use snap::base::id::hex;
use zstd::zstd_safe::{CCtx, CParameter, compress_bound};

use super::Cases;
use super::data::{Data, xof};
use super::{cut, flipped, longer, with};

/// How a block is coded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// 0 identity, 1 planes.
    pub(crate) transform: u8,
    /// Bytes of an element.
    pub(crate) width: u8,
    /// Bits.
    pub(crate) rotate: u8,
    /// Bytes before the first element.
    pub(crate) lead: u8,
    /// 0 none, 1 prefix, 2 xor.
    pub(crate) base_use: u8,
    /// Coder of every part that is not empty.
    pub(crate) coder: u8,
}

impl Shape {
    /// Identity with a coder and a base use.
    pub(crate) fn identity(coder: u8, base_use: u8) -> Self {
        Self { transform: 0, width: 1, rotate: 0, lead: 0, base_use, coder }
    }

    /// Planes with a coder and a base use.
    pub(crate) fn planes(width: u8, rotate: u8, lead: u8, coder: u8, base_use: u8) -> Self {
        Self { transform: 1, width, rotate, lead, base_use, coder }
    }
}

/// Returns one zstd frame with its content size, made after `prefix`.
pub(crate) fn frame(plain: &[u8], prefix: &[u8], checksum: bool) -> Vec<u8> {
    let mut context = CCtx::create();
    context.set_parameter(CParameter::ChecksumFlag(checksum)).expect("a known parameter");
    if !prefix.is_empty() {
        context.ref_prefix(prefix).expect("a fresh context");
    }
    let mut coded = Vec::with_capacity(compress_bound(plain.len()));
    context.compress2(&mut coded, plain).expect("enough room");
    coded
}

/// Returns the parts of 6.1, step 2.
fn parts(shape: Shape, x: &[u8]) -> Vec<Vec<u8>> {
    if shape.transform == 0 {
        return vec![x.to_vec()];
    }
    let (width, bits) = (usize::from(shape.width), 8 * u32::from(shape.width));
    let (lead, body) = x.split_at(usize::from(shape.lead));
    let mut parts = vec![Vec::new(); width];
    for element in body.chunks_exact(width) {
        let value = element.iter().rev().fold(0_u128, |value, byte| value << 8 | u128::from(*byte));
        let rotate = u32::from(shape.rotate);
        let rotated = (value << rotate | value >> (bits - rotate)).to_le_bytes();
        for (part, byte) in parts.iter_mut().zip(rotated) {
            part.push(byte);
        }
    }
    parts.push([lead, body.chunks_exact(width).remainder()].concat());
    parts
}

/// Returns a coded block of given parts.
pub(crate) fn assemble(shape: Shape, raw_bytes: usize, parts: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![shape.transform, shape.width, shape.rotate, shape.lead, shape.base_use, 0, 0, 0];
    let number = |length: usize, out: &mut Vec<u8>| {
        out.extend_from_slice(&u32::try_from(length).expect("a short length").to_le_bytes());
    };
    number(raw_bytes, &mut out);
    for (coder, coded) in parts {
        out.push(*coder);
        number(coded.len(), &mut out);
    }
    out.extend(parts.iter().flat_map(|(_, coded)| coded));
    out
}

/// Returns `raw` as a coded block.
pub(crate) fn code(shape: Shape, raw: &[u8], base: &[u8]) -> Vec<u8> {
    let mut x = raw.to_vec();
    if shape.base_use == 2 {
        x.iter_mut().zip(base).for_each(|(byte, other)| *byte ^= other);
    }
    let prefix = if shape.base_use == 1 { base } else { b"" };
    let coded = parts(shape, &x).into_iter().map(|part| match (part.len(), shape.coder) {
        (0, _) => (0, Vec::new()),
        (_, 1) => (1, frame(&part, prefix, false)),
        (_, 2) => (2, part[..1].to_vec()),
        _ => (0, part),
    });
    assemble(shape, raw.len(), &coded.collect::<Vec<_>>())
}

fn fields(coded: &[u8], raw_length: usize, base: &Data) -> Value {
    json!({ "coded": hex(coded), "raw_length": raw_length, "base": base.json() })
}

/// The set `blocks`.
pub(crate) fn blocks() -> Cases {
    let mut cases = Cases::default();
    good(&mut cases);
    bad_heads(&mut cases);
    bad_parts(&mut cases);
    bad_frames(&mut cases);
    cases
}

fn good(cases: &mut Cases) {
    let text = b"the same words again and again, ".repeat(9);
    let long = Data::Hex(xof("base", 700));
    let mut add = |name: &str, shape: Shape, raw: &Data, base: &Data| {
        let base = if shape.base_use == 0 { Data::Hex(vec![]) } else { base.clone() };
        let coded = code(shape, &raw.bytes(), &base.bytes());
        let mut fields = fields(&coded, raw.bytes().len(), &base);
        fields["raw"] = raw.json();
        cases.good(name, fields);
    };
    let words = ["raw", "zstd", "constant"];
    let uses = ["no base", "prefix", "xor"];
    // Constant after xor: the plaintext is the base with every bit turned.
    let turned = Data::Hex(long.bytes().iter().take(300).map(|byte| !byte).collect());
    for base_use in [0, 2] {
        for coder in [0, 1, 2] {
            let raw = match (coder, base_use) {
                (2, 0) => Data::Repeat(vec![0x5a], 300),
                (2, _) => turned.clone(),
                _ => Data::Hex(text.clone()),
            };
            let (word, base) = (words[usize::from(coder)], uses[usize::from(base_use)]);
            add(&format!("identity, {word}, {base}"), Shape::identity(coder, base_use), &raw, &long);
            for (width, rotate, lead) in [(2, 0, 0), (2, 9, 1), (4, 1, 3), (4, 31, 0), (8, 12, 7), (8, 63, 0)]
            {
                let raw = match (coder, base_use) {
                    (2, 0) => Data::Repeat(vec![0xa5], 301),
                    (2, _) => turned.clone(),
                    _ => Data::Hex(xof("elements", 301)),
                };
                let shape = Shape::planes(width, rotate, lead, coder, base_use);
                let name = format!("planes {width} by {rotate} after {lead}, {word}, {base}");
                add(&name, shape, &raw, &long);
            }
        }
    }
    let after = Data::Hex([&text[5..], b"!".as_slice()].concat());
    let prefix = Shape::identity(1, 1);
    add("identity, zstd, prefix", prefix, &after, &Data::Hex(text.clone()));
    add("identity, zstd, prefix of noise", prefix, &Data::Hex(xof("base", 600)), &long);
    add("prefix of 1 MiB", prefix, &Data::Xof("p".into(), 500), &Data::Xof("p".into(), 1 << 20));
    let short = Data::Hex(xof("short base", 10));
    add("xor with a shorter base", Shape::identity(0, 2), &Data::Hex(text.clone()), &short);
    add("xor planes with a shorter base", Shape::planes(2, 1, 0, 1, 2), &Data::Hex(text), &short);
    add("xor with a longer base", Shape::identity(0, 2), &Data::Hex(vec![1, 2, 3]), &short);
    add("one byte", Shape::identity(0, 0), &Data::Hex(vec![7]), &short);
    add("planes without a whole element", Shape::planes(8, 5, 0, 0, 0), &Data::Hex(vec![1, 2, 3]), &short);
    add("planes, all lead", Shape::planes(8, 5, 3, 0, 0), &Data::Hex(vec![1, 2, 3]), &short);
    add("planes without rest", Shape::planes(4, 8, 0, 1, 0), &Data::Hex(xof("whole", 40)), &short);
    add("the longest block", Shape::identity(2, 0), &Data::Repeat(vec![9], 1 << 20), &short);
    add("the longest based block", Shape::identity(1, 2), &Data::Repeat(vec![9], 1 << 18), &short);
    let plain = xof("checksum", 50);
    let coded = assemble(Shape::identity(1, 0), 50, &[(1, frame(&plain, b"", true))]);
    let mut checked = fields(&coded, 50, &Data::Hex(vec![]));
    checked["raw"] = json!(hex(&plain));
    cases.good("zstd frame with a checksum", checked);
}

/// Adds refused cases without base.
fn refuse(cases: &mut Cases, raw_length: usize, list: &[(&str, &str, &str, Vec<u8>)]) {
    for (name, comment, code, coded) in list {
        cases.bad(name, comment, code, fields(coded, raw_length, &Data::Hex(vec![])));
    }
}

fn bad_heads(cases: &mut Cases) {
    let raw = xof("raw", 20);
    let plain = code(Shape::identity(0, 0), &raw, b"");
    let planes = code(Shape::planes(2, 3, 1, 0, 0), &raw, b"");
    let list: [(&str, &str, &str, Vec<u8>); 16] = [
        ("unknown transform", "transform 2", "number", with(&plain, 0, &[2])),
        ("identity of width 2", "width 2", "number", with(&plain, 1, &[2])),
        ("identity, rotated", "rotate 1", "number", with(&plain, 2, &[1])),
        ("identity with lead", "lead 1", "number", with(&plain, 3, &[1])),
        ("planes of width 1", "width 1", "number", with(&planes, 1, &[1])),
        ("planes of width 3", "width 3", "number", with(&planes, 1, &[3])),
        ("planes of width 0", "width 0", "number", with(&planes, 1, &[0])),
        ("planes, rotated too far", "rotate 16 of 16 bits", "number", with(&planes, 2, &[16])),
        ("lead of a whole element", "lead 2 of width 2", "number", with(&planes, 3, &[2])),
        ("unknown base use", "base use 3", "number", with(&plain, 4, &[3])),
        ("reserved", "the last reserved byte", "reserved", with(&plain, 7, &[1])),
        ("raw length above", "21 in place of 20", "mismatch", with(&plain, 8, &[21])),
        ("raw length below", "19 in place of 20", "mismatch", with(&plain, 8, &[19])),
        ("head cut", "eleven bytes", "short", plain[..11].to_vec()),
        ("part table cut", "no room for the part table", "short", plain[..16].to_vec()),
        ("nothing", "no bytes", "short", vec![]),
    ];
    refuse(cases, 20, &list);
    let lead = code(Shape::planes(8, 0, 3, 0, 0), &[1, 2, 3], b"");
    refuse(cases, 3, &[("lead beyond raw", "lead 4 of 3 bytes", "number", with(&lead, 3, &[4]))]);
    let mut based = |name: &str, comment: &str, code: &str, coded: &[u8], length: usize, base: Data| {
        cases.bad(name, comment, code, fields(coded, length, &base));
    };
    let base = || Data::Hex(xof("base", 64));
    let prefix = code(Shape::identity(1, 1), &raw, &base().bytes());
    let turned = code(Shape::identity(0, 2), &raw, &base().bytes());
    let none = || Data::Hex(vec![]);
    based("prefix without base", "base use 1, no bases", "base", &prefix, 20, none());
    based("xor without base", "base use 2, no bases", "base", &turned, 20, none());
    based("base without use", "base use 0, with bases", "base", &plain, 20, base());
    based("prefix with planes", "base use 1 and transform 1", "base", &with(&planes, 4, &[1]), 20, base());
    based("prefix with raw", "base use 1 and coder 0", "coder", &with(&plain, 4, &[1]), 20, base());
    let constant = |length: usize, base_use| assemble(Shape::identity(2, base_use), length, &[(2, vec![0])]);
    let above = (1 << 18) + 1;
    based("long based block", "one byte above the limit", "limit", &constant(above, 2), above, base());
    let above = (1 << 20) + 1;
    based("long block", "one byte above the limit", "limit", &constant(above, 0), above, none());
    let long = Data::Repeat(vec![0], above);
    based("long base", "one byte above the limit", "limit", &constant(5, 2), 5, long);
    based(
        "empty block",
        "raw length 0",
        "value",
        &assemble(Shape::identity(0, 0), 0, &[(0, vec![])]),
        0,
        none(),
    );
}

fn bad_parts(cases: &mut Cases) {
    let raw = xof("raw", 20);
    let plain = code(Shape::identity(0, 0), &raw, b"");
    let planes = code(Shape::planes(2, 3, 1, 0, 0), &raw, b"");
    let identity = Shape::identity(0, 0);
    let odd = Shape::planes(4, 0, 0, 0, 0);
    let empty = |coder: u8, coded: &[u8]| {
        let plane = (0, vec![1; 5]);
        let rest = (coder, coded.to_vec());
        assemble(odd, 20, &[plane.clone(), plane.clone(), plane.clone(), plane, rest])
    };
    let list: [(&str, &str, &str, Vec<u8>); 13] = [
        ("unknown coder", "coder 3", "number", with(&plain, 12, &[3])),
        ("coder of a plane", "coder 3 of the second plane", "number", with(&planes, 17, &[3])),
        ("part table above", "a part of 21 bytes, 20 follow", "short", with(&plain, 13, &[21])),
        ("part table below", "a part of 19 bytes, 20 follow", "mismatch", with(&plain, 13, &[19])),
        ("part table far above", "a part of 2^32 - 1 bytes", "short", with(&plain, 13, &[255; 4])),
        ("planes that lend", "one plane a byte longer, the next shorter", "mismatch", {
            with(&with(&planes, 13, &[10]), 18, &[8])
        }),
        ("trailing", "a byte after the parts", "trailing", longer(&plain)),
        ("cut", "the last byte is missing", "short", cut(&plain, 1)),
        ("constant of two bytes", "coder 2", "mismatch", assemble(identity, 20, &[(2, vec![1, 1])])),
        ("constant of no byte", "coder 2", "mismatch", assemble(identity, 20, &[(2, vec![])])),
        ("empty part, zstd", "an empty part is coder 0", "coder", empty(1, &frame(b"", b"", false))),
        ("empty part, constant", "an empty part is coder 0", "coder", empty(2, &[1])),
        ("empty part with a byte", "an empty part has no bytes", "coder", empty(0, &[1])),
    ];
    refuse(cases, 20, &list);
}

fn bad_frames(cases: &mut Cases) {
    let raw = b"frame".repeat(4);
    let good = frame(&raw, b"", false);
    let block = |frame: Vec<u8>| assemble(Shape::identity(1, 0), 20, &[(1, frame)]);
    // One stored block of 20 bytes behind a head made by hand (RFC 8878, 3.1.1).
    let by_hand = |head: &[u8]| {
        let magic = [0x28, 0xb5, 0x2f, 0xfd];
        block([magic.as_slice(), head, &[20 << 3 | 1, 0, 0], &raw].concat())
    };
    let bomb = frame(&vec![0; 1 << 20], b"", false);
    let size_at = bomb.windows(4).position(|bytes| bytes == (1_u32 << 20).to_le_bytes());
    let liar = with(&bomb, size_at.expect("a content size of four bytes"), &20_u32.to_le_bytes());
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    let checked = frame(&raw, b"", true);
    let list: [(&str, &str, &str, Vec<u8>); 18] = [
        ("zstd, not a frame", "the first byte differs", "zstd", block(flipped(&good, 0))),
        ("zstd, nothing", "no bytes", "zstd", block(vec![])),
        ("zstd, cut", "the last byte is missing", "zstd", block(cut(&good, 1))),
        ("zstd, trailing", "a byte after the frame", "zstd", block(longer(&good))),
        ("zstd, two frames", "both whole", "zstd", block([good.as_slice(), &good].concat())),
        (
            "zstd, skippable before",
            "a skippable frame before",
            "zstd",
            block([&skippable, good.as_slice()].concat()),
        ),
        (
            "zstd, skippable after",
            "a skippable frame after",
            "zstd",
            block([good.as_slice(), &skippable].concat()),
        ),
        ("zstd, longer", "holds 21 bytes", "zstd", block(frame(&[7; 21], b"", false))),
        ("zstd, shorter", "holds 19 bytes", "zstd", block(frame(&[7; 19], b"", false))),
        ("zstd bomb", "holds 1 MiB", "zstd", block(bomb)),
        ("zstd bomb in disguise", "says 20 bytes, holds 1 MiB", "zstd", block(liar)),
        ("zstd, no content size", "a window of 1 KiB", "zstd", by_hand(&[0x00, 0x00])),
        ("zstd, dictionary id", "dictionary 1", "zstd", by_hand(&[0x21, 1, 20])),
        ("zstd, empty dictionary id", "dictionary 0, written", "zstd", by_hand(&[0x21, 0, 20])),
        ("zstd, large window", "4 MiB and an eighth", "zstd", by_hand(&[0x80, 0x61, 20, 0, 0, 0])),
        ("zstd, only a skippable frame", "no bytes in it", "zstd", block(skippable.to_vec())),
        ("zstd, huge window", "a window of 1 GiB", "zstd", by_hand(&[0x80, 0xa0, 20, 0, 0, 0])),
        (
            "zstd, wrong checksum",
            "the last byte differs",
            "zstd",
            block(flipped(&checked, checked.len() - 1)),
        ),
    ];
    refuse(cases, 20, &list);
    let by_hand_too = [
        ("zstd frame made by hand", by_hand(&[0x20, 20])),
        ("zstd, the largest window", by_hand(&[0x80, 0x60, 20, 0, 0, 0])),
    ];
    for (name, coded) in by_hand_too {
        let mut same = fields(&coded, 20, &Data::Hex(vec![]));
        same["raw"] = json!(hex(&raw));
        cases.good(name, same);
    }
}
