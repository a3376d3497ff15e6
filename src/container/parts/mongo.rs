//! Archives of `mongodump`: a magic, a document about the dump, one about each collection, and then stretches
//! of documents, each behind a document that names its collection. Four bytes of ones end each list.

use super::Found;
use super::fields::{Field, Fields};

/// What ends a list of documents.
const END: [u8; 4] = [0xff; 4];
/// Longest document that names a collection: its names are short.
const NAMING_MAX_BYTES: usize = Field::BYTES_MAX - 4;
/// Shortest document.
const DOCUMENT_MIN_BYTES: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Magic,
    /// The length of a document about the dump or a collection, or the end of these.
    AboutLength,
    /// The length of a document that names the collection of what follows.
    NamingLength,
    Naming(usize),
    /// The length of a document of a collection, or the end of these.
    Length,
    /// The rest of a document, within a collection or before.
    Skip {
        bytes: u64,
        is_within: bool,
    },
    Over,
}

/// Scans an archive.
#[derive(Debug)]
pub(super) struct MongoScanner {
    fields: Fields,
    state: State,
    open: Option<(Vec<u8>, u64)>,
}

impl MongoScanner {
    pub(super) fn new() -> Self {
        Self { fields: Fields::default(), state: State::Magic, open: None }
    }

    /// Tells whether there is more to find.
    pub(super) fn feed(&mut self, offset: u64, bytes: &[u8], found: &mut Found) -> bool {
        let mut rest = bytes;
        let end = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        while self.state != State::Over {
            let field = match self.state {
                State::Skip { bytes, .. } => Field::Skip(bytes),
                State::Naming(length) => Field::Bytes(length),
                _ => Field::Bytes(4),
            };
            let Some(value) = self.fields.take(field, &mut rest) else { return true };
            let at = end.saturating_sub(u64::try_from(rest.len()).unwrap_or(0));
            self.state = self.next(&value, at, found);
            found.is_cut |= self.state == State::Over;
        }
        false
    }

    pub(super) fn finish(&mut self, end: u64, found: &mut Found) {
        if let Some((name, start)) = self.open.take() {
            found.push(&name, start, end, true);
        }
    }

    fn next(&mut self, value: &[u8], at: u64, found: &mut Found) -> State {
        let is_end = value == END;
        let length = value.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let rest = length.saturating_sub(4);
        let is_document = (DOCUMENT_MIN_BYTES..=i32::MAX as usize).contains(&length);
        let skip = |is_within| State::Skip { bytes: u64::try_from(rest).unwrap_or(0), is_within };
        match self.state {
            State::Magic => State::AboutLength,
            State::AboutLength if is_end => State::NamingLength,
            State::AboutLength if is_document => skip(false),
            State::NamingLength if is_document && rest <= NAMING_MAX_BYTES => State::Naming(rest),
            State::Naming(_) => match name_of(value) {
                Some(name) => {
                    self.open = Some((name, at));
                    State::Length
                }
                None => State::Over,
            },
            State::Length if is_end => {
                self.finish(at.saturating_sub(4), found);
                State::NamingLength
            }
            State::Length if is_document => skip(true),
            State::Length => {
                // What cannot be read ends the part before it.
                self.finish(at.saturating_sub(4), found);
                State::Over
            }
            State::Skip { is_within: true, .. } => State::Length,
            State::Skip { is_within: false, .. } => State::AboutLength,
            State::AboutLength | State::NamingLength | State::Over => State::Over,
        }
    }
}

/// Reads `db` and `collection` of a document behind its length.
fn name_of(document: &[u8]) -> Option<Vec<u8>> {
    let (mut database, mut collection) = (None, None);
    let mut rest = document;
    while let Some((kind, after)) = rest.split_first().filter(|(kind, _)| **kind != 0) {
        let name_bytes = after.iter().position(|byte| *byte == 0)?;
        let (name, value) = (&after[..name_bytes], &after[name_bytes + 1..]);
        let value_bytes = match kind {
            0x02 => {
                let length = usize::try_from(u32::from_le_bytes(*value.first_chunk()?)).ok()?;
                let text = value.get(4..4_usize.checked_add(length.checked_sub(1)?)?)?;
                match name {
                    b"db" => database = Some(text),
                    b"collection" => collection = Some(text),
                    _ => {}
                }
                4 + length
            }
            0x08 => 1,
            0x10 => 4,
            0x01 | 0x12 => 8,
            0x0a => 0,
            _ => break,
        };
        rest = value.get(value_bytes..)?;
    }
    match database? {
        b"" => collection.map(<[u8]>::to_vec),
        database => Some([database, b".", collection?].concat()),
    }
}
