//! SQLite databases: the table or index that each page belongs to.
//!
//! A page names those below it and the first page of each value that does not fit, so that every page leads
//! to the root of its tree; the roots' names are in the first tree. Pages that were freed may still name
//! others, so that an owner is a good guess and no more.

use super::Found;
use crate::source::sqlite_page_bytes;

/// Most pages that are followed; those beyond have no name.
const PAGE_COUNT_MAX: u32 = 1 << 22;
/// Most names that are kept.
const ROOT_COUNT_MAX: usize = 1 << 14;
/// Length of the header of the file, which the first page has before its own.
const FILE_HEADER_BYTES: usize = 100;

const INTERIOR_INDEX: u8 = 2;
const INTERIOR_TABLE: u8 = 5;
const LEAF_INDEX: u8 = 10;
const LEAF_TABLE: u8 = 13;

/// Scans a database.
#[derive(Debug)]
pub(super) struct SqliteScanner {
    page: Vec<u8>,
    page_bytes: usize,
    reserved_bytes: usize,
    number: u32,
    /// The page that leads to each page, by number less one; zero when none does.
    above: Vec<u32>,
    roots: Vec<(u32, Vec<u8>)>,
}

impl SqliteScanner {
    pub(super) fn new(head: &[u8]) -> Option<Self> {
        let page_bytes = sqlite_page_bytes(head)?;
        Some(Self {
            page: Vec::with_capacity(page_bytes),
            page_bytes,
            reserved_bytes: usize::from(*head.get(20)?),
            number: 0,
            above: Vec::new(),
            roots: Vec::new(),
        })
    }

    /// Tells whether there is more to find.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() && self.number < PAGE_COUNT_MAX {
            let (now, after) = rest.split_at(rest.len().min(self.page_bytes - self.page.len()));
            self.page.extend_from_slice(now);
            rest = after;
            if self.page.len() == self.page_bytes {
                self.number += 1;
                let page = std::mem::take(&mut self.page);
                // What cannot be read names nothing more.
                let _ = self.read_page(&page);
                self.page = page;
                self.page.clear();
            }
        }
        self.number < PAGE_COUNT_MAX
    }

    pub(super) fn finish(&mut self, found: &mut Found) {
        found.is_cut |= self.number >= PAGE_COUNT_MAX;
        self.roots.sort();
        let owners = self.owners();
        let page_bytes = u64::try_from(self.page_bytes).unwrap_or(0);
        let mut start = 0;
        let mut run: Option<(&[u8], u64)> = None;
        for owner in owners.iter().copied().chain([0]) {
            let place = self.roots.binary_search_by_key(&owner, |(root, _)| *root);
            let name = place.ok().and_then(|place| self.roots.get(place)).map(|(_, name)| name.as_slice());
            if run.map(|(name, _)| name) != name {
                if let Some((name, from)) = run {
                    found.push(name, from, start, false);
                }
                run = name.map(|name| (name, start));
            }
            start += page_bytes;
        }
    }

    /// Returns the root that each page seen leads to, itself where nothing leads to it.
    fn owners(&self) -> Vec<u32> {
        let count = usize::try_from(self.number).unwrap_or(0);
        let mut owners = vec![0_u32; count];
        let mut way = Vec::new();
        for first in 1..=self.number {
            let mut page = first;
            way.clear();
            let owner = loop {
                let at = usize::try_from(page - 1).unwrap_or(usize::MAX);
                match owners.get(at) {
                    Some(0) => {}
                    Some(known) => break *known,
                    None => break page,
                }
                let above = self.above.get(at).copied().unwrap_or(0);
                // A circle ends somewhere too.
                if above == 0 || way.len() > count {
                    break page;
                }
                way.push(page);
                page = above;
            };
            for page in way.drain(..).chain([first]) {
                if let Some(slot) = usize::try_from(page - 1).ok().and_then(|at| owners.get_mut(at)) {
                    *slot = owner;
                }
            }
        }
        owners
    }

    /// Notes where the pages lead that this one names. `None` where it breaks off; what was noted stays.
    fn read_page(&mut self, page: &[u8]) -> Option<()> {
        let header = if self.number == 1 { FILE_HEADER_BYTES } else { 0 };
        if self.number == 1 {
            self.add_root(1, b"sqlite_schema");
        }
        let kind = *page.get(header)?;
        let cells_at = match kind {
            INTERIOR_INDEX | INTERIOR_TABLE => {
                self.lead(u32_at(page, header + 8)?);
                header + 12
            }
            LEAF_INDEX | LEAF_TABLE => header + 8,
            _ => {
                // A page of a long value begins with the number of the next.
                self.lead(u32_at(page, 0)?);
                return Some(());
            }
        };
        let is_schema = self.number == 1 || self.above_of(self.number) == 1;
        for cell in 0..u16_at(page, header + 3)? {
            let cell = usize::from(u16_at(page, cells_at + 2 * usize::from(cell))?);
            let payload = match kind {
                INTERIOR_INDEX | INTERIOR_TABLE => {
                    self.lead(u32_at(page, cell)?);
                    cell + 4
                }
                _ => cell,
            };
            if kind == INTERIOR_TABLE {
                continue;
            }
            let (length, mut start) = varint(page, payload)?;
            if kind == LEAF_TABLE {
                start = varint(page, start)?.1;
            }
            let length = usize::try_from(length).ok()?;
            let local = self.local_bytes(length, kind == LEAF_TABLE)?;
            if local < length {
                self.lead(u32_at(page, start.checked_add(local)?)?);
            }
            if is_schema && kind == LEAF_TABLE {
                // A row that cannot be read has no name.
                let _ = self.read_schema_row(page.get(start..start.checked_add(local)?)?);
            }
        }
        Some(())
    }

    fn above_of(&self, number: u32) -> u32 {
        let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        at.and_then(|at| self.above.get(at)).copied().unwrap_or(0)
    }

    /// Notes that the page being read leads to this one.
    fn lead(&mut self, to: u32) {
        if !(2..=PAGE_COUNT_MAX).contains(&to) || to == self.number {
            return;
        }
        let Ok(count) = usize::try_from(to) else { return };
        if self.above.len() < count {
            self.above.resize(count, 0);
        }
        if let Some(slot) = self.above.get_mut(count - 1).filter(|slot| **slot == 0) {
            *slot = self.number;
        }
    }

    /// Returns how many bytes of a value of this length lie in its page.
    fn local_bytes(&self, length: usize, is_table: bool) -> Option<usize> {
        let usable = self.page_bytes.checked_sub(self.reserved_bytes)?;
        let share = |of: usize| (usable.checked_sub(12)? * of / 255).checked_sub(23);
        let max = if is_table { usable.checked_sub(35)? } else { share(64)? };
        if length <= max {
            return Some(length);
        }
        let min = share(32)?;
        let local = min + (length.checked_sub(min)?) % usable.checked_sub(4)?;
        Some(if local <= max { local } else { min })
    }

    /// Reads type, name, table and root of a row of the schema.
    fn read_schema_row(&mut self, record: &[u8]) -> Option<()> {
        let (header_bytes, mut at) = varint(record, 0)?;
        let mut value_at = usize::try_from(header_bytes).ok()?;
        let mut values: [&[u8]; 4] = [b""; 4];
        for value in &mut values {
            let (serial, after) = varint(record, at)?;
            let bytes = match serial {
                0 | 8 | 9 => 0,
                1..=4 => serial,
                5 => 6,
                6 | 7 => 8,
                _ => serial.checked_sub(12)? / 2,
            };
            let end = value_at.checked_add(usize::try_from(bytes).ok()?)?;
            *value = record.get(value_at..end)?;
            (at, value_at) = (after, end);
        }
        let [_, name, _, root] = values;
        let root = root.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        if let Some(root) = u32::try_from(root).ok().filter(|root| (2..=PAGE_COUNT_MAX).contains(root)) {
            self.add_root(root, name);
        }
        Some(())
    }

    fn add_root(&mut self, root: u32, name: &[u8]) {
        if self.roots.len() < ROOT_COUNT_MAX {
            self.roots.push((root, super::shortened(name).to_vec()));
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Reads a number of one to nine bytes at `at`; returns it with the place behind it.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for count in 0..8 {
        let byte = *bytes.get(at.checked_add(count)?)?;
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + count + 1));
        }
    }
    let last = *bytes.get(at.checked_add(8)?)?;
    Some((value << 8 | u64::from(last), at + 9))
}
