//! `snap init`, and the repository that the first backup makes.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::witness::Knowledge;
use super::{keyfile, open};
use crate::backend::Backend;
use crate::base::escape::escape_name;
use crate::cli::args::init::InitArgs;
use crate::cli::context::Context;
use crate::cli::defaults;
use crate::cli::error::CliError;
use crate::cli::exit::Outcome;
use crate::cli::secrets::{SecretSource, TerminalPrompt};
use crate::crypto::Secret;
use crate::format::config::LeaseMode;
use crate::repository::{self, InitOptions, Repository};

/// A repository that was just made.
#[derive(Debug)]
pub struct Made {
    /// The repository, opened.
    pub repository: Arc<Repository>,
    /// Where it is, for people.
    location: String,
    held: Held,
}

/// How the key of a new repository is held.
#[derive(Debug)]
enum Held {
    Password,
    KeyFile { path: PathBuf, is_new: bool },
}

/// Makes a repository.
pub fn run(context: &Context, args: &InitArgs) -> Result<Outcome, CliError> {
    let choice = context.repository()?;
    let store = open::store(context, &choice.location)?;
    let made = make(context, store, args)?;
    made.tell(context)?;
    context.out.json("summary", made.fields())?;
    Ok(Outcome::Done)
}

/// Makes a repository in `store`; its key is a new file, or what the options of the run say.
///
/// The default repository gets a key file of its own unless something else was asked for, so that a first
/// run needs no set-up.
pub fn make(context: &Context, store: Arc<dyn Backend>, args: &InitArgs) -> Result<Made, CliError> {
    let location = store.location();
    if open::exists(store.as_ref())? {
        return Err(repository::Error::Exists { location }.into());
    }
    let knowledge = Knowledge::of(context, store.as_ref());
    knowledge.require_none()?;
    let source = context.secret_source()?;
    let new_file = match (&args.raw_key, &source, context.repository()?.is_default) {
        (Some(path), ..) => Some(path.clone()),
        (None, SecretSource::Prompt, true) => Some(defaults::key_file(&context.environment)?),
        _ => None,
    };
    let (secret, held) = match new_file {
        Some(path) => {
            let note = format!("# key of the snap repository at {location}\n");
            let secret = keyfile::make(&path, &note, context.entropy.as_ref())?;
            (secret, Held::KeyFile { path, is_new: true })
        }
        None => present_secret(context, &source)?,
    };
    let label = args.label.clone().unwrap_or_else(|| context.host(None));
    let environment = open::environment(context, store, context.memory()?)?;
    match Repository::init(environment, &InitOptions { secret, label }) {
        Ok(repository) => {
            knowledge.begin(&repository);
            Ok(Made { repository: Arc::new(repository), location, held })
        }
        Err(error) => {
            if let Held::KeyFile { path, is_new: true } = &held {
                // It opens nothing.
                let _ = std::fs::remove_file(path);
            }
            Err(error.into())
        }
    }
}

fn present_secret(context: &Context, source: &SecretSource) -> Result<(Secret, Held), CliError> {
    let secret = source.read_new(&TerminalPrompt, &|message| context.progress.warn(message))?;
    let held = match source {
        SecretSource::KeyFile(path) => Held::KeyFile { path: path.clone(), is_new: false },
        _ => Held::Password,
    };
    Ok((open::new_secret(secret, source)?, held))
}

impl Made {
    /// Tells people where repository and key are, and what to do with the key.
    pub fn tell(&self, context: &Context) -> Result<(), CliError> {
        let id = self.repository.config().repository;
        let out = &context.out;
        out.note(&format!("made repository {} at {}", id.short(), one_line(&self.location)))?;
        match &self.held {
            Held::Password => {
                out.note("its key is the password: without it nothing can be restored")?;
                out.note("to keep a second key on paper: snap key export")?;
            }
            Held::KeyFile { path, .. } => {
                let path = escape_name(path.as_os_str().as_encoded_bytes());
                out.note(&format!("its key is {path}: without it nothing can be restored"))?;
                out.note("copy that file to a safe place now, or print a sheet with: snap key export")?;
            }
        }
        if self.repository.config().lease_mode == LeaseMode::Listing {
            context.progress.warn(
                "this store does not keep conditional writes: run prune and check from one host at a time",
            );
        }
        Ok(())
    }

    /// Returns the same for programs.
    pub fn fields(&self) -> Value {
        let (held, path) = match &self.held {
            Held::Password => ("password", None),
            Held::KeyFile { path, .. } => ("key_file", Some(path.to_string_lossy().into_owned())),
        };
        json!({
            "repository": self.repository.config().repository.to_string(),
            "location": self.location,
            "key": held,
            "key_file": path,
        })
    }
}

fn one_line(text: &str) -> String {
    crate::cli::report::one_line(text)
}
