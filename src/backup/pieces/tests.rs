use proptest::prelude::*;

use super::*;
use crate::backup::budget::Budget;
use crate::backup::reading::READ_BYTES;
use crate::backup::segments::tests::layout;
use crate::base::clock::SeededEntropy;
use crate::base::{Entropy, RepositoryId};
use crate::crypto::MasterKey;
use crate::format::node::{ChunkRef, FileContent};
use crate::repository::testing::TestRepository;
use crate::repository::{ChunkReader, ListReader};

/// Gives its bytes in reads that fill the buffer.
struct Slow<'a>(&'a [u8]);

impl Fill for Slow<'_> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let count = buffer.len().min(self.0.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

struct Sample {
    keys: Arc<KeyRing>,
    chunker: Chunker,
    buffers: Arc<ReadBuffers>,
}

impl Sample {
    fn new() -> Self {
        let master = MasterKey::from_bytes([1; 32]);
        let keys = KeyRing::new(RepositoryId([2; 16]), &master, Arc::new(SeededEntropy::new(1)));
        let parameters =
            Parameters { min_bytes: 4096, average_bytes: 16_384, max_bytes: 65_536, normalization: 1 };
        let chunker = Chunker::new(parameters, keys.gear()).unwrap();
        let buffers = ReadBuffers::new(Budget::new(64 << 20), 65_536);
        Self { keys: Arc::new(keys), chunker, buffers }
    }

    /// Returns the chunks of a stream, its digest as the bytes passed, and its length.
    fn cut(
        &self,
        data: &[u8],
        segments: &Segments,
        predicted: Predicted<'_, '_>,
    ) -> (Vec<Piece>, blake3::Hash, u64) {
        let rules = Rules { chunker: &self.chunker, segments };
        let cutter = Cutter { rules, keys: &self.keys, buffers: &self.buffers };
        let (mut found, mut digest) = (Vec::new(), blake3::Hasher::new());
        let seen = |bytes: &[u8]| {
            digest.update(bytes);
        };
        let send = |later: PiecesLater| {
            found.extend(later.recv().unwrap());
            true
        };
        let total = cutter.run(&mut Slow(data), predicted, seen, send).unwrap();
        (found, digest.finalize(), total)
    }

    fn whole(&self, data: &[u8], segments: &Segments) -> Vec<Piece> {
        pieces_of_all(&self.chunker, segments, &self.keys, &Bytes::copy_from_slice(data))
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut data = vec![0; length];
    SeededEntropy::new(seed).fill(&mut data);
    data
}

fn require_same(found: &[Piece], whole: &[Piece]) {
    assert_eq!(found.len(), whole.len());
    for (found, whole) in found.iter().zip(whole) {
        assert!(found.id == whole.id && found.data == whole.data && found.place == whole.place);
        assert_eq!(found.hint, whole.hint);
    }
}

fn refs(pieces: &[Piece]) -> Vec<ChunkRef> {
    let chunk =
        |piece: &Piece| ChunkRef { id: piece.id, length_bytes: u32::try_from(piece.data.len()).unwrap() };
    pieces.iter().map(chunk).collect()
}

#[test]
fn cuts_and_ids_of_a_stream_are_those_of_the_whole() {
    let sample = Sample::new();
    let segments = Segments::whole(Hint::Unknown);
    for length in [0, 1, 70_000, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 3 * READ_BYTES + 12_345] {
        let data = noise(5, length);
        let (found, digest, total) = sample.cut(&data, &segments, Predicted::new(None, 0));
        assert_eq!(total, u64::try_from(length).unwrap());
        assert_eq!(digest, blake3::hash(&data));
        require_same(&found, &sample.whole(&data, &segments));
    }
}

/// One change of a file: what, where in 65,536ths, how much, and a seed.
type Edit = (u8, u16, usize, u64);

fn edited(data: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut data = data.to_vec();
    for (kind, at, length, seed) in edits {
        let at = data.len() * usize::from(*at) / 65_536;
        let end = (at + length).min(data.len());
        match kind {
            0 => drop(data.splice(at..at, noise(*seed, *length))),
            1 => drop(data.drain(at..end)),
            2 => data[at..end].copy_from_slice(&noise(*seed, end - at)),
            3 => data.truncate(at),
            4 => data.extend(noise(*seed, *length)),
            _ => {
                let moved: Vec<u8> = data.drain(at..end).collect();
                data.extend(moved);
            }
        }
    }
    data
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn predicted_cuts_are_those_of_the_cutter(
        (seed, length, zeros) in (any::<u64>(), 0_usize..6_000_000, 0_usize..400_000),
        edits in proptest::collection::vec((0_u8..6, any::<u16>(), 0_usize..90_000, any::<u64>()), 0..4),
        tensors in proptest::collection::vec((0_u64..200_000, 0_u64..1_500_000, 0_u8..3), 0..3),
    ) {
        let sample = Sample::new();
        let segments = layout(&tensors);
        let mut old = noise(seed, length);
        let middle = length / 2..(length / 2 + zeros).min(length);
        old[middle].fill(0);
        let before = refs(&sample.whole(&old, &segments));
        let new = edited(&old, &edits);
        let store = TestRepository::new(1);
        let reader = ChunkReader::new(&store.repository);
        let size_bytes = u64::try_from(old.len()).unwrap();
        let list = ListReader::new(&reader, &FileContent::Inline(before), size_bytes).unwrap();
        let (found, digest, _) = sample.cut(&new, &segments, Predicted::new(Some(list), size_bytes));
        prop_assert_eq!(digest, blake3::hash(&new));
        require_same(&found, &sample.whole(&new, &segments));
    }
}

#[test]
fn a_change_right_behind_a_chunk_of_whole_elements_moves_its_end() {
    let sample = Sample::new();
    // Two tensors of 8-byte elements: content ends chunks within elements, and the cut goes back to a whole
    // one.
    let segments = layout(&[(1000, 2_500_000, 2), (500, 2_500_000, 2)]);
    let old = noise(11, 5_001_500);
    let before = sample.whole(&old, &segments);
    let mut new = old.clone();
    let mut end = 0;
    for (number, piece) in before.iter().enumerate() {
        end += piece.data.len();
        if number % 3 == 0 {
            new.iter_mut().skip(end).take(7).for_each(|byte| *byte ^= 0x55);
        }
    }
    let store = TestRepository::new(4);
    let reader = ChunkReader::new(&store.repository);
    let size_bytes = u64::try_from(old.len()).unwrap();
    let list = ListReader::new(&reader, &FileContent::Inline(refs(&before)), size_bytes).unwrap();
    let (found, ..) = sample.cut(&new, &segments, Predicted::new(Some(list), size_bytes));
    require_same(&found, &sample.whole(&new, &segments));
}

#[test]
fn what_stands_unchanged_is_hashed_and_not_cut() {
    let sample = Sample::new();
    let segments = Segments::whole(Hint::Unknown);
    let data = noise(9, 2 * READ_BYTES);
    let whole = sample.whole(&data, &segments);
    // Cuts that no cutter makes show that nothing was cut.
    let halves: Vec<Piece> = whole
        .iter()
        .flat_map(|piece| {
            let (left, right) = (piece.data.slice(..100), piece.data.slice(100..));
            [left, right].map(|data| Piece {
                id: sample.keys.data_id(&data),
                data,
                buffer: None,
                hint: piece.hint,
                place: piece.place,
            })
        })
        .collect();
    let store = TestRepository::new(2);
    let reader = ChunkReader::new(&store.repository);
    let size_bytes = u64::try_from(data.len()).unwrap();
    let list = ListReader::new(&reader, &FileContent::Inline(refs(&halves)), size_bytes).unwrap();
    let (found, ..) = sample.cut(&data, &segments, Predicted::new(Some(list), size_bytes));
    // Chunks that lie across two reads are cut.
    assert!(found.len() > halves.len() - 8, "{} of {}", found.len(), halves.len());
}
