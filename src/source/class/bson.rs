//! Documents of MongoDB, looked at from outside: lengths and types must fit into each other.

/// Longest document that the server stores, with what its tools add.
const DOCUMENT_MAX_BYTES: usize = (16 << 20) + (16 << 10);
/// Shortest document: its length and its end.
const DOCUMENT_MIN_BYTES: usize = 5;
/// Elements looked at in one document.
const ELEMENT_COUNT_MAX: usize = 4_096;
/// Documents looked at.
const DOCUMENT_COUNT_MAX: usize = 4;

/// What a look at one document found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is whole: its length and how many elements it has.
    Whole { length: usize, elements: usize },
    /// It goes on behind the bytes that are there, and these are in order; so many elements are whole.
    Cut { elements: usize },
    /// It is no document.
    Broken,
}

/// Looks at the document that `bytes` begin with.
pub(super) fn look(bytes: &[u8]) -> Look {
    let Some(Ok(length)) = length_at(bytes, 0) else { return Look::Broken };
    if !(DOCUMENT_MIN_BYTES..=DOCUMENT_MAX_BYTES).contains(&length) {
        return Look::Broken;
    }
    let mut at = 4;
    for elements in 0..ELEMENT_COUNT_MAX {
        match bytes.get(at) {
            None => return Look::Cut { elements },
            Some(0) if at + 1 == length => return Look::Whole { length, elements },
            Some(_) => {}
        }
        match element_end(bytes, at, length) {
            Ok(end) if end < length => at = end,
            Err(Fault::Cut) if bytes.len() < length => return Look::Cut { elements },
            _ => return Look::Broken,
        }
    }
    Look::Cut { elements: ELEMENT_COUNT_MAX }
}

/// Tells whether `head` is documents one after the other. Without a name that says so the first must be
/// whole.
pub(super) fn is_documents(name: &[u8], head: &[u8]) -> bool {
    let is_named = name.to_ascii_lowercase().ends_with(b".bson");
    let mut rest = head;
    for count in 0..DOCUMENT_COUNT_MAX {
        match look(rest) {
            Look::Whole { length, elements } if elements > 0 || count > 0 || is_named => {
                rest = rest.get(length..).unwrap_or_default();
            }
            Look::Cut { elements } => return count > 0 || is_named && elements > 0,
            // Four bytes of a length may be cut too.
            Look::Broken if rest.len() < 4 => return count > 0,
            Look::Whole { .. } | Look::Broken => return false,
        }
    }
    true
}

/// Why an element is not whole.
enum Fault {
    /// It goes on behind the bytes that are there.
    Cut,
    /// It is none.
    Broken,
}

/// Returns where the element at `at` ends. A value of known length ends there even where the bytes are cut
/// before.
fn element_end(bytes: &[u8], at: usize, document_end: usize) -> Result<usize, Fault> {
    let kind = *bytes.get(at).ok_or(Fault::Cut)?;
    if !matches!(kind, 0x01..=0x13 | 0x7f | 0xff) {
        return Err(Fault::Broken);
    }
    let value = name_end(bytes, at + 1)?;
    // What has a length of its own ends with a zero byte, unless it is bare bytes.
    let sized = |at: usize, before: usize, min: usize| {
        let length = length_at(bytes, at).ok_or(Fault::Cut)??;
        let end = at.saturating_add(before).saturating_add(length);
        let is_ended = before == 5 || bytes.get(end.saturating_sub(1)).is_none_or(|last| *last == 0);
        if length >= min && end < document_end && is_ended { Ok(end) } else { Err(Fault::Broken) }
    };
    match kind {
        0x01 | 0x09 | 0x11 | 0x12 => Ok(value + 8),
        0x02 | 0x0d | 0x0e => sized(value, 4, 1),
        0x03 | 0x04 => sized(value, 0, DOCUMENT_MIN_BYTES),
        0x05 => sized(value, 5, 0),
        0x07 => Ok(value + 12),
        0x08 => match bytes.get(value) {
            Some(truth) if *truth > 1 => Err(Fault::Broken),
            _ => Ok(value + 1),
        },
        0x0b => name_end(bytes, name_end(bytes, value)?),
        0x0c => Ok(sized(value, 4, 1)? + 12),
        0x0f => sized(value, 0, 14),
        0x10 => Ok(value + 4),
        0x13 => Ok(value + 16),
        _ => Ok(value),
    }
}

/// Returns the place behind the zero byte that ends the name at `at`.
fn name_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let length = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0));
    Ok(at + length.ok_or(Fault::Cut)? + 1)
}

/// Returns the length at `at`: `None` where it is cut.
fn length_at(bytes: &[u8], at: usize) -> Option<Result<usize, Fault>> {
    let length = i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
    Some(usize::try_from(length).map_err(|_| Fault::Broken))
}
