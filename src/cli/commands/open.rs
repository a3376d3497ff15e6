//! From options to an opened repository: store, secret, local index.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::witness::{Knowledge, Purpose};
use crate::backend::{self, Backend, BackendError, ErrorKind, Location, ObjectKind};
use crate::base::escape::escape_name;
use crate::base::{Memory, RepositoryId};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitKind;
use crate::cli::secrets::{Secret, SecretSource, TerminalPrompt};
use crate::crypto::{self, MasterKey};
use crate::format::sheet::{self, SheetKind};
use crate::repository::{Environment, IndexPlace, OpenSecret, Repository};

/// Returns the store at `location`, without talking to it.
pub fn store(context: &Context, location: &str) -> Result<Arc<dyn Backend>, CliError> {
    store_within(context, location, context.memory()?)
}

fn store_within(context: &Context, location: &str, memory: Memory) -> Result<Arc<dyn Backend>, CliError> {
    let variables = |name: &str| context.environment.text(name).map(str::to_owned);
    let options = backend::OpenOptions {
        environment: &variables,
        ca_cert: context.globals.ca_cert.clone(),
        entropy: context.entropy.clone(),
        clock: context.clock.clone(),
        memory,
    };
    let mut location = Location::parse(location)?;
    if let Location::Local(path) = &mut location
        && path.is_relative()
    {
        let absolute = std::path::absolute(&*path);
        let failed = |error| CliError::failed("cannot tell the current folder").with_source(error);
        *path = absolute.map_err(failed)?;
    }
    Ok(backend::open(&location, &options)?)
}

/// Returns what a run that may take so much memory brings along to the repository in `store`.
pub fn environment(
    context: &Context,
    store: Arc<dyn Backend>,
    memory: Memory,
) -> Result<Environment, CliError> {
    Ok(Environment {
        backend: store,
        clock: context.clock.clone(),
        entropy: context.entropy.clone(),
        progress: context.progress.clone(),
        stop: context.stop.clone(),
        host: context.host(None),
        index: match context.cache_dir()? {
            Some(folder) => IndexPlace::Folder(folder),
            None => IndexPlace::Temporary,
        },
        memory,
    })
}

/// Tells whether there is a repository in `store`.
pub fn exists(store: &dyn Backend) -> Result<bool, CliError> {
    match store.list(ObjectKind::Config) {
        Ok(configs) => Ok(!configs.is_empty()),
        Err(BackendError { kind: ErrorKind::NoLocation | ErrorKind::NotFound, .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Returns the repository that is meant, its index up to date.
pub fn repository(context: &Context, purpose: Purpose) -> Result<Arc<Repository>, CliError> {
    let (repository, _) = repository_unsynced(context, purpose)?;
    repository.sync_index()?;
    Ok(repository)
}

/// Returns the repository that is meant and what opened it; its local index may be behind.
pub fn repository_unsynced(
    context: &Context,
    purpose: Purpose,
) -> Result<(Arc<Repository>, OpenSecret), CliError> {
    meant(context, purpose, context.memory()?)
}

fn meant(
    context: &Context,
    purpose: Purpose,
    memory: Memory,
) -> Result<(Arc<Repository>, OpenSecret), CliError> {
    let choice = context.repository()?;
    let store = store_within(context, &choice.location, memory)?;
    unlock(context, store, &context.secret_source()?, purpose, memory).map_err(|error| match error.kind() {
        ExitKind::NoRepository if choice.is_default => error
            .without_hints()
            .with_hint("make it with: snap backup --init PATH; or name another with --repo"),
        _ => error,
    })
}

/// Returns the repository that is meant, its index up to date, for a run that opens another one as well and
/// halves its memory between them.
pub fn first_repository(context: &Context, purpose: Purpose) -> Result<Arc<Repository>, CliError> {
    let (repository, _) = meant(context, purpose, context.memory()?.of_two())?;
    repository.sync_index()?;
    Ok(repository)
}

/// Returns the repository at `location`, opened with what `source` gives, its index up to date: the other one
/// of two.
pub fn other_repository(
    context: &Context,
    location: &str,
    source: &SecretSource,
    purpose: Purpose,
) -> Result<Arc<Repository>, CliError> {
    let memory = context.memory()?.of_two();
    let store = store_within(context, location, memory)?;
    let (repository, _) = unlock(context, store, source, purpose, memory)?;
    repository.sync_index()?;
    Ok(repository)
}

fn unlock(
    context: &Context,
    store: Arc<dyn Backend>,
    source: &SecretSource,
    purpose: Purpose,
    memory: Memory,
) -> Result<(Arc<Repository>, OpenSecret), CliError> {
    let knowledge = Knowledge::of(context, store.as_ref());
    let (repository, secret) = unlock_any(context, store.clone(), source, memory)
        .map_err(|error| knowledge.explain(store.as_ref(), purpose, error))?;
    knowledge.compare(&repository, purpose)?;
    Ok((repository, secret))
}

fn unlock_any(
    context: &Context,
    store: Arc<dyn Backend>,
    source: &SecretSource,
    memory: Memory,
) -> Result<(Arc<Repository>, OpenSecret), CliError> {
    // Nobody is asked for the password of a repository that is not there.
    if *source == SecretSource::Prompt && !exists(store.as_ref())? {
        return Err(crate::repository::Error::NoRepository { location: store.location() }.into());
    }
    let secret = source.read(&TerminalPrompt, &|message| context.progress.warn(message))?;
    let secret = open_secret(secret, source)?;
    let repository = Repository::open_without_sync(environment(context, store, memory)?, &secret)?;
    Ok((Arc::new(repository), secret))
}

/// Returns what opens a repository; `source` names it in errors.
pub fn open_secret(secret: Secret, source: &SecretSource) -> Result<OpenSecret, CliError> {
    let text = match secret {
        Secret::Password(password) => return Ok(OpenSecret::KeyFile(crypto::Secret::Password(password))),
        Secret::KeyFile(text) => text,
    };
    let damaged = |reason: String| {
        CliError::new(ExitKind::Damaged, format!("{} cannot be used: {reason}", name_of(source)))
            .with_hint("compare it with its copy, or with the printed sheet")
    };
    let text = std::str::from_utf8(&text).map_err(|_| damaged("it is not text".to_owned()))?;
    let (kind, bytes) = sheet::decode(text).map_err(|error| damaged(error.to_string()))?;
    let short = || damaged("it is too short".to_owned());
    match kind {
        SheetKind::Raw => Ok(OpenSecret::KeyFile(raw_secret(&bytes).ok_or_else(short)?)),
        SheetKind::Master => {
            let (id, key) = bytes.split_first_chunk::<16>().ok_or_else(short)?;
            let key = Zeroizing::new(<[u8; 32]>::try_from(key).map_err(|_| short())?);
            Ok(OpenSecret::Master(RepositoryId(*id), MasterKey::from_bytes(*key)))
        }
    }
}

/// Returns the secret for a new key file: a password, or the raw secret of a key file that is there.
pub fn new_secret(secret: Secret, source: &SecretSource) -> Result<crypto::Secret, CliError> {
    match open_secret(secret, source)? {
        OpenSecret::KeyFile(secret) => Ok(secret),
        OpenSecret::Master(..) => {
            let message = format!("{} is a sheet of a master secret: it opens its own", name_of(source));
            Err(CliError::usage(format!("{message} repository only, and makes no key")))
        }
    }
}

fn raw_secret(bytes: &[u8]) -> Option<crypto::Secret> {
    let mut secret = Zeroizing::new([0; 32]);
    secret.copy_from_slice(bytes.get(..32)?);
    Some(crypto::Secret::Raw(secret))
}

fn name_of(source: &SecretSource) -> String {
    match source {
        SecretSource::KeyFile(path) => {
            format!("key file {}", escape_name(path.as_os_str().as_encoded_bytes()))
        }
        _ => "the key".to_owned(),
    }
}
