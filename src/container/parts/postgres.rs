//! Archives of `pg_dump`: a table of contents, and in the custom format the data behind it.
//!
//! An integer is a sign and its bytes, lowest first. A text is its length and its bytes, -1 for none. Data
//! are blocks: a type, the number of their entry, then pieces, each with its length, the last one empty.
//! Large objects are the same with a number before each, the last one zero.

use std::collections::HashMap;

use super::Found;
use super::fields::{Field, Fields};
use crate::source::postgres_header;

/// Oldest version whose table of contents is read, by its minor number: PostgreSQL 9.0.
const MINOR_MIN: u8 = 12;
/// Newest version whose fields are known.
const MINOR_MAX: u8 = 16;
/// Most entries with data that are remembered.
const ENTRY_COUNT_MAX: usize = 1 << 16;
/// Most bytes of their names.
const NAMES_MAX_BYTES: usize = 8 << 20;
/// Integers that give the time of the dump.
const TIME_FIELD_COUNT: usize = 7;
/// Texts behind it: the database, the version of the server, that of `pg_dump`.
const ORIGIN_FIELD_COUNT: usize = 3;
const BLOCK_DATA: u8 = 1;
const BLOCK_LARGE_OBJECTS: u8 = 3;

/// Fields of an entry, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Id,
    HasData,
    Tag,
    Kind,
    Schema,
    /// A text that says nothing here.
    OtherText,
    /// A number that says nothing here.
    OtherNumber,
    /// Texts up to one that is none.
    Dependency,
    /// The file that holds the data, or where they are in the archive.
    Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Time(usize),
    Origin(usize),
    Count,
    Entry(usize),
    BlockType,
    BlockEntry(u8),
    ObjectNumber,
    /// The length of a piece; of large objects or not.
    Piece(bool),
    PieceBytes(bool),
    Over,
}

/// What an entry names, as far as it was read.
#[derive(Debug, Default)]
struct Pending {
    id: i64,
    has_data: bool,
    tag: Vec<u8>,
    kind: Vec<u8>,
    schema: Vec<u8>,
    file: Vec<u8>,
}

/// Scans an archive in the custom format, or a table of contents.
#[derive(Debug)]
pub(super) struct PostgresScanner {
    fields: Fields,
    state: State,
    /// The length of a text, once it is known.
    text_bytes: Option<u64>,
    order: Vec<Entry>,
    header_bytes: usize,
    integer_bytes: usize,
    offset_bytes: usize,
    is_custom: bool,
    entries_left: i64,
    pending: Pending,
    names: HashMap<i64, Vec<u8>>,
    files: HashMap<Vec<u8>, Vec<u8>>,
    name_bytes: usize,
    open: Option<(Vec<u8>, u64)>,
}

/// What a field holds.
enum Value {
    Number(i64),
    Text(Option<Vec<u8>>),
    Raw(Vec<u8>),
}

impl PostgresScanner {
    /// Begins with the head of an archive; `None` when its version is not known.
    pub(super) fn new(head: &[u8]) -> Option<Self> {
        let header = postgres_header(head)?;
        if !(MINOR_MIN..=MINOR_MAX).contains(&header.minor) {
            return None;
        }
        Some(Self {
            fields: Fields::default(),
            state: State::Header,
            text_bytes: None,
            order: order_of(header.minor),
            header_bytes: header.length,
            integer_bytes: header.integer_bytes,
            offset_bytes: header.offset_bytes,
            is_custom: header.is_custom,
            entries_left: 0,
            pending: Pending::default(),
            names: HashMap::new(),
            files: HashMap::new(),
            name_bytes: 0,
            open: None,
        })
    }

    /// Returns the name of what the file of this name holds, once the table of contents was read.
    pub(super) fn name_of_file(&self, file: &[u8]) -> Option<&[u8]> {
        self.files.get(file).map(Vec::as_slice)
    }

    /// Tells whether there is more to find.
    pub(super) fn feed(&mut self, offset: u64, bytes: &[u8], found: &mut Found) -> bool {
        let mut rest = bytes;
        let end = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        while self.state != State::Over {
            let Some(value) = self.value(&mut rest) else { return true };
            let after = end.saturating_sub(u64::try_from(rest.len()).unwrap_or(0));
            self.state = match self.next(value, after, found) {
                Some(state) => state,
                None => {
                    found.is_cut = true;
                    State::Over
                }
            };
        }
        false
    }

    pub(super) fn finish(&mut self, end: u64, found: &mut Found) {
        if let Some((name, start)) = self.open.take() {
            found.push(&name, start, end, false);
        }
    }

    /// Reads what the state needs; `None` when it is not there yet.
    fn value(&mut self, rest: &mut &[u8]) -> Option<Value> {
        let raw = |length: usize| Field::Bytes(length);
        let integer = 1 + self.integer_bytes;
        let field = match self.state {
            State::Header => raw(self.header_bytes),
            State::BlockType => raw(1),
            State::PieceBytes(_) => Field::Skip(self.text_bytes.unwrap_or(0)),
            State::Entry(at) if self.order.get(at) == Some(&Entry::Place) && self.is_custom => {
                raw(1 + self.offset_bytes)
            }
            State::Origin(_) => return self.text(rest),
            State::Entry(at) if self.order.get(at).is_some_and(|entry| entry.is_text()) => {
                return self.text(rest);
            }
            _ => return self.fields.take(raw(integer), rest).map(|bytes| Value::Number(number(&bytes))),
        };
        self.fields.take(field, rest).map(Value::Raw)
    }

    fn text(&mut self, rest: &mut &[u8]) -> Option<Value> {
        let length = match self.text_bytes {
            Some(length) => length,
            None => {
                let bytes = self.fields.take(Field::Bytes(1 + self.integer_bytes), rest)?;
                let Ok(length) = u64::try_from(number(&bytes)) else { return Some(Value::Text(None)) };
                *self.text_bytes.insert(length)
            }
        };
        let text = self.fields.take(Field::Text(length), rest)?;
        self.text_bytes = None;
        Some(Value::Text(Some(text)))
    }

    /// Returns the state behind a value that ends before `after`; `None` when it makes no sense.
    fn next(&mut self, value: Value, after: u64, found: &mut Found) -> Option<State> {
        Some(match (self.state, value) {
            (State::Header, _) => State::Time(1),
            (State::Time(TIME_FIELD_COUNT), _) => State::Origin(1),
            (State::Time(count), _) => State::Time(count + 1),
            (State::Origin(ORIGIN_FIELD_COUNT), _) => State::Count,
            (State::Origin(count), _) => State::Origin(count + 1),
            (State::Count, Value::Number(count)) => {
                self.entries_left = count;
                self.next_entry()?
            }
            (State::Entry(at), value) => self.entry(at, value)?,
            (State::BlockType, Value::Raw(kind)) => {
                self.open = Some((Vec::new(), after.saturating_sub(1)));
                State::BlockEntry(*kind.first()?)
            }
            (State::BlockEntry(kind), Value::Number(id)) => {
                let name = self.names.get(&id).cloned().unwrap_or_else(|| format!("entry {id}").into_bytes());
                self.open.as_mut()?.0 = name;
                match kind {
                    BLOCK_DATA => State::Piece(false),
                    BLOCK_LARGE_OBJECTS => State::ObjectNumber,
                    _ => {
                        self.open = None;
                        return None;
                    }
                }
            }
            (State::ObjectNumber, Value::Number(0)) => self.close(after, found),
            (State::ObjectNumber, _) => State::Piece(true),
            (State::Piece(true), Value::Number(0)) => State::ObjectNumber,
            (State::Piece(false), Value::Number(0)) => self.close(after, found),
            (State::Piece(is_object), Value::Number(length)) => {
                let Ok(length) = u64::try_from(length) else {
                    let length = u64::try_from(1 + self.integer_bytes).unwrap_or(0);
                    self.close(after.saturating_sub(length), found);
                    return None;
                };
                self.text_bytes = Some(length);
                State::PieceBytes(is_object)
            }
            (State::PieceBytes(is_object), _) => {
                self.text_bytes = None;
                State::Piece(is_object)
            }
            _ => return None,
        })
    }

    fn close(&mut self, end: u64, found: &mut Found) -> State {
        self.finish(end, found);
        State::BlockType
    }

    fn next_entry(&mut self) -> Option<State> {
        if self.entries_left > 0 {
            self.entries_left -= 1;
            self.pending = Pending::default();
            return Some(State::Entry(0));
        }
        Some(if self.is_custom { State::BlockType } else { State::Over })
    }

    fn entry(&mut self, at: usize, value: Value) -> Option<State> {
        let field = *self.order.get(at)?;
        match (field, value) {
            (Entry::Id, Value::Number(id)) => self.pending.id = id,
            (Entry::HasData, Value::Number(flag)) => self.pending.has_data = flag != 0,
            (Entry::Tag, Value::Text(text)) => self.pending.tag = text.unwrap_or_default(),
            (Entry::Kind, Value::Text(text)) => self.pending.kind = text.unwrap_or_default(),
            (Entry::Schema, Value::Text(text)) => self.pending.schema = text.unwrap_or_default(),
            (Entry::Place, Value::Text(text)) => self.pending.file = text.unwrap_or_default(),
            (Entry::Dependency, Value::Text(Some(_))) => return Some(State::Entry(at)),
            _ => {}
        }
        if at + 1 < self.order.len() {
            return Some(State::Entry(at + 1));
        }
        let entry = std::mem::take(&mut self.pending);
        let file = entry.file.clone();
        let name = entry.name();
        let is_kept = !name.is_empty()
            && self.names.len() < ENTRY_COUNT_MAX
            && self.name_bytes + name.len() + file.len() <= NAMES_MAX_BYTES;
        if is_kept {
            self.name_bytes += name.len() + file.len();
            if !file.is_empty() {
                self.files.insert(file, name.clone());
            }
            self.names.insert(entry.id, name);
        }
        self.next_entry()
    }
}

impl Entry {
    fn is_text(self) -> bool {
        !matches!(self, Self::Id | Self::HasData | Self::OtherNumber)
    }
}

impl Pending {
    /// Returns the name of what the entry holds; empty when it holds nothing.
    fn name(&self) -> Vec<u8> {
        match (self.has_data, self.kind.as_slice()) {
            (false, _) => Vec::new(),
            (true, b"BLOBS") => b"large objects".to_vec(),
            _ if self.schema.is_empty() => self.tag.clone(),
            _ => [&self.schema[..], b".", &self.tag].concat(),
        }
    }
}

/// Returns the fields of an entry in a version, by its minor number.
fn order_of(minor: u8) -> Vec<Entry> {
    use Entry::{Dependency, HasData, Id, Kind, OtherNumber, OtherText, Place, Schema, Tag};
    // The catalog's two numbers as texts, then name, kind and section; definition, drop and copy statements.
    let mut order = vec![Id, HasData, OtherText, OtherText, Tag, Kind, OtherNumber];
    order.extend([OtherText, OtherText, OtherText, Schema]);
    // Tablespace; access method; kind of relation.
    order.push(OtherText);
    if minor >= 14 {
        order.push(OtherText);
    }
    if minor >= 16 {
        order.push(OtherNumber);
    }
    // Owner, and whether rows have numbers.
    order.extend([OtherText, OtherText, Dependency, Place]);
    order
}

/// Reads an integer: a sign, then its bytes, lowest first.
fn number(bytes: &[u8]) -> i64 {
    let Some((sign, bytes)) = bytes.split_first() else { return 0 };
    let value = bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    if *sign == 0 { value } else { -value }
}
