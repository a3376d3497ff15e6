//! Choosing snapshots and paths: what people write on the command line, and what it names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use crate::base::id::hex;
use crate::base::limits::NAME_MAX_BYTES;
use crate::base::parse::ParseError;
use crate::base::{SnapshotId, Time};

/// How many ids an error names when a prefix fits several.
pub const CANDIDATE_COUNT_MAX: usize = 5;
/// Longest pattern taken, in bytes.
pub const PATTERN_MAX_BYTES: usize = NAME_MAX_BYTES as usize;

/// What people see of a snapshot in lists, and what filters look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// The id.
    pub id: SnapshotId,
    /// The time of the snapshot.
    pub time: Time,
    /// The host it was made on.
    pub host: String,
    /// The user who made it.
    pub user: String,
    /// The job; empty when none.
    pub job: String,
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// Paths as backed up, sorted, raw bytes.
    pub paths: Vec<Vec<u8>>,
    /// Regular files in it.
    pub file_count: u64,
    /// Content of all its files.
    pub content_size_bytes: u64,
    /// What its run added to the repository.
    pub stored_size_bytes: u64,
    /// The snapshot it was compared with.
    pub parent: Option<SnapshotId>,
}

/// Why no single snapshot, or no pattern, could be made of the text.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The id prefix fits no snapshot.
    #[error("no snapshot '{text}' in this repository; 'snap snapshots' lists what is there")]
    Unknown {
        /// The prefix.
        text: String,
    },
    /// The id prefix fits several snapshots.
    #[error("snapshot '{text}' fits {count} snapshots: {}; write more digits", shown(.candidates, *.count))]
    Ambiguous {
        /// The prefix.
        text: String,
        /// The first fitting ids in order, at most [`CANDIDATE_COUNT_MAX`].
        candidates: Vec<SnapshotId>,
        /// How many fit.
        count: usize,
    },
    /// There are not enough snapshots that pass the filter.
    #[error("no snapshot '{text}': {passing} of {present} snapshots pass the given filters")]
    NoneMatch {
        /// What was asked for.
        text: String,
        /// How many snapshots pass the filter.
        passing: usize,
        /// How many snapshots there are.
        present: usize,
    },
    /// The pattern is too long or not a glob.
    #[error("'{text}' is not a pattern such as *.sql")]
    Pattern {
        /// The pattern.
        text: String,
        /// What is wrong with it; none when it is empty or too long.
        source: Option<globset::Error>,
    },
}

fn shown(candidates: &[SnapshotId], count: usize) -> String {
    let mut text = candidates.iter().map(|id| hex(&id.0[..8])).collect::<Vec<_>>().join(", ");
    if count > candidates.len() {
        text.push_str(", …");
    }
    text
}

/// Names one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotRef {
    /// The newest snapshot that passes the filter, or the one `back` before it.
    Latest {
        /// How many newer snapshots to pass over.
        back: u32,
    },
    /// The only snapshot whose id begins so: 1 to 64 lower-case hexadecimal digits.
    Prefix(String),
}

impl SnapshotRef {
    /// Reads `latest`, `latest~N` or the first digits of an id, in either case.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let read = || {
            let text = str::from_utf8(text).ok()?;
            if let Some(rest) = text.strip_prefix("latest") {
                let back = match rest.strip_prefix('~') {
                    Some(digits) if digits.bytes().all(|c| c.is_ascii_digit()) => digits.parse().ok()?,
                    None if rest.is_empty() => 0,
                    _ => return None,
                };
                return Some(Self::Latest { back });
            }
            let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_hexdigit());
            let fits = digits && text.len() <= SnapshotId::SIZE_BYTES * 2;
            fits.then(|| Self::Prefix(text.to_ascii_lowercase()))
        };
        read().ok_or_else(|| ParseError::new(text, "a snapshot", "latest, latest~1 or 3f2a91c0"))
    }
}

impl std::fmt::Display for SnapshotRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest { back: 0 } => f.write_str("latest"),
            Self::Latest { back } => write!(f, "latest~{back}"),
            Self::Prefix(digits) => f.write_str(digits),
        }
    }
}

/// A snapshot and, where given, a path in it: `SNAP[:PATH]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The snapshot.
    pub snapshot: SnapshotRef,
    /// The path as written after the first colon, not empty.
    pub path: Option<Vec<u8>>,
}

impl Selector {
    /// Reads `SNAP[:PATH]`. The path is everything after the first colon, raw, and may hold colons itself.
    ///
    /// # Errors
    /// No snapshot before the colon, or nothing after it: a variable that a script left empty must not widen
    /// the choice to everything (`SNAP:/` names all).
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let (snapshot, path) = match text.iter().position(|&byte| byte == b':') {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        if path.is_some_and(<[u8]>::is_empty) {
            let expected = "a snapshot with a path after the colon";
            return Err(ParseError::new(text, expected, "latest:/etc or latest:/"));
        }
        Ok(Self { snapshot: SnapshotRef::parse(snapshot)?, path: path.map(<[u8]>::to_vec) })
    }
}

/// Which snapshots to look at; an empty list asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnapshotFilter {
    /// The host is one of these.
    pub hosts: Vec<String>,
    /// The job is one of these.
    pub jobs: Vec<String>,
    /// The snapshot has every tag of at least one of these lists.
    pub tags: Vec<Vec<String>>,
    /// Every one of these is among the paths backed up; a slash at the end does not matter.
    pub paths: Vec<Vec<u8>>,
}

impl SnapshotFilter {
    /// Returns whether the filter lets everything pass.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether `snapshot` passes: it meets each of the lists that are not empty.
    pub fn matches(&self, snapshot: &SnapshotSummary) -> bool {
        let has_all = |tags: &Vec<String>| tags.iter().all(|tag| snapshot.tags.contains(tag));
        let has_path =
            |path: &Vec<u8>| snapshot.paths.iter().any(|has| trim_end_slashes(has) == trim_end_slashes(path));
        (self.hosts.is_empty() || self.hosts.contains(&snapshot.host))
            && (self.jobs.is_empty() || self.jobs.contains(&snapshot.job))
            && (self.tags.is_empty() || self.tags.iter().any(has_all))
            && self.paths.iter().all(has_path)
    }
}

fn trim_end_slashes(path: &[u8]) -> &[u8] {
    let kept = path.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    // The root is only slashes; it stays apart from the empty path.
    if kept == 0 && !path.is_empty() { b"/" } else { &path[..kept] }
}

/// Returns the one snapshot of `snapshots` that `reference` names. `latest` counts from the newest by time,
/// then id, among those that pass `filter`; an id prefix names its snapshot whatever the filter says.
///
/// # Errors
/// [`SelectError::Unknown`] and [`SelectError::Ambiguous`] for a prefix, [`SelectError::NoneMatch`] for
/// `latest`.
pub fn resolve(
    reference: &SnapshotRef,
    snapshots: &[SnapshotSummary],
    filter: &SnapshotFilter,
) -> Result<SnapshotId, SelectError> {
    match reference {
        SnapshotRef::Prefix(prefix) => resolve_prefix(prefix, snapshots),
        SnapshotRef::Latest { back } => {
            let mut passing: Vec<_> =
                snapshots.iter().filter(|s| filter.matches(s)).map(|s| (s.time, s.id)).collect();
            passing.sort_unstable_by(|a, b| b.cmp(a));
            // An id listed twice is one snapshot.
            passing.dedup();
            let wanted = usize::try_from(*back).ok().and_then(|back| passing.get(back));
            wanted.map(|&(_, id)| id).ok_or_else(|| SelectError::NoneMatch {
                text: reference.to_string(),
                passing: passing.len(),
                present: snapshots.len(),
            })
        }
    }
}

fn resolve_prefix(prefix: &str, snapshots: &[SnapshotSummary]) -> Result<SnapshotId, SelectError> {
    let mut fitting: Vec<SnapshotId> =
        snapshots.iter().map(|s| s.id).filter(|id| id.to_string().starts_with(prefix)).collect();
    fitting.sort_unstable();
    fitting.dedup();
    let text = prefix.to_owned();
    match fitting[..] {
        [] => Err(SelectError::Unknown { text }),
        [id] => Ok(id),
        _ => {
            let count = fitting.len();
            fitting.truncate(CANDIDATE_COUNT_MAX);
            Err(SelectError::Ambiguous { text, candidates: fitting, count })
        }
    }
}

/// A glob over paths of a snapshot, as `find` takes it.
///
/// Without a slash it is matched with the name alone. With a slash at its start it is matched with the whole
/// path, with a slash elsewhere with the end of the path from any component on. `*` and `?` stop at slashes,
/// `**` does not; `[a-z]` and `{a,b}` choose; a backslash takes the next character as it is. `?` and `[…]`
/// stand for one byte: a letter beyond ASCII takes `*` or `{ä,ö}`.
#[derive(Debug, Clone)]
pub struct MatchPattern {
    matcher: GlobMatcher,
    name_only: bool,
    ignore_case: bool,
}

impl MatchPattern {
    /// Reads a pattern of at most [`PATTERN_MAX_BYTES`]; with `ignore_case` upper and lower case are one.
    ///
    /// # Errors
    /// [`SelectError::Pattern`] for what is empty, too long or not a glob.
    pub fn parse(text: &str, ignore_case: bool) -> Result<Self, SelectError> {
        let refused = |source| SelectError::Pattern { text: ParseError::new(text, "", "").text, source };
        if text.is_empty() || text.len() > PATTERN_MAX_BYTES {
            return Err(refused(None));
        }
        let name_only = !text.contains('/');
        let mut glob = match text.strip_prefix('/') {
            None if !name_only => format!("**/{text}"),
            None => text.to_owned(),
            Some(rest) => rest.to_owned(),
        };
        if ignore_case {
            glob = String::from_utf8_lossy(&lowercase(glob.as_bytes())).into_owned();
        }
        let built = GlobBuilder::new(&glob).literal_separator(true).backslash_escape(true).build();
        let matcher = built.map_err(|error| refused(Some(error)))?.compile_matcher();
        Ok(Self { matcher, name_only, ignore_case })
    }

    /// Returns whether `path` (raw bytes, components joined by slashes, with or without one at the start)
    /// matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        let start = path.iter().position(|&byte| byte != b'/').unwrap_or(path.len());
        let mut path = trim_end_slashes(&path[start..]);
        if self.name_only {
            path = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        }
        let lowered;
        if self.ignore_case {
            lowered = lowercase(path);
            path = &lowered;
        }
        self.matcher.is_match(Path::new(OsStr::from_bytes(path)))
    }
}

/// Lowers what is text and leaves other bytes alone. Each character by itself: a sigma at the end of a
/// pattern may stand in the middle of a name.
fn lowercase(path: &[u8]) -> Vec<u8> {
    let mut lowered = Vec::with_capacity(path.len());
    for part in path.utf8_chunks() {
        let text: String = part.valid().chars().flat_map(char::to_lowercase).collect();
        lowered.extend_from_slice(text.as_bytes());
        lowered.extend_from_slice(part.invalid());
    }
    lowered
}

#[cfg(test)]
mod tests;
