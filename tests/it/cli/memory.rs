//! `--memory` is kept by real runs.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use super::User;

/// The least limit there is.
const LIMIT_BYTES: u64 = 128 << 20;
/// The program itself, stacks, and what the allocator keeps: beside the limit.
const SLACK_BYTES: u64 = 40 << 20;
/// More than fits the limit twice.
const SOURCE_BYTES: usize = 300 << 20;
const POLL: Duration = Duration::from_millis(5);

/// Runs the program and returns the peak of its resident memory, as last seen before it ended.
fn peak_bytes(user: &User, words: &[&str]) -> u64 {
    let mut command = user.command(words);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let status = loop {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kibibytes.unwrap_or(0) * 1024);
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(POLL),
        }
    };
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(status.success(), "{words:?}: {said}");
    assert!(peak > 0, "the peak of {words:?} was never seen");
    peak
}

#[test]
fn backup_restore_and_check_stay_within_the_memory_they_are_given() {
    let user = User::with_repository();
    let mut data = vec![0; SOURCE_BYTES];
    blake3::Hasher::new().update(b"memory").finalize_xof().fill(&mut data);
    let source = user.write("src/noise", &data);
    for words in [
        &["backup", "--memory", "128MiB", "src"][..],
        &["restore", "--memory", "128MiB", "latest", "--target", "back"],
        &["check", "--memory", "128MiB", "--read-data"],
    ] {
        let peak = peak_bytes(&user, words);
        assert!(peak <= LIMIT_BYTES + SLACK_BYTES, "{words:?} took {} MiB", peak >> 20);
    }
    let restored = user.path("back").join(source.strip_prefix("/").unwrap());
    let restored = if restored.exists() { restored } else { user.path("back/src/noise") };
    assert!(std::fs::read(restored).unwrap() == data);
}
