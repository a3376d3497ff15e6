//! Ctrl-C and SIGTERM.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Run, User, listing, noise, objects};

fn interrupt(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Tells whether a process has a handler for a signal by now.
fn catches(child: &Child, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
    u64::from_str_radix(caught, 16).unwrap() & (1 << (signal.as_raw() - 1)) != 0
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what} never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_interrupted_backup_is_130_and_the_next_run_uses_what_arrived() {
    let user = User::with_repository();
    // More than one pack, so that something arrives before the end.
    let dump = noise(20, 200 << 20);
    let words = ["backup", "--stdin", "--stdin-filename", "big"];
    let mut child = user.command(&words).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn({
        let dump = dump.clone();
        move || {
            // The pipe stays open afterwards: only the signal can end the run.
            let _ = stdin.write_all(&dump);
            stdin
        }
    });
    let packs = user.repository().join("packs");
    let is_pack = |(path, _, length): &(std::path::PathBuf, u32, u64)| path.is_file() && *length > 1 << 20;
    wait_until("a pack", || listing(&packs).iter().any(is_pack));
    interrupt(&child, Signal::INT);
    let run: Run = child.wait_with_output().unwrap().into();
    drop(feeder.join().unwrap());
    assert_eq!((run.code, run.err.lines().count()), (130, 1), "{run:?}");
    assert!(run.err.starts_with("snap: error: interrupted; what was stored is kept"), "{run:?}");
    assert_eq!(user.snapshot_count(), 0);

    let run = user.run_with_input(&["--json", "backup", "--stdin", "--stdin-filename", "big"], &dump);
    let summary = objects(&run.out).pop().unwrap();
    let stored = summary["stored_bytes"].as_u64().unwrap();
    assert!(stored < (200 << 20) - (40 << 20), "{stored} bytes were stored again");
    user.ok(&["check", "--read-data"]);
}

#[test]
fn a_stdin_that_gives_nothing_does_not_hold_up_the_end() {
    let user = User::with_repository();
    let child = user.command(&["backup", "--stdin"]).stdin(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let stdin = child.stdin.take().unwrap();
    wait_until("the handler", || catches(&child, Signal::TERM));
    std::thread::sleep(Duration::from_millis(500));
    interrupt(&child, Signal::TERM);
    let run: Run = child.wait_with_output().unwrap().into();
    drop(stdin);
    assert_eq!(run.code, 130, "{run:?}");
}

#[test]
fn an_interrupt_ends_the_command_whose_output_is_read() {
    let user = User::with_repository();
    let script = "echo $$ > pid; trap 'touch ended; exit 1' TERM; while :; do sleep 0.1; done";
    let words = ["backup", "--stdin-from-command", "--", "sh", "-c", script];
    let child = user.command(&words).spawn().unwrap();
    wait_until("the command", || std::fs::read(user.path("pid")).is_ok_and(|pid| !pid.is_empty()));
    interrupt(&child, Signal::INT);
    let run: Run = child.wait_with_output().unwrap().into();
    assert_eq!(run.code, 130, "{run:?}");
    assert!(user.path("ended").exists());
    assert_eq!(user.snapshot_count(), 0);
}
