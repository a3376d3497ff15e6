//! Reading fields one at a time from bytes that come in pieces.

/// Bytes of a text that are kept.
const TEXT_MAX_BYTES: u64 = 256;

/// What is to be read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// So many bytes, which are kept: at most [`Self::BYTES_MAX`].
    Bytes(usize),
    /// So many bytes, which are not kept.
    Skip(u64),
    /// So many bytes, of which the first are kept.
    Text(u64),
}

impl Field {
    /// Most bytes that are kept of one field.
    pub(super) const BYTES_MAX: usize = 1 << 16;
}

/// Gathers one field.
#[derive(Debug, Default)]
pub(super) struct Fields {
    kept: Vec<u8>,
    passed_bytes: u64,
}

impl Fields {
    /// Takes what `field` needs off the front of `bytes`. Returns what is kept of it once it is whole, `None`
    /// when more bytes are needed.
    pub(super) fn take(&mut self, field: Field, bytes: &mut &[u8]) -> Option<Vec<u8>> {
        let (length, keep) = match field {
            Field::Bytes(length) => {
                let length = u64::try_from(length.min(Field::BYTES_MAX)).unwrap_or(0);
                (length, length)
            }
            Field::Skip(length) => (length, 0),
            Field::Text(length) => (length, length.min(TEXT_MAX_BYTES)),
        };
        let missing = length.saturating_sub(self.passed_bytes);
        let taken = usize::try_from(missing).unwrap_or(usize::MAX).min(bytes.len());
        let (now, rest) = bytes.split_at(taken);
        *bytes = rest;
        let room = keep.saturating_sub(self.passed_bytes);
        self.kept.extend_from_slice(&now[..usize::try_from(room).unwrap_or(usize::MAX).min(taken)]);
        self.passed_bytes += u64::try_from(taken).unwrap_or(0);
        if self.passed_bytes < length {
            return None;
        }
        self.passed_bytes = 0;
        Some(std::mem::take(&mut self.kept))
    }
}
