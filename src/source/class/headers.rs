//! First bytes of database files, dumps and archives. A magic alone is not enough: what follows must fit.

use super::bson::{self, Look};

/// First bytes of what `pg_dump -Fc` writes, and of tables of contents.
pub(super) const POSTGRES_MAGIC: &[u8] = b"PGDMP";
/// First bytes of what `mongodump --archive` writes.
pub(super) const MONGO_MAGIC: &[u8] = &[0x6d, 0xe2, 0x99, 0x81];
/// First bytes of a SQLite database.
pub(super) const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";
/// Length of the header of a SQLite database.
const SQLITE_HEADER_BYTES: usize = 100;
/// Length of one record of a tar archive.
const TAR_RECORD_BYTES: usize = 512;

/// What the header of a PostgreSQL archive says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PostgresHeader {
    /// Version of the archive: minor number, the major one is 1.
    pub(crate) minor: u8,
    /// Bytes of an integer behind its sign.
    pub(crate) integer_bytes: usize,
    /// Bytes of an offset.
    pub(crate) offset_bytes: usize,
    /// Whether this is the custom format; otherwise a table of contents of the others.
    pub(crate) is_custom: bool,
    /// Whether the data are compressed.
    pub(crate) is_compressed: bool,
    /// Length of the header as far as it is described here: the time of the dump follows.
    pub(crate) length: usize,
}

/// Versions whose header is known: from the one that knows revisions and offsets on.
const POSTGRES_MINOR_MIN: u8 = 7;
/// Far more than there are.
const POSTGRES_MINOR_MAX: u8 = 63;
/// Since this version the algorithm is named, before that the level.
const POSTGRES_MINOR_WITH_ALGORITHM: u8 = 15;

/// Reads the header of a PostgreSQL archive: magic, version (major, minor, revision), size of an integer,
/// size of an offset, format, and then the compression. `None` when it is cut or not understood.
pub(crate) fn postgres_header(head: &[u8]) -> Option<PostgresHeader> {
    let rest = head.strip_prefix(POSTGRES_MAGIC)?;
    let [major, minor, _revision, integer_bytes, offset_bytes, format] = *rest.first_chunk()?;
    let is_known = major == 1
        && (POSTGRES_MINOR_MIN..=POSTGRES_MINOR_MAX).contains(&minor)
        && (1..=8).contains(&integer_bytes)
        && (1..=8).contains(&offset_bytes)
        && matches!(format, 1 | 3 | 5);
    let integer_bytes = usize::from(integer_bytes);
    let compression = if minor >= POSTGRES_MINOR_WITH_ALGORITHM { 1 } else { 1 + integer_bytes };
    let start = POSTGRES_MAGIC.len() + 6;
    let bytes = head.get(start..start + compression)?;
    // An integer is a sign and its bytes, lowest first; -1 is the default level.
    let is_compressed = match bytes {
        [algorithm] => *algorithm != 0,
        [_sign, level @ ..] => level.iter().any(|byte| *byte != 0),
        [] => false,
    };
    is_known.then_some(PostgresHeader {
        minor,
        integer_bytes,
        offset_bytes: usize::from(offset_bytes),
        is_custom: format == 1,
        is_compressed,
        length: start + compression,
    })
}

/// Tells whether this is an archive of `mongodump`: behind the magic stands a document.
pub(super) fn is_mongo_archive(head: &[u8]) -> bool {
    let Some(rest) = head.strip_prefix(MONGO_MAGIC) else { return false };
    match bson::look(rest) {
        Look::Whole { elements, .. } | Look::Cut { elements } => elements > 0,
        Look::Broken => false,
    }
}

/// Returns the page size that the header of a SQLite database gives, `None` when it is none.
pub(crate) fn sqlite_page_bytes(head: &[u8]) -> Option<usize> {
    let header = head.get(..SQLITE_HEADER_BYTES).filter(|header| header.starts_with(SQLITE_MAGIC))?;
    let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 1 << 16,
        bytes => usize::from(bytes),
    };
    let is_page = page_bytes.is_power_of_two() && page_bytes >= 512;
    // Versions for writing and reading; three shares that the format fixes.
    let is_fixed = header[18..20].iter().all(|version| (1..=2).contains(version))
        && header[21..24] == [64, 32, 32]
        && usize::from(header[20]) + 480 <= page_bytes;
    (is_page && is_fixed).then_some(page_bytes)
}

/// Tells whether this is the write-ahead log of a SQLite database: magic, version, page size.
pub(super) fn is_sqlite_log(head: &[u8]) -> bool {
    let word = |at: usize| head.get(at..).and_then(|rest| rest.first_chunk()).map(|b| u32::from_be_bytes(*b));
    matches!(word(0), Some(0x377f_0682 | 0x377f_0683))
        && word(4) == Some(3_007_000)
        && word(8).is_some_and(|bytes| bytes.is_power_of_two() && (512..=65_536).contains(&bytes))
}

/// Tells whether this is the first record of a tar archive, old or new: its checksum holds.
pub(crate) fn is_tar(head: &[u8]) -> bool {
    let Some(record) = head.get(..TAR_RECORD_BYTES) else { return false };
    let expected = octal(&record[148..156]);
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let found = sum(&record[..148]) + 8 * u64::from(b' ') + sum(&record[156..]);
    record[0] != 0 && expected == Some(found)
}

/// Reads an octal number as tar headers have them: spaces before, a space or zero byte behind.
pub(crate) fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    let length = digits.iter().position(|byte| !(b'0'..=b'7').contains(byte)).unwrap_or(digits.len());
    let is_ended = digits[length..].iter().all(|byte| matches!(byte, 0 | b' '));
    if length == 0 || length > 21 || !is_ended {
        return None;
    }
    digits[..length]
        .iter()
        .try_fold(0_u64, |sum, digit| sum.checked_mul(8)?.checked_add(u64::from(digit - b'0')))
}
