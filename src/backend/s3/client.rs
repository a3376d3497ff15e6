//! Requests with patience: which client sends them, how often, how long.
//!
//! Two HTTP clients stand behind four handles. Reads may not pause for longer than a minute. That bound
//! counts from the start of a request to its answer, so an upload over a slow line would break it while it
//! makes progress: uploads go through a client without it, under a limit that grows with their size.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential, AwsCredentialProvider, Checksum};
use object_store::client::{HttpClient, HttpConnector, ReqwestConnector};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig, StaticCredentialProvider};
use tokio::runtime::Runtime;

use super::failure::{Failure, Hidden};
use super::settings::{CredentialSource, Settings};
use crate::backend::{BackendError, ErrorKind};
use crate::base::{BufferPool, Entropy, Memory};

/// Threads that move bytes; hashing and signing happen on the threads of the callers.
const RUNTIME_THREADS: usize = 2;
/// Limit: reaching the server.
const CONNECT_SECONDS: u64 = 10;
/// Limit: silence while an answer is read.
const READ_SECONDS: u64 = 60;
/// Limit: retries inside one request, with one signature.
const INNER_RETRIES: usize = 6;
/// Limit: start of a retry inside one request; signatures live for five minutes.
const INNER_RETRY_SECONDS: u64 = 120;
/// Limit: attempts of one request at all, each with a new signature.
pub(super) const ATTEMPTS: u32 = 5;
/// Limit: attempts to write what is not there, each of which stands for a request inside another's.
pub(super) const CREATE_ATTEMPTS: u32 = 12;
/// First pause between attempts; each later one is twice as long.
const PAUSE_FIRST_MILLISECONDS: u64 = 500;
/// Limit: how often a pause is doubled.
const PAUSE_DOUBLINGS_MAX: u32 = 5;
/// Limit: attempts and time for the first sign of life.
const CONTACT_ATTEMPTS: u32 = 3;
const CONTACT_SECONDS: u64 = 5;
/// Limit: an upload, besides one second for each of these many bytes.
const UPLOAD_BASE_SECONDS: u64 = 60;
const UPLOAD_BYTES_PER_SECOND_MIN: u64 = 64 * 1024;

/// The clients of one store. Holds secrets: `Debug` says nothing.
pub(super) struct Client {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    reads: Arc<AmazonS3>,
    uploads: Arc<AmazonS3>,
    creates: Arc<AmazonS3>,
    first: Arc<AmazonS3>,
    contacted: AtomicBool,
    entropy: Arc<dyn Entropy>,
    /// Memory of large reads.
    buffers: Arc<BufferPool>,
    /// What a server may repeat and no error may.
    hidden: Hidden,
    /// What to list for a sign of life.
    prefix: String,
}

/// Gives the same HTTP client to several handles.
struct Shared(HttpClient);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl HttpConnector for Shared {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name look-up that hangs must not hold up the end of the process.
            runtime.shutdown_background();
        }
    }
}

impl Client {
    /// Builds the clients; nothing is sent yet.
    pub(super) fn build(
        settings: &Settings,
        bucket: &str,
        prefix: &str,
        entropy: Arc<dyn Entropy>,
        memory: Memory,
    ) -> Result<Self, BackendError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("snap-s3")
            .enable_all()
            .build()
            .map_err(|error| BackendError::from_io("cannot start the threads for S3", error))?;
        let upload_options = http_options(settings)?;
        let read_options = upload_options.clone().with_read_timeout(Duration::from_secs(READ_SECONDS));
        let credentials = credentials(settings, bucket, &read_options)?;
        let handle = |client: &HttpClient, options: &ClientOptions, retries| {
            builder(settings, bucket)
                .with_client_options(options.clone())
                .with_credentials(credentials.clone())
                .with_http_connector(Shared(client.clone()))
                .with_retry(retry(retries))
                .build()
                .map(Arc::new)
                .map_err(|error| setup(&error))
        };
        let connector = ReqwestConnector::default();
        let connect = |options: &ClientOptions| connector.connect(options).map_err(|error| setup(&error));
        let (read_client, upload_client) = (connect(&read_options)?, connect(&upload_options)?);
        Ok(Self {
            reads: handle(&read_client, &read_options, INNER_RETRIES)?,
            first: handle(&read_client, &read_options, 0)?,
            uploads: handle(&upload_client, &upload_options, INNER_RETRIES)?,
            creates: handle(&upload_client, &upload_options, 0)?,
            contacted: AtomicBool::new(false),
            entropy,
            buffers: BufferPool::new(memory.read_buffers_bytes()),
            hidden: hidden(settings),
            prefix: prefix.to_owned(),
            runtime: Some(runtime),
        })
    }

    /// The handle for everything but uploads.
    pub(super) fn reads(&self) -> Arc<AmazonS3> {
        self.reads.clone()
    }

    /// Memory that large reads use again.
    pub(super) fn buffers(&self) -> &Arc<BufferPool> {
        &self.buffers
    }

    /// The handle for uploads.
    pub(super) fn uploads(&self) -> Arc<AmazonS3> {
        self.uploads.clone()
    }

    /// The handle for uploads of what must not be there; it sends each request once.
    pub(super) fn creates(&self) -> Arc<AmazonS3> {
        self.creates.clone()
    }

    /// Runs `work` on the calling thread. Never call it from a thread of an async runtime.
    pub(super) fn run<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(Failure::unanswered(ErrorKind::Other, false, "the store is closed")),
        }
    }

    /// Sends a request until it succeeds, fails for good or has failed [`ATTEMPTS`] times. Each attempt is
    /// signed anew. The first request of all is preceded by a sign of life, so that a wrong endpoint is told
    /// in seconds.
    pub(super) async fn send<T, F>(&self, request: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        self.send_at_most(ATTEMPTS, request).await
    }

    async fn send_at_most<T, F>(&self, attempts: u32, request: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        if !self.contacted.load(Ordering::Relaxed) {
            self.contact().await?;
        }
        let mut attempt = 0;
        loop {
            let failure = match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => Failure::read(&error, &self.hidden),
            };
            attempt += 1;
            if !failure.retryable || attempt >= attempts {
                return Err(failure);
            }
            self.pause(attempt).await;
        }
    }

    /// Like [`Client::send`] for uploads of `size_bytes`, each of at most `attempts` within its time.
    pub(super) async fn send_upload<T, F>(
        &self,
        size_bytes: u64,
        attempts: u32,
        request: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let limit = Duration::from_secs(UPLOAD_BASE_SECONDS + size_bytes / UPLOAD_BYTES_PER_SECOND_MIN);
        self.send_at_most(attempts, || {
            let upload = request();
            async move {
                match tokio::time::timeout(limit, upload).await {
                    Ok(answer) => answer,
                    Err(elapsed) => Err(object_store::Error::Generic {
                        store: "S3",
                        source: Box::new(object_store::client::HttpError::new(
                            object_store::client::HttpErrorKind::Timeout,
                            elapsed,
                        )),
                    }),
                }
            }
        })
        .await
    }

    /// Asks for one name of the listing: tells a missing bucket and wrong credentials, which answers without
    /// a body cannot, and whether anybody is there.
    pub(super) async fn contact(&self) -> Result<(), Failure> {
        let start = Instant::now();
        let mut attempt = 0;
        loop {
            let options = PaginatedListOptions { max_keys: Some(1), ..Default::default() };
            let failure = match self.first.list_paginated(Some(&self.prefix), options).await {
                Ok(_) => {
                    self.contacted.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) => Failure::read(&error, &self.hidden),
            };
            attempt += 1;
            match failure.kind {
                ErrorKind::Unreachable if failure.answered => {
                    self.contacted.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                ErrorKind::Unreachable
                    if attempt < CONTACT_ATTEMPTS && start.elapsed().as_secs() < CONTACT_SECONDS =>
                {
                    self.pause(0).await;
                }
                ErrorKind::PermissionDenied | ErrorKind::Unsupported => {
                    // A key that may not list can still write.
                    self.contacted.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                ErrorKind::NotFound => return Err(Failure { kind: ErrorKind::NoBucket, ..failure }),
                _ => return Err(failure),
            }
        }
    }

    /// Waits before attempt number `attempt` + 1, with half of the time left to chance, so that many callers
    /// that failed together do not come back together.
    pub(super) async fn pause(&self, attempt: u32) {
        let mut random = [0; 4];
        self.entropy.fill(&mut random);
        let full = PAUSE_FIRST_MILLISECONDS << attempt.min(PAUSE_DOUBLINGS_MAX);
        let spread = u64::from(u32::from_le_bytes(random)) % (full / 2 + 1);
        tokio::time::sleep(Duration::from_millis(full / 2 + spread)).await;
    }
}

fn http_options(settings: &Settings) -> Result<ClientOptions, BackendError> {
    let tls = settings.endpoint.as_ref().is_none_or(|endpoint| endpoint.tls);
    let mut options = ClientOptions::new()
        .with_allow_http(!tls)
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(CONNECT_SECONDS))
        // Plain HTTP needs no certificates, so a host without any can still use it.
        .with_no_system_certificates(!tls);
    if settings.certificates.is_empty() {
        return Ok(options);
    }
    let unreadable = |source: Option<String>| {
        let action =
            "the file of certificate authorities (--ca-cert or AWS_CA_BUNDLE) holds no PEM certificate";
        BackendError { kind: ErrorKind::Tls, action: action.to_owned(), source: source.map(Into::into) }
    };
    let certificates = Certificate::from_pem_bundle(&settings.certificates)
        .map_err(|error| unreadable(Some(Failure::read(&error, &Hidden::default()).detail)))?;
    if certificates.is_empty() {
        return Err(unreadable(None));
    }
    for certificate in certificates {
        options = options.with_root_certificate(certificate);
    }
    Ok(options)
}

fn builder(settings: &Settings, bucket: &str) -> AmazonS3Builder {
    // Over a network without TLS the hash of the payload is what its signature guards. Within this machine it
    // would cost the client one hash and the server two, for bytes that nobody else can reach.
    let is_guarded =
        settings.endpoint.as_ref().is_some_and(|endpoint| !endpoint.tls && endpoint.is_loopback());
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&settings.region)
        .with_virtual_hosted_style_request(settings.virtual_hosted)
        // The server compares it with what arrived; buckets with object lock insist on it.
        .with_checksum_algorithm(if is_guarded { Checksum::CRC64NVME } else { Checksum::SHA256 })
        .with_unsigned_payload(is_guarded)
        // One DELETE for one object: its answer says which object it is about.
        .with_disable_bulk_delete(true);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.to_string()).with_allow_http(!endpoint.tls);
    }
    builder
}

fn credentials(
    settings: &Settings,
    bucket: &str,
    options: &ClientOptions,
) -> Result<AwsCredentialProvider, BackendError> {
    match &settings.credentials {
        CredentialSource::Static(keys) => Ok(Arc::new(StaticCredentialProvider::new(AwsCredential {
            key_id: keys.key_id.clone(),
            secret_key: keys.secret.clone(),
            token: keys.token.clone(),
        }))),
        CredentialSource::Platform(pairs) => {
            let options = options.clone().with_no_system_certificates(false);
            let mut platform = builder(settings, bucket).with_client_options(options).with_retry(retry(2));
            for (key, value) in pairs {
                platform = platform.with_config(*key, value);
            }
            let store = platform.build().map_err(|error| setup(&error))?;
            Ok(store.credentials().clone())
        }
    }
}

fn hidden(settings: &Settings) -> Hidden {
    match &settings.credentials {
        CredentialSource::Static(keys) => {
            Hidden::of([keys.secret.clone()].into_iter().chain(keys.token.clone()))
        }
        CredentialSource::Platform(_) => Hidden::default(),
    }
}

fn retry(max_retries: usize) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(15),
            base: 2.0,
        },
        max_retries,
        retry_timeout: Duration::from_secs(INNER_RETRY_SECONDS),
    }
}

fn setup(error: &object_store::Error) -> BackendError {
    let failure = Failure::read(error, &Hidden::default());
    let detail = failure.detail.to_ascii_lowercase();
    let kind = if detail.contains("certificate") { ErrorKind::Tls } else { ErrorKind::Other };
    BackendError::with_source(kind, "cannot set up the S3 client", failure.detail)
}
