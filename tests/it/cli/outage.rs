//! A network that is cut, a server that is killed, credentials that end, and the program itself killed, each
//! in the middle: a clear error, nothing half done, and the same command again.

use std::collections::HashMap;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use snap::base::clock::SeededEntropy;
use snap::base::{Entropy, SystemEntropy};

use super::{Run, User, noise};
use crate::support::minio::{Minio, minio};
use crate::support::proxy::{Gate, Proxy, Trouble};
use crate::support::sweep_number;

/// A command that cannot reach its store gives up within this time.
const GIVES_UP: Duration = Duration::from_secs(180);

/// What is cut off.
const COMMANDS: [&str; 7] = ["backup", "prune", "copy", "restore", "forget", "key add", "repair index"];

/// A user whose repository, and another one to copy to, lie behind a proxy.
struct Far {
    user: User,
    proxy: Proxy,
    bucket: String,
    keys: (String, String),
    versions: AtomicU64,
}

impl Far {
    fn at(server: &Minio) -> Self {
        let far = Self {
            user: User::new(),
            proxy: Proxy::before(server.port),
            bucket: server.make_bucket(),
            keys: (server.user.clone(), server.password.clone()),
            versions: AtomicU64::new(0),
        };
        far.ok(&["init", "--raw-key", "key"]);
        let copy = far.proxy.location(&far.place("copy"));
        let run: Run =
            far.command(&["--repo", &copy, "init", "--raw-key", "copy.key"]).output().unwrap().into();
        assert_eq!(run.code, 0, "{run:?}");
        far.change();
        far.ok(&["backup", "src"]);
        far
    }

    fn place(&self, prefix: &str) -> String {
        format!("{}/{prefix}", self.bucket)
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.user.command(words);
        command.env("AWS_ACCESS_KEY_ID", &self.keys.0).env("AWS_SECRET_ACCESS_KEY", &self.keys.1);
        command
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let mut all = vec!["--repo".to_owned(), self.proxy.location(&self.place("repository"))];
        let opens = ["--key-file".to_owned(), "key".to_owned()];
        all.extend((!words.contains(&"--raw-key")).then_some(opens).into_iter().flatten());
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all
    }

    fn spawn(&self, words: &[&str]) -> Child {
        let words = self.words(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.command(&words).spawn().unwrap()
    }

    fn run(&self, words: &[&str]) -> Run {
        self.spawn(words).wait_with_output().unwrap().into()
    }

    fn ok(&self, words: &[&str]) {
        let run = self.run(words);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{words:?}: {run:?}");
    }

    /// Writes another version of the source.
    fn change(&self) {
        let version = self.versions.fetch_add(1, Ordering::SeqCst) + 1;
        self.user.write("src/changes", noise(version, 2_000_000));
        self.user.write(&format!("src/small-{version}"), noise(version, 30_000));
        self.user.write("src/stays", noise(0, 300_000));
    }

    /// The commands that are cut off, by name.
    fn words_of(&self, name: &str) -> Vec<String> {
        let from = format!("latest:{}", self.user.path("src").display());
        let copy = self.proxy.location(&self.place("copy"));
        let words = match name {
            "backup" => vec!["backup", "src"],
            "prune" => vec!["prune", "--keep-last", "1", "--grace", "0", "--max-unused", "0"],
            "copy" => vec!["copy", "--to", &copy, "--to-key-file", "copy.key"],
            "restore" => vec!["restore", &from, "--target", "out", "--overwrite", "always"],
            "forget" => vec!["forget", "latest~1"],
            "key add" => vec!["key", "add", "--new-key-file", "second"],
            "repair index" => vec!["repair", "index"],
            other => panic!("{other} is no command of this test"),
        };
        words.into_iter().map(str::to_owned).collect()
    }

    /// Makes sure that `name` has something to do.
    fn prepare(&self, name: &str) {
        self.change();
        match name {
            "backup" => {}
            "restore" => drop(std::fs::remove_dir_all(self.user.path("out"))),
            "forget" => {
                // One to drop, and one to drop again.
                self.ok(&["backup", "src"]);
                self.ok(&["backup", "src"]);
            }
            _ => self.ok(&["backup", "src"]),
        }
    }

    fn spawn_named(&self, name: &str) -> Child {
        let _ = std::fs::remove_file(self.user.path("second"));
        let words = self.words_of(name);
        self.spawn(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn run_named(&self, name: &str) -> Run {
        self.spawn_named(name).wait_with_output().unwrap().into()
    }

    /// Begins `name` and holds it at its request `from` until the gate opens; tells whether it came there.
    fn spawn_held(&self, name: &str, from: u64) -> (Child, Arc<Gate>, bool) {
        let gate = Arc::new(Gate::default());
        let passed = gate.clone();
        self.proxy.set(move |request| {
            if request.number == from {
                passed.pass();
            }
            Trouble::Pass
        });
        let mut child = self.spawn_named(name);
        let is_reached = gate.reached(|| child.try_wait().unwrap().is_some());
        (child, gate, is_reached)
    }

    /// Runs what was cut off once more, as a person does who knows that the first one is dead; fails unless
    /// that succeeds and every byte is whole.
    fn finish(&self, name: &str, context: &str) {
        self.proxy.heal();
        self.require_whole(context);
        self.ok(&["unlock", "--quiet"]);
        let again = self.run_named(name);
        assert_eq!(again.code, 0, "{context}, again: {again:?}");
        self.require_whole(context);
    }

    fn require_whole(&self, context: &str) {
        let copy = self.proxy.location(&self.place("copy"));
        let check = self.run(&["check", "--read-data"]);
        assert_eq!(check.code, 0, "{context}: {check:?}");
        let words = ["--repo", &copy, "--key-file", "copy.key", "check", "--read-data"];
        let check: Run = self.command(&words).output().unwrap().into();
        assert_eq!(check.code, 0, "{context}, the copy: {check:?}");
    }

    /// Fails unless a backup of what is there now restores to it, and prune leaves nothing else.
    fn require_going_on(&self, context: &str) {
        self.proxy.heal();
        self.ok(&["unlock", "--quiet"]);
        for name in ["backup", "prune", "copy", "restore"] {
            let _ = std::fs::remove_dir_all(self.user.path("out"));
            let run = self.run_named(name);
            assert_eq!(run.code, 0, "{context}: {name}: {run:?}");
        }
        let version = self.versions.load(Ordering::SeqCst);
        assert!(
            std::fs::read(self.user.path("out/changes")).unwrap() == noise(version, 2_000_000),
            "{context}"
        );
        self.require_whole(context);
    }

    /// How many requests the command makes that was run last.
    fn requests(&self) -> u64 {
        self.proxy.counts().0
    }
}

/// Draws numbers from a seed that the test prints, or that the sweep gives.
struct Dice(SeededEntropy);

impl Dice {
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Self(SeededEntropy::new(seed))
    }

    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound.max(1)
    }
}

fn seed() -> u64 {
    sweep_number("SNAP_SWEEP_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        SystemEntropy.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    })
}

#[test]
fn a_network_that_breaks_off_now_and_then_costs_no_command() {
    let far = Far::at(minio());
    let kinds = [Trouble::Refuse, Trouble::CutRequest, Trouble::CutAnswer, Trouble::LoseAnswer];
    let mut troubled = 0;
    for name in ["backup", "prune", "copy", "restore"] {
        far.prepare(name);
        let (kinds, broken) = (kinds.clone(), Mutex::new(HashMap::new()));
        far.proxy.set(move |request| {
            // Twice what asks for the same: whoever is never let through gives up.
            let mut broken = broken.lock().unwrap();
            let times: &mut u32 = broken.entry((request.method.clone(), request.target.clone())).or_default();
            if request.number % 4 != 1 || *times == 2 {
                return Trouble::Pass;
            }
            *times += 1;
            kinds[(request.number / 4 % 4) as usize].clone()
        });
        let run = far.run_named(name);
        assert_eq!(run.code, 0, "{name}: {run:?}");
        troubled += far.proxy.counts().1;
        far.proxy.heal();
        far.require_whole(name);
    }
    println!("{troubled} requests broken off");
    assert!(troubled > 20, "{troubled}");
    far.require_going_on("in the end");
}

#[test]
fn a_network_that_is_gone_for_a_while_is_waited_for_and_one_that_stays_away_ends_the_run() {
    let both = |name| [false, true].map(|stays_away| (name, stays_away, Trouble::Refuse));
    let mut cases: Vec<(&str, bool, Trouble)> = COMMANDS.into_iter().flat_map(both).collect();
    cases.push(("backup", true, Trouble::Answer(503, "SlowDown")));
    std::thread::scope(|scope| {
        for (name, stays_away, trouble) in &cases {
            scope.spawn(move || gone(name, *stays_away, trouble));
        }
    });
}

/// Runs a command whose network goes away in the middle.
fn gone(name: &str, stays_away: bool, trouble: &Trouble) {
    let far = Far::at(minio());
    far.prepare(name);
    let (first, count) = if stays_away { (6, u64::MAX) } else { (6, 15) };
    let trouble = trouble.clone();
    far.proxy.set(move |request| match request.number.checked_sub(first) {
        Some(since) if since < count => trouble.clone(),
        _ => Trouble::Pass,
    });
    let begin = Instant::now();
    let run = far.run_named(name);
    let context = format!("{name}, away: {stays_away}: {run:?}");
    assert!(far.proxy.counts().1 > 0, "{context}");
    if stays_away {
        assert!(
            run.code == 1 && run.err.contains("check the endpoint in --repo and the network"),
            "{context}"
        );
        assert!(begin.elapsed() < GIVES_UP, "{context}");
    } else {
        assert_eq!(run.code, 0, "{context}");
    }
    println!("{name}: code {} after {:.1} s", run.code, begin.elapsed().as_secs_f64());
    far.finish(name, &context);
    far.require_going_on(&context);
}

/// What a server may say in the middle, and what a person is told of it.
const ANSWERS: [(u16, &str, &str); 8] = [
    (400, "ExpiredToken", "AWS_SESSION_TOKEN"),
    (403, "InvalidTokenId", "AWS_SESSION_TOKEN"),
    (403, "AccessDenied", "check the rights"),
    (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
    (403, "RequestTimeTooSkewed", "the clocks of this host and of"),
    (507, "XMinioStorageFull", "no space is left in"),
    (400, "XMinioAdminBucketQuotaExceeded", "no space is left in"),
    (404, "NoSuchBucket", "there is no bucket"),
];

#[test]
fn what_a_server_says_in_the_middle_is_told_and_the_same_command_goes_on_later() {
    let (far, dice) = (Far::at(minio()), Dice::new(seed()));
    let mut refused = 0;
    for (at, (status, code, told)) in ANSWERS.into_iter().enumerate() {
        for name in ["backup", COMMANDS[1 + at % 6]] {
            far.prepare(name);
            let from = 3 + dice.below(12);
            let is_full = told.starts_with("no space");
            far.proxy.set(move |request| match request.number >= from {
                // Who has no space still reads and deletes.
                true if !is_full || request.method == "PUT" => Trouble::Answer(status, code),
                _ => Trouble::Pass,
            });
            let run = far.run_named(name);
            let context = format!("{name} told {code} from request {from} on");
            if run.code != 0 {
                refused += 1;
                let last = run.err.lines().last().unwrap_or_default();
                match (code, run.code) {
                    // Told at the opening: this host knows what was there.
                    ("NoSuchBucket", 13) => assert!(last.contains("is gone"), "{context}: {run:?}"),
                    ("NoSuchBucket", 10) | (_, 1) => {
                        assert!(last.contains(told) && last.contains(code), "{context}: {run:?}");
                    }
                    _ => panic!("{context}: {run:?}"),
                }
                assert!(!run.err.contains(&far.keys.1), "{context}: a secret is shown");
            }
            far.finish(name, &context);
        }
    }
    println!("{refused} of {} runs refused", 2 * ANSWERS.len());
    assert!(refused >= 8, "{refused}");
    far.require_going_on("in the end");
}

/// A bucket that keeps what it has, for a time or for ever, refuses every deletion (kopia #3253).
#[test]
fn a_bucket_that_lets_nothing_be_deleted_is_named_and_costs_nothing() {
    let far = Far::at(minio());
    far.prepare("prune");
    far.proxy.set(|request| match request.method == "DELETE" || request.target.contains("?delete") {
        true => Trouble::Answer(403, "AccessDenied"),
        false => Trouble::Pass,
    });
    for name in ["backup", "prune", "forget", "repair index"] {
        let run = far.run_named(name);
        assert!(far.proxy.counts().1 > 0 || run.code == 0, "{name}: {run:?}");
        let is_told = run.err.contains("AccessDenied") && run.err.contains("check the rights");
        assert!(run.code == 0 || run.code == 1 && is_told, "{name}: {run:?}");
        // Backups go on.
        assert!(name != "backup" || run.code == 0, "{run:?}");
        assert!(name != "forget" || run.code == 1, "{run:?}");
    }
    far.finish("prune", "deletions are let through again");
    far.require_going_on("in the end");
}

#[test]
fn a_server_that_is_killed_and_comes_back_costs_no_command() {
    let mut server = Minio::start();
    let (far, dice) = (Far::at(&server), Dice::new(seed()));
    for name in ["backup", "prune", "copy"] {
        far.prepare(name);
        let from = 3 + dice.below(15);
        let (child, gate, is_reached) = far.spawn_held(name, from);
        if is_reached {
            server.kill_and_start();
        }
        gate.open();
        let run: Run = child.wait_with_output().unwrap().into();
        assert_eq!(run.code, 0, "{name}, killed at request {from}: {run:?}");
        far.proxy.heal();
        far.require_whole(&format!("{name}, killed at request {from}"));
        assert!(is_reached || name != "backup", "{name} ended before request {from}");
    }
    far.require_going_on("in the end");
}

#[test]
fn a_run_on_a_server_killed_at_any_request_leaves_every_snapshot_whole_and_the_next_goes_on() {
    let (far, dice) = (Far::at(minio()), Dice::new(seed()));
    let minutes = sweep_number("SNAP_SWEEP_MINUTES").unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let (mut rounds, mut killed) = (0, 0);
    while rounds < 6 || Instant::now() < end {
        let name = ["backup", "prune", "copy"][rounds % 3];
        far.prepare(name);
        let from = 1 + dice.below(30);
        let (mut child, gate, is_reached) = far.spawn_held(name, from);
        let _ = child.kill();
        gate.open();
        child.wait().unwrap();
        killed += u64::from(is_reached);
        far.finish(name, &format!("{name}, killed at request {from}"));
        rounds += 1;
    }
    println!("{killed} of {rounds} runs killed, the last with {} requests", far.requests());
    assert!(killed > 0);
    far.require_going_on("in the end");
}
