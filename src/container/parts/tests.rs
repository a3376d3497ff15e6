use super::*;
use crate::base::{Entropy, clock::SeededEntropy};

/// Written by PostgreSQL 15 (`pg_dump -Fp`, `--inserts`, `-Fc -Z0`, `-Fc`, `-Ft`), MariaDB 10.11, SQLite 3;
/// the archive of MongoDB in the documented format by hand.
const SAMPLES: [(&str, &[u8]); 10] = [
    ("postgres.sql", include_bytes!("../../../tests/fixtures/dumps/postgres.sql")),
    ("postgres-inserts.sql", include_bytes!("../../../tests/fixtures/dumps/postgres-inserts.sql")),
    ("postgres.custom", include_bytes!("../../../tests/fixtures/dumps/postgres.custom")),
    ("postgres-packed.custom", include_bytes!("../../../tests/fixtures/dumps/postgres-packed.custom")),
    ("postgres.tar", include_bytes!("../../../tests/fixtures/dumps/postgres.tar")),
    ("mariadb.sql", include_bytes!("../../../tests/fixtures/dumps/mariadb.sql")),
    ("mariadb-plain.sql", include_bytes!("../../../tests/fixtures/dumps/mariadb-plain.sql")),
    ("pages.sqlite", include_bytes!("../../../tests/fixtures/dumps/pages.sqlite")),
    ("sqlite.sql", include_bytes!("../../../tests/fixtures/dumps/sqlite.sql")),
    ("mongo.archive", include_bytes!("../../../tests/fixtures/dumps/mongo.archive")),
];

fn sample(name: &str) -> &'static [u8] {
    SAMPLES.iter().find(|(known, _)| *known == name).unwrap().1
}

fn scan_in(bytes: &[u8], step: usize) -> Parts {
    let mut scanner = PartScanner::new();
    let mut at = 0;
    for piece in bytes.chunks(step) {
        scanner.feed(at, piece);
        at += piece.len() as u64;
    }
    scanner.finish()
}

fn scan(bytes: &[u8]) -> Parts {
    scan_in(bytes, 1 << 16)
}

/// The names of a sample's parts, each with its bytes.
fn named(bytes: &[u8]) -> Vec<(String, &[u8])> {
    let content = |part: &Part| &bytes[part.start as usize..part.end as usize];
    let name = |part: &Part| String::from_utf8(part.name.clone()).unwrap();
    scan(bytes).parts.iter().map(|part| (name(part), content(part))).collect()
}

fn names(bytes: &[u8]) -> Vec<String> {
    named(bytes).into_iter().map(|(name, _)| name).collect()
}

fn require_lawful(parts: &Parts, length: usize, what: &dyn Fn() -> String) {
    let mut before = 0;
    for part in &parts.parts {
        assert!(before <= part.start && part.start < part.end, "{}", what());
        before = part.end;
    }
    assert!(before <= length as u64 && parts.parts.len() <= PART_COUNT_MAX, "{}", what());
}

#[test]
fn tables_of_a_plain_dump_are_their_rows() {
    let parts = named(sample("postgres.sql"));
    let found: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, ["Odd Schema.strange \"table\"", "public.empty", "public.item"]);
    for (name, content) in &parts {
        assert!(content.starts_with(b"COPY ") && content.ends_with(b"\n\\.\n"), "{name}");
    }
    // A row may look like the end of the rows, escaped.
    assert_eq!(parts[0].1.windows(3).filter(|window| *window == b"\n\\.").count(), 1);
    assert_eq!(parts[2].1.iter().filter(|byte| **byte == b'\n').count(), 62);
}

#[test]
fn tables_of_a_dump_with_inserts_are_runs_of_them() {
    let parts = named(sample("postgres-inserts.sql"));
    let found: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, ["Odd Schema.strange \"table\"", "public.item"]);
    for (name, content) in &parts {
        assert!(content.starts_with(b"INSERT INTO ") && content.ends_with(b");\n"), "{name}");
    }
    assert_eq!(parts[1].1.iter().filter(|byte| **byte == b'\n').count(), 60);
    assert_eq!(names(sample("sqlite.sql")), ["item", "odd \"table"]);
    let strings =
        b"PRAGMA a;\nINSERT INTO a VALUES('x;\nINSERT INTO b VALUES(1);\n');\nINSERT INTO c VALUES(2);\n";
    assert_eq!(names(strings), ["a", "c"]);
}

#[test]
fn tables_of_mysqldump_are_their_structure_and_rows() {
    let parts = named(sample("mariadb.sql"));
    let found: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, ["empty", "item", "odd `table"]);
    for (name, content) in &parts {
        assert!(content.starts_with(b"-- Table structure for table "), "{name}");
        assert!(content.ends_with(b"UNLOCK TABLES;\n"), "{name}");
    }
    let plain = named(sample("mariadb-plain.sql"));
    assert_eq!(plain.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), found);
    assert!(plain.iter().all(|(_, content)| content.starts_with(b"DROP TABLE IF EXISTS ")));
    let of_all =
        b"-- MySQL dump 10\nUSE `one`;\nINSERT INTO `t` VALUES (1);\nUSE `two`;\nINSERT INTO `t` VALUES (1);";
    assert_eq!(names(of_all), ["one.t", "two.t"]);
}

#[test]
fn data_of_a_custom_archive_are_named_by_its_contents() {
    for name in ["postgres.custom", "postgres-packed.custom"] {
        let bytes = sample(name);
        let parts = named(bytes);
        let mut found: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
        found.sort_unstable();
        let expected = ["Odd Schema.strange \"table\"", "large objects", "public.empty", "public.item"];
        assert_eq!(found, expected, "{name}");
        // The blocks follow each other up to the end.
        let scanned = scan(bytes).parts;
        assert!(scanned.windows(2).all(|pair| pair[0].end == pair[1].start), "{name}");
        assert_eq!(scanned.last().unwrap().end, bytes.len() as u64, "{name}");
    }
    let parts = named(sample("postgres.custom"));
    let item = parts.iter().find(|(name, _)| name == "public.item").unwrap().1;
    assert!(item.windows(12).any(|window| window == b"17\tname 17\t2"));
}

/// An archive in the custom format as later versions write it.
fn archive(minor: u8, entries: &[(i32, bool, &str)]) -> Vec<u8> {
    let int = |value: i32| [vec![u8::from(value < 0)], value.abs().to_le_bytes().to_vec()].concat();
    let text = |value: &str| [int(value.len() as i32), value.as_bytes().to_vec()].concat();
    let none = || int(-1);
    let mut bytes = b"PGDMP\x01".to_vec();
    bytes.extend([minor, 0, 4, 8, 1]);
    bytes.extend(if minor >= 15 { vec![2] } else { int(0) });
    for field in [56, 34, 12, 9, 6, 126, 0] {
        bytes.extend(int(field));
    }
    for origin in ["shop", "17.6", "17.6"] {
        bytes.extend(text(origin));
    }
    bytes.extend(int(entries.len() as i32));
    for (id, has_data, name) in entries {
        for part in [int(*id), int(i32::from(*has_data)), text("1259"), text("16390"), text(name)] {
            bytes.extend(part);
        }
        bytes.extend([text("TABLE DATA"), int(3), text(""), none(), text("COPY x FROM stdin;")].concat());
        bytes.extend([text("public"), none()].concat());
        if minor >= 14 {
            bytes.extend(none());
        }
        if minor >= 16 {
            bytes.extend(int(i32::from(b'r')));
        }
        bytes.extend([text("postgres"), text("false"), text("12"), none(), vec![2], vec![0; 8]].concat());
    }
    for (id, ..) in entries.iter().filter(|(_, has_data, _)| *has_data) {
        bytes.extend([vec![1], int(*id), text("1\trow\n"), text("2\trow\n"), int(0)].concat());
    }
    bytes
}

#[test]
fn every_version_of_the_custom_format_is_read() {
    for minor in 12..=16 {
        let bytes = archive(minor, &[(7, true, "b"), (9, false, "view"), (8, true, "a")]);
        let parts = named(&bytes);
        assert_eq!(parts.len(), 2, "1.{minor}");
        assert_eq!((parts[0].0.as_str(), parts[1].0.as_str()), ("public.b", "public.a"));
        assert!(parts.iter().all(|(_, content)| content[0] == 1 && content.len() == 33), "1.{minor}");
    }
    assert!(scan(&archive(17, &[(7, true, "b")])).parts.is_empty());
}

#[test]
fn members_of_a_tar_of_pg_dump_are_named_by_its_contents() {
    let found = names(sample("postgres.tar"));
    assert_eq!(found[0], "toc.dat");
    for name in ["public.item", "public.empty", "Odd Schema.strange \"table\"", "restore.sql", "blobs.toc"] {
        assert!(found.iter().any(|found| found == name), "{name} in {found:?}");
    }
}

#[test]
fn contents_of_a_tar_are_read_wherever_they_begin() {
    let whole = sample("postgres.tar");
    // An extended header before them, of every length of records.
    for records in 1..=8 {
        let mut builder = ::tar::Builder::new(Vec::new());
        let mut header = ::tar::Header::new_ustar();
        header.set_entry_type(::tar::EntryType::XGlobalHeader);
        header.set_size(records * 512);
        builder.append_data(&mut header, "global", &vec![b' '; records as usize * 512][..]).unwrap();
        let mut bytes = builder.into_inner().unwrap();
        bytes.truncate(bytes.len() - 1_024);
        bytes.extend(whole);
        for step in [1, 37, 512, 1 << 16] {
            let parts = scan_in(&bytes, step).parts;
            assert!(parts.iter().any(|part| part.name == b"public.item"), "{records} records, step {step}");
        }
    }
}

#[test]
fn members_of_a_tar_have_their_whole_names() {
    let mut builder = ::tar::Builder::new(Vec::new());
    let long = format!("folder/{}", "n".repeat(180));
    for (name, content) in [("a", &b"one"[..]), ("empty", b""), (&long, b"two"), ("b/c", &[7; 512])] {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).unwrap();
    }
    let bytes = builder.into_inner().unwrap();
    let parts = named(&bytes);
    let expected = [("a", &b"one"[..]), (&long, b"two"), ("b/c", &[7; 512])];
    assert_eq!(parts, expected.map(|(name, content)| (name.to_owned(), content)));
}

#[test]
fn collections_of_an_archive_are_their_documents() {
    let parts = named(sample("mongo.archive"));
    let found: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, ["shop.item", "shop.order", "shop.item"]);
    for (name, content) in &parts {
        assert_eq!(content[4..9], *b"\x10_id\0", "{name}");
        assert_eq!(content.last(), Some(&0), "{name}");
    }
}

#[test]
fn every_page_of_a_database_belongs_to_the_table_that_the_database_says() {
    // What the program's own table `dbstat` says.
    let owners = [
        (&[1][..], "sqlite_schema"),
        (&[2, 6, 7, 8, 9, 10, 11, 12, 13, 16], "item"),
        (&[3, 14, 15], "by_name"),
        (&[4], "empty"),
        (&[5], "odd \"table"),
    ];
    for (name, content) in named(sample("pages.sqlite")) {
        let first = content.as_ptr() as usize - sample("pages.sqlite").as_ptr() as usize;
        let (pages, _) = owners.iter().find(|(_, owner)| *owner == name).unwrap();
        for page in first / 512..(first + content.len()) / 512 {
            assert!(pages.contains(&(page + 1)), "page {} is not of {name}", page + 1);
        }
    }
    let total: usize = named(sample("pages.sqlite")).iter().map(|(_, content)| content.len()).sum();
    assert_eq!(total, 16 * 512);
}

#[test]
fn real_dumps_are_what_they_are() {
    let kinds = SAMPLES.map(|(_, bytes)| scan(bytes).kind);
    let expected = [
        Kind::PostgresSql,
        Kind::PostgresSql,
        Kind::PostgresCustom,
        Kind::PostgresCustom,
        Kind::Tar,
        Kind::MysqlSql,
        Kind::MysqlSql,
        Kind::Sqlite,
        Kind::Sql,
        Kind::MongoArchive,
    ];
    assert_eq!(kinds, expected);
    // The table of contents of the directory format is the one in the tar.
    let tar = sample("postgres.tar");
    let contents = &named(tar)[0].1;
    assert_eq!(recognise_kind(b"shop/toc.dat", contents, b""), Kind::PostgresToc);
    let rows = named(tar).into_iter().find(|(name, _)| name == "public.item").unwrap().1;
    assert_eq!(recognise_kind(b"shop/3357.dat", rows, b"").class(), crate::source::Class::Dump);
}

#[test]
fn parts_do_not_depend_on_how_the_bytes_come() {
    for (name, bytes) in SAMPLES {
        let whole = scan(bytes);
        assert!(!whole.parts.is_empty() && !whole.is_cut, "{name}");
        for step in [1, 2, 3, 7, 61, 1_023, 4_096, 4_097, 10_000] {
            assert_eq!(scan_in(bytes, step), whole, "{name} in pieces of {step}");
        }
    }
}

#[test]
fn a_dump_that_breaks_off_keeps_the_parts_before() {
    for (name, bytes) in SAMPLES {
        let whole = scan(bytes);
        let step = bytes.len() / 2_000 + 1;
        for length in (0..bytes.len()).step_by(step) {
            let parts = scan(&bytes[..length]);
            require_lawful(&parts, length, &|| format!("{name}, {length} bytes"));
            if name == "pages.sqlite" || length < 4_096 {
                continue;
            }
            let before: Vec<&Part> = whole.parts.iter().filter(|part| part.end <= length as u64).collect();
            let found: Vec<&Part> = parts.parts.iter().take(before.len()).collect();
            assert_eq!(found, before, "{name}, {length} bytes");
        }
    }
}

#[test]
fn no_flipped_bit_makes_parts_that_are_not_there() {
    for (name, bytes) in SAMPLES {
        for at in 0..bytes.len().min(700) {
            for bit in 0..8 {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= 1 << bit;
                bytes.truncate(12_000);
                require_lawful(&scan(&bytes), bytes.len(), &|| format!("{name}, bit {bit} of byte {at}"));
            }
        }
        let seed = 17;
        let entropy = SeededEntropy::new(seed);
        for round in 0..500 {
            let mut bytes = bytes.to_vec();
            let mut place = [0; 8];
            for _ in 0..4 {
                entropy.fill(&mut place);
                let at = u64::from_le_bytes(place) as usize % bytes.len();
                bytes[at] ^= place[7] | 1;
            }
            require_lawful(&scan(&bytes), bytes.len(), &|| format!("{name}, seed {seed}, round {round}"));
        }
    }
}

#[test]
fn a_gap_ends_the_search_and_other_bytes_have_no_parts() {
    let mut scanner = PartScanner::new();
    scanner.feed(0, sample("postgres.sql"));
    scanner.feed(1, b"INSERT INTO x VALUES (1);\n");
    assert!(!scanner.wants_more());
    assert!(scanner.finish().is_cut);
    for bytes in [&b""[..], b"a,b\n1,2\n3,4\n", b"{\"a\": 1}\n{\"a\": 2}\n", b"only prose\n", &[0; 9_000]] {
        assert_eq!(scan(bytes).parts, []);
    }
}

#[test]
fn more_parts_than_are_told_apart_are_said_to_be_more() {
    let mut dump = b"BEGIN;\n".to_vec();
    for table in 0..PART_COUNT_MAX + 10 {
        dump.extend(format!("INSERT INTO t{table} VALUES(1);\n").into_bytes());
    }
    let parts = scan(&dump);
    assert_eq!((parts.parts.len(), parts.is_cut), (PART_COUNT_MAX, true));
    require_lawful(&parts, dump.len(), &|| "many".into());
}

#[test]
fn names_of_any_length_are_kept_short() {
    let long = "n".repeat(5_000);
    let dump = format!("BEGIN;\nINSERT INTO {long} VALUES(1);\nINSERT INTO \"{long}\" VALUES(1);\n");
    assert!(scan(dump.as_bytes()).parts.iter().all(|part| part.name.len() <= NAME_MAX_BYTES));
    // Names of columns may fill a line far beyond what is kept of it.
    let dump = format!("BEGIN;\nCOPY a.b ({long}, {long}) FROM stdin;\n1\t2\n\\.\nrest;\n");
    assert_eq!(scan(dump.as_bytes()).parts.len(), 1);
    let dump = format!("BEGIN;\nCOPY a.b ({long}, {long}) TO stdout;\n1\t2\n");
    assert_eq!(scan(dump.as_bytes()).parts.len(), 0);
}

#[test]
fn where_a_broken_archive_ends_does_not_depend_on_how_its_bytes_come() {
    let mut bytes = archive(16, &[(7, true, "b")]);
    // The sign of the length of the second piece.
    let sign = bytes.len() - 16;
    bytes[sign] = 1;
    let whole = scan(&bytes);
    assert_eq!((whole.parts[0].end, whole.is_cut), (sign as u64, true));
    for step in 1..40 {
        assert_eq!(scan_in(&bytes, step), whole, "in pieces of {step}");
    }
}
