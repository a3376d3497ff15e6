//! The config of a repository (`format-spec/03-keys-sealing.md` 3.7).

use super::wire::{FormatError, Reader, Writer, length, require_ascending};
use crate::base::limits::{CHUNK_SIZE_MAX_BYTES, FEATURE_COUNT_MAX};
use crate::base::{RepositoryId, Time};

/// How exclusive work is kept exclusive (`format-spec/12-leases.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseMode {
    /// One object replaced by conditional writes.
    Conditional,
    /// One object per contender, the oldest wins.
    Listing,
}

/// One parameter set of the chunker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkerSet {
    /// Number of the class that it serves.
    pub class: u8,
    /// 1: FastCDC 2020, normalized.
    pub algorithm: u8,
    /// Normalization level, 0 to 3.
    pub normalization: u8,
    /// Smallest chunk but the last.
    pub min_bytes: u32,
    /// Centre of the sizes.
    pub average_bytes: u32,
    /// Largest chunk.
    pub max_bytes: u32,
}

impl ChunkerSet {
    /// Tells whether the set is one that chapter 4 allows.
    pub fn is_valid(&self) -> bool {
        let powers = [self.min_bytes, self.average_bytes, self.max_bytes].iter().all(|n| n.is_power_of_two());
        let bits = self.average_bytes.max(1).ilog2();
        let level = u32::from(self.normalization);
        powers
            && self.algorithm == 1
            && self.min_bytes >= 64
            && self.min_bytes < self.average_bytes
            && self.average_bytes < self.max_bytes
            && u64::from(self.max_bytes) <= CHUNK_SIZE_MAX_BYTES
            && level <= 3
            && bits >= level + 6
    }
}

/// The sets of a new repository: general, dump, tensors, opaque.
pub const DEFAULT_CHUNKER_SETS: [ChunkerSet; 4] = [
    set(0, 16_384, 65_536, 262_144),
    set(1, 2_048, 8_192, 32_768),
    set(2, 32_768, 131_072, 524_288),
    set(3, 65_536, 262_144, 1_048_576),
];

const fn set(class: u8, min_bytes: u32, average_bytes: u32, max_bytes: u32) -> ChunkerSet {
    ChunkerSet { class, algorithm: 1, normalization: 1, min_bytes, average_bytes, max_bytes }
}

/// A feature that a repository names, with words for the people whose program does not know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// What to tell.
    pub message: String,
    /// The first version of the program that knows it.
    pub minimum_version: String,
}

/// What a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Its id.
    pub repository: RepositoryId,
    /// When it was made.
    pub created: Time,
    /// How leases are held.
    pub lease_mode: LeaseMode,
    /// The size at which a pack is closed.
    pub pack_target_bytes: u32,
    /// Chunker parameter sets, by class.
    pub chunker_sets: Vec<ChunkerSet>,
    /// Features without which nothing may be read.
    pub incompat: Vec<Feature>,
    /// Features without which nothing may be written.
    pub ro_compat: Vec<Feature>,
    /// Features that may be ignored.
    pub compat: Vec<Feature>,
}

const PACK_TARGET_MIN_BYTES: u32 = 4 << 20;
const PACK_TARGET_MAX_BYTES: u32 = 100 << 20;

impl Config {
    /// Encodes the body.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.validate()?;
        let mut out = Writer::new();
        out.raw(&self.repository.0).time(self.created);
        out.u8(match self.lease_mode {
            LeaseMode::Conditional => 1,
            LeaseMode::Listing => 2,
        });
        out.u32(self.pack_target_bytes);
        out.count16(self.chunker_sets.len(), 256, "chunker sets")?;
        for set in &self.chunker_sets {
            out.u8(set.class).u8(set.algorithm).u8(set.normalization);
            out.u32(set.min_bytes).u32(set.average_bytes).u32(set.max_bytes);
        }
        for features in [&self.incompat, &self.ro_compat, &self.compat] {
            out.count16(features.len(), FEATURE_COUNT_MAX, "features")?;
            for feature in features {
                out.text(&feature.name, "feature name")?;
                out.text(&feature.message, "feature message")?;
                out.text(&feature.minimum_version, "feature version")?;
            }
        }
        Ok(out.finish())
    }

    /// Decodes a body.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes, "config");
        let repository = input.repository()?;
        let created = input.time("created")?;
        let lease_mode = match input.u8("lease mode")? {
            1 => LeaseMode::Conditional,
            2 => LeaseMode::Listing,
            _ => return Err(FormatError::invalid("lease mode")),
        };
        let pack_target_bytes = input.u32("pack target size")?;
        let count = input.count16(256, 15, "chunker sets")?;
        let mut chunker_sets = Vec::with_capacity(count);
        for _ in 0..count {
            chunker_sets.push(ChunkerSet {
                class: input.u8("class")?,
                algorithm: input.u8("algorithm")?,
                normalization: input.u8("normalization")?,
                min_bytes: input.u32("min")?,
                average_bytes: input.u32("avg")?,
                max_bytes: input.u32("max")?,
            });
        }
        let mut features = [Vec::new(), Vec::new(), Vec::new()];
        for set in &mut features {
            let count = input.count16(FEATURE_COUNT_MAX, 6, "features")?;
            for _ in 0..count {
                set.push(Feature {
                    name: input.text("feature name")?,
                    message: input.text("feature message")?,
                    minimum_version: input.text("feature version")?,
                });
            }
        }
        input.finish()?;
        let [incompat, ro_compat, compat] = features;
        let config = Self {
            repository,
            created,
            lease_mode,
            pack_target_bytes,
            chunker_sets,
            incompat,
            ro_compat,
            compat,
        };
        config.validate()?;
        Ok(config)
    }

    /// Returns the chunker set of a class, or that of general data where the class has none.
    pub fn chunker_set(&self, class: u8) -> Option<&ChunkerSet> {
        let find = |wanted| self.chunker_sets.iter().find(|set| set.class == wanted);
        find(class).or_else(|| find(0))
    }

    fn validate(&self) -> Result<(), FormatError> {
        if !(PACK_TARGET_MIN_BYTES..=PACK_TARGET_MAX_BYTES).contains(&self.pack_target_bytes) {
            return Err(FormatError::invalid("pack target size"));
        }
        let classes: Vec<u8> = self.chunker_sets.iter().map(|set| set.class).collect();
        require_ascending(&classes, "order of chunker sets")?;
        if classes.first() != Some(&0) || !self.chunker_sets.iter().all(ChunkerSet::is_valid) {
            return Err(FormatError::invalid("chunker set"));
        }
        for features in [&self.incompat, &self.ro_compat, &self.compat] {
            let names: Vec<&String> = features.iter().map(|feature| &feature.name).collect();
            require_ascending(&names, "order of features")?;
            if length(features.len()) > FEATURE_COUNT_MAX {
                return Err(FormatError::invalid("number of features"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_reads_back_and_bad_sets_are_refused() {
        let mut config = Config {
            repository: RepositoryId([3; 16]),
            created: Time::from_seconds(5),
            lease_mode: LeaseMode::Conditional,
            pack_target_bytes: 64 << 20,
            chunker_sets: DEFAULT_CHUNKER_SETS.to_vec(),
            incompat: vec![],
            ro_compat: vec![],
            compat: vec![Feature { name: "a".into(), message: "b".into(), minimum_version: "c".into() }],
        };
        let bytes = config.encode().unwrap();
        assert_eq!(Config::decode(&bytes).unwrap(), config);
        config.chunker_sets[1].average_bytes = 16_000;
        assert!(config.encode().is_err());
        config.chunker_sets.swap(0, 1);
        assert!(config.encode().is_err());
    }
}
