//! The two walks of a restore: directories and files first; then further names, special files, symlinks, deletions, and
//! the metadata of directories from the deepest up.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Mode, Stat, linkat, makedev, mkdirat, mknodat, symlinkat, unlinkat};

use super::RestoreError;
use super::batch::Batch;
use super::delete::delete_extra;
use super::files::{FileJob, Identity, Way, can_write_in_place, identity_of};
use super::options::Overwrite;
use super::place::{kind_of, look, rename_over, temporary_name};
use super::run::{Run, Verdict, judge};
use super::walk::{Selection, Visitor};
use crate::format::node::{FileContent, Node, NodeKind};
use crate::repository::Error;

/// Hard-link groups kept; files of further groups are restored one by one.
const GROUPS_KEPT_MAX: usize = 1 << 20;
/// Directories whose making is remembered, for `Overwrite::Never`; further ones keep the mode they were made with.
const NEW_DIRECTORIES_KEPT_MAX: usize = 1 << 20;

/// The name of a hard-link group that carries the content.
#[derive(Debug)]
struct Group {
    path: Vec<u8>,
    ordinal: u64,
    size_bytes: u64,
    content: FileContent,
}

/// What the first walk leaves for the second.
#[derive(Debug, Default)]
pub(super) struct Carried {
    groups: HashMap<(u64, u64), Group>,
    new_directories: HashSet<Identity>,
}

impl Carried {
    /// Returns the group that `node` is a further name of, if its content agrees.
    fn group_of(&self, node: &Node) -> Option<&Group> {
        let group = self.groups.get(&(node.link_device?, node.inode))?;
        match &node.kind {
            NodeKind::File { size_bytes, content, .. } => {
                (*size_bytes == group.size_bytes && *content == group.content).then_some(group)
            }
            _ => None,
        }
    }
}

/// The first walk.
#[derive(Debug)]
pub(super) struct FilesPass<'r, 'a> {
    run: &'r Run<'a>,
    batch: Batch<'r, 'a>,
    carried: Carried,
    ordinal: u64,
}

impl<'r, 'a> FilesPass<'r, 'a> {
    pub(super) fn new(run: &'r Run<'a>) -> Self {
        Self { run, batch: Batch::new(run), carried: Carried::default(), ordinal: 0 }
    }

    /// Restores what is still waiting.
    pub(super) fn finish(mut self) -> Result<Carried, RestoreError> {
        self.batch.flush()?;
        Ok(self.carried)
    }

    fn make_directory(&mut self, path: &[u8]) -> io::Result<()> {
        let (above, name) = self.run.target.parent(path)?;
        let overwrite = self.run.options.overwrite;
        match look(&above, name)? {
            Some(stat) if kind_of(&stat) == FileType::Directory => {
                let owner = rustix::process::geteuid();
                let is_closed = stat.st_mode & 0o700 != 0o700 && stat.st_uid == owner.as_raw();
                if is_closed && overwrite != Overwrite::Never {
                    let directory = self.run.target.directory(path)?;
                    rustix::fs::fchmod(&*directory, Mode::from_raw_mode(stat.st_mode & 0o7777 | 0o700))?;
                }
                return Ok(());
            }
            Some(_) if matches!(overwrite, Overwrite::Never | Overwrite::IfNewer) => {
                return Err(io::Error::other("something that is no directory is in its place"));
            }
            Some(_) => unlinkat(&*above, name, AtFlags::empty())?,
            None => {}
        }
        mkdirat(&*above, name, Mode::RWXU)?;
        if overwrite == Overwrite::Never
            && self.carried.new_directories.len() < NEW_DIRECTORIES_KEPT_MAX
            && let Some(stat) = look(&above, name)?
        {
            self.carried.new_directories.insert(identity_of(&stat));
        }
        Ok(())
    }

    fn job_of(&self, path: &[u8], node: Node) -> io::Result<Option<FileJob>> {
        let (directory, name) = self.run.target.parent(path)?;
        let stat = look(&directory, name)?;
        let options = self.run.options;
        let verdict = judge(options.overwrite, &node, stat.as_ref());
        let temporary = || Way::Temporary(temporary_name(self.run.repository().entropy().as_ref()).into());
        let (way, existing) = match (verdict, stat) {
            (Verdict::Skip, _) => return Ok(None),
            // What stops half-way must not pass for a file that was there.
            (Verdict::Make, _) if matches!(options.overwrite, Overwrite::IfNewer | Overwrite::Never) => {
                (temporary(), None)
            }
            (Verdict::Replace, Some(stat)) if kind_of(&stat) == FileType::RegularFile => {
                let identity = identity_of(&stat);
                let is_alone = stat.st_nlink == 1 && stat.st_uid == rustix::process::geteuid().as_raw();
                let is_same_size = u64::try_from(stat.st_size) == Ok(node.size_bytes());
                let stays = options.overwrite != Overwrite::IfNewer && is_alone && is_same_size;
                if stays && can_write_in_place(&directory, name, identity) {
                    (Way::InPlace(identity), Some(identity))
                } else {
                    (temporary(), Some(identity))
                }
            }
            (Verdict::Replace, _) => (temporary(), None),
            (Verdict::Make, _) => (Way::Direct, None),
        };
        Ok(Some(FileJob::new(path.to_vec(), node, self.ordinal, way, existing)))
    }
}

impl Visitor for FilesPass<'_, '_> {
    fn directory(&mut self, path: &[u8], _: &Node) -> Result<bool, RestoreError> {
        match self.make_directory(path) {
            Ok(()) => {
                self.run.stats().directories += 1;
                Ok(true)
            }
            Err(error) => self.run.refused(path, "make", error).map(|()| false),
        }
    }

    fn entry(&mut self, path: &[u8], node: Node) -> Result<(), RestoreError> {
        self.ordinal += 1;
        if !matches!(node.kind, NodeKind::File { .. }) || self.carried.group_of(&node).is_some() {
            return Ok(());
        }
        self.run.repository().progress().current(path);
        match self.job_of(path, node) {
            Ok(None) => self.run.stats().skipped_files += 1,
            Ok(Some(job)) => {
                let key = job.node.link_device.map(|device| (device, job.node.inode));
                if let (Some(key), NodeKind::File { size_bytes, content, .. }) = (key, &job.node.kind)
                    && self.carried.groups.len() < GROUPS_KEPT_MAX
                {
                    self.carried.groups.entry(key).or_insert_with(|| Group {
                        path: path.to_vec(),
                        ordinal: self.ordinal,
                        size_bytes: *size_bytes,
                        content: content.clone(),
                    });
                }
                self.batch.add(job)?;
            }
            Err(error) => self.run.refused(path, "write", error)?,
        }
        Ok(())
    }

    fn leave(&mut self, _: &[u8], _: Option<&Node>, _: bool) -> Result<(), RestoreError> {
        Ok(())
    }

    fn damaged(&mut self, path: &[u8], error: &Error) -> Result<(), RestoreError> {
        self.run.damaged(path, error);
        Ok(())
    }
}

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

    /// Makes an entry by `make`, under its own name or in the place of what is there. Returns whether it was made.
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
        let made = match &node.kind {
            NodeKind::File { .. } | NodeKind::Directory { .. } => return Ok(()),
            NodeKind::Socket => None,
            NodeKind::CharDevice { .. } | NodeKind::BlockDevice { .. }
                if !self.run.metadata.makes_devices() =>
            {
                None
            }
            NodeKind::CharDevice { major, minor } => Some(device(FileType::CharacterDevice, *major, *minor)),
            NodeKind::BlockDevice { major, minor } => Some(device(FileType::BlockDevice, *major, *minor)),
            NodeKind::Fifo => Some(device(FileType::Fifo, 0, 0)),
            NodeKind::Symlink { target } => Some(self.put(path, node, judged, |directory, name| {
                Ok(symlinkat(target.as_slice(), directory, name)?)
            })),
        };
        match made {
            None => self.run.stats().skipped_special += 1,
            Some(Ok(true)) => self.run.stats().others += 1,
            Some(Ok(false)) => self.run.stats().skipped_files += 1,
            Some(Err(error)) => self.run.refused(path, "make", error)?,
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
        self.run.note_problem(path, self.run.metadata.set(directory.as_fd(), node));
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
