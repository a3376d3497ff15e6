//! Deleting what is in a restored directory but not in the snapshot.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, unlinkat};

use super::RestoreError;
use super::options::Action;
use super::place::{kind_of, look};
use super::run::Run;
use super::walk::Selection;
use crate::base::limits::TREE_DEPTH_MAX;
use crate::format::node::{Node, NodeKind};
use crate::repository::TreeCursor;

/// Tells whether the snapshot holds the directory at the absolute `path` whole: it is a source or below one.
fn is_covered(sources: &[Vec<u8>], path: &[u8]) -> bool {
    sources.iter().any(|source| {
        let source = source.strip_suffix(b"/").unwrap_or(source);
        path.strip_prefix(source).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    })
}

/// Deletes the extra entries of the restored directory at `path`, whose node is `node`.
///
/// What the selection leaves out stays, and so does all that is beside the sources of the snapshot: of the directories above a
/// source it holds only the way to it.
pub(super) fn delete_extra(
    run: &Run<'_>,
    selection: Selection<'_>,
    prefix: &[u8],
    path: &[u8],
    node: &Node,
) -> Result<(), RestoreError> {
    let NodeKind::Directory { tree } = &node.kind else { return Ok(()) };
    let absolute = if path.is_empty() { prefix.to_vec() } else { [prefix, b"/", path].concat() };
    if !is_covered(run.sources, &absolute) {
        return Ok(());
    }
    let directory = match run.target.directory(path) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return run.refused(path, "list", error),
    };
    let names = match names_of(&directory) {
        Ok(names) => names,
        Err(error) => return run.refused(path, "list", error),
    };
    let mut cursor = match TreeCursor::new(run.reader, tree) {
        Ok(cursor) => cursor,
        Err(error) if error.is_damage() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in names {
        run.repository().check_stop()?;
        match cursor.seek(&name) {
            Ok(Some(_)) => continue,
            Ok(None) => {}
            // What cannot be read may name anything.
            Err(error) if error.is_damage() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let below = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
        let is_directory = match look(&directory, std::os::unix::ffi::OsStrExt::from_bytes(name.as_slice())) {
            Ok(Some(stat)) => kind_of(&stat) == FileType::Directory,
            Ok(None) => continue,
            Err(error) => {
                run.refused(&below, "delete", error)?;
                continue;
            }
        };
        if !selection.wants(&[prefix, b"/", &below].concat(), is_directory).0 {
            continue;
        }
        if run.options.dry_run {
            let mut stats = run.stats();
            stats.deleted += 1;
            stats.plan(&below, Action::Delete);
            continue;
        }
        let mut count = 0;
        let outcome = delete(&directory, &name, is_directory, 0, &mut count);
        run.stats().deleted += count;
        if let Err(error) = outcome {
            run.refused(&below, "delete", error)?;
        }
    }
    Ok(())
}

/// Returns the names in a directory, sorted.
fn names_of(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Deletes an entry and what is below it; symlinks are deleted, not followed.
fn delete(above: &OwnedFd, name: &[u8], is_directory: bool, depth: u64, count: &mut u64) -> io::Result<()> {
    if !is_directory {
        unlinkat(above, name, AtFlags::empty())?;
        *count += 1;
        return Ok(());
    }
    if depth >= TREE_DEPTH_MAX {
        return Err(io::Error::other("directories are nested too deep"));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(above, name, flags, Mode::empty())?;
    for below in names_of(&directory)? {
        let stat = look(&directory, std::os::unix::ffi::OsStrExt::from_bytes(below.as_slice()))?;
        let is_directory = stat.is_some_and(|stat| kind_of(&stat) == FileType::Directory);
        delete(&directory, &below, is_directory, depth + 1, count)?;
    }
    unlinkat(above, name, AtFlags::REMOVEDIR)?;
    *count += 1;
    Ok(())
}
