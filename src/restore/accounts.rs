//! Numbers of users and groups by name, as this host knows them.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How much of an account file is read.
const ACCOUNT_FILE_MAX_BYTES: u64 = 64 << 20;

/// Numbers by name from `/etc/passwd` and `/etc/group`, read once.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: HashMap<String, u32>,
    groups: HashMap<String, u32>,
}

impl Accounts {
    /// Reads the account files of this host; one that cannot be read gives no numbers.
    pub(super) fn of_this_host() -> Self {
        Self { users: read(Path::new("/etc/passwd")), groups: read(Path::new("/etc/group")) }
    }

    /// Returns the number of user `name` here, else `number`.
    pub(super) fn user(&self, name: &str, number: u32) -> u32 {
        self.users.get(name).copied().unwrap_or(number)
    }

    /// Returns the number of group `name` here, else `number`.
    pub(super) fn group(&self, name: &str, number: u32) -> u32 {
        self.groups.get(name).copied().unwrap_or(number)
    }
}

fn read(path: &Path) -> HashMap<String, u32> {
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(ACCOUNT_FILE_MAX_BYTES).read_to_end(&mut text)) {
        Ok(_) => parse(&text),
        Err(_) => HashMap::new(),
    }
}

fn parse(text: &[u8]) -> HashMap<String, u32> {
    let mut numbers = HashMap::new();
    for line in text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
        let mut fields = line.split(':');
        let (Some(name), Some(_), Some(number)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if let Ok(number) = number.parse()
            && !name.is_empty()
        {
            numbers.entry(name.to_owned()).or_insert(number);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_host_win_over_numbers() {
        let accounts = Accounts { users: parse(b"root:x:0:0\nbad\nx:y:z\nroot:x:7:0"), groups: parse(b"") };
        assert_eq!(accounts.user("root", 5), 0);
        assert_eq!(accounts.user("nobody-here", 5), 5);
        assert_eq!(accounts.user("", 5), 5);
        assert_eq!(accounts.group("root", 6), 6);
    }
}
