//! What a walk remembers of chunks that it has been through, so that it need not read them to judge their
//! parents.

use std::collections::HashMap;

/// Entries kept at most …
const SPAN_COUNT_MAX: usize = 1 << 17;
/// … and bytes of names in them.
const NAMES_MAX_BYTES: usize = 32 << 20;

/// A tree or list chunk without losses below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Span {
    /// A tree chunk that is part of a larger directory.
    Tree { level: u8, first: Vec<u8>, last: Vec<u8> },
    /// A list chunk.
    List { level: u8, content_bytes: u64, chunk_count: u64 },
}

/// Spans by ordinal. Forgets all of them when it is full: what is missing is read again.
#[derive(Debug, Default)]
pub(super) struct Spans {
    entries: HashMap<u64, Span>,
    names_bytes: usize,
}

impl Spans {
    pub(super) fn get(&self, ordinal: u64) -> Option<&Span> {
        self.entries.get(&ordinal)
    }

    pub(super) fn put(&mut self, ordinal: u64, span: Span) {
        if self.entries.len() >= SPAN_COUNT_MAX || self.names_bytes >= NAMES_MAX_BYTES {
            self.entries.clear();
            self.names_bytes = 0;
        }
        if let Span::Tree { first, last, .. } = &span {
            self.names_bytes += first.len() + last.len();
        }
        self.entries.insert(ordinal, span);
    }
}
