//! Which parts of a file differ between two versions: tables of dumps, tensors of model containers.

use std::collections::HashMap;

use super::content::ContentComparer;
use crate::base::ChunkId;
use crate::container::{PART_COUNT_MAX, Part, PartScanner, Parts, layout};
use crate::format::node::FileContent;
use crate::format::pack::Content;
use crate::repository::{ChunkReader, Error, ListReader, StoredFile};
use crate::source::{Class, Kind};

/// Longest dump whose parts are looked for unless they are asked for: both versions are read whole.
const AUTO_MAX_BYTES: u64 = 1 << 30;
/// Shortest dump whose parts are looked for unless they are asked for: a tree may have many small texts that
/// changed, and each costs a request.
const AUTO_MIN_BYTES: u64 = 64 << 10;
/// Bytes that one comparison reads unless parts are asked for.
const AUTO_TOTAL_BYTES: u64 = 8 << 30;
/// Changed bytes of one part up to which they are compared themselves: chunks reach over the ends of parts.
const COMPARED_MAX_BYTES: u64 = 1 << 20;
/// Pieces of chunks that are remembered for that; parts beyond count as changed.
const PIECE_COUNT_MAX: usize = 1 << 16;

/// When the parts of modified files are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartsChoice {
    /// Where it costs little: tensors always, dumps from 64 KiB to 1 GiB, until 8 GiB were read.
    Auto,
    /// In every dump and container, however long.
    Always,
    /// Nowhere.
    #[default]
    Never,
}

/// A part that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartChange {
    /// Its name, raw bytes; `None` for everything between the parts.
    pub name: Option<Vec<u8>>,
    /// Its length in either version, `None` where that has none; parts of one name count together.
    pub size_bytes: [Option<u64>; 2],
    /// Bytes of the old version in chunks that the new one has not.
    pub removed_bytes: u64,
    /// Bytes of the new version in chunks that the old one has not.
    pub added_bytes: u64,
}

/// What differs within a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartsChange {
    /// What the file is, for people.
    pub kind: &'static str,
    /// What lies between its parts.
    pub rest: &'static str,
    /// The parts that differ: those of the new version in their order, then those that are gone.
    pub changed: Vec<PartChange>,
    /// How many parts do not differ.
    pub same_count: usize,
    /// There are more parts than are told apart.
    pub is_cut: bool,
}

/// One version of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version<'a> {
    pub(super) content: &'a FileContent,
    pub(super) size_bytes: u64,
    pub(super) class: u8,
}

/// Where a piece of a changed chunk belongs.
#[derive(Debug, Clone, Copy)]
struct Piece {
    entry: usize,
    side: usize,
    chunk: ChunkId,
    start: usize,
    end: usize,
}

#[derive(Debug, Default)]
struct Entry {
    name: Option<Vec<u8>>,
    size_bytes: [Option<u64>; 2],
    changed_bytes: [u64; 2],
}

/// The parts of both versions by name; the first entry is what lies between them.
#[derive(Debug)]
struct Table {
    entries: Vec<Entry>,
    sides: [Side; 2],
    pieces: Vec<Piece>,
    has_all_pieces: bool,
}

/// The parts of one version, in order, each with its entry.
#[derive(Debug, Default)]
struct Side {
    parts: Vec<(Part, usize)>,
}

/// Bytes that a comparison may still read by itself.
#[derive(Debug)]
pub(super) struct Allowance(u64);

impl Default for Allowance {
    fn default() -> Self {
        Self(AUTO_TOTAL_BYTES)
    }
}

/// Compares two versions; `None` when nothing is known of their parts, or the choice leaves them out.
pub(super) fn compare(
    comparer: &mut ContentComparer<'_, '_>,
    reader: &ChunkReader<'_>,
    (choice, allowance): (PartsChoice, &mut Allowance),
    old: Version<'_>,
    new: Version<'_>,
) -> Result<Option<PartsChange>, Error> {
    let is = |class: Class| old.class == class.number() && new.class == class.number();
    let longest_bytes = old.size_bytes.max(new.size_bytes);
    let is_cheap = (AUTO_MIN_BYTES..=AUTO_MAX_BYTES.min(allowance.0)).contains(&longest_bytes);
    let (old_parts, new_parts) = match choice {
        PartsChoice::Never => return Ok(None),
        _ if is(Class::Tensors) => (tensors_of(reader, old)?, tensors_of(reader, new)?),
        PartsChoice::Auto if !is_cheap => return Ok(None),
        // Compressed dumps are opaque, and still name their tables. Of anything else only the head is read.
        _ if is(Class::Dump) || is(Class::Opaque) => {
            (Some(scan(reader, old, allowance)?), Some(scan(reader, new, allowance)?))
        }
        _ => return Ok(None),
    };
    let (Some(old_parts), Some(new_parts)) = (old_parts, new_parts) else { return Ok(None) };
    let is_known = !old_parts.parts.is_empty() || !new_parts.parts.is_empty();
    if old_parts.kind != new_parts.kind || !is_known {
        return Ok(None);
    }
    let (kind, is_cut) = (new_parts.kind, old_parts.is_cut || new_parts.is_cut);
    let rest = if kind == Kind::Tensors { "header" } else { new_parts.rest() };
    let mut table = Table::new([(old_parts, old.size_bytes), (new_parts, new.size_bytes)]);
    comparer.visit_changed(
        (old.content, old.size_bytes),
        (new.content, new.size_bytes),
        &mut |side, offset, chunk| table.count(side, offset, u64::from(chunk.length_bytes), chunk.id),
    )?;
    table.forgive(reader)?;
    Ok(Some(table.told(kind.words(), rest, is_cut)))
}

/// Finds the parts of a dump by reading it up to where nothing more is to be found.
fn scan(reader: &ChunkReader<'_>, version: Version<'_>, allowance: &mut Allowance) -> Result<Parts, Error> {
    let mut list = ListReader::new(reader, version.content, version.size_bytes)?;
    let mut scanner = PartScanner::new();
    let mut offset = 0;
    while scanner.wants_more()
        && let Some(chunk) = list.next_chunk()?
    {
        reader.repository().check_stop()?;
        scanner.feed(offset, &reader.read(Content::Data, &chunk.id)?);
        offset += u64::from(chunk.length_bytes);
        allowance.0 = allowance.0.saturating_sub(u64::from(chunk.length_bytes));
    }
    Ok(scanner.finish())
}

fn tensors_of(reader: &ChunkReader<'_>, version: Version<'_>) -> Result<Option<Parts>, Error> {
    let file = StoredFile::new(reader, version.content, version.size_bytes)?;
    let Some(found) = layout(&file).filter(|found| found.tensors.len() <= PART_COUNT_MAX) else {
        return Ok(None);
    };
    let part = |tensor: crate::container::Tensor| Part {
        end: tensor.offset.saturating_add(tensor.length_bytes),
        start: tensor.offset,
        name: tensor.name,
    };
    let parts = found.tensors.into_iter().map(part).collect();
    Ok(Some(Parts { kind: Kind::Tensors, parts, is_cut: false }))
}

impl Table {
    fn new(versions: [(Parts, u64); 2]) -> Self {
        let mut entries = vec![Entry::default()];
        let mut by_name: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut sides = [Side::default(), Side::default()];
        // Those of the new version come first, in their order.
        for (side, (parts, size_bytes)) in versions.into_iter().enumerate().rev() {
            let mut rest_bytes = size_bytes;
            for part in parts.parts {
                let entry = *by_name.entry(part.name.clone()).or_insert_with(|| {
                    entries.push(Entry { name: Some(part.name.clone()), ..Entry::default() });
                    entries.len() - 1
                });
                let length = part.end - part.start;
                rest_bytes = rest_bytes.saturating_sub(length);
                *entries[entry].size_bytes[side].get_or_insert(0) += length;
                sides[side].parts.push((part, entry));
            }
            entries[0].size_bytes[side] = Some(rest_bytes);
        }
        Self { entries, sides, pieces: Vec::new(), has_all_pieces: true }
    }

    /// Counts a changed chunk against the parts that it touches.
    fn count(&mut self, side: usize, offset: u64, length: u64, chunk: ChunkId) {
        let end = offset.saturating_add(length);
        let parts = &self.sides[side].parts;
        let mut next = parts.partition_point(|(part, _)| part.end <= offset);
        let mut at = offset;
        while at < end {
            let (entry, until) = match parts.get(next) {
                Some((part, _)) if at < part.start => (0, part.start.min(end)),
                Some((part, entry)) => {
                    next += usize::from(part.end <= end);
                    (*entry, part.end.min(end))
                }
                None => (0, end),
            };
            self.entries[entry].changed_bytes[side] += until - at;
            let place = |at: u64| usize::try_from(at - offset).unwrap_or(usize::MAX);
            if self.pieces.len() >= PIECE_COUNT_MAX {
                self.has_all_pieces = false;
            } else if self.entries[entry].changed_bytes[side] <= COMPARED_MAX_BYTES {
                let (start, end) = (place(at), place(until));
                self.pieces.push(Piece { entry, side, chunk, start, end });
            }
            at = until;
        }
    }

    /// Clears parts whose chunks changed only because a neighbour did: their bytes are the same.
    fn forgive(&mut self, reader: &ChunkReader<'_>) -> Result<(), Error> {
        if !self.has_all_pieces {
            return Ok(());
        }
        let mut pieces = std::mem::take(&mut self.pieces);
        // Within an entry and side they stay in the order of the file.
        pieces.sort_by_key(|piece| (piece.entry, piece.side));
        for of_entry in pieces.chunk_by(|one, other| one.entry == other.entry) {
            let Some(entry) = of_entry.first().and_then(|piece| self.entries.get_mut(piece.entry)) else {
                continue;
            };
            let [old_bytes, new_bytes] = entry.changed_bytes;
            let is_alike = old_bytes == new_bytes && entry.size_bytes[0] == entry.size_bytes[1];
            if !is_alike || old_bytes > COMPARED_MAX_BYTES {
                continue;
            }
            let mut sums = [blake3::Hasher::new(), blake3::Hasher::new()];
            for piece in of_entry {
                reader.repository().check_stop()?;
                let bytes = reader.read(Content::Data, &piece.chunk)?;
                sums[piece.side].update(bytes.get(piece.start..piece.end).unwrap_or_default());
            }
            if sums[0].finalize() == sums[1].finalize() {
                entry.changed_bytes = [0, 0];
            }
        }
        Ok(())
    }

    fn told(self, kind: &'static str, rest: &'static str, is_cut: bool) -> PartsChange {
        let total = self.entries.len() - 1;
        let differs = |entry: &Entry| {
            entry.changed_bytes != [0, 0]
                || entry.size_bytes.iter().any(Option::is_none) && entry.name.is_some()
        };
        let mut entries = self.entries;
        entries.rotate_left(1);
        let changed: Vec<PartChange> = entries
            .into_iter()
            .filter(differs)
            .map(|entry| PartChange {
                name: entry.name,
                size_bytes: entry.size_bytes,
                removed_bytes: entry.changed_bytes[0],
                added_bytes: entry.changed_bytes[1],
            })
            .collect();
        let named = changed.iter().filter(|part| part.name.is_some()).count();
        PartsChange { kind, rest, changed, same_count: total - named, is_cut }
    }
}
