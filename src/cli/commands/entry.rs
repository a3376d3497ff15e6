//! Entries of snapshots as lines and as JSON.

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::base::escape::escape_name;
use crate::base::parse::format_time;
use crate::cli::json;
use crate::format::node::{Node, NodeKind};

/// Returns a path for people; a folder ends with a slash.
pub fn name(path: &[u8], node: &Node) -> String {
    let slash = if node.is_directory() { "/" } else { "" };
    format!("{}{slash}", escape_name(path))
}

/// Returns mode, owner, size, time and path, as `ls -l` does.
pub fn long(path: &[u8], node: &Node, zone: &TimeZone) -> String {
    let or_number = |name: &str, number: u32| match name {
        "" => number.to_string(),
        name => escape_name(name.as_bytes()),
    };
    let user = or_number(&node.user, node.uid);
    let group = or_number(&node.group, node.gid);
    let size = match node.kind {
        NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
            format!("{major}, {minor}")
        }
        _ => node.size_bytes().to_string(),
    };
    let target = match &node.kind {
        NodeKind::Symlink { target } => format!(" -> {}", escape_name(target)),
        _ => String::new(),
    };
    let time = format_time(node.mtime, zone);
    format!("{} {user:8} {group:8} {size:>12} {time} {}{target}", mode(node), name(path, node))
}

/// Returns type and rights like `drwxr-xr-x`.
fn mode(node: &Node) -> String {
    let mut text = String::with_capacity(10);
    text.push(match node.kind {
        NodeKind::File { .. } => '-',
        NodeKind::Directory { .. } => 'd',
        NodeKind::Symlink { .. } => 'l',
        NodeKind::Fifo => 'p',
        NodeKind::CharDevice { .. } => 'c',
        NodeKind::BlockDevice { .. } => 'b',
        NodeKind::Socket => 's',
    });
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = node.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (node.mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Returns the word for what a node is.
fn kind(node: &Node) -> &'static str {
    match node.kind {
        NodeKind::File { .. } => "file",
        NodeKind::Directory { .. } => "directory",
        NodeKind::Symlink { .. } => "symlink",
        NodeKind::Fifo => "fifo",
        NodeKind::CharDevice { .. } => "char_device",
        NodeKind::BlockDevice { .. } => "block_device",
        NodeKind::Socket => "socket",
    }
}

/// Returns an entry for programs.
pub fn fields(path: &[u8], node: &Node) -> Map<String, Value> {
    let mut fields = Map::new();
    json::set_name(&mut fields, "path", path);
    let mut set = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    set("kind", Value::from(kind(node)));
    set("size_bytes", Value::from(node.size_bytes()));
    set("mode", Value::from(format!("{:04o}", node.mode)));
    set("uid", Value::from(node.uid));
    set("gid", Value::from(node.gid));
    set("user", Value::from(node.user.as_str()));
    set("group", Value::from(node.group.as_str()));
    set("mtime", Value::from(json::time(node.mtime)));
    if let NodeKind::Symlink { target } = &node.kind {
        json::set_name(&mut fields, "target", target);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;

    fn node(kind: NodeKind, mode: u32) -> Node {
        Node {
            name: b"x".to_vec(),
            kind,
            changed: false,
            sparse: false,
            mode,
            uid: 1,
            gid: 2,
            user: String::new(),
            group: "staff".to_owned(),
            mtime: Time::from_seconds(0),
            ctime: Time::from_seconds(0),
            inode: 1,
            link_device: None,
            xattrs: Vec::new(),
        }
    }

    #[test]
    fn modes_read_as_in_ls() {
        assert_eq!(mode(&node(NodeKind::Fifo, 0o644)), "prw-r--r--");
        assert_eq!(mode(&node(NodeKind::Fifo, 0o4755)), "prwsr-xr-x");
        assert_eq!(mode(&node(NodeKind::Fifo, 0o1770)), "prwxrwx--T");
    }

    #[test]
    fn a_long_line_escapes_names_and_shows_where_links_point() {
        let link = node(NodeKind::Symlink { target: b"a\x1bb".to_vec() }, 0o777);
        assert_eq!(
            long(b"/l", &link, &TimeZone::UTC),
            "lrwxrwxrwx 1        staff               0 1970-01-01 00:00:00 /l -> a\\u{1b}b"
        );
    }
}
