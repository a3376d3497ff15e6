//! Secrets are told to nobody: they are planted wherever one can be given, and looked for in all that
//! commands say, write and store, however they end, at the highest verbosity.

mod echo;
mod planted;

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use snap::backend::ObjectKind;
use snap::format::sheet;

use super::{Run, User, noise};
use crate::support::minio::minio;
use echo::Echo;
use planted::{Attempt, Ears};

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";
/// How often a question is answered at the moment when it is there.
const PROMPTS: usize = 8;
/// Every command but `init`, as words that succeed on a repository with two snapshots of `src`.
const COMMANDS: [&str; 26] = [
    "backup src",
    "backup --stdin --stdin-filename stream",
    "backup --dry-run src",
    "snapshots",
    "ls -l latest",
    "find a*",
    "diff latest~1 latest",
    "stats --by-path",
    "restore latest --target out --verify",
    "dump latest stream -o dumped",
    "copy --to other --to-key-file other-key",
    "forget latest~2",
    "prune --keep-last 2 --grace 0 --max-unused 0",
    "check --read-data",
    "repair index",
    "repair packs --aside aside",
    "repair snapshots",
    "key add --new-password-file new-password --label new",
    "key add --new-key-file new-key",
    "key list",
    "key export --output second-sheet",
    "unlock",
    "key change --new-password-file again-password",
    "completions bash",
    "version",
    "reference",
];

fn attempt(words: &[&str], variables: &[(&str, &str)]) -> Attempt {
    Attempt {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn require_code(run: &Run, code: i32) {
    assert_eq!(run.code, code, "{run:?}");
}

/// The names of the commands that the help lists.
fn names_of_commands(user: &User) -> Vec<String> {
    let help = user.ok(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let lines = commands.lines().take_while(|line| line.starts_with("  "));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn a_full_run_of_every_command_tells_no_secret() {
    for form in [&["-vv", "--progress", "always"][..], &["-vv", "--json"]] {
        full_run(form);
    }
}

fn full_run(form: &[&str]) {
    let user = User::new();
    let mut ears = Ears::new(&user);
    let password = ears.plant("password");
    for file in ["new-password", "again-password"] {
        let secret = ears.plant(file);
        ears.give(file, secret);
    }
    // What others put into the environment is nobody's business.
    for variable in ["PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "SNAP_UNKNOWN"] {
        let secret = ears.plant(variable);
        ears.set(variable, &secret);
    }
    ears.set("SNAP_PASSWORD", &password);
    ears.set("SNAP_REPOSITORY", "r");
    user.write("src/a", noise(70, 200_000));
    user.write("src/b", "beta");
    let run = |ears: &Ears<'_>, words: &[&str]| {
        let run = ears.run_with(&[form, words].concat(), &[], b"some bytes");
        assert_eq!(run.code, 0, "{words:?}: {run:?}");
    };
    run(&ears, &["init"]);
    run(&ears, &["init", "--repo", "other", "--raw-key", "other-key"]);
    run(&ears, &["key", "export", "--output", "sheet"]);
    for file in ["other-key", "sheet"] {
        let text = std::fs::read_to_string(user.path(file)).unwrap();
        let (_, secret) = sheet::decode(&text).unwrap();
        ears.forbid(file, &secret[secret.len() - 32..]);
        for line in text.lines().filter(|line| line.as_bytes()[1] == b':') {
            forbid_line(&mut ears, line);
        }
        ears.except(file);
    }
    ["new-key", "second-sheet"].iter().for_each(|file| ears.except(file));
    run(&ears, &["backup", "src"]);
    run(&ears, &["backup", "src"]);
    for words in COMMANDS {
        run(&ears, &words.split(' ').collect::<Vec<_>>());
    }
    for name in names_of_commands(&user) {
        let ran = |words: &&str| words.split(' ').next() == Some(name.as_str());
        assert!(["help", "init"].contains(&&*name) || COMMANDS.iter().any(ran), "{name} was not run");
    }
    ears.require_silence();
}

/// Forbids what a line of a sheet holds; the last one is too short to be looked for.
fn forbid_line(ears: &mut Ears<'_>, line: &str) {
    let (_, part) = line.split_once(": ").unwrap();
    if part.len() >= 12 {
        ears.forbid("line of a sheet", part.as_bytes());
    }
}

/// Asks for the snapshots of `r` on a terminal, and types `answer` when the question is there.
fn answer_the_prompt(ears: &Ears<'_>, user: &User, answer: &str) -> i32 {
    let snap = format!("{} --repo r -vv snapshots", env!("CARGO_BIN_EXE_snap"));
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--echo", "always", "--command", &snap, "/dev/null"]);
    terminal.env("HOME", user.home.path()).current_dir(user.home.path());
    let mut child = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = Vec::new();
    while !shown.ends_with(b"password of the repository: ") {
        let mut byte = [0];
        assert_eq!(screen.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&shown));
        shown.push(byte[0]);
    }
    keys.write_all(format!("{answer}\n").as_bytes()).unwrap();
    screen.read_to_end(&mut shown).unwrap();
    ears.hear("the terminal", &shown);
    child.wait().unwrap().code().unwrap()
}

#[test]
fn no_source_of_a_password_is_repeated_whether_it_fits_or_not() {
    let user = User::new();
    let mut ears = Ears::new(&user);
    let (right, wrong) = (ears.plant("password"), ears.plant("wrong password"));
    for (file, secret) in [("right", &right), ("wrong", &wrong), ("credentials/snap-password", &wrong)] {
        ears.give(file, secret);
    }
    ears.give("long", wrong.repeat(1000));
    require_code(&ears.run(&["init", "--repo", "r", "--password-file", "right"]), 0);
    let by_command = |secret: &str| format!("printf %s {secret}");
    let fails = format!("sh -c 'echo {wrong}; exit 3'");
    let list = |words: &[&str]| attempt(&[&["--repo", "r", "key", "list"], words].concat(), &[]);
    let given = |variable: &str, value: &str| attempt(&["--repo", "r", "snapshots"], &[(variable, value)]);
    let opening = [
        list(&["--password-file", "right"]),
        list(&["--password-command", &by_command(&right)]),
        given("SNAP_PASSWORD", &right),
    ];
    ears.run_all(&opening, &[0]);
    let wrong_ones = [
        list(&["--password-file", "wrong"]),
        list(&["--password-command", &by_command(&wrong)]),
        given("SNAP_PASSWORD", &wrong),
        given("SNAP_PASSWORD_FILE", "wrong"),
        given("SNAP_PASSWORD_COMMAND", &by_command(&wrong)),
        given("CREDENTIALS_DIRECTORY", "credentials"),
    ];
    ears.run_all(&wrong_ones, &[12]);
    let failing = [
        list(&["--password-command", &fails]),
        list(&["--password-command", &format!("yes {wrong}")]),
        list(&["--password-command", &format!("no-such-program {wrong}")]),
        list(&["--password-file", "long"]),
    ];
    ears.run_all(&failing, &[1]);
    let mistyped = [
        list(&["--password-command", &format!("echo '{wrong}")]),
        list(&["--password-file", "right", &format!("--password={wrong}")]),
        list(&["--password-file", "right", &format!("--to-password={wrong}")]),
        given("SNAP_PASSWORD_COMMAND", &format!("echo {wrong} | cat")),
    ];
    ears.run_all(&mistyped, &[2]);
    for _ in 0..PROMPTS {
        assert_eq!(answer_the_prompt(&ears, &user, &right), 0);
    }
    assert_eq!(answer_the_prompt(&ears, &user, &wrong), 12);
    ears.require_silence();
}

#[test]
fn a_key_file_that_is_damaged_is_named_and_never_repeated() {
    let user = User::new();
    let mut ears = Ears::new(&user);
    require_code(&ears.run(&["init", "--repo", "r", "--raw-key", "key"]), 0);
    ears.except("key");
    let text = std::fs::read_to_string(user.path("key")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.as_bytes()[1] == b':').collect();
    lines.iter().for_each(|line| forbid_line(&mut ears, line));
    let wrong_line = format!("{}7", &lines[1][..lines[1].len() - 1]);
    let wrong_line = if wrong_line == lines[1] { format!("{wrong_line}7") } else { wrong_line };
    for (file, damaged) in [
        ("typed", text.replace(lines[1], &wrong_line)),
        ("cut", text[..text.len() / 2].to_owned()),
        ("longer", format!("{text}{}\n", lines[0])),
        ("headless", lines.join("\n")),
        ("huge", text.repeat(1000)),
    ] {
        ears.give(file, &damaged);
        ears.run_all(&[attempt(&["--repo", "r", "--key-file", file, "snapshots"], &[])], &[1, 13]);
    }
    ears.require_silence();
}

#[test]
fn commands_that_are_sources_may_have_secrets_as_arguments() {
    let user = User::with_repository();
    let mut ears = Ears::new(&user);
    let secret = ears.plant("argument");
    ears.except(".config/snap/default.key");
    let backup = |line: &str| attempt(&["backup", "--command", &format!("a={line}")], &[]);
    let words = ["backup", "--stdin-filename", "b", "--stdin-from-command", "--", "sh", "-c", "echo x"];
    let from_command = attempt(&[&words[..], &[&secret]].concat(), &[]);
    ears.run_all(&[backup(&format!("sh -c 'echo content' {secret}"))], &[0]);
    ears.run_all(&[from_command], &[0]);
    let failing = [format!("sh -c 'exit 7' {secret}"), format!("no-such-program {secret}")];
    ears.run_all(&failing.map(|line| backup(&line)), &[1]);
    let mistyped = [format!("echo '{secret}"), format!("echo {secret} | cat"), format!("echo {secret} $X")];
    ears.run_all(&mistyped.map(|line| backup(&line)), &[2]);
    let nameless = [secret.clone(), format!("=echo {secret}"), format!("../a=echo {secret}")];
    ears.run_all(&nameless.map(|line| attempt(&["backup", "--command", &line], &[])), &[2]);
    for words in [&["snapshots"][..], &["ls", "-l", "latest"], &["stats"], &["diff", "latest~1", "latest"]] {
        ears.run_all(&[attempt(words, &[])], &[0]);
    }
    ears.require_silence();
}

#[test]
fn credentials_of_a_store_are_in_no_output_and_in_nothing_that_is_stored() {
    let server = minio();
    let user = User::new();
    let mut ears = Ears::new(&user);
    ears.forbid("secret key", server.password.as_bytes());
    let place = format!("{}/prefix", server.make_bucket());
    let repo = server.location(&place);
    let password = ears.plant("password");
    ears.give("password", &password);
    user.write("src/a", noise(71, 100_000));
    ears.give(
        ".aws/credentials",
        format!("[default]\naws_access_key_id={}\naws_secret_access_key={}\n", server.user, server.password),
    );
    let run = |ears: &Ears<'_>, words: &[&str]| {
        let by = ["-vv", "--progress", "always", "--repo", &repo, "--password-file", "password"];
        require_code(&ears.run(&[words, &by].concat()), 0);
    };
    run(&ears, &["init"]);
    run(&ears, &["backup", "src"]);
    std::fs::remove_file(user.path(".aws/credentials")).unwrap();
    ears.set("AWS_ACCESS_KEY_ID", &server.user);
    ears.set("AWS_SECRET_ACCESS_KEY", &server.password);
    for words in [
        "backup src",
        "snapshots",
        "restore latest --target out",
        "prune --keep-last 1 --grace 0",
        "check --read-data",
        "repair index",
        "key list",
    ] {
        run(&ears, &words.split(' ').collect::<Vec<_>>());
    }
    let store = server.open(&place);
    let mut count = 0;
    for info in ObjectKind::ALL.into_iter().flat_map(|kind| store.list(kind).unwrap()) {
        ears.hear(&info.key.to_string(), &store.get(&info.key, 1 << 30).unwrap());
        count += 1;
    }
    assert!(count > 4, "{count} objects");
    ears.require_silence();
}

#[test]
fn wrong_credentials_and_stores_that_are_not_there_are_told_without_them() {
    let server = minio();
    let user = User::new();
    let mut ears = Ears::new(&user);
    ears.forbid("secret key of the server", server.password.as_bytes());
    let (secret, token, password) =
        (ears.plant("secret key"), ears.plant("session token"), ears.plant("password"));
    ears.give("password", password);
    let keys = format!("aws_access_key_id={}\naws_secret_access_key={secret}", server.user);
    ears.give("credentials", format!("[team]\n{keys}\naws_session_token={token}\n"));
    ears.give("half", format!("[default]\naws_secret_access_key={secret}\n"));
    ears.give("strange", [b"\xff\xfe", secret.as_bytes()].concat());
    ears.give("ca.pem", format!("-----BEGIN CERTIFICATE-----\n{secret}\n-----END CERTIFICATE-----\n"));
    let own = [("AWS_ACCESS_KEY_ID", server.user.as_str()), ("AWS_SECRET_ACCESS_KEY", &secret)];
    let echo = Echo::start();
    let nobody = format!("s3:http://{NOBODY}/bucket");
    let nobody_tls = format!("s3:https://{NOBODY}/bucket");
    let mut attempts = Vec::new();
    let mut add = |repo: &str, variables: &[&[(&str, &str)]]| {
        for words in [&["init"][..], &["snapshots"]] {
            let words = [words, &["--repo", repo, "--password-file", "password"]].concat();
            attempts.push(attempt(&words, &variables.concat()));
        }
    };
    let repo = server.location(&server.make_bucket());
    for repo in [&repo, &nobody, &format!("s3:http://{}/bucket", echo.address)] {
        add(repo, &[&own]);
        add(repo, &[&own, &[("AWS_SESSION_TOKEN", &token)]]);
        add(repo, &[&[("AWS_PROFILE", "team"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")]]);
    }
    for file in ["half", "strange"] {
        add(&repo, &[&[("AWS_SHARED_CREDENTIALS_FILE", file)]]);
        add(&nobody_tls, &[&own, &[("AWS_CA_BUNDLE", file)]]);
    }
    add(&nobody_tls, &[&own, &[("AWS_CA_BUNDLE", "ca.pem")]]);
    ears.run_all(&attempts, &[1]);
    assert!(echo.count() > 0);
    ears.require_silence();
}

#[test]
fn secrets_in_urls_of_stores_are_never_repeated() {
    let user = User::new();
    let mut ears = Ears::new(&user);
    let secret = ears.plant("part of a URL");
    ears.give("password", "a password");
    let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "short")];
    let by = ["--password-file", "password", "snapshots"];
    let mut attempts = Vec::new();
    for repo in [
        format!("s3:http://user:{secret}@{NOBODY}/bucket"),
        format!("s3:https://{secret}@host/bucket"),
        format!("s3://user:{secret}@bucket/prefix"),
        format!("s3:http://{NOBODY}/bucket/prefix?token={secret}"),
        format!("s3://bucket?X-Amz-Credential={secret}"),
        format!("sftp:user:{secret}@host:/path"),
        format!("https://user:{secret}@host/bucket"),
        format!("rest:https://user:{secret}@host/"),
    ] {
        attempts.push(attempt(&[&["--repo", &repo], &by[..]].concat(), &keys));
        attempts.push(attempt(&by, &[("SNAP_REPOSITORY", &repo)]));
        let copy = ["--repo", "r", "copy", "--to", &repo, "--to-password-file", "password"];
        attempts.push(attempt(&copy, &[("SNAP_PASSWORD", "a password")]));
    }
    for endpoint in [format!("http://user:{secret}@{NOBODY}"), format!("http://{NOBODY}/?key={secret}")] {
        let variables = [&keys[..], &[("AWS_ENDPOINT_URL", &endpoint)]].concat();
        attempts.push(attempt(&[&["--repo", "s3://bucket"], &by[..]].concat(), &variables));
    }
    require_code(&ears.run(&["init", "--repo", "r", "--password-file", "password"]), 0);
    ears.run_all(&attempts, &[2]);
    ears.require_silence();
}

#[test]
fn secrets_in_urls_of_proxies_and_for_services_of_a_platform_are_never_repeated() {
    let user = User::new();
    let mut ears = Ears::new(&user);
    let secret = ears.plant("part of a URL or token");
    ears.give("password", "a password");
    ears.give("token", &secret);
    let echo = Echo::start();
    let far = format!("s3:http://{NOBODY}/bucket");
    let words = ["--password-file", "password", "--repo", &far, "snapshots"];
    let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "short")];
    let mut attempts = Vec::new();
    for proxy in [
        format!("http://user:{secret}@{NOBODY}"),
        format!("http://user:{secret}@{}", echo.address),
        format!("http://user:{secret}@[bad"),
        format!("socks5://user:{secret}@{NOBODY}"),
        format!("nonsense:{secret}"),
    ] {
        let proxies =
            ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, proxy.as_str()));
        attempts.push(attempt(&words, &[&keys[..], &proxies].concat()));
    }
    for address in [NOBODY, &echo.address] {
        for url in [format!("http://{address}"), format!("http://user:{secret}@{address}")] {
            let role = [("AWS_WEB_IDENTITY_TOKEN_FILE", "token"), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")];
            attempts.push(attempt(&words, &[&role[..], &[("AWS_ENDPOINT_URL_STS", &url)]].concat()));
            let full = format!("{url}/?token={secret}");
            let container = [
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", full.as_str()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token"),
            ];
            attempts.push(attempt(&words, &container));
        }
    }
    ears.run_all(&attempts, &[1]);
    assert!(echo.count() > 0);
    ears.require_silence();
}
