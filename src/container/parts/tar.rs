//! Tar archives: members by name. In one that `pg_dump -Ft` wrote the names are those of the tables.

use super::Found;
use super::fields::{Field, Fields};
use super::postgres::PostgresScanner;
use crate::source::{is_tar, octal};

const RECORD_BYTES: usize = 512;
/// Longest extended header that is read; longer ones are passed over.
const EXTENDED_MAX_BYTES: usize = Field::BYTES_MAX;
/// The member that names the others in an archive of `pg_dump`.
const CONTENTS: &[u8] = b"toc.dat";
/// More than its header has.
const CONTENTS_HEAD_BYTES: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Record,
    /// A header of the next member: its flag and length.
    Extended(u8, usize),
    /// The table of contents of a PostgreSQL archive, so many bytes.
    Contents(u64),
    /// So many bytes, padding among them.
    Skip(u64),
    Over,
}

/// Scans an archive.
#[derive(Debug, Default)]
pub(super) struct TarScanner {
    fields: Fields,
    state: State,
    /// Name and size of the next member, from its extended headers.
    next_name: Option<Vec<u8>>,
    next_bytes: Option<u64>,
    has_members: bool,
    /// First bytes of the table of contents, until its header is whole.
    contents_head: Vec<u8>,
    contents: Option<PostgresScanner>,
}

impl TarScanner {
    /// Tells whether there is more to find.
    pub(super) fn feed(&mut self, offset: u64, bytes: &[u8], found: &mut Found) -> bool {
        let mut rest = bytes;
        let end = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        while self.state != State::Over {
            let before = rest;
            let value = match self.state {
                State::Skip(length) => self.fields.take(Field::Skip(length), &mut rest),
                State::Extended(_, length) => self.fields.take(Field::Bytes(length), &mut rest),
                State::Contents(length) => {
                    let value = self.fields.take(Field::Skip(length), &mut rest);
                    self.read_contents(&before[..before.len() - rest.len()]);
                    value
                }
                State::Record | State::Over => self.fields.take(Field::Bytes(RECORD_BYTES), &mut rest),
            };
            let Some(value) = value else { return true };
            let at = end.saturating_sub(u64::try_from(rest.len()).unwrap_or(0));
            self.state = match self.state {
                State::Record => self.member(&value, at, found),
                State::Extended(flag, length) => {
                    self.extended(flag, &value);
                    skip(padding(length))
                }
                State::Contents(length) => skip(padding(usize::try_from(length).unwrap_or(0))),
                State::Skip(_) | State::Over => State::Record,
            };
        }
        false
    }

    fn read_contents(&mut self, bytes: &[u8]) {
        let mut none = Found::default();
        let missing = CONTENTS_HEAD_BYTES - self.contents_head.len();
        let (head, rest) = bytes.split_at(bytes.len().min(missing));
        self.contents_head.extend_from_slice(head);
        if missing > 0 && head.len() == missing {
            self.contents = PostgresScanner::new(&self.contents_head);
            if let Some(contents) = &mut self.contents {
                contents.feed(0, &self.contents_head, &mut none);
            }
        }
        if let Some(contents) = &mut self.contents {
            contents.feed(0, rest, &mut none);
        }
    }

    /// Judges the header of a member, behind which `at` is.
    fn member(&mut self, record: &[u8], at: u64, found: &mut Found) -> State {
        if record.iter().all(|byte| *byte == 0) {
            return State::Over;
        }
        let size = self.next_bytes.take().or_else(|| size_of(record.get(124..136)?));
        let (Some(size), true) = (size.filter(|size| *size <= u64::MAX >> 1), is_tar(record)) else {
            found.is_cut = true;
            return State::Over;
        };
        let padded = size.next_multiple_of(512);
        let flag = record.get(156).copied().unwrap_or(0);
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        match flag {
            b'x' | b'L' if length <= EXTENDED_MAX_BYTES => State::Extended(flag, length),
            b'x' | b'g' | b'L' | b'K' => skip(padded),
            0 | b'0' | b'7' => {
                let file = self.next_name.take().unwrap_or_else(|| name_of(record));
                let is_first = !std::mem::replace(&mut self.has_members, true);
                let name = self.contents.as_ref().and_then(|contents| contents.name_of_file(&file));
                found.push(name.unwrap_or(&file), at, at.saturating_add(size), false);
                if is_first && file == CONTENTS { State::Contents(size) } else { skip(padded) }
            }
            // Links and folders may have a size without data; a sparse file may have more headers.
            b'S' if record.get(482).is_some_and(|more| *more != 0) => {
                found.is_cut = true;
                State::Over
            }
            b'1'..=b'6' => {
                self.next_name = None;
                State::Record
            }
            _ => {
                self.next_name = None;
                skip(padded)
            }
        }
    }

    fn extended(&mut self, flag: u8, bytes: &[u8]) {
        if flag == b'L' {
            let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            self.next_name = Some(super::shortened(&bytes[..length]).to_vec());
            return;
        }
        let mut rest = bytes;
        // Records: their length, a space, `key=value` and a line end.
        while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
            let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u64>().ok();
            let length = number(&rest[..space]).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
            let Some(record) = rest.get(space + 1..length.saturating_sub(1)) else { return };
            if let Some(path) = record.strip_prefix(b"path=") {
                self.next_name = Some(super::shortened(path).to_vec());
            } else if let Some(size) = record.strip_prefix(b"size=") {
                self.next_bytes = number(size);
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

fn skip(length: u64) -> State {
    if length == 0 { State::Record } else { State::Skip(length) }
}

fn padding(length: usize) -> u64 {
    u64::try_from(length.next_multiple_of(RECORD_BYTES) - length).unwrap_or(0)
}

fn name_of(record: &[u8]) -> Vec<u8> {
    let text = |from: usize, to: usize| {
        let field = record.get(from..to).unwrap_or_default();
        &field[..field.iter().position(|byte| *byte == 0).unwrap_or(field.len())]
    };
    let prefix = if record.get(257..263) == Some(b"ustar\0") { text(345, 500) } else { b"" };
    match prefix {
        b"" => text(0, 100).to_vec(),
        prefix => [prefix, b"/", text(0, 100)].concat(),
    }
}

/// Reads a size: octal, or with the upper bit of the first byte set the bytes of the number.
fn size_of(field: &[u8]) -> Option<u64> {
    match field.split_first()? {
        (0x80, bytes) => {
            bytes.iter().try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)))
        }
        _ => octal(field),
    }
}
