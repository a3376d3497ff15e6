//! Objects in a bucket of any server that speaks S3.
//!
//! The crate `object_store` sends the requests; what it leaves open is closed here: whether a write that was
//! refused or went unanswered is there after all, how a missing bucket is told from a missing object, and
//! that no error and no `Debug` shows a secret.

mod client;
mod failure;
mod profile;
mod settings;
mod transfer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use object_store::{PutMode, PutOptions, PutPayload, PutResult, UpdateVersion};

use self::client::{ATTEMPTS, CREATE_ATTEMPTS, Client};
use self::failure::{Cause, Failure};
use self::settings::Settings;
use super::location::S3Location;
use super::{Backend, BackendError, ErrorKind, ObjectInfo, ObjectKey, ObjectKind, OpenOptions};
use super::{PutOutcome, Version, Versioned};
use crate::base::Time;
use crate::base::limits::LEASE_MAX_BYTES;

/// A store in a bucket.
pub struct S3Backend {
    client: Arc<Client>,
    location: S3Location,
    /// Where requests go, for people.
    endpoint: String,
    /// The server said that it knows no create-only writes.
    plain_puts: AtomicBool,
}

impl S3Backend {
    /// Opens the store at `location` without talking to it.
    ///
    /// # Errors
    /// As [`crate::backend::open`].
    pub fn open(location: &S3Location, options: &OpenOptions<'_>) -> Result<Self, BackendError> {
        let settings = Settings::read(location, options)?;
        let endpoint = match &settings.endpoint {
            Some(endpoint) => endpoint.to_string(),
            None => format!("AWS S3 in {}", settings.region),
        };
        let prefix = match location.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let client =
            Client::build(&settings, &location.bucket, &prefix, options.entropy.clone(), options.memory)?;
        Ok(Self {
            client: Arc::new(client),
            location: location.clone(),
            endpoint,
            plain_puts: AtomicBool::new(false),
        })
    }

    fn below_prefix(&self, name: &str) -> String {
        match self.location.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }

    fn path(&self, key: &ObjectKey) -> Result<Path, Failure> {
        Path::parse(self.below_prefix(key.path()))
            .map_err(|error| Failure::unanswered(ErrorKind::InvalidLocation, false, error.to_string()))
    }

    /// Says what failed and, where that is clear, whose matter it is.
    fn error(&self, verb: &str, what: &str, failure: Failure) -> BackendError {
        let Self { location, endpoint, .. } = self;
        let bucket = &location.bucket;
        let action = match failure.kind {
            _ if failure.code == "RequestTimeTooSkewed" => {
                format!("the clocks of this host and of {endpoint} differ too much")
            }
            ErrorKind::NoBucket => format!("there is no bucket {bucket} at {endpoint}"),
            ErrorKind::Credentials => format!("{endpoint} does not accept the credentials for {bucket}"),
            ErrorKind::Unreachable => format!("cannot {verb} {what} at {endpoint}"),
            ErrorKind::Tls => format!("there is no trusted connection to {endpoint}"),
            ErrorKind::Full => format!("no space is left in {location}"),
            ErrorKind::PermissionDenied => format!("the credentials may not {verb} {what} in {location}"),
            _ => format!("cannot {verb} {what} in {location}"),
        };
        BackendError::with_source(failure.kind, action, Cause(failure.detail))
    }

    /// Returns size, time and version of an object, `None` when it is not there.
    async fn head(&self, path: &Path) -> Result<Option<ObjectMeta>, Failure> {
        let answer = self.client.send(|| {
            let store = self.client.reads();
            async move { store.head(path).await }
        });
        match answer.await {
            Ok(meta) => Ok(Some(meta)),
            Err(failure) if matches!(failure.status, 401 | 403 | 404) && failure.code.is_empty() => {
                // The answer to HEAD has no body that says why; a listing has.
                self.client.contact().await?;
                if failure.status == 404 { Ok(None) } else { Err(failure) }
            }
            Err(failure) if failure.kind == ErrorKind::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn put(&self, path: &Path, data: &Bytes, mode: PutMode) -> Result<PutResult, Failure> {
        let store = self.client.uploads();
        self.client
            .send_upload(data.len() as u64, ATTEMPTS, || upload(&store, path, data, mode.clone()))
            .await
    }

    /// One request, for who looks in between before another.
    async fn put_new_once(&self, path: &Path, data: &Bytes) -> Result<PutResult, Failure> {
        let store = self.client.creates();
        self.client.send_upload(data.len() as u64, 1, || upload(&store, path, data, PutMode::Create)).await
    }

    /// Compares an object that is there with what was to be written.
    fn existing(there: &ObjectMeta, data: &Bytes) -> Result<PutOutcome, Failure> {
        let size = data.len() as u64;
        if there.size == size {
            return Ok(PutOutcome::Existed);
        }
        let detail = format!("it is there with {} bytes instead of {size}", there.size);
        Err(Failure::unanswered(ErrorKind::Conflict, false, detail))
    }

    /// Writes what is not there. After an attempt without a clear answer it looks before it sends again: a
    /// server that has the object already may refuse a large body by cutting the connection (MinIO resets it
    /// after its answer, which gets lost then), and would do so each time.
    async fn create(&self, key: &ObjectKey, data: &Bytes) -> Result<PutOutcome, Failure> {
        let path = self.path(key)?;
        let mut attempt = 0;
        loop {
            if self.plain_puts.load(Ordering::Relaxed) {
                return self.create_plainly(&path, data).await;
            }
            let failure = match self.put_new_once(&path, data).await {
                Ok(_) => return Ok(PutOutcome::Created),
                Err(failure) if failure.kind == ErrorKind::Unsupported => {
                    self.plain_puts.store(true, Ordering::Relaxed);
                    continue;
                }
                Err(failure) if failure.condition_failed || failure.retryable => failure,
                Err(failure) => return Err(failure),
            };
            match self.head(&path).await {
                Ok(Some(there)) => return Self::existing(&there, data),
                Ok(None) => {}
                // Who may only write cannot look.
                Err(denied) if denied.kind == ErrorKind::PermissionDenied && failure.retryable => {}
                Err(other) => return Err(other),
            }
            attempt += 1;
            if attempt == CREATE_ATTEMPTS {
                // Refused although nothing is there: another write of it was under way, and failed.
                let keeps_refusing = "the server keeps refusing to create it although it is not there";
                return Err(match failure.condition_failed {
                    true => Failure::unanswered(ErrorKind::Other, false, keeps_refusing),
                    false => failure,
                });
            }
            self.client.pause(attempt - 1).await;
        }
    }

    /// For stores that know no create-only writes. Two writers at once both write, but the same bytes.
    async fn create_plainly(&self, path: &Path, data: &Bytes) -> Result<PutOutcome, Failure> {
        if let Some(there) = self.head(path).await? {
            return Self::existing(&there, data);
        }
        self.put(path, data, PutMode::Overwrite).await?;
        Ok(PutOutcome::Created)
    }

    async fn compare_and_put(
        &self,
        key: &ObjectKey,
        data: &Bytes,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Failure> {
        let path = self.path(key)?;
        let mode = match expected {
            None => PutMode::Create,
            Some(version) => PutMode::Update(UpdateVersion { e_tag: Some(version.0.clone()), version: None }),
        };
        for attempt in 1..=ATTEMPTS {
            match self.put(&path, data, mode.clone()).await {
                Ok(answer) => {
                    return answer.e_tag.map(|e_tag| Some(Version(e_tag))).ok_or_else(|| {
                        let detail = "the server gives objects no version (ETag)";
                        Failure::unanswered(ErrorKind::Unsupported, false, detail)
                    });
                }
                Err(failure) if failure.condition_failed => {
                    let refused_a_create = expected.is_none() && failure.status == 409;
                    if !refused_a_create || self.head(&path).await?.is_some() {
                        return Ok(None);
                    }
                    self.client.pause(attempt).await;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(None)
    }

    fn info(key: ObjectKey, meta: &ObjectMeta) -> ObjectInfo {
        ObjectInfo { key, size_bytes: meta.size, modified: modified(meta) }
    }
}

async fn upload(
    store: &AmazonS3,
    path: &Path,
    data: &Bytes,
    mode: PutMode,
) -> object_store::Result<PutResult> {
    store.put_opts(path, PutPayload::from(data.clone()), PutOptions::from(mode)).await
}

fn modified(meta: &ObjectMeta) -> Time {
    Time {
        seconds: meta.last_modified.timestamp(),
        nanoseconds: meta.last_modified.timestamp_subsec_nanos().min(999_999_999),
    }
}

impl Backend for S3Backend {
    fn location(&self) -> String {
        self.location.to_string()
    }

    /// Makes nothing, but finds out whether the bucket can be reached with these credentials.
    fn prepare(&self) -> Result<(), BackendError> {
        let look = transfer::list_first(&self.client, self.below_prefix(""));
        self.client.run(look).map_err(|failure| {
            let missing = failure.kind == ErrorKind::NotFound;
            let kind = if missing { ErrorKind::NoBucket } else { failure.kind };
            self.error("list", "the bucket", Failure { kind, ..failure })
        })
    }

    fn put_new(&self, key: &ObjectKey, data: Bytes) -> Result<PutOutcome, BackendError> {
        let put = self.create(key, &data);
        self.client.run(put).map_err(|failure| self.error("write", key.path(), failure))
    }

    fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, BackendError> {
        let get = async { transfer::read_whole(&self.client, &self.path(key)?, limit_bytes).await };
        self.client.run(get).map_err(|failure| self.error("read", key.path(), failure))
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length_bytes: u64) -> Result<Bytes, BackendError> {
        let get = async {
            if length_bytes == 0 {
                return Ok(Bytes::new());
            }
            let Some(end) = offset.checked_add(length_bytes) else {
                return Err(Failure::unanswered(ErrorKind::Short, false, "no object is that large"));
            };
            transfer::read_range(&self.client, &self.path(key)?, offset..end).await
        };
        self.client.run(get).map_err(|failure| self.error("read", key.path(), failure))
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, BackendError> {
        let folder = self.below_prefix(kind.folder());
        let prefix = format!("{folder}/");
        let listed = match kind {
            ObjectKind::Pack => self.client.run(transfer::list_spread(&self.client, &prefix)),
            _ => self.client.run(transfer::list_one(&self.client, &prefix)),
        };
        let listed = listed.map_err(|failure| {
            let missing = failure.kind == ErrorKind::NotFound;
            let kind = if missing { ErrorKind::NoBucket } else { failure.kind };
            self.error("list", &folder, Failure { kind, ..failure })
        })?;
        let strip = self.below_prefix("");
        let mut objects: Vec<_> = listed
            .iter()
            .filter_map(|meta| {
                let key = ObjectKey::parse(meta.location.as_ref().strip_prefix(&strip)?)?;
                Some(Self::info(key, meta))
            })
            .collect();
        objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        objects.dedup_by(|a, b| a.key == b.key);
        Ok(objects)
    }

    fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, BackendError> {
        let stat = async {
            let missing = || Failure::unanswered(ErrorKind::NotFound, false, "it is not there");
            let meta = self.head(&self.path(key)?).await?.ok_or_else(missing)?;
            Ok(Self::info(key.clone(), &meta))
        };
        self.client.run(stat).map_err(|failure| self.error("look at", key.path(), failure))
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), BackendError> {
        let delete = async {
            let path = &self.path(key)?;
            let answer = self.client.send(|| {
                let store = self.client.reads();
                async move { store.delete(path).await }
            });
            match answer.await {
                Err(failure) if failure.kind == ErrorKind::NotFound => Ok(()),
                other => other,
            }
        };
        self.client.run(delete).map_err(|failure| self.error("delete", key.path(), failure))
    }

    fn get_versioned(&self, key: &ObjectKey) -> Result<Option<Versioned>, BackendError> {
        let get = async {
            match transfer::read(&self.client, &self.path(key)?, None, None, LEASE_MAX_BYTES).await {
                Ok(part) => {
                    let no_version = "the server gives objects no version (ETag)";
                    let e_tag = part
                        .meta
                        .e_tag
                        .clone()
                        .ok_or_else(|| Failure::unanswered(ErrorKind::Unsupported, false, no_version))?;
                    let modified = modified(&part.meta);
                    Ok(Some(Versioned { data: part.data, version: Version(e_tag), modified }))
                }
                Err(failure) if failure.kind == ErrorKind::NotFound => Ok(None),
                Err(failure) => Err(failure),
            }
        };
        self.client.run(get).map_err(|failure| self.error("read", key.path(), failure))
    }

    fn replace(
        &self,
        key: &ObjectKey,
        data: Bytes,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, BackendError> {
        let put = self.compare_and_put(key, &data, expected);
        self.client.run(put).map_err(|failure| self.error("write", key.path(), failure))
    }
}

impl fmt::Debug for S3Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Backend({})", self.location)
    }
}
