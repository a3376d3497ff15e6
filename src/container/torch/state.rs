//! What a pickle tells of the storages beside it: their elements, shapes and names.

use std::collections::HashMap;

use super::{NAMES_BYTES_MAX, TENSORS_MAX};
use crate::container::Element;
use crate::container::pickle::{Graph, Id, Node, Object};

/// How deep values may lie in each other; what lies deeper has no name.
const DEPTH_MAX: usize = 64;

/// Longest name; a tensor with a longer one has none.
const NAME_BYTES_MAX: usize = 4096;

/// Most dimensions of a tensor.
const DIMENSIONS_MAX: usize = 64;

/// Names of the functions that make tensors begin so.
const REBUILD_MODULE: &[u8] = b"torch._utils";
const REBUILD_NAME: &[u8] = b"_rebuild_";

/// Where the state of a module keeps what it holds: no part of the names that the module itself would give.
const MODULE_PARTS: [&[u8]; 3] = [b"_parameters", b"_buffers", b"_modules"];

/// A storage, and the first tensor on it.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) element: Element,
    pub(super) length_bytes: u64,
    /// The dotted path of the keys that lead to the tensor.
    pub(super) name: Vec<u8>,
    /// The shape of the tensor, if it has the whole storage.
    pub(super) shape: Vec<u64>,
}

/// Returns the storages by key; `None` when there are too many.
pub(super) fn storages(graph: &Graph) -> Option<HashMap<Vec<u8>, Storage>> {
    let seen = vec![false; graph.len()];
    let mut search = Search { graph, seen, path: Vec::new(), storages: HashMap::new(), names_bytes: 0 };
    search.visit(graph.root, 0)?;
    Some(search.storages)
}

struct Search<'a> {
    graph: &'a Graph<'a>,
    /// Which values were visited: each is once, so values that are shared or hold themselves take no longer.
    seen: Vec<bool>,
    /// The keys that lead to the value, each with a dot behind it.
    path: Vec<u8>,
    storages: HashMap<Vec<u8>, Storage>,
    names_bytes: usize,
}

impl Search<'_> {
    fn visit(&mut self, id: Id, depth: usize) -> Option<()> {
        let seen = self.seen.get_mut(id as usize)?;
        if std::mem::replace(seen, true) || depth > DEPTH_MAX {
            return Some(());
        }
        match self.graph.node(id) {
            Node::Sequence(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| self.below(index.to_string().as_bytes(), *item, depth)),
            Node::Dictionary(pairs) => self.pairs(pairs, depth, false),
            Node::Persistent(name) => match storage(self.graph, *name) {
                Some((key, class, count)) => self.add(key, class, count, None, &[]),
                None => Some(()),
            },
            Node::Object(object) => self.object(object, depth),
            Node::Other | Node::Integer(_) | Node::Text(_) | Node::Global(..) => Some(()),
        }
    }

    fn object(&mut self, object: &Object, depth: usize) -> Option<()> {
        if let Node::Global(module, name) = self.graph.node(object.callable)
            && self.graph.text(*module) == REBUILD_MODULE
            && self.graph.text(*name).starts_with(REBUILD_NAME)
            && let Node::Sequence(arguments) = self.graph.node(object.arguments)
            && let Some(Node::Persistent(name)) = arguments.first().map(|id| self.graph.node(*id))
            && let Some((key, class, count)) = storage(self.graph, *name)
        {
            let dtype = arguments.iter().rev().find_map(|id| match self.graph.node(*id) {
                Node::Global(module, name) if self.graph.text(*module) == b"torch" => {
                    element(self.graph.text(*name))
                }
                _ => None,
            });
            let shape = arguments.get(2).map(|id| shape(self.graph, *id)).unwrap_or_default();
            return self.add(key, class, count, dtype, &shape.unwrap_or_default());
        }
        // A parameter has its tensor among the arguments; other objects may too.
        if let Node::Sequence(arguments) = self.graph.node(object.arguments) {
            arguments.iter().try_for_each(|argument| self.visit(*argument, depth + 1))?;
        }
        self.pairs(&object.pairs, depth, false)?;
        match object.state.map(|state| (state, self.graph.node(state))) {
            Some((_, Node::Dictionary(pairs))) => self.pairs(pairs, depth, true),
            Some((state, _)) => self.visit(state, depth + 1),
            None => Some(()),
        }
    }

    fn pairs(&mut self, pairs: &[(Id, Id)], depth: usize, is_state: bool) -> Option<()> {
        pairs.iter().try_for_each(|(key, value)| match self.graph.node(*key) {
            Node::Text(span) if is_state && MODULE_PARTS.contains(&self.graph.text(*span)) => {
                self.visit(*value, depth + 1)
            }
            Node::Text(span) => {
                let key = self.graph.text(*span);
                self.below(key, *value, depth)
            }
            Node::Integer(key) => self.below(key.to_string().as_bytes(), *value, depth),
            _ => self.visit(*value, depth + 1),
        })
    }

    fn below(&mut self, key: &[u8], value: Id, depth: usize) -> Option<()> {
        let length = self.path.len();
        // A path that is too long already need not grow, so that keys which many values share stay cheap.
        if length <= NAME_BYTES_MAX {
            self.path.extend_from_slice(key.get(..=NAME_BYTES_MAX).unwrap_or(key));
            self.path.push(b'.');
        }
        let done = self.visit(value, depth + 1);
        self.path.truncate(length);
        done
    }

    fn add(
        &mut self,
        key: &[u8],
        class: &[u8],
        count: u64,
        dtype: Option<(Element, u64)>,
        shape: &[u64],
    ) -> Option<()> {
        if self.storages.contains_key(key) {
            return Some(());
        }
        let typed = class.strip_suffix(b"Storage").and_then(class_element);
        // Storages without a type count bytes.
        let (element, width_bytes) = typed.or(dtype).unwrap_or((Element::Bytes, 1));
        let Some(length_bytes) = count.checked_mul(typed.map_or(1, |(_, width)| width)) else {
            return Some(());
        };
        let mut shape = shape.to_vec();
        let product = shape.iter().try_fold(width_bytes, |product, side| product.checked_mul(*side));
        if product != Some(length_bytes) {
            shape.clear();
        } else if width_bytes == 2 * u64::from(element.width_bytes()) {
            // A complex number is two elements next to each other.
            shape.push(2);
        }
        let element = match length_bytes.is_multiple_of(u64::from(element.width_bytes())) {
            true => element,
            false => Element::Bytes,
        };
        let name = self.path.strip_suffix(b".").filter(|name| name.len() <= NAME_BYTES_MAX);
        let name = name.unwrap_or_default().to_vec();
        self.names_bytes += name.len();
        self.storages.insert(key.to_vec(), Storage { element, length_bytes, name, shape });
        (self.storages.len() <= TENSORS_MAX && self.names_bytes <= NAMES_BYTES_MAX).then_some(())
    }
}

/// Returns the key, the class and the count of a storage by its persistent name:
/// `("storage", class, key, location, count)`.
fn storage<'a>(graph: &'a Graph, name: Id) -> Option<(&'a [u8], &'a [u8], u64)> {
    let Node::Sequence(parts) = graph.node(name) else { return None };
    let [kind, class, key, _, count] = parts.as_slice() else { return None };
    match [kind, class, key, count].map(|id| graph.node(*id)) {
        [Node::Text(kind), Node::Global(_, class), Node::Text(key), Node::Integer(count)]
            if graph.text(*kind) == b"storage" =>
        {
            Some((graph.text(*key), graph.text(*class), u64::try_from(*count).ok()?))
        }
        _ => None,
    }
}

fn shape(graph: &Graph, id: Id) -> Option<Vec<u64>> {
    let Node::Sequence(sides) = graph.node(id) else { return None };
    let side = |id: &Id| match graph.node(*id) {
        Node::Integer(side) => u64::try_from(*side).ok(),
        _ => None,
    };
    (sides.len() <= DIMENSIONS_MAX).then(|| sides.iter().map(side).collect())?
}

/// Returns what the elements of a storage class are, by its name without the last word, and the bytes of one
/// value.
fn class_element(class: &[u8]) -> Option<(Element, u64)> {
    element(match class {
        b"BFloat16" => b"bfloat16",
        b"Half" => b"float16",
        b"Float" => b"float32",
        b"Double" => b"float64",
        b"Char" | b"QInt8" => b"int8",
        b"Byte" | b"QUInt8" | b"QUInt4x2" | b"QUInt2x4" => b"uint8",
        b"Bool" => b"bool",
        b"Short" => b"int16",
        b"Int" | b"QInt32" => b"int32",
        b"Long" => b"int64",
        b"ComplexFloat" => b"complex64",
        b"ComplexDouble" => b"complex128",
        _ => return None,
    })
}

/// Returns what the elements of a dtype are, and the bytes of one value.
fn element(dtype: &[u8]) -> Option<(Element, u64)> {
    let integer = |width_bytes: u8| (Element::Integer { width_bytes }, u64::from(width_bytes));
    Some(match dtype {
        b"bfloat16" => (Element::Bf16, 2),
        b"float16" | b"half" => (Element::F16, 2),
        b"float32" | b"float" => (Element::F32, 4),
        b"float64" | b"double" => (Element::F64, 8),
        b"complex32" => (Element::F16, 4),
        b"complex64" | b"cfloat" => (Element::F32, 8),
        b"complex128" | b"cdouble" => (Element::F64, 16),
        b"int8" | b"uint8" | b"bool" | b"qint8" | b"quint8" => integer(1),
        b"int16" | b"uint16" | b"short" => integer(2),
        b"int32" | b"uint32" | b"int" | b"qint32" => integer(4),
        b"int64" | b"uint64" | b"long" => integer(8),
        _ if dtype.starts_with(b"float8_") => (Element::F8, 1),
        _ => return None,
    })
}
