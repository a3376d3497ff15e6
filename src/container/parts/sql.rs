//! Dumps in SQL, line by line.

use super::Found;

/// Bytes of a line that are looked at: enough for every name and what stands before it.
const LINE_HEAD_BYTES: usize = 1_024;
/// Bytes from the beginning of a row that are looked at: the line below the last one is shorter.
const ROW_HEAD_BYTES: usize = 4;
/// Bytes from the end of a line that are looked at.
const LINE_TAIL_BYTES: usize = 16;
/// What a statement ends with whose rows follow.
const ROWS_FOLLOW: &[u8] = b"FROM stdin;";
/// What stands in place of a row below the last one.
const ROWS_END: &[u8] = b"\\.";

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// `COPY` with its rows below, or `INSERT` with values in plain quotes: PostgreSQL, SQLite.
    Statements,
    /// Comments name the table, and line ends within values are escaped.
    Mysql,
}

/// Where in a dump the scanner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// In the beginning of a line that is to be judged.
    Line,
    /// In the rest of a line that was judged.
    Rest,
    /// In the rest of a `COPY` line, of which the end decides.
    RestOfCopy,
    /// In the beginning of a line below `COPY`.
    Row,
    /// In the rest of a row.
    RestOfRow,
    /// In the line below the last row.
    RowsEnd,
    /// In the values of an `INSERT`.
    Values,
}

#[derive(Debug)]
struct Open {
    name: Vec<u8>,
    start: u64,
    end: u64,
}

/// Scans a dump in SQL.
#[derive(Debug)]
pub(super) struct SqlScanner {
    flavour: Flavour,
    mode: Mode,
    head: Vec<u8>,
    tail: [u8; LINE_TAIL_BYTES],
    line_start: u64,
    quote: Option<u8>,
    database: Vec<u8>,
    open: Option<Open>,
    /// The line that is being read belongs to the open part.
    belongs: bool,
    /// The open part ends with this line.
    ends: bool,
}

impl SqlScanner {
    pub(super) fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            mode: Mode::Line,
            head: Vec::with_capacity(LINE_HEAD_BYTES),
            tail: [0; LINE_TAIL_BYTES],
            line_start: 0,
            quote: None,
            database: Vec::new(),
            open: None,
            belongs: false,
            ends: false,
        }
    }

    pub(super) fn feed(&mut self, offset: u64, bytes: &[u8], found: &mut Found) {
        let mut at = offset;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            at = at.saturating_add(u64::try_from(piece.len()).unwrap_or(0));
            self.piece(piece, found);
            if piece.last() == Some(&b'\n') {
                self.end_line(at, found);
            }
        }
    }

    pub(super) fn finish(&mut self, end: u64, found: &mut Found) {
        if matches!(self.mode, Mode::Line | Mode::Row) && !self.head.is_empty() {
            self.decide(found);
        }
        let in_rows = matches!(self.mode, Mode::Row | Mode::RestOfRow | Mode::RowsEnd);
        let is_in_part = in_rows || self.belongs && end > self.line_start;
        if let Some(open) = self.open.as_mut().filter(|_| is_in_part) {
            open.end = end;
        }
        self.close(found);
    }

    /// Takes bytes of one line, the last of which may be its end.
    fn piece(&mut self, piece: &[u8], found: &mut Found) {
        let mut rest = piece;
        if matches!(self.mode, Mode::Line | Mode::Row) {
            let max = if self.mode == Mode::Row { ROW_HEAD_BYTES } else { LINE_HEAD_BYTES };
            let (head, after) = rest.split_at(rest.len().min(max.saturating_sub(self.head.len())));
            self.head.extend_from_slice(head);
            rest = after;
            if self.head.len() < max && self.head.last() != Some(&b'\n') {
                return;
            }
            self.decide(found);
        }
        match self.mode {
            Mode::Values => self.read_values(rest),
            Mode::RestOfCopy => self.keep_tail(rest),
            _ => {}
        }
    }

    fn decide(&mut self, found: &mut Found) {
        if self.mode == Mode::Row {
            let is_end = self.head.trim_ascii_end() == ROWS_END;
            self.mode = if is_end { Mode::RowsEnd } else { Mode::RestOfRow };
            return;
        }
        let head = std::mem::take(&mut self.head);
        self.ends = false;
        self.mode = match self.flavour {
            Flavour::Statements => self.judge_statement(&head, found),
            Flavour::Mysql => self.judge_mysql(head.trim_ascii(), found),
        };
        match self.mode {
            Mode::Values => self.read_values(&head),
            Mode::RestOfCopy => {
                self.tail = [0; LINE_TAIL_BYTES];
                self.keep_tail(&head);
            }
            _ => {}
        }
        self.head = head;
    }

    fn end_line(&mut self, at: u64, found: &mut Found) {
        let has_rows = self.tail.trim_ascii_end().ends_with(ROWS_FOLLOW);
        self.mode = match self.mode {
            Mode::RestOfCopy if has_rows => Mode::Row,
            Mode::RestOfCopy => {
                // Rows come from a file, or this was no statement.
                self.open = None;
                Mode::Line
            }
            Mode::Row | Mode::RestOfRow => Mode::Row,
            Mode::Values => Mode::Values,
            Mode::Line | Mode::Rest => Mode::Line,
            Mode::RowsEnd => {
                self.ends = true;
                Mode::Line
            }
        };
        if self.belongs && self.mode == Mode::Line {
            if let Some(open) = &mut self.open {
                open.end = at;
            }
            if self.ends {
                self.close(found);
            }
        }
        self.head.clear();
        if !matches!(self.mode, Mode::Values | Mode::Row) {
            self.belongs = false;
        }
        self.line_start = at;
    }

    /// Reads values up to the end of the statement.
    fn read_values(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            let found = match self.quote {
                Some(quote) => rest.iter().position(|byte| *byte == quote),
                None => rest.iter().position(|byte| matches!(byte, b'\'' | b'"' | b'`' | b';')),
            };
            let Some(at) = found else { return };
            match (self.quote, rest[at]) {
                (Some(_), _) => self.quote = None,
                (None, b';') => {
                    self.mode = Mode::Rest;
                    return;
                }
                (None, quote) => self.quote = Some(quote),
            }
            rest = &rest[at + 1..];
        }
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(LINE_TAIL_BYTES)..];
        self.tail.copy_within(last.len().., 0);
        self.tail[LINE_TAIL_BYTES - last.len()..].copy_from_slice(last);
    }

    fn judge_statement(&mut self, line: &[u8], found: &mut Found) -> Mode {
        if let Some(name) = line.strip_prefix(b"COPY ").and_then(qualified_name) {
            self.close(found);
            self.switch_to(&name, found);
            return Mode::RestOfCopy;
        }
        if let Some(name) = line.strip_prefix(b"INSERT INTO ").and_then(qualified_name) {
            self.switch_to(&name, found);
            self.quote = None;
            return Mode::Values;
        }
        if !line.trim_ascii().is_empty() {
            self.close(found);
        }
        if let Some(database) = line.strip_prefix(b"\\connect ") {
            self.database = super::shortened(database.trim_ascii()).to_vec();
        }
        Mode::Rest
    }

    /// Beginnings of lines that name the table that they are about.
    const MYSQL_TABLE: [&[u8]; 7] = [
        b"-- Table structure for table ",
        b"-- Dumping data for table ",
        b"DROP TABLE IF EXISTS ",
        b"CREATE TABLE ",
        b"LOCK TABLES ",
        b"INSERT INTO ",
        b"REPLACE INTO ",
    ];
    /// Beginnings of lines that are about no table.
    const MYSQL_OTHER: [&[u8]; 7] = [
        b"-- Temporary ",
        b"-- Final view ",
        b"-- Dumping ",
        b"-- Current Database",
        b"CREATE DATABASE ",
        b"/*!40103 SET TIME_ZONE=@OLD",
        b"/*!40101 SET SQL_MODE=@OLD",
    ];

    fn judge_mysql(&mut self, line: &[u8], found: &mut Found) -> Mode {
        let name = Self::MYSQL_TABLE.iter().find_map(|start| qualified_name(line.strip_prefix(*start)?));
        if let Some(name) = name {
            self.switch_to(&name, found);
        } else if line.starts_with(b"UNLOCK TABLES;") {
            self.belongs = self.open.is_some();
            self.ends = true;
        } else if let Some(database) = line.strip_prefix(b"USE ").and_then(qualified_name) {
            self.close(found);
            self.database = database;
        } else if Self::MYSQL_OTHER.iter().any(|start| line.starts_with(start)) {
            self.close(found);
        } else if line.starts_with(b"/*!50001 ") {
            // What was dropped before makes room for a view.
            self.open = None;
        } else {
            self.belongs = self.open.is_some() && !line.is_empty() && !line.starts_with(b"--");
        }
        Mode::Rest
    }

    /// Makes the part of this name the open one, from this line on unless it is already.
    fn switch_to(&mut self, name: &[u8], found: &mut Found) {
        let name = match self.database.as_slice() {
            b"" => name.to_vec(),
            database => [database, b".", name].concat(),
        };
        self.belongs = true;
        if self.open.as_ref().is_some_and(|open| open.name == name) {
            return;
        }
        self.close(found);
        self.open = Some(Open { name, start: self.line_start, end: self.line_start });
    }

    fn close(&mut self, found: &mut Found) {
        if let Some(open) = self.open.take() {
            found.push(&open.name, open.start, open.end, false);
        }
    }
}

/// Reads `name`, `schema.name` and the like, with quotes of any dialect, without them.
fn qualified_name(text: &[u8]) -> Option<Vec<u8>> {
    let (mut name, mut rest) = identifier(text)?;
    while let Some((next, after)) = rest.strip_prefix(b".").and_then(identifier) {
        name.push(b'.');
        name.extend(next);
        rest = after;
    }
    Some(super::shortened(&name).to_vec())
}

fn identifier(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let quote = match text.first()? {
        b'[' => b']',
        quote @ (b'"' | b'`') => *quote,
        _ => {
            let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
            let length = text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len());
            return (length > 0).then(|| (text[..length].to_vec(), &text[length..]));
        }
    };
    let mut name = Vec::new();
    let mut rest = &text[1..];
    loop {
        let length = rest.iter().position(|byte| *byte == quote)?;
        name.extend_from_slice(&rest[..length]);
        rest = &rest[length + 1..];
        if rest.first() != Some(&quote) {
            return Some((name, rest));
        }
        // A quote that stands twice is one of the name.
        name.push(quote);
        rest = &rest[1..];
    }
}
