//! Servers that tests start for themselves.
#![allow(dead_code)] // Each helper waits for the modules that need it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) mod disk;
pub(crate) mod minio;
pub(crate) mod postgres;
pub(crate) mod proxy;

use snap::base::{Entropy, SystemEntropy};

/// Where tests say to look when a program is missing.
pub(crate) const INSTALL_HINT: &str = "run tests/setup/install";

/// Runs its arguments in the background until its standard input ends, as it does however this process ends;
/// then kills them and removes the folder.
const KEEPER: &str = r#"
folder=$1; shift
"$@" </dev/null &
server=$!
echo "$server" > "$folder/pid"
cat >/dev/null
kill -KILL "$server" 2>/dev/null
wait "$server" 2>/dev/null
rm -rf -- "$folder"
"#;

/// A server that ends, and whose folder vanishes, with this process. Keep it alive as long as the server is
/// used.
pub(crate) struct Kept {
    keeper: Child,
}

impl Kept {
    /// Starts `command`, whose output goes to `folder/log`.
    pub(crate) fn start(folder: &Path, command: &mut Command) -> Self {
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(folder);
        keeper.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            keeper.env(name, value.unwrap());
        }
        // In a group of its own an interrupt from the terminal leaves it time to clean up.
        std::os::unix::process::CommandExt::process_group(&mut keeper, 0);
        keeper.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { keeper: keeper.spawn().unwrap() }
    }

    /// Ends the server at once.
    pub(crate) fn stop(mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }
}

/// A new folder below the temporary directory, for [`Kept`] to remove.
pub(crate) fn scratch(name: &str) -> PathBuf {
    tempfile::Builder::new().prefix(&format!("snap-{name}-")).tempdir().unwrap().keep()
}

/// The program that `variable` names, or `name` in `PATH`, or in `.tools/bin` of the repository.
pub(crate) fn program(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let mut folders: Vec<_> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin"));
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: {INSTALL_HINT}, or set {variable}"))
}

/// A number that `tests/sweep` sets.
pub(crate) fn sweep_number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// Random hexadecimal digits, for names and passwords.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    SystemEntropy.fill(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
