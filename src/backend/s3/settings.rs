//! How an S3 location is reached and with which keys, read from the environment and the files of the AWS
//! tools.

use std::path::{Path, PathBuf};

use object_store::aws::AmazonS3ConfigKey;

use super::profile::{self, Profile};
use crate::backend::location::{Endpoint, S3Location};
use crate::backend::{BackendError, ErrorKind, OpenOptions};

/// The region of stores that have none.
const REGION_DEFAULT: &str = "us-east-1";
/// The pair that wins over everything else.
const KEY_VARIABLES: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
/// Limit: a file of certificates.
const CERTIFICATES_MAX_BYTES: u64 = 16 << 20;

/// Keys that do not change while the process runs. Secret: no `Debug`.
#[derive(Clone)]
pub(super) struct StaticKeys {
    pub(super) key_id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

/// Where credentials come from.
pub(super) enum CredentialSource {
    /// The environment or a profile named them.
    Static(StaticKeys),
    /// A service of the platform gives them; the pairs say which and how.
    Platform(Vec<(AmazonS3ConfigKey, String)>),
}

/// All that building a client takes. Holds secrets: no `Debug`.
pub(super) struct Settings {
    pub(super) endpoint: Option<Endpoint>,
    pub(super) virtual_hosted: bool,
    pub(super) region: String,
    pub(super) credentials: CredentialSource,
    /// PEM, empty for none.
    pub(super) certificates: Vec<u8>,
}

impl Settings {
    /// Reads what `location` needs.
    ///
    /// # Errors
    /// As [`crate::backend::open`].
    pub(super) fn read(location: &S3Location, options: &OpenOptions<'_>) -> Result<Self, BackendError> {
        let get = |name: &str| (options.environment)(name).filter(|value| !value.is_empty());
        let endpoint = match &location.endpoint {
            Some(endpoint) => Some(endpoint.clone()),
            None => match get("AWS_ENDPOINT_URL_S3").or_else(|| get("AWS_ENDPOINT_URL")) {
                Some(url) => Some(Endpoint::parse(&url)?),
                None => None,
            },
        };
        let profile = match read_profile(&get) {
            // Keys in the environment need no profile, so a wrong one is no obstacle.
            Err(_) if KEY_VARIABLES.iter().all(|name| get(name).is_some()) => None,
            read => read?,
        };
        let from_profile = |name| profile.as_ref().and_then(|profile| profile.get(name)).map(str::to_owned);
        let region = get("AWS_REGION")
            .or_else(|| get("AWS_DEFAULT_REGION"))
            .or_else(|| from_profile("region"))
            .unwrap_or_else(|| REGION_DEFAULT.to_owned());
        Ok(Self {
            // A dot in the bucket would not match the certificate for *.s3.REGION.amazonaws.com.
            virtual_hosted: endpoint.is_none() && !location.bucket.contains('.'),
            credentials: find_credentials(&get, profile.as_ref(), endpoint.as_ref())?,
            certificates: read_certificates(&get, options.ca_cert.as_deref())?,
            endpoint,
            region,
        })
    }
}

fn read_profile(get: &dyn Fn(&str) -> Option<String>) -> Result<Option<Profile>, BackendError> {
    let home = get("HOME").map(PathBuf::from);
    let path = |variable: &str, file: &str| {
        get(variable).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(".aws").join(file)))
    };
    let named = get("AWS_PROFILE");
    let name = named.as_deref().unwrap_or("default");
    let files = (path("AWS_SHARED_CREDENTIALS_FILE", "credentials"), path("AWS_CONFIG_FILE", "config"));
    let found = match files {
        (Some(credentials), Some(config)) => profile::read(&credentials, &config, name),
        (Some(one), None) | (None, Some(one)) => profile::read(&one, &one, name),
        (None, None) => Ok(None),
    };
    let found = found.map_err(|error| {
        BackendError::with_source(ErrorKind::Credentials, "cannot read the files of AWS profiles", error)
    })?;
    match (named, &found) {
        (Some(_), None) => Err(BackendError::new(
            ErrorKind::Credentials,
            "the profile that AWS_PROFILE names is in neither ~/.aws/credentials nor ~/.aws/config",
        )),
        _ => Ok(found),
    }
}

fn find_credentials(
    get: &dyn Fn(&str) -> Option<String>,
    profile: Option<&Profile>,
    endpoint: Option<&Endpoint>,
) -> Result<CredentialSource, BackendError> {
    let keys = pair(
        get(KEY_VARIABLES[0]),
        get(KEY_VARIABLES[1]),
        get("AWS_SESSION_TOKEN"),
        "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set",
    )?;
    if let Some(keys) = keys {
        return Ok(CredentialSource::Static(keys));
    }
    let platform = platform_credentials(get);
    let is_web_identity = platform.iter().any(|(key, _)| *key == AmazonS3ConfigKey::WebIdentityTokenFile);
    if is_web_identity {
        return Ok(CredentialSource::Platform(platform));
    }
    let from_profile = |name| profile.and_then(|profile| profile.get(name)).map(str::to_owned);
    let keys = pair(
        from_profile("aws_access_key_id"),
        from_profile("aws_secret_access_key"),
        from_profile("aws_session_token"),
        "the AWS profile has only one of aws_access_key_id and aws_secret_access_key",
    )?;
    if let Some(keys) = keys {
        return Ok(CredentialSource::Static(keys));
    }
    // Only AWS hands out keys by asking the machine; elsewhere the question would only cost time.
    let is_aws = endpoint.is_none_or(|endpoint| {
        let host = endpoint.authority.split(['/', ':']).next().unwrap_or_default();
        host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
    });
    if platform.is_empty() && !is_aws {
        return Err(BackendError::new(
            ErrorKind::Credentials,
            "there are no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        ));
    }
    Ok(CredentialSource::Platform(platform))
}

fn pair(
    key_id: Option<String>,
    secret: Option<String>,
    token: Option<String>,
    half: &str,
) -> Result<Option<StaticKeys>, BackendError> {
    // They stand in headers, which take nothing else.
    let is_printable = |text: &String| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if ![&key_id, &token].into_iter().flatten().all(is_printable) {
        return Err(BackendError::new(
            ErrorKind::Credentials,
            "the S3 access key id or session token holds a character that it cannot have",
        ));
    }
    match (key_id, secret) {
        (Some(key_id), Some(secret)) => Ok(Some(StaticKeys { key_id, secret, token })),
        (None, None) => Ok(None),
        _ => Err(BackendError::new(ErrorKind::Credentials, half)),
    }
}

/// What the environment says of web identity, ECS and EKS; empty leaves the machine's own role.
fn platform_credentials(get: &dyn Fn(&str) -> Option<String>) -> Vec<(AmazonS3ConfigKey, String)> {
    use AmazonS3ConfigKey as Key;
    let read = |pairs: &[(Key, &str)]| {
        let found = pairs.iter().filter_map(|(key, name)| get(name).map(|value| (*key, value)));
        found.collect::<Vec<_>>()
    };
    let web =
        read(&[(Key::WebIdentityTokenFile, "AWS_WEB_IDENTITY_TOKEN_FILE"), (Key::RoleArn, "AWS_ROLE_ARN")]);
    if web.len() == 2 {
        let more = read(&[
            (Key::RoleSessionName, "AWS_ROLE_SESSION_NAME"),
            (Key::StsEndpoint, "AWS_ENDPOINT_URL_STS"),
        ]);
        return web.into_iter().chain(more).collect();
    }
    let relative = read(&[(Key::ContainerCredentialsRelativeUri, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")]);
    if !relative.is_empty() {
        return relative;
    }
    let full = read(&[
        (Key::ContainerCredentialsFullUri, "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        (Key::ContainerAuthorizationTokenFile, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    ]);
    if full.len() == 2 { full } else { Vec::new() }
}

fn read_certificates(
    get: &dyn Fn(&str) -> Option<String>,
    given: Option<&Path>,
) -> Result<Vec<u8>, BackendError> {
    let Some(path) = given.map(Path::to_path_buf).or_else(|| get("AWS_CA_BUNDLE").map(PathBuf::from)) else {
        return Ok(Vec::new());
    };
    let read = || {
        if path.metadata()?.len() > CERTIFICATES_MAX_BYTES {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "larger than 16 MiB"));
        }
        std::fs::read(&path)
    };
    read().map_err(|error| {
        BackendError::with_source(
            ErrorKind::Tls,
            "cannot read the file of certificate authorities (--ca-cert or AWS_CA_BUNDLE)",
            error,
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::backend::Location;

    fn read(location: &str, variables: &[(&str, &str)]) -> Result<Settings, BackendError> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let environment = |name: &str| variables.get(name).map(|value| (*value).to_owned());
        let Location::S3(s3) = Location::parse(location).unwrap() else { panic!("not S3") };
        Settings::read(&s3, &OpenOptions::new(&environment))
    }

    fn keys(settings: Settings) -> (String, String, Option<String>) {
        match settings.credentials {
            CredentialSource::Static(keys) => (keys.key_id, keys.secret, keys.token),
            CredentialSource::Platform(_) => panic!("not static"),
        }
    }

    fn kind(result: Result<Settings, BackendError>) -> ErrorKind {
        result.err().map(|error| error.kind).unwrap()
    }

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];

    #[test]
    fn the_written_endpoint_wins_then_the_environment_then_aws_itself() {
        let with = |more: &[(&'static str, &'static str)]| [&KEYS[..], more].concat();
        let urls =
            with(&[("AWS_ENDPOINT_URL", "http://general:1"), ("AWS_ENDPOINT_URL_S3", "https://special/x/")]);
        let settings = read("s3:http://written:9000/bucket", &urls).unwrap();
        assert_eq!(settings.endpoint.unwrap().to_string(), "http://written:9000");
        let settings = read("s3://bucket", &urls).unwrap();
        assert_eq!(settings.endpoint.unwrap().to_string(), "https://special/x");
        assert!(!settings.virtual_hosted);
        let settings = read("s3://bucket", &urls[..3]).unwrap();
        assert_eq!(settings.endpoint.unwrap().to_string(), "http://general:1");
        let settings = read("s3://bucket", &KEYS).unwrap();
        assert!(settings.endpoint.is_none() && settings.virtual_hosted && settings.region == "us-east-1");
        assert!(!read("s3://bucket.with.dots", &KEYS).unwrap().virtual_hosted);
        let wrong = with(&[("AWS_ENDPOINT_URL", "host:9000")]);
        assert_eq!(kind(read("s3://bucket", &wrong)), ErrorKind::InvalidLocation);
    }

    #[test]
    fn keys_come_from_the_environment_then_from_the_profile() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let files = "[default]\naws_access_key_id=d\naws_secret_access_key=ds\n\
                     [team]\naws_access_key_id=t\naws_secret_access_key=ts\naws_session_token=tt\n[half]\n\
                     aws_access_key_id=h\n";
        std::fs::write(home.path().join(".aws/credentials"), files).unwrap();
        std::fs::write(home.path().join(".aws/config"), "[profile team]\nregion = eu-north-1\n").unwrap();
        let home_variable = ("HOME", home.path().to_str().unwrap());
        let default = read("s3://bucket", &[home_variable]).unwrap();
        assert_eq!(keys(default), ("d".to_owned(), "ds".to_owned(), None));
        let team = read("s3://bucket", &[home_variable, ("AWS_PROFILE", "team")]).unwrap();
        assert_eq!(team.region, "eu-north-1");
        assert_eq!(keys(team), ("t".to_owned(), "ts".to_owned(), Some("tt".to_owned())));
        let both = read("s3://bucket", &[home_variable, ("AWS_PROFILE", "team"), KEYS[0], KEYS[1]]).unwrap();
        assert_eq!(keys(both), ("id".to_owned(), "secret".to_owned(), None));
        read("s3://bucket", &[home_variable, ("AWS_PROFILE", "missing"), KEYS[0], KEYS[1]]).unwrap();
        for wrong in ["half", "missing"] {
            let result = read("s3://bucket", &[home_variable, ("AWS_PROFILE", wrong)]);
            assert_eq!(kind(result), ErrorKind::Credentials, "{wrong}");
        }
    }

    #[test]
    fn half_a_pair_or_none_at_all_is_refused_where_no_platform_can_help() {
        assert_eq!(kind(read("s3://bucket", &KEYS[..1])), ErrorKind::Credentials);
        assert_eq!(kind(read("s3:http://localhost:9000/bucket", &[])), ErrorKind::Credentials);
        for strange in ["line\n", "\u{e4}"] {
            for at in [0, 2] {
                let mut keys = [KEYS[0], KEYS[1], ("AWS_SESSION_TOKEN", "token")];
                keys[at].1 = strange;
                assert_eq!(kind(read("s3://bucket", &keys)), ErrorKind::Credentials, "{strange}");
            }
        }
        let role = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "arn")];
        let settings = read("s3:http://localhost:9000/bucket", &role).unwrap();
        assert!(matches!(settings.credentials, CredentialSource::Platform(pairs) if pairs.len() == 2));
        let settings = read("s3://bucket", &[]).unwrap();
        assert!(matches!(settings.credentials, CredentialSource::Platform(pairs) if pairs.is_empty()));
    }
}
