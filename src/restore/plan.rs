//! A dry run: what would be done, with nothing done.

use rustix::fs::Stat;

use super::RestoreError;
use super::delete::delete_extra;
use super::options::{Action, Overwrite};
use super::place::{kind_of, look};
use super::run::{Run, Verdict, judge};
use super::walk::{Selection, Visitor};
use crate::format::node::{Node, NodeKind};
use crate::repository::Error;

/// Walks and writes down.
#[derive(Debug)]
pub(super) struct PlanPass<'r, 'a> {
    pub(super) run: &'r Run<'a>,
    /// The target is there.
    pub(super) has_target: bool,
    pub(super) selection: Selection<'r>,
    pub(super) prefix: &'r [u8],
}

impl PlanPass<'_, '_> {
    fn verdict(&self, path: &[u8], node: &Node) -> Verdict {
        judge(self.run.options.overwrite, node, self.existing(path).as_ref())
    }

    fn existing(&self, path: &[u8]) -> Option<Stat> {
        if !self.has_target {
            return None;
        }
        // What cannot be looked at is below something that would be made first.
        let existing = self.run.target.parent(path).and_then(|(above, name)| look(&above, name));
        existing.ok().flatten()
    }
}

impl Visitor for PlanPass<'_, '_> {
    fn directory(&mut self, path: &[u8], _: &Node) -> Result<bool, RestoreError> {
        let existing = self.existing(path);
        let is_directory =
            existing.as_ref().is_some_and(|stat| kind_of(stat) == rustix::fs::FileType::Directory);
        let is_kept = matches!(self.run.options.overwrite, Overwrite::Never | Overwrite::IfNewer);
        let mut stats = self.run.stats();
        if existing.is_some() && !is_directory && is_kept {
            stats.fail(path, "something that is no directory is in its place".to_owned());
            return Ok(false);
        }
        stats.directories += 1;
        if !is_directory {
            stats.plan(path, Action::Restore);
        }
        Ok(true)
    }

    fn entry(&mut self, path: &[u8], node: Node) -> Result<(), RestoreError> {
        self.run.repository().progress().current(path);
        let verdict = self.verdict(path, &node);
        let is_made = self.run.metadata.makes(&node.kind);
        let mut stats = self.run.stats();
        if verdict == Verdict::Skip {
            stats.skipped_files += 1;
            stats.plan(path, Action::Skip);
            return Ok(());
        }
        match node.kind {
            _ if !is_made => stats.skipped_special += 1,
            NodeKind::File { size_bytes, .. } => {
                stats.files += 1;
                stats.restored_bytes += size_bytes;
            }
            _ => stats.others += 1,
        }
        stats.plan(path, if is_made { Action::Restore } else { Action::Skip });
        Ok(())
    }

    fn leave(&mut self, path: &[u8], node: Option<&Node>, is_whole: bool) -> Result<(), RestoreError> {
        match node {
            Some(node) if self.run.options.delete && self.has_target && is_whole => {
                delete_extra(self.run, self.selection, self.prefix, path, node)
            }
            _ => Ok(()),
        }
    }

    fn damaged(&mut self, path: &[u8], error: &Error) -> Result<(), RestoreError> {
        self.run.damaged(path, error);
        Ok(())
    }
}
