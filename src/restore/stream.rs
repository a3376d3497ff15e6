//! Content in order: windows of it are fetched and decoded on all cores while the one before is written out.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::RestoreError;
use super::fetch::{Found, Sink, fetch, wrong_length};
use super::steps::Steps;
use super::walk::{Scope, Selection, Visitor, attribute_bytes, walk};
use crate::base::ChunkId;
use crate::format::node::{Node, NodeKind};
use crate::format::wire::length;
use crate::repository::{ChunkReader, Error, ListReader};

/// Pieces of one window.
const WINDOW_PIECES_MAX: usize = 1 << 14;

/// A piece of what goes out, in order.
#[derive(Debug)]
pub(super) enum Piece {
    /// An entry begins; its content, if it is a file, follows.
    Entry {
        /// Below the start of the walk, no slash at either end.
        path: Vec<u8>,
        /// What it is.
        node: Box<Node>,
    },
    /// The next bytes of the file.
    Content(Bytes),
}

#[derive(Debug)]
enum Planned {
    Entry(Vec<u8>, Box<Node>),
    /// Number of a chunk in the window.
    Chunk(usize),
}

struct Producer<'a> {
    reader: &'a ChunkReader<'a>,
    prefix: &'a [u8],
    out: SyncSender<Result<Vec<Piece>, RestoreError>>,
    planned: Vec<Planned>,
    ids: Vec<ChunkId>,
    lengths: Vec<u32>,
    numbers: HashMap<ChunkId, usize>,
    content_bytes: u64,
    /// Absolute path of the entry that is being added.
    current: Vec<u8>,
    /// Absolute path of the entry in which the last window ended.
    before: Vec<u8>,
    /// Nobody takes pieces any more.
    is_closed: bool,
}

struct Slots<'a> {
    chunks: Vec<Mutex<Option<Bytes>>>,
    lengths: &'a [u32],
    damage: Mutex<Option<(String, String)>>,
}

impl Slots<'_> {
    fn take(&self, number: usize) -> Option<Bytes> {
        self.chunks[number].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn damage(&self) -> Error {
        let damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner).take();
        match damage {
            Some((object, reason)) => Error::Damaged { object, reason },
            None => Error::Internal { what: "a chunk was not fetched" },
        }
    }
}

impl Sink for Slots<'_> {
    fn chunks(&self, found: &[Found], plain: &[u8]) -> Result<(), RestoreError> {
        for Found { wanted, place } in found {
            if place.len() != self.lengths[*wanted] as usize {
                self.missing(*wanted, &wrong_length())?;
                continue;
            }
            *self.chunks[*wanted].lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Bytes::copy_from_slice(&plain[place.clone()]));
        }
        Ok(())
    }

    fn missing(&self, _: usize, error: &Error) -> Result<(), RestoreError> {
        let (object, reason) = match error {
            Error::Damaged { object, reason } => (object.clone(), reason.clone()),
            Error::MissingChunk { id } => (format!("chunk {}", id.short()), "it is in no pack".to_owned()),
            other => ("pack".to_owned(), other.to_string()),
        };
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((object, reason));
        Ok(())
    }
}

/// Walks `scope` and gives all pieces, in order, to `consume`, which reads them from a [`Pieces`].
pub(super) fn stream<T>(
    reader: &ChunkReader<'_>,
    scope: &Scope,
    consume: impl FnOnce(&mut Pieces) -> Result<T, RestoreError>,
) -> Result<T, RestoreError> {
    let (to_consumer, from_producer) = sync_channel(1);
    std::thread::scope(|threads| {
        let producer = move || {
            let mut producer = Producer::new(reader, &scope.prefix, to_consumer);
            let outcome = walk(reader, scope, Selection::default(), &mut producer);
            let outcome = outcome.and_then(|()| producer.flush());
            if let Err(error) = outcome {
                // Nobody waits when the consumer ended first.
                let _ = producer.out.send(Err(error));
            }
        };
        threads.spawn(producer);
        let mut pieces = Pieces { windows: from_producer, window: Vec::new().into_iter(), next: None };
        let outcome = consume(&mut pieces)?;
        // What went wrong after the last piece that was wanted counts too.
        match pieces.next()? {
            None => Ok(outcome),
            Some(_) => Err(Error::Internal { what: "pieces are left over" }.into()),
        }
    })
}

/// The pieces in order.
#[derive(Debug)]
pub(super) struct Pieces {
    windows: Receiver<Result<Vec<Piece>, RestoreError>>,
    window: std::vec::IntoIter<Piece>,
    next: Option<Piece>,
}

impl Pieces {
    /// Returns the next piece, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, RestoreError> {
        if let Some(piece) = self.next.take() {
            return Ok(Some(piece));
        }
        loop {
            if let Some(piece) = self.window.next() {
                return Ok(Some(piece));
            }
            match self.windows.recv() {
                Ok(window) => self.window = window?.into_iter(),
                Err(_) => return Ok(None),
            }
        }
    }

    /// Returns the next bytes of the current file, `None` when it ends.
    pub(super) fn next_content(&mut self) -> Result<Option<Bytes>, RestoreError> {
        match self.next()? {
            Some(Piece::Content(bytes)) => Ok(Some(bytes)),
            other => {
                self.next = other;
                Ok(None)
            }
        }
    }
}

impl<'a> Producer<'a> {
    fn new(
        reader: &'a ChunkReader<'a>,
        prefix: &'a [u8],
        out: SyncSender<Result<Vec<Piece>, RestoreError>>,
    ) -> Self {
        Self {
            reader,
            prefix,
            out,
            planned: Vec::new(),
            ids: Vec::new(),
            lengths: Vec::new(),
            numbers: HashMap::new(),
            content_bytes: 0,
            current: Vec::new(),
            before: Vec::new(),
            is_closed: false,
        }
    }

    fn begin(&mut self, path: &[u8], node: &Node) {
        self.current = [self.prefix, b"/", path].concat();
        self.content_bytes += length(path.len() + attribute_bytes(node));
        self.planned.push(Planned::Entry(path.to_vec(), Box::new(node.clone())));
    }

    /// Names the current file in an error of its content.
    fn named(&self, error: Error) -> RestoreError {
        if !error.is_damage() {
            return error.into();
        }
        RestoreError::Content { path: self.current.clone(), source: error }
    }

    fn add_content(&mut self, node: &Node) -> Result<(), RestoreError> {
        let NodeKind::File { size_bytes, content, .. } = &node.kind else { return Ok(()) };
        let list = ListReader::new(self.reader, content, *size_bytes);
        let mut list = list.map_err(|error| self.named(error))?;
        while let Some(chunk) = list.next_chunk().map_err(|error| self.named(error))? {
            let number = *self.numbers.entry(chunk.id).or_insert(self.ids.len());
            if number == self.ids.len() {
                self.ids.push(chunk.id);
                self.lengths.push(chunk.length_bytes);
                self.content_bytes += u64::from(chunk.length_bytes);
            }
            self.planned.push(Planned::Chunk(number));
            self.flush_full()?;
        }
        Ok(())
    }

    fn flush_full(&mut self) -> Result<(), RestoreError> {
        if self.content_bytes >= self.reader.repository().memory().window_bytes()
            || self.planned.len() >= WINDOW_PIECES_MAX
        {
            return self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RestoreError> {
        let planned = std::mem::take(&mut self.planned);
        let ids = std::mem::take(&mut self.ids);
        let lengths = std::mem::take(&mut self.lengths);
        self.numbers.clear();
        self.content_bytes = 0;
        if self.is_closed || planned.is_empty() {
            return Ok(());
        }
        let chunks = ids.iter().map(|_| Mutex::new(None)).collect();
        let slots = Slots { chunks, lengths: &lengths, damage: Mutex::new(None) };
        let steps = Steps::of(self.reader.repository(), &ids, &slots)?;
        fetch(self.reader, &ids, steps, &slots)?;
        let mut window = Vec::with_capacity(planned.len());
        let mut path = std::mem::take(&mut self.before);
        for planned in planned {
            match planned {
                Planned::Entry(below, node) => {
                    path = [self.prefix, b"/", &below].concat();
                    window.push(Piece::Entry { path: below, node });
                }
                Planned::Chunk(number) => match slots.take(number) {
                    Some(chunk) => window.push(Piece::Content(chunk)),
                    None => {
                        // What comes before the damage is right and goes out.
                        self.is_closed = self.out.send(Ok(window)).is_err();
                        return Err(RestoreError::Content { path, source: slots.damage() });
                    }
                },
            }
        }
        self.before = path;
        self.is_closed = self.out.send(Ok(window)).is_err();
        Ok(())
    }
}

impl Visitor for Producer<'_> {
    fn directory(&mut self, path: &[u8], node: &Node) -> Result<bool, RestoreError> {
        self.begin(path, node);
        self.flush_full()?;
        Ok(!self.is_closed)
    }

    fn entry(&mut self, path: &[u8], node: Node) -> Result<(), RestoreError> {
        if self.is_closed {
            return Err(Error::Internal { what: "the output is closed" }.into());
        }
        self.begin(path, &node);
        self.add_content(&node)?;
        self.flush_full()
    }

    fn leave(&mut self, _: &[u8], _: Option<&Node>, _: bool) -> Result<(), RestoreError> {
        Ok(())
    }

    fn damaged(&mut self, path: &[u8], error: &Error) -> Result<(), RestoreError> {
        let reason = error.to_string();
        let source = Error::Damaged { object: "tree".to_owned(), reason };
        Err(RestoreError::Content { path: [self.prefix, b"/", path].concat(), source })
    }
}
