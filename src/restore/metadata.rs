//! Owner, attributes, mode and times of what was restored.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};

use super::accounts::Accounts;
use crate::base::Time;
use crate::format::node::{Node, NodeKind};

/// Mode bits that act with the rights of the owner.
const MODE_SET_ID: u32 = 0o6000;

/// Sets metadata as far as this process may.
#[derive(Debug)]
pub(super) struct MetadataSetter {
    accounts: Accounts,
    is_root: bool,
    sets_owner: bool,
}

/// Whose an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    user: Uid,
    group: Gid,
}

impl Owner {
    /// Returns the owner of what `stat` describes.
    pub(super) fn of(stat: &Stat) -> Self {
        Self { user: Uid::from_raw(stat.st_uid), group: Gid::from_raw(stat.st_gid) }
    }

    fn is(self, user: Option<Uid>, group: Option<Gid>) -> bool {
        user.is_none_or(|user| user == self.user) && group.is_none_or(|group| group == self.group)
    }
}

/// The first thing that could not be set.
#[derive(Debug)]
pub(super) struct Problem {
    /// What it was.
    pub(super) what: &'static str,
    /// Why not.
    pub(super) error: io::Error,
}

fn times_of(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}

fn note<T>(problem: &mut Option<Problem>, what: &'static str, outcome: Result<T, rustix::io::Errno>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(error) => {
            problem.get_or_insert(Problem { what, error: error.into() });
            false
        }
    }
}

impl MetadataSetter {
    /// Returns a setter; owners are given only by root and only if `ownership` asks for it.
    pub(super) fn new(ownership: bool) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let sets_owner = ownership && is_root;
        let accounts = if sets_owner { Accounts::of_this_host() } else { Accounts::default() };
        Self { accounts, is_root, sets_owner }
    }

    /// Tells whether entries of this kind are made: sockets never, devices where owners are given.
    pub(super) fn makes(&self, kind: &NodeKind) -> bool {
        match kind {
            NodeKind::Socket => false,
            NodeKind::CharDevice { .. } | NodeKind::BlockDevice { .. } => self.sets_owner,
            _ => true,
        }
    }

    fn owner_of(&self, node: &Node) -> (Option<Uid>, Option<Gid>) {
        let user = self.accounts.user(&node.user, node.uid);
        let group = self.accounts.group(&node.group, node.gid);
        // The number that means "leave it".
        let named = |number: u32| (number != u32::MAX).then_some(number);
        (named(user).map(Uid::from_raw), named(group).map(Gid::from_raw))
    }

    /// Returns the mode to set: without the bits that lend rights, unless the owner is the one meant.
    fn mode_of(&self, node: &Node, has_owner: bool) -> Mode {
        let keeps = has_owner || node.is_directory();
        Mode::from_raw_mode(if keeps { node.mode } else { node.mode & !MODE_SET_ID })
    }

    fn xattrs_of<'n>(&self, node: &'n Node) -> impl Iterator<Item = (&'n OsStr, &'n [u8])> {
        let is_root = self.is_root;
        let may_set =
            move |name: &[u8]| is_root || !(name.starts_with(b"security.") || name.starts_with(b"trusted."));
        node.xattrs
            .iter()
            .filter(move |(name, _)| may_set(name))
            .map(|(name, value)| (OsStr::from_bytes(name), value.as_slice()))
    }

    /// Sets everything of an open file or directory, which is `owner`'s as far as that is known.
    pub(super) fn set(&self, entry: BorrowedFd<'_>, node: &Node, owner: Option<Owner>) -> Option<Problem> {
        let mut problem = None;
        let mut has_owner = false;
        if self.sets_owner {
            let (user, group) = self.owner_of(node);
            has_owner = owner.is_some_and(|owner| owner.is(user, group))
                || note(&mut problem, "owner", rustix::fs::fchown(entry, user, group));
        }
        for (name, value) in self.xattrs_of(node) {
            let outcome = rustix::fs::fsetxattr(entry, name, value, XattrFlags::empty());
            note(&mut problem, "extended attributes", outcome);
        }
        note(&mut problem, "mode", rustix::fs::fchmod(entry, self.mode_of(node, has_owner)));
        note(&mut problem, "time", rustix::fs::futimens(entry, &times_of(node.mtime)));
        problem
    }

    /// Sets everything of an entry that cannot be opened: a symlink, pipe or device.
    pub(super) fn set_at(&self, directory: &OwnedFd, name: &OsStr, node: &Node) -> Option<Problem> {
        let mut problem = None;
        let mut has_owner = false;
        if self.sets_owner {
            let (user, group) = self.owner_of(node);
            let outcome = rustix::fs::chownat(directory, name, user, group, AtFlags::SYMLINK_NOFOLLOW);
            has_owner = note(&mut problem, "owner", outcome);
        }
        let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        path.push(name);
        for (attribute, value) in self.xattrs_of(node) {
            let outcome = rustix::fs::lsetxattr(&path, attribute, value, XattrFlags::empty());
            note(&mut problem, "extended attributes", outcome);
        }
        if !matches!(node.kind, NodeKind::Symlink { .. }) {
            let outcome = set_mode_at(directory, name, self.mode_of(node, has_owner));
            note(&mut problem, "mode", outcome);
        }
        let times = times_of(node.mtime);
        let outcome = rustix::fs::utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW);
        note(&mut problem, "time", outcome);
        problem
    }
}

/// Sets the mode of the entry itself: it is pinned first, so that a symlink put in its place is not followed.
fn set_mode_at(directory: &OwnedFd, name: &OsStr, mode: Mode) -> Result<(), rustix::io::Errno> {
    use rustix::fs::{FileType, OFlags, chmod, fstat, openat};
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let pinned = openat(directory, name, flags, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&pinned)?.st_mode) == FileType::Symlink {
        return Err(rustix::io::Errno::LOOP);
    }
    chmod(format!("/proc/self/fd/{}", pinned.as_raw_fd()), mode)
}
