//! A real file system of a test's own, that can be full, run out of files, or be read-only.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::fs::StatVfs;

use super::scratch;

/// Limit: looks at what is free.
const TAKES_MAX: u32 = 100;

/// Why there is none, for people.
const REFUSED: &str = "this system lets no test mount a file system of its own: allow user namespaces \
    (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0), or run the tests as a \
    root that may mount";

/// A tmpfs in a mount namespace of its own. It vanishes with this value, or with the process.
pub(crate) struct Disk {
    shell: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
    root: PathBuf,
    has_users: bool,
}

impl Disk {
    /// Mounts one of `blocks` of 4 KiB for at most `files` files and folders.
    pub(crate) fn mount(blocks: u64, files: u64) -> Self {
        let options = format!("size={},nr_inodes={files}", blocks * 4096);
        // Root may do without a user namespace, where these are forbidden.
        Self::try_mount(&["--user", "--map-root-user", "--mount"], &options)
            .or_else(|| Self::try_mount(&["--mount"], &options))
            .unwrap_or_else(|| panic!("{REFUSED}"))
    }

    fn try_mount(namespaces: &[&str], options: &str) -> Option<Self> {
        let folder = scratch("disk");
        let mut unshare = Command::new("unshare");
        unshare.args(namespaces).arg("sh").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = unshare.stderr(Stdio::null()).spawn().expect("unshare of util-linux");
        let commands = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().unwrap());
        // `unshare` becomes the shell, so its number is that of a process inside.
        let root = PathBuf::from(format!("/proc/{}/root{}", shell.id(), folder.display()));
        let mut disk =
            Self { shell, commands, answers, folder, root, has_users: namespaces.contains(&"--user") };
        disk.ask(&format!("mount -t tmpfs -o {options},mode=0700 none '{}'", disk.folder.display())).ok()?;
        // What is not seen from here is no use.
        std::fs::write(disk.root.join("probe"), "").ok()?;
        std::fs::remove_file(disk.root.join("probe")).ok()?;
        Some(disk)
    }

    /// Runs a command inside.
    fn ask(&mut self, command: &str) -> Result<(), String> {
        let commands = self.commands.as_mut().unwrap();
        let mut answer = String::new();
        let asked = writeln!(commands, "{command}; echo $?").and_then(|()| commands.flush());
        asked.and_then(|()| self.answers.read_line(&mut answer)).map_err(|error| error.to_string())?;
        match answer.trim() {
            "0" => Ok(()),
            code => Err(format!("{command}: {code}")),
        }
    }

    /// The folder, as it is seen from here.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns `command` run where the disk is mounted at [`Disk::folder`].
    pub(crate) fn inside(&self, command: &Command) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.shell.id().to_string(), "--mount"]);
        nsenter.args(if self.has_users { &["--user", "--preserve-credentials"][..] } else { &[] });
        if let Some(folder) = command.get_current_dir() {
            nsenter.arg(format!("--wdns={}", folder.display()));
        }
        nsenter.arg("--").arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            nsenter.env(name, value.unwrap());
        }
        nsenter
    }

    /// The folder, as it is seen inside.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether anything may be written from now on.
    pub(crate) fn set_writable(&mut self, is_writable: bool) {
        let how = if is_writable { "bind,rw" } else { "bind,ro" };
        self.ask(&format!("mount -o remount,{how} '{}'", self.folder.display())).unwrap();
    }

    /// Takes all space, so that `blocks` are left.
    pub(crate) fn leave_blocks(&self, blocks: u64) {
        let zeros = vec![0; 4096 * 256];
        let mut file = File::create(self.root.join("fill")).unwrap();
        self.take(
            blocks,
            |disk| disk.f_bfree,
            |too_many| {
                let mut left = usize::try_from(too_many).unwrap() * 4096;
                while left > 0 {
                    let part = left.min(zeros.len());
                    file.write_all(&zeros[..part]).unwrap();
                    left -= part;
                }
            },
        );
    }

    /// Takes all names of files, so that `files` are left.
    pub(crate) fn leave_files(&self, files: u64) {
        let folder = self.root.join("fill");
        std::fs::create_dir(&folder).unwrap();
        let mut names = 0_u64..;
        self.take(
            files,
            |disk| disk.f_ffree,
            |too_many| {
                for number in names.by_ref().take(usize::try_from(too_many).unwrap()) {
                    drop(File::create(folder.join(number.to_string())).unwrap());
                }
            },
        );
    }

    /// Calls `take` with how much more is free than `left`, until that is what is free. Once is not always
    /// enough: the system may give back what was removed, or what a process that ended had mapped, later.
    fn take(&self, left: u64, free: impl Fn(&StatVfs) -> u64, mut take: impl FnMut(u64)) {
        for _ in 0..TAKES_MAX {
            let free = free(&rustix::fs::statvfs(&self.root).unwrap());
            assert!(free >= left, "the disk is too small for the test: {free} of {left}");
            if free == left {
                return;
            }
            take(free - left);
        }
        panic!("what is free on the disk keeps changing");
    }

    /// Gives back what was taken.
    pub(crate) fn make_room(&self) {
        let fill = self.root.join("fill");
        match fill.is_dir() {
            true => std::fs::remove_dir_all(fill).unwrap(),
            false => drop(std::fs::remove_file(fill)),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Without input the shell ends, and with it the namespace.
        drop(self.commands.take());
        let _ = self.shell.wait();
        let _ = std::fs::remove_dir(&self.folder);
    }
}

#[test]
fn a_disk_of_ones_own_fills_up_and_is_gone_afterwards() {
    let mut disk = Disk::mount(64, 64);
    let (folder, root) = (disk.folder.clone(), disk.root().to_path_buf());
    let write = || std::fs::write(root.join("file"), [1; 8192]);
    disk.leave_blocks(1);
    assert_eq!(write().unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    disk.make_room();
    write().unwrap();
    std::fs::remove_file(root.join("file")).unwrap();
    disk.leave_files(0);
    assert_eq!(write().unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    disk.make_room();
    disk.set_writable(false);
    assert_eq!(write().unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    disk.set_writable(true);
    write().unwrap();
    assert!(!folder.join("file").exists(), "it is mounted for everybody");
    drop(disk);
    assert!(!folder.exists());
}
