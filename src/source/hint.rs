//! Dumps that were compressed before they came here, where a day costs a whole dump.

use std::sync::atomic::{AtomicU32, Ordering};

use super::class::{is_tar, octal, postgres_header};
use crate::base::escape::escape_name;
use crate::base::parse::format_size;

/// Members of a tar archive that are looked at.
const MEMBER_COUNT_MAX: usize = 16;
/// First bytes of gzip, zstd, xz, bzip2 and lz4.
const PACKED_MAGICS: [&[u8]; 5] =
    [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh", b"\x04\x22\x4d\x18"];
/// Ends of names that compressors add.
const PACKED_ENDS: [&[u8]; 6] = [b".gz", b".zst", b".xz", b".bz2", b".lz4", b".z"];

/// How a dump came to be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompressedDump {
    /// `pg_dump -Fc`, which compresses unless told otherwise.
    PostgresCustom,
    /// `pg_dump -Fd`, the same.
    PostgresFolder,
    /// `mongodump --gzip`.
    Mongo,
    /// A compressor behind the program.
    Pipe,
}

impl CompressedDump {
    /// Recognises a dump called `name` (raw bytes, with or without a path) that begins with `head`.
    pub fn recognise(name: &[u8], head: &[u8]) -> Option<Self> {
        if is_tar(head) {
            return first_in_tar(head);
        }
        Self::recognise_file(name, head)
    }

    fn recognise_file(name: &[u8], head: &[u8]) -> Option<Self> {
        if let Some(header) = postgres_header(head) {
            let kind = if header.is_custom { Self::PostgresCustom } else { Self::PostgresFolder };
            return header.is_compressed.then_some(kind);
        }
        if !PACKED_MAGICS.iter().any(|magic| head.starts_with(magic)) {
            return None;
        }
        let name = name.to_ascii_lowercase();
        let file = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let has = |part: &[u8]| file.windows(part.len()).any(|window| window == part);
        if is_postgres_member(file) {
            Some(Self::PostgresFolder)
        } else if has(b".bson.") || has(b".metadata.json.") || has(b"mongo") || has(b".archive") {
            Some(Self::Mongo)
        } else if [&b".sql"[..], b".dump", b"pgdump", b"pg_dump", b"mysqldump", b"mariadb"]
            .into_iter()
            .any(has)
        {
            Some(Self::Pipe)
        } else {
            None
        }
    }

    /// Returns what it costs and which option to change, for people: `name` and `size_bytes` are those of the
    /// file or stream, the size as far as it is known.
    pub fn advice(self, name: &[u8], size_bytes: Option<u64>) -> String {
        let (what, advice) = match self {
            Self::PostgresCustom => ("this PostgreSQL dump", "run pg_dump with -Fc -Z0"),
            Self::PostgresFolder => ("this PostgreSQL dump", "run pg_dump with -Fd -Z0"),
            Self::Mongo => ("this MongoDB dump", "run mongodump without --gzip"),
            Self::Pipe => ("this dump", "drop the pipe through gzip, zstd, xz, bzip2 or lz4"),
        };
        let size = size_bytes.map(|bytes| format!("{} of it", format_size(bytes)));
        let cost = match (self, size) {
            // One file is one table, so its length says nothing about the dump.
            (Self::PostgresFolder, _) => "every table that changed from the change to its end".to_owned(),
            (_, Some(size)) => format!("up to {size}"),
            (_, None) => "up to all of it".to_owned(),
        };
        format!(
            "{}: {what} is compressed, so that a day of changes costs {cost}; \
            uncompressed it costs about as much as the rows that changed: {advice}",
            escape_name(name),
        )
    }
}

/// Tells whether this is what `pg_dump -Fd` calls the data of one table or large object, compressed.
fn is_postgres_member(file: &[u8]) -> bool {
    let plain = PACKED_ENDS
        .iter()
        .find_map(|end| file.strip_suffix(*end))
        .and_then(|name| name.strip_suffix(b".dat"));
    plain.is_some_and(|plain| {
        let number = plain.strip_prefix(b"blob_").unwrap_or(plain);
        !number.is_empty() && number.iter().all(u8::is_ascii_digit)
    })
}

/// Looks at the members of a tar archive that its head holds.
fn first_in_tar(head: &[u8]) -> Option<CompressedDump> {
    const RECORD_BYTES: usize = 512;
    let mut rest = head;
    for _ in 0..MEMBER_COUNT_MAX {
        if !is_tar(rest) {
            return None;
        }
        let (record, content) = rest.split_at_checked(RECORD_BYTES)?;
        let name = record.get(..100)?;
        let name = &name[..name.iter().position(|byte| *byte == 0).unwrap_or(name.len())];
        if let Some(found) = CompressedDump::recognise_file(name, content) {
            return Some(found);
        }
        let size = usize::try_from(octal(record.get(124..136)?)?).ok()?;
        rest = content.get(size.checked_next_multiple_of(RECORD_BYTES)?..)?;
    }
    None
}

/// Gives each kind of advice once a run.
#[derive(Debug, Default)]
pub struct DumpHints {
    given: AtomicU32,
}

impl DumpHints {
    /// Returns advice about a dump, `None` when none is needed or the like was given before.
    pub fn once(&self, name: &[u8], head: &[u8], size_bytes: Option<u64>) -> Option<String> {
        let found = CompressedDump::recognise(name, head)?;
        let bit = 1 << (found as u32);
        let is_first = self.given.fetch_or(bit, Ordering::Relaxed) & bit == 0;
        is_first.then(|| found.advice(name, size_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pgdmp(rest: &[u8]) -> Vec<u8> {
        [b"PGDMP", rest].concat()
    }

    #[test]
    fn a_postgres_archive_says_itself_whether_it_is_compressed() {
        let (custom, folder) = (Some(CompressedDump::PostgresCustom), Some(CompressedDump::PostgresFolder));
        let table: [(&[u8], Option<CompressedDump>); 7] = [
            (&[1, 16, 0, 4, 8, 1, 0], None),
            (&[1, 16, 0, 4, 8, 1, 1], custom),
            (&[1, 15, 0, 4, 8, 1, 3], custom),
            (&[1, 14, 0, 4, 8, 1, 0, 0, 0, 0, 0], None),
            (&[1, 14, 0, 4, 8, 1, 1, 1, 0, 0, 0], custom),
            (&[1, 14, 0, 4, 8, 1, 0, 6, 0, 0, 0], custom),
            (&[1, 16, 0, 4, 8, 3, 1], folder),
        ];
        for (header, expected) in table {
            assert_eq!(CompressedDump::recognise(b"db", &pgdmp(header)), expected, "{header:?}");
        }
    }

    #[test]
    fn a_cut_header_gives_no_hint() {
        let whole = pgdmp(&[1, 14, 0, 4, 8, 1, 1, 1, 0, 0, 0]);
        for length in 0..whole.len() {
            let found = CompressedDump::recognise(b"x.sql.gz", &whole[..length]);
            assert_eq!(found, None, "{length} bytes");
        }
    }

    #[test]
    fn a_packed_dump_is_known_by_its_name() {
        let gzip = b"\x1f\x8b\x08\0";
        for (name, expected) in [
            (&b"db.sql.gz"[..], Some(CompressedDump::Pipe)),
            (b"DB.DUMP.GZ", Some(CompressedDump::Pipe)),
            (b"users.bson.gz", Some(CompressedDump::Mongo)),
            (b"mongodump.archive", Some(CompressedDump::Mongo)),
            (b"/srv/shop/3357.dat.gz", Some(CompressedDump::PostgresFolder)),
            (b"shop/blob_16408.dat.gz", Some(CompressedDump::PostgresFolder)),
            (b"photos.tar.gz", None),
            (b"mongo/photo.gz", None),
            (b"x.dat.gz", None),
        ] {
            assert_eq!(CompressedDump::recognise(name, gzip), expected, "{name:?}");
        }
        assert_eq!(CompressedDump::recognise(b"db.sql", b"-- PostgreSQL database dump"), None);
        assert_eq!(CompressedDump::recognise(b"db.sql.gz", b"plain after all"), None);
    }

    #[test]
    fn a_tar_of_a_compressed_dump_is_known_by_its_members() {
        let archive = |name: &str, content: &[u8]| {
            let mut builder = tar::Builder::new(Vec::new());
            for (name, content) in [("shop/readme", &b"text"[..]), (name, content)] {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, name, content).unwrap();
            }
            builder.into_inner().unwrap()
        };
        let packed = archive("shop/12.dat.gz", b"\x1f\x8b\x08\0");
        assert_eq!(CompressedDump::recognise(b"a.tar", &packed), Some(CompressedDump::PostgresFolder));
        for length in 0..packed.len() {
            let _ = CompressedDump::recognise(b"a.tar", &packed[..length]);
        }
        assert_eq!(CompressedDump::recognise(b"a.tar", &archive("12.dat", b"1\n")), None);
        assert_eq!(CompressedDump::recognise(b"db.sql.gz.tar", &archive("photo", b"\x1f\x8b")), None);
    }

    #[test]
    fn advice_names_the_option_and_what_it_saves() {
        let table = [
            (CompressedDump::PostgresCustom, "-Fc -Z0"),
            (CompressedDump::PostgresFolder, "-Fd -Z0"),
            (CompressedDump::Mongo, "without --gzip"),
            (CompressedDump::Pipe, "drop the pipe"),
        ];
        for (dump, option) in table {
            assert!(dump.advice(b"d", None).ends_with(option) || dump == CompressedDump::Pipe);
            assert!(dump.advice(b"d", None).contains(option));
        }
        let advice = CompressedDump::PostgresCustom.advice(b"shop\n.dump", Some(3 << 30));
        assert!(
            advice.starts_with("shop\\u{a}.dump: ") && advice.contains("up to 3.0 GiB of it"),
            "{advice}"
        );
    }

    #[test]
    fn each_kind_is_told_once_a_run() {
        let hints = DumpHints::default();
        let gzip = b"\x1f\x8b\x08\0";
        let told: Vec<bool> = [&b"a.sql.gz"[..], b"b.sql.gz", b"c.bson.gz", b"photo.gz", b"d.bson.gz"]
            .into_iter()
            .map(|name| hints.once(name, gzip, None).is_some())
            .collect();
        assert_eq!(told, [true, false, true, false, false]);
    }
}
