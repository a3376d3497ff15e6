//! The bytes of every stored object: encode and decode, nothing else. One file per chapter of `format-spec/`.
//!
//! Encodings are canonical: `encode(decode(b)) == b` for every accepted `b`. Decoders take hostile bytes:
//! they bound every count before they allocate, never panic, and refuse what the specification does not
//! allow.

pub mod config;
pub mod frame;
pub mod index;
pub mod keyfile;
pub mod lease;
pub mod list;
pub mod node;
pub mod pack;
pub mod plan;
pub mod sealed;
pub mod sheet;
pub mod snapshot;
pub mod tree;
pub mod wire;
pub mod zstd_frame;

pub use wire::FormatError;

/// The version that this program writes after every magic (`format-spec/13-versions.md`).
pub const VERSION: u16 = 1;

/// Numbers of the classes that a node or source may name (`format-spec/04-chunking.md` 4.3), ascending.
pub const CLASS_NUMBERS: [u8; 4] = [0, 1, 2, 3];

/// Kinds of sealed things, as numbered in `format-spec/01-conventions.md` 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `config/<n>`
    Config,
    /// `keys/<id>`
    Key,
    /// `packs/<aa>/<id>`
    Pack,
    /// `index/<id>`
    Index,
    /// `snapshots/<id>`
    Snapshot,
    /// `plans/<id>`
    Plan,
    /// `locks/<name>`
    Lease,
    /// A block inside a pack.
    Block,
    /// The directory at the end of a pack.
    Directory,
}

impl Kind {
    /// Returns the number that is bound as associated data.
    pub fn number(self) -> u8 {
        match self {
            Self::Config => 1,
            Self::Key => 2,
            Self::Pack => 3,
            Self::Index => 4,
            Self::Snapshot => 5,
            Self::Plan => 6,
            Self::Lease => 7,
            Self::Block => 8,
            Self::Directory => 9,
        }
    }

    /// Returns the word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "key",
            Self::Pack => "pack",
            Self::Index => "index",
            Self::Snapshot => "snapshot",
            Self::Plan => "plan",
            Self::Lease => "lease",
            Self::Block => "block",
            Self::Directory => "directory",
        }
    }

    /// Returns the eight bytes at the start of a stored object of this kind; blocks and directories have
    /// none.
    pub fn magic(self) -> [u8; 8] {
        magic_of(self.word())
    }
}

/// Returns the first eight bytes of BLAKE3 of `snap <word> v1`.
pub fn magic_of(word: &str) -> [u8; 8] {
    let hash = blake3::hash(format!("snap {word} v1").as_bytes());
    let mut magic = [0; 8];
    magic.copy_from_slice(&hash.as_bytes()[..8]);
    magic
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::hex;
    use crate::source::Class;

    #[test]
    fn classes_of_the_format_are_those_that_sources_recognise() {
        assert_eq!(Class::ALL.map(Class::number), CLASS_NUMBERS);
    }

    #[test]
    fn magics_are_those_of_the_specification() {
        let chapter = include_str!("../../format-spec/01-conventions.md");
        for word in ["config", "key", "pack", "index", "snapshot", "plan", "lease", "packend"] {
            let row = format!("| `snap {word} v1` | `{}` |", hex(&magic_of(word)));
            assert!(chapter.contains(&row), "{row}");
        }
    }
}
