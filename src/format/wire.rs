//! The notation of `format-spec/01-conventions.md`: fixed-width little-endian fields, counted lists, strict
//! reading.

use crate::base::{RepositoryId, Time};

/// Stored bytes do not follow the specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes end inside a field.
    #[error("ends inside {what}")]
    Truncated {
        /// The field.
        what: &'static str,
    },
    /// Bytes follow where the object should end.
    #[error("{count} bytes follow the end of {what}")]
    Trailing {
        /// The object.
        what: &'static str,
        /// How many.
        count: u64,
    },
    /// The first bytes are not those of this kind.
    #[error("is not a {expected} object")]
    Magic {
        /// The kind that was expected.
        expected: &'static str,
    },
    /// Written by a later version of the format.
    #[error("has format version {found}, and this program knows version 1")]
    Version {
        /// The version found.
        found: u16,
    },
    /// Needs features that this program does not have.
    #[error("needs {features}")]
    Feature {
        /// The features, with their messages.
        features: String,
    },
    /// A count or length above its limit.
    #[error("{what} is {value}, above the limit of {limit}")]
    Limit {
        /// The field.
        what: &'static str,
        /// The value found.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// A field holds what its definition does not allow.
    #[error("{what} is not allowed here")]
    Invalid {
        /// The field and what is wrong.
        what: &'static str,
    },
}

impl FormatError {
    /// Returns an [`FormatError::Invalid`].
    pub fn invalid(what: &'static str) -> Self {
        Self::Invalid { what }
    }
}

/// Appends fields to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Returns an empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what was written.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends raw bytes.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends a `u8`.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// Appends a `u16`.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Appends a `u32`.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Appends a `u64`.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Appends an `i32`.
    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Appends a time.
    pub fn time(&mut self, time: Time) -> &mut Self {
        self.raw(&time.seconds.to_le_bytes()).u32(time.nanoseconds)
    }

    /// Appends a `list16` or `bytes16` length; refuses more than `limit`.
    pub fn count16(
        &mut self,
        count: usize,
        limit: u64,
        what: &'static str,
    ) -> Result<&mut Self, FormatError> {
        let value = length(count);
        let narrow = u16::try_from(count).ok().filter(|_| value <= limit);
        Ok(self.u16(narrow.ok_or(FormatError::Limit { what, value, limit: limit.min(65_535) })?))
    }

    /// Appends a `list32` or `bytes32` length; refuses more than `limit`.
    pub fn count32(
        &mut self,
        count: usize,
        limit: u64,
        what: &'static str,
    ) -> Result<&mut Self, FormatError> {
        let value = length(count);
        let narrow = u32::try_from(count).ok().filter(|_| value <= limit);
        Ok(self.u32(narrow.ok_or(FormatError::Limit { what, value, limit })?))
    }

    /// Appends a `bytes16`.
    pub fn bytes16(&mut self, bytes: &[u8], what: &'static str) -> Result<&mut Self, FormatError> {
        Ok(self.count16(bytes.len(), u64::from(u16::MAX), what)?.raw(bytes))
    }

    /// Appends a `text`.
    pub fn text(&mut self, text: &str, what: &'static str) -> Result<&mut Self, FormatError> {
        if text.contains('\0') {
            return Err(FormatError::invalid(what));
        }
        self.bytes16(text.as_bytes(), what)
    }

    /// Appends an `option` of raw bytes.
    pub fn option(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            None => self.u8(0),
            Some(bytes) => self.u8(1).raw(bytes),
        }
    }

    /// Returns how many bytes were written.
    pub fn written_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Takes fields off a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Returns a reader of the object `what`.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// Returns how many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes `count` bytes.
    pub fn raw(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], FormatError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(FormatError::Truncated { what })?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes a fixed number of bytes.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.raw(N, what)?);
        Ok(array)
    }

    /// Takes a `u8`.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, FormatError> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Takes a `u16`.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// Takes a `u32`.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Takes a `u64`.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Takes an `i32`.
    pub fn i32(&mut self, what: &'static str) -> Result<i32, FormatError> {
        Ok(i32::from_le_bytes(self.array(what)?))
    }

    /// Takes a time.
    pub fn time(&mut self, what: &'static str) -> Result<Time, FormatError> {
        let seconds = i64::from_le_bytes(self.array(what)?);
        let nanoseconds = self.u32(what)?;
        if nanoseconds >= 1_000_000_000 {
            return Err(FormatError::invalid("nanoseconds of a second or more"));
        }
        Ok(Time { seconds, nanoseconds })
    }

    /// Takes a `u16` count of entries of at least `entry_bytes`, and refuses one that cannot be.
    pub fn count16(
        &mut self,
        limit: u64,
        entry_bytes: usize,
        what: &'static str,
    ) -> Result<usize, FormatError> {
        let count = self.u16(what)?;
        self.bounded(u64::from(count), limit, entry_bytes, what)
    }

    /// Takes a `u32` count of entries of at least `entry_bytes`, and refuses one that cannot be.
    pub fn count32(
        &mut self,
        limit: u64,
        entry_bytes: usize,
        what: &'static str,
    ) -> Result<usize, FormatError> {
        let count = self.u32(what)?;
        self.bounded(u64::from(count), limit, entry_bytes, what)
    }

    fn bounded(
        &self,
        value: u64,
        limit: u64,
        entry_bytes: usize,
        what: &'static str,
    ) -> Result<usize, FormatError> {
        if value > limit {
            return Err(FormatError::Limit { what, value, limit });
        }
        let count = usize::try_from(value).map_err(|_| FormatError::Limit { what, value, limit })?;
        match count.checked_mul(entry_bytes) {
            Some(needed) if needed <= self.rest.len() => Ok(count),
            _ => Err(FormatError::Truncated { what }),
        }
    }

    /// Takes a `bytes16` of at most `limit` bytes.
    pub fn bytes16(&mut self, limit: u64, what: &'static str) -> Result<&'a [u8], FormatError> {
        let count = self.count16(limit, 1, what)?;
        self.raw(count, what)
    }

    /// Takes a `bytes32` of at most `limit` bytes.
    pub fn bytes32(&mut self, limit: u64, what: &'static str) -> Result<&'a [u8], FormatError> {
        let count = self.count32(limit, 1, what)?;
        self.raw(count, what)
    }

    /// Takes a `text`.
    pub fn text(&mut self, what: &'static str) -> Result<String, FormatError> {
        let bytes = self.bytes16(u64::from(u16::MAX), what)?;
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
            _ => Err(FormatError::invalid(what)),
        }
    }

    /// Takes the flag of an `option`.
    pub fn option(&mut self, what: &'static str) -> Result<bool, FormatError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(FormatError::invalid(what)),
        }
    }

    /// Takes a repository id.
    pub fn repository(&mut self) -> Result<RepositoryId, FormatError> {
        Ok(RepositoryId(self.array("repository id")?))
    }

    /// Ends the reading; refuses bytes that are left.
    pub fn finish(self) -> Result<(), FormatError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(FormatError::Trailing { what: self.what, count: length(self.rest.len()) })
    }
}

/// Returns a length in memory as `u64`; no platform has wider lengths.
pub fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Refuses `items` that are not strictly ascending.
pub fn require_ascending<T: Ord>(items: &[T], what: &'static str) -> Result<(), FormatError> {
    if items.windows(2).all(|pair| pair[0] < pair[1]) { Ok(()) } else { Err(FormatError::invalid(what)) }
}
