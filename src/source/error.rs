//! A source that could not be read: never the fault of the repository.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::base::escape::escape_name;

/// One source could not be read. The run may go on; whoever runs it names the path and counts it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", escape_name(path))]
pub struct SourceError {
    /// The path as the system knows it, raw bytes.
    pub path: Vec<u8>,
    /// What was tried, a verb that the path can follow.
    pub action: &'static str,
    /// Why it failed.
    #[source]
    pub error: std::io::Error,
}

impl SourceError {
    /// Returns the failure of `action` on `path`.
    pub fn new(path: &Path, action: &'static str, error: impl Into<std::io::Error>) -> Self {
        Self { path: path.as_os_str().as_bytes().to_vec(), action, error: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    #[test]
    fn the_text_names_action_and_escaped_path_and_the_cause_is_its_source() {
        let error = SourceError::new(Path::new("/a\nb"), "open", std::io::Error::other("cause"));
        assert_eq!(error.to_string(), "cannot open /a\\u{a}b");
        assert_eq!(error.source().unwrap().to_string(), "cause");
    }
}
