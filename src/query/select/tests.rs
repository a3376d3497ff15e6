use super::*;

fn summary(id_start: &[u8], seconds: i64) -> SnapshotSummary {
    let mut id = [0; 32];
    id[..id_start.len()].copy_from_slice(id_start);
    SnapshotSummary {
        id: SnapshotId(id),
        time: Time::from_seconds(seconds),
        host: "db1".into(),
        user: "root".into(),
        job: "nightly".into(),
        tags: vec!["a".into(), "b".into()],
        paths: vec![b"/etc".to_vec(), b"/srv/db".to_vec()],
        file_count: 0,
        content_size_bytes: 0,
        stored_size_bytes: 0,
        parent: None,
    }
}

fn latest(back: u32) -> SnapshotRef {
    SnapshotRef::Latest { back }
}

fn prefix(text: &str) -> SnapshotRef {
    SnapshotRef::parse(text.as_bytes()).unwrap()
}

#[test]
fn snapshots_are_named_by_latest_or_the_first_digits() {
    assert_eq!(prefix("latest"), latest(0));
    assert_eq!(prefix("latest~0"), latest(0));
    assert_eq!(prefix("latest~12"), latest(12));
    assert_eq!(prefix("3F2a"), SnapshotRef::Prefix("3f2a".into()));
    assert_eq!(prefix(&"a".repeat(64)), SnapshotRef::Prefix("a".repeat(64)));
    for text in ["latest", "latest~3", "3f2a"] {
        assert_eq!(prefix(text).to_string(), text);
    }
    let too_long = "a".repeat(65);
    let wrong = [
        "",
        " ",
        "latest~",
        "latest~-1",
        "latest~+1",
        "latest~4294967296",
        "latest1",
        "LATEST",
        "xyz",
        "-1",
        &too_long,
    ];
    for text in wrong {
        assert!(SnapshotRef::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(SnapshotRef::parse(b"\xff").is_err());
}

#[test]
fn the_path_is_all_after_the_first_colon_as_raw_bytes() {
    let selector = |text: &[u8]| Selector::parse(text).unwrap();
    assert_eq!(selector(b"latest").path, None);
    assert_eq!(selector(b"latest:/etc").path, Some(b"/etc".to_vec()));
    assert_eq!(selector(b"ab:C:/x:\xff").path, Some(b"C:/x:\xff".to_vec()));
    assert_eq!(selector(b"latest~1:/").snapshot, latest(1));
}

#[test]
fn an_empty_half_of_a_selector_is_refused() {
    for text in ["", ":", "latest:", ":/etc"] {
        assert!(Selector::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn every_list_of_a_filter_must_be_met_and_an_empty_filter_passes_all() {
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let paths = |paths: &[&str]| paths.iter().map(|p| p.as_bytes().to_vec()).collect::<Vec<_>>();
    let all = SnapshotFilter::default();
    let hosts = |list: &[&str]| SnapshotFilter { hosts: words(list), ..SnapshotFilter::default() };
    let jobs = |list: &[&str]| SnapshotFilter { jobs: words(list), ..SnapshotFilter::default() };
    let tags = |lists: &[&[&str]]| SnapshotFilter {
        tags: lists.iter().map(|list| words(list)).collect(),
        ..SnapshotFilter::default()
    };
    let with_paths = |list: &[&str]| SnapshotFilter { paths: paths(list), ..SnapshotFilter::default() };
    let both =
        SnapshotFilter { hosts: words(&["db1"]), jobs: words(&["other"]), ..SnapshotFilter::default() };
    let cases = [
        (all, true),
        (hosts(&["db1"]), true),
        (hosts(&["web", "db1"]), true),
        (hosts(&["db"]), false),
        (jobs(&["nightly"]), true),
        (jobs(&[""]), false),
        (both, false),
        (tags(&[&["a"]]), true),
        (tags(&[&["a", "b"]]), true),
        (tags(&[&["a", "c"]]), false),
        (tags(&[&["c"], &["b"]]), true),
        (with_paths(&["/etc"]), true),
        (with_paths(&["/etc/", "/srv/db"]), true),
        (with_paths(&["/etc", "/home"]), false),
        (with_paths(&["/"]), false),
        (with_paths(&["/srv"]), false),
    ];
    for (filter, passes) in cases {
        assert_eq!(filter.matches(&summary(b"\x01", 0)), passes, "{filter:?}");
        assert_eq!(filter.is_empty(), filter == SnapshotFilter::default());
    }
    let root = SnapshotSummary { paths: paths(&["/"]), ..summary(b"\x01", 0) };
    assert!(with_paths(&["/"]).matches(&root) && !with_paths(&[""]).matches(&root));
}

#[test]
fn latest_is_the_newest_by_time_then_id_whatever_the_order() {
    let mut snapshots =
        [summary(b"\x05", 10), summary(b"\x01", 30), summary(b"\x02", 30), summary(b"\x09", 20)];
    for _ in 0..snapshots.len() {
        snapshots.rotate_left(1);
        let found = |back| resolve(&latest(back), &snapshots, &SnapshotFilter::default()).unwrap().0[0];
        assert_eq!([found(0), found(1), found(2), found(3)], [2, 1, 9, 5]);
    }
}

#[test]
fn latest_looks_only_at_what_passes_the_filter_and_says_how_many_do() {
    let other = SnapshotSummary { host: "web".into(), ..summary(b"\x02", 50) };
    let snapshots = [summary(b"\x01", 10), other];
    let filter = SnapshotFilter { hosts: vec!["db1".into()], ..SnapshotFilter::default() };
    assert_eq!(resolve(&latest(0), &snapshots, &filter).unwrap().0[0], 1);
    let error = resolve(&latest(1), &snapshots, &filter).unwrap_err();
    assert!(matches!(error, SelectError::NoneMatch { passing: 1, present: 2, .. }));
    assert_eq!(error.to_string(), "no snapshot 'latest~1': 1 of 2 snapshots pass the given filters");
    let empty = resolve(&latest(0), &[], &filter).unwrap_err();
    assert!(matches!(empty, SelectError::NoneMatch { passing: 0, present: 0, .. }));
}

#[test]
fn a_prefix_names_its_snapshot_whatever_the_filter_says() {
    let snapshots = [summary(b"\x3f\x2a", 10), summary(b"\x3f\x2b", 20)];
    let nobody = SnapshotFilter { hosts: vec!["nobody".into()], ..SnapshotFilter::default() };
    assert_eq!(resolve(&prefix("3f2a"), &snapshots, &nobody).unwrap(), snapshots[0].id);
    let whole = snapshots[1].id.to_string();
    assert_eq!(resolve(&prefix(&whole), &snapshots, &nobody).unwrap(), snapshots[1].id);
}

#[test]
fn an_unknown_prefix_is_told_from_an_ambiguous_one_which_names_at_most_five() {
    let mut snapshots: Vec<_> = (0..7).rev().map(|i| summary(&[0x3f, i], 0)).collect();
    let filter = SnapshotFilter::default();
    let unknown = resolve(&prefix("4"), &snapshots, &filter).unwrap_err();
    assert!(matches!(unknown, SelectError::Unknown { ref text } if text == "4"));
    match resolve(&prefix("3f"), &snapshots, &filter).unwrap_err() {
        SelectError::Ambiguous { candidates, count: 7, .. } => {
            assert_eq!(candidates.iter().map(|id| id.0[1]).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        }
        other => panic!("{other}"),
    }
    snapshots.truncate(2);
    let message = resolve(&prefix("3f"), &snapshots, &filter).unwrap_err().to_string();
    let candidates = "3f05000000000000, 3f06000000000000";
    assert_eq!(message, format!("snapshot '3f' fits 2 snapshots: {candidates}; write more digits"));
}

#[test]
fn a_snapshot_listed_twice_is_one() {
    let snapshots = [summary(b"\x3f", 10), summary(b"\x3f", 10)];
    let filter = SnapshotFilter::default();
    assert!(resolve(&prefix("3f"), &snapshots, &filter).is_ok());
    assert!(resolve(&latest(1), &snapshots, &filter).is_err());
}

#[test]
fn patterns_match_names_whole_paths_or_ends_of_paths() {
    let cases: [(&str, &str, bool); 20] = [
        ("*.sql", "/srv/db/a.sql", true),
        ("*.sql", "a.sql", true),
        ("*.sql", "/srv/a.sql/b", false),
        ("a.sql", "/srv/ba.sql", false),
        ("db", "/srv/db/", true),
        ("/srv/*.sql", "/srv/a.sql", true),
        ("/srv/*.sql", "srv/a.sql", true),
        ("/srv/*.sql", "/srv/db/a.sql", false),
        ("/srv/*.sql", "/x/srv/a.sql", false),
        ("/srv/**/*.sql", "/srv/db/x/a.sql", true),
        ("/srv/**/*.sql", "/srv/a.sql", true),
        ("db/*.sql", "/srv/db/a.sql", true),
        ("db/*.sql", "db/a.sql", true),
        ("db/*.sql", "/srv/xdb/a.sql", false),
        ("[a-c]?.{sql,gz}", "/x/b1.gz", true),
        ("[a-c]?.{sql,gz}", "/x/d1.gz", false),
        ("\\*", "/x/*", true),
        ("\\*", "/x/y", false),
        (".*", "/home/.bashrc", true),
        ("*", "/home/.bashrc", true),
    ];
    for (pattern, path, matches) in cases {
        let found = MatchPattern::parse(pattern, false).unwrap().matches(path.as_bytes());
        assert_eq!(found, matches, "{pattern} {path}");
    }
}

#[test]
fn case_matters_unless_it_is_ignored_also_beyond_ascii() {
    let cases = [
        ("*.SQL", "/x/a.sql"),
        ("*.sql", "/X/A.SQL"),
        ("grÖße", "/GRöße"),
        // A sigma at the end of a word has a lower-case form of its own.
        ("ΟΔΟΣ*", "/οδοσα"),
        ("[A-C]", "b"),
    ];
    for (pattern, path) in cases {
        for ignore_case in [false, true] {
            let found = MatchPattern::parse(pattern, ignore_case).unwrap().matches(path.as_bytes());
            assert_eq!(found, ignore_case, "{pattern} {path}");
        }
    }
}

#[test]
fn names_are_matched_by_their_bytes_whether_utf8_or_not() {
    for ignore_case in [false, true] {
        let pattern = MatchPattern::parse("a*.bin", ignore_case).unwrap();
        assert!(pattern.matches(b"/x/a\xff\xfe.bin"));
        assert!(!pattern.matches(b"/x/\xff\xfe.bin"));
    }
    for (pattern, path) in [("a?b", "a\u{e4}b"), ("a[\u{e4}]b", "a\u{e4}b")] {
        assert!(!MatchPattern::parse(pattern, false).unwrap().matches(path.as_bytes()), "{pattern}");
    }
    assert!(MatchPattern::parse("a{\u{e4},\u{f6}}b", false).unwrap().matches("a\u{e4}b".as_bytes()));
    assert!(MatchPattern::parse("a?b", false).unwrap().matches(b"a\xffb"));
}

#[test]
fn what_is_no_pattern_is_refused_with_its_reason() {
    let long = "a".repeat(PATTERN_MAX_BYTES + 1);
    for text in ["", "[a", "{a", &long] {
        assert!(matches!(MatchPattern::parse(text, false), Err(SelectError::Pattern { .. })), "{text}");
    }
    let error = MatchPattern::parse("[a\n", false).unwrap_err();
    assert_eq!(error.to_string(), "'[a\\u{a}' is not a pattern such as *.sql");
    assert!(std::error::Error::source(&error).is_some());
    assert!(MatchPattern::parse(&"a".repeat(PATTERN_MAX_BYTES), false).is_ok());
}
