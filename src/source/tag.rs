//! Files whose presence says that a directory need not be stored.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{FileType, OFlags, fstat};

use super::filter::FilterError;
use super::listing::open_quietly;
use crate::base::escape::escape_name;
use crate::base::limits::NAME_MAX_BYTES;

/// Longest header that is compared.
const HEADER_MAX_BYTES: usize = 4_096;

/// A file whose presence excludes what else is in its directory. The directory itself and the tag file stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagFile {
    name: Vec<u8>,
    header: Vec<u8>,
}

impl TagFile {
    /// Returns the tag of the Cache Directory Tagging Specification: `CACHEDIR.TAG` with its signature.
    pub fn cache() -> Self {
        Self {
            name: b"CACHEDIR.TAG".to_vec(),
            header: b"Signature: 8a477f597d28d172789f06886806bc55".to_vec(),
        }
    }

    /// Parses `NAME` or `NAME:HEADER`; with a header the file counts only when it starts with it.
    ///
    /// # Errors
    /// When the name is empty, too long or a path, or the header is longer than 4096 bytes.
    pub fn parse(text: &OsStr) -> Result<Self, FilterError> {
        let bytes = text.as_bytes();
        let (name, header) = match bytes.iter().position(|byte| *byte == b':') {
            Some(colon) => (&bytes[..colon], &bytes[colon + 1..]),
            None => (bytes, &b""[..]),
        };
        let refuse = |reason: &str| FilterError { pattern: escape_name(bytes), reason: reason.to_owned() };
        if name.is_empty() || name.len() as u64 > NAME_MAX_BYTES {
            return Err(refuse("the name of a tag file has 1 to 4096 bytes"));
        }
        if matches!(name, b"." | b"..") || name.contains(&b'/') || name.contains(&0) {
            return Err(refuse("a tag file is a name, not a path"));
        }
        if header.len() > HEADER_MAX_BYTES {
            return Err(refuse("the header of a tag file has at most 4096 bytes"));
        }
        Ok(Self { name: name.to_vec(), header: header.to_vec() })
    }

    /// Returns the name of the file.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Tells whether the file of this name in `directory`, which is known to be there, counts. One that
    /// cannot be read does not: storing too much loses nothing.
    pub(super) fn counts_in(&self, directory: BorrowedFd<'_>) -> bool {
        self.header.is_empty() || self.has_header(directory).unwrap_or(false)
    }

    fn has_header(&self, directory: BorrowedFd<'_>) -> std::io::Result<bool> {
        let name = OsString::from_vec(self.name.clone());
        let fd = open_quietly(directory, &name, OFlags::empty())?;
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Ok(false);
        }
        let mut start = Vec::with_capacity(self.header.len());
        File::from(fd).take(self.header.len() as u64).read_to_end(&mut start)?;
        Ok(start == self.header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_name_with_an_optional_header() {
        let tag = |text: &str| TagFile::parse(OsStr::new(text));
        assert_eq!(tag(".nobackup").unwrap(), TagFile { name: b".nobackup".to_vec(), header: Vec::new() });
        assert_eq!(tag("a:b:c").unwrap(), TagFile { name: b"a".to_vec(), header: b"b:c".to_vec() });
        for bad in ["", ":x", "a/b", "..", "."] {
            assert!(tag(bad).is_err(), "{bad:?} is refused");
        }
    }
}
