//! Walking a zip file from its front: for one that was cut off or split, and for several in a row.

use super::*;

/// How far the end of a member is looked for whose length nobody tells.
const SCAN_BYTES_MAX: u64 = 64 << 10;

/// How much of that is done in one file.
const SCANNED_BYTES_MAX: u64 = 64 << 20;

/// Most records that are looked at.
const RECORDS_MAX: u64 = 2 * MEMBERS_MAX;

/// Flag of a member whose sizes follow it.
const FLAG_DESCRIPTOR: u64 = 8;

/// Lengths of the record behind such a member: with sizes of 4 bytes, with sizes of 8.
const DESCRIPTOR_BYTES: u64 = 16;
const DESCRIPTOR_64_BYTES: u64 = 24;

/// What a walk meets.
#[derive(Debug)]
pub(in crate::container) enum Record {
    /// A member.
    Member(Member),
    /// The end of an archive; another may follow.
    End,
    /// What tells nothing new.
    Other,
}

/// A walk from the front, as far as records follow each other.
pub(in crate::container) struct Walk<'a> {
    source: &'a dyn ReadAt,
    position: u64,
    records: u64,
    scanned_bytes: u64,
    /// The last member reaches to where nothing can be read.
    is_over: bool,
}

impl<'a> Walk<'a> {
    pub(in crate::container) fn new(source: &'a dyn ReadAt) -> Self {
        Self { source, position: 0, records: 0, scanned_bytes: 0, is_over: false }
    }

    /// Goes over the next record. `length_of` is asked for every member, with its name and where it begins,
    /// how long it is: where the file's own records do not tell that, its answer helps.
    pub(in crate::container) fn record(
        &mut self,
        mut length_of: impl FnMut(&[u8], u64) -> Option<u64>,
    ) -> Option<Record> {
        self.records += 1;
        if self.is_over || self.records > RECORDS_MAX {
            return None;
        }
        let begin = self.position;
        let signature: [u8; 4] = field_at(self.source, begin)?;
        let length = match number::<4>(&signature, 0)? {
            LOCAL => return self.member(&mut length_of).map(Record::Member),
            CENTRAL => {
                let record: [u8; CENTRAL_BYTES] = field_at(self.source, begin)?;
                let lengths = [28, 30, 32].map(|at| number::<2>(&record, at).unwrap_or_default());
                CENTRAL_BYTES as u64 + lengths.iter().sum::<u64>()
            }
            END_64 => {
                let record: [u8; 12] = field_at(self.source, begin)?;
                number::<8>(&record, 4)?.checked_add(12)?
            }
            LOCATOR_64 => LOCATOR_64_BYTES as u64,
            END => {
                let record: [u8; END_BYTES] = field_at(self.source, begin)?;
                self.position = begin.checked_add(END_BYTES as u64 + number::<2>(&record, 20)?)?;
                return Some(Record::End);
            }
            _ => return None,
        };
        self.position = begin.checked_add(length)?;
        Some(Record::Other)
    }

    fn member(&mut self, length_of: &mut impl FnMut(&[u8], u64) -> Option<u64>) -> Option<Member> {
        let header: [u8; LOCAL_BYTES] = field_at(self.source, self.position)?;
        let name_length = number::<2>(&header, 26).filter(|length| *length <= NAME_BYTES_MAX)?;
        let extra_length = number::<2>(&header, 28)?;
        let names = self.position + LOCAL_BYTES as u64;
        let mut fields = Fields::new(self.source, names, u64::MAX, name_length + extra_length);
        let name = fields.bytes(name_length, NAME_BYTES_MAX)?;
        let extra = fields.bytes(extra_length, u64::from(u16::MAX))?;
        let offset = fields.position();
        let (flags, method) = (number::<2>(&header, 6)?, number::<2>(&header, 8)?);
        let sizes = Sizes { stored: number::<4>(&header, 18)?, raw: number::<4>(&header, 22)?, local: 0 };
        let Sizes { stored, raw, .. } = sizes.widen(&extra)?;
        let told = length_of(&name, offset);
        let is_open = flags & FLAG_DESCRIPTOR != 0;
        let length_bytes = match is_open && stored == 0 {
            true => self.open_end(offset, told)?,
            false => {
                self.position = offset.checked_add(stored)?;
                stored
            }
        };
        let is_within = self.source.size_bytes().is_none_or(|size| self.position <= size);
        let is_stored = method == 0 && flags & FLAG_ENCRYPTED == 0 && (is_open || stored == raw);
        is_within.then_some(Member { name, offset, length_bytes, is_stored })
    }

    /// Returns the length of the member at `offset`, of which a record behind it tells, and goes behind that.
    fn open_end(&mut self, offset: u64, told: Option<u64>) -> Option<u64> {
        if let Some(length) = told {
            let end = offset.checked_add(length)?;
            if self.source.size_bytes().is_none() && field_at::<1>(self.source, end).is_none() {
                (self.position, self.is_over) = (end, true);
                return Some(length);
            }
            if self.descriptor(end, length).is_some() {
                return Some(length);
            }
        }
        let rest = self.source.size_bytes().map_or(u64::MAX, |size| size.saturating_sub(offset));
        let budget = SCANNED_BYTES_MAX.checked_sub(self.scanned_bytes)?.min(SCAN_BYTES_MAX).min(rest);
        let mut bytes = vec![0; budget as usize];
        let read = self.source.read_at(offset, &mut bytes).ok()?;
        bytes.truncate(read);
        self.scanned_bytes += read as u64;
        let is_signature = |at: &usize| number::<4>(&bytes, *at) == Some(DESCRIPTOR);
        let ends = (0..bytes.len()).filter(is_signature);
        ends.map(|at| at as u64).find(|at| self.descriptor(offset + at, *at).is_some())
    }

    /// Goes behind the record at `at`, if it is there and tells this length.
    fn descriptor(&mut self, at: u64, length: u64) -> Option<()> {
        let narrow: [u8; DESCRIPTOR_BYTES as usize] = field_at(self.source, at)?;
        (number::<4>(&narrow, 0)? == DESCRIPTOR).then_some(())?;
        let wide: Option<[u8; DESCRIPTOR_64_BYTES as usize]> = field_at(self.source, at);
        let is_wide = wide.is_some_and(|wide| [8, 16].map(|at| number::<8>(&wide, at)) == [Some(length); 2]);
        let is_narrow = [8, 12].map(|at| number::<4>(&narrow, at)) == [Some(length); 2];
        // Twice a length of nothing may be either; what follows decides.
        let is_followed = field_at::<2>(self.source, at + DESCRIPTOR_BYTES).is_none_or(|next| next == *b"PK");
        self.position = match (is_narrow && is_followed, is_wide) {
            (true, _) => at + DESCRIPTOR_BYTES,
            (false, true) => at + DESCRIPTOR_64_BYTES,
            (false, false) => return None,
        };
        Some(())
    }
}
