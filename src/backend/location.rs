//! Where a repository lives, as people write it, and how such a place is opened.
//!
//! What was typed is never repeated in an error about an S3 location: a secret may have been put in it by
//! mistake.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::local::LocalBackend;
use super::s3::S3Backend;
use super::{Backend, BackendError, ErrorKind};
use crate::base::escape::escape_name;
use crate::base::{Clock, Entropy, Memory, SystemClock, SystemEntropy};

/// Limit: an S3 prefix, so that prefix and name stay below the 1,024 bytes of an S3 key.
const PREFIX_MAX_BYTES: usize = 512;

/// The place of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory of this host.
    Local(PathBuf),
    /// A bucket, with an optional prefix.
    S3(S3Location),
}

/// A server that speaks S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it is reached by TLS.
    pub tls: bool,
    /// Host and optional port, then (only when taken from the environment) an optional path.
    pub authority: String,
}

impl Endpoint {
    /// Tells whether nothing but this machine is between us and the server, or what we take for it.
    pub fn is_loopback(&self) -> bool {
        let authority = self.authority.split('/').next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(address) => address.split(']').next(),
            None => authority.split(':').next(),
        };
        let host = host.unwrap_or_default();
        host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }
}

/// A bucket and what is below which prefix in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Location {
    /// The server; `None` asks the environment, then means AWS itself.
    pub endpoint: Option<Endpoint>,
    /// The bucket, a valid name.
    pub bucket: String,
    /// Path below the bucket without outer slashes, empty for the whole bucket.
    pub prefix: String,
}

/// What opening a location needs from outside.
pub struct OpenOptions<'a> {
    /// Reads an environment variable (`AWS_*`, `HOME`).
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// PEM file of certificate authorities to trust besides those of the system; wins over `AWS_CA_BUNDLE`.
    pub ca_cert: Option<PathBuf>,
    /// Names temporary files and spreads retries.
    pub entropy: Arc<dyn Entropy>,
    /// Tells which temporary files are old.
    pub clock: Arc<dyn Clock>,
    /// How much memory the run may take.
    pub memory: Memory,
}

impl<'a> OpenOptions<'a> {
    /// Returns options with the clock and randomness of the system and no extra certificates.
    pub fn new(environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            environment,
            ca_cert: None,
            entropy: Arc::new(SystemEntropy),
            clock: Arc::new(SystemClock),
            memory: Memory::default(),
        }
    }
}

impl fmt::Debug for OpenOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions").field("ca_cert", &self.ca_cert).finish_non_exhaustive()
    }
}

/// Opens the store at `location` without talking to it.
///
/// # Errors
/// [`ErrorKind::Credentials`] when there are none or half of them, [`ErrorKind::Tls`] for unreadable
/// certificates, [`ErrorKind::InvalidLocation`] for a wrong endpoint in the environment.
pub fn open(location: &Location, options: &OpenOptions<'_>) -> Result<Arc<dyn Backend>, BackendError> {
    Ok(match location {
        Location::Local(path) => {
            let (entropy, clock) = (options.entropy.clone(), options.clock.clone());
            Arc::new(LocalBackend::new(path.clone(), entropy, clock, options.memory))
        }
        Location::S3(s3) => Arc::new(S3Backend::open(s3, options)?),
    })
}

impl Location {
    /// Reads a location: a path, `s3:http://HOST[:PORT]/BUCKET[/PREFIX]`, `s3:https://…` or
    /// `s3://BUCKET[/PREFIX]`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidLocation`], with a sentence that says what is wrong.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, BackendError> {
        let text = text.as_ref();
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err(invalid("the repository location is empty"));
        }
        if bytes.contains(&0) {
            return Err(invalid("the repository location holds a NUL byte"));
        }
        let Some(rest) = bytes.strip_prefix(b"s3:") else {
            if has_scheme(bytes) {
                return Err(invalid(
                    "this kind of repository location is not known: give a path, \
                     s3:https://HOST/BUCKET/PREFIX or s3://BUCKET/PREFIX",
                ));
            }
            return Ok(Self::Local(PathBuf::from(text)));
        };
        let Ok(rest) = std::str::from_utf8(rest) else {
            return Err(invalid("an S3 location is written in UTF-8"));
        };
        parse_s3(rest).map(Self::S3)
    }
}

impl Endpoint {
    /// Reads `http://HOST[:PORT][/PATH]` or `https://…`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidLocation`], without repeating `url`.
    pub fn parse(url: &str) -> Result<Self, BackendError> {
        let (tls, rest) = split_scheme(url)
            .ok_or_else(|| invalid("an S3 endpoint starts with http:// or https://, then the host"))?;
        let rest = rest.trim_end_matches('/');
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        check_authority(host)?;
        check_prefix(path)?;
        Ok(Self { tls, authority: rest.to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Some(endpoint) => write!(f, "s3:{endpoint}/{}", self.bucket)?,
            None => write!(f, "s3://{}", self.bucket)?,
        }
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => f.write_str(&escape_name(path.as_os_str().as_bytes())),
            Self::S3(s3) => s3.fmt(f),
        }
    }
}

fn invalid(sentence: &str) -> BackendError {
    BackendError::new(ErrorKind::InvalidLocation, sentence)
}

/// A scheme and `://`, or a one-word scheme that other engines use before a colon.
fn has_scheme(bytes: &[u8]) -> bool {
    const FOREIGN: [&[u8]; 8] =
        [b"sftp:", b"rest:", b"rclone:", b"b2:", b"gs:", b"azure:", b"swift:", b"S3:"];
    let scheme = bytes.iter().take_while(|c| c.is_ascii_alphanumeric() || b"+-.".contains(c)).count();
    (scheme > 0 && bytes[scheme..].starts_with(b"://"))
        || FOREIGN.iter().any(|foreign| bytes.starts_with(foreign))
}

fn split_scheme(url: &str) -> Option<(bool, &str)> {
    let http = url.strip_prefix("http://").map(|rest| (false, rest));
    http.or_else(|| url.strip_prefix("https://").map(|rest| (true, rest)))
}

fn parse_s3(rest: &str) -> Result<S3Location, BackendError> {
    let (endpoint, path) = if let Some(path) = rest.strip_prefix("//") {
        (None, path)
    } else if let Some((tls, rest)) = split_scheme(rest) {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        check_authority(authority)?;
        (Some(Endpoint { tls, authority: authority.to_owned() }), path)
    } else {
        return Err(invalid("an S3 location is s3:https://HOST/BUCKET/PREFIX or s3://BUCKET/PREFIX"));
    };
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    if bucket.contains('@') {
        return Err(userinfo());
    }
    check_bucket(bucket)?;
    let prefix = prefix.trim_end_matches('/');
    check_prefix(prefix)?;
    Ok(S3Location { endpoint, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

fn userinfo() -> BackendError {
    invalid(
        "an S3 location holds no user name or password: put them in AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY",
    )
}

fn check_authority(authority: &str) -> Result<(), BackendError> {
    if authority.contains('@') {
        return Err(userinfo());
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let Some((host, after)) = inner.split_once(']') else {
                return Err(invalid("the IPv6 address of the S3 endpoint lacks its closing bracket"));
            };
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(invalid("the IPv6 address of the S3 endpoint is not valid"));
            }
            match (after.is_empty(), after.strip_prefix(':')) {
                (true, _) => (host, None),
                (false, Some(port)) => (host, Some(port)),
                (false, None) => {
                    return Err(invalid("only a port may follow the IPv6 address of the endpoint"));
                }
            }
        }
        None => {
            let (host, port) =
                authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            let good = |c: u8| c.is_ascii_alphanumeric() || b".-_".contains(&c);
            if !host.bytes().all(good) {
                return Err(invalid("the host of the S3 endpoint holds a character that hosts cannot have"));
            }
            (host, port)
        }
    };
    if host.is_empty() || host.len() > 255 {
        return Err(invalid("the S3 endpoint needs a host of at most 255 characters"));
    }
    match port.map(|port| (port.bytes().all(|c| c.is_ascii_digit()), port.parse::<u16>())) {
        None | Some((true, Ok(1..))) => Ok(()),
        Some(_) => Err(invalid("the port of the S3 endpoint is a number from 1 to 65535")),
    }
}

/// The rules of S3 for names of buckets.
fn check_bucket(bucket: &str) -> Result<(), BackendError> {
    let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let problem = if bucket.is_empty() {
        "an S3 location needs a bucket: s3:https://HOST/BUCKET or s3://BUCKET"
    } else if !(3..=63).contains(&bucket.len()) {
        "the name of an S3 bucket is 3 to 63 characters long"
    } else if !bucket.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-".contains(&c)) {
        "the name of an S3 bucket holds only lower-case letters, digits, dots and dashes"
    } else if !edge(bucket.bytes().next()) || !edge(bucket.bytes().last()) {
        "the name of an S3 bucket starts and ends with a letter or digit"
    } else if bucket.contains("..") {
        "the name of an S3 bucket holds no two dots in a row"
    } else if bucket.parse::<std::net::Ipv4Addr>().is_ok() {
        "the name of an S3 bucket is not an IP address"
    } else {
        return Ok(());
    };
    Err(invalid(problem))
}

/// Characters that every store, signer and listing passes unchanged.
fn check_prefix(prefix: &str) -> Result<(), BackendError> {
    if prefix.len() > PREFIX_MAX_BYTES {
        return Err(invalid("the prefix in the S3 location is longer than 512 bytes"));
    }
    if prefix.is_empty() {
        return Ok(());
    }
    if prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(invalid("the prefix in the S3 location has an empty part, '.' or '..'"));
    }
    let good = |c: char| c.is_alphanumeric() || "/!-_.'()=+,@:&$ ".contains(c);
    if !prefix.chars().all(good) {
        return Err(invalid(
            "the prefix in the S3 location holds a character other than letters, digits and !-_.'()=+,@:&$",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(text: &str) -> S3Location {
        match Location::parse(text).unwrap() {
            Location::S3(s3) => s3,
            Location::Local(_) => panic!("{text} is not local"),
        }
    }

    #[test]
    fn every_location_displays_as_it_was_written() {
        for text in [
            "/srv/backup",
            "relative/path",
            "with:colon",
            "s3:http://127.0.0.1:9000/bucket",
            "s3:https://minio.example.org/my.bucket-1/team/a b",
            "s3:https://[::1]:9000/bucket/x",
            "s3://bucket",
            "s3://bucket/a/b",
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(s3("s3://bucket/a/").prefix, "a");
        assert_eq!(s3("s3:http://h/bucket/").prefix, "");
    }

    #[test]
    fn only_addresses_of_this_machine_are_loopback() {
        let is_loopback = |text: &str| s3(text).endpoint.unwrap().is_loopback();
        for server in ["127.0.0.1:9000", "127.8.9.10", "[::1]:9000", "[::1]", "localhost:9000", "localhost"] {
            assert!(is_loopback(&format!("s3:http://{server}/bucket")), "{server}");
        }
        for server in
            ["128.0.0.1", "127.0.0.1.example.org", "localhost.example.org:1", "[::2]:1", "minio:9000"]
        {
            assert!(!is_loopback(&format!("s3:http://{server}/bucket")), "{server}");
        }
    }

    #[test]
    fn impossible_locations_are_refused_with_a_sentence() {
        for text in [
            "",
            "s3:",
            "s3://",
            "s3://ab",
            "s3://Bucket",
            "s3://bucket_x",
            "s3://-bucket",
            "s3://bucket.",
            "s3://a..b",
            "s3://10.0.0.1",
            "s3:host/bucket",
            "s3:http://host",
            "s3:http:///bucket",
            "s3:http://host:0/bucket",
            "s3:http://host:+80/bucket",
            "s3:http://host:99999/bucket",
            "s3:http://[::1/bucket",
            "s3:http://[::1]x/bucket",
            "s3://bucket/a//b",
            "s3://bucket/../b",
            "s3://bucket/a?x=1",
            "s3://bucket/a#b",
            "sftp:host:/x",
            "https://host/bucket",
            "gs://bucket",
        ] {
            let error = Location::parse(text).expect_err(text);
            assert_eq!(error.kind, ErrorKind::InvalidLocation, "{text}");
            assert!(error.to_string().len() > 20, "{text}");
        }
        let long = format!("s3://{}", "b".repeat(64));
        assert_eq!(Location::parse(long).unwrap_err().kind, ErrorKind::InvalidLocation);
    }

    #[test]
    fn secrets_written_into_a_location_are_refused_and_never_repeated() {
        for text in [
            "s3:http://AKIAPLANTED:hunter2secret@host:9000/bucket",
            "s3:https://hunter2secret@host/bucket",
            "s3://AKIAPLANTED:hunter2secret@bucket/x",
            "s3:http://AKIAPLANTED:hunter2secret/with/slash@host/bucket",
            "s3:AKIAPLANTED:hunter2secret@host/bucket",
        ] {
            let error = Location::parse(text).expect_err(text);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2secret") && !shown.contains("AKIAPLANTED"), "{shown}");
        }
        let error = Endpoint::parse("http://user:hunter2secret@host").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2secret"));
    }

    #[test]
    fn names_of_local_paths_never_send_control_characters() {
        assert_eq!(Location::parse("a\x1b[31m").unwrap().to_string(), "a\\u{1b}[31m");
    }
}
