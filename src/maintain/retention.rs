//! Retention: which snapshots of a group stay, and why (`docs/retention.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use jiff::tz::TimeZone;

use crate::base::parse::{CalendarSpan, ParseError, local};
use crate::base::{SnapshotId, Time};
use crate::query::select::SnapshotSummary;

/// How many periods a keep option counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So many; zero is as if the option were not given.
    N(u32),
    /// All of them.
    Unlimited,
}

impl FromStr for Keep {
    type Err = ParseError;

    /// Reads a number, or `unlimited` (also `-1`).
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let trimmed = text.trim();
        if matches!(trimmed, "unlimited" | "-1") {
            return Ok(Self::Unlimited);
        }
        let digits = trimmed.bytes().all(|c| c.is_ascii_digit());
        let number = trimmed.parse().ok().filter(|_| digits).map(Self::N);
        number.ok_or_else(|| ParseError::new(text, "a number or 'unlimited'", "7 or unlimited"))
    }
}

/// What to keep. Each option keeps by itself; a snapshot stays when one of them keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetentionPolicy {
    /// The newest snapshots.
    pub last: Option<Keep>,
    /// The newest snapshot of each of the newest hours that have any; the next four likewise.
    pub hourly: Option<Keep>,
    /// By calendar day.
    pub daily: Option<Keep>,
    /// By ISO week, Monday to Sunday.
    pub weekly: Option<Keep>,
    /// By calendar month.
    pub monthly: Option<Keep>,
    /// By calendar year.
    pub yearly: Option<Keep>,
    /// Every snapshot less than this older than the newest.
    pub within: Option<CalendarSpan>,
    /// The newest of each hour among those; the next four likewise.
    pub within_hourly: Option<CalendarSpan>,
    /// By calendar day.
    pub within_daily: Option<CalendarSpan>,
    /// By ISO week.
    pub within_weekly: Option<CalendarSpan>,
    /// By calendar month.
    pub within_monthly: Option<CalendarSpan>,
    /// By calendar year.
    pub within_yearly: Option<CalendarSpan>,
    /// Every snapshot that has all tags of one of these lists.
    pub tags: Vec<Vec<String>>,
    /// These snapshots.
    pub ids: Vec<SnapshotId>,
}

impl RetentionPolicy {
    /// Returns whether no option asks to keep anything. Such a policy drops nothing.
    pub fn is_empty(&self) -> bool {
        let no_count = self.counts().all(|(_, keep)| keep == Keep::N(0));
        no_count && self.spans().next().is_none() && self.tags.is_empty() && self.ids.is_empty()
    }

    fn counts(&self) -> impl Iterator<Item = (Period, Keep)> {
        let given = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        Period::ALL.into_iter().zip(given).filter_map(|(period, keep)| Some((period, keep?)))
    }

    fn spans(&self) -> impl Iterator<Item = (Period, CalendarSpan)> {
        let given = [
            self.within,
            self.within_hourly,
            self.within_daily,
            self.within_weekly,
            self.within_monthly,
            self.within_yearly,
        ];
        let pairs = Period::ALL.into_iter().zip(given);
        pairs.filter_map(|(period, span)| Some((period, span.filter(|span| !span.is_zero())?)))
    }

    /// Returns the rules of the policy for a group whose newest snapshot is of time `newest`.
    fn rules(&self, newest: Time, zone: &TimeZone) -> Vec<Rule> {
        let counts = self.counts().map(|(period, keep)| Rule {
            period,
            count: match keep {
                Keep::N(count) => Some(count),
                Keep::Unlimited => None,
            },
            after: None,
            reason: format!("{} snapshot", period.word()),
        });
        let spans = self.spans().map(|(period, span)| Rule {
            period,
            count: None,
            after: Some(span.before(newest, zone)),
            reason: match period {
                Period::Each => format!("within {span}"),
                _ => format!("{} within {span}", period.word()),
            },
        });
        counts.chain(spans).collect()
    }
}

/// What retention knows of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionItem {
    /// The id.
    pub id: SnapshotId,
    /// The time of the snapshot.
    pub time: Time,
    /// The host.
    pub host: String,
    /// The job; empty when none.
    pub job: String,
    /// Paths as backed up, in any order.
    pub paths: Vec<Vec<u8>>,
    /// Tags, in any order.
    pub tags: Vec<String>,
}

impl From<&SnapshotSummary> for RetentionItem {
    fn from(snapshot: &SnapshotSummary) -> Self {
        Self {
            id: snapshot.id,
            time: snapshot.time,
            host: snapshot.host.clone(),
            job: snapshot.job.clone(),
            paths: snapshot.paths.clone(),
            tags: snapshot.tags.clone(),
        }
    }
}

/// What snapshots of one group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    /// The host.
    pub host: bool,
    /// The job.
    pub job: bool,
    /// The set of paths.
    pub paths: bool,
    /// The set of tags.
    pub tags: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self { host: true, job: true, paths: true, tags: false }
    }
}

impl FromStr for GroupBy {
    type Err = ParseError;

    /// Reads words of `host,job,paths,tags`; nothing makes one group of all.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut by = Self { host: false, job: false, paths: false, tags: false };
        if text.trim().is_empty() {
            return Ok(by);
        }
        for word in text.split(',') {
            match word.trim() {
                "host" => by.host = true,
                "job" => by.job = true,
                "path" | "paths" => by.paths = true,
                "tag" | "tags" => by.tags = true,
                _ => {
                    let expected = "a list of host, job, paths and tags";
                    return Err(ParseError::new(text, expected, "host,job,paths"));
                }
            }
        }
        Ok(by)
    }
}

/// What the snapshots of a group share; `None` where the grouping does not ask.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The host.
    pub host: Option<String>,
    /// The job.
    pub job: Option<String>,
    /// The paths, sorted, each once.
    pub paths: Option<Vec<Vec<u8>>>,
    /// The tags, sorted, each once.
    pub tags: Option<Vec<String>>,
}

/// Snapshots that a policy is applied to together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    /// What they share.
    pub key: GroupKey,
    /// The snapshots, newest first, then by id from the highest.
    pub items: Vec<&'a RetentionItem>,
}

/// Returns the groups of `items`, sorted by key. Every item is in exactly one; the order of `items` has no
/// effect.
pub fn group<'a>(items: &'a [RetentionItem], by: &GroupBy) -> Vec<Group<'a>> {
    fn set<T: Ord + Clone>(values: &[T]) -> Vec<T> {
        values.iter().cloned().collect::<BTreeSet<T>>().into_iter().collect()
    }
    let mut groups: BTreeMap<GroupKey, Vec<&RetentionItem>> = BTreeMap::new();
    for item in items {
        let key = GroupKey {
            host: by.host.then(|| item.host.clone()),
            job: by.job.then(|| item.job.clone()),
            paths: by.paths.then(|| set(&item.paths)),
            tags: by.tags.then(|| set(&item.tags)),
        };
        groups.entry(key).or_default().push(item);
    }
    let newest_first = |(key, items)| Group { key, items: newest_first(items) };
    groups.into_iter().map(newest_first).collect()
}

fn newest_first(mut items: Vec<&RetentionItem>) -> Vec<&RetentionItem> {
    items.sort_by_key(|item| std::cmp::Reverse((item.time, item.id)));
    items
}

/// What becomes of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The snapshot.
    pub item: &'a RetentionItem,
    /// Whether it stays.
    pub keep: bool,
    /// Why it stays, in the order of the options; empty when it goes.
    pub reasons: Vec<String>,
}

/// What becomes of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionOutcome<'a> {
    /// One decision for each snapshot, newest first, then by id from the highest.
    pub decisions: Vec<Decision<'a>>,
    /// Every snapshot that is not dated in the future would go: the caller must refuse.
    pub would_drop_all: bool,
}

impl<'a> RetentionOutcome<'a> {
    /// Returns the snapshots that go, newest first.
    pub fn dropped(&self) -> impl Iterator<Item = &'a RetentionItem> {
        self.decisions.iter().filter(|decision| !decision.keep).map(|decision| decision.item)
    }
}

/// Applies `policy` to the snapshots of one group, on the calendar of `zone`. The order of `items` has no
/// effect.
///
/// Snapshots later than `now` stay, and have no part in deciding about the others: they fill no period, use
/// up no count, and spans are measured from the newest of the others. An empty policy keeps all.
pub fn apply<'a>(
    policy: &RetentionPolicy,
    items: &[&'a RetentionItem],
    now: Time,
    zone: &TimeZone,
) -> RetentionOutcome<'a> {
    let items = newest_first(items.to_vec());
    let (future, past) = items.split_at(items.partition_point(|item| item.time > now));
    let mut reasons: Vec<Vec<String>> = vec![Vec::new(); past.len()];
    if policy.is_empty() {
        reasons.fill(vec!["no keep option given".to_owned()]);
    } else if let Some(newest) = past.first() {
        for rule in policy.rules(newest.time, zone) {
            rule.mark(past, zone, &mut reasons);
        }
        for (item, reasons) in past.iter().zip(&mut reasons) {
            mark_named(policy, item, reasons);
        }
    }
    let would_drop_all = !past.is_empty() && reasons.iter().all(Vec::is_empty);
    let future = future.iter().map(|&item| Decision {
        item,
        keep: true,
        reasons: vec!["dated in the future".to_owned()],
    });
    let past = past.iter().zip(reasons).map(|(&item, reasons)| Decision {
        item,
        keep: !reasons.is_empty(),
        reasons,
    });
    RetentionOutcome { decisions: future.chain(past).collect(), would_drop_all }
}

/// Adds the reasons that name this snapshot itself: tags and id.
fn mark_named(policy: &RetentionPolicy, item: &RetentionItem, reasons: &mut Vec<String>) {
    for tags in policy.tags.iter().filter(|tags| tags.iter().all(|tag| item.tags.contains(tag))) {
        reasons.push(format!("tag {}", tags.join(",")));
    }
    if policy.ids.contains(&item.id) {
        reasons.push("named by id".to_owned());
    }
}

/// What a rule keeps one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    /// Every snapshot is a period of its own.
    Each,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// Tells periods of one kind apart: the parts of the local date that the period has, zeros after them.
type PeriodKey = [i32; 5];

impl Period {
    const ALL: [Self; 6] = [Self::Each, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    fn word(self) -> &'static str {
        match self {
            Self::Each => "last",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// Returns the key of the period that `time` is in; none where each snapshot is its own.
    fn key(self, time: Time, zone: &TimeZone) -> Option<PeriodKey> {
        let local = local(time, zone);
        let (year, month, day) = (local.year().into(), local.month().into(), local.day().into());
        match self {
            Self::Each => None,
            // With the offset, the hour that autumn repeats is two hours.
            Self::Hour => Some([year, month, day, local.hour().into(), local.offset().seconds()]),
            Self::Day => Some([year, month, day, 0, 0]),
            Self::Week => {
                let week = local.date().iso_week_date();
                Some([week.year().into(), week.week().into(), 0, 0, 0])
            }
            Self::Month => Some([year, month, 0, 0, 0]),
            Self::Year => Some([year, 0, 0, 0, 0]),
        }
    }
}

/// One keep option, ready to be applied.
#[derive(Debug)]
struct Rule {
    period: Period,
    /// How many it may keep; none: no limit.
    count: Option<u32>,
    /// Only what is later than this.
    after: Option<Time>,
    reason: String,
}

impl Rule {
    /// Adds this rule's reason to what it keeps of `items` (newest first): the newest of each period, and the
    /// oldest of all while the count is not used up, so that history grows to its length from the first day
    /// on.
    fn mark(&self, items: &[&RetentionItem], zone: &TimeZone, reasons: &mut [Vec<String>]) {
        let mut seen = BTreeSet::new();
        let mut left = self.count;
        for (position, item) in items.iter().enumerate() {
            if left == Some(0) || self.after.is_some_and(|after| item.time <= after) {
                return;
            }
            let newest_of_period = self.period.key(item.time, zone).is_none_or(|key| seen.insert(key));
            let reason = match newest_of_period {
                true => self.reason.clone(),
                false if position + 1 == items.len() => format!("oldest {}", self.reason),
                false => continue,
            };
            reasons[position].push(reason);
            left = left.map(|left| left - 1);
        }
    }
}

#[cfg(test)]
mod tests;
