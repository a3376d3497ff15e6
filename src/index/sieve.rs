//! Which chunks are surely not in the two larger levels of chunk rows: most of what a first backup asks for.
//!
//! A table of bits for each of the two, stored beside the rows and changed with them in one transaction, so
//! that every process finds what the others added. A bit may stand for a row that is gone, never the reverse.
//! Rows enter these levels in sorted bulk, and the place of a key follows its order, so a table is changed
//! from its beginning to its end, a part at a time.

use rusqlite::{Connection, OptionalExtension, params};

use super::chunks::ChunkRow;
use super::error::IndexError;
use super::schema::{counter, set_counter};

/// Bits for each row that there is room for: at most one question in seven for what is not there passes.
const ROW_BITS: u64 = 4;
/// A key has its two bits in one line, which the processor fetches at once.
const LINE_BYTES: usize = 64;
/// Lines of one row of `sieve_parts`: 1 MiB.
const PART_LINES: u64 = 1 << 14;
/// Bytes of tables whose reading pays for each question asked before.
const BYTES_A_QUESTION: u64 = 4 << 10;

/// One of the two larger levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// `chunks_1`.
    Middle,
    /// `chunks_2`.
    Last,
}

impl Level {
    const ALL: [Self; 2] = [Self::Middle, Self::Last];

    fn number(self) -> i64 {
        match self {
            Self::Middle => 1,
            Self::Last => 2,
        }
    }

    /// Lines of its table at most: 8 and 48 MiB. More rows than fit let more questions pass.
    fn line_count_max(self) -> u64 {
        match self {
            Self::Middle => 1 << 17,
            Self::Last => 3 << 18,
        }
    }

    /// Counter of the lines of its table.
    fn lines(self) -> &'static str {
        match self {
            Self::Middle => "sieve_lines_1",
            Self::Last => "sieve_lines_2",
        }
    }

    /// Counter of the rows that may still be added.
    fn room(self) -> &'static str {
        match self {
            Self::Middle => "sieve_room_1",
            Self::Last => "sieve_room_2",
        }
    }

    fn keys(self) -> &'static str {
        match self {
            Self::Middle => "SELECT key FROM chunks_1 ORDER BY key",
            Self::Last => "SELECT key FROM chunks_2 ORDER BY key",
        }
    }

    fn count(self) -> &'static str {
        match self {
            Self::Middle => "SELECT count(*) FROM chunks_1",
            Self::Last => "SELECT count(*) FROM chunks_2",
        }
    }
}

/// Rows that entered a level, sorted by key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entered<'r> {
    /// These.
    Rows(&'r [ChunkRow]),
    /// All of `chunks_0`.
    First,
    /// All of `chunks_1`.
    Middle,
}

impl Entered<'_> {
    fn each(
        self,
        connection: &Connection,
        set: &mut dyn FnMut(i64) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        match self {
            Self::Rows(rows) => rows.iter().try_for_each(|(key, _)| set(*key)),
            Self::First => each_key(connection, "SELECT key FROM chunks_0 ORDER BY key", set),
            Self::Middle => each_key(connection, Level::Middle.keys(), set),
        }
    }
}

fn each_key(
    connection: &Connection,
    sql: &str,
    set: &mut dyn FnMut(i64) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        set(row.get(0)?)?;
    }
    Ok(())
}

/// Returns the line of a key among `lines`, and its two bits there.
fn place(key: i64, lines: u64) -> (u64, [usize; 2]) {
    let hash = u64::try_from(key.saturating_add(1 << 47)).unwrap_or(0);
    let line = (u128::from(hash) * u128::from(lines)) >> 48;
    let bit = |shift: u32| usize::try_from(hash >> shift & 511).unwrap_or(0);
    (u64::try_from(line).unwrap_or(u64::MAX), [bit(0), bit(9)])
}

/// Says that `count` rows, which are in the level's table already, have just entered it.
pub(super) fn add(
    connection: &Connection,
    level: Level,
    count: i64,
    entered: Entered<'_>,
) -> Result<(), IndexError> {
    let room = counter(connection, level.room())?;
    if room >= count {
        set_counter(connection, level.room(), room - count)?;
        let mut parts = Parts::new(connection, level, counter(connection, level.lines())?)?;
        entered.each(connection, &mut |key| parts.set(key))?;
        parts.flush()?;
    } else {
        grow(connection, level)?;
    }
    changed(connection)
}

/// Makes the table of a level anew, with room for as many rows again.
fn grow(connection: &Connection, level: Level) -> Result<(), IndexError> {
    let rows: i64 = connection.query_row(level.count(), [], |row| row.get(0))?;
    let wanted = u64::try_from(rows).unwrap_or(0).saturating_mul(2 * ROW_BITS);
    let lines = wanted.div_ceil(LINE_BYTES as u64 * 8).clamp(1, level.line_count_max());
    let room = if lines == level.line_count_max() { i64::MAX } else { capacity(lines).saturating_sub(rows) };
    let lines = i64::try_from(lines).unwrap_or(i64::MAX);
    set_counter(connection, level.lines(), lines)?;
    set_counter(connection, level.room(), room)?;
    delete_parts(connection, level)?;
    let mut parts = Parts::new(connection, level, lines)?;
    each_key(connection, level.keys(), &mut |key| parts.set(key))?;
    parts.flush()
}

/// Returns the rows that so many lines have room for.
fn capacity(lines: u64) -> i64 {
    i64::try_from(lines.saturating_mul(LINE_BYTES as u64 * 8 / ROW_BITS)).unwrap_or(i64::MAX)
}

/// Says that a level is empty.
pub(super) fn clear(connection: &Connection, level: Level) -> Result<(), IndexError> {
    let lines = u64::try_from(counter(connection, level.lines())?).unwrap_or(0);
    let room = if lines == level.line_count_max() { i64::MAX } else { capacity(lines) };
    set_counter(connection, level.room(), room)?;
    delete_parts(connection, level)?;
    changed(connection)
}

fn delete_parts(connection: &Connection, level: Level) -> Result<(), IndexError> {
    connection.prepare_cached("DELETE FROM sieve_parts WHERE level = ?1")?.execute([level.number()])?;
    Ok(())
}

fn changed(connection: &Connection) -> Result<(), IndexError> {
    let generation = counter(connection, GENERATION)?;
    set_counter(connection, GENERATION, generation.wrapping_add(1))
}

/// Counter of changes to the tables.
const GENERATION: &str = "sieve_generation";

/// The parts of one table, one at a time in memory. A part that is not stored has no bit set.
struct Parts<'c> {
    connection: &'c Connection,
    level: Level,
    lines: u64,
    part: Option<(u64, Vec<u8>)>,
}

impl<'c> Parts<'c> {
    fn new(connection: &'c Connection, level: Level, lines: i64) -> Result<Self, IndexError> {
        let lines = u64::try_from(lines).ok().filter(|lines| (1..=level.line_count_max()).contains(lines));
        let lines = lines.ok_or(IndexError::Inconsistent { what: "lines of a sieve" })?;
        Ok(Self { connection, level, lines, part: None })
    }

    fn set(&mut self, key: i64) -> Result<(), IndexError> {
        let (line, bits) = place(key, self.lines);
        let number = line / PART_LINES;
        let start = usize::try_from(line % PART_LINES).unwrap_or(0) * LINE_BYTES;
        if self.part.as_ref().is_none_or(|(held, _)| *held != number) {
            self.flush()?;
            self.part = Some((number, self.stored(number)?));
        }
        let line = self.part.as_mut().and_then(|(_, bytes)| bytes.get_mut(start..start + LINE_BYTES));
        let line = line.ok_or(IndexError::Inconsistent { what: "length of a sieve" })?;
        for bit in bits {
            line[bit / 8] |= 1 << (bit % 8);
        }
        Ok(())
    }

    fn stored(&self, number: u64) -> Result<Vec<u8>, IndexError> {
        let mut statement =
            self.connection.prepare_cached("SELECT bits FROM sieve_parts WHERE level = ?1 AND part = ?2")?;
        let key = params![self.level.number(), i64::try_from(number).unwrap_or(i64::MAX)];
        let stored: Option<Vec<u8>> = statement.query_row(key, |row| row.get(0)).optional()?;
        let lines = self.lines.saturating_sub(number * PART_LINES).min(PART_LINES);
        let length = usize::try_from(lines).unwrap_or(0) * LINE_BYTES;
        match stored {
            Some(stored) if stored.len() != length => {
                Err(IndexError::Inconsistent { what: "length of a sieve" })
            }
            stored => Ok(stored.unwrap_or_else(|| vec![0; length])),
        }
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        let Some((number, bytes)) = self.part.take() else { return Ok(()) };
        let mut statement =
            self.connection.prepare_cached("INSERT OR REPLACE INTO sieve_parts VALUES (?1, ?2, ?3)")?;
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        statement.execute(params![self.level.number(), number, bytes])?;
        Ok(())
    }
}

/// What a handle holds of the tables in memory.
#[derive(Debug, Default)]
pub(super) struct Sieves {
    /// Questions since the tables were read.
    asked: u64,
    tables: Option<Tables>,
}

/// Both tables as of one state of the database.
#[derive(Debug)]
pub(super) struct Tables {
    generation: i64,
    bits: [Vec<u8>; 2],
}

impl Sieves {
    /// Returns the tables as they are now; `None` where reading them does not pay for the questions that were
    /// asked, `count` more of them, or where they are more than `max_bytes`.
    pub(super) fn follow(
        &mut self,
        connection: &Connection,
        count: usize,
        max_bytes: u64,
    ) -> Result<Option<&Tables>, IndexError> {
        self.asked = self.asked.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        let generation = counter(connection, GENERATION)?;
        if self.tables.as_ref().is_none_or(|tables| tables.generation != generation) {
            self.tables = None;
            let mut bytes = [0; 2];
            for (bytes, level) in bytes.iter_mut().zip(Level::ALL) {
                let lines = u64::try_from(counter(connection, level.lines())?).unwrap_or(u64::MAX);
                *bytes = lines.saturating_mul(LINE_BYTES as u64);
            }
            let total = bytes[0].saturating_add(bytes[1]);
            if total > max_bytes || self.asked < total / BYTES_A_QUESTION {
                return Ok(None);
            }
            self.asked = 0;
            let read = |level, bytes| read_bits(connection, level, bytes);
            let bits = [read(Level::Middle, bytes[0])?, read(Level::Last, bytes[1])?];
            self.tables = Some(Tables { generation, bits });
        }
        Ok(self.tables.as_ref())
    }
}

fn read_bits(connection: &Connection, level: Level, length_bytes: u64) -> Result<Vec<u8>, IndexError> {
    let mut bits = vec![0; usize::try_from(length_bytes).unwrap_or(0)];
    let mut statement = connection.prepare_cached("SELECT part, bits FROM sieve_parts WHERE level = ?1")?;
    let mut rows = statement.query([level.number()])?;
    while let Some(row) = rows.next()? {
        let part: i64 = row.get(0)?;
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        let stored = row.get_ref(1)?.as_blob().map_err(|_| IndexError::Inconsistent { what: "a sieve" })?;
        let start = part.saturating_mul(LINE_BYTES * PART_LINES as usize);
        let room = bits.get_mut(start..start.saturating_add(stored.len()));
        room.ok_or(IndexError::Inconsistent { what: "length of a sieve" })?.copy_from_slice(stored);
    }
    Ok(bits)
}

impl Tables {
    /// Tells whether a key may be in one of the two levels; `false` is certain.
    pub(super) fn may_hold(&self, key: i64) -> bool {
        self.bits.iter().any(|table| {
            let lines = table.len() / LINE_BYTES;
            let (line, bits) = place(key, u64::try_from(lines).unwrap_or(0));
            let start = usize::try_from(line).unwrap_or(usize::MAX).saturating_mul(LINE_BYTES);
            let is_set = |line: &[u8]| bits.iter().all(|bit| line[bit / 8] & 1 << (bit % 8) != 0);
            table.get(start..start.saturating_add(LINE_BYTES)).is_some_and(is_set)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::base::RepositoryId;
    use crate::base::clock::{Entropy, SeededEntropy};
    use crate::index::chunks::{self, is_in_first, key_of};
    use crate::index::{IndexDatabase, IndexSettings};

    #[test]
    fn every_row_is_found_as_tables_grow_and_levels_move_and_most_else_is_told_absent() {
        let entropy = SeededEntropy::new(11);
        let random = || {
            let mut bytes = [0; 8];
            entropy.fill(&mut bytes);
            bytes
        };
        let database = IndexDatabase::temporary(RepositoryId([5; 16]), IndexSettings::default()).unwrap();
        let (mut all, mut next) = (Vec::new(), 0);
        for length in [1, 200, 30, 1_000, 5, 3_000, 20, 20, 8_000, 300, 300] {
            let rows = (0..length).map(|_| key_of(&random())).zip(next..);
            let mut rows: Vec<(i64, i64)> = rows.collect();
            next += length;
            all.extend(rows.iter().map(|(key, _)| *key));
            database.write(|transaction| chunks::insert(transaction, &mut rows, [64, 900])).unwrap();
            let told = database.read(|connection| {
                let mut sieves = Sieves::default();
                let tables = sieves.follow(connection, usize::MAX, u64::MAX)?.unwrap();
                for key in &all {
                    assert!(tables.may_hold(*key) || is_in_first(connection, *key)?, "after {length}");
                }
                Ok((0..1_000).filter(|_| tables.may_hold(key_of(&random()))).count())
            });
            assert!(told.unwrap() < 350, "after {length}");
        }
    }

    #[test]
    fn places_follow_the_order_of_keys_and_stay_inside() {
        for lines in [1, 2, 3, 1000, Level::Last.line_count_max()] {
            let keys = (0..1000).map(|step| (step << 38) - (1 << 47) + step * 77);
            let places: Vec<u64> = keys.map(|key| place(key, lines).0).collect();
            assert!(places.is_sorted());
            let ends = [-(1 << 47), (1 << 47) - 1].map(|key| place(key, lines).0);
            assert_eq!(ends, [0, lines - 1]);
        }
    }
}
