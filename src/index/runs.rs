//! The memory of features: sorted runs of rows (feature, name of a chunk), in pages of many rows.
//!
//! Rows come in batches, four for every chunk of text, and hardly any of them is ever asked for again. Rows
//! of a table would cost more than the rest of the index; so SQLite sees pages of 120 rows, and a batch
//! becomes a run of its own, merged with those runs before it that are no longer: a row is written anew as
//! often as its run doubles. The newest run has the highest number. Too many rows, and the oldest run goes.

use rusqlite::{Connection, params};

use super::database::signed;
use super::error::IndexError;
use super::filter::Filter;
use super::similar::SIMILAR_COUNT_MAX;
use crate::format::pack::BaseName;

/// One row: a feature, and the name of a chunk that has it.
pub(super) type FeatureRow = (u64, BaseName);

/// Bytes of a stored row: the feature and the name.
const ROW_BYTES: usize = 16;
/// Rows of a page: as many as SQLite keeps within one of its own pages of the usual size.
const PAGE_ROW_COUNT: usize = 120;
/// A run of more than this part of all rows is not merged any more, so that the oldest rows can go.
const RUN_PART: u64 = 4;

/// Returns a batch in the order of a run: by feature, of the same feature the newest first.
pub(super) fn sorted(batch: &[FeatureRow]) -> Vec<FeatureRow> {
    let mut rows: Vec<FeatureRow> = batch.iter().rev().copied().collect();
    rows.sort_by_key(|(feature, _)| *feature);
    rows
}

/// Adds sorted rows, newer than all that are there, and returns the number of their run; forgets the oldest
/// rows when there are more than `row_max`.
pub(super) fn add(connection: &Connection, rows: Vec<FeatureRow>, row_max: u64) -> Result<i64, IndexError> {
    let runs = runs(connection)?;
    let number = runs.first().map_or(0, |(number, _)| *number).saturating_add(1);
    let mut total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let run_max = signed(row_max / RUN_PART)?;
    let mut sources = vec![Source { rows: rows.into_iter(), run: None }];
    for (run, count) in &runs {
        if *count > total || total.saturating_add(*count) > run_max {
            break;
        }
        total = total.saturating_add(*count);
        sources.push(Source { rows: Vec::new().into_iter(), run: Some((*run, Some(i64::MIN))) });
    }
    let merged = sources.len() - 1;
    let written = merge(connection, &mut sources, number)?;
    for (run, _) in runs.iter().take(merged) {
        remove(connection, *run)?;
    }
    connection.prepare_cached("INSERT INTO feature_runs VALUES (?1, ?2)")?.execute([number, written])?;
    let mut sum = runs.iter().skip(merged).fold(written, |sum, (_, count)| sum.saturating_add(*count));
    for (run, count) in runs.iter().skip(merged).rev() {
        if sum <= signed(row_max)? {
            break;
        }
        remove(connection, *run)?;
        sum = sum.saturating_sub(*count);
    }
    Ok(number)
}

/// Brings `filter` to the state of the runs, and returns it.
pub(super) fn follow<'f>(
    connection: &Connection,
    filter: &'f mut Option<Filter>,
) -> Result<&'f Filter, IndexError> {
    let runs = runs(connection)?;
    let newest = runs.first().map_or(0, |(number, _)| *number);
    let kept = filter.take().filter(|kept| kept.newest == newest || !kept.is_full());
    let mut current = kept.unwrap_or_else(|| {
        Filter::new(
            runs.iter().fold(0, |sum, (_, count)| sum.saturating_add(u64::try_from(*count).unwrap_or(0))),
        )
    });
    let known = current.newest;
    let mut statement = connection.prepare_cached("SELECT rows FROM feature_pages WHERE run = ?1")?;
    for (run, _) in runs.iter().take_while(|(run, _)| *run > known) {
        let mut pages = statement.query([*run])?;
        while let Some(page) = pages.next()? {
            let rows = page.get_ref(0)?.as_blob().map_err(|_| inconsistent())?;
            rows.as_chunks().0.iter().for_each(|row| current.add(read_row(row).0));
        }
    }
    current.newest = newest;
    Ok(filter.insert(current))
}

/// Returns the last chunks of each of `features`, by its place, the newest first.
pub(super) fn find(
    connection: &Connection,
    features: &[u64],
    filter: &Filter,
) -> Result<Vec<(usize, BaseName)>, IndexError> {
    let runs = runs(connection)?;
    let mut statement = connection.prepare_cached(
        "SELECT rows FROM feature_pages WHERE run = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1",
    )?;
    let mut found: Vec<(usize, BaseName)> = Vec::new();
    for (place, feature) in features.iter().enumerate().filter(|(_, feature)| filter.has(**feature)) {
        let first = found.len();
        for (run, _) in &runs {
            if found.len() - first >= SIMILAR_COUNT_MAX {
                break;
            }
            let mut pages = statement.query([*run, key_of(*feature)])?;
            let Some(page) = pages.next()? else { continue };
            let page = page.get_ref(0)?.as_blob().map_err(|_| inconsistent())?;
            let (rows, _) = page.as_chunks::<ROW_BYTES>();
            let start = rows.partition_point(|row| read_row(row).0 < *feature);
            let of_feature = rows.iter().skip(start).map(read_row).take_while(|row| row.0 == *feature);
            for (_, name) in of_feature {
                let is_new = found.iter().skip(first).all(|(_, known)| *known != name);
                if is_new && found.len() - first < SIMILAR_COUNT_MAX {
                    found.push((place, name));
                }
            }
        }
    }
    Ok(found)
}

fn inconsistent() -> IndexError {
    IndexError::Inconsistent { what: "a page of features" }
}

/// SQLite's numbers are signed; this keeps the order.
fn key_of(feature: u64) -> i64 {
    i64::from_ne_bytes((feature ^ 1 << 63).to_ne_bytes())
}

fn read_row(row: &[u8; ROW_BYTES]) -> FeatureRow {
    let [a, b, c, d, e, f, g, h, name @ ..] = *row;
    (u64::from_le_bytes([a, b, c, d, e, f, g, h]), BaseName(name))
}

/// Returns the runs and how many rows each has, the newest first.
fn runs(connection: &Connection) -> Result<Vec<(i64, i64)>, IndexError> {
    let mut statement = connection.prepare_cached("SELECT run, rows FROM feature_runs ORDER BY run DESC")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn remove(connection: &Connection, run: i64) -> Result<(), IndexError> {
    connection.prepare_cached("DELETE FROM feature_pages WHERE run = ?1")?.execute([run])?;
    connection.prepare_cached("DELETE FROM feature_runs WHERE run = ?1")?.execute([run])?;
    Ok(())
}

/// The rows of a batch or of a run, one page in memory at a time.
struct Source {
    rows: std::vec::IntoIter<FeatureRow>,
    /// The run, and the least key of the page to read next, if there may be one.
    run: Option<(i64, Option<i64>)>,
}

impl Source {
    fn next(&mut self, connection: &Connection) -> Result<Option<FeatureRow>, IndexError> {
        if let Some(row) = self.rows.next() {
            return Ok(Some(row));
        }
        let Some((run, Some(from))) = self.run else { return Ok(None) };
        let mut statement = connection.prepare_cached(
            "SELECT first, rows FROM feature_pages WHERE run = ?1 AND first >= ?2 ORDER BY first LIMIT 1",
        )?;
        let mut pages = statement.query([run, from])?;
        let Some(page) = pages.next()? else {
            self.run = None;
            return Ok(None);
        };
        let first: i64 = page.get(0)?;
        let rows = page.get_ref(1)?.as_blob().map_err(|_| inconsistent())?;
        let rows: Vec<FeatureRow> = rows.as_chunks::<ROW_BYTES>().0.iter().map(read_row).collect();
        self.run = Some((run, first.checked_add(1)));
        self.rows = rows.into_iter();
        Ok(self.rows.next())
    }
}

/// Writes the rows of `sources`, of which the newest comes first, as the run `number`; returns how many.
fn merge(connection: &Connection, sources: &mut [Source], number: i64) -> Result<i64, IndexError> {
    let mut heads = Vec::with_capacity(sources.len());
    for source in sources.iter_mut() {
        heads.push(source.next(connection)?);
    }
    let mut writer =
        RunWriter { connection, number, page: Vec::new(), last: None, names: Vec::new(), count: 0 };
    loop {
        let mut least: Option<(usize, FeatureRow)> = None;
        for (place, head) in heads.iter().enumerate() {
            if let Some(row) = head
                && least.is_none_or(|(_, found)| row.0 < found.0)
            {
                least = Some((place, *row));
            }
        }
        let Some((place, row)) = least else { break };
        writer.push(row)?;
        if let (Some(head), Some(source)) = (heads.get_mut(place), sources.get_mut(place)) {
            *head = source.next(connection)?;
        }
    }
    writer.flush()?;
    Ok(writer.count)
}

struct RunWriter<'c> {
    connection: &'c Connection,
    number: i64,
    page: Vec<FeatureRow>,
    /// The feature pushed last, and its names.
    last: Option<u64>,
    names: Vec<BaseName>,
    count: i64,
}

impl RunWriter<'_> {
    /// Takes the next row. No page ends between rows of the same feature.
    fn push(&mut self, (feature, name): FeatureRow) -> Result<(), IndexError> {
        if self.last != Some(feature) {
            if self.page.len() >= PAGE_ROW_COUNT {
                self.flush()?;
            }
            self.last = Some(feature);
            self.names.clear();
        } else if self.names.len() >= SIMILAR_COUNT_MAX || self.names.contains(&name) {
            return Ok(());
        }
        self.names.push(name);
        self.page.push((feature, name));
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        let Some((first, _)) = self.page.first() else { return Ok(()) };
        let bytes: Vec<u8> =
            self.page.iter().flat_map(|(feature, name)| [feature.to_le_bytes(), name.0]).flatten().collect();
        let mut statement =
            self.connection.prepare_cached("INSERT INTO feature_pages VALUES (?1, ?2, ?3)")?;
        statement.execute(params![self.number, key_of(*first), bytes])?;
        self.page.clear();
        Ok(())
    }
}
