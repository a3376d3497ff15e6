//! What each reader takes and refuses, on files made here.

use super::make::*;
use super::*;
use crate::container::{ContainerKind, Element, TENSORS_MAX};

const WEIGHTS: [u8; 16] = [9; 16];

/// Returns the members of an archive of one storage of four f32.
fn one<'a>(pickle: &'a [u8], order: &'a [u8]) -> Vec<Part<'a>> {
    vec![stored("a/data.pkl", pickle), stored("a/byteorder", order), stored("a/data/0", &WEIGHTS)]
}

/// Returns names, elements and lengths.
fn told(bytes: &[u8]) -> Vec<(String, Element, u64)> {
    let tensors = sound_layout(bytes).map_or(Vec::new(), |found| found.tensors);
    let name = |name: Vec<u8>| String::from_utf8(name).unwrap();
    tensors.into_iter().map(|tensor| (name(tensor.name), tensor.element, tensor.length_bytes)).collect()
}

#[test]
fn an_archive_tells_the_same_however_it_tells_of_sizes_and_without_its_directory() {
    let pickle = pickle(&[("w", tensor("FloatStorage", "0", 4))]);
    for sizes in [Sizes::InHeader, Sizes::Behind, Sizes::Behind64, Sizes::Wide] {
        for with_directory in [true, false] {
            let file = zip(&one(&pickle, b"little"), sizes, with_directory);
            assert_eq!(told(&file), [("w".into(), Element::F32, 16)], "{sizes:?} {with_directory}");
        }
    }
}

#[test]
fn archives_in_a_row_tell_of_each() {
    let first = pickle(&[("w", tensor("FloatStorage", "0", 4))]);
    let second = pickle(&[("v", tensor("BFloat16Storage", "0", 8))]);
    for sizes in [Sizes::InHeader, Sizes::Behind, Sizes::Behind64, Sizes::Wide] {
        let row = [&first, &second, &first].map(|pickle| zip(&one(pickle, b"little"), sizes, true));
        let names: Vec<_> =
            told(&row.concat()).into_iter().map(|(name, element, _)| (name, element)).collect();
        let w = ("w".to_owned(), Element::F32);
        assert_eq!(names, [w.clone(), ("v".into(), Element::Bf16), w], "{sizes:?}");
    }
}

#[test]
fn big_endian_storages_are_bytes() {
    let pickle = pickle(&[("w", tensor("FloatStorage", "0", 4))]);
    let file = zip(&one(&pickle, b"big"), Sizes::InHeader, true);
    assert_eq!(told(&file), [("w".into(), Element::Bytes, 16)]);
}

#[test]
fn a_deflated_storage_is_no_tensor() {
    let pickle = pickle(&[("w", tensor("FloatStorage", "0", 4)), ("v", tensor("FloatStorage", "1", 4))]);
    let mut parts = one(&pickle, b"little");
    parts.push(Part { name: "a/data/1", bytes: &WEIGHTS, method: 8 });
    assert_eq!(told(&zip(&parts, Sizes::InHeader, true)), [("w".into(), Element::F32, 16)]);
}

#[test]
fn a_storage_that_is_not_as_long_as_its_pickle_says_is_bytes() {
    let pickle = pickle(&[("w", tensor("FloatStorage", "0", 5))]);
    let file = zip(&one(&pickle, b"little"), Sizes::InHeader, true);
    assert_eq!(told(&file), [(String::new(), Element::Bytes, 16)]);
}

#[test]
fn other_zip_files_have_no_layout() {
    let parts = [stored("word/document.xml", b"<x/>"), stored("a/data/0", &WEIGHTS)];
    assert_eq!(sound_layout(&zip(&parts, Sizes::InHeader, true)), None);
}

#[test]
fn a_directory_that_lists_a_member_twice_is_not_believed() {
    let pickle = pickle(&[("w", tensor("FloatStorage", "0", 4))]);
    let mut parts = one(&pickle, b"little");
    parts.push(stored("a/data/1", &WEIGHTS));
    let mut file = zip(&parts, Sizes::InHeader, true);
    assert_eq!(told(&file).len(), 2);
    let at = |name: &[u8]| file.windows(name.len()).rposition(|window| window == name).unwrap();
    // The entries' places in the file stand right before the names.
    let (first, second) = (at(b"a/data/0"), at(b"a/data/1"));
    file.copy_within(first - 4..first, second - 4);
    let found = told(&file);
    assert_eq!(found.len(), 2, "the walk from the front: {found:?}");
}

#[test]
fn the_first_name_of_a_shared_storage_counts() {
    let same = || tensor("FloatStorage", "0", 4);
    let file = zip(&one(&pickle(&[("b", same()), ("a", same())]), b"little"), Sizes::Behind, true);
    assert_eq!(told(&file), [("b".into(), Element::F32, 16)]);
}

#[test]
fn values_that_hold_themselves_or_lie_deep_end() {
    // A list in a memo that is appended to itself, then tensors behind 10,000 lists and beside them.
    let mut deep = b"]q\x01h\x01a".to_vec();
    deep.extend(b"]".repeat(10_000));
    deep.extend(tensor("FloatStorage", "1", 4));
    deep.extend(b"a".repeat(10_001));
    let pickle = pickle(&[("deep", deep), ("w", tensor("FloatStorage", "0", 4))]);
    let file = zip(&one(&pickle, b"little"), Sizes::InHeader, true);
    assert_eq!(told(&file), [("w".into(), Element::F32, 16)]);
}

#[test]
fn values_that_are_shared_many_times_are_looked_at_once() {
    // Each list holds the one before twice: two to the 60 ways.
    let mut code = b"]q\0".to_vec();
    for level in 0..60 {
        code.extend([b']', b'(', b'h', level, b'h', level, b'e', b'q', level + 1, 0x86]);
    }
    let pickle = pickle(&[("many", code), ("w", tensor("FloatStorage", "0", 4))]);
    let file = zip(&one(&pickle, b"little"), Sizes::InHeader, true);
    assert_eq!(told(&file), [("w".into(), Element::F32, 16)]);
}

#[test]
fn long_names_are_left_out() {
    let key = "k".repeat(5000);
    let pickle = pickle(&[(&key, tensor("FloatStorage", "0", 4))]);
    let file = zip(&one(&pickle, b"little"), Sizes::InHeader, true);
    assert_eq!(told(&file), [(String::new(), Element::F32, 16)]);
}

#[test]
fn safetensors_that_contradict_themselves_have_no_layout() {
    let entry = |dtype: &str, shape: &str, range: &str| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{range}]}}}}"#)
    };
    let found = |header: &str| sound_layout(&safetensors(header, 16)).is_some();
    assert!(found(&entry("F32", "2,2", "0,16")));
    assert!(found(&entry("F32", "2, 2 ", " 0 , 16 ")));
    assert!(found(&entry("NEW", "3", "0,16")), "a type that is not known has its length");
    for (dtype, shape, range) in [
        ("F32", "2,3", "0,16"),
        ("F32", "2,2", "16,0"),
        ("F32", "2,2", "4,20"),
        ("F32", "2,2", "18446744073709551600,18446744073709551616"),
        ("F32", "4294967296,4294967296,4", "0,16"),
        ("F32", "2,02", "0,16"),
        ("F32", "2,-2", "0,16"),
        ("F32", "2,2.0", "0,16"),
        ("F32", "2,2", "0,16,16"),
        ("F32", "2,2", "0"),
    ] {
        assert!(!found(&entry(dtype, shape, range)), "{dtype} {shape} {range}");
    }
    let whole = entry("F32", "2,2", "0,16");
    assert!(!found(&format!("{whole}x")));
    assert!(!found(&whole[..whole.len() - 1]));
    assert!(!found("{}"), "there are no tensors");
    assert!(!found(&whole.replace("\"shape\":[2,2],", "")));
    let deep = format!("{{\"__metadata__\":{}{}", "[".repeat(200_000), "]".repeat(200_000));
    assert!(!found(&deep));
}

#[test]
fn safetensors_that_overlap_have_no_layout() {
    let header = r#"{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]},
        "b":{"dtype":"U8","shape":[8],"data_offsets":[8,16]}}"#;
    assert_eq!(sound_layout(&safetensors(header, 16)), None);
    assert!(sound_layout(&safetensors(&header.replace("[9]", "[8]").replace("0,9", "0,8"), 16)).is_some());
}

#[test]
fn escapes_in_names_are_read() {
    let header = r#"{"\u0041\"\\\/\n\ud83d\ude00":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}"#;
    assert_eq!(told(&safetensors(header, 1))[0].0, "A\"\\/\n\u{1f600}");
    for wrong in [r"\x", r"\ud83d", r"\ud83dx", r"\ude00", r"\u00g0", "\n"] {
        let header = format!(r#"{{"{wrong}":{{"dtype":"U8","shape":[],"data_offsets":[0,1]}}}}"#);
        assert_eq!(sound_layout(&safetensors(&header, 1)), None, "{wrong}");
    }
}

#[test]
fn gguf_offsets_are_multiples_of_what_the_file_says() {
    let alignment = |value: u32| pair("general.alignment", 4, &value.to_le_bytes());
    assert_eq!(told(&gguf(0, &[], &[8], 0, 0)), [("w".into(), Element::F32, 32)]);
    assert_eq!(told(&gguf(1, &alignment(8), &[8], 0, 8)).len(), 1);
    assert!(told(&gguf(0, &[], &[8], 0, 8)).is_empty());
    for wrong in [0, 3, 1 << 31] {
        assert!(told(&gguf(1, &alignment(wrong), &[8], 0, 0)).is_empty(), "{wrong}");
    }
}

#[test]
fn gguf_that_contradicts_itself_has_no_layout() {
    let nested = |depth: usize| {
        let mut value = [9_u32.to_le_bytes().as_slice(), &1_u64.to_le_bytes()].concat().repeat(depth);
        value.extend([0_u32.to_le_bytes().as_slice(), &1_u64.to_le_bytes(), &[0]].concat());
        pair("nested", 9, &value)
    };
    assert_eq!(told(&gguf(1, &nested(1), &[8], 0, 0)).len(), 1);
    assert!(told(&gguf(1, &nested(2), &[8], 0, 0)).is_empty());
    let endless = pair("endless", 9, &[[0; 4].as_slice(), &u64::MAX.to_le_bytes()].concat());
    assert!(told(&gguf(1, &endless, &[8], 0, 0)).is_empty());
    assert!(told(&gguf(u64::MAX, &[], &[8], 0, 0)).is_empty());
    assert!(told(&gguf(0, &[], &[33], 0, 0)).is_empty(), "ends behind the file");
    assert!(told(&gguf(0, &[], &[1 << 33, 1 << 33], 0, 0)).is_empty());
    assert!(told(&gguf(0, &[], &[31], 8, 0)).is_empty(), "half a record");
    assert!(told(&gguf(0, &[], &[8], 999, 0)).is_empty(), "its only tensor is of no known type");
}

#[test]
fn a_file_with_too_many_tensors_has_no_layout() {
    let mut header = String::from("{");
    for at in 0..=TENSORS_MAX {
        let comma = if at == 0 { "" } else { "," };
        let end = at + 1;
        header += &format!(r#"{comma}"{at}":{{"dtype":"U8","shape":[1],"data_offsets":[{at},{end}]}}"#);
    }
    header.push('}');
    assert_eq!(layout(&&safetensors(&header, TENSORS_MAX + 1)[..]), None);
}

#[test]
fn an_array_of_a_member_ends_within_it() {
    let fits = |shape: &str| {
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let mut array = b"\x93NUMPY\x01\0".to_vec();
        array.extend((text.len() as u16).to_le_bytes());
        array.extend(text.as_bytes());
        array.extend(WEIGHTS);
        let file = zip(&[stored("x.npy", &array), stored("y", &WEIGHTS)], Sizes::InHeader, true);
        sound_layout(&file).map(|found| found.kind)
    };
    assert_eq!(fits("2, 2"), Some(ContainerKind::Npz));
    assert_eq!(fits("5,"), None);
    assert_eq!(fits("18446744073709551615, 2"), None);
}
