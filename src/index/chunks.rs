//! The chunk rows: (key, ordinal) in three levels.

use rusqlite::Connection;

use super::error::IndexError;
use super::schema::{counter, set_counter};
use super::sieve::{self, Entered, Level};

/// Rows of one sorted insert held in memory: 16 MiB.
pub(super) const ROW_BATCH_MAX: usize = 1 << 20;
/// An insert of this part of the first level's rows goes past it, into the second.
const BULK_PART: u64 = 8;

/// One row: key and ordinal.
pub(super) type ChunkRow = (i64, i64);

/// Returns the key of an id, or of any prefix of at least six bytes: 48 bits, which SQLite stores in six
/// bytes when they are centred on zero. A shorter prefix has no key of its own and counts as padded.
pub(super) fn key_of(id: &[u8]) -> i64 {
    let mut value = 0;
    for position in 0..6 {
        value = value << 8 | i64::from(id.get(position).copied().unwrap_or(0));
    }
    value - (1 << 47)
}

/// Returns the ordinals of all chunks with this key.
pub(super) fn ordinals(connection: &Connection, key: i64) -> Result<Vec<i64>, IndexError> {
    let mut found = Vec::new();
    visit_ordinals(connection, &[(key, 0)], |_, ordinal| found.push(ordinal))?;
    Ok(found)
}

/// Calls `found` with the second part of each of `keys` and every ordinal of its first part. Sorted keys are
/// faster.
pub(super) fn visit_ordinals(
    connection: &Connection,
    keys: &[(i64, usize)],
    mut found: impl FnMut(usize, i64),
) -> Result<(), IndexError> {
    let mut statement = connection.prepare_cached(
        "SELECT n FROM chunks_0 WHERE key = ?1 UNION ALL SELECT n FROM chunks_1 WHERE key = ?1
         UNION ALL SELECT n FROM chunks_2 WHERE key = ?1",
    )?;
    for &(key, place) in keys {
        let mut rows = statement.query([key])?;
        while let Some(row) = rows.next()? {
            found(place, row.get(0)?);
        }
    }
    Ok(())
}

/// Tells whether the first level has this key.
pub(super) fn is_in_first(connection: &Connection, key: i64) -> Result<bool, IndexError> {
    Ok(connection.prepare_cached("SELECT 1 FROM chunks_0 WHERE key = ?1 LIMIT 1")?.exists([key])?)
}

/// Adds `rows`, which it sorts and empties, and moves a level that has grown over its bound into the next.
pub(super) fn insert(
    connection: &Connection,
    rows: &mut Vec<ChunkRow>,
    level_row_max: [u64; 2],
) -> Result<(), IndexError> {
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_unstable();
    let is_bulk = rows.len() as u64 >= level_row_max[0] / BULK_PART;
    let (counter_name, sql) = if is_bulk {
        ("rows_1", "INSERT INTO chunks_1 VALUES (?1, ?2)")
    } else {
        ("rows_0", "INSERT INTO chunks_0 VALUES (?1, ?2)")
    };
    {
        let mut statement = connection.prepare_cached(sql)?;
        for &row in rows.iter() {
            statement.execute(row)?;
        }
    }
    let added = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    if is_bulk {
        sieve::add(connection, Level::Middle, added, Entered::Rows(rows))?;
    }
    rows.clear();
    set_counter(connection, counter_name, counter(connection, counter_name)?.saturating_add(added))?;
    let bounds = level_row_max.map(|bound| i64::try_from(bound).unwrap_or(i64::MAX));
    let small = counter(connection, "rows_0")?;
    if small > bounds[0] {
        connection.execute_batch("INSERT INTO chunks_1 SELECT key, n FROM chunks_0;")?;
        sieve::add(connection, Level::Middle, small, Entered::First)?;
        connection.execute_batch("DELETE FROM chunks_0;")?;
        set_counter(connection, "rows_0", 0)?;
        set_counter(connection, "rows_1", counter(connection, "rows_1")?.saturating_add(small))?;
    }
    let middle = counter(connection, "rows_1")?;
    if middle > bounds[1] {
        connection.execute_batch("INSERT INTO chunks_2 SELECT key, n FROM chunks_1;")?;
        sieve::add(connection, Level::Last, middle, Entered::Middle)?;
        connection.execute_batch("DELETE FROM chunks_1;")?;
        sieve::clear(connection, Level::Middle)?;
        set_counter(connection, "rows_1", 0)?;
    }
    Ok(())
}

/// Removes `rows`, which it sorts and empties, from whatever level they are in.
pub(super) fn delete(connection: &Connection, rows: &mut Vec<ChunkRow>) -> Result<(), IndexError> {
    rows.sort_unstable();
    let mut statements = [
        connection.prepare_cached("DELETE FROM chunks_2 WHERE key = ?1 AND n = ?2")?,
        connection.prepare_cached("DELETE FROM chunks_1 WHERE key = ?1 AND n = ?2")?,
        connection.prepare_cached("DELETE FROM chunks_0 WHERE key = ?1 AND n = ?2")?,
    ];
    for row in rows.drain(..) {
        let mut removed = 0;
        for statement in &mut statements {
            removed = statement.execute(row)?;
            if removed > 0 {
                break;
            }
        }
        if removed == 0 {
            return Err(IndexError::Inconsistent { what: "a chunk that cannot be found" });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_of_ids_and_fit_six_bytes() {
        assert_eq!(key_of(&[0; 32]), -(1 << 47));
        assert_eq!(key_of(&[0xff; 32]), (1 << 47) - 1);
        assert!(key_of(&[1, 0, 0, 0, 0, 0, 9]) < key_of(&[1, 0, 0, 0, 0, 1, 0]));
        assert_eq!(key_of(&[7; 8]), key_of(&[7; 32]));
    }
}
