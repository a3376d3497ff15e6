//! Kinds of text.

use super::Kind;

/// Bytes at the beginning in which a dump says who wrote it.
const PREAMBLE_BYTES: usize = 4_096;
/// Lines looked at for a table or for documents.
const LINE_COUNT_MAX: usize = 8;
/// Characters that part the fields of a table.
const DELIMITERS: [u8; 4] = *b",;\t|";
/// Words with which statements of a dump begin.
const STATEMENTS: [&[u8]; 10] = [
    b"SET ",
    b"PRAGMA ",
    b"BEGIN",
    b"START TRANSACTION",
    b"CREATE ",
    b"DROP ",
    b"INSERT INTO ",
    b"COPY ",
    b"USE ",
    b"ALTER ",
];

/// Returns the kind of `head`, which is text.
pub(super) fn kind_of(head: &[u8]) -> Kind {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let preamble = &head[..head.len().min(PREAMBLE_BYTES)];
    let mut by_mysql = head.starts_with(b"/*M!");
    // One look at each byte: of most files it is all that is seen.
    for at in (0..preamble.len()).filter(|at| matches!(preamble[*at], b'-' | b'/')) {
        let comment = &preamble[at..];
        if comment.starts_with(b"-- PostgreSQL database ") {
            return Kind::PostgresSql;
        }
        by_mysql |= [&b"-- MySQL dump "[..], b"-- MariaDB dump ", b"/*!40"]
            .iter()
            .any(|mark| comment.starts_with(mark));
    }
    if by_mysql {
        Kind::MysqlSql
    } else if is_sql(preamble) {
        Kind::Sql
    } else {
        table_or_documents(head)
    }
}

/// Tells whether the first line that is no comment and not empty begins like a statement.
fn is_sql(preamble: &[u8]) -> bool {
    let lines = preamble.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_start);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"--"));
    lines.next().is_some_and(|line| {
        let has = |word: &&[u8]| line.len() >= word.len() && line[..word.len()].eq_ignore_ascii_case(word);
        STATEMENTS.iter().any(has) && preamble.contains(&b';')
    })
}

fn table_or_documents(head: &[u8]) -> Kind {
    // The last line may be cut.
    let whole = head.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &head[..end]);
    let lines = || whole.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).take(LINE_COUNT_MAX);
    let begins = |with: &[u8]| head.trim_ascii_start().first().is_some_and(|first| with.contains(first));
    let is_document = |line: &[u8]| line.starts_with(b"{") && line.ends_with(b"}");
    if lines().next().is_some() && lines().all(is_document) {
        return Kind::JsonLines;
    }
    if begins(b"{[") && head.contains(&b'"') {
        return Kind::Json;
    }
    let counts =
        |delimiter: u8| lines().map(move |line| line.iter().filter(|byte| **byte == delimiter).count());
    let is_table = |delimiter: u8| {
        let first = counts(delimiter).next().unwrap_or(0);
        first > 0 && lines().count() > 1 && counts(delimiter).all(|count| count == first)
    };
    if DELIMITERS.into_iter().any(is_table) { Kind::Csv } else { Kind::Text }
}
