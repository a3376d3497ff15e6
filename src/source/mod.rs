//! Where bytes come from: walking trees, filters, files, streams and commands, and the class of what they
//! hold.

mod binary;
mod class;
mod command;
mod error;
mod file;
mod filter;
mod hint;
mod listing;
mod metadata;
mod owners;
mod roots;
mod split;
mod stream;
mod tag;
mod walk;

pub use class::{Class, Kind, recognise, recognise_kind};
pub(crate) use class::{is_tar, octal, postgres_header, sqlite_page_bytes};
pub use command::{CommandSpec, StderrSink, spawn_command, spawn_command_with};
pub use error::SourceError;
pub use file::{FileState, OpenFile};
pub use filter::{Filter, FilterError, IncludeSet, Rule};
pub use hint::{CompressedDump, DumpHints};
pub use metadata::{Attributes, EntryKind, Metadata};
pub use roots::{clean_paths, files_from, files_from_raw};
pub use split::SplitError;
pub use stream::{Stopper, Stream, StreamEnd, StreamError, stdin_stream};
pub use tag::TagFile;
pub use walk::{Totals, WalkEvent, WalkOptions, Walker};
