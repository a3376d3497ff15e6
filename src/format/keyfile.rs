//! Key files (`format-spec/03-keys-sealing.md` 3.5): the fields; deriving and opening is in `crypto`.

use super::sealed::{NONCE_SIZE_BYTES, TAG_SIZE_BYTES};
use super::wire::{FormatError, Reader, Writer, length};
use super::{Kind, VERSION};
use crate::base::limits::KEY_FILE_MAX_BYTES;
use crate::base::{RepositoryId, Time};

/// How the secret of a key file becomes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kdf {
    /// The secret is 32 random bytes and is used as it is.
    Raw,
    /// The secret is a password.
    Argon2id {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
}

impl Kdf {
    /// The cost of new key files: RFC 9106, second recommended option.
    pub const DEFAULT: Self = Self::Argon2id { memory_kib: 65_536, passes: 3, lanes: 4 };
}

/// A key file as stored, sealed body included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// How to derive.
    pub kdf: Kdf,
    /// Salt of the derivation.
    pub salt: [u8; 16],
    /// Binds the file to one key.
    pub commitment: [u8; 32],
    /// `nonce ‖ ciphertext ‖ tag` of the body.
    pub sealed: Vec<u8>,
}

impl KeyFile {
    /// Returns the bytes before the nonce, which the seal binds.
    pub fn head(&self) -> Vec<u8> {
        let (kdf, memory_kib, passes, lanes) = match self.kdf {
            Kdf::Raw => (0, 0, 0, 0),
            Kdf::Argon2id { memory_kib, passes, lanes } => (1, memory_kib, passes, lanes),
        };
        let mut out = Writer::new();
        out.raw(&Kind::Key.magic()).u16(VERSION).u8(kdf).u8(0);
        out.u32(memory_kib).u32(passes).u32(lanes).raw(&self.salt).raw(&self.commitment);
        out.finish()
    }

    /// Encodes the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.head();
        bytes.extend_from_slice(&self.sealed);
        bytes
    }

    /// Decodes a file; the bounds of the derivation are checked here, before anyone runs it.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        if length(bytes.len()) > KEY_FILE_MAX_BYTES {
            let value = length(bytes.len());
            return Err(FormatError::Limit { what: "key file size", value, limit: KEY_FILE_MAX_BYTES });
        }
        let mut input = Reader::new(bytes, "key file");
        if input.array::<8>("magic")? != Kind::Key.magic() {
            return Err(FormatError::Magic { expected: "key" });
        }
        match input.u16("version")? {
            VERSION => {}
            found => return Err(FormatError::Version { found }),
        }
        let number = input.u8("kdf")?;
        if input.u8("recipient")? != 0 {
            return Err(FormatError::invalid("recipient of a key file"));
        }
        let (memory_kib, passes, lanes) = (input.u32("memory")?, input.u32("passes")?, input.u32("lanes")?);
        let kdf = match number {
            0 if (memory_kib, passes, lanes) == (0, 0, 0) => Kdf::Raw,
            1 if (8_192..=4_194_304).contains(&memory_kib)
                && (1..=64).contains(&passes)
                && (1..=64).contains(&lanes) =>
            {
                Kdf::Argon2id { memory_kib, passes, lanes }
            }
            _ => return Err(FormatError::invalid("key derivation")),
        };
        let salt = input.array("salt")?;
        let commitment = input.array("commitment")?;
        let sealed = input.raw(input.remaining(), "sealed body")?.to_vec();
        if sealed.len() < NONCE_SIZE_BYTES + TAG_SIZE_BYTES {
            return Err(FormatError::Truncated { what: "sealed body" });
        }
        Ok(Self { kdf, salt, commitment, sealed })
    }
}

/// What a key file holds. The caller wipes the master key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyBody {
    /// The repository that the key belongs to.
    pub repository: RepositoryId,
    /// The master key.
    pub master: [u8; 32],
    /// When the file was made.
    pub created: Time,
    /// Who it is for, in words.
    pub label: String,
}

impl std::fmt::Debug for KeyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyBody").field("repository", &self.repository).field("label", &self.label).finish()
    }
}

impl KeyBody {
    /// Encodes the body.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let mut out = Writer::new();
        out.raw(&self.repository.0).raw(&self.master).time(self.created).text(&self.label, "label")?;
        Ok(out.finish())
    }

    /// Decodes a body.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes, "key body");
        let body = Self {
            repository: input.repository()?,
            master: input.array("master key")?,
            created: input.time("created")?,
            label: input.text("label")?,
        };
        input.finish()?;
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivation_costs_out_of_bounds_are_refused() {
        let file = |kdf| KeyFile { kdf, salt: [1; 16], commitment: [2; 32], sealed: vec![0; 60] };
        for kdf in [Kdf::Raw, Kdf::DEFAULT] {
            assert_eq!(KeyFile::decode(&file(kdf).encode()).unwrap(), file(kdf));
        }
        for (memory_kib, passes, lanes) in [(8_191, 1, 1), (4_194_305, 1, 1), (8_192, 0, 1), (8_192, 1, 65)] {
            let bytes = file(Kdf::Argon2id { memory_kib, passes, lanes }).encode();
            assert!(KeyFile::decode(&bytes).is_err());
        }
    }
}
