//! Cuts that need not be looked for: where the bytes of a chunk of the previous version stand unchanged at
//! their place, its end is where the cutter would end it, and hashing them tells.
//!
//! That holds for chunks that the same rules ended by their content: the last chunk of the previous version
//! ended with the file, and counts only where the new one ends as well. A chunk that ends at a whole
//! element ended a few bytes before the place that its content named, so the bytes behind it have a say
//! too: it counts only where the chunk behind it stands as well. Whether the rules are the same is for the
//! caller to know.

use rayon::prelude::*;

use super::cuts::{Rules, Window};
use super::segments::Segments;
use super::steps::Older;
use crate::base::ChunkId;
use crate::crypto::KeyRing;
use crate::format::node::ChunkRef;
use crate::repository::{ChunkReader, ListReader, StoredFile};
use crate::source::Class;

/// Rounds without a look after one in which little was found, doubled each time.
const PAUSE_MAX: u32 = 32;

/// A chunk of the previous version that stands unchanged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Where it begins in the window.
    pub(super) at: usize,
    pub(super) length: usize,
    pub(super) id: ChunkId,
}

/// Begins with the previous version of a file of `class` that is cut at `segments`; nothing is predicted
/// where that was cut by other rules. `look` tells where a container of tensors that is stored is cut.
pub(super) fn predict<'a, 'r>(
    reader: &'a ChunkReader<'r>,
    older: Option<&Older>,
    class: Class,
    segments: &Segments,
    look: impl FnOnce(&StoredFile<'_, '_>) -> Segments,
) -> Predicted<'a, 'r> {
    let none = Predicted::new(None, 0);
    let Some(older) = older.filter(|older| older.class == class.number()) else { return none };
    if class == Class::Tensors {
        let Ok(stored) = StoredFile::new(reader, &older.content, older.size_bytes) else { return none };
        if look(&stored) != *segments {
            return none;
        }
    }
    Predicted::new(ListReader::new(reader, &older.content, older.size_bytes).ok(), older.size_bytes)
}

/// The chunks of the previous version of a file, in order.
#[derive(Debug)]
pub(super) struct Predicted<'a, 'r> {
    list: Option<ListReader<'a, 'r>>,
    /// The next chunk, read off the list already, and where it begins.
    ahead: Option<ChunkRef>,
    start: u64,
    size_bytes: u64,
    /// Rounds that are left out, and how many the next time.
    pause: u32,
    next_pause: u32,
}

impl<'a, 'r> Predicted<'a, 'r> {
    /// Begins with a list; without one nothing is predicted.
    pub(super) fn new(list: Option<ListReader<'a, 'r>>, size_bytes: u64) -> Self {
        Self { list, ahead: None, start: 0, size_bytes, pause: 0, next_pause: 1 }
    }

    /// Returns the chunks of the window that stand as the previous version has them, in order.
    pub(super) fn standing(
        &mut self,
        rules: &Rules<'_>,
        window: Window<'_>,
        keys: &KeyRing,
    ) -> Vec<Standing> {
        if self.pause > 0 {
            self.pause -= 1;
            return Vec::new();
        }
        let wanted = self.within(rules, window);
        let wanted_bytes: usize = wanted.iter().map(|chunk| chunk.length).sum();
        let is_same = |chunk: &Standing| {
            let bytes = window.bytes.get(chunk.at..chunk.at + chunk.length);
            bytes.is_some_and(|bytes| keys.data_id(bytes) == chunk.id)
        };
        let mut found: Vec<Standing> = wanted.into_par_iter().filter(is_same).collect();
        let found_bytes: usize = found.iter().map(|chunk| chunk.length).sum();
        if found_bytes >= wanted_bytes / 2 {
            self.next_pause = 1;
        } else {
            self.pause = self.next_pause;
            self.next_pause = (self.next_pause * 2).min(PAUSE_MAX);
        }
        let begins: Vec<usize> = found.iter().map(|chunk| chunk.at).collect();
        let mut next = begins.iter().skip(1);
        found.retain(|chunk| {
            let start = window.start + u64::try_from(chunk.at).unwrap_or(u64::MAX);
            let is_followed = next.next() == Some(&(chunk.at + chunk.length));
            is_followed || rules.segments.at(start).ends_alone(start, chunk.length)
        });
        found
    }

    /// Takes the chunks off the list that lie whole in the window, and returns those that may count.
    fn within(&mut self, rules: &Rules<'_>, window: Window<'_>) -> Vec<Standing> {
        let end = window.start + u64::try_from(window.bytes.len()).unwrap_or(u64::MAX);
        let mut wanted = Vec::new();
        while let Some(chunk) = self.peek() {
            let (start, length) = (self.start, u64::from(chunk.length_bytes));
            let Some(chunk_end) = start.checked_add(length).filter(|chunk_end| *chunk_end <= end) else {
                break;
            };
            self.ahead = None;
            self.start = chunk_end;
            let is_last = chunk_end >= self.size_bytes;
            let ends_by_content = !is_last || (window.at_end && chunk_end == end);
            let at = start.checked_sub(window.start).and_then(|at| usize::try_from(at).ok());
            let (true, Some(at), Ok(length)) = (ends_by_content, at, usize::try_from(length)) else {
                continue;
            };
            if rules.segments.at(start).may_hold(start, length) {
                wanted.push(Standing { at, length, id: chunk.id });
            }
        }
        wanted
    }

    /// Returns the next chunk of the list, which stays; a list that cannot be read predicts no more.
    fn peek(&mut self) -> Option<ChunkRef> {
        if self.ahead.is_none() {
            match self.list.as_mut()?.next_chunk() {
                Ok(Some(chunk)) => self.ahead = Some(chunk),
                Ok(None) | Err(_) => self.list = None,
            }
        }
        self.ahead
    }
}
