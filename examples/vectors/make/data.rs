//! Inputs that are described instead of written out.

use serde_json::{Value, json};
use snap::base::id::hex;

/// Bytes, and how a case spells them.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    /// Written out.
    Hex(Vec<u8>),
    /// BLAKE3 XOF output over the text.
    Xof(String, usize),
    /// A unit again and again, the last one cut.
    Repeat(Vec<u8>, usize),
}

impl Data {
    /// Returns the bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Hex(bytes) => bytes.clone(),
            Self::Xof(seed, length) => xof(seed, *length),
            Self::Repeat(unit, length) => unit.iter().copied().cycle().take(*length).collect(),
        }
    }

    /// Returns the field.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Hex(bytes) => json!(hex(bytes)),
            Self::Xof(seed, length) => json!({ "xof": seed, "length": length }),
            Self::Repeat(unit, length) => json!({ "repeat": hex(unit), "length": length }),
        }
    }
}

/// Returns `length` bytes of BLAKE3 XOF output over `seed`.
pub(crate) fn xof(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
