//! Names of things: one newtype per kind of id, so that none passes for another.

use std::fmt;
use std::str::FromStr;

/// The text is not the hexadecimal form of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of {digits} hexadecimal digits")]
pub struct ParseIdError {
    /// How many digits an id of this kind has.
    pub digits: usize,
}

/// Returns lower-case hexadecimal of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Returns the bytes of lower-case hexadecimal `text`, or `None` when it is anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// Length in bytes.
            pub const SIZE_BYTES: usize = $size;

            /// Returns the first eight hexadecimal digits, for people.
            pub fn short(&self) -> String {
                hex(&self.0[..4])
            }

            /// Returns the bytes.
            pub fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let error = ParseIdError { digits: $size * 2 };
                let bytes = unhex(text).ok_or_else(|| error.clone())?;
                Ok(Self(bytes.try_into().map_err(|_| error)?))
            }
        }
    };
}

id_type!(
    /// Names a chunk: the keyed BLAKE3 of its plaintext (`format-spec/03-keys-sealing.md`).
    ChunkId, 32
);
id_type!(
    /// Names a pack: BLAKE3 of its stored bytes, like all object ids below.
    PackId, 32
);
id_type!(
    /// Names an index object.
    IndexId, 32
);
id_type!(
    /// Names a snapshot.
    SnapshotId, 32
);
id_type!(
    /// Names a prune plan.
    PlanId, 32
);
id_type!(
    /// Names a key file.
    KeyFileId, 32
);
id_type!(
    /// Names a repository: random, made at init.
    RepositoryId, 16
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_text_reads_back_and_nothing_else_does() {
        let id = PackId([0xab; 32]);
        assert_eq!(id.to_string().parse::<PackId>(), Ok(id));
        assert!("ab".parse::<PackId>().is_err());
        assert!(id.to_string().to_uppercase().parse::<PackId>().is_err());
    }
}
