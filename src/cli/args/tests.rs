use super::backup::{BackupArgs, Inputs};
use super::*;
use crate::base::Time;
use crate::maintain::retention::Keep;
use crate::query::select::SnapshotRef;
use crate::source::CommandSpec;
use std::path::PathBuf;

fn read(line: &[&str]) -> Result<Arguments, clap::Error> {
    Arguments::read(std::iter::once("snap").chain(line.iter().copied()))
}

fn backup(line: &[&str]) -> BackupArgs {
    match read(line).unwrap().command {
        Command::Backup(args) => *args,
        other => panic!("{}", other.name()),
    }
}

#[test]
fn the_description_holds_together() {
    Arguments::command().debug_assert();
}

#[test]
fn every_option_parses_with_a_value_of_its_kind() {
    let lines: &[&str] = &[
        "init --raw-key k --label l",
        "backup a b --tag x,y --tag z --meta k=v=w --host h --job j --time 2026-01-31 \
         --parent latest~2 -e *.tmp \
         --exclude x --iexclude x --exclude-file f --iexclude-file f --exclude-if-present .nobackup \
         --exclude-caches \
         --exclude-larger-than 10GiB --files-from f --files-from-raw f --one-file-system -n \
         --skip-if-unchanged \
         --class tensors",
        "backup --init --force -x a",
        "backup --dry-run a -- -b",
        "backup --stdin --stdin-filename n",
        "backup --stdin-filename n --stdin-from-command -- pg_dump --format=c db",
        "backup --command a=x --command b=y",
        "snapshots --host h --job j --tag a,b --path /p --group-by host,tags --latest 3 latest 3f9a",
        "ls latest:/etc -l -R --host h",
        "ls 3f9a12c0 --long --recursive --no-recursive",
        "find *.gguf x --ignore-case -s 3f --snapshot latest \
         --newest 2026-01-31 --oldest 2026-01-01T00:00:00Z",
        "diff latest~1 latest --metadata --parts always",
        "stats latest --host h",
        "stats --by-path",
        "stats latest --by-path=2",
        "stats --series /p --job j",
        "restore latest:/a --target t -i x --include x -e x --exclude x --iinclude x --iexclude x \
         --overwrite if-newer \
         --delete --verify --sparse --no-owner --path /a",
        "restore latest -t t --dry-run",
        "dump latest /a --archive tar -o f",
        "dump latest /a --output f",
        "forget 3f9a latest --dry-run",
        "prune --keep-last 1 --keep-hourly 24 --keep-daily 7 --keep-weekly 4 --keep-monthly unlimited \
         --keep-yearly 2 \
         --keep-within 30d --keep-within-hourly 2d --keep-within-daily 2w --keep-within-weekly 6m \
         --keep-within-monthly 1y6m --keep-within-yearly 10y --keep-tag a,b --keep-tag c --keep-id 3f9a \
         --group-by host \
         --grace 0 --max-unused 10% --max-repack 10G --allow-empty --dry-run \
         --host h --job j --tag t --path /p",
        "prune -n --max-unused unlimited",
        "check --read-data",
        "check --read-data-subset 1/7",
        "repair index --dry-run",
        "repair packs --dry-run 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        "repair packs -n --aside d",
        "repair snapshots 3f9a latest --forget",
        "repair snapshots --dry-run",
        "copy --to /r --to-password-file f 3f9a --host h",
        "copy --to /r --dry-run --to-password-command x",
        "copy --to /r --to-key-file f",
        "key add --new-password-file f --label l",
        "key change --new-key-file f",
        "key list",
        "key remove 3f9a",
        "key export -o f",
        "unlock --quiet",
        "snapshots --memory 256MiB",
        "unlock --verbose",
        "completions fish",
        "version",
        "reference",
    ];
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        read(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn every_option_of_the_description_is_in_the_lines_that_must_parse() {
    let tried = include_str!("tests.rs");
    let mut command = Arguments::command();
    command.build();
    let mut commands = vec![&command];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().filter(|sub| sub.get_name() != "help"));
        for long in command.get_arguments().filter_map(clap::Arg::get_long) {
            let known = tried.contains(&format!("--{long}")) || matches!(long, "help" | "version");
            assert!(known, "{} --{long}", command.get_name());
        }
    }
}

#[test]
fn global_options_stand_before_and_after_the_command() {
    let options: &[&str] = &[
        "--repo",
        "/r",
        "--password-file",
        "f",
        "--json",
        "-v",
        "-v",
        "--progress",
        "never",
        "--threads",
        "4",
        "--cache-dir",
        "c",
        "--lock-wait",
        "10m",
        "--ca-cert",
        "pem",
        "--accept-rollback",
    ];
    for line in [[options, &["snapshots"]].concat(), [&["snapshots"], options].concat()] {
        let globals = read(&line).unwrap().globals;
        assert_eq!(globals.repo.as_deref(), Some("/r"));
        assert_eq!(globals.threads, Some(4));
        assert_eq!(globals.verbose, 2);
        assert_eq!(globals.lock_wait.unwrap().as_secs(), 600);
        assert!(globals.json && globals.accept_rollback);
    }
    for line in
        ["-r /r -p f --no-cache -q unlock", "--password-command x unlock", "unlock --key-file k --quiet"]
    {
        read(&line.split(' ').collect::<Vec<_>>()).unwrap();
    }
}

#[test]
fn contradictions_are_usage_errors() {
    let lines = [
        "",
        "nonsense",
        "unlock --nonsense",
        "unlock --password-file a --key-file b",
        "--password-file a unlock --key-file b",
        "--password-command a unlock --password-file b",
        "--quiet unlock -v",
        "--no-cache unlock --cache-dir c",
        "--threads 0 unlock",
        "--password-file p init --raw-key k",
        "backup",
        "backup --stdin a",
        "backup --stdin -- a",
        "backup --stdin --stdin-from-command -- a",
        "backup --stdin --command a=b",
        "backup --stdin --files-from f",
        "backup --stdin-from-command",
        "backup --stdin-from-command pg_dump",
        "backup --stdin-from-command --command a=b -- c",
        "backup --command a=b --command a=c",
        "backup --command a=b /etc",
        "backup --command a",
        "backup --command a//b=c",
        "backup --command /a=c",
        "backup --command a/..=c",
        "backup a --force --parent latest",
        "backup a --init --dry-run",
        "backup a --meta novalue",
        "backup a --class nonsense",
        "ls",
        "ls latest~",
        "ls latest2",
        "ls xyz",
        "restore latest",
        "restore latest --target t --verify --dry-run",
        "restore latest --target t --overwrite sometimes",
        "dump latest /a --json",
        "key export --json",
        "forget",
        "prune --keep-last x",
        "prune --keep-last -2",
        "backup --command a=pg_dump|gzip",
        "backup --command a=",
        "backup a --tag a,",
        "ls latest:",
        "prune --keep-within 30",
        "prune --group-by colour",
        "prune --max-unused 101%",
        "check --read-data --read-data-subset 1/2",
        "repair",
        "repair packs 3f9a",
        "copy",
        "copy --to r --to-password-file f --to-key-file k",
        "copy --to r --to-password-command f --to-key-file k",
        "key",
        "key add --new-password-file a --new-key-file b",
        "completions tcsh",
    ];
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let error = read(&words).map(|_| ()).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn no_option_takes_a_secret() {
    for words in
        [["unlock", "--password", "x"], ["init", "--new-password", "x"], ["copy", "--to-password", "x"]]
    {
        assert!(read(&words).is_err());
    }
}

#[test]
fn inputs_are_paths_a_stream_a_command_or_several() {
    let paths = |inputs: Inputs| match inputs {
        Inputs::Paths { paths } => paths,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        paths(backup(&["backup", "a", "--", "-b"]).inputs().unwrap()),
        [PathBuf::from("a"), "-b".into()]
    );
    assert_eq!(backup(&["backup", "--stdin"]).inputs(), Ok(Inputs::Stdin { name: "stdin".into() }));
    let line = ["backup", "--stdin-from-command", "--stdin-filename", "d", "--", "pg_dump", "--tag", "x"];
    let argv = vec!["pg_dump".into(), "--tag".into(), "x".into()];
    assert_eq!(
        backup(&line).inputs(),
        Ok(Inputs::Command { name: "d".into(), command: CommandSpec { argv } })
    );
    let line = ["backup", "--command", "a.sql=pg_dump -f x=y"];
    let Ok(Inputs::Commands(commands)) = backup(&line).inputs() else { panic!("no commands") };
    assert_eq!(commands[0].name, "a.sql");
    assert_eq!(commands[0].command.argv, ["pg_dump", "-f", "x=y"]);
}

#[test]
fn no_form_of_the_arguments_shows_a_command_line() {
    let word = |name: &str| format!("--{name}=a planted-secret");
    let line =
        ["copy".to_owned(), "--to=x".to_owned(), word("to-password-command"), word("password-command")];
    let shown = format!("{:?}", read(&line.each_ref().map(String::as_str)));
    assert!(shown.contains("CommandText") && !shown.contains("planted"), "{shown}");
    for text in ["planted-secret", "=planted-secret", "../a=planted-secret", "a='planted-secret"] {
        let shown = format!("{:?}", read(&["backup", "--command", text]).unwrap_err());
        assert!(shown.contains("--command") && !shown.contains("planted"), "{shown}");
    }
}

#[test]
fn paths_and_snapshot_paths_need_not_be_utf8() {
    use std::os::unix::ffi::OsStringExt;
    let word = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let arguments = Arguments::read([word(b"snap"), word(b"ls"), word(b"latest~1:/a:\xff")]).unwrap();
    let Command::Ls(ls) = arguments.command else { panic!("not ls") };
    assert_eq!(ls.snapshot.snapshot, SnapshotRef::Latest { back: 1 });
    assert_eq!(ls.snapshot.path.as_deref(), Some(&b"/a:\xff"[..]));
    assert!(Arguments::read([word(b"snap"), word(b"backup"), word(b"\xff")]).is_ok());
}

#[test]
fn filters_and_rules_reach_their_rooms_whole() {
    let line = "prune --host h --job j --tag a,b --tag c --path /p --keep-last -1 --keep-daily 7 \
         --keep-within 1y6m \
                --keep-tag x,y";
    let words: Vec<&str> = line.split_whitespace().collect();
    let Command::Prune(prune) = read(&words).unwrap().command else { panic!("not prune") };
    let filter = prune.filter.filter();
    assert_eq!((filter.hosts, filter.jobs), (vec!["h".to_owned()], vec!["j".to_owned()]));
    assert_eq!(filter.tags, [vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]]);
    assert_eq!(filter.paths, [b"/p".to_vec()]);
    let policy = prune.keep.policy(Vec::new());
    assert_eq!((policy.last, policy.daily), (Some(Keep::Unlimited), Some(Keep::N(7))));
    assert_eq!(policy.within.map(|span| (span.years, span.months)), Some((1, 6)));
    assert_eq!(policy.tags, [vec!["x".to_owned(), "y".to_owned()]]);
    assert!(prune.group_by.host && prune.group_by.job && prune.group_by.paths && !prune.group_by.tags);
    let Command::Prune(bare) = read(&["prune", "--group-by", ""]).unwrap().command else {
        panic!("not prune")
    };
    assert!(bare.keep.policy(Vec::new()).is_empty());
    assert!(!bare.group_by.host);
}

#[test]
fn what_a_snapshot_says_of_itself_is_sorted_and_exact() {
    let about = backup(&[
        "backup",
        "a",
        "--tag",
        "b,a",
        "--tag",
        "a",
        "--meta",
        "k=v=w",
        "--time",
        "2026-01-31T00:00:00Z",
    ])
    .about;
    assert_eq!(about.tags(), ["a", "b"]);
    assert_eq!((about.metadata[0].key.as_str(), about.metadata[0].value.as_str()), ("k", "v=w"));
    assert_eq!(about.time, Some(Time::from_seconds(1_769_817_600)));
}

#[test]
fn help_is_one_line_an_option_without_a_full_stop() {
    let mut command = Arguments::command();
    command.build();
    let mut commands = vec![&command];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().filter(|sub| sub.get_name() != "help"));
        let about = command.get_about().unwrap_or_else(|| panic!("{}", command.get_name())).to_string();
        let helps =
            command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"));
        let texts = helps.map(|arg| (arg.get_id().to_string(), arg.get_help().map(ToString::to_string)));
        for (id, text) in texts.chain([(command.get_name().to_owned(), Some(about))]) {
            let text = text.unwrap_or_else(|| panic!("{id} has no help"));
            assert!(!text.is_empty() && !text.contains('\n') && !text.ends_with('.'), "{id}: {text}");
        }
    }
}
