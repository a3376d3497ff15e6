//! Names of users and groups.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How much of an account file is read: a million accounts.
const ACCOUNT_FILE_MAX_BYTES: u64 = 64 << 20;
/// Longest account name that is kept; Linux allows 32.
const ACCOUNT_NAME_MAX_BYTES: usize = 256;

/// Names of users and groups by number, as `/etc/passwd` and `/etc/group` list them, read once.
///
/// Accounts that only a directory service knows (LDAP, SSSD, systemd-homed) have no name here: asking the
/// system's resolver takes C calls that this crate, which has no unsafe code, does not make. Such owners are
/// kept by number, which a restore on the same network maps back.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Owners {
    /// Reads the account files of this host; a file that cannot be read gives no names.
    pub(super) fn of_this_host() -> Self {
        Self { users: read_names(Path::new("/etc/passwd")), groups: read_names(Path::new("/etc/group")) }
    }

    /// Returns the name of user `uid`, empty when unknown.
    pub(super) fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_default()
    }

    /// Returns the name of group `gid`, empty when unknown.
    pub(super) fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_default()
    }
}

fn read_names(path: &Path) -> HashMap<u32, String> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(ACCOUNT_FILE_MAX_BYTES).read_to_end(&mut text));
    if read.is_err() {
        return HashMap::new();
    }
    parse_names(&text)
}

/// Parses `name:password:number:…` lines. The first line of a number gives its name, as the system's own
/// look-up does.
fn parse_names(text: &[u8]) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let mut fields = line.split(':');
        let (Some(name), Some(_), Some(number)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if name.is_empty() || name.len() > ACCOUNT_NAME_MAX_BYTES || name.contains('\0') {
            continue;
        }
        if let Ok(number) = number.parse() {
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_number_counts_and_broken_lines_are_passed_over() {
        let names =
            parse_names(b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0\n\nno number\nbad:x:y:\n+::::\nwww:x:33:");
        assert_eq!(names.len(), 2);
        assert_eq!(names[&0], "root");
        assert_eq!(names[&33], "www");
    }

    #[test]
    fn number_zero_has_a_name_on_this_host_and_an_unused_one_has_none() {
        let owners = Owners::of_this_host();
        assert_eq!(owners.user(0), "root");
        assert_eq!(owners.user(3_999_999_999), "");
    }
}
