//! Reading the fields of a header one after the other.

use super::ReadAt;

/// How much is read at a time.
const WINDOW_BYTES: usize = 16 << 10;

/// Returns the `N` bytes at `offset`; `None` where there are fewer, and on errors.
pub(super) fn field_at<const N: usize>(source: &dyn ReadAt, offset: u64) -> Option<[u8; N]> {
    let mut field = [0; N];
    (source.read_at(offset, &mut field).ok()? == N).then_some(field)
}

/// Returns the little-endian number of `N` bytes, at most 8, at `at` in `bytes`.
pub(super) fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let field: &[u8; N] = bytes.get(at..)?.first_chunk()?;
    Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A place in a source that moves forward: every answer is `None` past the end, past the limit of what may
/// be read, and on errors.
pub(super) struct Fields<'a> {
    source: &'a dyn ReadAt,
    position: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    budget_bytes: u64,
}

impl<'a> Fields<'a> {
    /// Reads from `position` on, never past `end`, and at most `budget_bytes` in all.
    pub(super) fn new(source: &'a dyn ReadAt, position: u64, end: u64, budget_bytes: u64) -> Self {
        let end = source.size_bytes().map_or(end, |size| end.min(size));
        Self { source, position, end, window: Vec::new(), window_at: 0, budget_bytes }
    }

    /// Returns where the next field begins.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Goes to `position`, forward or back.
    pub(super) fn seek(&mut self, position: u64) -> Option<()> {
        (position <= self.end).then(|| self.position = position)
    }

    /// Goes over `length` bytes.
    pub(super) fn skip(&mut self, length: u64) -> Option<()> {
        self.seek(self.position.checked_add(length)?)
    }

    /// Returns the next `N` bytes.
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut field = [0; N];
        self.fill(&mut field)?;
        Some(field)
    }

    /// Returns the next `length` bytes. They are read piece by piece, so that a length which lies takes no
    /// more memory than there are bytes.
    pub(super) fn bytes(&mut self, length: u64, length_max: u64) -> Option<Vec<u8>> {
        let is_there = length <= length_max && self.position.checked_add(length)? <= self.end;
        let mut rest = is_there.then_some(length)?;
        let mut bytes = Vec::new();
        while rest > 0 {
            let piece = rest.min(WINDOW_BYTES as u64);
            let at = bytes.len();
            bytes.resize(at + piece as usize, 0);
            self.fill(&mut bytes[at..])?;
            rest -= piece;
        }
        Some(bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn fill(&mut self, field: &mut [u8]) -> Option<()> {
        // No more is read ahead than may still be asked for.
        let window_bytes = self.budget_bytes.min(WINDOW_BYTES as u64) as usize;
        self.budget_bytes = self.budget_bytes.checked_sub(field.len() as u64)?;
        let field_end = self.position.checked_add(field.len() as u64)?;
        if field_end > self.end {
            return None;
        }
        if field.len() > WINDOW_BYTES / 2 {
            let read = self.source.read_at(self.position, field).ok()?;
            self.position = field_end;
            return (read == field.len()).then_some(());
        }
        if self.position < self.window_at || field_end > self.window_at + self.window.len() as u64 {
            self.window.resize(window_bytes, 0);
            let read = self.source.read_at(self.position, &mut self.window).ok()?;
            self.window.truncate(read);
            self.window_at = self.position;
        }
        let at = (self.position - self.window_at) as usize;
        field.copy_from_slice(self.window.get(at..at + field.len())?);
        self.position = field_end;
        Some(())
    }
}
