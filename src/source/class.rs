//! What kind of data a file or stream is, by its first bytes and its name.

mod bson;
mod headers;
mod kind;
mod text;

use super::binary::{Text, is_dense, is_noise, text_of};
pub(crate) use headers::{is_tar, octal, postgres_header, sqlite_page_bytes};
pub use kind::Kind;

/// What the bytes are decides how they are cut and coded. The numbers are those of the repository format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Anything not known to be one of the others.
    General = 0,
    /// Dumps of databases, archives of many files, text.
    Dump = 1,
    /// Arrays of numbers: checkpoints, vector indexes.
    Tensors = 2,
    /// Compressed or encrypted already.
    Opaque = 3,
}

impl Class {
    /// Every class, by number.
    pub const ALL: [Self; 4] = [Self::General, Self::Dump, Self::Tensors, Self::Opaque];

    /// Returns the number that the format stores.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Returns the class with this number, `None` when there is none.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.number() == number)
    }

    /// Returns the word for people, configuration and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Dump => "dump",
            Self::Tensors => "tensors",
            Self::Opaque => "opaque",
        }
    }

    /// Returns the class with this word, `None` when there is none.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
    }
}

/// Longest header of a safetensors file.
const SAFETENSORS_HEADER_MAX_BYTES: u64 = 100_000_000;
/// Most dimensions of a vector that a FAISS index is believed to hold.
const FAISS_DIMENSION_MAX: u32 = 1 << 20;
/// Bytes at the end of a head that stand in for a sample where there is none.
const TAIL_SIZE_BYTES: usize = 8_192;
/// Fewest bytes of a sample that count.
const SAMPLE_SIZE_MIN_BYTES: usize = 1_024;

/// First bytes of arrays of numbers: GGUF, numpy, and PyTorch from before it wrote zip files.
const TENSOR_MAGICS: [&[u8]; 3] =
    [b"GGUF", b"\x93NUMPY", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."];

/// First bytes of what is compressed or encrypted.
const OPAQUE_MAGICS: [&[u8]; 18] = [
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ\0",
    b"\x04\x22\x4d\x18",
    b"LZIP",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"OggS",
    b"fLaC",
    b"ID3",
    b"\x1a\x45\xdf\xa3",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN AGE ENCRYPTED FILE-----",
    b"age-encryption.org/v1\n",
    b"LUKS\xba\xbe",
];

/// Kinds of FAISS indexes, as their files begin.
const FAISS_MAGICS: [&[u8; 4]; 38] = [
    b"IxFI", b"IxF2", b"IxFl", b"IxHE", b"IxHe", b"IxPq", b"IxPQ", b"IxPo", b"IxRQ", b"IxRq", b"IxLS",
    b"IxSQ", b"IxPT", b"Ix2L", b"IxMp", b"IxM2", b"IxRF", b"IxLa", b"IvFl", b"IvFL", b"IwFl", b"IwFd",
    b"IwSq", b"IwSQ", b"IvPQ", b"IwPQ", b"IwQR", b"IwPf", b"IPfs", b"IHNf", b"IHNp", b"IHNs", b"IHN2",
    b"IHNc", b"INSf", b"IBxF", b"IBwF", b"IBHf",
];

/// Returns the class of a file or stream called `name` (raw bytes, with or without a path) that begins with
/// `head`, up to 64 KiB of it, and holds `sample`, a few KiB from its middle or nothing.
///
/// A dump that was compressed before it came here is opaque: fine cuts and trials would find nothing in it.
pub fn recognise(name: &[u8], head: &[u8], sample: &[u8]) -> Class {
    if is_compressed_archive(head, sample) {
        return Class::Opaque;
    }
    recognise_kind(name, head, sample).class()
}

/// Tells whether this is what `pg_dump -Fc` wrote compressed: its header says so, and the bytes bear it out.
/// The bytes have the last word, since lz4 leaves much to gain, and since a long table of contents before the
/// data is text.
fn is_compressed_archive(head: &[u8], sample: &[u8]) -> bool {
    let is_said = postgres_header(head).is_some_and(|header| header.is_custom && header.is_compressed);
    let tail = &head[head.len().saturating_sub(TAIL_SIZE_BYTES)..];
    let body = if sample.len() >= SAMPLE_SIZE_MIN_BYTES { sample } else { tail };
    is_said && is_dense(body)
}

/// Returns the kind of a file or stream, from the same as [`recognise`].
///
/// A header that is cut, lies or breaks off makes its kind not another one, but unknown: then the look of the
/// bytes decides.
pub fn recognise_kind(name: &[u8], head: &[u8], sample: &[u8]) -> Kind {
    if let Some(kind) = by_header(name, head) {
        return kind;
    }
    let has_sample = sample.len() >= SAMPLE_SIZE_MIN_BYTES;
    if let Some(text) = text_of(head)
        && (!has_sample || text.goes_on_with(sample))
    {
        return if text == Text::Utf8 { text::kind_of(head) } else { Kind::Text };
    }
    if is_noise(head) && (!has_sample || is_noise(sample)) {
        return Kind::Opaque;
    }
    Kind::General
}

fn by_header(name: &[u8], head: &[u8]) -> Option<Kind> {
    let starts = |magics: &[&[u8]]| magics.iter().any(|magic| head.starts_with(magic));
    if let Some(header) = postgres_header(head) {
        Some(if header.is_custom { Kind::PostgresCustom } else { Kind::PostgresToc })
    } else if sqlite_page_bytes(head).is_some() {
        Some(Kind::Sqlite)
    } else if headers::is_sqlite_log(head) {
        Some(Kind::SqliteLog)
    } else if headers::is_mongo_archive(head) {
        Some(Kind::MongoArchive)
    } else if is_tar(head) {
        Some(Kind::Tar)
    } else if starts(&TENSOR_MAGICS) || is_safetensors(head) || is_faiss(head) {
        Some(Kind::Tensors)
    } else if head.starts_with(b"PK\x03\x04") {
        Some(if is_tensor_zip(name, head) { Kind::Tensors } else { Kind::Opaque })
    } else if starts(&OPAQUE_MAGICS) || is_bzip2(head) || is_media_container(head) {
        Some(Kind::Opaque)
    } else {
        bson::is_documents(name, head).then_some(Kind::Bson)
    }
}

fn is_safetensors(head: &[u8]) -> bool {
    let length = head.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    (2..=SAFETENSORS_HEADER_MAX_BYTES).contains(&length) && head.get(8) == Some(&b'{')
}

/// The magics are letters, so the number after them, the dimension, must make sense too.
fn is_faiss(head: &[u8]) -> bool {
    let is_magic = head.first_chunk::<4>().is_some_and(|magic| FAISS_MAGICS.contains(&magic));
    is_magic && u32_at(head, 4).is_some_and(|dimension| (1..=FAISS_DIMENSION_MAX).contains(&dimension))
}

/// PyTorch and numpy store arrays in zip files as they are. A first member that is deflated says that this
/// one does not.
fn is_tensor_zip(name: &[u8], head: &[u8]) -> bool {
    let is_stored = u16_at(head, 8) == Some(0);
    let length = usize::from(u16_at(head, 26).unwrap_or(0));
    let member = head.get(30..30 + length).unwrap_or_default();
    let name = name.to_ascii_lowercase();
    let is_named = [&b".pt"[..], b".pth", b".bin", b".ckpt", b".npz"].iter().any(|end| name.ends_with(end));
    is_stored && (is_named || member.ends_with(b"/data.pkl") || member.ends_with(b".npy"))
}

fn is_bzip2(head: &[u8]) -> bool {
    head.starts_with(b"BZh") && head.get(3).is_some_and(|level| (b'1'..=b'9').contains(level))
}

/// MP4 and its relatives, WebP.
fn is_media_container(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"ftyp") || head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP")
}

fn u16_at(head: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*head.get(at..)?.first_chunk()?))
}

fn u32_at(head: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*head.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests;
