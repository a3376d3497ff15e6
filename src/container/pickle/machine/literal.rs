//! Opcodes that are values, and how their parts are read.

use super::*;

impl Machine<'_> {
    /// Numbers and texts.
    pub(super) fn literal(&mut self, code: u8) -> Done {
        match code {
            b'I' | b'L' => {
                let line = self.line()?;
                let digits = self.text(line).strip_suffix(b"L").unwrap_or(self.text(line));
                let value = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                self.integer(value)
            }
            b'J' => {
                let value = self.number(4)? as u32 as i32;
                self.integer(Some(i64::from(value)))
            }
            b'K' | b'M' => {
                let value = self.number(if code == b'K' { 1 } else { 2 })?;
                self.integer(i64::try_from(value).ok())
            }
            0x8a | 0x8b => {
                let length = self.number(if code == 0x8a { 1 } else { 4 })?;
                let (at, length) = self.take(length)?;
                let bytes = self.text((at, length));
                let sign = bytes.last().map_or(0, |last| if last & 0x80 == 0 { 0 } else { 0xff });
                let mut wide = [sign; 8];
                let is_small = bytes.len() <= wide.len();
                wide.iter_mut().zip(bytes).for_each(|(wide, byte)| *wide = *byte);
                self.integer(is_small.then_some(i64::from_le_bytes(wide)))
            }
            b'F' => {
                self.line()?;
                self.integer(None)
            }
            b'G' => {
                self.take(8)?;
                self.integer(None)
            }
            b'S' | b'V' => {
                let (mut at, mut length) = self.line()?;
                if code == b'S' && length >= 2 {
                    // Without its quotes.
                    (at, length) = (at + 1, length - 2);
                }
                self.make(Node::Text((at, length)))
            }
            b'X' | b'T' | b'U' | 0x8c | 0x8d => {
                let width = match code {
                    b'U' | 0x8c => 1,
                    0x8d => 8,
                    _ => 4,
                };
                let length = self.number(width)?;
                let span = self.take(length)?;
                self.make(Node::Text(span))
            }
            b'B' | b'C' | 0x8e | 0x96 => {
                let width = match code {
                    b'B' => 4,
                    b'C' => 1,
                    _ => 8,
                };
                let length = self.number(width)?;
                self.take(length)?;
                self.integer(None)
            }
            _ => Err(Refused::Other),
        }
    }

    pub(super) fn text(&self, (at, length): Span) -> &[u8] {
        self.bytes.get(at as usize..at as usize + length as usize).unwrap_or_default()
    }

    pub(super) fn u8(&mut self) -> Result<u8, Refused> {
        let byte = *self.bytes.get(self.at).ok_or(Refused::Short)?;
        self.at += 1;
        Ok(byte)
    }

    /// Reads a number of `width` bytes.
    pub(super) fn number(&mut self, width: u64) -> Result<u64, Refused> {
        let span = self.take(width)?;
        Ok(self.text(span).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Goes over `length` bytes.
    pub(super) fn take(&mut self, length: u64) -> Result<Span, Refused> {
        let at = self.at;
        if length > PICKLE_BYTES_MAX {
            return Err(Refused::Other);
        }
        let end = at + length as usize;
        if end > self.bytes.len() {
            return Err(Refused::Short);
        }
        self.at = end;
        Ok((at as u32, length as u32))
    }

    /// Goes over a line.
    pub(super) fn line(&mut self) -> Result<Span, Refused> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or(Refused::Short)?;
        let (at, _) = self.take(length as u64 + 1)?;
        Ok((at, length as u32))
    }
}
