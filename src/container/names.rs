//! Which tensors of two files are the same one.

use std::collections::HashMap;

use super::{Element, Layout, QuantKind, Tensor};

/// What training code and wrappers put before the name that a model gives its tensor.
const PREFIXES: [&[u8]; 8] = [
    b"module.",
    b"model.",
    b"state_dict.",
    b"model_state_dict.",
    b"_orig_mod.",
    b"_fsdp_wrapped_module.",
    b"_checkpoint_wrapped_module.",
    b"_forward_module.",
];

/// Tells apart what the hash of an architecture is of from every other hash.
const ARCHITECTURE_CONTEXT: &str = "snap 2026 container architecture";

/// Returns `name` without what wrappers put before it, however many there were; never nothing of a name.
///
/// A prefix that belongs to the model in one file (`model.`) may be missing in another, so it goes on both
/// sides.
pub fn canonical_name(name: &[u8]) -> &[u8] {
    let mut rest = name;
    while let Some(shorter) = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(*prefix)) {
        if shorter.is_empty() {
            break;
        }
        rest = shorter;
    }
    rest
}

/// Returns a number for `element`, which never changes.
fn element_number(element: Element) -> [u8; 2] {
    let quant = |kind: QuantKind| match kind {
        QuantKind::Q4_0 => 0,
        QuantKind::Q4_1 => 1,
        QuantKind::Q5_0 => 2,
        QuantKind::Q5_1 => 3,
        QuantKind::Q8_0 => 4,
        QuantKind::Q2K => 5,
        QuantKind::Q3K => 6,
        QuantKind::Q4K => 7,
        QuantKind::Q5K => 8,
        QuantKind::Q6K => 9,
        QuantKind::Mxfp4 => 10,
        QuantKind::Iq4Nl => 11,
        QuantKind::Iq4Xs => 12,
    };
    match element {
        Element::Bytes => [0, 0],
        Element::Bf16 => [1, 0],
        Element::F16 => [2, 0],
        Element::F32 => [3, 0],
        Element::F64 => [4, 0],
        Element::F8 => [5, 0],
        Element::Integer { width_bytes } => [6, width_bytes],
        Element::Quant(kind) => [7, quant(kind)],
    }
}

impl Layout {
    /// Returns an id of what the file is a version of: the same for the same set of canonical names, elements
    /// and shapes, in any order and in any kind of container. `None` without named tensors.
    pub fn architecture(&self) -> Option<[u8; 16]> {
        let mut named: Vec<_> = self
            .tensors
            .iter()
            .filter(|tensor| !tensor.name.is_empty())
            .map(|tensor| (canonical_name(&tensor.name), element_number(tensor.element), &tensor.shape))
            .collect();
        if named.is_empty() {
            return None;
        }
        named.sort_unstable();
        let mut hasher = blake3::Hasher::new_derive_key(ARCHITECTURE_CONTEXT);
        for (name, element, shape) in named {
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name).update(&element);
            hasher.update(&(shape.len() as u64).to_le_bytes());
            for dimension in shape {
                hasher.update(&dimension.to_le_bytes());
            }
        }
        hasher.finalize().as_bytes().first_chunk().copied()
    }

    /// Returns the tensor of this file that `other`, of another file, was or became: of the same element,
    /// shape and length, with the same name or else the same canonical name, the first in the file where
    /// there are several. `None` for tensors without a name.
    ///
    /// Looks at every tensor; for many questions make a [`TensorIndex`].
    pub fn find(&self, other: &Tensor) -> Option<&Tensor> {
        let canonical = canonical_name(&other.name);
        let is_alike = |tensor: &&Tensor| {
            tensor.element == other.element
                && tensor.shape == other.shape
                && tensor.length_bytes == other.length_bytes
                && !tensor.name.is_empty()
                && canonical_name(&tensor.name) == canonical
        };
        let mut alike = self.tensors.iter().filter(is_alike);
        let first = alike.clone().next();
        alike.find(|tensor| tensor.name == other.name).or(first)
    }
}

/// What [`Layout::find`] looks for.
type Key<'a> = (&'a [u8], Element, &'a [u64], u64);

fn key<'a>(tensor: &'a Tensor, name: &'a [u8]) -> Key<'a> {
    (name, tensor.element, &tensor.shape, tensor.length_bytes)
}

/// What tensors have in common of which one has more rows than the other: canonical name, element, and the
/// shape of a row.
type RowKey<'a> = (&'a [u8], Element, &'a [u64]);

fn row_key(tensor: &Tensor) -> Option<RowKey<'_>> {
    let (_, row) = tensor.shape.split_first()?;
    Some((canonical_name(&tensor.name), tensor.element, row))
}

/// The tensors of a layout by name.
#[derive(Debug)]
pub struct TensorIndex<'a> {
    by_name: HashMap<Key<'a>, &'a Tensor>,
    by_canonical_name: HashMap<Key<'a>, &'a Tensor>,
    by_row: HashMap<RowKey<'a>, &'a Tensor>,
    /// Those without a name, in order.
    unnamed: Vec<&'a Tensor>,
}

impl<'a> TensorIndex<'a> {
    /// Returns the index of `layout`.
    pub fn new(layout: &'a Layout) -> Self {
        let mut index = Self {
            by_name: HashMap::new(),
            by_canonical_name: HashMap::new(),
            by_row: HashMap::new(),
            unnamed: Vec::new(),
        };
        for tensor in &layout.tensors {
            if tensor.name.is_empty() {
                index.unnamed.push(tensor);
                continue;
            }
            index.by_name.entry(key(tensor, &tensor.name)).or_insert(tensor);
            index.by_canonical_name.entry(key(tensor, canonical_name(&tensor.name))).or_insert(tensor);
            if let Some(key) = row_key(tensor) {
                index.by_row.entry(key).or_insert(tensor);
            }
        }
        index
    }

    /// Returns what [`Layout::find`] returns.
    pub fn find(&self, other: &Tensor) -> Option<&'a Tensor> {
        let same = self.by_name.get(&key(other, &other.name));
        same.or_else(|| self.by_canonical_name.get(&key(other, canonical_name(&other.name)))).copied()
    }

    /// Returns, for the tensors of another file by their number, what each was in this one: what
    /// [`TensorIndex::find`] finds, or else the tensor of the same name and element that has more or fewer
    /// rows of the same shape. Tensors without a name are paired in their order, where both files have as
    /// many and their rows are alike.
    pub fn pairs(&self, other: &Layout) -> Vec<(usize, &'a Tensor)> {
        let unnamed = other.tensors.iter().filter(|tensor| tensor.name.is_empty()).count();
        let mut in_order = self.unnamed.iter().filter(|_| unnamed == self.unnamed.len()).copied();
        let former = |tensor: &Tensor| {
            if tensor.name.is_empty() {
                return in_order.next().filter(|former| row_key(former) == row_key(tensor));
            }
            self.find(tensor).or_else(|| self.by_row.get(&row_key(tensor)?).copied())
        };
        let former = other.tensors.iter().map(former);
        former.enumerate().filter_map(|(number, former)| Some((number, former?))).collect()
    }
}
