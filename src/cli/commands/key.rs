//! `snap key`.

use std::sync::Arc;

use std::path::PathBuf;

use jiff::tz::TimeZone;
use serde_json::json;
use std::io::Write;
use zeroize::Zeroizing;

use super::witness::Purpose;
use super::{keyfile, open, witness};
use crate::base::KeyFileId;
use crate::base::escape::escape_name;
use crate::base::parse::format_time;
use crate::cli::args::key::{KeyCommand, KeyExportArgs, KeyRemoveArgs, NewKeyArgs};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::{ExitKind, Outcome};
use crate::cli::secrets::{SecretSource, TerminalPrompt};
use crate::cli::table::{Align, Table};
use crate::cli::{human, json};
use crate::crypto::Secret;
use crate::format::keyfile::Kdf;
use crate::format::sheet::{self, SheetKind};
use crate::repository::{OpenSecret, Repository};

/// Works on the keys of a repository.
pub fn run(context: &Context, command: &KeyCommand) -> Result<Outcome, CliError> {
    let purpose = match command {
        KeyCommand::List | KeyCommand::Export(_) => Purpose::Read,
        KeyCommand::Add(_) | KeyCommand::Remove(_) | KeyCommand::Change(_) => Purpose::Write,
    };
    let (repository, opened) = open::repository_unsynced(context, purpose)?;
    match command {
        KeyCommand::Add(args) => add(context, &repository, &opened, args),
        KeyCommand::List => list(context, &repository, &opened),
        KeyCommand::Remove(args) => remove(context, &repository, &opened, args),
        KeyCommand::Change(args) => change(context, &repository, &opened, args),
        KeyCommand::Export(args) => export(context, &repository, &opened, args),
    }?;
    if purpose == Purpose::Write {
        witness::remember(context, &repository);
    }
    Ok(Outcome::Done)
}

fn add(
    context: &Context,
    repository: &Repository,
    opened: &OpenSecret,
    args: &NewKeyArgs,
) -> Result<(), CliError> {
    let id = add_key(context, repository, opened, args)?;
    context.out.note(&format!("added key {}", id.short()))?;
    tell_new_file(context, args)?;
    context.out.json("summary", json!({ "added": id.to_string(), "key_file": args.new_key_file }))
}

/// Stores a new key file of the repository; a secret that was made for it goes again when that fails.
fn add_key(
    context: &Context,
    repository: &Repository,
    opened: &OpenSecret,
    args: &NewKeyArgs,
) -> Result<KeyFileId, CliError> {
    let master = repository.reveal_master(opened)?;
    let secret = new_secret(context, repository, args)?;
    let label = args.label.clone().unwrap_or_else(|| context.host(None));
    repository.add_key(&master, &secret, &label).map_err(|error| {
        if let Some(path) = &args.new_key_file {
            let _ = std::fs::remove_file(path);
        }
        error.into()
    })
}

fn new_secret(context: &Context, repository: &Repository, args: &NewKeyArgs) -> Result<Secret, CliError> {
    if let Some(path) = &args.new_key_file {
        let note = format!("# key of the snap repository at {}\n", repository.backend().location());
        return keyfile::make(path, &note, context.entropy.as_ref());
    }
    let source = match &args.new_password_file {
        Some(path) => SecretSource::PasswordFile(path.clone()),
        None => SecretSource::Prompt,
    };
    let secret = source.read_new(&TerminalPrompt, &|message| context.progress.warn(message));
    let secret = secret.map_err(|error| match &source {
        SecretSource::Prompt if error.kind() == ExitKind::Failed => {
            error.without_hints().with_hint("give --new-password-file or --new-key-file")
        }
        _ => error,
    })?;
    open::new_secret(secret, &source)
}

fn tell_new_file(context: &Context, args: &NewKeyArgs) -> Result<(), CliError> {
    let Some(path) = &args.new_key_file else { return Ok(()) };
    let name = escape_name(path.as_os_str().as_encoded_bytes());
    context.out.note(&format!("its secret is in {name}: use it with --key-file"))
}

fn list(context: &Context, repository: &Repository, opened: &OpenSecret) -> Result<(), CliError> {
    let secret = match opened {
        OpenSecret::KeyFile(secret) => Some(secret),
        OpenSecret::Master(..) => None,
    };
    let keys = repository.list_keys(secret)?;
    let zone = TimeZone::system();
    let mut table = Table::new(&[
        ("id", Align::Left),
        ("kind", Align::Left),
        ("stored", Align::Left),
        ("opened", Align::Left),
        ("label", Align::Left),
    ]);
    for key in &keys {
        let (kind, name) = match key.kdf {
            Some(Kdf::Raw) => ("key file", "key_file"),
            Some(Kdf::Argon2id { .. }) => ("password", "password"),
            None => ("unreadable", "unreadable"),
        };
        let label = key.label.as_deref().map(|label| escape_name(label.as_bytes()));
        let opened = if key.label.is_some() { "this run" } else { "" };
        let stored = format_time(key.stored, &zone);
        table.row(vec![
            key.id.short(),
            kind.to_owned(),
            stored,
            opened.to_owned(),
            label.unwrap_or_else(|| "(sealed)".to_owned()),
        ]);
        let fields = json!({
            "id": key.id.to_string(),
            "kind": name,
            "stored": json::time(key.stored),
            "opened_this_run": key.label.is_some(),
            "label": key.label,
        });
        context.out.json("key", fields)?;
    }
    context.out.lines(&table.render())?;
    context.out.note(&human::count(keys.len() as u64, "key"))?;
    context.out.json("summary", json!({ "keys": keys.len() }))
}

fn remove(
    context: &Context,
    repository: &Arc<Repository>,
    opened: &OpenSecret,
    args: &KeyRemoveArgs,
) -> Result<(), CliError> {
    let keys = repository.list_keys(None)?;
    let prefix = args.id.to_ascii_lowercase();
    let fitting: Vec<KeyFileId> =
        keys.iter().map(|key| key.id).filter(|id| id.to_string().starts_with(&prefix)).collect();
    let shown = escape_name(args.id.as_bytes());
    let id = match fitting[..] {
        _ if prefix.is_empty() => return Err(CliError::usage("the id of a key is empty")),
        [] => {
            return Err(
                CliError::failed(format!("no key '{shown}'")).with_hint("see them with: snap key list")
            );
        }
        [id] => id,
        _ => {
            let message = format!("key '{shown}' fits {} keys", fitting.len());
            return Err(CliError::failed(message).with_hint("write more digits"));
        }
    };
    if let OpenSecret::KeyFile(secret) = opened
        && keys.len() > 1
        && repository.key_of(secret)? == id
    {
        let message = format!("key {} is the one that opened the repository", id.short());
        return Err(CliError::failed(message)
            .with_hint("replace it with: snap key change; or open with another key to remove it"));
    }
    repository.remove_key(&id, context.globals.lock_wait.unwrap_or_default())?;
    context.out.note(&format!("removed key {}", id.short()))?;
    context.out.json("summary", json!({ "removed": id.to_string() }))
}

fn change(
    context: &Context,
    repository: &Arc<Repository>,
    opened: &OpenSecret,
    args: &NewKeyArgs,
) -> Result<(), CliError> {
    let OpenSecret::KeyFile(secret) = opened else {
        return Err(CliError::usage("a sheet of the master secret is no key that could be changed")
            .with_hint("add a key with: snap key add"));
    };
    let old = repository.key_of(secret)?;
    let new = add_key(context, repository, opened, args)?;
    let removed = repository.remove_key(&old, context.globals.lock_wait.unwrap_or_default());
    removed.map_err(|error| {
        let (new, old) = (new.short(), old.short());
        let hint =
            format!("key {new} was added and opens; with it remove the old one: snap key remove {old}");
        CliError::from(error).with_hint(hint)
    })?;
    context.out.note(&format!("key {} replaced by {}", old.short(), new.short()))?;
    tell_new_file(context, args)?;
    if let SecretSource::KeyFile(path) = context.secret_source()? {
        let name = escape_name(path.as_os_str().as_encoded_bytes());
        context.out.note(&format!("{name} no longer opens this repository: remove it"))?;
    }
    let fields = json!({
        "removed": old.to_string(),
        "added": new.to_string(),
        "key_file": args.new_key_file,
    });
    context.out.json("summary", fields)
}

fn export(
    context: &Context,
    repository: &Repository,
    opened: &OpenSecret,
    args: &KeyExportArgs,
) -> Result<(), CliError> {
    let master = repository.reveal_master(opened)?;
    let id = repository.config().repository;
    let mut secret = Zeroizing::new(Vec::with_capacity(48));
    secret.extend_from_slice(&id.0);
    secret.extend_from_slice(master.expose());
    let sheet = sheet::encode(SheetKind::Master, &secret);
    let location = repository.backend().location();
    let text = Zeroizing::new(format!(
        "# master secret of the snap repository {id}\n# at {location}\n# whoever has it reads everything; \
         typed into a file it opens the repository: snap --key-file FILE\n{}",
        sheet.as_str()
    ));
    let path: Option<&PathBuf> = args.output.as_ref();
    let Some(path) = path else {
        return context.out.stream().write_all(text.as_bytes()).map_err(CliError::output);
    };
    keyfile::write_new(path, &text)?;
    let name = escape_name(path.as_os_str().as_encoded_bytes());
    context.out.note(&format!("wrote the master secret to {name}"))?;
    context.out.json("summary", json!({ "repository": id.to_string(), "file": path.to_string_lossy() }))
}
