//! Files that the real libraries wrote (`tests/fixtures/containers/README.md`).

use std::path::PathBuf;

use super::*;
use crate::container::{ContainerKind, Element, Tensor};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/containers"))
}

/// Returns the files, sorted by name.
pub(super) fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if ![".py", ".md", ".tsv"].iter().any(|end| name.ends_with(end)) && entry.path().is_file() {
            files.push((name, std::fs::read(entry.path()).unwrap()));
        }
    }
    files.sort();
    assert!(files.len() > 30);
    files
}

pub(super) fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

/// Returns a line as the libraries told of a tensor.
fn line(file: &str, tensor: &Tensor, bytes: &[u8]) -> String {
    let element = match tensor.element {
        Element::Integer { width_bytes } => format!("Integer{width_bytes}"),
        Element::Quant(kind) => format!("{kind:?}"),
        element => format!("{element:?}"),
    };
    let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
    let range = tensor.offset as usize..tensor.end().unwrap() as usize;
    let weighted = bytes[range].iter().zip(1_u64..).map(|(byte, place)| place * u64::from(*byte));
    let sum = weighted.sum::<u64>() as u32;
    let name = String::from_utf8(tensor.name.clone()).unwrap();
    format!("{file}\t{name}\t{element}\t{}\t{}\t{sum}", shape.join(","), tensor.length_bytes)
}

#[test]
fn the_tensors_of_every_file_are_those_that_its_library_tells_of() {
    let expected = std::fs::read_to_string(folder().join("expected.tsv")).unwrap();
    for (name, bytes) in files() {
        let mut expected: Vec<&str> =
            expected.lines().filter(|line| line.split('\t').next() == Some(&name)).collect();
        let found = sound_layout(&bytes);
        let tensors = found.map_or(Vec::new(), |found| found.tensors);
        let mut told: Vec<String> = tensors.iter().map(|tensor| line(&name, tensor, &bytes)).collect();
        expected.sort();
        told.sort();
        assert_eq!(told, expected);
    }
}

#[test]
fn every_file_is_of_its_kind() {
    for (name, bytes) in files() {
        let Some(found) = sound_layout(&bytes) else { continue };
        let kind = match name.rsplit('.').next().unwrap() {
            "safetensors" => ContainerKind::Safetensors,
            "gguf" => ContainerKind::Gguf,
            "npy" => ContainerKind::Npy,
            "npz" => ContainerKind::Npz,
            "faiss" => ContainerKind::Faiss,
            "pt" | "distcp" => ContainerKind::TorchZip,
            other => panic!("{other}"),
        };
        assert_eq!(found.kind, kind, "{name}");
    }
}

#[test]
fn structures_and_deflated_members_have_no_layout() {
    for name in ["structured.npy", "deflated.npz"] {
        assert_eq!(sound_layout(&file(name)), None, "{name}");
    }
}

/// Files whose front tells all.
const TOLD_BY_FRONT: [&str; 3] = ["safetensors", "gguf", "npy"];

#[test]
fn the_head_of_a_stream_tells_what_the_file_does() {
    for (name, bytes) in files() {
        let end = name.rsplit('.').next().unwrap();
        let Some(found) = sound_layout(&bytes).filter(|_| TOLD_BY_FRONT.contains(&end)) else { continue };
        let header = found.tensors[0].offset as usize;
        assert_eq!(layout(&Head(&bytes[..header])), Some(found), "{name}");
        assert_eq!(sound_layout(&bytes[..header]), None, "{name}: a file ends after its tensors");
    }
}

#[test]
fn the_head_of_a_faiss_stream_tells_the_tensors_up_to_its_end() {
    for (name, bytes) in files() {
        if !name.ends_with(".faiss") {
            continue;
        }
        let found = sound_layout(&bytes).unwrap();
        for length in (64..bytes.len()).step_by(7) {
            let Some(head) = layout(&Head(&bytes[..length])) else { continue };
            assert!(found.tensors.starts_with(&head.tensors), "{name}: {length}");
            assert!(head.is_sound(None));
        }
    }
}

#[test]
fn an_archive_without_its_end_tells_the_same_tensors() {
    for (name, bytes) in files() {
        if !name.ends_with(".pt") && name != "plain.npz" {
            continue;
        }
        let found = sound_layout(&bytes).unwrap();
        let directory = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        assert_eq!(sound_layout(&bytes[..directory]), Some(found), "{name}");
    }
}

#[test]
fn an_archive_that_was_cut_off_tells_the_tensors_before_the_cut() {
    let bytes = file("checkpoint.pt");
    let found = sound_layout(&bytes).unwrap();
    let cut = found.tensors[4].offset as usize + 3;
    let head = sound_layout(&bytes[..cut]).unwrap();
    assert_eq!(head.tensors, found.tensors[..4]);
}

#[test]
fn a_source_that_fails_has_no_layout() {
    for (name, bytes) in files() {
        assert_eq!(layout(&Failing(&bytes, 0)), None, "{name}");
        for fails_at in (1..bytes.len() as u64).step_by(501) {
            let found = layout(&Failing(&bytes, fails_at));
            assert!(found.is_none_or(|found| found.is_sound(Some(bytes.len() as u64))), "{name}");
        }
    }
}

#[test]
fn the_byte_at_an_offset_is_in_the_tensor_that_has_it() {
    let found = sound_layout(&file("checkpoint.pt")).unwrap();
    let first = &found.tensors[0];
    assert_eq!(found.at(first.offset - 1), None);
    assert_eq!(found.at(first.offset), Some(first));
    assert_eq!(found.at(first.end().unwrap() - 1), Some(first));
    assert_eq!(found.at(first.end().unwrap()), None);
}
