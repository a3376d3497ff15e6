//! What this host last saw of repositories: writers stop at one that is something else, readers warn.

use crate::backend::{Backend, ErrorKind};
use crate::base::SnapshotId;
use crate::cli::context::Context;
use crate::cli::defaults;
use crate::cli::error::CliError;
use crate::cli::exit::ExitKind;
use crate::repository::witness::{Contradiction, Look, Seen, Witness, WitnessError};
use crate::repository::{self, ConfigIdentity, Error, Repository};

/// What a command is about to do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Read only: goes on, with a warning, where the store is not what it was.
    Read,
    /// Write: stops there.
    Write,
}

impl Purpose {
    /// Returns the purpose of a command that writes unless it is a dry run.
    pub fn write_unless(dry_run: bool) -> Self {
        if dry_run { Self::Read } else { Self::Write }
    }
}

/// The witness of a repository, and what it knew when the command began.
#[derive(Debug)]
pub struct Knowledge<'a> {
    context: &'a Context,
    witness: Option<Witness>,
    known: Option<Seen>,
    location: String,
}

impl<'a> Knowledge<'a> {
    /// Returns what this host knows of the repository in `store`. A failure costs a warning.
    pub fn of(context: &'a Context, store: &dyn Backend) -> Self {
        let location = store.location();
        let mut knowledge = Self { context, witness: None, known: None, location };
        match defaults::state_dir(&context.environment) {
            Ok(folder) => {
                let witness = Witness::new(&folder, &knowledge.location);
                knowledge.known = witness.known().unwrap_or_else(|error| {
                    knowledge.warn(&error);
                    None
                });
                knowledge.witness = Some(witness);
            }
            Err(error) => knowledge.context.progress.warn(&format!(
                "what this host sees of the repository is not remembered: {error}; set SNAP_STATE_DIR"
            )),
        }
        knowledge
    }

    fn warn(&self, error: &WitnessError) {
        let error = repository::describe(error);
        self.context.progress.warn(&format!("what this host saw of the repository is not known: {error}"));
    }

    fn accepts(&self) -> bool {
        self.context.globals.accept_rollback
    }

    fn error(&self, contradiction: Contradiction) -> CliError {
        Error::Contradicted { location: self.location.clone(), contradiction }.into()
    }

    /// Fails when this host knows a repository where a new one is to be made, unless that is accepted.
    pub fn require_none(&self) -> Result<(), CliError> {
        match &self.known {
            Some(known) if !self.accepts() => {
                Err(self.error(Contradiction::Gone { known: known.repository }))
            }
            _ => Ok(()),
        }
    }

    /// Returns the error to give where the repository in `store` could not be opened: `error`, unless it
    /// fails because this is not the repository that was there.
    pub fn explain(&self, store: &dyn Backend, purpose: Purpose, error: CliError) -> CliError {
        let Some(known) = self.known.as_ref().filter(|_| !self.accepts()) else { return error };
        let is_none = error.kind() == ExitKind::NoRepository;
        let contradiction = match ConfigIdentity::read(store) {
            // One listing proves nothing; nor does an error that a second look does not give.
            Ok(None) if is_none => Contradiction::Gone { known: known.repository },
            Err(Error::Backend(error)) if is_none && is_absence(error.kind) => {
                Contradiction::Gone { known: known.repository }
            }
            Ok(Some(config)) if error.kind() == ExitKind::WrongKey && known.is_other(&config) => {
                Contradiction::Replaced { known: known.repository, found: None }
            }
            _ => return error,
        };
        match purpose {
            Purpose::Write => self.error(contradiction),
            Purpose::Read => {
                self.context.progress.warn(&format!("not what this host last saw there: {contradiction}"));
                error
            }
        }
    }

    /// Compares `repository` with what is known, and remembers it when nothing contradicts that.
    pub fn compare(&self, repository: &Repository, purpose: Purpose) -> Result<(), CliError> {
        let Some(witness) = &self.witness else { return Ok(()) };
        let Look { seen, contradiction } = match witness.look(repository, self.known.as_ref()) {
            Ok(look) => look,
            Err(error) if purpose == Purpose::Write || matches!(error, Error::Interrupted) => {
                return Err(error.into());
            }
            Err(error) => {
                let error = repository::describe(&error);
                let warning = format!("cannot compare the repository with what this host saw: {error}");
                self.context.progress.warn(&warning);
                return Ok(());
            }
        };
        let entropy = self.context.entropy.as_ref();
        let kept = match contradiction {
            None => witness.keep(seen, entropy),
            Some(_) if self.accepts() => witness.accept(seen, entropy),
            Some(contradiction) if purpose == Purpose::Write => return Err(self.error(contradiction)),
            Some(contradiction) => {
                let location = self.location.clone();
                let said = Error::Contradicted { location, contradiction };
                self.context.progress.warn(&format!("{said}; commands that write refuse to go on"));
                Ok(())
            }
        };
        if let Err(error) = kept {
            self.warn(&error);
        }
        Ok(())
    }

    /// Remembers the repository that was just made.
    pub fn begin(&self, repository: &Repository) {
        let Some(witness) = &self.witness else { return };
        match witness.look(repository, None) {
            Ok(look) => {
                if let Err(error) = witness.accept(look.seen, self.context.entropy.as_ref()) {
                    self.warn(&error);
                }
            }
            Err(error) => {
                let error = repository::describe(&error);
                self.context.progress.warn(&format!("the new repository is not remembered: {error}"));
            }
        }
    }
}

fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NoLocation | ErrorKind::NoBucket | ErrorKind::NotFound)
}

/// Remembers what is in `repository` after a command changed it. A failure costs a warning; what is not
/// remembered is seen by the next command.
pub fn remember(context: &Context, repository: &Repository) {
    let knowledge = Knowledge::of(context, repository.backend().as_ref());
    // It was compared when the command began; what differs since then is for the next command to tell.
    let _ = knowledge.witness.as_ref().map(|witness| {
        let look = witness.look(repository, knowledge.known.as_ref()).ok()?;
        let kept = look.contradiction.is_none().then(|| witness.keep(look.seen, context.entropy.as_ref()));
        kept?.inspect_err(|error| knowledge.warn(error)).ok()
    });
}

/// Remembers a snapshot that this run stored.
pub fn remember_snapshot(context: &Context, repository: &Repository, id: SnapshotId) {
    let Ok(folder) = defaults::state_dir(&context.environment) else { return };
    let witness = Witness::new(&folder, &repository.backend().location());
    let seconds = context.clock.now().seconds;
    // A file that cannot be read or written was warned of when the command began.
    let _ = witness.add(id, seconds, context.entropy.as_ref());
}
