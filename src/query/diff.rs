//! What differs between two snapshots, or two places in them.

use std::collections::VecDeque;

use super::QueryError;
pub use super::content::ContentChange;
use super::content::ContentComparer;
use super::directory::{DirectoryCursor, OPEN_DIRECTORY_COUNT_MAX};
use super::parts::{self, Allowance, Version};
pub use super::parts::{PartChange, PartsChange, PartsChoice};
use super::walk::{Place, require_depth, tree_of};
use crate::base::ChunkId;
use crate::format::node::{Node, NodeKind};
use crate::repository::ChunkReader;

/// How two versions of a path differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only the new side has it.
    Added,
    /// Only the old side has it.
    Removed,
    /// The content differs: bytes of a file, target of a symlink, numbers of a device.
    Modified,
    /// It became something of another type. What is below it, where one side is a directory, follows as added
    /// or removed.
    TypeChanged,
    /// Only mode, owner, modification time or extended attributes differ.
    Metadata,
}

/// Which metadata differ. Inode and status change time do not count: no restore brings them back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetadataChange {
    /// Mode bits.
    pub mode: bool,
    /// User or group, by number or name.
    pub owner: bool,
    /// Modification time.
    pub mtime: bool,
    /// Extended attributes, ACLs among them.
    pub xattrs: bool,
}

impl MetadataChange {
    /// Returns which metadata of two nodes differ.
    pub fn between(old: &Node, new: &Node) -> Self {
        let owner = |node: &Node| (node.uid, node.gid, node.user.clone(), node.group.clone());
        Self {
            mode: old.mode != new.mode,
            owner: owner(old) != owner(new),
            mtime: old.mtime != new.mtime,
            xattrs: old.xattrs != new.xattrs,
        }
    }

    /// Tells whether any differ.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whole path, raw bytes; where two different paths are compared, that of the new side.
    pub path: Vec<u8>,
    /// What happened.
    pub change: Change,
    /// Metadata that differ, where both sides have it.
    pub metadata: MetadataChange,
    /// How much of its content differs, where both sides are files and it does.
    pub content: Option<ContentChange>,
    /// Which of its parts differ, where that was asked for and they are known.
    pub parts: Option<PartsChange>,
    /// The old node.
    pub old: Option<Node>,
    /// The new node.
    pub new: Option<Node>,
}

/// Entries of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SideTotals {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
    /// Content of the files.
    pub content_bytes: u64,
}

impl SideTotals {
    fn count(&mut self, node: &Node) {
        match node.kind {
            NodeKind::File { size_bytes, .. } => {
                self.files += 1;
                self.content_bytes += size_bytes;
            }
            NodeKind::Directory { .. } => self.directories += 1,
            _ => self.others += 1,
        }
    }
}

/// Sums over all differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiffTotals {
    /// Entries that only the new side has, and the new side of those that changed type.
    pub added: SideTotals,
    /// Entries that only the old side has, and the old side of those that changed type.
    pub removed: SideTotals,
    /// Entries whose content differs.
    pub modified: u64,
    /// Entries that became something of another type.
    pub type_changed: u64,
    /// Entries of which only metadata differ, shown or not.
    pub metadata_changed: u64,
    /// Content of modified files.
    pub modified_content: ContentChange,
    /// Directories read, of both sides: those that are equal by their root are not.
    pub directories_read: u64,
}

#[derive(Debug)]
struct Side<'a, 'r> {
    directory: DirectoryCursor<'a, 'r>,
    peeked: Option<Node>,
    is_over: bool,
}

impl Side<'_, '_> {
    fn peek(&mut self) -> Result<Option<&Node>, crate::repository::Error> {
        if self.peeked.is_none() && !self.is_over {
            self.peeked = self.directory.next_node()?;
            self.is_over = self.peeked.is_none();
        }
        Ok(self.peeked.as_ref())
    }
}

#[derive(Debug)]
struct Frame<'a, 'r> {
    sides: [Option<Side<'a, 'r>>; 2],
    path_bytes: usize,
}

/// Old and new.
type Pair<T> = [Option<T>; 2];

/// Compares two trees in lockstep, in the order of a walk; equal subtrees are not read.
///
/// An iterator over the differences; [`Self::totals`] says at the end what they sum up to. Damage
/// ([`QueryError::is_damage`]) costs what it names, and the comparison goes on behind it; any other error
/// ends it.
#[derive(Debug)]
pub struct Diff<'a, 'r> {
    reader: &'a ChunkReader<'r>,
    comparer: ContentComparer<'a, 'r>,
    frames: Vec<Frame<'a, 'r>>,
    path: Vec<u8>,
    pending: Option<Pair<ChunkId>>,
    ready: VecDeque<Difference>,
    totals: DiffTotals,
    with_metadata: bool,
    parts: PartsChoice,
    allowance: Allowance,
    start: Option<Pair<Node>>,
    is_over: bool,
}

impl<'a, 'r> Diff<'a, 'r> {
    /// Compares `old` with `new` (from [`super::walk::resolve`]): what is below two directories, or two
    /// entries themselves. `with_metadata`: entries of which only metadata differ are shown, not only
    /// counted.
    pub fn new(reader: &'a ChunkReader<'r>, old: &Place, new: &Place, with_metadata: bool) -> Self {
        let mut diff = Self {
            reader,
            comparer: ContentComparer::new(reader),
            frames: Vec::new(),
            path: new.path().to_vec(),
            pending: None,
            ready: VecDeque::new(),
            totals: DiffTotals::default(),
            with_metadata,
            parts: PartsChoice::Never,
            allowance: Allowance::default(),
            start: None,
            is_over: false,
        };
        match (old, new) {
            (Place::Node { node: old, .. }, Place::Node { node: new, .. })
                if !(old.is_directory() && new.is_directory()) =>
            {
                diff.start = Some([Some(old.as_ref().clone()), Some(new.as_ref().clone())]);
            }
            // A root against a file: all of the one is gone, the other has come.
            (Place::Node { node, .. }, Place::Root { tree }) if !node.is_directory() => {
                diff.start = Some([Some(node.as_ref().clone()), None]);
                diff.pending = Some([None, Some(*tree)]);
            }
            (Place::Root { tree }, Place::Node { node, .. }) if !node.is_directory() => {
                diff.start = Some([None, Some(node.as_ref().clone())]);
                diff.pending = Some([Some(*tree), None]);
            }
            _ if old.tree() == new.tree() => {}
            _ => diff.pending = Some([old.tree(), new.tree()]),
        }
        diff
    }

    /// Also tells which parts of modified files differ. Where they cannot be read, the difference comes
    /// after an error that says so.
    pub fn with_parts(mut self, choice: PartsChoice) -> Self {
        self.parts = choice;
        self
    }

    /// Returns the sums over the differences given so far.
    pub fn totals(&self) -> &DiffTotals {
        &self.totals
    }

    fn step(&mut self) -> Result<bool, QueryError> {
        self.reader.repository().check_stop()?;
        if let Some([old, new]) = self.start.take() {
            let below = self.pending.take();
            self.judge(old, new)?;
            self.pending = self.pending.take().or(below);
            return Ok(true);
        }
        if let Some(trees) = self.pending.take() {
            self.enter(trees)?;
        }
        let Some(frame) = self.frames.last_mut() else { return Ok(false) };
        self.path.truncate(frame.path_bytes);
        let next = next_pair(frame).map_err(|error| QueryError::at(&self.path, error))?;
        let Some(name) = next.iter().flatten().next().map(|node| node.name.clone()) else {
            self.frames.pop();
            return Ok(true);
        };
        self.path.push(b'/');
        self.path.extend_from_slice(&name);
        let [old, new] = next;
        self.judge(old, new)?;
        Ok(true)
    }

    fn enter(&mut self, trees: Pair<ChunkId>) -> Result<(), QueryError> {
        require_depth(self.frames.len(), &self.path)?;
        let mut sides = [None, None];
        for (side, tree) in sides.iter_mut().zip(trees) {
            let Some(tree) = tree else { continue };
            let directory = DirectoryCursor::open(self.reader, tree);
            let directory = directory.map_err(|error| QueryError::at(&self.path, error))?;
            self.totals.directories_read += 1;
            *side = Some(Side { directory, peeked: None, is_over: false });
        }
        self.frames.push(Frame { sides, path_bytes: self.path.len() });
        if let Some(far) = self.frames.len().checked_sub(OPEN_DIRECTORY_COUNT_MAX / 2 + 1) {
            for side in self.frames[far].sides.iter_mut().flatten() {
                side.directory.close();
            }
        }
        Ok(())
    }

    fn judge(&mut self, old: Option<Node>, new: Option<Node>) -> Result<(), QueryError> {
        let trees = [old.as_ref().and_then(tree_of), new.as_ref().and_then(tree_of)];
        if trees[0] != trees[1] {
            self.pending = Some(trees);
        }
        let mut content = None;
        let mut metadata = MetadataChange::default();
        let change = match (&old, &new) {
            (None, None) => return Ok(()),
            (Some(old), None) => {
                self.totals.removed.count(old);
                Change::Removed
            }
            (None, Some(new)) => {
                self.totals.added.count(new);
                Change::Added
            }
            (Some(old), Some(new)) => {
                metadata = MetadataChange::between(old, new);
                match self.judge_both(old, new, metadata)? {
                    Some((change, compared)) => {
                        content = compared;
                        change
                    }
                    None => return Ok(()),
                }
            }
        };
        let parts = match (&old, &new) {
            (Some(old), Some(new)) if content.is_some() => self.compare_parts(old, new),
            _ => Ok(None),
        };
        let (parts, outcome) = match parts {
            Ok(parts) => (parts, Ok(())),
            Err(error) => (None, Err(QueryError::at(&self.path, error))),
        };
        let path = self.path.clone();
        self.ready.push_back(Difference { path, change, metadata, content, parts, old, new });
        outcome
    }

    fn compare_parts(
        &mut self,
        old: &Node,
        new: &Node,
    ) -> Result<Option<PartsChange>, crate::repository::Error> {
        let (Some(old), Some(new)) = (version_of(old), version_of(new)) else { return Ok(None) };
        let choice = (self.parts, &mut self.allowance);
        parts::compare(&mut self.comparer, self.reader, choice, old, new)
    }

    fn judge_both(
        &mut self,
        old: &Node,
        new: &Node,
        metadata: MetadataChange,
    ) -> Result<Option<(Change, Option<ContentChange>)>, QueryError> {
        if old.kind.number() != new.kind.number() {
            self.totals.type_changed += 1;
            self.totals.removed.count(old);
            self.totals.added.count(new);
            return Ok(Some((Change::TypeChanged, None)));
        }
        let modified = match (&old.kind, &new.kind) {
            (NodeKind::Directory { .. }, _) => None,
            (
                NodeKind::File { size_bytes: old_bytes, content: of_old, .. },
                NodeKind::File { size_bytes: new_bytes, content: of_new, .. },
            ) if (old_bytes, of_old) != (new_bytes, of_new) => {
                let compared = self.comparer.compare((of_old, *old_bytes), (of_new, *new_bytes));
                let compared = compared.map_err(|error| QueryError::at(&self.path, error))?;
                let sum = &mut self.totals.modified_content;
                sum.shared_bytes += compared.shared_bytes;
                sum.added_bytes += compared.added_bytes;
                sum.removed_bytes += compared.removed_bytes;
                Some(Some(compared))
            }
            // The class decides how content was cut, which shows in the content.
            (NodeKind::File { .. }, _) => None,
            (of_old, of_new) => (of_old != of_new).then_some(None),
        };
        if let Some(compared) = modified {
            self.totals.modified += 1;
            return Ok(Some((Change::Modified, compared)));
        }
        if !metadata.any() {
            return Ok(None);
        }
        self.totals.metadata_changed += 1;
        Ok(self.with_metadata.then_some((Change::Metadata, None)))
    }
}

fn version_of(node: &Node) -> Option<Version<'_>> {
    match &node.kind {
        NodeKind::File { size_bytes, class, content } => {
            Some(Version { content, size_bytes: *size_bytes, class: *class })
        }
        _ => None,
    }
}

/// Takes the entry with the smallest name from whichever sides have it.
fn next_pair(frame: &mut Frame<'_, '_>) -> Result<Pair<Node>, crate::repository::Error> {
    let [old, new] = &mut frame.sides;
    let mut names: Pair<&[u8]> = [None, None];
    for (name, side) in names.iter_mut().zip([old.as_mut(), new.as_mut()]) {
        *name = match side {
            Some(side) => side.peek()?.map(|node| node.name.as_slice()),
            None => None,
        };
    }
    let (take_old, take_new) = match names {
        [Some(old), Some(new)] => (old <= new, new <= old),
        [old, new] => (old.is_some(), new.is_some()),
    };
    let taken = |take: bool, side: &mut Option<Side<'_, '_>>| match take {
        true => side.as_mut().and_then(|side| side.peeked.take()),
        false => None,
    };
    Ok([taken(take_old, old), taken(take_new, new)])
}

impl Iterator for Diff<'_, '_> {
    type Item = Result<Difference, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(difference) = self.ready.pop_front() {
                return Some(Ok(difference));
            }
            if self.is_over {
                return None;
            }
            match self.step() {
                Ok(goes_on) => self.is_over = !goes_on,
                Err(error) => {
                    self.is_over = !error.is_damage();
                    return Some(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
