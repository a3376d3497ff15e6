//! What a failed request says: the kinds of `object_store` are coarse, so status, code and cause are read
//! from the chain of causes.
//!
//! Only what is picked out here reaches an error of this room. The answer to a wrong signature repeats signed
//! headers, a session token among them: whole bodies are never kept, of an answer that is about credentials
//! nothing but the code, and nowhere a secret that was sent.

use std::error::Error;
use std::fmt;

use object_store::client::{HttpError, HttpErrorKind};
use zeroize::Zeroizing;

use crate::backend::ErrorKind;
use crate::base::escape::escape_name;

/// How `object_store` starts the text of an answer that is no success.
const STATUS_MARK: &str = "Server returned non-2xx status code: ";
/// Limit: what is kept of a server's message.
const MESSAGE_MAX_CHARS: usize = 200;
/// Limit: a code, which is one word.
const CODE_MAX_CHARS: usize = 64;
/// Below this length a secret is a word like others, and no store gives one so short.
const HIDDEN_MIN_BYTES: usize = 8;
/// Addresses of the services that hand out credentials.
const IDENTITY_SERVICES: [&str; 4] = ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "://sts."];
/// Codes of answers, whatever their status, that another attempt may not meet.
const PASSING_CODES: [&str; 8] = [
    "RequestTimeout",
    "SlowDown",
    "InternalError",
    "ServiceUnavailable",
    "OperationAborted",
    "BadDigest",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
];
/// Signs of trouble below HTTP that are not the network's.
const TLS_SIGNS: [&str; 8] = [
    "certificate",
    "handshake",
    "corrupt message",
    "tls error",
    "ssl error",
    "unknownissuer",
    "alert:",
    "client sent an http request to an https server",
];

/// One failed request, ready to be decided by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    /// Whether trying again may help.
    pub(super) retryable: bool,
    /// A condition of the request did not hold (412), or a racing request was in the way (409).
    pub(super) condition_failed: bool,
    /// The request reached a server that speaks HTTP.
    pub(super) answered: bool,
    /// Status of the answer, zero without one.
    pub(super) status: u16,
    /// The code that S3 puts in the body of an answer, empty without one.
    pub(super) code: String,
    /// For people, one line, without secrets.
    pub(super) detail: String,
}

/// The cause that a [`crate::backend::BackendError`] of this store carries.
#[derive(Debug)]
pub(super) struct Cause(pub(super) String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Cause {}

/// What no failure may repeat. Secret: no `Debug`.
#[derive(Default)]
pub(super) struct Hidden(Vec<Zeroizing<String>>);

impl Hidden {
    /// Returns what hides these secrets.
    pub(super) fn of(secrets: impl IntoIterator<Item = String>) -> Self {
        let long = secrets.into_iter().map(Zeroizing::new).filter(|text| text.len() >= HIDDEN_MIN_BYTES);
        Self(long.collect())
    }

    fn hide(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| match text.contains(secret.as_str()) {
            true => text.replace(secret.as_str(), "(hidden)"),
            false => text,
        })
    }
}

impl Failure {
    /// Returns a failure without an answer.
    pub(super) fn unanswered(kind: ErrorKind, retryable: bool, detail: impl Into<String>) -> Self {
        Self {
            kind,
            retryable,
            condition_failed: false,
            answered: false,
            status: 0,
            code: String::new(),
            detail: detail.into(),
        }
    }

    /// Reads what `error` says, but what is `hidden`.
    pub(super) fn read(error: &object_store::Error, hidden: &Hidden) -> Self {
        let condition_failed = matches!(
            error,
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }
        );
        let mut failure = Self::read_chain(error, hidden);
        failure.condition_failed = condition_failed;
        failure
    }

    fn read_chain(error: &(dyn Error + 'static), hidden: &Hidden) -> Self {
        let mut transport = None;
        let mut answer = None;
        let mut identity = false;
        let mut texts = Vec::new();
        let mut link = Some(error);
        while let Some(this) = link {
            let text = hidden.hide(this.to_string());
            if let Some(http) = this.downcast_ref::<HttpError>() {
                transport = Some(http.kind());
                // What stood above names the URL, whose words say nothing about the trouble.
                texts.clear();
            }
            if let Some(rest) = text.strip_prefix(STATUS_MARK) {
                answer = Some(rest.to_owned());
            }
            identity |= IDENTITY_SERVICES.iter().any(|service| {
                text.split_once(STATUS_MARK).map_or(text.as_str(), |(before, _)| before).contains(service)
            });
            texts.push(text);
            link = this.source();
        }
        let innermost = texts.last().map_or("", String::as_str);
        if identity {
            let detail = format!("no credentials from the platform: {}", one_line(last_cause(innermost)));
            return Self::unanswered(ErrorKind::Credentials, false, detail);
        }
        if let Some(answer) = answer {
            return Self::from_answer(&answer);
        }
        let detail = one_line(innermost);
        let all = texts.join(" ").to_ascii_lowercase();
        match transport {
            Some(_) if TLS_SIGNS.iter().any(|sign| all.contains(sign)) => {
                Self::unanswered(ErrorKind::Tls, false, detail)
            }
            Some(HttpErrorKind::Connect) => Self::unanswered(ErrorKind::Unreachable, true, detail),
            Some(_) => {
                let failure = Self::unanswered(ErrorKind::Unreachable, true, detail);
                Self { answered: true, ..failure }
            }
            None => {
                let failure = Self::unanswered(ErrorKind::Other, false, detail);
                Self { answered: true, ..failure }
            }
        }
    }

    /// Reads `404 Not Found: <body>`.
    fn from_answer(answer: &str) -> Self {
        let status = answer.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let is_code = |code: &String| {
            code.len() <= CODE_MAX_CHARS && code.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'.')
        };
        let code = element(answer, "Code").filter(is_code).unwrap_or_default();
        let plain_http = answer.to_ascii_lowercase().contains(TLS_SIGNS[7]);
        let kind = if plain_http { ErrorKind::Tls } else { kind_of(status, &code) };
        let message = match kind {
            ErrorKind::Credentials => String::new(),
            _ => element(answer, "Message").unwrap_or_default(),
        };
        let mut detail = format!("the server answered {status}");
        for (before, part) in [(" ", &code), (": ", &message)] {
            if !part.is_empty() {
                detail.push_str(before);
                detail.push_str(part);
            }
        }
        let slow = matches!(status, 408 | 429 | 500 | 502 | 503 | 504) && kind == ErrorKind::Unreachable;
        Self {
            kind,
            retryable: slow || PASSING_CODES.contains(&code.as_str()),
            condition_failed: false,
            answered: true,
            status,
            code,
            detail,
        }
    }
}

fn kind_of(status: u16, code: &str) -> ErrorKind {
    match code {
        "NoSuchBucket" => ErrorKind::NoBucket,
        "NoSuchKey" | "NoSuchVersion" => ErrorKind::NotFound,
        "InvalidBucketName" => ErrorKind::InvalidLocation,
        "SignatureDoesNotMatch"
        | "InvalidAccessKeyId"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidToken"
        | "InvalidTokenId"
        | "TokenRefreshRequired"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "UnrecognizedClientException"
        | "NotSignedUp"
        | "MissingSecurityHeader" => ErrorKind::Credentials,
        "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "QuotaExceeded" | "InsufficientStorage" => {
            ErrorKind::Full
        }
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => ErrorKind::PermissionDenied,
        "InvalidRange" => ErrorKind::Short,
        "NotImplemented" => ErrorKind::Unsupported,
        "RequestTimeTooSkewed" => ErrorKind::Other,
        "RequestTimeout" | "SlowDown" | "InternalError" | "ServiceUnavailable" => ErrorKind::Unreachable,
        _ => match status {
            401 => ErrorKind::Credentials,
            403 => ErrorKind::PermissionDenied,
            404 => ErrorKind::NotFound,
            405 | 501 => ErrorKind::Unsupported,
            416 => ErrorKind::Short,
            507 => ErrorKind::Full,
            408 | 429 | 500..=599 => ErrorKind::Unreachable,
            _ => ErrorKind::Other,
        },
    }
}

/// The text of the first XML element `name`, in one short line.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(one_line(text))
}

/// What stands after the last `: ` of a chained text.
fn last_cause(text: &str) -> &str {
    text.rsplit(": ").next().unwrap_or(text)
}

fn one_line(text: &str) -> String {
    let short: String = text.chars().take(MESSAGE_MAX_CHARS).collect();
    escape_name(short.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Link(String, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|link| link as &(dyn Error + 'static))
        }
    }

    fn answered(status: &str, body: &str) -> Failure {
        let inner = Link(format!("{STATUS_MARK}{status}: {body}"), None);
        let outer = Link(format!("Error performing GET http://h/b in 1ms - {inner}"), Some(Box::new(inner)));
        Failure::read(
            &object_store::Error::Generic { store: "S3", source: Box::new(outer) },
            &Hidden::default(),
        )
    }

    fn coded(status: &str, code: &str) -> Failure {
        answered(status, &format!("<?xml?><Error><Code>{code}</Code><Message>why\nso</Message></Error>"))
    }

    #[test]
    fn codes_of_the_body_decide_before_the_status() {
        for (status, code, kind) in [
            ("404 Not Found", "NoSuchBucket", ErrorKind::NoBucket),
            ("404 Not Found", "NoSuchKey", ErrorKind::NotFound),
            ("403 Forbidden", "SignatureDoesNotMatch", ErrorKind::Credentials),
            ("403 Forbidden", "InvalidAccessKeyId", ErrorKind::Credentials),
            ("400 Bad Request", "ExpiredToken", ErrorKind::Credentials),
            ("403 Forbidden", "InvalidTokenId", ErrorKind::Credentials),
            ("403 Forbidden", "AccessDenied", ErrorKind::PermissionDenied),
            ("507 Insufficient Storage", "XMinioStorageFull", ErrorKind::Full),
            ("400 Bad Request", "InvalidBucketName", ErrorKind::InvalidLocation),
            ("501 Not Implemented", "NotImplemented", ErrorKind::Unsupported),
            ("503 Service Unavailable", "SlowDown", ErrorKind::Unreachable),
        ] {
            let failure = coded(status, code);
            assert_eq!((failure.kind, failure.code.as_str()), (kind, code), "{status}");
            let says_why = failure.detail.contains("why\\u{a}so");
            assert!(failure.answered && says_why == (kind != ErrorKind::Credentials), "{}", failure.detail);
            assert_eq!(failure.retryable, kind == ErrorKind::Unreachable, "{status}");
        }
        for (status, kind) in [
            ("404 Not Found", ErrorKind::NotFound),
            ("403 Forbidden", ErrorKind::PermissionDenied),
            ("401 Unauthorized", ErrorKind::Credentials),
            ("416 Range Not Satisfiable", ErrorKind::Short),
            ("507 Insufficient Storage", ErrorKind::Full),
            ("502 Bad Gateway", ErrorKind::Unreachable),
        ] {
            assert_eq!(answered(status, "").kind, kind, "{status}");
        }
    }

    #[test]
    fn the_body_of_an_answer_is_never_kept_whole() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>m</Message><CanonicalRequest>\
                    x-amz-security-token:planted-token</CanonicalRequest></Error>";
        let failure = answered("403 Forbidden", body);
        assert!(!format!("{failure:?} {}", failure.detail).contains("planted-token"));
    }

    #[test]
    fn a_secret_that_a_server_repeats_is_hidden_before_its_words_are_cut() {
        let padding = "x".repeat(MESSAGE_MAX_CHARS - 10);
        let body =
            format!("<Error><Code>a planted-token</Code><Message>{padding}planted-token</Message></Error>");
        let inner = Link(format!("{STATUS_MARK}500 Oh: {body}"), None);
        let error = object_store::Error::Generic { store: "S3", source: Box::new(inner) };
        let hidden = Hidden::of(["planted-token".to_owned(), "x".to_owned()]);
        let failure = Failure::read(&error, &hidden);
        assert!(
            failure.detail.contains("xxx(hidden)") && !format!("{failure:?}").contains("plant"),
            "{failure:?}"
        );
    }

    #[test]
    fn trouble_below_http_is_network_or_tls() {
        let fail = |kind, text: &str| {
            let http = HttpError::new(kind, Link(text.to_owned(), None));
            Failure::read(
                &object_store::Error::Generic { store: "S3", source: Box::new(http) },
                &Hidden::default(),
            )
        };
        let refused = fail(HttpErrorKind::Connect, "Connection refused (os error 111)");
        assert_eq!(
            (refused.kind, refused.retryable, refused.answered),
            (ErrorKind::Unreachable, true, false)
        );
        let tls = fail(HttpErrorKind::Connect, "invalid peer certificate: UnknownIssuer");
        assert_eq!((tls.kind, tls.retryable, tls.answered), (ErrorKind::Tls, false, false));
        let plain = answered("400 Bad Request", "Client sent an HTTP request to an HTTPS server.");
        assert_eq!(plain.kind, ErrorKind::Tls);
        assert!(fail(HttpErrorKind::Timeout, "operation timed out").retryable);
    }

    #[test]
    fn a_silent_identity_service_is_a_matter_of_credentials() {
        let http = HttpError::new(HttpErrorKind::Connect, Link("tcp connect error".to_owned(), None));
        let outer = Link("Error performing PUT http://169.254.169.254/latest/api/token".to_owned(), None);
        let error = object_store::Error::Generic { store: "S3", source: Box::new(outer) };
        assert_eq!(Failure::read(&error, &Hidden::default()).kind, ErrorKind::Credentials);
        let error = object_store::Error::Generic { store: "S3", source: Box::new(http) };
        assert_eq!(Failure::read(&error, &Hidden::default()).kind, ErrorKind::Unreachable);
    }
}
