//! Python's pickles as a graph of values: opcodes are read, nothing is executed, no class is looked up.

mod machine;

pub(super) use machine::read;

/// Longest pickle.
pub(super) const PICKLE_BYTES_MAX: u64 = 64 << 20;

/// Most opcodes. A tensor takes some 40 to 50.
const OPERATIONS_MAX: usize = 1 << 23;

/// Most values that are made; those without parts share one.
const NODES_MAX: usize = 1 << 22;

/// The number of a value in its graph.
pub(super) type Id = u32;

/// A part of the pickle: where it begins, how long it is.
pub(super) type Span = (u32, u32);

/// A value.
#[derive(Debug)]
pub(super) enum Node {
    /// A number, a truth, bytes, nothing: whatever nobody asks for.
    Other,
    Integer(i64),
    Text(Span),
    /// A class or function by the names of its module and itself.
    Global(Span, Span),
    /// A tuple, list or set.
    Sequence(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    /// What the writer keeps elsewhere and names so.
    Persistent(Id),
    /// The result of a call.
    Object(Box<Object>),
}

/// What a call gave, and what was put into it afterwards.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) callable: Id,
    pub(super) arguments: Id,
    pub(super) pairs: Vec<(Id, Id)>,
    pub(super) state: Option<Id>,
}

/// The values of a pickle.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    bytes: &'a [u8],
    nodes: Vec<Node>,
    /// The value that the pickle is of.
    pub(super) root: Id,
    /// Where the pickle ends.
    pub(super) length_bytes: usize,
}

/// Why there is no graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The bytes end before the pickle does.
    Short,
    /// It is no pickle, not one of this kind, or too large.
    Other,
}

impl Graph<'_> {
    /// Returns a value.
    pub(super) fn node(&self, id: Id) -> &Node {
        self.nodes.get(id as usize).unwrap_or(&Node::Other)
    }

    /// Returns how many values there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns a part of the pickle.
    pub(super) fn text(&self, (at, length): Span) -> &[u8] {
        let at = at as usize;
        self.bytes.get(at..at + length as usize).unwrap_or_default()
    }
}
