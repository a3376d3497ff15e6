//! A block's bytes before sealing (`format-spec/06-blocks.md`): transform × coder, with and without base.

mod block;
mod choose;
mod coder;
mod decode;
mod estimate;
mod rans;
mod sample;
mod scratch;
mod transform;

pub use block::{Base, BaseUse, Coding, encode, encode_behind};
pub use choose::{Hint, LEVEL, PREFIX_LEVEL, choose, choose_xor};
pub use coder::PartCoder;
pub use decode::{decode, decode_into, mixing_skip};

/// A coded block does not follow the specification, or an encoder failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A transform or coder that this program does not know.
    #[error("unknown {what} {number}")]
    Unknown {
        /// Transform, coder, base use or layout of records.
        what: &'static str,
        /// Its number.
        number: u8,
    },
    /// A field that is not allowed, or does not fit the others.
    #[error("coded block has a wrong {what}")]
    Invalid {
        /// The field.
        what: &'static str,
    },
    /// The compressor or decompressor failed.
    #[error("zstd: {message}")]
    Zstd {
        /// Its word.
        message: String,
    },
}

impl CodecError {
    fn invalid(what: &'static str) -> Self {
        Self::Invalid { what }
    }

    fn zstd(code: usize) -> Self {
        Self::Zstd { message: zstd::zstd_safe::get_error_name(code).to_owned() }
    }
}

#[cfg(test)]
mod tests;
