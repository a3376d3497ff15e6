//! The file of a witness: lines of text, the last of which is a digest of those before it.
//!
//! ```text
//! snap witness 1
//! location /srv/backup
//! repository 00112233445566778899aabbccddeeff
//! config 1 <digest>
//! lease 12 free
//! present <snapshot> <seconds>
//! dropped <snapshot> <seconds>
//! end <digest>
//! ```

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::{FromStr, Lines};

use super::{Seen, Stored};
use crate::base::durable::{Temporary, make_folder, sync_folder};
use crate::base::escape::escape_name;
use crate::base::id::unhex;
use crate::base::{Entropy, SnapshotId};
use crate::repository::{ConfigIdentity, LeaseTrace};

/// Limit: one witness file.
const FILE_MAX_BYTES: u64 = 128 << 10;

/// How a witness file begins.
const HEAD: &str = "snap witness 1";

/// What this host last saw cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The system failed to read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Its content is not what was written.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: String,
    },
    /// The system failed to write.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

fn name(path: &Path) -> String {
    escape_name(path.as_os_str().as_encoded_bytes())
}

pub(super) fn read(path: &Path) -> Result<Option<Seen>, WitnessError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(WitnessError::Read { path: name(path), source }),
        Ok(_) => {}
    }
    let text = std::str::from_utf8(&bytes).ok().and_then(decode);
    text.map(Some).ok_or_else(|| WitnessError::Damaged { path: name(path) })
}

/// Writes the file whole, or leaves what is there.
pub(super) fn write(
    folder: &Path,
    path: &Path,
    location: &str,
    seen: &Seen,
    entropy: &dyn Entropy,
) -> Result<(), WitnessError> {
    let written = make_folder(folder)
        .and_then(|()| Temporary::write(folder, encode(location, seen).as_bytes(), entropy))
        .and_then(|temporary| temporary.place_over(path))
        .and_then(|()| sync_folder(folder));
    written.map_err(|source| WitnessError::Write { path: name(path), source })
}

pub(super) fn encode(location: &str, seen: &Seen) -> String {
    let state = if seen.lease.is_held { "held" } else { "free" };
    let digest = blake3::Hash::from_bytes(seen.config.digest);
    let mut text = format!(
        "{HEAD}\nlocation {}\nrepository {}\nconfig {} {digest}\nlease {} {state}\n",
        escape_name(location.as_bytes()),
        seen.repository,
        seen.config.number,
        seen.lease.writes
    );
    for (word, snapshots) in [("present", &seen.present), ("dropped", &seen.dropped)] {
        for (id, seconds) in snapshots {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{word} {id} {seconds}");
        }
    }
    let digest = blake3::hash(text.as_bytes());
    let _ = writeln!(text, "end {digest}");
    text
}

pub(super) fn decode(text: &str) -> Option<Seen> {
    let body = text.get(..text.len().checked_sub("end \n".len() + 64)?)?;
    if text.get(body.len()..)? != format!("end {}\n", blake3::hash(body.as_bytes())) {
        return None;
    }
    let mut lines = body.lines();
    if lines.next()? != HEAD {
        return None;
    }
    field(&mut lines, "location ")?;
    let repository = field(&mut lines, "repository ")?.parse().ok()?;
    let (number, digest) = field(&mut lines, "config ")?.split_once(' ')?;
    let config = ConfigIdentity { number: number.parse().ok()?, digest: unhex(digest)?.try_into().ok()? };
    let (writes, state) = field(&mut lines, "lease ")?.split_once(' ')?;
    let lease = LeaseTrace { writes: writes.parse().ok()?, is_held: state == "held" };
    let (mut present, mut dropped) = (Stored::new(), Stored::new());
    for line in lines {
        match line.split_once(' ')? {
            ("present", rest) => present.extend([snapshot(rest)?]),
            ("dropped", rest) => dropped.extend([snapshot(rest)?]),
            _ => return None,
        }
    }
    Some(Seen { repository, config, lease, present, dropped })
}

fn field<'a>(lines: &mut Lines<'a>, word: &str) -> Option<&'a str> {
    lines.next()?.strip_prefix(word)
}

fn snapshot(text: &str) -> Option<(SnapshotId, i64)> {
    let (id, seconds) = text.split_once(' ')?;
    Some((SnapshotId::from_str(id).ok()?, seconds.parse().ok()?))
}
