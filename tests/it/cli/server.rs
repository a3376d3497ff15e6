//! The same on a real server that speaks S3.

use snap::backend::ObjectKind;

use super::{Run, User, noise};
use crate::support::minio::minio;

fn run(user: &User, repo: &str, secret: &str, words: &[&str]) -> Run {
    let mut all = vec!["--repo", repo, "--password-file", "password"];
    all.extend(words);
    let mut command = user.command(&all);
    command.env("AWS_ACCESS_KEY_ID", &minio().user).env("AWS_SECRET_ACCESS_KEY", secret);
    command.output().unwrap().into()
}

#[test]
fn a_bucket_holds_a_repository_from_init_to_prune() {
    let user = User::new();
    let server = minio();
    let repo = server.location(&format!("{}/some/prefix", server.make_bucket()));
    user.secret("password", "correct horse");
    user.write("src/a", noise(30, 2_000_000));
    let ok = |words: &[&str]| {
        let run = run(&user, &repo, &server.password, words);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{words:?}: {run:?}");
        run.out
    };
    ok(&["init"]);
    ok(&["backup", "src"]);
    user.write("src/a", noise(31, 2_000_000));
    ok(&["backup", "src"]);
    ok(&["prune", "--keep-last", "1", "--grace", "0"]);
    ok(&["check", "--read-data"]);
    let from = format!("latest:{}", user.path("src").to_str().unwrap());
    // On a machine that knows nothing of it.
    std::fs::remove_dir_all(user.path(".cache")).unwrap();
    ok(&["restore", &from, "--target", "out"]);
    assert!(std::fs::read(user.path("out/a")).unwrap() == noise(31, 2_000_000));
}

#[test]
fn a_bucket_that_is_put_back_or_emptied_stops_writers() {
    let user = User::new();
    let server = minio();
    let place = format!("{}/prefix", server.make_bucket());
    let repo = server.location(&place);
    user.secret("password", "correct horse");
    user.write("src/a", "alpha");
    let run = |words: &[&str]| run(&user, &repo, &server.password, words);
    let ok = |words: &[&str]| {
        let run = run(words);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{words:?}: {run:?}");
    };
    ok(&["init"]);
    ok(&["backup", "src"]);
    ok(&["backup", "src"]);
    let store = server.open(&place);
    let keys = || ObjectKind::ALL.into_iter().flat_map(|kind| store.list(kind).unwrap());
    let old: Vec<_> = keys().map(|info| (store.get(&info.key, 1 << 20).unwrap(), info.key)).collect();
    ok(&["forget", "latest"]);
    ok(&["backup", "src"]);
    keys().for_each(|info| store.delete(&info.key).unwrap());
    let emptied = [run(&["backup", "src"]), run(&["init"]), run(&["backup", "--init", "src"])];
    for run in emptied {
        assert!(run.code == 13 && run.err.contains("is gone"), "{run:?}");
    }
    for (data, key) in old {
        store.put_new(&key, data).unwrap();
    }
    let back = run(&["backup", "src"]);
    assert!(back.code == 13 && back.err.contains("not what this host last saw"), "{back:?}");
    let read = run(&["restore", "latest", "--target", "out"]);
    assert!(read.code == 0 && read.err.contains("not what this host last saw"), "{read:?}");
    ok(&["backup", "src", "--accept-rollback"]);
    ok(&["check", "--read-data"]);
}

#[test]
fn a_missing_bucket_and_wrong_credentials_are_named_without_secrets() {
    let user = User::new();
    let server = minio();
    user.secret("password", "correct horse");
    let nowhere = server.location("not-there/prefix");
    for words in [&["init"][..], &["snapshots"]] {
        let run = run(&user, &nowhere, &server.password, words);
        assert_eq!(run.code, 10, "{run:?}");
        assert!(run.err.contains("no bucket not-there") && run.err.lines().count() == 1, "{run:?}");
    }
    let repo = server.location(&server.make_bucket());
    let run = run(&user, &repo, "not-the-secret", &["init"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.err.contains("credentials") && run.err.lines().count() == 1, "{run:?}");
    assert!(!run.err.contains("not-the-secret") && !run.err.contains(&server.password), "{run:?}");
}
