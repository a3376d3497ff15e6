//! Zip files: which members lie where.

mod forward;

pub(super) use forward::{Record, Walk};

use super::ReadAt;
use super::read::{Fields, field_at, number};

/// The first bytes of a zip file: a local header.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// Most members of a file.
const MEMBERS_MAX: u64 = 1 << 21;

/// Most bytes of the central directory.
const DIRECTORY_BYTES_MAX: u64 = 1 << 28;

/// Longest name of a member.
const NAME_BYTES_MAX: u64 = 4096;

/// Signatures.
const LOCAL: u64 = 0x0403_4b50;
const CENTRAL: u64 = 0x0201_4b50;
const END: u64 = 0x0605_4b50;
const END_64: u64 = 0x0606_4b50;
const LOCATOR_64: u64 = 0x0706_4b50;
const DESCRIPTOR: u64 = 0x0807_4b50;

/// Lengths of what is fixed in the records.
const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;
const END_64_BYTES: usize = 56;
const LOCATOR_64_BYTES: usize = 20;

/// Longest comment behind the end record.
const COMMENT_BYTES_MAX: u64 = 0xffff;

/// A 32-bit field whose value stands in a zip64 field.
const ELSEWHERE: u64 = 0xffff_ffff;

/// Flag of a member that is encrypted.
const FLAG_ENCRYPTED: u64 = 1;

/// One file of the zip file.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    /// Where its bytes begin.
    pub(super) offset: u64,
    /// How many bytes there are in the zip file.
    pub(super) length_bytes: u64,
    /// Whether they are its bytes as they are.
    pub(super) is_stored: bool,
}

/// What a record tells of a member's sizes, and where its local header is.
struct Sizes {
    stored: u64,
    raw: u64,
    local: u64,
}

impl Sizes {
    /// Takes from the extra fields what the record has no room for.
    fn widen(mut self, extra: &[u8]) -> Option<Self> {
        let mut rest = extra;
        while let (Some(kind), Some(length)) = (number::<2>(rest, 0), number::<2>(rest, 2)) {
            let end = 4 + length as usize;
            let Some(mut body) = rest.get(4..end) else { break };
            rest = rest.get(end..)?;
            if kind != 1 {
                continue;
            }
            for field in [&mut self.raw, &mut self.stored, &mut self.local] {
                if *field == ELSEWHERE
                    && let Some(value) = number::<8>(body, 0)
                {
                    *field = value;
                    body = body.get(8..)?;
                }
            }
        }
        Some(self)
    }
}

/// Returns the members that the central directory at the end of the file lists, sorted by offset. `None`
/// where there is none, where it counts from elsewhere than the beginning of the file, and where members
/// overlap: so nothing is read more than once, however often it is listed.
pub(super) fn members(source: &dyn ReadAt) -> Option<Vec<Member>> {
    let size = source.size_bytes()?;
    let directory = directory(source, size)?;
    let mut fields = Fields::new(source, directory.begin, directory.end, DIRECTORY_BYTES_MAX);
    fields.seek(directory.begin)?;
    let mut members = Vec::new();
    for _ in 0..directory.count {
        let member = member(source, &mut fields)?;
        (member.offset.checked_add(member.length_bytes)? <= directory.begin).then_some(())?;
        members.push(member);
    }
    members.sort_by_key(|member| member.offset);
    let is_apart = members.is_sorted_by(|one, next| one.offset + one.length_bytes <= next.offset);
    (is_apart && fields.position() == directory.end).then_some(members)
}

struct Directory {
    begin: u64,
    end: u64,
    count: u64,
}

fn directory(source: &dyn ReadAt, size: u64) -> Option<Directory> {
    let tail_begin = size.saturating_sub(END_BYTES as u64 + COMMENT_BYTES_MAX);
    let tail_length = size - tail_begin;
    let mut fields = Fields::new(source, tail_begin, size, tail_length);
    let tail = fields.bytes(tail_length, tail_length)?;
    let is_end = |at: &usize| {
        number::<4>(&tail, *at) == Some(END)
            && number::<2>(&tail, at + 20) == Some((tail.len() - at - END_BYTES) as u64)
    };
    let at = (0..=tail.len().checked_sub(END_BYTES)?).rev().find(is_end)?;
    let mut end = tail_begin + at as u64;
    let mut count = number::<2>(&tail, at + 10)?;
    let mut length = number::<4>(&tail, at + 12)?;
    let mut begin = number::<4>(&tail, at + 16)?;
    let locator_at = end.saturating_sub(LOCATOR_64_BYTES as u64);
    let locator = field_at::<LOCATOR_64_BYTES>(source, locator_at)
        .filter(|locator| number::<4>(locator, 0) == Some(LOCATOR_64));
    if let Some(locator) = locator {
        end = number::<8>(&locator, 8)?;
        let record: [u8; END_64_BYTES] = field_at(source, end)?;
        // In an archive behind another, the place is that of the other's record.
        let is_next = end.checked_add(number::<8>(&record, 4)?)?.checked_add(12)? == locator_at;
        (is_next && number::<4>(&record, 0)? == END_64).then_some(())?;
        count = number::<8>(&record, 32)?;
        length = number::<8>(&record, 40)?;
        begin = number::<8>(&record, 48)?;
    }
    let is_whole = begin.checked_add(length)? == end;
    let is_bounded = count <= MEMBERS_MAX && length <= DIRECTORY_BYTES_MAX;
    (is_whole && is_bounded).then_some(Directory { begin, end, count })
}

/// Reads an entry of the central directory, and from the member's local header where its bytes begin.
fn member(source: &dyn ReadAt, fields: &mut Fields) -> Option<Member> {
    let entry: [u8; CENTRAL_BYTES] = fields.take()?;
    (number::<4>(&entry, 0)? == CENTRAL).then_some(())?;
    let (flags, method) = (number::<2>(&entry, 8)?, number::<2>(&entry, 10)?);
    let name = fields.bytes(number::<2>(&entry, 28)?, NAME_BYTES_MAX)?;
    let extra = fields.bytes(number::<2>(&entry, 30)?, u64::from(u16::MAX))?;
    fields.skip(number::<2>(&entry, 32)?)?;
    let sizes = Sizes {
        stored: number::<4>(&entry, 20)?,
        raw: number::<4>(&entry, 24)?,
        local: number::<4>(&entry, 42)?,
    };
    let Sizes { stored, raw, local } = sizes.widen(&extra)?;
    let header: [u8; LOCAL_BYTES] = field_at(source, local)?;
    let is_same = number::<4>(&header, 0)? == LOCAL
        && number::<2>(&header, 8)? == method
        && number::<2>(&header, 26)? == name.len() as u64;
    is_same.then_some(())?;
    let after_name = name.len() as u64 + number::<2>(&header, 28)?;
    let offset = local.checked_add(LOCAL_BYTES as u64 + after_name)?;
    let is_stored = method == 0 && flags & FLAG_ENCRYPTED == 0 && stored == raw;
    Some(Member { name, offset, length_bytes: stored, is_stored })
}
