//! The second walk of a restore: further names, special files, symlinks, deletions, and the metadata of
//! directories from the deepest up.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Mode, Stat, linkat, makedev, mknodat, symlinkat, unlinkat};

use super::RestoreError;
use super::delete::delete_extra;
use super::files::identity_of;
use super::files_pass::{Carried, Group};
use super::options::Overwrite;
use super::place::{look, rename_over, temporary_name};
use super::run::{Run, Verdict, judge};
use super::walk::{Scope, Selection, Visitor, walk};
use crate::format::node::{Node, NodeKind};
use crate::repository::Error;

/// The second walk.
#[derive(Debug)]
pub(super) struct LinksPass<'r, 'a> {
    run: &'r Run<'a>,
    carried: Carried,
    selection: Selection<'r>,
    prefix: &'r [u8],
    ordinal: u64,
}

impl<'r, 'a> LinksPass<'r, 'a> {
    pub(super) fn new(
        run: &'r Run<'a>,
        carried: Carried,
        selection: Selection<'r>,
        prefix: &'r [u8],
    ) -> Self {
        Self { run, carried, selection, prefix, ordinal: 0 }
    }

    /// Does all that is left to do, with a walk where the first one found more than directories and files.
    pub(super) fn finish(mut self, scope: &Scope) -> Result<(), RestoreError> {
        if self.carried.left.needs_walk || self.run.options.delete {
            return walk(self.run.reader, scope, self.selection, &mut self);
        }
        for (path, node) in std::mem::take(&mut self.carried.left.directories) {
            self.run.repository().check_stop()?;
            self.leave(&path, Some(&node), true)?;
        }
        Ok(())
    }

    /// Makes an entry by `make`, under its own name or in the place of what is there. Returns whether it was
    /// made.
    fn put(
        &self,
        path: &[u8],
        node: &Node,
        verdict: impl FnOnce(Option<&Stat>) -> Verdict,
        make: impl Fn(&std::os::fd::OwnedFd, &OsStr) -> io::Result<()>,
    ) -> io::Result<bool> {
        let (directory, name) = self.run.target.parent(path)?;
        let is_link = matches!(node.kind, NodeKind::File { .. });
        let finish = |name: &OsStr| {
            if !is_link {
                self.run.note_problem(path, self.run.metadata.set_at(&directory, name, node));
            }
        };
        match verdict(look(&directory, name)?.as_ref()) {
            Verdict::Skip => Ok(false),
            Verdict::Make => {
                make(&directory, name)?;
                finish(name);
                Ok(true)
            }
            Verdict::Replace => {
                let temporary = temporary_name(self.run.repository().entropy().as_ref());
                let temporary = OsStr::new(&temporary);
                make(&directory, temporary)?;
                finish(temporary);
                if let Err(error) = rename_over(&directory, temporary, name) {
                    // The error tells why; the leftover is not worth another.
                    let _ = unlinkat(&*directory, temporary, AtFlags::empty());
                    return Err(error);
                }
                Ok(true)
            }
        }
    }

    fn link(&self, path: &[u8], node: &Node, group: &Group) -> Result<(), RestoreError> {
        if !self.run.is_restored(group.ordinal) {
            let reason = "the file that it is another name of was not restored".to_owned();
            self.run.stats().fail(path, reason);
            return Ok(());
        }
        let linked = (|| {
            let (directory, name) = self.run.target.parent(&group.path)?;
            let first = look(&directory, name)?.ok_or(io::ErrorKind::NotFound)?;
            let judged = |existing: Option<&Stat>| match existing {
                Some(stat) if identity_of(stat) == identity_of(&first) => Verdict::Skip,
                existing => judge(self.run.options.overwrite, node, existing),
            };
            self.put(path, node, judged, |above, own| {
                Ok(linkat(&*directory, name, above, own, AtFlags::empty())?)
            })?;
            let (above, own) = self.run.target.parent(path)?;
            Ok(look(&above, own)?.is_some_and(|stat| identity_of(&stat) == identity_of(&first)))
        })();
        match linked {
            Ok(true) => {
                self.run.set_restored(self.ordinal);
                self.run.stats().files += 1;
            }
            Ok(false) => self.run.stats().skipped_files += 1,
            Err(error) => self.run.refused(path, "link", error)?,
        }
        Ok(())
    }

    fn make_special(&self, path: &[u8], node: &Node) -> Result<(), RestoreError> {
        let judged = |existing: Option<&Stat>| judge(self.run.options.overwrite, node, existing);
        let private = Mode::RUSR | Mode::WUSR;
        let device = |kind: FileType, major: u32, minor: u32| {
            self.put(path, node, judged, |directory, name| {
                Ok(mknodat(directory, name, kind, private, makedev(major, minor))?)
            })
        };
        if !self.run.metadata.makes(&node.kind) {
            self.run.stats().skipped_special += 1;
            return Ok(());
        }
        let made = match &node.kind {
            NodeKind::File { .. } | NodeKind::Directory { .. } | NodeKind::Socket => return Ok(()),
            NodeKind::CharDevice { major, minor } => device(FileType::CharacterDevice, *major, *minor),
            NodeKind::BlockDevice { major, minor } => device(FileType::BlockDevice, *major, *minor),
            NodeKind::Fifo => device(FileType::Fifo, 0, 0),
            NodeKind::Symlink { target } => self.put(path, node, judged, |directory, name| {
                Ok(symlinkat(target.as_slice(), directory, name)?)
            }),
        };
        match made {
            Ok(true) => self.run.stats().others += 1,
            Ok(false) => self.run.stats().skipped_files += 1,
            Err(error) => self.run.refused(path, "make", error)?,
        }
        Ok(())
    }

    fn set_directory(&self, path: &[u8], node: &Node) -> io::Result<()> {
        if path.is_empty() && !self.run.target.is_new {
            return Ok(());
        }
        let directory = self.run.target.directory(path)?;
        if self.run.options.overwrite == Overwrite::Never && !path.is_empty() {
            let stat = rustix::fs::fstat(&*directory)?;
            if !self.carried.new_directories.contains(&identity_of(&stat)) {
                return Ok(());
            }
        }
        self.run.note_problem(path, self.run.metadata.set(directory.as_fd(), node, None));
        Ok(())
    }
}

impl Visitor for LinksPass<'_, '_> {
    fn directory(&mut self, path: &[u8], _: &Node) -> Result<bool, RestoreError> {
        // Where it fails, the first walk named it.
        Ok(self.run.target.directory(path).is_ok())
    }

    fn entry(&mut self, path: &[u8], node: Node) -> Result<(), RestoreError> {
        self.ordinal += 1;
        match self.carried.group_of(&node) {
            Some(group) if group.path != path => self.link(path, &node, group),
            _ => self.make_special(path, &node),
        }
    }

    fn leave(&mut self, path: &[u8], node: Option<&Node>, is_whole: bool) -> Result<(), RestoreError> {
        if self.run.options.delete
            && is_whole
            && let Some(node) = node
        {
            delete_extra(self.run, self.selection, self.prefix, path, node)?;
        }
        if let Some(node) = node
            && let Err(error) = self.set_directory(path, node)
        {
            return self.run.refused(path, "set the metadata of", error);
        }
        Ok(())
    }

    fn damaged(&mut self, _: &[u8], _: &Error) -> Result<(), RestoreError> {
        Ok(())
    }
}
