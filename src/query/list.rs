//! Listing what a snapshot holds.

use super::QueryError;
use super::walk::{Entry, Place, TreeWalk};
use crate::repository::ChunkReader;

/// The entries below a directory of a snapshot, or the one entry of anything else.
#[derive(Debug)]
pub struct Listing<'a, 'r> {
    single: Option<Entry>,
    walk: Option<TreeWalk<'a, 'r>>,
    is_recursive: bool,
}

impl<'a, 'r> Listing<'a, 'r> {
    /// Lists `place` (from [`super::walk::resolve`]); unless `is_recursive`, nothing in directories below it.
    pub fn new(reader: &'a ChunkReader<'r>, place: &Place, is_recursive: bool) -> Self {
        let walk = place.tree().map(|tree| TreeWalk::new(reader, tree, place.path()));
        let single = match place {
            Place::Node { path, node } if walk.is_none() => {
                Some(Entry { path: path.clone(), node: node.as_ref().clone() })
            }
            _ => None,
        };
        Self { single, walk, is_recursive }
    }
}

impl Iterator for Listing<'_, '_> {
    type Item = Result<Entry, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(walk) = &mut self.walk else { return self.single.take().map(Ok) };
        let entry = walk.next();
        if !self.is_recursive && matches!(entry, Some(Ok(_))) {
            walk.skip_directory();
        }
        entry
    }
}
