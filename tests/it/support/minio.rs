//! A real S3 server: MinIO, one for all tests of this process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path as FilePath, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::signer::Signer;
use snap::backend::{Backend, Location, OpenOptions, open};

use super::{INSTALL_HINT, Kept, program, random_hex, scratch};

/// Limit: ports tried, and time for each to come up.
const START_TRIES: u32 = 5;
const START_SECONDS: u64 = 60;

/// A running server, `127.0.0.1` only.
pub(crate) struct Minio {
    /// Where it listens.
    pub(crate) port: u16,
    /// Access key id of its root.
    pub(crate) user: String,
    /// Secret key of its root.
    pub(crate) password: String,
    folder: PathBuf,
    kept: Kept,
    /// Those that were killed.
    killed: Vec<Kept>,
}

/// Returns the server of this process, started by the first who asks.
pub(crate) fn minio() -> &'static Minio {
    static SERVER: OnceLock<Minio> = OnceLock::new();
    SERVER.get_or_init(Minio::start)
}

impl Minio {
    /// Starts a server of one's own, for tests that hurt it.
    pub(crate) fn start() -> Self {
        Self::start_with(&|_, _| {})
    }

    /// Starts a server that speaks TLS with a certificate of a new authority; returns the authority's PEM
    /// file too.
    pub(crate) fn start_with_tls() -> (Self, PathBuf) {
        let server = Self::start_with(&|folder, command| {
            make_certificates(folder);
            command.arg("--certs-dir").arg(folder.join("certs"));
        });
        let authority = server.folder.join("authority.pem");
        (server, authority)
    }

    fn start_with(adjust: &dyn Fn(&FilePath, &mut Command)) -> Self {
        let mut last_log = String::new();
        for _ in 0..START_TRIES {
            let folder = scratch("minio");
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let (user, password) = (format!("u{}", random_hex(8)), random_hex(16));
            let mut command = Self::command(&folder, port, &user, &password);
            adjust(&folder, &mut command);
            let kept = Kept::start(&folder, &mut command);
            let server = Self { port, user, password, folder, kept, killed: Vec::new() };
            if server.wait_until_ready() {
                return server;
            }
            last_log = std::fs::read_to_string(server.folder.join("log")).unwrap_or_default();
            server.kept.stop();
        }
        panic!("minio did not start; its log: {last_log}");
    }

    fn command(folder: &FilePath, port: u16, user: &str, password: &str) -> Command {
        let mut command = Command::new(program("SNAP_TEST_MINIO", "minio"));
        command.arg("server").arg(folder.join("data"));
        command.args(["--quiet", "--address", &format!("127.0.0.1:{port}")]);
        command.env("MINIO_ROOT_USER", user).env("MINIO_ROOT_PASSWORD", password);
        command.env("MINIO_BROWSER", "off").env("MINIO_UPDATE", "off").env("HOME", folder);
        command
    }

    /// Kills the server, without a word to it, and starts it again on what it left.
    pub(crate) fn kill_and_start(&mut self) {
        let pid = std::fs::read_to_string(self.folder.join("pid")).unwrap();
        let killed = Command::new("kill").args(["-KILL", pid.trim()]).status().unwrap();
        assert!(killed.success());
        let mut command = Self::command(&self.folder, self.port, &self.user, &self.password);
        let kept = Kept::start(&self.folder, &mut command);
        // It removes the folder at its end, so it ends last.
        self.killed.push(std::mem::replace(&mut self.kept, kept));
        assert!(self.wait_until_ready(), "the server does not come back");
    }

    /// Waits until a signed request is answered: a server that is alive may still be reading its users.
    fn wait_until_ready(&self) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(START_SECONDS) {
            // There is no such bucket; and a server that speaks TLS says 400 to plain HTTP.
            if matches!(self.signed("not-there", "GET"), Ok((400 | 404, _))) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a new bucket and returns its name.
    pub(crate) fn make_bucket(&self) -> String {
        let bucket = format!("test-{}", random_hex(6));
        let (status, body) = self.signed(&bucket, "PUT").unwrap();
        assert_eq!(status, 200, "making a bucket: {body}");
        bucket
    }

    /// Sends a request without body to the bucket itself, signed by root.
    fn signed(&self, bucket: &str, method: &str) -> std::io::Result<(u16, String)> {
        let store = AmazonS3Builder::new()
            .with_endpoint(self.url())
            .with_allow_http(true)
            .with_bucket_name(bucket)
            .with_access_key_id(&self.user)
            .with_secret_access_key(&self.password)
            .build()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let whole = Path::default();
        let signed = store.signed_url(method.parse().unwrap(), &whole, Duration::from_secs(60));
        let url = runtime.block_on(signed).unwrap().to_string();
        let target = url.strip_prefix(&self.url()).unwrap();
        http(self.port, method, target)
    }

    /// The location of a bucket or of a prefix in it.
    pub(crate) fn location(&self, bucket_and_prefix: &str) -> String {
        format!("s3:{}/{bucket_and_prefix}", self.url())
    }

    /// Opens a location with the keys of root.
    pub(crate) fn open(&self, bucket_and_prefix: &str) -> Arc<dyn Backend> {
        self.open_as(bucket_and_prefix, &self.user, &self.password)
    }

    /// Opens a location with other keys.
    pub(crate) fn open_as(&self, bucket_and_prefix: &str, user: &str, password: &str) -> Arc<dyn Backend> {
        open_url(&self.location(bucket_and_prefix), user, password)
    }
}

/// Opens an S3 location with these keys and nothing else from the environment.
pub(crate) fn open_url(url: &str, user: &str, password: &str) -> Arc<dyn Backend> {
    open_with(url, user, password, None)
}

/// Opens an S3 location as [`open_url`], trusting the authorities in a file.
pub(crate) fn open_with(
    url: &str,
    user: &str,
    password: &str,
    authorities: Option<&FilePath>,
) -> Arc<dyn Backend> {
    let environment = |name: &str| match name {
        "AWS_CA_BUNDLE" => authorities.map(|path| path.to_str().unwrap().to_owned()),
        "AWS_ACCESS_KEY_ID" => Some(user.to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some(password.to_owned()),
        _ => None,
    };
    open(&Location::parse(url).unwrap(), &OpenOptions::new(&environment)).unwrap()
}

/// Writes `authority.pem` and what MinIO wants in `certs`, for 127.0.0.1.
fn make_certificates(folder: &FilePath) {
    std::fs::create_dir(folder.join("certs")).unwrap();
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(folder).args(arguments.split(' '));
        let output = command.output().unwrap_or_else(|error| panic!("openssl: {error}; {INSTALL_HINT}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!("{request} -subj /CN=authority -keyout authority.key -out authority.pem"));
    openssl(&format!(
        "{request} -subj /CN=server -CA authority.pem -CAkey authority.key \
         -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:127.0.0.1 \
         -keyout certs/private.key -out certs/public.crt"
    ));
}

/// One request of plain HTTP without body: status and body.
fn http(port: u16, method: &str, target: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    Ok((status, body))
}
