//! A real PostgreSQL server, thrown away after use: reached by a socket in its own folder, no port.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::{INSTALL_HINT, Kept, scratch};

const START_SECONDS: u64 = 60;
/// The account that the server refuses to be anything better than.
const ACCOUNT: &str = "postgres";

/// A running server whose only user is `postgres`, without password.
pub(crate) struct Postgres {
    /// Holds the socket: what `--host` takes.
    pub(crate) folder: PathBuf,
    programs: PathBuf,
    _kept: Kept,
}

/// Where initdb, postgres and the clients are: `SNAP_TEST_POSTGRES_BIN`, or the newest that Debian installed.
fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("SNAP_TEST_POSTGRES_BIN") {
        return folder.into();
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .map(|entry| entry.path().join("bin"))
        .filter(|folder| folder.join("initdb").is_file() && folder.join("pg_dump").is_file())
        .max_by_key(|folder| {
            let version = folder.parent().and_then(Path::file_name).and_then(OsStr::to_str);
            version.and_then(|text| text.parse::<u32>().ok())
        });
    newest.unwrap_or_else(|| {
        panic!("PostgreSQL's server programs are missing: {INSTALL_HINT}, or set SNAP_TEST_POSTGRES_BIN")
    })
}

/// A command that runs as the server's account when this process is root, whom the server refuses.
fn as_account(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups"]).arg(program);
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; {INSTALL_HINT}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    output
}

impl Postgres {
    /// Starts a server of one's own, with nothing in it. It does not sync: it does not outlive the test.
    pub(crate) fn start() -> Self {
        let (programs, folder) = (programs(), scratch("pg"));
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg(ACCOUNT).arg(&folder));
        }
        let data = folder.join("data");
        let mut initdb = as_account(&programs.join("initdb"));
        initdb.args(["--username", ACCOUNT, "--auth", "trust", "--no-sync", "--encoding", "UTF8"]);
        run(initdb.args(["--locale", "C", "--pgdata"]).arg(&data).current_dir("/"));
        let mut server = as_account(&programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(&folder).args(["-c", "listen_addresses="]);
        for setting in ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "autovacuum=off"] {
            server.args(["-c", setting]);
        }
        let kept = Kept::start(&folder, &mut server);
        let postgres = Self { folder, programs, _kept: kept };
        postgres.wait_until_ready();
        postgres
    }

    fn wait_until_ready(&self) {
        let start = Instant::now();
        while !self.command("pg_isready").output().is_ok_and(|output| output.status.success()) {
            if start.elapsed() > Duration::from_secs(START_SECONDS) {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                panic!("postgres did not start; its log: {log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A client program (`psql`, `pg_dump`, `pg_restore`, …) with the options that reach this server.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.arg("--host").arg(&self.folder).args(["--username", ACCOUNT]).env_remove("PGPASSWORD");
        command
    }

    /// Makes an empty database.
    pub(crate) fn create_database(&self, name: &str) {
        run(self.command("createdb").arg(name));
    }

    /// Runs SQL and returns what it prints, without headings and alignment.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = self.command("psql");
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set", "ON_ERROR_STOP=1"]);
        let output = run(psql.args(["--dbname", database, "--command", sql]));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Returns a dump as `pg_dump` writes it with `options`.
    pub(crate) fn dump(&self, database: &str, options: &[&str]) -> Vec<u8> {
        run(self.command("pg_dump").args(options).arg(database)).stdout
    }
}

#[test]
fn a_server_of_ones_own_answers_dumps_and_leaves_nothing() {
    let server = Postgres::start();
    server.create_database("shop");
    server.sql("shop", "create table item (id int primary key, name text)");
    server.sql("shop", "insert into item select n, 'name ' || n from generate_series(1, 100) n");
    assert_eq!(server.sql("shop", "select count(*) from item"), "100");
    let dump = server.dump("shop", &["--format", "custom", "--compress", "0"]);
    assert!(dump.starts_with(b"PGDMP"));
    let Postgres { folder, _kept: kept, .. } = server;
    kept.stop();
    assert!(!folder.exists());
}
