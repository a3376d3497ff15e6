//! What every command gets: global options, environment, output, progress, stop flag, clock and randomness.

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::args::Globals;
use super::args::global::ProgressWhen;
use super::args::values::memory_limit;
use super::defaults;
use super::environment::Environment;
use super::error::CliError;
use super::output::Output;
use super::progress::{Form, Meter};
use super::secrets::{self, Secret, SecretSource, TerminalPrompt};
use super::signals;
use crate::base::progress::Progress;
use crate::base::{Clock, Entropy, Memory, SystemClock, SystemEntropy};

/// What every command gets.
#[derive(Debug)]
pub struct Context {
    /// Global options, flags only; the functions below add environment and defaults.
    pub globals: Globals,
    /// Variables.
    pub environment: Environment,
    /// Set by the first signal to stop.
    pub stop: Arc<AtomicBool>,
    /// Where work reports itself.
    pub progress: Arc<dyn Progress>,
    /// Where results go.
    pub out: Output,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    meter: Arc<Meter>,
}

/// Which repository a command means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryChoice {
    /// Path or URL as the backend room reads it.
    pub location: String,
    /// Whether nobody named one: its key is in [`defaults::key_file`].
    pub is_default: bool,
}

impl Context {
    /// Returns the context of this process, and begins to watch for signals.
    pub fn from_process(globals: Globals) -> Result<Self, CliError> {
        let environment = Environment::from_process();
        let stop = signals::watch()?;
        let out = Output::stdout(globals.json, globals.quiet);
        let form = Form::choose(&globals, stderr().is_terminal(), environment.text("TERM"));
        let meter = Meter::start(form, &out);
        Ok(Self {
            globals,
            environment,
            stop,
            progress: meter.clone(),
            out,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            meter,
        })
    }

    /// Ends progress and writes what output holds back. What could not be written was reported before, or its
    /// reader is gone.
    pub fn finish(&self) {
        self.meter.finish();
        let _ = self.out.flush();
    }

    /// Returns which repository is meant: `--repo`, `SNAP_REPOSITORY`, or the default one.
    pub fn repository(&self) -> Result<RepositoryChoice, CliError> {
        repository(&self.globals, &self.environment)
    }

    /// Returns the directory for caches, `None` with `--no-cache`.
    pub fn cache_dir(&self) -> Result<Option<PathBuf>, CliError> {
        if self.globals.no_cache {
            return Ok(None);
        }
        let named = self.globals.cache_dir.clone();
        let named = named.or_else(|| self.environment.get("SNAP_CACHE_DIR").map(PathBuf::from));
        named.map_or_else(|| defaults::cache_dir(&self.environment), Ok).map(Some)
    }

    /// Returns how much memory a run may take: `--memory`, `SNAP_MEMORY`, or the default.
    pub fn memory(&self) -> Result<Memory, CliError> {
        memory(&self.globals, &self.environment)
    }

    /// Returns the secret that opens the repository, asking for it when nothing else gives one.
    pub fn secret(&self) -> Result<Secret, CliError> {
        self.secret_source()?.read(&TerminalPrompt, &|message| self.progress.warn(message))
    }

    /// Returns the secret for a repository that is being made: like [`Context::secret`], but a prompt asks
    /// twice.
    pub fn new_secret(&self) -> Result<Secret, CliError> {
        self.secret_source()?.read_new(&TerminalPrompt, &|message| self.progress.warn(message))
    }

    /// Returns where the secret of the repository comes from.
    pub fn secret_source(&self) -> Result<SecretSource, CliError> {
        let default_key = match self.repository()?.is_default {
            true => Some(defaults::key_file(&self.environment)?).filter(|path| path.exists()),
            false => None,
        };
        Ok(secrets::choose(&self.globals, &self.environment, default_key))
    }

    /// Returns the host name for new snapshots: `option`, `SNAP_HOST`, or this host's.
    pub fn host(&self, option: Option<&str>) -> String {
        option.or(self.environment.text("SNAP_HOST")).map_or_else(defaults::host_name, str::to_owned)
    }

    /// Fails when a signal asked to stop.
    pub fn check_stop(&self) -> Result<(), CliError> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(CliError::interrupted()),
            false => Ok(()),
        }
    }

    /// Tells whether progress is shown at all.
    pub fn shows_progress(&self) -> bool {
        !self.globals.quiet && self.globals.progress != ProgressWhen::Never
    }
}

fn repository(globals: &Globals, environment: &Environment) -> Result<RepositoryChoice, CliError> {
    if let Some(location) = globals.repo.as_deref() {
        return Ok(RepositoryChoice { location: location.to_owned(), is_default: false });
    }
    if let Some(location) = environment.get("SNAP_REPOSITORY") {
        let location = location.to_str().ok_or_else(|| CliError::usage("SNAP_REPOSITORY is not UTF-8"))?;
        return Ok(RepositoryChoice { location: location.to_owned(), is_default: false });
    }
    let path = defaults::repository(environment)?;
    let location = path.to_str().ok_or_else(|| {
        CliError::usage("the path of the default repository is not UTF-8").with_hint("give --repo")
    })?;
    Ok(RepositoryChoice { location: location.to_owned(), is_default: true })
}

fn memory(globals: &Globals, environment: &Environment) -> Result<Memory, CliError> {
    if let Some(memory) = globals.memory {
        return Ok(memory);
    }
    let Some(text) = environment.get("SNAP_MEMORY") else { return Ok(Memory::default()) };
    let text = text.to_str().ok_or_else(|| CliError::usage("SNAP_MEMORY is not UTF-8"))?;
    memory_limit(text).map_err(|error| CliError::usage(format!("SNAP_MEMORY: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_the_flags_then_the_environments_and_never_too_little() {
        let none = Environment::from_pairs(&[]);
        let set = Environment::from_pairs(&[("SNAP_MEMORY", "256M")]);
        let flag = Globals { memory: Some(Memory::of(1 << 30)), ..Globals::default() };
        let limit = |globals: &Globals, environment| memory(globals, environment).unwrap().limit_bytes();
        assert_eq!(limit(&flag, &set), 1 << 30);
        assert_eq!(limit(&Globals::default(), &set), 256 << 20);
        assert_eq!(limit(&Globals::default(), &none), Memory::DEFAULT_BYTES);
        for wrong in ["127M", "9G", "much"] {
            let set = Environment::from_pairs(&[("SNAP_MEMORY", wrong)]);
            assert!(memory(&Globals::default(), &set).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_flag_wins_over_the_environment_and_that_over_the_default() {
        let flag = Globals { repo: Some("/flag".into()), ..Globals::default() };
        let environment = Environment::from_pairs(&[("SNAP_REPOSITORY", "/env"), ("HOME", "/home/ada")]);
        assert_eq!(repository(&flag, &environment).unwrap().location, "/flag");
        assert_eq!(repository(&Globals::default(), &environment).unwrap().location, "/env");
        let home = Environment::from_pairs(&[("HOME", "/home/ada")]);
        let choice = repository(&Globals::default(), &home).unwrap();
        assert_eq!(choice.location, "/home/ada/.local/share/snap/repository");
        assert!(choice.is_default);
    }
}
