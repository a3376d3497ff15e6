//! Making and opening repositories.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::keys::{store_key_file, unlock};
use super::objects::{SHELL_BYTES, open_object, seal_object};
use super::{Error, Repository};
use crate::backend::{Backend, ConditionalWrites, ErrorKind, ObjectKey, ObjectKind};
use crate::base::id::hex;
use crate::base::limits::CONFIG_PLAIN_MAX_BYTES;
use crate::base::{Clock, Entropy, Memory, Progress, RepositoryId};
use crate::crypto::{KeyRing, MasterKey, Secret};
use crate::format::config::{Config, DEFAULT_CHUNKER_SETS, Feature, LeaseMode};
use crate::format::{FormatError, Kind};
use crate::index::{IndexDatabase, IndexSettings};

/// Size at which packs of a new repository are closed.
const PACK_TARGET_BYTES: u32 = 64 << 20;

/// Number of the config of a new repository.
const FIRST_CONFIG: u32 = 1;

/// Which config object is in force. A config is never written again under its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigIdentity {
    /// Its number.
    pub number: u32,
    /// BLAKE3 of its stored bytes.
    pub digest: [u8; 32],
}

impl ConfigIdentity {
    fn of(key: &ObjectKey, stored: &[u8]) -> Self {
        let number = key.name().parse().unwrap_or(FIRST_CONFIG);
        Self { number, digest: *blake3::hash(stored).as_bytes() }
    }

    /// Returns that of the newest config in `backend`, which needs no key; `None` when there is none.
    pub fn read(backend: &dyn Backend) -> Result<Option<Self>, Error> {
        let configs = backend.list(ObjectKind::Config)?;
        let Some(newest) = configs.last() else { return Ok(None) };
        let stored = backend.get(&newest.key, CONFIG_PLAIN_MAX_BYTES + SHELL_BYTES)?;
        Ok(Some(Self::of(&newest.key, &stored)))
    }
}

/// What a run brings along: store, clock, randomness, and where it reports to.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The store.
    pub backend: Arc<dyn Backend>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Progress.
    pub progress: Arc<dyn Progress>,
    /// Set from outside to stop the run.
    pub stop: Arc<AtomicBool>,
    /// Name of this host.
    pub host: String,
    /// Where the local index is kept.
    pub index: IndexPlace,
    /// How much memory it may take.
    pub memory: Memory,
}

/// Where the local index database is.
#[derive(Debug, Clone)]
pub enum IndexPlace {
    /// Below this folder, in one named by the repository id; kept between runs.
    Folder(PathBuf),
    /// In a private temporary folder, dropped at the end.
    Temporary,
}

/// How a repository is opened.
#[derive(Debug)]
pub enum OpenSecret {
    /// Through its key files.
    KeyFile(Secret),
    /// With the master key from a printed sheet, without any key file.
    Master(RepositoryId, MasterKey),
}

/// What a new repository is to be.
#[derive(Debug)]
pub struct InitOptions {
    /// The secret of its first key file.
    pub secret: Secret,
    /// The label of that key file.
    pub label: String,
}

impl Repository {
    /// Makes a repository and opens it.
    ///
    /// Nothing is left that looks like a repository when this fails: the config is written last.
    pub fn init(environment: Environment, options: &InitOptions) -> Result<Self, Error> {
        let backend = &environment.backend;
        backend.prepare()?;
        // What was stored before the config is asked for is of the repository that has it.
        let is_used = holds_data(backend.as_ref())?;
        if config_exists(backend.as_ref())? {
            return Err(Error::Exists { location: backend.location() });
        }
        if is_used {
            return Err(config_is_gone());
        }
        let mut id = [0; 16];
        environment.entropy.fill(&mut id);
        let repository = RepositoryId(id);
        let master = MasterKey::generate(environment.entropy.as_ref());
        let keys = KeyRing::new(repository, &master, environment.entropy.clone());
        let config = Config {
            repository,
            created: environment.clock.now(),
            lease_mode: probe_lease_mode(backend.as_ref(), environment.entropy.as_ref())?,
            pack_target_bytes: PACK_TARGET_BYTES,
            chunker_sets: DEFAULT_CHUNKER_SETS.to_vec(),
            incompat: Vec::new(),
            ro_compat: Vec::new(),
            compat: Vec::new(),
        };
        let now = environment.clock.now();
        let entropy = environment.entropy.as_ref();
        store_key_file(backend.as_ref(), repository, &master, &options.secret, &options.label, now, entropy)?;
        let stored = seal_object(&keys, Kind::Config, &config.encode()?, CONFIG_PLAIN_MAX_BYTES)?;
        let key = ObjectKey::config(FIRST_CONFIG);
        let identity = ConfigIdentity::of(&key, &stored);
        match backend.put_new(&key, stored) {
            Ok(crate::backend::PutOutcome::Created) => {}
            Ok(crate::backend::PutOutcome::Existed) => {
                return Err(Error::Exists { location: backend.location() });
            }
            Err(error) if error.kind == ErrorKind::Conflict => {
                return Err(Error::Exists { location: backend.location() });
            }
            Err(error) => return Err(error.into()),
        }
        let repository = Self::assemble(environment, keys, config, identity)?;
        repository.keep_reserve();
        Ok(repository)
    }

    /// Opens a repository and brings its local index up to date.
    pub fn open(environment: Environment, secret: &OpenSecret) -> Result<Self, Error> {
        let repository = Self::open_without_sync(environment, secret)?;
        repository.sync_index()?;
        Ok(repository)
    }

    /// Opens a repository whose local index may be behind: for key work and index repair.
    pub fn open_without_sync(environment: Environment, secret: &OpenSecret) -> Result<Self, Error> {
        let backend = &environment.backend;
        let configs =
            backend.list(ObjectKind::Config).map_err(|error| no_repository(backend.as_ref(), error))?;
        let Some(newest) = configs.last() else {
            return Err(match holds_data(backend.as_ref())? {
                true => config_is_gone(),
                false => Error::NoRepository { location: backend.location() },
            });
        };
        let object = newest.key.path();
        let stored = backend.get(&newest.key, CONFIG_PLAIN_MAX_BYTES + SHELL_BYTES)?;
        let identity = ConfigIdentity::of(&newest.key, &stored);
        let (repository, master) = match secret {
            OpenSecret::Master(repository, master) => (*repository, master.clone()),
            OpenSecret::KeyFile(secret) => unlock(backend.as_ref(), secret, &|repository, master| {
                let keys = KeyRing::new(repository, master, environment.entropy.clone());
                open_object(&keys, Kind::Config, object, &stored, CONFIG_PLAIN_MAX_BYTES).is_ok()
            })?,
        };
        let keys = KeyRing::new(repository, &master, environment.entropy.clone());
        let body = open_object(&keys, Kind::Config, object, &stored, CONFIG_PLAIN_MAX_BYTES)?;
        let config = Config::decode(&body).map_err(|error| Error::of_format(object, &error))?;
        refuse_unknown(object, &config.incompat)?;
        if config.repository != repository {
            let reason = "belongs to another repository".to_owned();
            return Err(Error::Damaged { object: object.to_owned(), reason });
        }
        Self::assemble(environment, keys, config, identity)
    }

    fn assemble(
        environment: Environment,
        keys: KeyRing,
        config: Config,
        identity: ConfigIdentity,
    ) -> Result<Self, Error> {
        let settings = IndexSettings::within(environment.memory);
        let index = match &environment.index {
            IndexPlace::Folder(folder) => {
                let folder = folder.join(config.repository.to_string());
                IndexDatabase::open_with(&folder, config.repository, settings)?
            }
            IndexPlace::Temporary => IndexDatabase::temporary(config.repository, settings)?,
        };
        Ok(Self {
            backend: environment.backend,
            keys,
            config,
            identity,
            index,
            clock: environment.clock,
            entropy: environment.entropy,
            progress: environment.progress,
            stop: environment.stop,
            host: environment.host,
            memory: environment.memory,
            index_damage: Mutex::default(),
        })
    }

    /// Refuses to go on when the repository has features that this program may read but not write.
    pub fn require_writable(&self) -> Result<(), Error> {
        refuse_unknown("config", &self.config.ro_compat)
    }
}

/// Tells whether the store holds what only a repository leaves there. A key file alone may be left by an init
/// that was broken off.
fn holds_data(backend: &dyn Backend) -> Result<bool, Error> {
    for kind in [ObjectKind::Snapshot, ObjectKind::Index, ObjectKind::Pack] {
        if holds(backend, kind)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn config_exists(backend: &dyn Backend) -> Result<bool, Error> {
    holds(backend, ObjectKind::Config)
}

/// Tells whether an object of `kind` is at the store.
fn holds(backend: &dyn Backend, kind: ObjectKind) -> Result<bool, Error> {
    match backend.list(kind) {
        Ok(infos) => Ok(!infos.is_empty()),
        Err(error) if error.kind == ErrorKind::NoLocation => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A new config would make another repository, whose prune takes all that is there for waste.
fn config_is_gone() -> Error {
    let reason = "is gone, and what is stored here cannot be read without it: put the object back".to_owned();
    Error::Damaged { object: "config/".to_owned(), reason }
}

fn no_repository(backend: &dyn Backend, error: crate::backend::BackendError) -> Error {
    match error.kind {
        ErrorKind::NoLocation | ErrorKind::NotFound => Error::NoRepository { location: backend.location() },
        _ => error.into(),
    }
}

/// This program knows no features beyond version 1, so every name is unknown.
fn refuse_unknown(object: &str, features: &[Feature]) -> Result<(), Error> {
    let Some(feature) = features.first() else { return Ok(()) };
    let features =
        format!("{} ({}; snap {} or later)", feature.name, feature.message, feature.minimum_version);
    Err(Error::of_format(object, &FormatError::Feature { features }))
}

fn probe_lease_mode(backend: &dyn Backend, entropy: &dyn Entropy) -> Result<LeaseMode, Error> {
    let mut name = [0; 8];
    entropy.fill(&mut name);
    let probe = ObjectKey::lock(&format!("probe-{}", hex(&name)))
        .ok_or(Error::Internal { what: "name of the probe object" })?;
    Ok(match backend.probe_conditional_writes(&probe)? {
        ConditionalWrites::Honoured => LeaseMode::Conditional,
        ConditionalWrites::Missing => LeaseMode::Listing,
    })
}
