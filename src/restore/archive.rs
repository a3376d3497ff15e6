//! A folder as a tar archive to a stream: POSIX headers, with pax records for what they cannot hold.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use tar::{Builder, EntryType, Header};

use super::RestoreError;
use super::options::DumpStats;
use super::stream::{Piece, Pieces, stream};
use super::walk::{Start, resolve};
use crate::base::Phase;
use crate::format::node::{FileContent, Node, NodeKind};
use crate::format::snapshot::Snapshot;
use crate::format::wire::length;
use crate::repository::{ChunkReader, Repository};

/// Hard-link groups kept; files of further groups are written one by one.
const GROUPS_KEPT_MAX: usize = 1 << 20;
/// Longest name and link target that a header holds itself.
const HEADER_NAME_MAX_BYTES: usize = 100;
/// Greatest size that a header holds in octal digits.
const HEADER_SIZE_MAX_BYTES: u64 = 0o77_777_777_777;
/// Greatest user or group number that a header holds in octal digits.
const HEADER_OWNER_MAX: u32 = 0o7_777_777;

struct Archive<'a> {
    repository: &'a Repository,
    builder: Builder<&'a mut dyn Write>,
    groups: HashMap<(u64, u64), (Vec<u8>, u64, FileContent)>,
    stats: DumpStats,
}

/// Writes what is at `path` (a folder without its own name, or one entry) to `out` as a tar archive, sorted.
///
/// Sockets are left out. The archive restores with GNU tar: `tar --xattrs -xp`.
///
/// # Errors
/// [`RestoreError::Output`] when `out` fails; [`RestoreError::Content`] when a chunk is damaged: the archive
/// ends there.
pub fn dump_tar(
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    path: Option<&[u8]>,
    out: &mut dyn Write,
) -> Result<DumpStats, RestoreError> {
    let reader = ChunkReader::new(repository);
    let scope = resolve(&reader, snapshot, path)?;
    repository.progress().begin(Phase::Restore, None, None);
    let outcome = stream(&reader, &scope, |pieces| {
        let mut archive = Archive {
            repository,
            builder: Builder::new(out),
            groups: HashMap::new(),
            stats: DumpStats::default(),
        };
        if let Start::Directory(_, Some(node)) = &scope.start {
            archive.entry(b".", node, pieces)?;
        }
        while let Some(piece) = pieces.next()? {
            repository.check_stop()?;
            if let Piece::Entry { path, node } = piece {
                archive.entry(&path, &node, pieces)?;
            }
        }
        archive.builder.into_inner().and_then(Write::flush).map_err(RestoreError::Output)?;
        Ok(archive.stats)
    });
    repository.progress().end();
    outcome
}

impl Archive<'_> {
    fn entry(&mut self, path: &[u8], node: &Node, pieces: &mut Pieces) -> Result<(), RestoreError> {
        if node.kind == NodeKind::Socket {
            self.stats.left_out += 1;
            return Ok(());
        }
        self.stats.entries += 1;
        self.repository.progress().current(path);
        let mut header = header_of(node);
        let mut records = Vec::new();
        let mut name = path.to_vec();
        if node.is_directory() {
            name.push(b'/');
        }
        self.set_name(&mut header, &mut records, &name)?;
        let first = self.first_name_of(path, node);
        match (&node.kind, &first) {
            (NodeKind::Symlink { target }, _) => self.set_link(&mut header, &mut records, target)?,
            (_, Some(first)) => {
                header.set_entry_type(EntryType::Link);
                header.set_size(0);
                self.set_link(&mut header, &mut records, first)?;
            }
            _ => {}
        }
        self.stats.left_out += add_records(node, first.is_none(), &mut records);
        header.set_cksum();
        let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        self.builder.append_pax_extensions(records).map_err(RestoreError::Output)?;
        let is_file = matches!(node.kind, NodeKind::File { .. });
        let holds_content = is_file && first.is_none();
        let mut content = ContentReader { pieces, rest: Bytes::new(), failure: None, read_bytes: 0 };
        let outcome = match holds_content {
            true => self.builder.append(&header, &mut content),
            false => self.builder.append(&header, io::empty()),
        };
        let (failure, read_bytes) = (content.failure.take(), content.read_bytes);
        if let Some(error) = failure {
            return Err(error);
        }
        outcome.map_err(RestoreError::Output)?;
        // The content of a further name is in the stream too.
        while pieces.next_content()?.is_some() {}
        self.stats.files += u64::from(is_file);
        self.stats.content_bytes += read_bytes;
        self.repository.progress().advance(u64::from(is_file), read_bytes);
        Ok(())
    }

    /// Returns the first name of the hard-link group of `node`, if this is a further one with the same
    /// content.
    fn first_name_of(&mut self, path: &[u8], node: &Node) -> Option<Vec<u8>> {
        let NodeKind::File { size_bytes, content, .. } = &node.kind else { return None };
        let key = (node.link_device?, node.inode);
        if let Some((first, first_bytes, first_content)) = self.groups.get(&key) {
            return (first_bytes == size_bytes && first_content == content).then(|| first.clone());
        }
        if self.groups.len() < GROUPS_KEPT_MAX {
            self.groups.insert(key, (path.to_vec(), *size_bytes, content.clone()));
        }
        None
    }

    fn set_name(
        &mut self,
        header: &mut Header,
        records: &mut Vec<(String, Vec<u8>)>,
        name: &[u8],
    ) -> Result<(), RestoreError> {
        if name.len() > HEADER_NAME_MAX_BYTES {
            self.set_long("path", b'L', name, records)?;
        }
        put(&mut header.as_old_mut().name, name);
        Ok(())
    }

    fn set_link(
        &mut self,
        header: &mut Header,
        records: &mut Vec<(String, Vec<u8>)>,
        target: &[u8],
    ) -> Result<(), RestoreError> {
        if target.len() > HEADER_NAME_MAX_BYTES {
            self.set_long("linkpath", b'K', target, records)?;
        }
        put(&mut header.as_old_mut().linkname, target);
        Ok(())
    }

    /// A pax record must be UTF-8; other long names go into the older GNU entry, which takes all bytes.
    fn set_long(
        &mut self,
        key: &str,
        kind: u8,
        text: &[u8],
        records: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<(), RestoreError> {
        if std::str::from_utf8(text).is_ok() {
            records.push((key.to_owned(), text.to_vec()));
            return Ok(());
        }
        let mut header = Header::new_gnu();
        put(&mut header.as_old_mut().name, b"././@LongLink");
        header.set_mode(0o644);
        header.set_entry_type(EntryType::new(kind));
        header.set_size(length(text.len()) + 1);
        header.set_cksum();
        self.builder.append(&header, text.chain(&[0][..])).map_err(RestoreError::Output)
    }
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let count = field.len().min(bytes.len());
    field[..count].copy_from_slice(&bytes[..count]);
}

fn header_of(node: &Node) -> Header {
    let mut header = Header::new_ustar();
    header.set_mode(node.mode);
    header.set_uid(u64::from(node.uid.min(HEADER_OWNER_MAX)));
    header.set_gid(u64::from(node.gid.min(HEADER_OWNER_MAX)));
    header.set_mtime(u64::try_from(node.mtime.seconds).unwrap_or(0).min(HEADER_SIZE_MAX_BYTES));
    header.set_size(node.size_bytes());
    if let Some(ustar) = header.as_ustar_mut() {
        put(&mut ustar.uname[..31], node.user.as_bytes());
        put(&mut ustar.gname[..31], node.group.as_bytes());
    }
    header.set_entry_type(match &node.kind {
        NodeKind::File { .. } | NodeKind::Socket => EntryType::Regular,
        NodeKind::Directory { .. } => EntryType::Directory,
        NodeKind::Symlink { .. } => EntryType::Symlink,
        NodeKind::Fifo => EntryType::Fifo,
        NodeKind::CharDevice { .. } => EntryType::Char,
        NodeKind::BlockDevice { .. } => EntryType::Block,
    });
    if let (NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor }, Some(ustar)) =
        (&node.kind, header.as_ustar_mut())
    {
        ustar.set_device_major(*major);
        ustar.set_device_minor(*minor);
    }
    header
}

/// Adds the pax records of what the header cannot hold. Returns how many attributes have no record.
fn add_records(node: &Node, has_content: bool, records: &mut Vec<(String, Vec<u8>)>) -> u64 {
    let mut left_out = 0;
    let time = node.mtime;
    if time.nanoseconds != 0 || time.seconds < 0 || time.seconds.unsigned_abs() > HEADER_SIZE_MAX_BYTES {
        records.push(("mtime".to_owned(), decimal_time(time).into_bytes()));
    }
    for (key, number) in [("uid", node.uid), ("gid", node.gid)] {
        if number > HEADER_OWNER_MAX {
            records.push((key.to_owned(), number.to_string().into_bytes()));
        }
    }
    if has_content && node.size_bytes() > HEADER_SIZE_MAX_BYTES {
        records.push(("size".to_owned(), node.size_bytes().to_string().into_bytes()));
    }
    for (name, value) in &node.xattrs {
        match std::str::from_utf8(name).ok().filter(|name| !name.contains('=')) {
            Some(name) => records.push((format!("SCHILY.xattr.{name}"), value.clone())),
            None => left_out += 1,
        }
    }
    left_out
}

/// Returns seconds with nine places; those before 1970 count down from zero.
fn decimal_time(time: crate::base::Time) -> String {
    let nanoseconds = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let all = nanoseconds.unsigned_abs();
    format!("{sign}{}.{:09}", all / 1_000_000_000, all % 1_000_000_000)
}

/// The content of one file as it comes.
struct ContentReader<'p> {
    pieces: &'p mut Pieces,
    rest: Bytes,
    failure: Option<RestoreError>,
    read_bytes: u64,
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            match self.pieces.next_content() {
                Ok(Some(bytes)) => self.rest = bytes,
                Ok(None) => return Ok(0),
                Err(error) => {
                    self.failure = Some(error);
                    return Err(io::Error::other("the content cannot be read"));
                }
            }
        }
        let count = buffer.len().min(self.rest.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        self.read_bytes += length(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;
    use crate::repository::testing::Entry;

    fn node(change: impl FnOnce(&mut Node)) -> Node {
        Entry::file("").with(|node| node.mtime = Time::from_seconds(7)).with(change).node
    }

    fn names_of(node: &Node, has_content: bool) -> Vec<String> {
        let mut records = Vec::new();
        add_records(node, has_content, &mut records);
        records.into_iter().map(|(name, _)| name).collect()
    }

    fn sized(size_bytes: u64) -> impl FnOnce(&mut Node) {
        move |node| {
            let content = FileContent::Inline(Vec::new());
            node.kind = NodeKind::File { size_bytes, class: 0, content };
        }
    }

    #[test]
    fn what_a_header_holds_has_no_record_and_what_it_cannot_hold_has_one() {
        let timed = |seconds, nanoseconds| {
            names_of(&node(|node| node.mtime = Time { seconds, nanoseconds }), true).concat()
        };
        assert_eq!(
            (timed(0, 0).as_str(), timed(-1, 0).as_str(), timed(0, 1).as_str()),
            ("", "mtime", "mtime")
        );
        let last = i64::try_from(HEADER_SIZE_MAX_BYTES).unwrap();
        assert_eq!((timed(last, 0).as_str(), timed(last + 1, 0).as_str()), ("", "mtime"));
        let owned = |uid, gid| {
            let change = |node: &mut Node| (node.uid, node.gid) = (uid, gid);
            names_of(&node(change), true).concat()
        };
        assert_eq!(owned(HEADER_OWNER_MAX, HEADER_OWNER_MAX), "");
        assert_eq!((owned(HEADER_OWNER_MAX + 1, 0), owned(0, u32::MAX)), ("uid".into(), "gid".into()));
        let sizes = [0, HEADER_SIZE_MAX_BYTES, HEADER_SIZE_MAX_BYTES + 1];
        let named = sizes.map(|size| names_of(&node(sized(size)), true).concat());
        assert_eq!(named, ["", "", "size"]);
        // A further name has no content, however large the file is.
        assert!(sizes.into_iter().all(|size| names_of(&node(sized(size)), false).is_empty()));
        let mut records = Vec::new();
        add_records(&node(|node| node.uid = 3_000_000_000), true, &mut records);
        assert_eq!(records, [("uid".to_owned(), b"3000000000".to_vec())]);
    }

    #[test]
    fn times_before_1970_are_written_as_they_are() {
        assert_eq!(decimal_time(Time { seconds: -2, nanoseconds: 500_000_000 }), "-1.500000000");
        assert_eq!(decimal_time(Time { seconds: 5, nanoseconds: 1 }), "5.000000001");
    }
}
