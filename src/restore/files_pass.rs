//! The first walk of a restore: directories are made, files gathered, and what is left for the second is
//! kept.

use std::collections::{HashMap, HashSet};
use std::io;
use std::thread;

use rustix::fs::{AtFlags, FileType, Mode, mkdirat, unlinkat};

use super::RestoreError;
use super::batch::Batch;
use super::files::{FileJob, Identity, Way, can_write_in_place, identity_of};
use super::options::Overwrite;
use super::place::{kind_of, look, temporary_name};
use super::run::{Run, Verdict, judge};
use super::walk::{Visitor, attribute_bytes};
use crate::format::node::{FileContent, Node, NodeKind};
use crate::repository::Error;

/// Hard-link groups kept; files of further groups are restored one by one.
const GROUPS_KEPT_MAX: usize = 1 << 20;
/// Directories whose making is remembered, for `Overwrite::Never`; further ones keep the mode they were made
/// with.
const NEW_DIRECTORIES_KEPT_MAX: usize = 1 << 20;

/// Directories kept with their metadata, and bytes of their paths and attributes, so that no second walk has
/// to find them.
const LEFT_KEPT_MAX: usize = 1 << 15;
const LEFT_KEPT_MAX_BYTES: usize = 16 << 20;

/// The name of a hard-link group that carries the content.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) path: Vec<u8>,
    pub(super) ordinal: u64,
    size_bytes: u64,
    content: FileContent,
}

/// What the first walk leaves for the second.
#[derive(Debug, Default)]
pub(super) struct Carried {
    groups: HashMap<(u64, u64), Group>,
    pub(super) new_directories: HashSet<Identity>,
    pub(super) left: Left,
}

/// Directories in the order in which they were left, the deepest first.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) directories: Vec<(Vec<u8>, Node)>,
    bytes: usize,
    /// There are more, or something else is left to do that the second walk finds.
    pub(super) needs_walk: bool,
}

impl Left {
    fn add(&mut self, path: &[u8], node: &Node) {
        self.bytes += path.len() + attribute_bytes(node);
        self.needs_walk |= self.directories.len() >= LEFT_KEPT_MAX || self.bytes > LEFT_KEPT_MAX_BYTES;
        if self.needs_walk {
            self.directories = Vec::new();
        } else {
            self.directories.push((path.to_vec(), node.clone()));
        }
    }
}

impl Carried {
    /// Returns the group that `node` is a further name of, if its content agrees.
    pub(super) fn group_of(&self, node: &Node) -> Option<&Group> {
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
pub(super) struct FilesPass<'scope, 'a> {
    run: &'scope Run<'a>,
    batch: Batch<'scope, 'a>,
    carried: Carried,
    ordinal: u64,
    /// The directories down to here: whether this run made them, so that nothing is in them.
    made: Vec<bool>,
}

impl<'scope, 'a> FilesPass<'scope, 'a> {
    pub(super) fn new(run: &'scope Run<'a>, threads: &'scope thread::Scope<'scope, '_>) -> Self {
        let made = vec![run.target.is_new];
        Self { run, batch: Batch::new(run, threads), carried: Carried::default(), ordinal: 0, made }
    }

    /// Restores what is still waiting.
    pub(super) fn finish(self) -> Result<Carried, RestoreError> {
        self.batch.finish()?;
        Ok(self.carried)
    }

    /// Returns whether it was missing.
    fn make_directory(&mut self, path: &[u8]) -> io::Result<bool> {
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
                return Ok(false);
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
        Ok(true)
    }

    fn job_of(&self, path: &[u8], node: Node) -> io::Result<Option<FileJob>> {
        let (directory, name) = self.run.target.parent(path)?;
        let is_empty = self.made.last().is_some_and(|is_made| *is_made);
        let stat = if is_empty { None } else { look(&directory, name)? };
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
            Ok(is_made) => {
                self.made.push(is_made);
                self.run.stats().directories += 1;
                Ok(true)
            }
            Err(error) => self.run.refused(path, "make", error).map(|()| false),
        }
    }

    fn entry(&mut self, path: &[u8], node: Node) -> Result<(), RestoreError> {
        self.ordinal += 1;
        if !matches!(node.kind, NodeKind::File { .. }) || self.carried.group_of(&node).is_some() {
            self.carried.left.needs_walk = true;
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

    fn leave(&mut self, path: &[u8], node: Option<&Node>, _: bool) -> Result<(), RestoreError> {
        self.made.pop();
        if let Some(node) = node {
            self.carried.left.add(path, node);
        }
        Ok(())
    }

    fn damaged(&mut self, path: &[u8], error: &Error) -> Result<(), RestoreError> {
        self.run.damaged(path, error);
        Ok(())
    }
}
