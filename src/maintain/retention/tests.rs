use super::*;
use crate::base::parse::parse_time;
use proptest::prelude::*;

fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn at(text: &str) -> Time {
    parse_time(text, Time::default(), &berlin()).unwrap()
}

fn item(id: u8, time: Time) -> RetentionItem {
    let id = SnapshotId([id; 32]);
    RetentionItem { id, time, host: "db1".into(), job: "nightly".into(), paths: vec![], tags: vec![] }
}

fn items(times: &[&str]) -> Vec<RetentionItem> {
    (1..).zip(times).map(|(id, time)| item(id, at(time))).collect()
}

fn span(text: &str) -> Option<CalendarSpan> {
    Some(text.parse().unwrap())
}

/// Applies `policy` late in 2030 and returns `day reason+reason` of what is kept.
fn kept(policy: &RetentionPolicy, items: &[RetentionItem]) -> Vec<String> {
    let group: Vec<_> = items.iter().collect();
    let outcome = apply(policy, &group, at("2030-12-31 00:00"), &berlin());
    let kept = outcome.decisions.iter().filter(|decision| decision.keep);
    let show = |d: &Decision<'_>| {
        let time = local(d.item.time, &berlin()).strftime("%m-%d %H:%M").to_string();
        format!("{time} {}", d.reasons.join("+"))
    };
    kept.map(show).collect()
}

fn default() -> RetentionPolicy {
    RetentionPolicy::default()
}

#[test]
fn keep_values_are_numbers_or_unlimited() {
    assert_eq!("7".parse(), Ok(Keep::N(7)));
    assert_eq!("0".parse(), Ok(Keep::N(0)));
    assert_eq!("unlimited".parse(), Ok(Keep::Unlimited));
    assert_eq!("-1".parse(), Ok(Keep::Unlimited));
    for wrong in ["", "-2", "+7", "7d", "1.5", "4294967296", "all"] {
        assert!(wrong.parse::<Keep>().is_err(), "{wrong}");
    }
}

#[test]
fn an_empty_policy_keeps_all_and_zeros_are_empty() {
    let items = items(&["2026-01-01", "2026-01-02"]);
    let zero = Some(Keep::N(0));
    let zeros =
        RetentionPolicy { last: zero, yearly: zero, within: Some(CalendarSpan::default()), ..default() };
    for policy in [default(), zeros] {
        assert!(policy.is_empty());
        assert_eq!(
            kept(&policy, &items),
            ["01-02 00:00 no keep option given", "01-01 00:00 no keep option given"]
        );
    }
}

#[test]
fn each_option_alone_makes_a_policy_not_empty() {
    let (keep, within) = (Some(Keep::N(1)), span("1d"));
    let policies = [
        RetentionPolicy { last: keep, ..default() },
        RetentionPolicy { hourly: keep, ..default() },
        RetentionPolicy { daily: Some(Keep::Unlimited), ..default() },
        RetentionPolicy { weekly: keep, ..default() },
        RetentionPolicy { monthly: keep, ..default() },
        RetentionPolicy { yearly: keep, ..default() },
        RetentionPolicy { within, ..default() },
        RetentionPolicy { within_hourly: within, ..default() },
        RetentionPolicy { within_daily: within, ..default() },
        RetentionPolicy { within_weekly: within, ..default() },
        RetentionPolicy { within_monthly: within, ..default() },
        RetentionPolicy { within_yearly: within, ..default() },
        RetentionPolicy { tags: vec![vec!["a".into()]], ..default() },
        RetentionPolicy { ids: vec![SnapshotId([1; 32])], ..default() },
    ];
    for policy in policies {
        assert!(!policy.is_empty(), "{policy:?}");
    }
}

#[test]
fn only_days_that_have_snapshots_count_and_the_newest_of_each_stays() {
    let items = items(&[
        "2026-01-05 08:00",
        "2026-01-20 08:00",
        "2026-01-20 11:00",
        "2026-01-25 23:59",
        "2026-01-26 00:00",
        "2026-01-26 09:00",
    ]);
    let policy = RetentionPolicy { daily: Some(Keep::N(3)), ..default() };
    let expected = ["01-26 09:00 daily snapshot", "01-25 23:59 daily snapshot", "01-20 11:00 daily snapshot"];
    assert_eq!(kept(&policy, &items), expected);
}

#[test]
fn the_oldest_snapshot_stays_while_a_count_is_not_used_up() {
    let items = items(&["2026-01-02 08:00", "2026-01-03 01:00", "2026-01-04 20:00", "2026-01-04 20:20"]);
    let monthly = |keep| RetentionPolicy { monthly: Some(keep), ..default() };
    let both = ["01-04 20:20 monthly snapshot", "01-02 08:00 oldest monthly snapshot"];
    assert_eq!(kept(&monthly(Keep::N(4)), &items), both);
    assert_eq!(kept(&monthly(Keep::Unlimited), &items), both);
    assert_eq!(kept(&monthly(Keep::N(1)), &items), both[..1]);
}

#[test]
fn weeks_begin_on_monday_also_across_the_year() {
    // Monday 2025-12-29 to Sunday 2026-01-04 is one week.
    let items = items(&["2025-12-28", "2025-12-29", "2026-01-04", "2026-01-05"]);
    let policy = RetentionPolicy { weekly: Some(Keep::N(3)), ..default() };
    let expected =
        ["01-05 00:00 weekly snapshot", "01-04 00:00 weekly snapshot", "12-28 00:00 weekly snapshot"];
    assert_eq!(kept(&policy, &items), expected);
}

#[test]
fn the_hour_that_autumn_repeats_is_two_hours() {
    let items =
        items(&["2026-10-25T02:10:00+02:00", "2026-10-25T02:50:00+02:00", "2026-10-25T02:10:00+01:00"]);
    let policy = RetentionPolicy { hourly: Some(Keep::N(2)), ..default() };
    assert_eq!(kept(&policy, &items), ["10-25 02:10 hourly snapshot", "10-25 02:50 hourly snapshot"]);
}

#[test]
fn the_calendar_is_that_of_the_zone() {
    // One day in Berlin, two in UTC.
    let items = items(&["2026-01-10T22:30:00Z", "2026-01-11T00:30:00+01:00", "2026-01-11T02:00:00+01:00"]);
    let group: Vec<_> = items.iter().collect();
    let policy = RetentionPolicy { daily: Some(Keep::N(2)), ..default() };
    let kept = |zone: &TimeZone| {
        let outcome = apply(&policy, &group, at("2027-01-01"), zone);
        outcome.decisions.iter().filter(|d| d.keep).map(|d| d.item.id.0[0]).collect::<Vec<_>>()
    };
    assert_eq!(kept(&TimeZone::UTC), [3, 2]);
    assert_eq!(kept(&berlin()), [3, 1]);
}

#[test]
fn spans_reach_back_from_the_newest_snapshot_and_leave_out_their_very_end() {
    let items = items(&["2026-01-01 02:00", "2026-01-24 02:00", "2026-01-24 02:01", "2026-01-31 02:00"]);
    let policy = RetentionPolicy { within: span("7d"), ..default() };
    assert_eq!(kept(&policy, &items), ["01-31 02:00 within 7d", "01-24 02:01 within 7d"]);
}

#[test]
fn a_period_within_a_span_keeps_the_newest_of_each_period() {
    let items = items(&["2026-01-01 09:00", "2026-01-30 08:00", "2026-01-30 09:00", "2026-01-31 09:00"]);
    let policy = RetentionPolicy { within_daily: span("1m"), ..default() };
    let expected =
        ["01-31 09:00 daily within 1m", "01-30 09:00 daily within 1m", "01-01 09:00 daily within 1m"];
    assert_eq!(kept(&policy, &items), expected);
    let short = RetentionPolicy { within_monthly: span("2d"), ..default() };
    assert_eq!(kept(&short, &items), ["01-31 09:00 monthly within 2d"]);
    let oldest = RetentionPolicy { within_yearly: span("1y"), ..default() };
    let expected = ["01-31 09:00 yearly within 1y", "01-01 09:00 oldest yearly within 1y"];
    assert_eq!(kept(&oldest, &items), expected);
}

#[test]
fn a_job_that_stopped_loses_nothing_by_time_going_on() {
    let items = items(&["2026-01-01", "2026-01-02"]);
    let group: Vec<_> = items.iter().collect();
    let policy = RetentionPolicy { within: span("7d"), ..default() };
    for now in ["2026-01-02", "2026-06-01", "2126-01-01"] {
        assert_eq!(apply(&policy, &group, at(now), &berlin()).dropped().count(), 0, "{now}");
    }
}

#[test]
fn tags_need_all_of_one_list_and_ids_name_themselves() {
    let mut items = items(&["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]);
    items[0].tags = vec!["b".into(), "a".into()];
    items[1].tags = vec!["a".into()];
    items[2].tags = vec!["release".into()];
    let tags = vec![vec!["a".into(), "b".into()], vec!["release".into()]];
    let policy = RetentionPolicy { tags, ids: vec![items[0].id], ..default() };
    assert_eq!(kept(&policy, &items), ["01-03 00:00 tag release", "01-01 00:00 tag a,b+named by id"]);
}

#[test]
fn future_snapshots_stay_and_crowd_out_nothing() {
    let mut all = items(&["2026-01-01", "2026-01-02", "2026-01-03"]);
    all.push(item(8, at("2099-01-01")));
    all.push(item(9, Time { seconds: i64::MAX, nanoseconds: 999_999_999 }));
    let group: Vec<_> = all.iter().collect();
    let policy = RetentionPolicy { last: Some(Keep::N(1)), within: span("1d"), ..default() };
    let outcome = apply(&policy, &group, at("2026-01-03"), &berlin());
    let shown: Vec<_> = outcome.decisions.iter().map(|d| (d.item.id.0[0], d.reasons.join("+"))).collect();
    let future = "dated in the future".to_owned();
    let expected = [
        (9, future.clone()),
        (8, future),
        (3, "last snapshot+within 1d".to_owned()),
        (2, String::new()),
        (1, String::new()),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn dropping_every_snapshot_of_a_group_is_reported_also_behind_a_future_one() {
    let mut items = items(&["2026-01-01", "2026-01-02"]);
    let policy = RetentionPolicy { tags: vec![vec!["absent".into()]], ..default() };
    let would_drop_all = |policy: &RetentionPolicy, items: &[RetentionItem]| {
        let group: Vec<_> = items.iter().collect();
        apply(policy, &group, at("2026-02-01"), &berlin()).would_drop_all
    };
    assert!(would_drop_all(&policy, &items));
    assert!(!would_drop_all(&default(), &items));
    assert!(!would_drop_all(&policy, &[]));
    items.push(item(9, at("2099-01-01")));
    assert!(would_drop_all(&policy, &items));
    assert!(!would_drop_all(&policy, &items[2..]));
    items[0].tags = vec!["absent".into()];
    assert!(!would_drop_all(&policy, &items));
}

#[test]
fn the_worked_example_of_the_manual_holds() {
    let items = items(&[
        "2026-01-31 14:00",
        "2026-01-31 02:00",
        "2026-01-30 02:00",
        "2026-01-29 02:00",
        "2026-01-28 02:00",
        "2026-01-25 02:00",
        "2026-01-19 02:00",
        "2025-12-31 02:00",
        "2025-12-15 02:00",
        "2025-12-10 02:00",
    ]);
    let keep = |count| Some(Keep::N(count));
    let policy =
        RetentionPolicy { last: keep(1), daily: keep(3), weekly: keep(2), monthly: keep(3), ..default() };
    let expected = [
        "01-31 14:00 last snapshot+daily snapshot+weekly snapshot+monthly snapshot",
        "01-30 02:00 daily snapshot",
        "01-29 02:00 daily snapshot",
        "01-25 02:00 weekly snapshot",
        "12-31 02:00 monthly snapshot",
        "12-10 02:00 oldest monthly snapshot",
    ];
    assert_eq!(kept(&policy, &items), expected);
}

#[test]
fn groups_are_sets_of_equals_in_a_fixed_order() {
    let mut items = items(&["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]);
    items[0].paths = vec![b"/b".to_vec(), b"/a".to_vec()];
    items[1].paths = vec![b"/a".to_vec(), b"/b".to_vec()];
    items[2].host = "a0".into();
    items[3].job = "weekly".into();
    items[3].tags = vec!["x".into()];
    let ids = |by: &str| -> Vec<Vec<u8>> {
        let groups = group(&items, &by.parse().unwrap());
        groups.iter().map(|g| g.items.iter().map(|i| i.id.0[0]).collect()).collect()
    };
    assert_eq!(ids(""), [vec![4, 3, 2, 1]]);
    assert_eq!(ids("host"), [vec![3], vec![4, 2, 1]]);
    assert_eq!(ids("job"), [vec![3, 2, 1], vec![4]]);
    assert_eq!(ids("paths"), [vec![4, 3], vec![2, 1]]);
    assert_eq!(ids("tags"), [vec![3, 2, 1], vec![4]]);
    assert_eq!(ids("host, job,paths"), [vec![3], vec![2, 1], vec![4]]);
    let keys = group(&items, &GroupBy::default());
    assert_eq!(keys[0].key.host.as_deref(), Some("a0"));
    assert_eq!(keys[0].key.tags, None);
}

#[test]
fn grouping_is_by_host_job_and_paths_unless_told_and_knows_no_other_words() {
    assert_eq!("host,job,paths".parse(), Ok(GroupBy::default()));
    for wrong in ["hosts", "host,", ",", "host;job", "all"] {
        assert!(wrong.parse::<GroupBy>().is_err(), "{wrong}");
    }
}

/// The local date parts up to the period, by text: another road than the code under test takes.
fn oracle_period(period: Period, time: Time, position: usize) -> String {
    let format = match period {
        Period::Each => return position.to_string(),
        Period::Hour => "%Y-%m-%d %H %z",
        Period::Day => "%Y-%m-%d",
        Period::Week => "%G-%V",
        Period::Month => "%Y-%m",
        Period::Year => "%Y",
    };
    local(time, &berlin()).strftime(format).to_string()
}

/// Whether one rule keeps `past[position]`, by counting for each snapshot anew (`past` newest first).
fn oracle_rule(past: &[&RetentionItem], position: usize, rule: (Period, Option<u32>, Option<Time>)) -> bool {
    let (period, count, after) = rule;
    let in_reach = |item: &RetentionItem| after.is_none_or(|after| item.time > after);
    let period_of = |at: usize| oracle_period(period, past[at].time, at);
    let newer: BTreeSet<String> = (0..position).map(period_of).collect();
    let free = count.is_none_or(|count| newer.len() < count as usize);
    let newest_of_period = !newer.contains(&period_of(position));
    in_reach(past[position]) && free && (newest_of_period || position + 1 == past.len())
}

fn oracle_keeps(policy: &RetentionPolicy, past: &[&RetentionItem], position: usize) -> bool {
    let item = past[position];
    let counts = policy.counts().any(|(period, keep)| {
        let count = if let Keep::N(count) = keep { Some(count) } else { None };
        oracle_rule(past, position, (period, count, None))
    });
    let spans = policy.spans().any(|(period, span)| {
        oracle_rule(past, position, (period, None, Some(span.before(past[0].time, &berlin()))))
    });
    let tagged = policy.tags.iter().any(|list| list.iter().all(|tag| item.tags.contains(tag)));
    policy.is_empty() || counts || spans || tagged || policy.ids.contains(&item.id)
}

const NOW_SECONDS: i64 = 1_800_000_000;

fn any_items() -> impl Strategy<Value = Vec<RetentionItem>> {
    // Mostly within days and hours of each other, some years away, some in the future, some at the same
    // second.
    let age = prop_oneof![
        4 => 0_i64..200_000,
        4 => (0_i64..90).prop_map(|days| days * 86_400),
        2 => 0_i64..400_000_000,
        1 => -1_000_000_i64..0,
    ];
    let tags = prop::collection::vec(prop::sample::select(vec!["a".to_owned(), "b".to_owned()]), 0..3);
    prop::collection::vec((age, tags), 0..40).prop_map(|drawn| {
        let build = |(id, (age, tags))| RetentionItem {
            tags,
            ..item(id, Time { seconds: NOW_SECONDS - age, nanoseconds: 0 })
        };
        (1..).zip(drawn).map(build).collect()
    })
}

fn any_order() -> impl Strategy<Value = (Vec<RetentionItem>, Vec<RetentionItem>)> {
    any_items().prop_flat_map(|items| (Just(items.clone()), Just(items).prop_shuffle()))
}

fn any_policy() -> impl Strategy<Value = RetentionPolicy> {
    let keep = || {
        prop_oneof![
            3 => Just(None),
            3 => (0_u32..8).prop_map(|count| Some(Keep::N(count))),
            1 => Just(Some(Keep::Unlimited)),
        ]
    };
    let texts = vec![None, None, None, span("1h"), span("3d"), span("2w"), span("2m"), span("1y6m")];
    let within = move || prop::sample::select(texts.clone());
    let tags = prop_oneof![
        3 => Just(vec![]),
        1 => Just(vec![vec!["a".to_owned(), "b".to_owned()]]),
        1 => Just(vec![vec!["b".to_owned()]]),
    ];
    let ids = prop::collection::vec((1_u8..40).prop_map(|id| SnapshotId([id; 32])), 0..2);
    let counts = (keep(), keep(), keep(), keep(), keep(), keep());
    let spans = (within(), within(), within(), within(), within(), within());
    (counts, spans, tags, ids).prop_map(|(counts, spans, tags, ids)| {
        let (last, hourly, daily, weekly, monthly, yearly) = counts;
        let (within, within_hourly, within_daily, within_weekly, within_monthly, within_yearly) = spans;
        RetentionPolicy {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            within,
            within_hourly,
            within_daily,
            within_weekly,
            within_monthly,
            within_yearly,
            tags,
            ids,
        }
    })
}

fn run<'a>(policy: &RetentionPolicy, items: &'a [RetentionItem]) -> RetentionOutcome<'a> {
    apply(policy, &items.iter().collect::<Vec<_>>(), Time::from_seconds(NOW_SECONDS), &berlin())
}

fn survivors(policy: &RetentionPolicy, items: &[RetentionItem]) -> Vec<RetentionItem> {
    let outcome = run(policy, items);
    outcome.decisions.iter().filter(|d| d.keep).map(|d| d.item.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn exactly_what_counting_by_hand_keeps_is_kept(policy in any_policy(), items in any_items()) {
        let outcome = run(&policy, &items);
        prop_assert_eq!(outcome.decisions.len(), items.len());
        let is_past = |item: &&RetentionItem| item.time.seconds <= NOW_SECONDS;
        let past: Vec<_> = outcome.decisions.iter().map(|d| d.item).filter(is_past).collect();
        prop_assert!(past.is_sorted_by_key(|item| std::cmp::Reverse((item.time, item.id))));
        let future_count = items.len() - past.len();
        for (position, decision) in outcome.decisions.iter().enumerate() {
            let keeps = position < future_count || oracle_keeps(&policy, &past, position - future_count);
            prop_assert_eq!(decision.keep, keeps, "{:?}", decision);
            prop_assert_eq!(decision.keep, !decision.reasons.is_empty());
        }
        let any_past_kept = outcome.decisions[future_count..].iter().any(|d| d.keep);
        prop_assert_eq!(outcome.would_drop_all, !past.is_empty() && !any_past_kept);
    }

    #[test]
    fn keep_last_keeps_exactly_the_count_or_all(count in 1_u32..50, items in any_items()) {
        let policy = RetentionPolicy { last: Some(Keep::N(count)), ..default() };
        let past_count = items.iter().filter(|item| item.time.seconds <= NOW_SECONDS).count();
        let future_count = items.len() - past_count;
        prop_assert_eq!(survivors(&policy, &items).len(), future_count + past_count.min(count as usize));
    }

    #[test]
    fn the_order_of_the_input_changes_nothing(
        policy in any_policy(),
        (items, shuffled) in any_order(),
    ) {
        prop_assert_eq!(run(&policy, &items), run(&policy, &shuffled));
    }

    #[test]
    fn a_future_snapshot_changes_no_other_decision(
        policy in any_policy(), items in any_items(), ahead in 1_i64..10_000_000_000,
    ) {
        let mut more = items.clone();
        more.push(item(255, Time::from_seconds(NOW_SECONDS + ahead)));
        let (before, mut after) = (run(&policy, &items), run(&policy, &more));
        after.decisions.retain(|decision| decision.item.id.0[0] != 255);
        prop_assert_eq!(before, after);
    }

    #[test]
    fn a_policy_applied_to_its_survivors_keeps_them_all(policy in any_policy(), items in any_items()) {
        let once = survivors(&policy, &items);
        prop_assert_eq!(&survivors(&policy, &once), &once);
    }

    #[test]
    fn one_more_option_never_drops_more(policy in any_policy(), items in any_items(), count in 1_u32..8) {
        prop_assume!(!policy.is_empty());
        let more = RetentionPolicy { ids: items.iter().take(1).map(|i| i.id).collect(), ..policy.clone() };
        let more = RetentionPolicy { ids: [more.ids, policy.ids.clone()].concat(), ..policy.clone() };
        let daily = RetentionPolicy { daily: policy.daily.or(Some(Keep::N(count))), ..policy.clone() };
        let kept = survivors(&policy, &items);
        for wider in [more, daily] {
            let wider = survivors(&wider, &items);
            prop_assert!(kept.iter().all(|item| wider.contains(item)));
        }
    }

    #[test]
    fn the_newest_snapshot_stays_under_every_count_and_span(policy in any_policy(), items in any_items()) {
        let policy = RetentionPolicy { tags: vec![], ids: vec![], ..policy };
        prop_assert!(!run(&policy, &items).would_drop_all);
        let newest = items.iter().filter(|i| i.time.seconds <= NOW_SECONDS).max_by_key(|i| (i.time, i.id));
        let kept = survivors(&policy, &items);
        prop_assert!(newest.is_none_or(|newest| kept.contains(newest)));
    }

    #[test]
    fn every_snapshot_is_in_one_group_whatever_the_order(
        (items, shuffled) in any_order(),
        tags: bool,
    ) {
        let by = GroupBy { tags, ..GroupBy::default() };
        let groups = group(&items, &by);
        prop_assert_eq!(groups.iter().map(|g| g.items.len()).sum::<usize>(), items.len());
        prop_assert_eq!(groups, group(&shuffled, &by));
    }
}
