//! The stack machine.

mod literal;

use std::collections::HashMap;

use super::*;

/// The value that all of no interest share.
const OTHER: Id = 0;

/// Reads the pickle at the front of `bytes`.
pub(in crate::container) fn read(bytes: &[u8]) -> Result<Graph<'_>, Refused> {
    let bytes = bytes.get(..PICKLE_BYTES_MAX as usize).unwrap_or(bytes);
    let mut machine = Machine {
        bytes,
        at: 0,
        nodes: vec![Node::Other],
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    for _ in 0..OPERATIONS_MAX {
        let code = machine.u8()?;
        if code == b'.' {
            let root = machine.pop()?;
            let Machine { nodes, at, .. } = machine;
            return Ok(Graph { bytes, nodes, root, length_bytes: at });
        }
        machine.operation(code)?;
    }
    Err(Refused::Other)
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// How long the stack was at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

type Done = Result<(), Refused>;

impl Machine<'_> {
    fn operation(&mut self, code: u8) -> Done {
        match code {
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.items()?),
            b'2' => self.stack.push(self.top()?),
            b'N' | 0x88 | 0x89 => self.stack.push(OTHER),
            b']' | b')' | 0x8f => self.make(Node::Sequence(Vec::new()))?,
            b'}' => self.make(Node::Dictionary(Vec::new()))?,
            b't' | b'l' | 0x91 => {
                let items = self.items()?;
                self.make(Node::Sequence(items))?;
            }
            0x85..=0x87 => {
                let at = self.stack.len().checked_sub(usize::from(code - 0x84));
                let items = self.split(at)?;
                self.make(Node::Sequence(items))?;
            }
            b'd' => {
                let pairs = pairs(self.items()?);
                self.make(Node::Dictionary(pairs))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.items()?;
                self.append(items)?;
            }
            b's' => {
                let at = self.stack.len().checked_sub(2);
                let items = self.split(at)?;
                self.put(pairs(items))?;
            }
            b'u' => {
                let items = self.items()?;
                self.put(pairs(items))?;
            }
            b'Q' => {
                let name = self.pop()?;
                self.make(Node::Persistent(name))?;
            }
            b'R' | b'b' | b'i' | b'o' | 0x81 | 0x92 => self.call(code)?,
            b'c' | 0x93 => self.global(code)?,
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.remember(code)?,
            0x80 => drop(self.u8()?),
            0x95 => drop(self.take(8)?),
            _ => self.literal(code)?,
        }
        Ok(())
    }

    /// Calls, and what sets the state of an object.
    fn call(&mut self, code: u8) -> Done {
        if code == b'b' {
            let value = self.pop()?;
            let object = self.top()? as usize;
            if let Some(Node::Object(object)) = self.nodes.get_mut(object) {
                object.state = Some(value);
            }
            return Ok(());
        }
        let (callable, arguments) = match code {
            b'i' => {
                self.global(b'c')?;
                let callable = self.pop()?;
                (callable, self.items()?)
            }
            b'o' => {
                let mut items = self.items()?;
                if items.is_empty() {
                    return Err(Refused::Other);
                }
                (items.remove(0), items)
            }
            _ => {
                // The last call has named arguments too, which do not matter.
                if code == 0x92 {
                    self.pop()?;
                }
                let arguments = self.pop()?;
                let callable = self.pop()?;
                return self.object(callable, arguments);
            }
        };
        self.make(Node::Sequence(arguments))?;
        let arguments = self.pop()?;
        self.object(callable, arguments)
    }

    fn object(&mut self, callable: Id, arguments: Id) -> Done {
        self.make(Node::Object(Box::new(Object { callable, arguments, pairs: Vec::new(), state: None })))
    }

    fn global(&mut self, code: u8) -> Done {
        if code == b'c' {
            let module = self.line()?;
            let name = self.line()?;
            return self.make(Node::Global(module, name));
        }
        let (name, module) = (self.pop()?, self.pop()?);
        match [module, name].map(|id| self.nodes.get(id as usize)) {
            [Some(&Node::Text(module)), Some(&Node::Text(name))] => self.make(Node::Global(module, name)),
            _ => Err(Refused::Other),
        }
    }

    /// Puts the top into the memo, or a value of it onto the stack.
    fn remember(&mut self, code: u8) -> Done {
        let index = match code {
            b'q' | b'h' => self.number(1)? as u32,
            b'r' | b'j' => self.number(4)? as u32,
            0x94 => self.memo.len() as u32,
            _ => {
                let line = self.line()?;
                let digits = std::str::from_utf8(self.text(line)).ok();
                digits.and_then(|digits| digits.parse().ok()).ok_or(Refused::Other)?
            }
        };
        if matches!(code, b'g' | b'h' | b'j') {
            self.stack.push(*self.memo.get(&index).ok_or(Refused::Other)?);
        } else {
            self.memo.insert(index, self.top()?);
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Done {
        let list = self.top()? as usize;
        if let Some(Node::Sequence(list)) = self.nodes.get_mut(list) {
            list.extend(items);
        }
        Ok(())
    }

    fn put(&mut self, pairs: Vec<(Id, Id)>) -> Done {
        let target = self.top()? as usize;
        match self.nodes.get_mut(target) {
            Some(Node::Dictionary(dictionary)) => dictionary.extend(pairs),
            Some(Node::Object(object)) => object.pairs.extend(pairs),
            _ => {}
        }
        Ok(())
    }

    fn make(&mut self, node: Node) -> Done {
        if self.nodes.len() >= NODES_MAX {
            return Err(Refused::Other);
        }
        self.stack.push(self.nodes.len() as Id);
        self.nodes.push(node);
        Ok(())
    }

    fn integer(&mut self, value: Option<i64>) -> Done {
        match value {
            Some(value) => self.make(Node::Integer(value)),
            None => {
                self.stack.push(OTHER);
                Ok(())
            }
        }
    }

    fn top(&self) -> Result<Id, Refused> {
        self.stack.last().copied().ok_or(Refused::Other)
    }

    fn pop(&mut self) -> Result<Id, Refused> {
        self.stack.pop().ok_or(Refused::Other)
    }

    /// Takes what is on the stack since the last mark.
    fn items(&mut self) -> Result<Vec<Id>, Refused> {
        let mark = self.marks.pop();
        self.split(mark)
    }

    fn split(&mut self, at: Option<usize>) -> Result<Vec<Id>, Refused> {
        let at = at.filter(|at| *at <= self.stack.len()).ok_or(Refused::Other)?;
        let items = self.stack.get(at..).unwrap_or_default().to_vec();
        self.stack.truncate(at);
        Ok(items)
    }
}

/// Returns keys and values that follow each other; a key without a value is left out.
fn pairs(items: Vec<Id>) -> Vec<(Id, Id)> {
    items.as_chunks().0.iter().map(|[key, value]| (*key, *value)).collect()
}
