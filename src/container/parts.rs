//! The parts of a dump by name: its tables, collections or members, and where each lies.
//!
//! Found by one pass over the bytes, in bounded memory. What is not understood has no parts, and a dump that
//! breaks off keeps those that were found until there.

mod fields;
mod mongo;
mod postgres;
mod sql;
mod sqlite;
mod tar;

use crate::source::{Kind, recognise_kind};

/// Most parts that are told apart.
pub const PART_COUNT_MAX: usize = 1 << 16;
/// Longest name that is kept; longer ones are cut.
const NAME_MAX_BYTES: usize = 256;
/// Most bytes of names that are kept for one dump.
const NAMES_MAX_BYTES: usize = 8 << 20;
/// Bytes that the kind of a dump is recognised from.
const HEAD_BYTES: usize = 4 << 10;

/// A named stretch of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Name as the dump has it: `schema.table`, `database.collection`, a path; raw bytes.
    pub name: Vec<u8>,
    /// Where it begins.
    pub start: u64,
    /// Where it ends; greater than `start`.
    pub end: u64,
}

/// The parts of one dump.
///
/// Invariants: parts are sorted, do not overlap, are not empty and lie within the bytes that were seen.
/// Several may have the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// What the dump is.
    pub kind: Kind,
    /// Its parts.
    pub parts: Vec<Part>,
    /// There are more parts than are told apart, or the dump is not to be understood from some place on.
    pub is_cut: bool,
}

impl Parts {
    /// Returns what lies between the parts.
    pub fn rest(&self) -> &'static str {
        match self.kind {
            Kind::PostgresSql | Kind::MysqlSql | Kind::Sql => "schema",
            Kind::MongoArchive => "metadata",
            Kind::PostgresCustom | Kind::PostgresToc => "contents",
            _ => "headers",
        }
    }
}

/// Finds the parts of a dump that is fed to it from its first byte to its last.
#[derive(Debug)]
pub struct PartScanner {
    state: State,
    kind: Kind,
    seen_bytes: u64,
    found: Found,
}

#[derive(Debug)]
enum State {
    /// Not enough bytes yet to know what it is.
    Head(Vec<u8>),
    Sql(sql::SqlScanner),
    Postgres(Box<postgres::PostgresScanner>),
    Mongo(mongo::MongoScanner),
    Sqlite(Box<sqlite::SqliteScanner>),
    Tar(Box<tar::TarScanner>),
    /// Nothing more will be found.
    Over,
}

impl Default for PartScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl PartScanner {
    /// Returns one that has seen nothing.
    pub fn new() -> Self {
        let state = State::Head(Vec::with_capacity(HEAD_BYTES));
        Self { state, kind: Kind::General, seen_bytes: 0, found: Found::default() }
    }

    /// Takes the bytes at `offset`, which is where those before ended; after a gap nothing more is found.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) {
        if offset != self.seen_bytes {
            self.found.is_cut = true;
            self.state = State::Over;
            return;
        }
        self.seen_bytes = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let State::Head(head) = &mut self.state else { return self.pass(offset, bytes) };
        let (first, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - head.len()));
        head.extend_from_slice(first);
        if head.len() == HEAD_BYTES {
            let head_end = offset.saturating_add(u64::try_from(first.len()).unwrap_or(0));
            self.begin();
            self.pass(head_end, rest);
        }
    }

    /// Tells whether more bytes can make a difference.
    pub fn wants_more(&self) -> bool {
        !matches!(self.state, State::Over)
    }

    /// Returns what was found.
    pub fn finish(mut self) -> Parts {
        if matches!(self.state, State::Head(_)) {
            self.begin();
        }
        match &mut self.state {
            State::Sql(scanner) => scanner.finish(self.seen_bytes, &mut self.found),
            State::Postgres(scanner) => scanner.finish(self.seen_bytes, &mut self.found),
            State::Mongo(scanner) => scanner.finish(self.seen_bytes, &mut self.found),
            State::Sqlite(scanner) => scanner.finish(&mut self.found),
            State::Tar(_) | State::Head(_) | State::Over => {}
        }
        let mut parts = self.found.parts;
        for part in &mut parts {
            part.end = part.end.min(self.seen_bytes);
        }
        parts.retain(|part| part.start < part.end);
        Parts { kind: self.kind, parts, is_cut: self.found.is_cut }
    }

    fn begin(&mut self) {
        let State::Head(head) = std::mem::replace(&mut self.state, State::Over) else { return };
        self.kind = recognise_kind(b"", &head, b"");
        self.state = match self.kind {
            Kind::PostgresSql | Kind::Sql => State::Sql(sql::SqlScanner::new(sql::Flavour::Statements)),
            Kind::MysqlSql => State::Sql(sql::SqlScanner::new(sql::Flavour::Mysql)),
            Kind::PostgresCustom => postgres::PostgresScanner::new(&head)
                .map_or(State::Over, |scanner| State::Postgres(Box::new(scanner))),
            Kind::MongoArchive => State::Mongo(mongo::MongoScanner::new()),
            Kind::Sqlite => sqlite::SqliteScanner::new(&head)
                .map_or(State::Over, |scanner| State::Sqlite(Box::new(scanner))),
            Kind::Tar => State::Tar(Box::default()),
            _ => State::Over,
        };
        self.pass(0, &head);
    }

    fn pass(&mut self, offset: u64, bytes: &[u8]) {
        let goes_on = match &mut self.state {
            State::Sql(scanner) => {
                scanner.feed(offset, bytes, &mut self.found);
                true
            }
            State::Postgres(scanner) => scanner.feed(offset, bytes, &mut self.found),
            State::Mongo(scanner) => scanner.feed(offset, bytes, &mut self.found),
            State::Sqlite(scanner) => scanner.feed(bytes),
            State::Tar(scanner) => scanner.feed(offset, bytes, &mut self.found),
            State::Head(_) | State::Over => return,
        };
        if !goes_on {
            self.finish_early(offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX)));
        }
    }

    /// Keeps what an ended scanner still holds.
    fn finish_early(&mut self, end: u64) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Postgres(mut scanner) => scanner.finish(end, &mut self.found),
            State::Mongo(mut scanner) => scanner.finish(end, &mut self.found),
            State::Sqlite(mut scanner) => scanner.finish(&mut self.found),
            _ => {}
        }
    }
}

/// Parts as they are found.
#[derive(Debug, Default)]
struct Found {
    parts: Vec<Part>,
    name_bytes: usize,
    is_cut: bool,
}

impl Found {
    /// Adds a part behind those before. With `joins`, one of the same name that comes right after another
    /// makes that longer, with what lies between.
    fn push(&mut self, name: &[u8], start: u64, end: u64, joins: bool) {
        let name = shortened(name);
        let before = self.parts.last().map_or(0, |part| part.end);
        if start >= end || start < before {
            return;
        }
        if let Some(last) = self.parts.last_mut().filter(|last| joins && last.name == name) {
            last.end = end;
            return;
        }
        if self.parts.len() >= PART_COUNT_MAX || self.name_bytes + name.len() > NAMES_MAX_BYTES {
            self.is_cut = true;
            return;
        }
        self.name_bytes += name.len();
        self.parts.push(Part { name: name.to_vec(), start, end });
    }
}

fn shortened(name: &[u8]) -> &[u8] {
    &name[..name.len().min(NAME_MAX_BYTES)]
}

#[cfg(test)]
mod tests;
