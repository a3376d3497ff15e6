//! Finding entries by name and time.

use super::QueryError;
use super::select::MatchPattern;
use super::walk::{Entry, TreeWalk};
use crate::base::{ChunkId, Time};
use crate::repository::ChunkReader;

/// What to find: entries that match one of the patterns and lie within the times.
#[derive(Debug, Clone, Default)]
pub struct FindOptions {
    /// At least one of these matches; an empty list lets every entry pass.
    pub patterns: Vec<MatchPattern>,
    /// Modified at this time or after.
    pub oldest: Option<Time>,
    /// Modified at this time or before.
    pub newest: Option<Time>,
}

impl FindOptions {
    /// Returns whether `entry` is wanted.
    pub fn matches(&self, entry: &Entry) -> bool {
        let named = self.patterns.is_empty() || self.patterns.iter().any(|p| p.matches(&entry.path));
        named
            && self.oldest.is_none_or(|oldest| entry.node.mtime >= oldest)
            && self.newest.is_none_or(|newest| entry.node.mtime <= newest)
    }
}

/// The entries of one snapshot that are wanted, in the order of the walk. What is below a found directory is
/// looked at too.
#[derive(Debug)]
pub struct Find<'a, 'r, 'o> {
    walk: TreeWalk<'a, 'r>,
    options: &'o FindOptions,
}

impl<'a, 'r, 'o> Find<'a, 'r, 'o> {
    /// Looks through the snapshot with the root tree `root`.
    pub fn new(reader: &'a ChunkReader<'r>, root: ChunkId, options: &'o FindOptions) -> Self {
        Self { walk: TreeWalk::new(reader, root, b""), options }
    }
}

impl Iterator for Find<'_, '_, '_> {
    type Item = Result<Entry, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.walk.by_ref().find(|entry| entry.as_ref().map_or(true, |entry| self.options.matches(entry)))
    }
}
