use super::*;
use crate::base::{Entropy, clock::SeededEntropy};

fn random(size: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; size];
    SeededEntropy::new(seed).fill(&mut bytes);
    bytes
}

/// Numbers around zero, as weights are, in the upper two bytes of a float.
fn bf16(count: usize) -> Vec<u8> {
    let noise = random(count * 4, 11);
    let weights = noise.chunks_exact(4).map(|b| {
        let uniform = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        (f64::from(uniform) / f64::from(u32::MAX) - 0.5) as f32 * 0.04
    });
    weights.flat_map(|weight| [weight.to_le_bytes()[2], weight.to_le_bytes()[3]]).collect()
}

fn zip(method: u8, member: &[u8]) -> Vec<u8> {
    let mut head = b"PK\x03\x04\x14\0\0\0".to_vec();
    head.extend([method, 0]);
    head.resize(26, 0);
    head.extend((member.len() as u16).to_le_bytes());
    head.extend([0, 0]);
    head.extend(member);
    head
}

#[test]
fn numbers_and_words_read_back_and_are_those_of_the_format() {
    let numbers: Vec<u8> = Class::ALL.iter().map(|class| class.number()).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    for class in Class::ALL {
        assert_eq!(Class::from_number(class.number()), Some(class));
        assert_eq!(Class::from_word(class.word()), Some(class));
    }
    assert_eq!(Class::from_number(4), None);
    assert_eq!(Class::from_word("other"), None);
}

/// The first record of a tar archive with one file.
fn tar_record() -> Vec<u8> {
    let mut record = vec![0; 512];
    record[..4].copy_from_slice(b"a.md");
    record[124..135].copy_from_slice(b"00000000010");
    record[148..156].copy_from_slice(b"        ");
    record[257..262].copy_from_slice(b"ustar");
    let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
    record[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    record
}

fn sqlite_header() -> Vec<u8> {
    let mut header = [b"SQLite format 3\0".as_slice(), &[0x10, 0, 1, 1, 0, 64, 32, 32]].concat();
    header.resize(100, 0);
    header
}

fn sqlite_log_header() -> Vec<u8> {
    [0x377f_0682_u32, 3_007_000, 4_096, 0].iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// `{a: 1, b: "xy", c: {}, d: [], e: true, f: binary, g: 2.0}`
fn document() -> Vec<u8> {
    let mut fields = b"\x10a\0\x01\0\0\0\x02b\0\x03\0\0\0xy\0\x03c\0\x05\0\0\0\0\x04d\0\x05\0\0\0\0".to_vec();
    fields.extend(b"\x08e\0\x01\x05f\0\x02\0\0\0\0\xaa\xbb\x01g\0\0\0\0\0\0\0\0\x40\0");
    [&(fields.len() as u32 + 4).to_le_bytes()[..], &fields].concat()
}

const CUSTOM: &[u8] = b"PGDMP\x01\x10\x00\x04\x08\x01\x01";

#[test]
fn dumps_are_recognised_by_their_first_bytes() {
    let archive = [&[0x6d, 0xe2, 0x99, 0x81][..], &document()].concat();
    let heads: [(&[u8], Kind); 17] = [
        (CUSTOM, Kind::PostgresCustom),
        (b"PGDMP\x01\x0e\0\x04\x08\x03\0\x06\0\0\0", Kind::PostgresToc),
        (b"--\n-- PostgreSQL database dump\n--\n", Kind::PostgresSql),
        (b"-- MySQL dump 10.13\n", Kind::MysqlSql),
        (b"/*M!999999\\- enable the sandbox mode */\n", Kind::MysqlSql),
        (b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n", Kind::Sql),
        (&sqlite_header(), Kind::Sqlite),
        (&sqlite_log_header(), Kind::SqliteLog),
        (&archive, Kind::MongoArchive),
        (&document(), Kind::Bson),
        (&tar_record(), Kind::Tar),
        (b"{\"a\": [1, 2]}\n", Kind::JsonLines),
        (b"{\"a\": 1}\r\n{\"a\": 2}\r\n{\"a", Kind::JsonLines),
        (b"[\n  {\"a\": 1},\n", Kind::Json),
        (b"id,name\r\n1,\xc3\xa9\r\n", Kind::Csv),
        (b"\xef\xbb\xbfid;name\n1;2\n3;4", Kind::Csv),
        (b"2026-01-01 started\n2026-01-01 stopped\n", Kind::Text),
    ];
    for (head, kind) in heads {
        assert_eq!(recognise_kind(b"x", head, b""), kind, "{head:?}");
        assert_eq!(recognise(b"x", head, b""), Class::Dump, "{head:?}");
    }
}

#[test]
fn a_compressed_archive_is_opaque_where_its_bytes_bear_it_out() {
    let text = b"COPY public.orders (id, note) FROM stdin;\n".repeat(1_500);
    let deflated = {
        let lines: Vec<u8> = random(200_000, 1).iter().flat_map(|b| format!("{b}\t").into_bytes()).collect();
        zstd::bulk::compress(&lines, 3).unwrap()
    };
    let plain = b"PGDMP\x01\x10\x00\x04\x08\x01\x00";
    let toc = b"PGDMP\x01\x10\x00\x04\x08\x03\x01";
    let head = |header: &[u8], body: &[u8]| [header, &body[..60_000]].concat();
    let middle = &deflated[70_000..78_192];
    for (head, sample, class) in [
        // A file, and a stream, of which no middle is known.
        (head(CUSTOM, &deflated), middle, Class::Opaque),
        (head(CUSTOM, &deflated), b"", Class::Opaque),
        // A table of contents longer than the head.
        (head(CUSTOM, &text), middle, Class::Opaque),
        (head(CUSTOM, &text), b"", Class::Dump),
        // A header that lies, and others.
        (head(CUSTOM, &deflated), &text[..8_192], Class::Dump),
        (head(plain, &deflated), middle, Class::Dump),
        (head(toc, &deflated), middle, Class::Dump),
    ] {
        assert_eq!(recognise(b"shop.dump", &head, sample), class, "{:?}", &head[..12]);
    }
    // What it is remains known: parts and advice are about the dump.
    assert_eq!(recognise_kind(b"x", &head(CUSTOM, &deflated), middle), Kind::PostgresCustom);
}

#[test]
fn documents_are_recognised_by_what_they_hold_not_by_their_name() {
    let whole = document();
    assert_eq!(recognise_kind(b"users", &[whole.clone(), whole.clone()].concat(), b""), Kind::Bson);
    // A first document that is longer than the head needs the name.
    let mut long = whole.clone();
    long[..4].copy_from_slice(&400_000_u32.to_le_bytes());
    long.truncate(whole.len() - 1);
    assert_eq!(recognise_kind(b"dump/shop/users.bson", &long, b""), Kind::Bson);
    assert_eq!(recognise_kind(b"users", &long, b""), Kind::General);
    let broken: [&[u8]; 5] = [
        &[22, 0, 0, 0, 2, b'a', 0],
        &[22, 0, 0, 0, 0, b'a', 0, 1, 2, 3],
        &[255, 255, 255, 255, 2, b'a', 0],
        &[9, 0, 0, 0, 8, b'a', 0, 7, 0],
        &[40, 0, 0, 0, 0x20, b'a', 0, 7, 0, 1, 1, 1],
    ];
    for head in broken {
        assert_eq!(recognise(b"users.bson", head, b""), Class::General, "{head:?}");
    }
}

#[test]
fn a_header_that_is_cut_or_lies_is_none() {
    let mut archive = vec![0x6d, 0xe2, 0x99, 0x81];
    archive.extend(document());
    let wholes: [(&[u8], usize); 5] = [
        (CUSTOM, CUSTOM.len()),
        (&sqlite_header(), 100),
        (&sqlite_log_header(), 12),
        (&archive, 16),
        (&tar_record(), 512),
    ];
    for (whole, needed) in wholes {
        for length in 0..=whole.len() {
            let is_dump = recognise(b"x", &whole[..length], b"") == Class::Dump;
            assert!(is_dump == (length >= needed) || length < 16, "{length} of {whole:?}");
        }
    }
    let lying = |mut head: Vec<u8>, at: usize, byte: u8| {
        head[at] = byte;
        recognise(b"x", &head, b"")
    };
    for (at, byte) in [(5, 2), (6, 99), (8, 0), (9, 77), (10, 9)] {
        assert_eq!(lying(CUSTOM.to_vec(), at, byte), Class::General, "byte {at}");
    }
    for (at, byte) in [(16, 3), (18, 9), (21, 63), (19, 0)] {
        assert_eq!(
            lying([&sqlite_header()[..], &[0xff; 900]].concat(), at, byte),
            Class::General,
            "byte {at}"
        );
    }
    for at in [0, 100, 150, 300, 511] {
        assert_eq!(lying(tar_record(), at, 3), Class::General, "byte {at}");
    }
    assert_eq!(lying(archive, 4, 2), Class::General);
}

#[test]
fn text_in_other_encodings_is_text() {
    let prose = "Größe und Höhe, façade et naïveté; año.\n".repeat(40);
    let latin: Vec<u8> = prose.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let wide = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        let marked = format!("\u{feff}{prose}🙂");
        marked.encode_utf16().flat_map(unit).collect()
    };
    for text in [latin.clone(), wide(u16::to_le_bytes), wide(u16::to_be_bytes)] {
        assert_eq!(recognise_kind(b"x", &text, b""), Kind::Text);
        for start in [700, 701] {
            assert_eq!(recognise_kind(b"x", &text, &text[start..]), Kind::Text);
        }
        assert_eq!(recognise(b"x", &text, &vec![0; 2_048]), Class::General);
        assert_eq!(recognise(b"x", &text, &random(2_048, 3)), Class::General);
    }
    // Cyrillic in one byte: hardly any ASCII but spaces and lines.
    let cyrillic: Vec<u8> =
        (0..2_000_u32).map(|n| if n % 7 == 0 { b' ' } else { 0xe0 + (n % 32) as u8 }).collect();
    assert_eq!(recognise_kind(b"x", &cyrillic, b""), Kind::Text);
    assert_eq!(recognise(b"x", &[0xf0; 2_000], b""), Class::General);
    assert_eq!(recognise(b"x", &[b"\xff\xfe".to_vec(), random(4_000, 9)].concat(), b""), Class::Opaque);
}

#[test]
fn tensors_are_recognised_by_their_first_bytes() {
    let safetensors = [&300u64.to_le_bytes()[..], b"{\"w\":{}}"].concat();
    for head in
        [&safetensors[..], b"GGUF\x03\0\0\0", b"\x93NUMPY\x01\0", b"IxF2\x80\0\0\0", b"IwFl\0\x03\0\0"]
    {
        assert_eq!(recognise(b"x", head, b""), Class::Tensors, "{head:?}");
    }
    assert_eq!(recognise(b"model.PT", &zip(0, b"model/version"), b""), Class::Tensors);
    assert_eq!(recognise(b"anything", &zip(0, b"archive/data.pkl"), b""), Class::Tensors);
    assert_eq!(recognise(b"a.npz", &zip(0, b"x.npy"), b""), Class::Tensors);
}

#[test]
fn compressed_and_encrypted_bytes_are_opaque() {
    let heads: [&[u8]; 9] = [
        b"\x1f\x8b\x08\0",
        b"\x28\xb5\x2f\xfd\x04",
        b"\xfd7zXZ\0",
        b"BZh91AY",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"\0\0\0\x20ftypisom",
        b"-----BEGIN PGP MESSAGE-----\n",
        b"age-encryption.org/v1\n-> X25519",
    ];
    for head in heads {
        assert_eq!(recognise(b"x.sql", head, b""), Class::Opaque, "{head:?}");
    }
    assert_eq!(recognise(b"a.docx", &zip(8, b"word/document.xml"), b""), Class::Opaque);
    assert_eq!(recognise(b"a.npz", &zip(8, b"x.npy"), b""), Class::Opaque);
    assert_eq!(recognise(b"x", &random(65_536, 5), &random(8_192, 6)), Class::Opaque);
}

#[test]
fn weights_without_a_container_are_not_opaque() {
    let weights = bf16(32_768);
    assert_eq!(recognise(b"weights.raw", &weights, &weights[..8_192]), Class::General);
}

#[test]
fn what_only_begins_like_something_is_general_or_what_its_middle_says() {
    assert_eq!(recognise(b"x", b"", b""), Class::General);
    assert_eq!(recognise(b"x", b"\0\0\0\0", b""), Class::General);
    assert_eq!(recognise(b"x", &random(65_536, 8), &vec![0; 8_192]), Class::General);
    assert_eq!(recognise(b"x", b"#!/bin/sh\nexit\n", &random(8_192, 9)), Class::General);
    assert_eq!(recognise(b"x", b"IxFI is the first word", b""), Class::Dump);
    assert_eq!(recognise(b"x", b"BZhang is a name", b""), Class::Dump);
}

#[test]
fn no_head_makes_it_fail() {
    let magics = TENSOR_MAGICS.iter().chain(&OPAQUE_MAGICS).copied();
    let mut heads: Vec<Vec<u8>> = magics.map(<[u8]>::to_vec).collect();
    heads.extend([b"PK\x03\x04".to_vec(), b"IxF2".to_vec(), b"BZh".to_vec(), CUSTOM.to_vec(), document()]);
    heads.extend([tar_record(), sqlite_header(), sqlite_log_header(), b"\xff\xfea\0".to_vec()]);
    for head in heads {
        let whole = [head, random(400, 4)].concat();
        for length in 0..whole.len() {
            for name in [&b"a.bson"[..], b"a.pt", b""] {
                let kind = recognise_kind(name, &whole[..length], &whole[length..]);
                assert!(Kind::ALL.contains(&kind) && !kind.words().is_empty());
            }
        }
    }
}
