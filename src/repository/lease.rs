//! Leases (`format-spec/12-leases.md`): one maintainer at a time.

use std::sync::Arc;
use std::time::Duration;

use super::{Error, Repository};
use crate::backend::{ObjectKey, ObjectKind, Version};
use crate::base::Time;
use crate::base::id::hex;
use crate::format::config::LeaseMode;
use crate::format::lease::Lease;

/// How long a lease holds without renewal.
const TTL_SECONDS: u32 = 120;
/// How long contenders let a listing settle in the mode without conditional writes.
const SETTLE: Duration = Duration::from_secs(2);
/// Pause between tries while waiting for a lease.
const RETRY: Duration = Duration::from_secs(2);

/// A lease that is held. Free again when dropped.
#[derive(Debug)]
pub struct LeaseGuard {
    repository: Arc<Repository>,
    key: ObjectKey,
    body: Lease,
    version: Option<Version>,
    renewed: Time,
    store_time: Time,
}

/// How far the lease has come: what no forget, prune, repair or removal of a key leaves as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTrace {
    /// How often it was written since the repository was made.
    pub writes: u64,
    /// Whether somebody holds it, or died with it.
    pub is_held: bool,
}

fn maintenance_key() -> Result<ObjectKey, Error> {
    ObjectKey::lock("maintenance").ok_or(Error::Internal { what: "name of the lease" })
}

fn describe(lease: &Lease) -> String {
    format!("{} on {} (pid {})", lease.command, lease.host, lease.pid)
}

impl LeaseGuard {
    /// Takes the maintenance lease, waiting up to `wait` for another holder to finish.
    pub fn acquire(repository: &Arc<Repository>, command: &str, wait: Duration) -> Result<Self, Error> {
        let deadline =
            repository.clock.now().seconds.saturating_add(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
        loop {
            let attempt = match repository.config.lease_mode {
                LeaseMode::Conditional => Self::try_conditional(repository, command)?,
                LeaseMode::Listing => Self::try_listing(repository, command)?,
            };
            match attempt {
                Ok(guard) => return Ok(guard),
                Err(holder) if repository.clock.now().seconds >= deadline => {
                    return Err(Error::Locked { holder });
                }
                Err(_) => std::thread::sleep(RETRY),
            }
            repository.check_stop()?;
        }
    }

    /// Takes the lease when nobody has it, and gives `None` otherwise, and where leases work by listing.
    ///
    /// For what need not be alone, but leaves its trace in the lease: see [`Repository::lease_trace`].
    pub fn acquire_if_free(repository: &Arc<Repository>, command: &str) -> Result<Option<Self>, Error> {
        match repository.config.lease_mode {
            LeaseMode::Conditional => match Self::try_conditional(repository, command) {
                Ok(attempt) => Ok(attempt.ok()),
                // A full store is where dropping is needed most.
                Err(error) if error.is_full() => Ok(None),
                Err(error) if error.is_damage() => Ok(None),
                Err(error) => Err(error),
            },
            LeaseMode::Listing => Ok(None),
        }
    }

    fn new_body(repository: &Repository, command: &str, sequence: u64) -> Lease {
        let mut owner = [0; 16];
        repository.entropy.fill(&mut owner);
        Lease {
            owner,
            host: repository.host.clone(),
            pid: std::process::id(),
            command: command.to_owned(),
            started: repository.clock.now(),
            ttl_seconds: TTL_SECONDS,
            sequence,
        }
    }

    fn try_conditional(repository: &Arc<Repository>, command: &str) -> Result<Result<Self, String>, Error> {
        let key = maintenance_key()?;
        let mut sequence = 0;
        let expected = match repository.backend.get_versioned(&key)? {
            None => None,
            Some(found) => {
                let held = Lease::decode(&repository.open_lease(&key, &found.data)?)
                    .map_err(|error| Error::of_format(key.path(), &error))?;
                if held.ttl_seconds > 0 {
                    let age = repository.store_time()?.seconds_since(found.modified);
                    if age <= 2 * i64::from(held.ttl_seconds) {
                        return Ok(Err(describe(&held)));
                    }
                }
                sequence = held.sequence.saturating_add(1);
                Some(found.version)
            }
        };
        let body = Self::new_body(repository, command, sequence);
        let data = repository.seal_lease(&body.encode()?)?;
        let write = || Ok(repository.backend.replace(&key, data.clone(), expected.as_ref())?);
        let written = repository.with_reserve(write)?;
        // The answer may have been lost or late: what is stored decides.
        let Some(found) = repository.backend.get_versioned(&key)? else {
            return Ok(Err("another contender".to_owned()));
        };
        let stored = Lease::decode(&repository.open_lease(&key, &found.data)?)
            .map_err(|error| Error::of_format(key.path(), &error))?;
        if stored.owner != body.owner {
            return Ok(Err(describe(&stored)));
        }
        let version = written.or(Some(found.version));
        let renewed = repository.clock.now();
        let repository = repository.clone();
        Ok(Ok(Self { repository, key, body, version, renewed, store_time: found.modified }))
    }

    fn try_listing(repository: &Arc<Repository>, command: &str) -> Result<Result<Self, String>, Error> {
        let body = Self::new_body(repository, command, 0);
        let key = ObjectKey::lock(&format!("m-{}", hex(&body.owner)))
            .ok_or(Error::Internal { what: "name of the lease" })?;
        let data = repository.seal_lease(&body.encode()?)?;
        repository.with_reserve(|| Ok(repository.backend.replace(&key, data.clone(), None)?))?;
        std::thread::sleep(SETTLE);
        let infos = repository.backend.list(ObjectKind::Lock)?;
        let own = infos.iter().find(|info| info.key == key);
        let Some(own) = own.map(|info| info.modified) else {
            return Ok(Err("a listing that does not show this lease".to_owned()));
        };
        let first = infos
            .iter()
            .filter(|info| info.key.name().starts_with("m-"))
            .filter(|info| own.seconds_since(info.modified) <= 2 * i64::from(TTL_SECONDS))
            .min_by_key(|info| (info.modified, info.key.clone()));
        let renewed = repository.clock.now();
        let guard = Self {
            repository: repository.clone(),
            key: key.clone(),
            body,
            version: None,
            renewed,
            store_time: own,
        };
        match first {
            Some(first) if first.key != key => {
                let holder = match repository.backend.get_versioned(&first.key)? {
                    Some(found) => Lease::decode(&repository.open_lease(&first.key, &found.data)?)
                        .map_or_else(|_| "another contender".to_owned(), |lease| describe(&lease)),
                    None => "another contender".to_owned(),
                };
                drop(guard);
                Ok(Err(holder))
            }
            _ => Ok(Ok(guard)),
        }
    }

    /// Renews the lease if a third of its time has passed; fails when somebody else has it.
    ///
    /// Call this before every step that deletes.
    pub fn renew(&mut self) -> Result<(), Error> {
        let now = self.repository.clock.now();
        if now.seconds_since(self.renewed) < i64::from(TTL_SECONDS / 3) {
            return Ok(());
        }
        self.renew_now()
    }

    /// Renews the lease and returns the store's time of the renewal.
    pub fn renew_now(&mut self) -> Result<(), Error> {
        self.body.sequence += 1;
        let data = self.repository.seal_lease(&self.body.encode()?)?;
        if self.version.is_none() {
            self.repository.backend.delete(&self.key)?;
        }
        let repository = &self.repository;
        let write = || Ok(repository.backend.replace(&self.key, data.clone(), self.version.as_ref())?);
        let written = repository.with_reserve(write)?;
        let found = self.repository.backend.get_versioned(&self.key)?;
        let lost = |holder: &str| Err(Error::LeaseLost { holder: holder.to_owned() });
        let Some(found) = found else { return lost("nobody: its object is gone") };
        let stored = Lease::decode(&self.repository.open_lease(&self.key, &found.data)?)
            .map_err(|error| Error::of_format(self.key.path(), &error))?;
        if (stored.owner, stored.sequence) != (self.body.owner, self.body.sequence) {
            return lost(&describe(&stored));
        }
        if self.version.is_some() {
            self.version = written.or(Some(found.version));
        }
        self.store_time = found.modified;
        self.renewed = self.repository.clock.now();
        Ok(())
    }

    /// Returns the time by the store's clock when the lease was last renewed.
    pub fn store_time(&self) -> Time {
        self.store_time
    }
}

impl Drop for LeaseGuard {
    /// Frees the lease; when that fails it runs out by itself.
    fn drop(&mut self) {
        if self.version.is_none() {
            let _ = self.repository.backend.delete(&self.key);
            return;
        }
        self.body.ttl_seconds = 0;
        self.body.sequence += 1;
        let Ok(body) = self.body.encode() else { return };
        let Ok(data) = self.repository.seal_lease(&body) else { return };
        let repository = &self.repository;
        let write = || Ok(repository.backend.replace(&self.key, data.clone(), self.version.as_ref())?);
        let _ = repository.with_reserve(write);
    }
}

impl Repository {
    /// Returns the store's time now, by writing and removing a small object.
    pub fn store_time(&self) -> Result<Time, Error> {
        let mut name = [0; 8];
        self.entropy.fill(&mut name);
        let key = ObjectKey::lock(&format!("t-{}", hex(&name)))
            .ok_or(Error::Internal { what: "name of a probe" })?;
        let body = bytes::Bytes::from_static(b"time");
        self.with_reserve(|| Ok(self.backend.replace(&key, body.clone(), None)?))?;
        let found = self.backend.stat(&key);
        self.backend.delete(&key)?;
        Ok(found?.modified)
    }

    /// Returns how far the lease has come. Every write of it, by whomever, is one further, unless somebody
    /// deletes it or puts an older one back.
    ///
    /// A lease that cannot be read counts as none. Where leases work by listing they leave no trace, which is
    /// told as one that is held for ever.
    pub fn lease_trace(&self) -> Result<LeaseTrace, Error> {
        if self.config.lease_mode == LeaseMode::Listing {
            return Ok(LeaseTrace { writes: 0, is_held: true });
        }
        let key = maintenance_key()?;
        let found = self.backend.get_versioned(&key)?;
        let lease = found.and_then(|found| self.decoded_lease(&key, &found.data));
        Ok(lease.map_or(LeaseTrace { writes: 0, is_held: false }, |lease| LeaseTrace {
            writes: lease.sequence.saturating_add(1),
            is_held: lease.ttl_seconds > 0,
        }))
    }

    fn decoded_lease(&self, key: &ObjectKey, stored: &[u8]) -> Option<Lease> {
        self.open_lease(key, stored).ok().and_then(|body| Lease::decode(&body).ok())
    }

    /// Frees the maintenance lease by force. Returns who held it, `None` when nobody did.
    ///
    /// For a person who knows that the holder is dead; a holder that lives finds out at its next renewal.
    pub fn break_lease(&self) -> Result<Option<String>, Error> {
        let mut holder = None;
        for info in self.backend.list(ObjectKind::Lock)? {
            let Some(found) = self.backend.get_versioned(&info.key)? else { continue };
            let lease = self.decoded_lease(&info.key, &found.data);
            if let Some(lease) = lease.as_ref().filter(|lease| lease.ttl_seconds > 0) {
                holder = Some(describe(lease));
            }
            match lease {
                // It counts on, so it is not deleted.
                Some(mut lease) if info.key == maintenance_key()? => {
                    if lease.ttl_seconds > 0 {
                        lease.ttl_seconds = 0;
                        lease.sequence = lease.sequence.saturating_add(1);
                        let data = self.seal_lease(&lease.encode()?)?;
                        let written = self.backend.replace(&info.key, data, Some(&found.version))?;
                        if written.is_none() {
                            return Err(Error::Locked { holder: describe(&lease) });
                        }
                    }
                }
                _ => self.backend.delete(&info.key)?,
            }
        }
        Ok(holder)
    }
}
