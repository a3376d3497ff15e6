//! Dumps that were compressed before they came here, where a day costs a whole dump.

const ADVICE_POSTGRES: &str = "this dump is compressed, so that a small change rewrites all of it and \
    nothing is shared between days: run pg_dump with -Z0 (custom format: -Fc -Z0)";
const ADVICE_MONGO: &str = "this dump is compressed, so that a small change rewrites all of it and \
    nothing is shared between days: run mongodump without --gzip";
const ADVICE_STREAM: &str = "this dump is compressed, so that a small change rewrites all of it and \
    nothing is shared between days: store it without the compressor (drop the pipe through gzip, zstd or xz)";

/// Archive formats of `pg_dump` since 1.15 name the algorithm, before that the level.
const VERSION_WITH_ALGORITHM: (u8, u8) = (1, 15);

/// Returns advice for a dump called `name` that begins with `head` and was compressed by the program that
/// made it, `None` when it was not or nothing is known: names the option that turns compression off.
pub fn compressed_dump_hint(name: &[u8], head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"PGDMP") {
        return is_compressed_pgdmp(head).unwrap_or(false).then_some(ADVICE_POSTGRES);
    }
    let is_packed = [&b"\x1f\x8b"[..], b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh", b"\x04\x22\x4d\x18"]
        .iter()
        .any(|magic| head.starts_with(magic));
    if !is_packed {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let has = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    if has(b".bson.") || has(b".metadata.json.") || has(b"mongo") || has(b".archive") {
        Some(ADVICE_MONGO)
    } else if has(b".sql") || has(b".dump") || has(b"pgdump") || has(b"mysqldump") {
        Some(ADVICE_STREAM)
    } else {
        None
    }
}

/// Reads the header of a custom-format archive: magic, version (major, minor, revision), size of an integer,
/// size of an offset (since 1.7), format, and then the compression. `None` when it is cut or not understood.
fn is_compressed_pgdmp(head: &[u8]) -> Option<bool> {
    let mut bytes = head.get(5..)?.iter().copied();
    let version = (bytes.next()?, bytes.next()?);
    if version > (1, 0) {
        bytes.next()?;
    }
    let integer_size = usize::from(bytes.next()?);
    if version >= (1, 7) {
        bytes.next()?;
    }
    let _format = bytes.next()?;
    if version >= VERSION_WITH_ALGORITHM {
        return Some(bytes.next()? != 0);
    }
    if version < (1, 4) || !(1..=32).contains(&integer_size) {
        return None;
    }
    // An integer is a sign and its bytes, lowest first; -1 is the default level.
    let _sign = bytes.next()?;
    let mut level = false;
    for _ in 0..integer_size {
        level |= bytes.next()? != 0;
    }
    Some(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pgdmp(rest: &[u8]) -> Vec<u8> {
        [b"PGDMP", rest].concat()
    }

    #[test]
    fn a_postgres_archive_says_itself_whether_it_is_compressed() {
        let table: [(&[u8], bool); 6] = [
            (&[1, 16, 0, 4, 8, 1, 0], false),
            (&[1, 16, 0, 4, 8, 1, 1], true),
            (&[1, 15, 0, 4, 8, 1, 3], true),
            (&[1, 14, 0, 4, 8, 1, 0, 0, 0, 0, 0], false),
            (&[1, 14, 0, 4, 8, 1, 1, 1, 0, 0, 0], true),
            (&[1, 14, 0, 4, 8, 1, 0, 6, 0, 0, 0], true),
        ];
        for (header, expected) in table {
            let hint = compressed_dump_hint(b"db", &pgdmp(header));
            assert_eq!(hint.is_some(), expected, "{header:?}");
            assert!(hint.is_none_or(|hint| hint.contains("-Z0")));
        }
    }

    #[test]
    fn a_cut_header_gives_no_hint() {
        let whole = pgdmp(&[1, 14, 0, 4, 8, 1, 1, 1, 0, 0, 0]);
        for length in 0..whole.len() {
            assert_eq!(compressed_dump_hint(b"x.sql.gz", &whole[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn a_packed_dump_is_known_by_its_name() {
        let gzip = b"\x1f\x8b\x08\0";
        for (name, expected) in [
            (&b"db.sql.gz"[..], Some(ADVICE_STREAM)),
            (b"DB.DUMP.GZ", Some(ADVICE_STREAM)),
            (b"users.bson.gz", Some(ADVICE_MONGO)),
            (b"mongodump.archive", Some(ADVICE_MONGO)),
            (b"photos.tar.gz", None),
        ] {
            assert_eq!(compressed_dump_hint(name, gzip), expected);
        }
        assert_eq!(compressed_dump_hint(b"db.sql", b"-- PostgreSQL database dump"), None);
        assert_eq!(compressed_dump_hint(b"db.sql.gz", b"plain after all"), None);
    }
}
