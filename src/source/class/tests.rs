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

#[test]
fn dumps_are_recognised_by_their_first_bytes() {
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let heads: [&[u8]; 9] = [
        b"PGDMP\x01\x10\x00\x04\x08\x01\x01",
        b"-- PostgreSQL database dump\n",
        b"-- MySQL dump 10.13\n",
        b"/*M!999999\\- enable the sandbox mode */\n",
        b"SQLite format 3\0\x10\0",
        &[0x6d, 0xe2, 0x99, 0x81, 1, 0, 0, 0],
        &tar,
        b"{\"a\": [1, 2]}\n",
        b"id,name\r\n1,\xc3\xa9\r\n",
    ];
    for head in heads {
        assert_eq!(recognise(b"x", head, b""), Class::Dump, "{head:?}");
    }
    assert_eq!(recognise(b"users.bson", &[22, 0, 0, 0, 2, b'a', 0], b""), Class::Dump);
    let compressed = [b"PGDMP\x01\x10\x00\x04\x08\x01\x01".to_vec(), random(60_000, 1)].concat();
    assert_eq!(recognise(b"x", &compressed, &random(8_192, 2)), Class::Dump);
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
    let magics = DUMP_MAGICS.iter().chain(&TENSOR_MAGICS).chain(&OPAQUE_MAGICS).copied();
    for magic in magics.chain([&b"PK\x03\x04"[..], b"IxF2", b"BZh"]) {
        let mut whole = magic.to_vec();
        whole.extend(random(400, 4));
        for length in 0..whole.len() {
            for name in [&b"a.bson"[..], b"a.pt", b""] {
                let class = recognise(name, &whole[..length], &whole[length..]);
                assert_eq!(Class::from_number(class.number()), Some(class));
            }
        }
    }
}
