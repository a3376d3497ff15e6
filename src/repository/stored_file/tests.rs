use super::*;
use crate::base::Entropy;
use crate::base::clock::SeededEntropy;
use crate::format::node::NodeKind;
use crate::repository::testing::{Entry, TestRepository, noise};
use crate::repository::{ListReader, find_path};

/// Returns a number below `end`.
fn pick(random: &SeededEntropy, end: u64) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    u64::from_le_bytes(bytes) % end.max(1)
}

/// Stores `content` as one file; returns its node's content.
fn store(test: &TestRepository, content: &[u8]) -> FileContent {
    let (_, snapshot) = test.store(&Entry::directory([("file", Entry::file(content))]));
    let reader = ChunkReader::new(&test.repository);
    let node = find_path(&reader, &snapshot.root, b"file").unwrap().unwrap();
    match node.kind {
        NodeKind::File { content, .. } => content,
        other => panic!("{other:?}"),
    }
}

/// Contents whose lists are inline, one leaf, and a tree of two levels, each with the length of its chunks.
fn contents() -> Vec<(Option<u8>, usize, Vec<u8>)> {
    vec![
        (None, 4096, Vec::new()),
        (None, 4096, noise(1, 4_000)),
        (Some(0), 512, noise(2, 60_000)),
        (Some(1), 64, noise(3, 700_001)),
    ]
}

#[test]
fn a_file_reads_at_any_place_as_it_was_stored() {
    let seed = 41;
    println!("seed {seed}");
    let random = SeededEntropy::new(seed);
    for (level, chunk_bytes, content) in contents() {
        let test = TestRepository { chunk_bytes, ..TestRepository::new(1) };
        let node = store(&test, &content);
        let found_level = match &node {
            FileContent::Inline(_) => None,
            FileContent::List { level, .. } => Some(*level),
        };
        assert_eq!(found_level, level);
        let reader = ChunkReader::new(&test.repository);
        let size = content.len() as u64;
        let file = StoredFile::new(&reader, &node, size).unwrap();
        assert_eq!(file.size_bytes(), Some(size));
        for _ in 0..300 {
            let offset = pick(&random, size + 100);
            let mut buffer = vec![0xa5; usize::try_from(pick(&random, 5_000)).unwrap()];
            let count = file.read_at(offset, &mut buffer).unwrap();
            let start = usize::try_from(offset).unwrap().min(content.len());
            let end = (start + buffer.len()).min(content.len());
            assert_eq!(buffer[..count], content[start..end], "{offset}");
        }
        let mut whole = vec![0; content.len() + 1];
        assert_eq!(file.read_at(0, &mut whole).unwrap(), content.len());
        assert_eq!(whole[..content.len()], content);
        assert_eq!(file.read_at(u64::MAX, &mut [0; 9]).unwrap(), 0);
    }
}

#[test]
fn the_chunks_of_a_range_are_those_of_the_list_that_overlap_it() {
    let seed = 42;
    println!("seed {seed}");
    let random = SeededEntropy::new(seed);
    for (_, chunk_bytes, content) in contents() {
        let test = TestRepository { chunk_bytes, ..TestRepository::new(2) };
        let node = store(&test, &content);
        let size = content.len() as u64;
        let reader = ChunkReader::new(&test.repository);
        let mut list = ListReader::new(&reader, &node, size).unwrap();
        let mut all = Vec::new();
        let mut offset = 0;
        while let Some(chunk) = list.next_chunk().unwrap() {
            all.push((offset, chunk));
            offset += u64::from(chunk.length_bytes);
        }
        let file = StoredFile::new(&reader, &node, size).unwrap();
        for _ in 0..200 {
            let (start, end) = (pick(&random, size + 9), pick(&random, size + 9));
            let overlaps = |(offset, chunk): &&(u64, ChunkRef)| {
                start < end && *offset < end && offset + u64::from(chunk.length_bytes) > start
            };
            let expected: Vec<(u64, ChunkRef)> = all.iter().filter(overlaps).copied().collect();
            assert_eq!(file.chunks_in(start, end).unwrap(), expected, "{start} to {end}");
        }
        assert_eq!(file.chunks_in(0, u64::MAX).unwrap(), all);
    }
}

#[test]
fn a_seek_reads_the_list_chunks_above_the_place_alone() {
    let content = noise(5, 900_000);
    let test = TestRepository { chunk_bytes: 16, ..TestRepository::new(3) };
    let node = store(&test, &content);
    let reader = ChunkReader::new(&test.repository);
    let file = StoredFile::new(&reader, &node, content.len() as u64).unwrap();
    let leaves = file.root.entries.len();
    assert!(file.root.level == 1 && leaves > 10, "{leaves} leaves");
    file.read_at(500_000, &mut [0; 8]).unwrap();
    assert_eq!(file.lists.lock().len(), 1);
    for at in 0..1_000 {
        file.read_at(at * 900, &mut [0; 8]).unwrap();
        assert!(file.lists.lock().len() <= LISTS_KEPT && file.chunks.lock().len() <= CHUNKS_KEPT);
    }
}

#[test]
fn lengths_that_differ_from_the_nodes_are_damage() {
    for (_, chunk_bytes, content) in contents() {
        let test = TestRepository { chunk_bytes, ..TestRepository::new(4) };
        let node = store(&test, &content);
        let reader = ChunkReader::new(&test.repository);
        let error = StoredFile::new(&reader, &node, content.len() as u64 + 1).unwrap_err();
        assert!(error.is_damage(), "{error}");
    }
}
