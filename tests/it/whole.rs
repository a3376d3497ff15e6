//! The program beside other programs: PostgreSQL, the second reader of the format, and a kill at any moment.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::postgres::Postgres;

/// A folder with a repository, a cache and a password of its own.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.ok(&["init"]);
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snap"));
        command.arg("--repo").arg(self.path("repository")).args(words);
        command.env("SNAP_PASSWORD", "correct horse").env("XDG_CACHE_HOME", self.path("cache"));
        command.env("HOME", self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn ok(&self, words: &[&str]) -> Vec<u8> {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut data = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut data);
    data
}

/// A command line for `--command`, each word quoted.
fn quoted(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| format!("'{}'", word.to_str().unwrap())).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_database_dumped_into_a_snapshot_restores_to_an_equal_database() {
    let server = Postgres::start();
    server.create_database("shop");
    server.sql("shop", "create table item (id int primary key, name text, data bytea, at timestamptz)");
    let rows = "insert into item select n, 'name ' || md5(n::text), decode(md5(n::text), 'hex'), \
                to_timestamp(n) from generate_series(1, 30000) n";
    server.sql("shop", rows);
    let place = Place::new();
    let mut dump = server.command("pg_dump");
    dump.args(["-Fc", "-Z0", "shop"]);
    let mut plain = server.command("pg_dump");
    plain.arg("shop");
    place.ok(&[
        "backup",
        "--command",
        &format!("db/shop.custom={}", quoted(&dump)),
        "--command",
        &format!("db/shop.sql={}", quoted(&plain)),
    ]);
    let stored = place.ok(&["dump", "latest", "/db/shop.custom"]);
    let file = place.path("shop.custom");
    std::fs::write(&file, stored).unwrap();
    server.create_database("again");
    let restored = server.command("pg_restore").args(["-d", "again"]).arg(&file).output().unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let sum = "select count(*), md5(string_agg(item::text, '|' order by id)) from item";
    assert_eq!(server.sql("again", sum), server.sql("shop", sum));
    assert!(place.ok(&["dump", "latest", "/db/shop.sql"]).starts_with(b"--\n-- PostgreSQL database dump"));

    let mut failing = server.command("pg_dump");
    failing.arg("no_such_database");
    let before = place.ok(&["snapshots", "--json"]).len();
    let output = place.run(&[
        "backup",
        "--command",
        &format!("a={}", quoted(&plain)),
        "--command",
        &format!("b={}", quoted(&failing)),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("no_such_database"), "the end of stderr is shown: {told}");
    assert_eq!(place.ok(&["snapshots", "--json"]).len(), before, "no snapshot is made");
}

fn reader(place: &Place, words: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: run tests/setup/install", python.display());
    let mut command = Command::new(python);
    command.arg(root.join("format-spec/reader/snapread.py"));
    command.arg("--repo").arg(place.path("repository"));
    command.arg("--password-file").arg(place.path("password")).args(words);
    command.output().unwrap()
}

#[test]
fn the_second_reader_reads_what_was_just_written() {
    let place = Place::new();
    std::fs::write(place.path("password"), "correct horse\n").unwrap();
    let source = place.path("source");
    std::fs::create_dir_all(source.join("deep/er")).unwrap();
    let files = [
        ("small", b"hello".to_vec()),
        ("empty", Vec::new()),
        ("deep/noise", noise(1, 3_000_000)),
        ("deep/er/text", b"a line of text\n".repeat(300_000)),
        ("weights", (0..400_000_u32).flat_map(|n| (f64::from(n).sin() as f32).to_le_bytes()).collect()),
    ];
    for (name, content) in &files {
        std::fs::write(source.join(name), content).unwrap();
    }
    place.ok(&["backup", source.to_str().unwrap()]);
    let listed = reader(&place, &["snapshots"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    for (name, content) in &files {
        let out = place.path("extracted");
        let path = source.join(name);
        let words = ["extract", "latest", path.to_str().unwrap(), "-o", out.to_str().unwrap()];
        let extracted = reader(&place, &words);
        assert!(extracted.status.success(), "{name}: {}", String::from_utf8_lossy(&extracted.stderr));
        assert!(std::fs::read(&out).unwrap() == *content, "{name} differs");
    }
    let verified = reader(&place, &["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn a_run_killed_at_any_moment_leaves_every_snapshot_whole_and_the_next_run_goes_on() {
    let place = Place::new();
    let source = place.path("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("kept"), noise(1, 1_000_000)).unwrap();
    place.ok(&["backup", source.to_str().unwrap()]);
    for round in 0..8_u64 {
        std::fs::write(source.join("large"), noise(100 + round, 24_000_000)).unwrap();
        let mut child = place.command(&["backup", source.to_str().unwrap()]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 + 60 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        place.ok(&["check", "--read-data"]);
        if round % 2 == 1 {
            let mut child = place.command(&["prune", "--keep-last", "1", "--grace", "0"]);
            let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(20 + 20 * round));
            child.kill().unwrap();
            child.wait().unwrap();
            // A killed maintainer leaves its lease; a person who knows that it is dead frees it.
            place.ok(&["unlock"]);
            place.ok(&["check", "--read-data"]);
        }
    }
    place.ok(&["backup", source.to_str().unwrap()]);
    place.ok(&["prune", "--keep-last", "1", "--grace", "0", "--max-unused", "0"]);
    place.ok(&["check", "--read-data"]);
    let out = place.path("out");
    let from = format!("latest:{}", source.to_str().unwrap());
    place.ok(&["restore", &from, "--target", out.to_str().unwrap()]);
    assert!(std::fs::read(out.join("large")).unwrap() == noise(107, 24_000_000));
    assert!(std::fs::read(out.join("kept")).unwrap() == noise(1, 1_000_000));
    let stored: u64 = walk_sizes(&place.path("repository"));
    // Of killed runs only temporary files stay, which a later prune removes when they are a day old.
    assert!(stored < 27_000_000, "garbage is left: {stored} bytes");
}

/// The bytes of all objects below a folder.
fn walk_sizes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with(".tmp-"))
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => walk_sizes(&entry.path()),
            false => entry.metadata().unwrap().len(),
        })
        .sum()
}
