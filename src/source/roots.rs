//! The paths that a run was asked for.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Longest list of paths that is read.
const PATH_LIST_MAX_BYTES: u64 = 64 << 20;

/// Returns `paths` absolute (relative ones start at `cwd`), without `.` and `..`, sorted, without duplicates
/// and without those that lie below another one.
///
/// `..` takes the name before it away by its letters: symlinks are not looked at, so the answer does not
/// depend on the file system. A path below another that is a symlink is removed too: the link itself is what
/// is stored.
pub fn clean_paths(cwd: &Path, paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut cleaned: Vec<PathBuf> = paths.iter().map(|path| clean(&cwd.join(path))).collect();
    cleaned.sort();
    let mut kept: Vec<PathBuf> = Vec::with_capacity(cleaned.len());
    for path in cleaned {
        // Sorted by components, whatever lies below a path follows it at once.
        if !kept.last().is_some_and(|last| path.starts_with(last)) {
            kept.push(path);
        }
    }
    kept
}

fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    cleaned
}

/// Reads one path a line. Empty lines and lines that start with `#` are passed over; a name that starts so
/// can be given as `./#name`, and one that holds a newline only to [`files_from_raw`]. Fails on more than 64
/// MiB.
pub fn files_from(reader: impl Read) -> io::Result<Vec<PathBuf>> {
    let text = read_list(reader)?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
    Ok(lines.filter(|line| !line.is_empty()).map(to_path).collect())
}

/// Reads paths that a NUL ends each, as `find -print0` writes them, and nothing else in between. Fails on
/// more than 64 MiB.
pub fn files_from_raw(reader: impl Read) -> io::Result<Vec<PathBuf>> {
    let text = read_list(reader)?;
    Ok(text.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(to_path).collect())
}

fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

fn read_list(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    reader.take(PATH_LIST_MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > PATH_LIST_MAX_BYTES {
        return Err(io::Error::other(format!("the list takes more than {PATH_LIST_MAX_BYTES} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn cleaned(paths: &[&str]) -> Vec<PathBuf> {
        clean_paths(Path::new("/home/u"), &paths.iter().map(PathBuf::from).collect::<Vec<_>>())
    }

    fn list(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn paths_become_absolute_and_lose_dots() {
        assert_eq!(cleaned(&["x/./y//z/", "../v", "/a/b/../c", "/../.."]), list(&["/"]));
        assert_eq!(cleaned(&["x/./y//z/", "../v", "/a/b/../c"]), list(&["/a/c", "/home/u/x/y/z", "/home/v"]));
        assert_eq!(cleaned(&["."]), list(&["/home/u"]));
        assert_eq!(cleaned(&[]), list(&[]));
    }

    #[test]
    fn duplicates_and_nested_paths_go_and_siblings_stay() {
        assert_eq!(cleaned(&["/a/b", "/a", "/a", "/a-b", "/ab"]), list(&["/a", "/a-b", "/ab"]));
    }

    #[test]
    fn order_is_by_bytes_of_each_name() {
        let odd = PathBuf::from(OsStr::from_bytes(b"/\xff"));
        let paths = clean_paths(Path::new("/"), &[odd.clone(), "/a!".into(), "/a/z".into(), "/Z".into()]);
        assert_eq!(paths, [PathBuf::from("/Z"), "/a/z".into(), "/a!".into(), odd]);
    }

    #[test]
    fn lists_of_paths_keep_spaces_and_stray_bytes() {
        let text = b"# no\n\n a b \n\xff\n./#c";
        let expected: Vec<PathBuf> = [&b" a b "[..], b"\xff", b"./#c"].iter().map(|p| to_path(p)).collect();
        assert_eq!(files_from(&text[..]).unwrap(), expected);
        assert_eq!(files_from_raw(&b"#a\nb\0c\0\0"[..]).unwrap(), list(&["#a\nb", "c"]));
    }
}
