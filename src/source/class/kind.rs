//! What a file or stream is, finer than its class.

use super::Class;

/// What bytes are, as far as their beginning says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing is known.
    General,
    /// SQL that `pg_dump` or `pg_dumpall` wrote.
    PostgresSql,
    /// SQL that `mysqldump` or `mariadb-dump` wrote.
    MysqlSql,
    /// SQL of another origin.
    Sql,
    /// What `pg_dump -Fc` writes.
    PostgresCustom,
    /// The table of contents of what `pg_dump -Fd` and `-Ft` write.
    PostgresToc,
    /// What `mongodump --archive` writes.
    MongoArchive,
    /// Documents one after the other, as `mongodump` writes them into a folder.
    Bson,
    /// A SQLite database.
    Sqlite,
    /// The write-ahead log of a SQLite database.
    SqliteLog,
    /// A tar archive.
    Tar,
    /// One JSON document.
    Json,
    /// A JSON document a line.
    JsonLines,
    /// A table as text.
    Csv,
    /// Text of another kind.
    Text,
    /// Arrays of numbers.
    Tensors,
    /// Compressed or encrypted.
    Opaque,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::General,
        Self::PostgresSql,
        Self::MysqlSql,
        Self::Sql,
        Self::PostgresCustom,
        Self::PostgresToc,
        Self::MongoArchive,
        Self::Bson,
        Self::Sqlite,
        Self::SqliteLog,
        Self::Tar,
        Self::Json,
        Self::JsonLines,
        Self::Csv,
        Self::Text,
        Self::Tensors,
        Self::Opaque,
    ];

    /// Returns the class that such bytes are cut and coded as.
    pub fn class(self) -> Class {
        match self {
            Self::General => Class::General,
            Self::Tensors => Class::Tensors,
            Self::Opaque => Class::Opaque,
            _ => Class::Dump,
        }
    }

    /// Returns the words for people, as in "a …".
    pub fn words(self) -> &'static str {
        match self {
            Self::General => "file",
            Self::PostgresSql => "PostgreSQL dump in SQL",
            Self::MysqlSql => "MySQL or MariaDB dump",
            Self::Sql => "dump in SQL",
            Self::PostgresCustom => "PostgreSQL dump in custom format",
            Self::PostgresToc => "PostgreSQL table of contents",
            Self::MongoArchive => "MongoDB archive",
            Self::Bson => "file of BSON documents",
            Self::Sqlite => "SQLite database",
            Self::SqliteLog => "SQLite write-ahead log",
            Self::Tar => "tar archive",
            Self::Json => "JSON document",
            Self::JsonLines => "file of JSON lines",
            Self::Csv => "CSV table",
            Self::Text => "text",
            Self::Tensors => "file of tensors",
            Self::Opaque => "compressed or encrypted file",
        }
    }
}
