//! Plaintext to chunks (`format-spec/04-chunking.md`): FastCDC 2020 with the repository's secret gear table.

pub mod features;

use fastcdc::v2020::{Normalization, cut_gear, select_masks};

/// Log2 of the least size that the table of masks has an entry for.
const MASK_BITS_MIN: u32 = 6;

/// One parameter set with its masks, ready to cut.
#[derive(Clone)]
pub struct Chunker {
    min_bytes: usize,
    average_bytes: usize,
    max_bytes: usize,
    mask_small: u64,
    mask_large: u64,
    gear: Vec<u64>,
    gear_shifted: Vec<u64>,
}

impl std::fmt::Debug for Chunker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunker({}, {}, {})", self.min_bytes, self.average_bytes, self.max_bytes)
    }
}

/// The parameters are not ones that the specification allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunker parameters are out of bounds")]
pub struct ParameterError;

/// Sizes of a parameter set, in bytes, and its normalization level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Smallest chunk but the last.
    pub min_bytes: u32,
    /// Centre of the sizes.
    pub average_bytes: u32,
    /// Largest chunk.
    pub max_bytes: u32,
    /// 0 to 3.
    pub normalization: u8,
}

impl Chunker {
    /// Returns a chunker over a gear table of 256 entries.
    pub fn new(parameters: Parameters, gear: &[u64]) -> Result<Self, ParameterError> {
        let Parameters { min_bytes, average_bytes, max_bytes, normalization } = parameters;
        let level = match normalization {
            0 => Normalization::Level0,
            1 => Normalization::Level1,
            2 => Normalization::Level2,
            3 => Normalization::Level3,
            _ => return Err(ParameterError),
        };
        let sizes = [min_bytes, average_bytes, max_bytes];
        let bounded = (64..=1 << 20).contains(&min_bytes);
        let ordered = min_bytes < average_bytes && average_bytes < max_bytes && max_bytes <= 1 << 20;
        if !sizes.iter().all(|size| size.is_power_of_two()) || !bounded || !ordered || gear.len() != 256 {
            return Err(ParameterError);
        }
        let size = |bytes: u32| usize::try_from(bytes).map_err(|_| ParameterError);
        let average = size(average_bytes)?;
        if average_bytes.ilog2() < u32::from(normalization) + MASK_BITS_MIN {
            return Err(ParameterError);
        }
        let (mask_small, mask_large) = select_masks(average, level);
        Ok(Self {
            min_bytes: size(min_bytes)?,
            average_bytes: average,
            max_bytes: size(max_bytes)?,
            mask_small,
            mask_large,
            gear: gear.to_vec(),
            gear_shifted: gear.iter().map(|entry| entry << 1).collect(),
        })
    }

    /// Returns the largest chunk that this set cuts.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Returns the length of the next chunk of `rest`, the bytes of the stream from the last cut on.
    ///
    /// `None`: more bytes are needed to know (`rest` is shorter than the largest chunk and `at_end` is not
    /// set).
    pub fn next_cut(&self, rest: &[u8], at_end: bool) -> Option<usize> {
        if rest.is_empty() || (rest.len() < self.max_bytes && !at_end) {
            return None;
        }
        let (_, length) = cut_gear(
            rest,
            self.min_bytes,
            self.average_bytes,
            self.max_bytes,
            self.mask_small,
            self.mask_large,
            self.mask_small << 1,
            self.mask_large << 1,
            &self.gear,
            &self.gear_shifted,
        );
        Some(length)
    }

    /// Returns the lengths of all chunks of a whole stream.
    pub fn cut_all(&self, mut data: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while let Some(length) = self.next_cut(data, true) {
            lengths.push(length);
            data = &data[length..];
        }
        lengths
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gear() -> Vec<u64> {
        let mut bytes = [0; 2048];
        blake3::Hasher::new().update(b"gear").finalize_xof().fill(&mut bytes);
        bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
    }

    fn small() -> Chunker {
        let parameters = Parameters { min_bytes: 64, average_bytes: 256, max_bytes: 1024, normalization: 1 };
        Chunker::new(parameters, &gear()).unwrap()
    }

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut data = vec![0; length];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut data);
        data
    }

    proptest! {
        #[test]
        fn chunks_are_the_stream_and_keep_their_bounds(seed: u64, length in 0_usize..20_000) {
            let data = noise(seed, length);
            let lengths = small().cut_all(&data);
            prop_assert_eq!(lengths.iter().sum::<usize>(), length);
            for (at, chunk) in lengths.iter().enumerate() {
                prop_assert!(*chunk <= 1024 && *chunk > 0);
                prop_assert!(*chunk >= 64 || at + 1 == lengths.len());
            }
        }

        #[test]
        fn cuts_do_not_depend_on_how_the_stream_arrives(seed: u64, step in 1_usize..5000) {
            let data = noise(seed, 15_000);
            let chunker = small();
            let (mut start, mut seen, mut lengths) = (0, 0, Vec::new());
            while start < data.len() {
                seen = (seen + step).min(data.len());
                while let Some(length) = chunker.next_cut(&data[start..seen], seen == data.len()) {
                    lengths.push(length);
                    start += length;
                }
            }
            prop_assert_eq!(lengths, chunker.cut_all(&data));
        }

        #[test]
        fn an_insertion_changes_few_chunks(seed: u64, at in 0_usize..60_000) {
            let data = noise(seed, 60_000);
            let mut more = data.clone();
            more.insert(at, 0x55);
            let chunker = small();
            let pieces = |data: &[u8]| {
                let mut rest = data;
                let mut set = std::collections::BTreeSet::new();
                for length in chunker.cut_all(data) {
                    set.insert(rest[..length].to_vec());
                    rest = &rest[length..];
                }
                set
            };
            let (before, after) = (pieces(&data), pieces(&more));
            prop_assert!(after.difference(&before).count() <= 40);
        }
    }

    #[test]
    fn odd_and_reversed_sizes_are_refused() {
        for (min, average, max) in [(63, 256, 1024), (256, 256, 1024), (64, 255, 1024), (64, 256, 2 << 20)] {
            let parameters =
                Parameters { min_bytes: min, average_bytes: average, max_bytes: max, normalization: 1 };
            assert!(Chunker::new(parameters, &gear()).is_err());
        }
    }

    #[test]
    fn normalization_stays_inside_the_table_of_masks() {
        for (average_bytes, normalization, holds) in [
            (128, 1, true),
            (128, 2, false),
            (256, 2, true),
            (512, 3, true),
            (256, 3, false),
            (1024, 4, false),
        ] {
            let parameters = Parameters { min_bytes: 64, average_bytes, max_bytes: 2048, normalization };
            assert_eq!(Chunker::new(parameters, &gear()).is_ok(), holds, "{average_bytes}, {normalization}");
        }
    }
}
