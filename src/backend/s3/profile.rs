//! The files `~/.aws/credentials` and `~/.aws/config`, as far as static keys and a region go.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Limit: one such file.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// What one profile says, both files taken together. Values may be secret: no `Debug`.
#[derive(Default)]
pub(super) struct Profile {
    values: BTreeMap<String, String>,
}

impl Profile {
    /// Returns a value, if it is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Returns the profile `name`, or `None` when neither file has it. Values of `credentials` win over those of
/// `config`; a file that is not there is an empty one.
pub(super) fn read(credentials: &Path, config: &Path, name: &str) -> io::Result<Option<Profile>> {
    let mut found = None;
    for (path, is_config) in [(config, true), (credentials, false)] {
        if let Some(text) = read_file(path)? {
            collect(&text, name, is_config, &mut found);
        }
    }
    Ok(found)
}

fn read_file(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        opened => opened?,
    };
    let mut text = String::new();
    file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is larger than 1 MiB"));
    }
    Ok(Some(text))
}

/// Adds the values of section `name` to `found`. In `config` all profiles but the default one are headed
/// `[profile NAME]`.
fn collect(text: &str, name: &str, is_config: bool, found: &mut Option<Profile>) {
    let mut inside = false;
    let mut nested = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = trimmed.strip_prefix('[') {
            let section = section.split(']').next().unwrap_or_default().trim();
            let section = match section.split_once(char::is_whitespace) {
                Some(("profile", rest)) if is_config => rest.trim(),
                _ if is_config && section != "default" => "",
                _ => section,
            };
            inside = !section.is_empty() && section.trim_matches('"') == name;
            nested = false;
            if inside {
                found.get_or_insert_with(Profile::default);
            }
            continue;
        }
        // Indented lines below a key without value belong to that key.
        if nested && line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((key, value)) = trimmed.split_once('=') else { continue };
        nested = value.trim().is_empty();
        if inside && let Some(profile) = found {
            profile.values.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(config: &str, credentials: &str, name: &str) -> Option<Profile> {
        let folder = tempfile::tempdir().unwrap();
        let path = |file: &str| folder.path().join(file);
        std::fs::write(path("config"), config).unwrap();
        std::fs::write(path("credentials"), credentials).unwrap();
        read(&path("credentials"), &path("config"), name).unwrap()
    }

    #[test]
    fn a_profile_is_taken_from_both_files_and_no_other_profile_leaks_in() {
        let config = "[default]\nregion = eu-west-1\n[profile team]\ns3 =\n  region = nested\n\
                      region=us-west-2\naws_secret_access_key = from-config\n[team]\nregion = wrong\n";
        let credentials = "# comment\n[default]\naws_access_key_id = D\n; comment\n[team]\r\n\
                           AWS_ACCESS_KEY_ID=T\r\naws_secret_access_key = a=b/c+d==\n";
        let team = parse(config, credentials, "team").unwrap();
        assert_eq!(team.get("region"), Some("us-west-2"));
        assert_eq!(team.get("aws_access_key_id"), Some("T"));
        assert_eq!(team.get("aws_secret_access_key"), Some("a=b/c+d=="));
        assert_eq!(team.get("aws_session_token"), None);
        let default = parse(config, credentials, "default").unwrap();
        assert_eq!(default.get("region"), Some("eu-west-1"));
        assert_eq!(default.get("aws_access_key_id"), Some("D"));
        assert!(parse(config, credentials, "other").is_none());
    }

    #[test]
    fn missing_files_are_empty_and_huge_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert!(read(&missing, &missing, "default").unwrap().is_none());
        let huge = folder.path().join("huge");
        std::fs::write(&huge, vec![b'#'; FILE_MAX_BYTES as usize + 1]).unwrap();
        assert!(read(&huge, &missing, "default").is_err());
    }
}
