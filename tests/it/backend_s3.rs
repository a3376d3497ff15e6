//! What an S3 store says when something is wrong, and that it never says a secret.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use snap::backend::{Backend, BackendError, ErrorKind, Location, ObjectKey, ObjectKind};
use snap::backend::{OpenOptions, PutOutcome, open};
use snap::base::IndexId;

use crate::support::minio::{Minio, minio, open_url, open_with};
use crate::support::random_hex;

fn key() -> ObjectKey {
    ObjectKey::index(&IndexId([1; 32]))
}

/// The error of every verb.
fn errors(store: &dyn Backend) -> Vec<(&'static str, BackendError)> {
    let lock = ObjectKey::lock("prune").unwrap();
    let data = Bytes::from_static(b"x");
    vec![
        ("prepare", store.prepare().unwrap_err()),
        ("put_new", store.put_new(&key(), data.clone()).unwrap_err()),
        ("get", store.get(&key(), 100).unwrap_err()),
        ("get_range", store.get_range(&key(), 0, 1).unwrap_err()),
        ("list", store.list(ObjectKind::Index).unwrap_err()),
        ("list packs", store.list(ObjectKind::Pack).unwrap_err()),
        ("stat", store.stat(&key()).unwrap_err()),
        ("delete", store.delete(&key()).unwrap_err()),
        ("get_versioned", store.get_versioned(&lock).unwrap_err()),
        ("replace", store.replace(&lock, data, None).unwrap_err()),
    ]
}

fn chain(error: &BackendError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut link = std::error::Error::source(error);
    while let Some(this) = link {
        text.push_str(&format!(" {this} {this:?}"));
        link = this.source();
    }
    text
}

fn assert_all(store: &dyn Backend, kind: ErrorKind, secret: &str) {
    for (verb, error) in errors(store) {
        assert_eq!(error.kind, kind, "{verb}: {}", chain(&error));
        assert!(!chain(&error).contains(secret), "{verb} shows the secret");
        assert!(!error.to_string().contains('\n') && !error.to_string().is_empty());
    }
    let shown = format!("{store:?} {store:#?} {}", store.location());
    assert!(!shown.contains(secret), "{shown}");
}

#[test]
fn a_missing_bucket_is_told_from_a_missing_object() {
    let bucket = format!("missing-{}", random_hex(6));
    assert_all(&*minio().open(&bucket), ErrorKind::NoBucket, &minio().password);
    let store = minio().open(&minio().make_bucket());
    assert_eq!(store.stat(&key()).unwrap_err().kind, ErrorKind::NotFound);
    store.prepare().unwrap();
}

#[test]
fn wrong_keys_are_a_matter_of_credentials_and_never_shown() {
    let bucket = minio().make_bucket();
    let store = minio().open_as(&bucket, &minio().user, "planted-secret-key");
    assert_all(&*store, ErrorKind::Credentials, "planted-secret-key");
    let store = minio().open_as(&bucket, "nobody", "planted-secret-key");
    assert_all(&*store, ErrorKind::Credentials, "planted-secret-key");
}

#[test]
fn a_closed_port_is_unreachable_and_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let store = open_url(&format!("s3:http://127.0.0.1:{port}/bucket"), "user", "planted-secret-key");
    let error = store.list(ObjectKind::Pack).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{}", chain(&error));
    assert!(error.to_string().contains(&format!("http://127.0.0.1:{port}")), "{error}");
    assert!(!chain(&error).contains("planted-secret-key"));
}

#[test]
fn plain_http_behind_an_https_location_is_a_matter_of_tls() {
    let url = format!("s3:https://127.0.0.1:{}/bucket", minio().port);
    let error = open_url(&url, "user", "secret").prepare().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Tls, "{}", chain(&error));
}

#[test]
fn a_certificate_is_trusted_by_its_authority_only() {
    let (server, authority) = Minio::start_with_tls();
    let url = format!("s3:https://127.0.0.1:{}/missing-bucket", server.port);
    let error = open_url(&url, &server.user, &server.password).prepare().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Tls, "{}", chain(&error));

    // The right authority stands second in the file.
    let bundle = rewritten_authority(&authority);
    let store = open_with(&url, &server.user, &server.password, Some(&bundle));
    let error = store.prepare().unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoBucket, "{}", chain(&error));

    let plain = open_url(&url.replace("https:", "http:"), &server.user, &server.password);
    let error = plain.prepare().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Tls, "{}", chain(&error));

    let nothing = authority.with_file_name("nothing.pem");
    std::fs::write(&nothing, "no certificate").unwrap();
    let environment = |name: &str| name.starts_with("AWS_").then(|| "x".to_owned());
    let options = OpenOptions { ca_cert: Some(nothing), ..OpenOptions::new(&environment) };
    let error = open(&Location::parse("s3:https://127.0.0.1/bucket").unwrap(), &options).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Tls, "{}", chain(&error));
}

/// A file with the certificate of the server itself before that of its authority.
fn rewritten_authority(authority: &Path) -> PathBuf {
    let folder = authority.parent().unwrap();
    let mut both = std::fs::read(folder.join("certs/public.crt")).unwrap();
    both.extend(std::fs::read(authority).unwrap());
    let path = folder.join("both.pem");
    std::fs::write(&path, both).unwrap();
    path
}

/// Answers each connection with the next of `answers`, after reading the head and body of one request.
fn scripted(answers: Vec<&'static str>) -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            requests.push(read_request(&mut stream));
            let _ = stream.write_all(answer.as_bytes());
        }
        requests
    });
    (port, server)
}

/// Reads one request and returns its first line.
fn read_request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    head.lines().next().unwrap_or_default().to_owned()
}

const EMPTY_LIST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 73\r\n\r\n\
    <ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>    ";
const CREATED: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n";
const RACING: &str = "HTTP/1.1 409 Conflict\r\nConnection: close\r\nContent-Length: 59\r\n\r\n\
    <Error><Code>ConditionalRequestConflict</Code></Error>     ";
const PRECONDITION: &str =
    "HTTP/1.1 412 Precondition Failed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const NOT_THERE: &str = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const EXPIRED: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 40\r\n\r\n\
    <Error><Code>ExpiredToken</Code></Error>";
const ONE_BYTE: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"1\"\r\nContent-Length: 1\r\n\
    Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n";
const UNKNOWN: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 42\r\n\r\n\
    <Error><Code>NotImplemented</Code></Error>";
const TIMED_OUT: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 42\r\n\r\n\
    <Error><Code>RequestTimeout</Code></Error>";
const LOST: &str = "";

fn put_through(answers: Vec<&'static str>) -> (Result<PutOutcome, BackendError>, Vec<String>) {
    let (port, server) = scripted(answers);
    let store = open_url(&format!("s3:http://127.0.0.1:{port}/bucket"), "user", "secret");
    let outcome = store.put_new(&key(), Bytes::from_static(b"x"));
    let requests = server.join().unwrap();
    (outcome, requests.iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect())
}

#[test]
fn a_refused_create_of_what_is_not_there_is_tried_again() {
    let (outcome, requests) = put_through(vec![EMPTY_LIST, RACING, NOT_THERE, EMPTY_LIST, CREATED]);
    assert_eq!(outcome.unwrap(), PutOutcome::Created);
    assert_eq!(requests, ["GET", "PUT", "HEAD", "GET", "PUT"]);
}

#[test]
fn a_create_whose_answer_was_lost_is_found_stored() {
    let (outcome, requests) = put_through(vec![EMPTY_LIST, LOST, ONE_BYTE]);
    assert_eq!(outcome.unwrap(), PutOutcome::Existed);
    assert_eq!(requests, ["GET", "PUT", "HEAD"]);
    // Another host wrote it between the look and the second attempt.
    let answers = vec![EMPTY_LIST, LOST, NOT_THERE, EMPTY_LIST, PRECONDITION, ONE_BYTE];
    let (outcome, requests) = put_through(answers);
    assert_eq!(outcome.unwrap(), PutOutcome::Existed);
    assert_eq!(requests, ["GET", "PUT", "HEAD", "GET", "PUT", "HEAD"]);
}

#[test]
fn keys_that_go_bad_later_are_told_although_head_has_no_body() {
    let (port, server) = scripted(vec![EMPTY_LIST, FORBIDDEN, EXPIRED, EMPTY_LIST]);
    let store = open_url(&format!("s3:http://127.0.0.1:{port}/bucket"), "user", "secret");
    let error = store.stat(&key()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials, "{}", chain(&error));
    store.prepare().unwrap();
    assert_eq!(server.join().unwrap().len(), 4);
}

#[test]
fn a_create_that_met_a_passing_error_is_sent_again() {
    let (outcome, requests) = put_through(vec![EMPTY_LIST, TIMED_OUT, NOT_THERE, EMPTY_LIST, CREATED]);
    assert_eq!(outcome.unwrap(), PutOutcome::Created);
    assert_eq!(requests, ["GET", "PUT", "HEAD", "GET", "PUT"]);
    // By a key that may write and list, not read.
    let (outcome, requests) = put_through(vec![EMPTY_LIST, TIMED_OUT, FORBIDDEN, EMPTY_LIST, CREATED]);
    assert_eq!(outcome.unwrap(), PutOutcome::Created);
    assert_eq!(requests, ["GET", "PUT", "HEAD", "GET", "PUT"]);
}

/// The server refuses from the head alone and closes the connection on the rest of the body.
#[test]
fn a_create_of_a_large_object_that_is_there_is_told_so_every_time() {
    let store = minio().open(&minio().make_bucket());
    for size_bytes in [300_000, 2_300_000, 24 << 20] {
        let data = Bytes::from(vec![7; size_bytes]);
        let key = ObjectKey::index(&IndexId([u8::try_from(size_bytes % 251).unwrap(); 32]));
        assert_eq!(store.put_new(&key, data.clone()).unwrap(), PutOutcome::Created);
        for _ in 0..20 {
            assert_eq!(store.put_new(&key, data.clone()).unwrap(), PutOutcome::Existed, "{size_bytes}");
        }
    }
}

#[test]
fn a_store_without_create_only_writes_is_looked_at_before_a_plain_write() {
    let (outcome, requests) = put_through(vec![EMPTY_LIST, UNKNOWN, NOT_THERE, EMPTY_LIST, CREATED]);
    assert_eq!(outcome.unwrap(), PutOutcome::Created);
    assert_eq!(requests, ["GET", "PUT", "HEAD", "GET", "PUT"]);
    let (outcome, requests) = put_through(vec![EMPTY_LIST, UNKNOWN, ONE_BYTE]);
    assert_eq!(outcome.unwrap(), PutOutcome::Existed);
    assert_eq!(requests, ["GET", "PUT", "HEAD"]);
}
