//! Whole repositories of a later version are refused with a sentence, as far as they must be, and nothing in
//! them is touched.

use snap::format::config::Feature;

use super::hand::{Hand, RawNode};
use super::{Run, User, contents};

/// Commands that only read.
const READERS: [&str; 11] = [
    "snapshots",
    "ls latest",
    "find a",
    "diff latest~1 latest",
    "stats",
    "restore latest --target out",
    "dump latest FILE -o dumped",
    "check --read-data",
    "key list",
    "key export -o sheet",
    "copy --to other --to-key-file other-key",
];
/// Commands that write.
const WRITERS: [&str; 10] = [
    "backup src",
    "forget latest",
    "prune --grace 0 --max-unused 0",
    "key add --new-password-file new",
    "key change --new-password-file new",
    "key remove KEY",
    "repair index",
    "repair packs --aside aside",
    "repair snapshots --forget",
    "copy --repo other --key-file other-key --to .local/share/snap/repository --to-key-file own-key",
];

/// A user with a repository of two snapshots, waste, two keys, and a second repository beside it.
struct Case {
    user: User,
    key: String,
}

impl Case {
    fn new() -> Self {
        let user = User::with_repository();
        for content in ["one", "two"] {
            user.write("src/a", content);
            user.ok(&["backup", "src"]);
        }
        user.secret("new", "a new password");
        let key = user.summary(&["key", "add", "--new-password-file", "new"])["added"].clone();
        user.ok(&["init", "--repo", "other", "--raw-key", "other-key"]);
        user.ok(&["backup", "src", "--repo", "other", "--key-file", "other-key"]);
        super::copy(&user.key(), &user.path("own-key"));
        Self { user, key: key.as_str().unwrap().to_owned() }
    }

    fn run(&self, words: &str) -> Run {
        let file = self.user.path("src/a").to_str().unwrap().to_owned();
        let words = words.split(' ').map(|word| match word {
            "FILE" => file.clone(),
            "KEY" => self.key.clone(),
            word => word.to_owned(),
        });
        let run = self.user.run(&words.collect::<Vec<_>>());
        assert!(!run.err.contains("panicked"), "{run:?}");
        run
    }

    /// Runs what must be refused with 1 in one line that has all `parts`, and must not touch the repository.
    fn require_refused(&self, words: &str, parts: &[&str]) {
        let before = contents(&self.user.repository());
        let run = self.run(words);
        assert_eq!(run.code, 1, "{words}: {run:?}");
        assert!(run.err.starts_with("snap: error: ") && run.err.lines().count() == 1, "{words}: {run:?}");
        for part in parts {
            assert!(run.err.contains(part), "{words}: no {part} in {run:?}");
        }
        assert!(contents(&self.user.repository()) == before, "{words}: something was written");
    }

    /// Runs what must succeed and must not touch the repository.
    fn require_read(&self, words: &str) {
        let before = contents(&self.user.repository());
        let run = self.run(words);
        assert_eq!(run.code, 0, "{words}: {run:?}");
        assert!(contents(&self.user.repository()) == before, "{words}: something was written");
    }
}

fn feature() -> Vec<Feature> {
    vec![Feature {
        name: "sharded-index".to_owned(),
        message: "the index is in shards".to_owned(),
        minimum_version: "9.1".to_owned(),
    }]
}

const SAID: [&str; 4] = ["sharded-index", "the index is in shards", "9.1", "newer version of snap"];

#[test]
fn a_feature_without_which_nothing_may_be_read_is_told_by_every_command() {
    let case = Case::new();
    Hand::new(&case.user).change_config(|config| config.incompat = feature());
    let before = super::listing(case.user.home.path()).len();
    for words in READERS.iter().chain(&WRITERS).chain(&["unlock"]) {
        case.require_refused(words, &SAID);
    }
    let run = case.run("init");
    assert!(run.code == 1 && run.err.contains("already"), "{run:?}");
    assert_eq!(super::listing(case.user.home.path()).len(), before, "something was made");
}

#[test]
fn a_feature_without_which_nothing_may_be_written_leaves_every_reader() {
    let case = Case::new();
    Hand::new(&case.user).change_config(|config| config.ro_compat = feature());
    for words in READERS {
        case.require_read(words);
    }
    for words in WRITERS {
        case.require_refused(words, &SAID);
    }
}

#[test]
fn a_feature_that_may_be_ignored_is_ignored() {
    let case = Case::new();
    Hand::new(&case.user).change_config(|config| config.compat = feature());
    for words in READERS.iter().chain(&WRITERS).filter(|words| !words.starts_with("key change")) {
        let run = case.run(words);
        assert_eq!(run.code, 0, "{words}: {run:?}");
    }
}

#[test]
fn a_snapshot_that_needs_a_feature_is_refused_alone_and_kept_by_everything_that_deletes() {
    let case = Case::new();
    let mut hand = Hand::new(&case.user);
    // What only it needs must stay.
    let file = hand.file("f", b"of a later version");
    let root = hand.directory(&[file]);
    let id = hand.finish_with(&[root], &["coder-9"]).pop().unwrap().to_string();
    let told = ["needs coder-9"];
    for words in ["snapshots", "ls latest", "restore latest --target out", "stats"] {
        let run = case.run(words);
        assert!(run.code == 0 && run.err.contains(told[0]), "{words}: {run:?}");
    }
    for words in ["ls ID", "restore ID --target out", "dump ID /f", "diff ID latest", "find f --snapshot ID"]
    {
        let before = contents(&case.user.repository());
        let run = case.run(&words.replace("ID", &id));
        assert!(run.code == 1 && run.err.contains(told[0]), "{words}: {run:?}");
        assert!(contents(&case.user.repository()) == before, "{words}");
    }
    let check = case.run("check --read-data");
    assert!(check.code == 13 && check.out.contains(told[0]), "{check:?}");
    let before = contents(&case.user.repository());
    for words in [
        "prune --grace 0 --max-unused 0",
        "prune --keep-last 1 --grace 0",
        "forget ID",
        "repair packs --aside aside",
        "repair index",
    ] {
        let run = case.run(&words.replace("ID", &id));
        assert!([0, 1, 13].contains(&run.code), "{words}: {run:?}");
        for (path, bytes) in &before {
            let is_in = |folder: &str| path.to_str().unwrap().contains(folder);
            let may_change = is_in("/locks/") || words == "repair index" && is_in("/index/");
            assert!(
                may_change || std::fs::read(path).ok().as_ref() == Some(bytes),
                "{words}: {path:?} {run:?}"
            );
        }
    }
    // The feature alone is what this program lacks: with it, all is there.
    assert_eq!(case.run("backup src").code, 0);
}

#[test]
fn blocks_of_an_unknown_coder_or_transform_are_named_and_no_repair_takes_them_for_damage() {
    // Where the numbers stand in a coded block: the transform comes first, the coder behind the head.
    for (at, said) in [(0, "unknown transform 9"), (12, "unknown coder 9"), (4, "unknown base use 9")] {
        let case = Case::new();
        let mut hand = Hand::new(&case.user);
        let strange = hand.data_coded(b"of a later version", |coded| coded[at] = 9);
        let good = hand.file("good", b"of this version");
        let strange = RawNode::file("strange", &strange, 18);
        let root = hand.directory(&[good, strange]);
        let id = hand.finish(&[root]).pop().unwrap().to_string();
        let run = case.run(&format!("restore {id} --target out"));
        assert!(run.code == 13 && run.err.contains(said) && run.err.contains("strange"), "{said}: {run:?}");
        assert_eq!(std::fs::read(case.user.path("out/good")).unwrap(), b"of this version");
        assert!(!case.user.path("out/strange").exists());
        let check = case.run("check --read-data");
        assert!(check.code == 13 && check.out.contains(said), "{said}: {check:?}");
        case.require_refused_but_locks("repair packs --aside aside", said);
        assert!(!case.user.path("aside").exists(), "{said}");
        // Nothing of it goes, however the rest is worked on.
        let packs = || super::listing(&case.user.repository().join("packs"));
        let before = packs();
        for words in ["repair index", "backup src", "prune --grace 0"] {
            let run = case.run(words);
            assert!([0, 1, 13].contains(&run.code), "{words}: {run:?}");
        }
        assert!(before.iter().all(|one| packs().contains(one)), "{said}");
    }
}

impl Case {
    /// Runs a command with a lease of its own that must be refused with `said`.
    fn require_refused_but_locks(&self, words: &str, said: &str) {
        let state = || {
            let all = contents(&self.user.repository());
            all.into_iter()
                .filter(|(path, _)| !path.to_str().unwrap().contains("/locks/"))
                .collect::<Vec<_>>()
        };
        let before = state();
        let run = self.run(words);
        assert!(run.code == 1 && run.err.contains(said), "{words}: {run:?}");
        assert!(state() == before, "{words}: something was written");
    }
}

#[test]
fn a_key_file_of_an_unknown_kind_is_named_and_the_others_still_open() {
    // Number of the derivation, and of the recipient.
    for at in [10, 11] {
        let case = Case::new();
        let path = case.user.repository().join("keys").join(&case.key);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] = 7;
        let name = blake3::hash(&bytes).to_hex().to_string();
        std::fs::write(path.with_file_name(&name), &bytes).unwrap();
        std::fs::remove_file(&path).unwrap();
        case.require_read("snapshots");
        case.require_read("restore latest --target out");
        let list = case.run("key list");
        assert!(list.code == 0 && list.out.contains("unreadable"), "{list:?}");
        let check = case.run("check");
        assert!(check.code == 13 && check.out.contains(&format!("keys/{name}")), "{check:?}");
        let before = contents(&case.user.repository());
        let closed = case.run("snapshots --password-file new");
        assert!(closed.code == 13 && closed.err.contains("keys/"), "{closed:?}");
        assert!(contents(&case.user.repository()) == before);
    }
}
