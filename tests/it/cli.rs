//! The built program, as people and scripts use it.

mod damage;
mod density;
mod dumps;
mod errors;
mod full;
mod hand;
mod hostile;
mod keys;
mod later;
mod lifecycle;
mod maintenance;
mod memory;
mod old;
mod outage;
mod output;
mod secrets;
mod server;
mod signals;
mod streams;
mod trees;
mod witness;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A user with a home of its own, who knows nothing but the program.
struct User {
    home: tempfile::TempDir,
}

/// How a run ended.
#[derive(Debug)]
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// A user whose default repository is there already.
    fn with_repository() -> Self {
        let user = Self::new();
        user.ok(&["init"]);
        user
    }

    fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    /// Writes a file below the home and returns its path.
    fn write(&self, below: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes a file that nobody else can read.
    fn secret(&self, below: &str, content: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write(below, content);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn repository(&self) -> PathBuf {
        self.path(".local/share/snap/repository")
    }

    fn key(&self) -> PathBuf {
        self.path(".config/snap/default.key")
    }

    fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snap"));
        command.args(words).env_clear().current_dir(self.home.path());
        command.env("HOME", self.home.path()).env("PATH", std::env::var_os("PATH").unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Run {
        self.command(words).output().unwrap().into()
    }

    fn run_with_input<S: AsRef<OsStr>>(&self, words: &[S], input: &[u8]) -> Run {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // A program that ends early closes the pipe, which is its right.
            scope.spawn(move || {
                let _ = stdin.write_all(input);
            });
            child.wait_with_output().unwrap().into()
        })
    }

    /// Runs what must succeed without a word on stderr, and returns its stdout.
    fn ok<S: AsRef<OsStr> + std::fmt::Debug>(&self, words: &[S]) -> String {
        let run = self.run(words);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{words:?}: {run:?}");
        run.out
    }

    /// Runs with `--json` what must succeed and returns the objects, the last of which is the summary.
    fn json<S: AsRef<OsStr> + std::fmt::Debug>(&self, words: &[S]) -> Vec<Value> {
        let mut all: Vec<&OsStr> = vec![OsStr::new("--json")];
        all.extend(words.iter().map(AsRef::as_ref));
        let lines = objects(&self.ok(&all));
        assert_eq!(lines.last().unwrap()["type"], "summary");
        lines
    }

    fn summary<S: AsRef<OsStr> + std::fmt::Debug>(&self, words: &[S]) -> Value {
        self.json(words).pop().unwrap()
    }

    fn snapshot_count(&self) -> u64 {
        self.summary(&["snapshots"])["snapshots"].as_u64().unwrap()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The JSON lines of an output.
fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The powers of root to read and write what modes forbid.
const PASSING_OVER_MODES: &str = "-dac_override,-dac_read_search";

/// The same command, where tests run as root without these powers.
fn without_powers(command: &Command, powers: &str) -> Command {
    let mut without = Command::new(command.get_program());
    if rustix::process::geteuid().is_root() {
        without = Command::new("setpriv");
        without.args(["--inh-caps=-all", &format!("--bounding-set={powers}")]).arg(command.get_program());
    }
    without.args(command.get_args()).env_clear().current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        without.env(name, value.unwrap());
    }
    without
}

/// Copies a folder with all below it; what is made keeps modes and times.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// All files below `folder`, sorted, with their modes and lengths.
fn listing(folder: &Path) -> Vec<(PathBuf, u32, u64)> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            let length = if metadata.is_dir() { 0 } else { metadata.len() };
            found.push((entry.path(), metadata.permissions().mode() & 0o7777, length));
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// All files below a folder with what they hold.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = listing(folder).into_iter().filter(|(path, ..)| path.is_file());
    files.map(|(path, ..)| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Bytes that nothing compresses, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
