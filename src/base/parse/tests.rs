use super::*;
use proptest::prelude::*;

fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn at(text: &str) -> Time {
    parse_time(text, Time::default(), &TimeZone::UTC).unwrap()
}

fn span(text: &str) -> CalendarSpan {
    text.parse().unwrap()
}

#[test]
fn sizes_count_by_1024_in_every_spelling() {
    let cases: [(&str, u64); 14] = [
        ("0", 0),
        ("500", 500),
        ("500B", 500),
        ("64M", 64 << 20),
        ("64m", 64 << 20),
        ("64MB", 64 << 20),
        ("64MiB", 64 << 20),
        (" 10 GiB ", 10 << 30),
        ("1.5 GB", 3 << 29),
        ("0.5k", 512),
        ("0.0001K", 0),
        ("2T", 2 << 40),
        ("16383P", 16_383 << 50),
        ("18446744073709551615", u64::MAX),
    ];
    for (text, size_bytes) in cases {
        assert_eq!(parse_size(text), Ok(size_bytes), "{text}");
    }
}

#[test]
fn what_is_not_a_size_is_refused() {
    let wrong = [
        "",
        " ",
        "M",
        "-1",
        "+1",
        "1.5",
        "1.5B",
        "1.",
        ".5G",
        "1..5G",
        "1.2.3G",
        "1e3",
        "0x10",
        "10XB",
        "1 2",
        "10Gi",
        "1,5G",
        "١K",
        "16384P",
        "18446744073709551616",
        "99999999999999999999P",
        "999999999999999999999",
        "1.0123456789G",
        "unlimited",
    ];
    for text in wrong {
        assert!(parse_size(text).is_err(), "{text}");
    }
}

#[test]
fn errors_name_the_text_what_was_due_and_an_example_in_one_safe_line() {
    let message = parse_size("10XB").unwrap_err().to_string();
    assert_eq!(message, "'10XB' is not a size in bytes such as 500, 64M or 1.5GiB");
    let error = parse_size(&format!("\x1b[31m\n{}", "ä".repeat(1000))).unwrap_err();
    assert!(error.text.starts_with("\\u{1b}[31m\\u{a}ä") && error.text.ends_with('…'), "{}", error.text);
    assert_eq!(error.text.chars().count(), ERROR_TEXT_MAX_CHARS + 1);
}

#[test]
fn percentages_are_exact_and_never_above_the_whole() {
    let percent = |text: &str| text.parse::<Percent>();
    assert_eq!(percent("5%").unwrap().millionths(), 50_000);
    assert_eq!(percent("2.5 %").unwrap().millionths(), 25_000);
    assert_eq!(percent("0.0001%").unwrap().millionths(), 1);
    assert_eq!(percent("5%").unwrap().of_bytes(1_000), 50);
    assert_eq!(percent("100%").unwrap().of_bytes(u64::MAX), u64::MAX);
    assert_eq!(percent("0%").unwrap().of_bytes(u64::MAX), 0);
    for wrong in ["5", "%", "-5%", "100.0001%", "0.00001%", "5%%", "1/2%", "", "1e1%"] {
        assert!(percent(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn allowances_are_sizes_percentages_or_unlimited() {
    let allowance = |text: &str| text.parse::<Allowance>();
    assert_eq!(allowance("10GiB").unwrap().of_bytes(5), 10 << 30);
    assert_eq!(allowance("5%").unwrap().of_bytes(200), 10);
    assert_eq!(allowance("0").unwrap().of_bytes(200), 0);
    assert_eq!(allowance("unlimited").unwrap().of_bytes(200), u64::MAX);
    assert!(allowance("all").is_err() && allowance("101%").is_err() && allowance("").is_err());
}

#[test]
fn subsets_are_parts_percentages_or_sizes_and_never_empty() {
    let subset = |text: &str| text.parse::<Subset>();
    assert_eq!(subset("1/7"), Ok(Subset::Part { index: 1, of: 7 }));
    assert_eq!(subset("7/7"), Ok(Subset::Part { index: 7, of: 7 }));
    assert_eq!(subset("10GiB"), Ok(Subset::Bytes(10 << 30)));
    assert_eq!(subset("5%"), Ok(Subset::Percent("5%".parse().unwrap())));
    for wrong in
        ["0/7", "8/7", "0/0", "1/", "/7", "1/2/3", "+1/7", "-1/7", "1 / 7", "0%", "0", "", "1/4294967296"]
    {
        assert!(subset(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn spans_hold_each_unit_at_most_once_and_are_above_zero() {
    let whole = CalendarSpan { years: 2, months: 5, weeks: 1, days: 7, hours: 3 };
    assert_eq!(span("2y5m1w7d3h"), whole);
    assert_eq!(span("3h7d1w5m2y"), whole);
    assert_eq!(span(" 30d ").days, 30);
    for wrong in
        ["", "d", "30", "0d", "0y0h", "1d1d", "90s", "1.5d", "-1d", "1d 2h", "4294967296d", "1é", "é", "30D"]
    {
        assert!(wrong.parse::<CalendarSpan>().is_err(), "{wrong}");
    }
}

#[test]
fn months_are_as_long_as_the_calendar_has_them() {
    let cases = [
        ("2026-03-31T12:00:00Z", "1m", "2026-02-28T12:00:00Z"),
        ("2024-03-31T12:00:00Z", "1m", "2024-02-29T12:00:00Z"),
        ("2024-02-29T12:00:00Z", "1y", "2023-02-28T12:00:00Z"),
        ("2026-01-15T12:00:00Z", "2y5m7d3h", "2023-08-08T09:00:00Z"),
        ("2026-01-15T12:00:00.5Z", "2w", "2026-01-01T12:00:00.5Z"),
        ("1970-01-01T00:00:00.25Z", "1h", "1969-12-31T23:00:00.25Z"),
    ];
    for (time, text, before) in cases {
        assert_eq!(span(text).before(at(time), &TimeZone::UTC), at(before), "{time} {text}");
    }
}

#[test]
fn a_day_over_the_change_to_summer_time_has_23_hours_and_24_hours_are_24_hours() {
    let noon = at("2026-03-29T12:00:00+02:00");
    assert_eq!(span("1d").before(noon, &berlin()), at("2026-03-28T12:00:00+01:00"));
    assert_eq!(span("24h").before(noon, &berlin()), at("2026-03-28T11:00:00+01:00"));
}

#[test]
fn spans_beyond_the_calendar_reach_before_every_time() {
    for text in ["12000y", "4294967295y", "4294967295h4294967295m"] {
        let before = span(text).before(at("2026-01-01T00:00:00Z"), &TimeZone::UTC);
        assert!(before < at("-002026-01-01T00:00:00Z"), "{text}");
    }
    let far = Time { seconds: i64::MAX, nanoseconds: 999_999_999 };
    assert!(span("1d").before(far, &berlin()) < far);
    assert_eq!(span("1d").before(Time::from_seconds(i64::MIN), &berlin()).seconds, i64::MIN);
}

#[test]
fn waits_count_minutes_and_need_a_unit() {
    let cases = [("0", 0), ("90s", 90), ("5m", 300), ("1h30m", 5_400), ("2d", 172_800), ("0s", 0)];
    for (text, seconds) in cases {
        assert_eq!(parse_wait(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    assert_eq!(parse_wait("4294967295d").unwrap().as_secs(), 4_294_967_295 * 86_400);
    for wrong in ["", "5", "00", "1y", "1.5h", "1h1h", "-1s", "m"] {
        assert!(parse_wait(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_empty_tag_selects_nothing() {
    assert_eq!(parse_tags("a, b"), Ok(vec!["a".to_owned(), "b".to_owned()]));
    for wrong in ["", " ", "a,", ",a", "a,,b"] {
        assert!(parse_tags(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn times_are_local_unless_they_name_their_offset() {
    let now = Time::from_seconds(77);
    let cases = [
        ("2026-01-31T02:00:03Z", "2026-01-31T02:00:03Z"),
        ("2026-01-31T02:00:03+05:30", "2026-01-30T20:30:03Z"),
        ("2026-01-31 02:00:03.25Z", "2026-01-31T02:00:03.25Z"),
        ("2026-01-31 02:00:03", "2026-01-31T01:00:03Z"),
        ("2026-07-31 02:00", "2026-07-31T00:00:00Z"),
        ("2026-01-31T02:00", "2026-01-31T01:00:00Z"),
        ("2026-01-31 02:00-05", "2026-01-31T07:00:00Z"),
        ("2026-01-31 02", "2026-01-31T01:00:00Z"),
        (" 2026-01-31 ", "2026-01-30T23:00:00Z"),
        // Skipped and repeated hours: the offset before the change.
        ("2026-03-29 02:30", "2026-03-29T01:30:00Z"),
        ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
    ];
    for (text, meant) in cases {
        assert_eq!(parse_time(text, now, &berlin()), Ok(at(meant)), "{text}");
    }
    assert_eq!(parse_time("now", now, &berlin()), Ok(now));
}

#[test]
fn what_is_not_a_time_is_refused() {
    let wrong = [
        "",
        "today",
        "2026",
        "2026-13-01",
        "2026-02-30",
        "2026-01-31 25:00",
        "2026-01-31Z",
        "2026-01-31+02:00",
        "2026-01-31T02:00:00Z[Europe/Berlin]",
        "2026-01",
        "-002026-01-31",
        "02:00",
        "31.01.2026",
        "2026-01-31 02:00[America/New_York]",
        "2026-01-31 02:00 CET",
        "NOW",
    ];
    for text in wrong {
        assert!(parse_time(text, Time::default(), &berlin()).is_err(), "{text}");
    }
}

#[test]
fn times_are_shown_local_for_people_and_in_utc_for_programs() {
    let time = at("2026-01-31T01:00:03.5Z");
    assert_eq!(format_time(time, &berlin()), "2026-01-31 02:00:03");
    assert_eq!(format_time_utc(time), "2026-01-31T01:00:03.5Z");
    assert_eq!(format_time_utc(Time { seconds: -1, nanoseconds: 0 }), "1969-12-31T23:59:59Z");
    for seconds in [i64::MIN, i64::MAX] {
        assert!(!format_time(Time::from_seconds(seconds), &berlin()).is_empty());
    }
}

#[test]
fn sizes_are_shown_with_one_decimal_and_never_as_1024_of_a_unit() {
    let cases: [(u64, &str); 9] = [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1.0 KiB"),
        (1_536, "1.5 KiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (3 << 29, "1.5 GiB"),
        (1_023 << 30, "1023.0 GiB"),
        (1 << 60, "1.0 EiB"),
        (u64::MAX, "16.0 EiB"),
    ];
    for (size_bytes, text) in cases {
        assert_eq!(format_size(size_bytes), text);
    }
}

#[test]
fn rates_and_durations_are_shown_for_people() {
    assert_eq!(format_rate(3 << 20, Duration::from_secs(2)), "1.5 MiB/s");
    assert_eq!(format_rate(u64::MAX, Duration::from_nanos(1)), "16.0 EiB/s");
    assert_eq!(format_rate(5, Duration::ZERO), "-");
    let cases = [
        (0, "0.0 s"),
        (849, "0.8 s"),
        (59_949, "59.9 s"),
        (59_950, "1:00"),
        (123_400, "2:03"),
        (3_599_500, "1:00:00"),
        (3_723_000, "1:02:03"),
        (360_000_000, "100:00:00"),
    ];
    for (milliseconds, text) in cases {
        assert_eq!(format_duration(Duration::from_millis(milliseconds)), text);
    }
}

proptest! {
    #[test]
    fn a_span_reads_back_as_it_is_shown(
        years: u32, months: u32, weeks: u32, days: u32, hours in 1_u32..,
    ) {
        let span = CalendarSpan { years, months, weeks, days, hours };
        prop_assert_eq!(span.to_string().parse(), Ok(span));
    }

    #[test]
    fn a_time_reads_back_as_it_is_shown_to_programs(
        seconds in -200_000_000_000_i64..200_000_000_000, nanoseconds in 0_u32..1_000_000_000,
    ) {
        let time = Time { seconds, nanoseconds };
        prop_assert_eq!(parse_time(&format_time_utc(time), Time::default(), &berlin()), Ok(time));
    }

    #[test]
    fn no_text_makes_a_parser_panic(text: String, tail in "[0-9yYmwdhsKMGTPib.,/%: -]{0,12}") {
        for text in [text, tail] {
            let _ = parse_size(&text);
            let _ = parse_wait(&text);
            let _ = parse_tags(&text);
            let _ = parse_time(&text, Time::default(), &berlin());
            let _ = text.parse::<Percent>();
            let _ = text.parse::<Allowance>();
            let _ = text.parse::<Subset>();
            let _ = text.parse::<CalendarSpan>().map(|span| span.before(Time::default(), &berlin()));
        }
    }
}
